/*
 * sweep: removing what nobody needs (queue.md, "Sweep"): claims of a generation that is over, what was staged and dropped, and the tmp/ of nodes
 * that are long gone. Anybody may do it, in any order, again and again; what fails is left for somebody else.
 */
#include "queue/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "queue/merge.h"
#include "queue/share.h"

#define REMOVES 4096			/* a flight */
#define MAX_DEPTH 64
#define GONE "gone-"
#define LONG_STALE 20			/* leases: then a node's tmp/ is removed */

void sweep_path_locked(struct queue *queue, const char *path, bool tree)
{
	struct dirt *dirt = malloc(sizeof(*dirt));

	/* Memory short: somebody else sweeps it. */
	if (!dirt)
		return;
	strcpy(dirt->path, path);
	dirt->tree = tree;
	list_append(&queue->dirt, &dirt->link);
	keeper_wake_locked(queue);
}

void sweep_claims_locked(struct queue *queue, const struct layout_claim *highest)
{
	struct layout_claim claim = *highest;
	char path[LAYOUT_PATH];

	for (claim.number = highest->number == LAYOUT_HEDGE ? LAYOUT_HEDGE : 1; claim.number <= highest->number; claim.number++) {
		layout_claim(path, &claim);
		sweep_path_locked(queue, path, false);
	}
}

void sweep_generation_locked(struct queue *queue, const struct layout_claim *highest)
{
	uint32_t unit = units_find(&queue->index.units, &highest->unit), at;
	const struct index_claim *claim;
	char path[LAYOUT_PATH];

	sweep_claims_locked(queue, highest);
	for (at = unit == UNITS_NONE ? UNITS_NONE : units_at(&queue->index.units, unit)->claims; at != UNITS_NONE; at = claim->next) {
		claim = &queue->index.claims[at];
		if (claim->generation != highest->generation ||
		    (claim->number <= highest->number && (claim->number == highest->number || claim->number != LAYOUT_HEDGE)))
			continue;
		layout_claim(path, &(struct layout_claim) { highest->unit, claim->generation, claim->number });
		sweep_path_locked(queue, path, false);
	}
}

/* ---- trees ---- */

struct names {
	struct buf files, dirs;
	const char *dir;
	int error;
};

static bool take_name(void *arg, const struct store_name *name)
{
	struct names *names = arg;
	struct buf *to = S_ISDIR(name->attrs.mode) ? &names->dirs : &names->files;

	buf_addf(to, "%s/%.*s", names->dir, (int)name->len, name->name);
	buf_add(to, "", 1);
	names->error = buf_error(to);
	return names->error == 0;
}

static void remove_all(struct queue *queue, const struct buf *paths)
{
	struct flight flight = FLIGHT_INIT;
	const char *path = paths->data, *end = path ? path + paths->len : NULL;

	while (path < end) {
		flight_reset(&flight);
		for (; path < end && flight.count < REMOVES; path += strlen(path) + 1)
			flight_remove(&flight, path);
		flight_run(&flight, queue->store);
	}
	flight_release(&flight);
}

static int sweep_below(struct queue *queue, const char *dir, int depth)
{
	struct names names = { .dir = dir };
	struct flight flight = FLIGHT_INIT;
	const char *path, *end;
	int error;

	if (depth > MAX_DEPTH)
		return -ELOOP;
	error = store_list(queue->store, dir, take_name, &names);
	if (!error)
		remove_all(queue, &names.files);
	path = names.dirs.data;
	for (end = path ? path + names.dirs.len : NULL; path < end && !error; path += strlen(path) + 1)
		error = sweep_below(queue, path, depth + 1);
	flight_rmdir(&flight, dir);
	flight_run(&flight, queue->store);
	if (!error)
		error = flight_error(&flight, 0);
	flight_release(&flight);
	buf_release(&names.files);
	buf_release(&names.dirs);
	return error;
}

/* A file or a directory with everything in it. Links are removed, never followed. */
int sweep_tree(struct queue *queue, const char *path)
{
	struct flight flight = FLIGHT_INIT;
	int error;

	flight_lstat(&flight, path);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0);
	if (!error && S_ISDIR(flight_op(&flight, 0)->attrs.mode)) {
		error = sweep_below(queue, path, 0);
	} else if (!error) {
		flight_reset(&flight);
		flight_remove(&flight, path);
		flight_run(&flight, queue->store);
		error = flight_error(&flight, 0);
	}
	flight_release(&flight);
	return error;
}

/* ---- what piled up ---- */

static bool flushed(struct queue *queue)
{
	bool open;
	int tries;

	for (tries = 0; tries < 4; tries++) {
		pthread_mutex_lock(&queue->lock);
		open = queue->log_text.len || queue->log_sending.len;
		pthread_mutex_unlock(&queue->lock);
		if (!open)
			return true;
		if (logs_flush(queue) < 0)
			return false;
	}
	return true;
}

