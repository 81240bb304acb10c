/*
 * fsck_mend: the changes `claimctl fsck` makes. All of them are what the protocol allows anybody at any time (claimfs-queue(7)): names are
 * made exclusively, claims of generations that are over and what nodes long gone have left are removed, records go into a log of its own.
 * For that fsck is a node for the time it runs.
 */
#include "tools/fsck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "queue/index.h"
#include "queue/owner.h"

#define NODE_TRIES 8
#define MAX_DEPTH 64

static int put_file(struct fsck *fsck, const char *path, const void *data, size_t len)
{
	int fd = openat(fsck->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), error;

	if (fd < 0)
		return -errno;
	error = io_write_all(fd, data, len);
	if (close(fd) < 0 && !error)
		error = -errno;
	return error;
}

static int put_owner(struct fsck *fsck, const char *path, const char *node, enum owner_kind kind)
{
	struct owner owner = { .kind = kind, .pid = getpid(), .start = clock_wall() / NS_PER_S };
	struct buf text = BUF_INIT;
	char host[256] = "";
	int error;

	strcpy(owner.node, node);
	gethostname(host, sizeof(host) - 1);
	owner_format(&owner, host, &text);
	error = buf_error(&text);
	if (!error)
		error = put_file(fsck, path, text.data, text.len);
	buf_release(&text);
	return error;
}

/* Exclusively, as every node. */
static int be_node(struct fsck *fsck)
{
	char host[LAYOUT_MAX_HOST + 1] = "fsck-", path[LAYOUT_PATH], node[LAYOUT_MAX_NODE + 1];
	int error = -EEXIST, tries;

	if (fsck->node[0])
		return 0;
	gethostname(host + 5, sizeof(host) - 6);
	for (tries = 0; tries < NODE_TRIES && error == -EEXIST; tries++) {
		layout_node(host, (uint32_t)clock_random(), node);
		layout_heartbeat(path, node, 0);
		error = put_owner(fsck, path, node, OWNER_LIVE);
	}
	if (!error)
		strcpy(fsck->node, node);
	return error;
}

int fsck_mend_dir(struct fsck *fsck, const char *path)
{
	if (fsck->options->dry_run || mkdirat(fsck->fd, path, 0777) == 0 || errno == EEXIST)
		return 0;
	return -errno;
}

int fsck_mend_remove(struct fsck *fsck, const char *path)
{
	if (fsck->options->dry_run || unlinkat(fsck->fd, path, 0) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

/* ---- trees ---- */

static int remove_tree(int at, const char *name, int depth);

static int remove_below(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int error = 0;

	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!error && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = remove_tree(dirfd(dir), entry->d_name, depth + 1);
	closedir(dir);
	return error;
}

/* Links are removed, never followed. */
static int remove_tree(int at, const char *name, int depth)
{
	int fd, error;

	if (depth > MAX_DEPTH)
		return -ELOOP;
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = remove_below(fd, depth);
	if (!error && unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		error = -errno;
	return error;
}

/* Moved aside in one step first: a node that comes back finds no tmp/, and knows by that, before it commits, that what it had staged is gone. */
int fsck_mend_tmp(struct fsck *fsck, const char *path)
{
	char aside[LAYOUT_PATH];

	if (fsck->options->dry_run)
		return 0;
	snprintf(aside, sizeof(aside), LAYOUT_TMP "/gone-%016llx", (unsigned long long)clock_random());
	if (renameat(fsck->fd, path, fsck->fd, aside) < 0)
		return errno == ENOENT ? 0 : -errno;
	return remove_tree(fsck->fd, aside, 0);
}

/* ---- names that are missing ---- */

static int make_free(struct fsck *fsck, char ret_path[LAYOUT_PATH])
{
	const struct timespec times[2] = { { .tv_sec = INDEX_FREE_MTIME }, { .tv_sec = INDEX_FREE_MTIME } };
	int error = be_node(fsck);

	layout_given_back(ret_path, fsck->node, false, 0);
	if (error || fsck->free_made)
		return error;
	error = put_owner(fsck, ret_path, fsck->node, OWNER_FREE);
	if (!error && utimensat(fsck->fd, ret_path, times, 0) < 0)
		error = -errno;
	fsck->free_made = !error;
	return error;
}

int fsck_mend_gap(struct fsck *fsck, const char *path)
{
	char from[LAYOUT_PATH];
	int error;

	if (fsck->options->dry_run)
		return 0;
	error = make_free(fsck, from);
	if (!error && linkat(fsck->fd, from, fsck->fd, path, 0) < 0 && errno != EEXIST)
		error = -errno;
	return error;
}

int fsck_mend_redo(struct fsck *fsck, const char *path)
{
	struct stat st;
	int error;

	if (fstatat(fsck->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	if (fsck->options->dry_run)
		return 0;
	error = be_node(fsck);
	return error ? error : put_owner(fsck, path, fsck->node, OWNER_LIVE);
}

/* ---- the log ---- */

int fsck_mend_record(struct fsck *fsck, const struct record *record)
{
	size_t len = fsck->log.len;
	int error;

	if (fsck->options->dry_run)
		return 0;
	error = record_format(record, &fsck->log);
	if (error)
		buf_truncate(&fsck->log, len);
	else
		fsck->log_count++;
	return error;
}

int fsck_mend_log(struct fsck *fsck)
{
	char path[LAYOUT_PATH];
	int error, fd;

	if (!fsck->log.len)
		return 0;
	error = be_node(fsck);
	if (error)
		return error;
	layout_log(path, fsck->node);
	fd = openat(fsck->fd, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	error = io_write_all(fd, fsck->log.data, fsck->log.len);
	if (!error && fsync(fd) < 0)
		error = -errno;
	if (close(fd) < 0 && !error)
		error = -errno;
	if (!error)
		buf_reset(&fsck->log);
	return error;
}

void fsck_mend_end(struct fsck *fsck)
{
	char path[LAYOUT_PATH];

	buf_release(&fsck->log);
	if (!fsck->node[0])
		return;
	layout_given_back(path, fsck->node, false, 0);
	unlinkat(fsck->fd, path, 0);
	layout_heartbeat(path, fsck->node, 0);
	unlinkat(fsck->fd, path, 0);
}
