/*
 * publish: what is staged goes into place (queue.md, "Finish"): fsynced, then posix-renamed over the output, directories above it made.
 *
 *   LSTAT staged, FSYNC it (and what is below a directory) ─▶ MKDIR … RENAME ─▶ fsync the directories when durable
 *   or, when the output's bytes are here, write them (put.c) ─┘
 *
 * A directory can't replace a non-empty one in one step, nor a file: what stood there is moved to tmp/ first.
 */
#include "queue/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

#define MAX_MADE 65536			/* directories remembered */
#define MAX_DEPTH 64			/* of a staged directory */
#define FSYNCS 64			/* a flight */

/* ---- fsync ---- */

int publish_fsync_error(int error)
{
	static long long last;

	if (error == -EOPNOTSUPP && log_allowed(&last))
		log_warn("queue: the server cannot fsync: outputs are published, but a power cut may take what was just written");
	return error == -EOPNOTSUPP ? 0 : error;
}

struct names {
	struct buf files;		/* NUL-terminated paths */
	struct buf dirs;
	const char *dir;
	int error;
};

static bool take_name(void *arg, const struct store_name *name)
{
	struct names *names = arg;
	struct buf *to = S_ISDIR(name->attrs.mode) ? &names->dirs : &names->files;

	if (!S_ISDIR(name->attrs.mode) && !S_ISREG(name->attrs.mode))
		return true;
	buf_addf(to, "%s/%.*s", names->dir, (int)name->len, name->name);
	buf_add(to, "", 1);
	names->error = buf_error(to);
	return names->error == 0;
}

static int fsync_all(struct queue *queue, const struct buf *paths)
{
	struct flight flight = FLIGHT_INIT;
	const char *path = paths->data, *end = path ? path + paths->len : NULL;
	int error = 0;
	size_t i;

	while (path < end && !error) {
		flight_reset(&flight);
		for (; path < end && flight.count < FSYNCS; path += strlen(path) + 1)
			flight_fsync(&flight, path);
		flight_run(&flight, queue->store);
		for (i = 0; i < flight.count && !error; i++)
			error = publish_fsync_error(flight_error(&flight, i));
	}
	flight_release(&flight);
	return error;
}

/* Everything below `dir`; the directory itself was fsynced by the caller. */
static int fsync_tree(struct queue *queue, const char *dir, int depth)
{
	struct names names = { .dir = dir };
	const char *path, *end;
	int error;

	if (depth > MAX_DEPTH)
		return -ELOOP;
	error = store_list(queue->store, dir, take_name, &names);
	error = error ? error : names.error;
	if (!error)
		error = fsync_all(queue, &names.files);
	if (!error)
		error = fsync_all(queue, &names.dirs);
	path = names.dirs.data;
	for (end = path ? path + names.dirs.len : NULL; path < end && !error; path += strlen(path) + 1)
		error = fsync_tree(queue, path, depth + 1);
	buf_release(&names.files);
	buf_release(&names.dirs);
	return error;
}

/* Nothing is staged: is there still a place where it would be? */
int publish_check_tmp(struct queue *queue, const struct held *held)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	int error;

	layout_tmp(path, held->stand.node);
	flight_lstat(&flight, path);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0);
	flight_release(&flight);
	if (error == -ENOENT)
		lease_abandon(queue->lease, &held->stand);
	return error;
}

static bool has_made(struct queue *queue, const struct held *held)
{
	bool made;

	pthread_mutex_lock(&queue->lock);
	made = held->makes > 0;
	pthread_mutex_unlock(&queue->lock);
	return made;
}

