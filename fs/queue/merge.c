/*
 * merge: see merge.h. Every step can be the last one: what is left is read as it is, merged again by another, or swept with tmp/.
 */
#include "queue/merge.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/inner.h"

#define PIECE (1024 * 1024)

struct source {				/* a log that may be merged */
	char name[LAYOUT_MAX_LOG + 1];
	size_t node_len;
	uint64_t size;
	uint64_t lines;			/* bytes of whole lines taken in */
	char aside[LAYOUT_PATH];	/* where it was moved */
};

struct merge {
	struct queue *queue;
	int64_t now;			/* the server's seconds, at least */
	struct source *sources;
	size_t count, cap;
	struct map live;		/* NODE with a heartbeat that is not long stale */
	int error;
	uint32_t lock_number;		/* highest tmp/merge-N */
	bool locked;			/* and it is somebody's */
	char lock[LAYOUT_PATH];		/* this mount's */
	struct lease_stand stand;
	struct buf text;		/* of the merged log */
	char tmp[LAYOUT_PATH];
	struct store_file *file;
};

static bool is_ending(struct queue *queue)
{
	bool stopping;

	pthread_mutex_lock(&queue->lock);
	stopping = queue->stopping;
	pthread_mutex_unlock(&queue->lock);
	return stopping || store_cancelled(queue->store);
}

static int run_one(struct queue *queue, struct flight *flight)
{
	int error;

	flight_run(flight, queue->store);
	error = flight_error(flight, 0);
	flight_release(flight);
	return error;
}

/* ---- which ones ---- */

static bool take_log(void *arg, const struct store_name *name)
{
	struct merge *merge = arg;
	size_t len, cap = merge->cap ? merge->cap * 2 : 128;
	struct source *sources;
	uint32_t number;

	if (!S_ISREG(name->attrs.mode) || name->attrs.size > MERGE_SMALL || layout_parse_log(name->name, name->len, &len, &number) < 0)
		return true;
	if (merge->count == merge->cap) {
		sources = realloc(merge->sources, cap * sizeof(*sources));
		if (!sources) {
			merge->error = -ENOMEM;
			return false;
		}
		merge->sources = sources;
		merge->cap = cap;
	}
	merge->sources[merge->count] = (struct source) { .node_len = len, .size = name->attrs.size };
	snprintf(merge->sources[merge->count++].name, LAYOUT_MAX_LOG + 1, "%.*s", (int)name->len, name->name);
	return true;
}

static bool take_heartbeat(void *arg, const struct store_name *name)
{
	struct merge *merge = arg;
	enum layout_node_file kind;
	size_t len;

	if (layout_parse_node_file(name->name, name->len, &len, &kind) < 0 || kind != LAYOUT_HEARTBEAT)
		return true;
	if (merge->now - name->attrs.mtime <= MERGE_LEASES * (merge->queue->conf.lease_ns / NS_PER_S))
		merge->error = map_set(&merge->live, name->name, len, merge, NULL);
	return merge->error == 0;
}

static bool is_own(struct queue *queue, const struct source *source)
{
	char node[LAYOUT_MAX_NODE + 1];
	uint32_t log;
	bool mine;

	snprintf(node, sizeof(node), "%.*s", (int)source->node_len, source->name);
	pthread_mutex_lock(&queue->lock);
	log = (uint32_t)(uintptr_t)map_get_str(&queue->log_by_name, source->name);
	mine = log && queue->logs[log - 1].mine;
	pthread_mutex_unlock(&queue->lock);
	return mine || lease_was_node(queue->lease, node);
}

/* Logs come before heartbeats: a node makes its heartbeat file first, so one that begins meanwhile is not taken for gone. */
static int find_sources(struct merge *merge)
{
	struct queue *queue = merge->queue;
	size_t i, kept = 0;
	int error = store_list(queue->store, LAYOUT_LOG, take_log, merge);

	if (!error && !merge->error && merge->count > MERGE_FROM)
		error = store_list(queue->store, LAYOUT_NODES, take_heartbeat, merge);
	error = error ? error : merge->error;
	for (i = 0; i < merge->count && !error; i++)
		if (!map_get(&merge->live, merge->sources[i].name, merge->sources[i].node_len) && !is_own(queue, &merge->sources[i]))
			merge->sources[kept++] = merge->sources[i];
	merge->count = error ? 0 : kept;
	return error;
}

/* ---- one mount at a time ---- */

