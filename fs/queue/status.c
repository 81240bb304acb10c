/*
 * status: the facts of `progress`: counts, rates, a line a node.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/progress.h"
#include "queue/view.h"

#define MINUTE 60

struct heartbeat {
	uint32_t node;			/* of queue->nodes + 1 */
	int64_t mtime;
};

struct status {
	struct queue *queue;
	struct progress progress;
	struct progress_node *nodes;	/* parallel to queue->nodes */
	int64_t *beats;			/* newest heartbeat a node, or INT64_MIN */
	size_t node_count;
	char (*hosts)[LAYOUT_MAX_HOST + 1];
	struct heartbeat *seen;
	size_t seen_count, seen_cap;
	int error;
};

static bool take_heartbeat(void *arg, const struct store_name *name)
{
	struct status *status = arg;
	char node[LAYOUT_MAX_NODE + 1];
	enum layout_node_file kind;
	struct heartbeat *seen;
	size_t len, cap = status->seen_cap ? status->seen_cap * 2 : 64;

	if (layout_parse_node_file(name->name, name->len, &len, &kind) < 0 || kind != LAYOUT_HEARTBEAT)
		return true;
	if (status->seen_count == status->seen_cap) {
		seen = realloc(status->seen, cap * sizeof(*seen));
		if (!seen) {
			status->error = -ENOMEM;
			return false;
		}
		status->seen = seen;
		status->seen_cap = cap;
	}
	memcpy(node, name->name, len);
	node[len] = '\0';
	pthread_mutex_lock(&status->queue->lock);
	status->seen[status->seen_count].node = nodes_get_locked(status->queue, node);
	pthread_mutex_unlock(&status->queue->lock);
	status->seen[status->seen_count++].mtime = name->attrs.mtime;
	return true;
}

/* Owners of all claims, so that each can be counted for its node. */
static void learn_owners(struct queue *queue)
{
	uint32_t *units = NULL, i, count = 0;

	pthread_mutex_lock(&queue->lock);
	if (queue->index.claim_count)
		units = malloc(queue->index.claim_count * sizeof(*units));
	for (i = 0; units && i < queue->index.claim_count; i++)
		if (queue->index.claims[i].unit != UNITS_NONE &&
		    units_at(&queue->index.units, queue->index.claims[i].unit)->state == QUEUE_CLAIMS)
			units[count++] = queue->index.claims[i].unit;
	pthread_mutex_unlock(&queue->lock);
	if (count)
		view_prepare(queue, units, count);
	free(units);
}

static void count_held_locked(struct status *status)
{
	struct queue *queue = status->queue;
	struct index_chance chance;
	struct index_clock clock;
	uint32_t i, owner;

	queue_clock(queue, &clock);
	for (i = 0; i < queue->index.claim_count; i++) {
		const struct index_claim *claim = &queue->index.claims[i];

		if (claim->unit == UNITS_NONE || units_at(&queue->index.units, claim->unit)->state != QUEUE_CLAIMS)
			continue;
		index_chance(&queue->index, claim->unit, &clock, &chance);
		owner = chance.highest == i ? claim->owner : 0;
		if (owner && owner <= status->node_count)
			status->nodes[owner - 1].held++;
	}
}

static void fill_node_locked(struct status *status, size_t i)
{
	const struct node_facts *facts = &status->queue->nodes[i];
	struct progress_node *node = &status->nodes[i];
	int64_t lease = status->queue->conf.lease_ns / NS_PER_S, age;
	size_t len = strlen(facts->name);

	memcpy(status->hosts[i], facts->name, len > 9 ? len - 9 : 0);
	node->name = facts->name;
	node->host = status->hosts[i];
	node->done = facts->done;
	node->failed = facts->failed;
	node->lost = facts->lost;
	node->spent = facts->spent;
	node->last_seen = facts->last_record ? facts->last_record : PROGRESS_UNKNOWN;
	node->heartbeat_age_s = PROGRESS_UNKNOWN;
	node->state = node->held ? PROGRESS_STALE : PROGRESS_GONE;
	if (status->beats[i] == INT64_MIN)
		return;
	if (status->beats[i] > node->last_seen)
		node->last_seen = status->beats[i];
	age = status->progress.now - status->beats[i];
	node->heartbeat_age_s = age > 0 ? age : 0;
	if (age <= lease)
		node->state = PROGRESS_LIVE;
}