/* LSTAT and FSYNC of all that may have staged something. Sets `staged`, `dir`, or settles with the error. */
static void fsync_staged(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	size_t i;

	for (i = 0; i < count; i++) {
		list[i].made = !list[i].settled && !list[i].finish->output && has_made(queue, list[i].held);
		if (!list[i].made)
			continue;
		layout_staged(list[i].source, list[i].held->stand.node, &list[i].held->claim);
		list[i].op = flight_lstat(&flight, list[i].source);
		flight_fsync(&flight, list[i].source);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		const struct store_op *stat = flight_op(&flight, list[i].op);
		int error;

		if (!list[i].made)
			continue;
		if (stat->error == -ENOENT) {
			error = publish_check_tmp(queue, list[i].held);
			if (error && error != -ENOENT)
				ending_settle(queue, &list[i], error);
			continue;
		}
		error = stat->error ? stat->error : publish_fsync_error(flight_error(&flight, list[i].op + 1));
		list[i].dir = S_ISDIR(stat->attrs.mode);
		list[i].sized = S_ISREG(stat->attrs.mode);
		list[i].size = stat->attrs.size;
		if (!error && list[i].dir)
			error = fsync_tree(queue, list[i].source, 0);
		list[i].staged = !error;
		if (error)
			ending_settle(queue, &list[i], error);
	}
	flight_release(&flight);
}

/* ---- directories above the output ---- */

/* Adds a MKDIR for each directory above `output` that is not known to be there. */
static void add_mkdirs(struct queue *queue, struct flight *flight, const char *output, bool again)
{
	char path[RECORD_MAX_NAME * 2], *slash;

	if (snprintf(path, sizeof(path), "%s", output) >= (int)sizeof(path))
		return;
	for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		pthread_mutex_lock(&queue->lock);
		if (again || !map_get_str(&queue->made_dirs, path)) {
			if (queue->made_dirs.count >= MAX_MADE)
				map_release(&queue->made_dirs);
			map_set_str(&queue->made_dirs, path, queue, NULL);
			flight_mkdir(flight, path);
		}
		pthread_mutex_unlock(&queue->lock);
		*slash = '/';
	}
}

static void fsync_dirs(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[RECORD_MAX_NAME * 2], *slash;
	size_t i;

	if (!queue->conf.durable)
		return;
	for (i = 0; i < count; i++) {
		if (list[i].settled)
			continue;
		/* All the way up: which of them are new is not known. The queue directory itself is named ".". */
		snprintf(path, sizeof(path), "%s", list[i].held->output);
		list[i].op = flight.count;
		while ((slash = strrchr(path, '/')) != NULL) {
			*slash = '\0';
			flight_fsync(&flight, path);
		}
		flight_fsync(&flight, ".");
		list[i].op_end = flight.count;
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		size_t op;

		/* A job that put its output elsewhere itself has no such directories. */
		for (op = list[i].op; !list[i].settled && op < list[i].op_end; op++) {
			int error = publish_fsync_error(flight_error(&flight, op));

			if (error && (error != -ENOENT || list[i].staged))
				ending_settle(queue, &list[i], error);
		}
	}
	flight_release(&flight);
}

/* ---- rename ---- */

static void rename_round(struct queue *queue, struct ending *list, size_t count, bool again)
{
	struct flight flight = FLIGHT_INIT;
	size_t i;

	for (i = 0; i < count; i++) {
		if (list[i].settled || !list[i].staged)
			continue;
		add_mkdirs(queue, &flight, list[i].held->output, again);
		list[i].op = flight_rename(&flight, list[i].source, list[i].held->output);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (list[i].settled || !list[i].staged)
			continue;
		list[i].rename_error = flight_error(&flight, list[i].op);
		list[i].published = !list[i].rename_error;
		list[i].staged = !list[i].published;
	}
	flight_release(&flight);
}

/* What stands at the output goes to tmp/, from where it is swept. */
static int move_away(struct queue *queue, struct ending *ending)
{
	struct flight flight = FLIGHT_INIT;
	const struct store_op *stat;
	char once[LAYOUT_PATH];
	size_t look;
	int error;

	look = flight_lstat(&flight, ending->held->output);
	flight_run(&flight, queue->store);
	stat = flight_op(&flight, look);
	error = stat->error;
	/* Nothing in the way: the disk has another reason, and SFTP does not say which. */
	if (error == -ENOENT || (!error && !ending->dir && !S_ISDIR(stat->attrs.mode)))
		error = -EIO;
	if (!error) {
		layout_once(once, ending->held->stand.node, "old", lease_once(queue->lease));
		flight_reset(&flight);
		flight_rename(&flight, ending->held->output, once);
		flight_run(&flight, queue->store);
		error = flight_error(&flight, 0);
		if (!error || error == STORE_UNKNOWN) {
			pthread_mutex_lock(&queue->lock);
			sweep_path_locked(queue, once, true);
			pthread_mutex_unlock(&queue->lock);
		}
		if (error == STORE_UNKNOWN)
			error = 0;	/* the next round sees */
	}
	flight_release(&flight);
	return error;
}