static bool take_lock(void *arg, const struct store_name *name)
{
	struct merge *merge = arg;
	unsigned int number;

	if (sscanf(name->name, MERGE_LOCK "%8u", &number) != 1)
		return true;
	if (number > merge->lock_number)
		merge->lock_number = number;
	merge->locked |= merge->now - name->attrs.mtime <= merge->queue->conf.lease_ns / NS_PER_S;
	return true;
}

static void unlock(struct merge *merge)
{
	struct flight flight = FLIGHT_INIT;

	if (!merge->lock[0])
		return;
	flight_remove(&flight, merge->lock);
	run_one(merge->queue, &flight);
	lease_end(merge->queue->lease, &merge->stand, 1);
	merge->lock[0] = '\0';
}

static int lock(struct merge *merge)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	uint32_t one = 1;
	int error = store_list(merge->queue->store, LAYOUT_TMP, take_lock, merge);

	if (error || merge->locked)
		return error ? error : -EBUSY;
	error = lease_begin(merge->queue->lease, &one, &merge->stand);
	if (error)
		return error;
	snprintf(path, sizeof(path), "%s/%s%u", LAYOUT_TMP, MERGE_LOCK, merge->lock_number % 10000000 + 1);
	flight_link(&flight, merge->stand.path, path);
	error = run_one(merge->queue, &flight);
	if (error == STORE_UNKNOWN) {
		flight_remove(&flight, path);
		run_one(merge->queue, &flight);
	}
	/* Somebody else has it. */
	if (error) {
		lease_end(merge->queue->lease, &merge->stand, 1);
		return -EBUSY;
	}
	strcpy(merge->lock, path);
	if (merge->lock_number) {
		snprintf(path, sizeof(path), "%s/%s%u", LAYOUT_TMP, MERGE_LOCK, merge->lock_number);
		flight_remove(&flight, path);
		run_one(merge->queue, &flight);
	}
	return 0;
}

/* ---- the merged log ---- */

/* The bytes of `piece` that are done with: its whole lines, or all of it while it is in the middle of a line that is too long. */
static int64_t take_piece(const struct source *source, const struct buf *piece, bool *skipping, struct buf *to)
{
	const char *text = buf_text(piece), *newline;
	int64_t lines;

	if (*skipping) {
		newline = memchr(text, '\n', piece->len);
		*skipping = !newline;
		return newline ? newline + 1 - text : (int64_t)piece->len;
	}
	lines = merge_lines(source->name, source->lines, text, piece->len, to);
	if (lines == 0 && piece->len >= RECORD_MAX_LINE) {
		*skipping = true;
		lines = (int64_t)piece->len;
	}
	return lines;
}

/* From `source->lines` on; a part of a line at its end stays out. 0 or -errno. */
static int read_source(struct merge *merge, struct source *source, const char *path, struct buf *to)
{
	struct flight flight = FLIGHT_INIT;
	struct buf piece = BUF_INIT;
	bool skipping = false;
	int64_t taken = 0;
	int error = 0;

	do {
		buf_reset(&piece);
		flight_read(&flight, path, source->lines, PIECE, &piece);
		error = run_one(merge->queue, &flight);
		error = error ? error : buf_error(&piece);
		if (!error)
			taken = take_piece(source, &piece, &skipping, to);
		if (!error && taken < 0)
			error = (int)taken;
		if (!error)
			source->lines += (uint64_t)taken;
	} while (!error && piece.len == PIECE && !is_ending(merge->queue));
	buf_release(&piece);
	return error;
}

/* Those that can't be read are left as they are. */
static int read_sources(struct merge *merge)
{
	char path[LAYOUT_PATH];
	size_t i, kept = 0;
	int error = 0;

	for (i = 0; i < merge->count && merge->text.len < MERGE_MAX && error != -ENOMEM; i++) {
		struct source source = merge->sources[i];
		size_t len = merge->text.len;

		layout_log(path, source.name);
		error = read_source(merge, &source, path, &merge->text);
		if (error == -ENOMEM || is_ending(merge->queue))
			return error ? error : -ECANCELED;
		if (error)
			buf_truncate(&merge->text, len);
		else
			merge->sources[kept++] = source;
	}
	merge->count = kept;
	return kept > 1 ? 0 : -ENOENT;
}

static int write_text(struct merge *merge, uint64_t offset, const struct buf *text)
{
	struct flight flight = FLIGHT_INIT;
	uint64_t at;
	int error = 0;

	for (at = 0; at < text->len && !error; at += PIECE) {
		flight_write(&flight, merge->file, offset + at, text->data + at, text->len - at < PIECE ? text->len - at : PIECE);
		error = run_one(merge->queue, &flight);
	}
	flight_fsync(&flight, merge->tmp);
	if (!error) {
		error = run_one(merge->queue, &flight);
		error = error == -EOPNOTSUPP ? 0 : error;
	}
	flight_release(&flight);
	return error;
}