/* Removes what is first in `dirt`. What was said to be a tree is most often a file, or gone already: only what can't be removed goes to `trees`. */
static void sweep_flight(struct queue *queue, struct flight *flight, struct list *dirt, struct list *trees)
{
	struct list sent, *at;
	size_t i;

	list_init(&sent);
	flight_reset(flight);
	while (flight->count < REMOVES && (at = list_pop(dirt)) != NULL) {
		flight_remove(flight, list_entry(at, struct dirt, link)->path);
		list_append(&sent, at);
	}
	flight_run(flight, queue->store);
	for (i = 0; (at = list_pop(&sent)) != NULL; i++) {
		struct dirt *one = list_entry(at, struct dirt, link);
		int error = flight_error(flight, i);

		if (one->tree && error && error != -ENOENT)
			list_append(trees, at);
		else
			free(one);
	}
}

void sweep_run(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	struct list dirt, trees, *at;

	list_init(&dirt);
	list_init(&trees);
	pthread_mutex_lock(&queue->lock);
	list_splice(&dirt, &queue->dirt);
	pthread_mutex_unlock(&queue->lock);
	/* Records go first: a unit without claims and without a record would look as if nobody had touched it. */
	if (!flushed(queue)) {
		pthread_mutex_lock(&queue->lock);
		list_splice(&queue->dirt, &dirt);
		pthread_mutex_unlock(&queue->lock);
		return;
	}
	while (!list_empty(&dirt))
		sweep_flight(queue, &flight, &dirt, &trees);
	while ((at = list_pop(&trees)) != NULL) {
		sweep_tree(queue, list_entry(at, struct dirt, link)->path);
		free(list_entry(at, struct dirt, link));
	}
	flight_release(&flight);
}

/* ---- nodes long gone ---- */

struct seen_node {
	struct queue *queue;
	struct map live;		/* NODE: its heartbeat is not long stale, or is not known to be */
	struct buf tmp;			/* names in tmp/ */
	int64_t now;
	int error;
};

static bool take_heartbeat(void *arg, const struct store_name *name)
{
	struct seen_node *seen = arg;
	enum layout_node_file kind;
	size_t len;

	if (layout_parse_node_file(name->name, name->len, &len, &kind) < 0 || kind != LAYOUT_HEARTBEAT)
		return true;
	if (seen->now - name->attrs.mtime <= LONG_STALE * (seen->queue->conf.lease_ns / NS_PER_S))
		seen->error = map_set(&seen->live, name->name, len, seen, NULL);
	return seen->error == 0;
}

static bool take_tmp(void *arg, const struct store_name *name)
{
	struct seen_node *seen = arg;
	int64_t age = seen->now - name->attrs.mtime;
	bool ours = strncmp(name->name, LAYOUT_PROBE, strlen(LAYOUT_PROBE)) == 0 || strncmp(name->name, GONE, strlen(GONE)) == 0 ||
		    strncmp(name->name, MERGE_LOCK, strlen(MERGE_LOCK)) == 0 || strncmp(name->name, SHARE_LOCK, strlen(SHARE_LOCK)) == 0;

	if (age <= LONG_STALE * (seen->queue->conf.lease_ns / NS_PER_S) || (!ours && !layout_node_good(name->name, name->len)))
		return true;
	if (!map_get(&seen->live, name->name, name->len)) {
		buf_addf(&seen->tmp, "%s/%s", LAYOUT_TMP, name->name);
		buf_add(&seen->tmp, "", 1);
	}
	return true;
}

/* Moved aside in one step first: a node that comes back finds no tmp/ and knows by that, before it commits, that what it had staged is gone. */
static void sweep_tmp(struct queue *queue, const char *path)
{
	struct flight flight = FLIGHT_INIT;
	char aside[LAYOUT_PATH];

	snprintf(aside, sizeof(aside), "%s/%s%016llx", LAYOUT_TMP, GONE, (unsigned long long)clock_random());
	flight_rename(&flight, path, aside);
	flight_run(&flight, queue->store);
	if (!flight_error(&flight, 0))
		sweep_tree(queue, aside);
	flight_release(&flight);
}

void sweep_nodes(struct queue *queue)
{
	struct seen_node seen = { .queue = queue };
	int64_t min, max;
	const char *path, *end;

	if (!lease_time(queue->lease, clock_now(), &min, &max))
		return;
	seen.now = min / NS_PER_S;
	if (store_list(queue->store, LAYOUT_NODES, take_heartbeat, &seen) == 0 && !seen.error &&
	    store_list(queue->store, LAYOUT_TMP, take_tmp, &seen) == 0 && !buf_error(&seen.tmp)) {
		path = seen.tmp.data;
		for (end = path ? path + seen.tmp.len : NULL; path < end; path += strlen(path) + 1)
			sweep_tmp(queue, path);
	}
	map_release(&seen.live);
	buf_release(&seen.tmp);
}
