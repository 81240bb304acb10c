/*
 * resume: see resume.h.
 */
#include "worker/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "worker/copy.h"
#include "worker/pool.h"
#include "worker/unit.h"

#define RESUME_DIR QCONF_DIR "/tmp/resume"
#define RESUME_MAX_TICKET (1u << 20)

int resume_name(const char *ticket, struct buf *ret_name)
{
	static const char field[] = "claim: ";
	const char *line, *digits;
	struct hash128 unit;
	size_t len, generation;

	for (line = ticket; line && strncmp(line, field, sizeof(field) - 1) != 0; line = line ? line + 1 : NULL)
		line = strchr(line, '\n');
	if (!line)
		return -ENOENT;
	line += sizeof(field) - 1;
	len = strcspn(line, "\n");
	/* It becomes a path: nothing but what it must be. */
	if (len < HASH_HEX_LEN + 4 || hash128_parse(line, &unit) < 0 || line[HASH_HEX_LEN] != '.')
		return -EBADMSG;
	digits = line + HASH_HEX_LEN + 1;
	generation = strspn(digits, "0123456789");
	if (generation == 0 || generation > 9 || digits[generation] != '.')
		return -EBADMSG;
	buf_add(ret_name, line, HASH_HEX_LEN + 1 + generation);
	return buf_error(ret_name);
}

static int find_path(struct unit *unit)
{
	const char *queue = unit->pool->place->queue;
	struct buf file = BUF_INIT, ticket = BUF_INIT, path = BUF_INIT;
	int error;

	buf_addf(&file, "%s/claims/%s", queue, unit->name);
	buf_addf(&path, "%s/" RESUME_DIR "/", queue);
	error = buf_error(&file);
	if (!error)
		error = io_read_file(buf_text(&file), RESUME_MAX_TICKET, &ticket);
	if (!error)
		error = resume_name(buf_text(&ticket), &path);
	if (!error && !(unit->resume = buf_detach(&path)))
		error = -ENOMEM;
	buf_release(&file);
	buf_release(&ticket);
	buf_release(&path);
	return error;
}

void resume_find(struct unit *unit)
{
	struct stat st;

	if (!unit->resume && find_path(unit) < 0)
		return;
	unit->resumable = lstat(unit->resume, &st) == 0;
}

/* The next attempt may begin on another node at once, and this machine and its disk's host may go away any time now. */
static int sync_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), error = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		error = -errno;
	close(fd);
	return error;
}

static int sync_tree(char *path)
{
	char *const paths[] = { path, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int error = 0;

	if (!walk)
		return -errno;
	while (!error && (errno = 0, entry = fts_read(walk)))
		if (entry->fts_info == FTS_F)
			error = sync_file(entry->fts_path);
	if (!error && errno)
		error = -errno;
	fts_close(walk);
	return error;
}

static int make_dir(const struct unit *unit)
{
	struct buf dir = BUF_INIT;
	int error;

	buf_addf(&dir, "%s/" RESUME_DIR, unit->pool->place->queue);
	error = buf_error(&dir) ? buf_error(&dir) : io_mkdirs(buf_text(&dir), 0777);
	buf_release(&dir);
	return error;
}

/* Over a directory nothing can be renamed in one step: the older checkpoint goes first. */
static int move(struct unit *unit)
{
	if (rename(unit->out, unit->resume) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST && errno != EISDIR && errno != ENOTDIR)
		return -errno;
	copy_remove(unit->resume);
	return rename(unit->out, unit->resume) < 0 ? -errno : 0;
}

int resume_keep(struct unit *unit)
{
	struct stat st;
	int error;

	if (lstat(unit->out, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!unit->resume) {
		error = find_path(unit);
		if (error)
			return error;
	}
	error = sync_tree(unit->out);
	if (!error)
		error = make_dir(unit);
	return error ? error : move(unit);
}

void resume_drop(struct unit *unit)
{
	copy_remove(unit->resume);
}