/* Exclusively, under a name that is this mount's alone: when it is there, whatever the answer was, it is this one. */
static int publish(struct merge *merge)
{
	struct queue *queue = merge->queue;
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH], name[LAYOUT_MAX_LOG + 1];
	int error;

	/* Counted down: the logs that this mount writes as its own are counted up (own_log.c). */
	layout_log_name(name, merge->stand.node, LAYOUT_MAX_LOG_NUMBER - (uint32_t)(lease_once(queue->lease) % (LAYOUT_MAX_LOG_NUMBER / 2)));
	layout_log(path, name);
	flight_link(&flight, merge->tmp, path);
	flight_lstat(&flight, path);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 1);
	if (!error && flight_op(&flight, 1)->attrs.size != merge->text.len)
		error = -EIO;
	flight_release(&flight);
	return error;
}

static int make(struct merge *merge)
{
	int error;

	layout_once(merge->tmp, merge->stand.node, "merge", lease_once(merge->queue->lease));
	error = store_open(merge->queue->store, merge->tmp, O_WRONLY | O_CREAT | O_EXCL, &merge->file);
	if (error) {
		merge->file = NULL;
		return error;
	}
	error = write_text(merge, 0, &merge->text);
	return error ? error : publish(merge);
}

/* ---- the old ones ---- */

/* Nobody finds it under its name any more: what it has now is what it will ever have. */
static int retire(struct merge *merge, struct source *source, uint64_t *size)
{
	struct flight flight = FLIGHT_INIT;
	struct buf tail = BUF_INIT;
	char path[LAYOUT_PATH];
	int error;

	layout_log(path, source->name);
	layout_once(source->aside, merge->stand.node, "merged", lease_once(merge->queue->lease));
	flight_rename(&flight, path, source->aside);
	error = run_one(merge->queue, &flight);
	if (!error)
		error = read_source(merge, source, source->aside, &tail);
	if (!error && tail.len)
		error = write_text(merge, *size, &tail);
	if (!error)
		*size += tail.len;
	/* Kept where it can't be saved: it is swept with this mount's tmp/, long after. */
	buf_release(&tail);
	return error;
}

/* How many of them. */
static size_t retire_all(struct merge *merge)
{
	struct flight flight = FLIGHT_INIT;
	uint64_t size = merge->text.len;
	size_t i;

	for (i = 0; i < merge->count && !is_ending(merge->queue); i++)
		if (retire(merge, &merge->sources[i], &size) == 0)
			flight_remove(&flight, merge->sources[i].aside);
	i = flight.count;
	flight_run(&flight, merge->queue->store);
	flight_release(&flight);
	return i;
}

static void remove_tmp(struct merge *merge)
{
	struct flight flight = FLIGHT_INIT;

	if (!merge->file)
		return;
	store_close(merge->queue->store, merge->file);
	merge->file = NULL;
	flight_remove(&flight, merge->tmp);
	run_one(merge->queue, &flight);
}

/* 1: there may be more; 0: there is nothing to do; -errno. */
static int merge_once(struct queue *queue)
{
	struct merge merge = { .queue = queue };
	size_t retired = 0;
	int64_t max;
	int error = 0;

	if (!lease_time(queue->lease, clock_now(), &merge.now, &max))
		return 0;
	merge.now /= NS_PER_S;
	error = find_sources(&merge);
	if (!error && merge.count > MERGE_FROM) {
		error = lock(&merge);
		/* Somebody may have ended just before. */
		merge.count = 0;
		if (!error)
			error = find_sources(&merge);
		if (!error && merge.count > MERGE_FROM)
			error = read_sources(&merge);
		else
			merge.count = 0;
		if (!error && merge.count)
			error = make(&merge);
		if (!error && merge.count) {
			retired = retire_all(&merge);
			log_info("queue: %zu logs of nodes long gone were merged", retired);
		}
		remove_tmp(&merge);
		unlock(&merge);
	}
	free(merge.sources);
	map_release(&merge.live);
	buf_release(&merge.text);
	/* Logs that can't be moved would be merged again and again. */
	return error ? error : retired > 0 && retired == merge.count;
}

void merge_logs(struct queue *queue)
{
	while (!is_ending(queue) && merge_once(queue) > 0)
		;
}