/* A rename that was not answered: gone from the stage means it happened. Else, still this mount's claim, once more. */
static void look_again(struct queue *queue, struct ending *ending)
{
	struct flight flight = FLIGHT_INIT;
	int error;

	flight_lstat(&flight, ending->source);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0);
	flight_release(&flight);
	if (error == -ENOENT) {
		ending->staged = false;
	} else if (error) {
		ending_settle(queue, ending, error);
	} else {
		/* Nothing that replaces is repeated before its owner was read: by verifying. */
		ending->held->stand.lapses = UINT32_MAX;
		ending_check(queue, ending, 1);
	}
}

static void mend(struct queue *queue, struct ending *ending, int tries)
{
	int error = ending->rename_error;

	if (error == STORE_UNKNOWN) {
		look_again(queue, ending);
	} else if (error == STORE_FAILURE || error == -ENOTEMPTY || error == -EEXIST || error == -EISDIR || error == -ENOTDIR) {
		error = move_away(queue, ending);
		if (error)
			ending_settle(queue, ending, error);
	} else if (error != -ENOENT || tries > 0) {
		ending_settle(queue, ending, error);
	}
}

void publish_outputs(struct queue *queue, struct ending *list, size_t count)
{
	bool open = false;
	size_t i;
	int tries;

	put_outputs(queue, list, count);
	fsync_staged(queue, list, count);
	for (i = 0; i < count; i++)
		open |= !list[i].settled && list[i].staged;
	/* The second time with all directories made, whether they are thought to be there or not. */
	for (tries = 0; open && tries < 4; tries++) {
		rename_round(queue, list, count, tries > 0);
		for (i = 0, open = false; i < count; i++) {
			if (!list[i].settled && list[i].staged)
				mend(queue, &list[i], tries);
			open |= !list[i].settled && list[i].staged;
		}
	}
	for (i = 0; i < count; i++)
		if (!list[i].settled && list[i].staged)
			ending_settle(queue, &list[i], -EIO);
	put_sweep(queue, list, count);
	fsync_dirs(queue, list, count);
}

/* ---- another unit's output ---- */

int publish_link_output(struct queue *queue, const char *from, struct held *to)
{
	struct flight flight = FLIGHT_INIT;
	char once[LAYOUT_PATH];
	int error, tries;

	flight_lstat(&flight, from);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0);
	if (error == -ENOENT)
		error = 1;		/* the first one left none: there is nothing to give */
	else if (!error && !S_ISREG(flight_op(&flight, 0)->attrs.mode))
		error = -EISDIR;
	for (tries = 0; !error && tries < 2; tries++) {
		layout_once(once, to->stand.node, "same", lease_once(queue->lease));
		flight_reset(&flight);
		if (tries == 0)
			flight_link(&flight, from, once);
		else
			flight_copy(&flight, from, once);
		flight_run(&flight, queue->store);
		if (flight_error(&flight, 0))
			continue;
		flight_reset(&flight);
		if (tries > 0)
			flight_fsync(&flight, once);
		add_mkdirs(queue, &flight, to->output, true);
		flight_rename(&flight, once, to->output);
		/* Renaming a link over another of the same inode leaves both. */
		flight_remove(&flight, once);
		flight_run(&flight, queue->store);
		error = flight_error(&flight, flight.count - 2) ? -EIO : 1;
	}
	flight_release(&flight);
	return error > 0 ? 1 : 0;
}