static int fill_nodes_locked(struct status *status)
{
	struct queue *queue = status->queue;
	size_t i;

	status->node_count = queue->node_count;
	status->nodes = calloc(status->node_count + 1, sizeof(*status->nodes));
	status->beats = calloc(status->node_count + 1, sizeof(*status->beats));
	status->hosts = calloc(status->node_count + 1, sizeof(*status->hosts));
	if (!status->nodes || !status->beats || !status->hosts)
		return -ENOMEM;
	for (i = 0; i < status->node_count; i++)
		status->beats[i] = INT64_MIN;
	for (i = 0; i < status->seen_count; i++) {
		uint32_t node = status->seen[i].node;

		if (node && node <= status->node_count && status->seen[i].mtime > status->beats[node - 1])
			status->beats[node - 1] = status->seen[i].mtime;
	}
	count_held_locked(status);
	for (i = 0; i < status->node_count; i++)
		fill_node_locked(status, i);
	status->progress.nodes = status->nodes;
	status->progress.node_count = status->node_count;
	return 0;
}

static void fill_rates_locked(struct status *status)
{
	struct queue *queue = status->queue;
	struct progress *progress = &status->progress;
	int64_t span = progress->now - queue->first_done;
	uint64_t recent = 0;
	size_t i;

	progress->rate_minute = progress->rate_overall = -1;
	if (!queue->first_done)
		return;
	for (i = 0; i < RATE_SLOTS; i++)
		if (queue->rate[i].second > progress->now - MINUTE && queue->rate[i].second <= progress->now)
			recent += queue->rate[i].done;
	span = span < 1 ? 1 : span;
	progress->rate_minute = (double)recent / (double)(span < MINUTE ? span : MINUTE);
	span = queue->last_done - queue->first_done;
	progress->rate_overall = (double)progress->done / (double)(span < 1 ? 1 : span);
}

static int fill_locked(struct status *status)
{
	const struct queue *queue = status->queue;
	struct progress *progress = &status->progress;

	progress->now = queue_time(status->queue);
	progress->todo = queue->index.counts[QUEUE_TODO];
	progress->claimed = queue->index.counts[QUEUE_CLAIMS];
	progress->done = queue->index.counts[QUEUE_DONE];
	progress->failed = queue->index.counts[QUEUE_FAILED];
	progress->unsettled = queue->index.unsettled;
	progress->claims_tried = queue->claims_tried;
	progress->claims_lost = queue->claims_lost;
	progress->refresh_s = (double)queue->refresh_ns / NS_PER_S;
	progress->has_spent = queue->has_spent;
	progress->spent = queue->spent;
	progress->hedges = queue->hedges;
	progress->spent.take_s = progress->spent.commit_s = PROGRESS_UNKNOWN;
	fill_rates_locked(status);
	progress->eta_s = progress_eta(progress);
	return fill_nodes_locked(status);
}

int queue_progress(struct queue *queue, bool json, struct buf *ret_text)
{
	struct status status = { .queue = queue };
	struct store_listing nodes;
	int error;

	store_list_begin(queue->store, LAYOUT_NODES, NULL, &nodes);
	error = queue_refresh(queue, queue->options.ttl_ns);
	if (error) {
		store_list_end(queue->store, &nodes, NULL, NULL);
		return error;
	}
	learn_owners(queue);
	error = store_list_end(queue->store, &nodes, take_heartbeat, &status);
	error = error == -ENOENT ? 0 : error;
	error = error ? error : status.error;
	if (!error) {
		/* Names of nodes are shown from queue->nodes, which another thread may move: so under the lock. */
		pthread_mutex_lock(&queue->lock);
		error = fill_locked(&status);
		if (!error)
			error = json ? progress_json(&status.progress, ret_text) : progress_text(&status.progress, ret_text);
		pthread_mutex_unlock(&queue->lock);
	}
	free(status.nodes);
	free(status.beats);
	free(status.hosts);
	free(status.seen);
	return public_error(error);
}
