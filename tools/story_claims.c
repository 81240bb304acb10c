/*
 * story_claims: one listing of claims/ for all units that were asked for; the highest number of the highest generation is the newest.
 */
#include "tools/story_claims.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "queue/owner.h"

struct wanted {
	const char *name;
	bool known;
	struct hash128 unit;
	struct layout_claim newest;	/* number 0: none */
};

static void identify(int fd, const struct qconf *conf, struct wanted *wanted)
{
	bool with_stat = conf->key != QCONF_KEY_NAME;
	struct buf input = BUF_INIT;
	struct stat st = { 0 };

	buf_addf(&input, "%s/%s", conf->input, wanted->name);
	wanted->known = buf_error(&input) == 0 && (!with_stat || fstatat(fd, buf_text(&input), &st, 0) == 0);
	if (wanted->known)
		wanted->unit = layout_unit(wanted->name, with_stat, (uint64_t)st.st_size, st.st_mtim.tv_sec);
	buf_release(&input);
}

static int list_claims(int fd, struct wanted *list, size_t count)
{
	int claims = openat(fd, LAYOUT_CLAIMS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = claims < 0 ? NULL : fdopendir(claims);
	struct layout_claim claim, *newest;
	struct dirent *entry;
	size_t i;
	int error;

	if (!dir) {
		error = -errno;
		io_close(&claims);
		return error == -ENOENT ? 0 : error;
	}
	while ((errno = 0, entry = readdir(dir)) != NULL) {
		if (layout_parse_claim(entry->d_name, strlen(entry->d_name), &claim) < 0 || claim.number == LAYOUT_HEDGE)
			continue;
		for (i = 0; i < count; i++) {
			newest = &list[i].newest;
			if (list[i].known && hash128_equal(&list[i].unit, &claim.unit) &&
			    (newest->number == 0 || claim.generation > newest->generation ||
			     (claim.generation == newest->generation && claim.number > newest->number)))
				*newest = claim;
		}
	}
	error = -errno;
	closedir(dir);
	return error;
}

static bool is_there(int fd, const char *path)
{
	return faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Claims stay for a while after what they were for: until they are swept. */
static bool is_over(int fd, const struct layout_claim *claim)
{
	char path[LAYOUT_PATH];

	layout_marker(path, &claim->unit, claim->generation);
	if (is_there(fd, path))
		return true;
	layout_failed(path, &claim->unit, claim->generation);
	if (is_there(fd, path))
		return true;
	layout_redo(path, &claim->unit, claim->generation + 1);
	return is_there(fd, path);
}

static void look(int fd, const struct wanted *wanted, story_take_claim *take, void *arg)
{
	struct story_claim claim = { .unit = wanted->name, .generation = wanted->newest.generation, .number = wanted->newest.number };
	char path[LAYOUT_PATH], text[OWNER_MAX_BYTES];
	struct owner owner;
	struct stat st;
	ssize_t len;
	int file;

	layout_claim(path, &wanted->newest);
	file = openat(fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	len = file < 0 ? -1 : io_read_full(file, text, sizeof(text));
	if (len >= 0 && fstat(file, &st) == 0 && owner_parse(text, (size_t)len, &owner) == 0 && owner.kind == OWNER_LIVE) {
		memcpy(claim.node, owner.node, sizeof(claim.node));
		claim.pid = owner.pid;
		claim.beat = st.st_mtim.tv_sec;
		take(arg, &claim);
	}
	io_close(&file);
}

int story_claims(const char *dir, const struct qconf *conf, char *const *units, story_take_claim *take, void *arg)
{
	struct wanted *list;
	size_t count = 0, i;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	while (units[count])
		count++;
	list = calloc(count + 1, sizeof(*list));
	error = list ? 0 : -ENOMEM;
	for (i = 0; !error && i < count; i++) {
		list[i].name = units[i];
		identify(fd, conf, &list[i]);
	}
	if (!error)
		error = list_claims(fd, list, count);
	for (i = 0; !error && i < count; i++)
		if (list[i].newest.number && (conf->key == QCONF_KEY_CONTENT || !is_over(fd, &list[i].newest)))
			look(fd, &list[i], take, arg);
	free(list);
	io_close(&fd);
	return error;
}
