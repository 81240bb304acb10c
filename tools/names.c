/*
 * names: walks without a stat an entry where the directory tells the type, and a pool of threads that share one counter.
 */
#include "tools/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/qconf.h"

#define NAMES_THREADS 16

int names_add(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 64;
		char **list = reallocarray(names->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		names->list = list;
		names->room = room;
	}
	names->list[names->count] = strdup(name);
	return names->list[names->count] ? (names->count++, 0) : -ENOMEM;
}

void names_release(struct names *names)
{
	while (names->count > 0)
		free(names->list[--names->count]);
	free(names->list);
	*names = (struct names)NAMES_INIT;
}

/* ---- walking ---- */

static unsigned char type_of(int dir_fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type;
	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The entries of one directory: files to `names`, directories to `dirs` for later. `at` is its path relative to the top. */
static int walk_one(DIR *dir, const char *at, bool as_inputs, struct names *names, struct names *dirs)
{
	struct buf path = BUF_INIT;
	struct dirent *entry;
	int error = 0;

	while (!error && (errno = 0, entry = readdir(dir))) {
		unsigned char type;

		if (is_dots(entry->d_name) || (as_inputs && qconf_skips(entry->d_name)))
			continue;
		type = type_of(dirfd(dir), entry);
		if (type != DT_DIR && type != DT_REG)
			continue;
		buf_reset(&path);
		buf_addf(&path, "%s%s%s", at, *at ? "/" : "", entry->d_name);
		error = buf_error(&path);
		if (!error)
			error = names_add(type == DT_DIR ? dirs : names, buf_text(&path));
	}
	if (!error && errno)
		error = -errno;
	buf_release(&path);
	return error;
}

int names_walk(struct names *names, const char *top, bool as_inputs, size_t max)
{
	struct names dirs = NAMES_INIT;
	int error = names_add(&dirs, "");

	while (!error && dirs.count > 0 && (max == 0 || names->count < max)) {
		char *at = dirs.list[--dirs.count];
		struct buf path = BUF_INIT;
		DIR *dir = NULL;

		buf_addf(&path, "%s%s%s", top, *at ? "/" : "", at);
		error = buf_error(&path);
		if (!error) {
			dir = opendir(buf_text(&path));
			error = dir ? walk_one(dir, at, as_inputs, names, &dirs) : -errno;
		}
		if (dir)
			closedir(dir);
		buf_release(&path);
		if (error == -ENOENT && *at)
			error = 0;	/* a directory that went away meanwhile */
		free(at);
	}
	names_release(&dirs);
	while (max && names->count > max)
		free(names->list[--names->count]);
	return error;
}

/* ---- many at once ---- */

struct crowd {
	const struct names *names;
	int (*each)(void *arg, const char *name);
	void *arg;
	atomic_size_t next;
	atomic_size_t bad;
};

static void *crowd_thread(void *arg)
{
	struct crowd *crowd = arg;
	size_t i;

	while ((i = atomic_fetch_add(&crowd->next, 1)) < crowd->names->count)
		if (crowd->each(crowd->arg, crowd->names->list[i]) != 0)
			atomic_fetch_add(&crowd->bad, 1);
	return NULL;
}

size_t names_each(const struct names *names, int (*each)(void *arg, const char *name), void *arg)
{
	struct crowd crowd = { .names = names, .each = each, .arg = arg };
	pthread_t threads[NAMES_THREADS];
	unsigned int count = 0;

	while (count < NAMES_THREADS && count + 1 < names->count &&
	       pthread_create(&threads[count], NULL, crowd_thread, &crowd) == 0)
		count++;
	crowd_thread(&crowd);
	while (count > 0)
		pthread_join(threads[--count], NULL);
	return atomic_load(&crowd.bad);
}
