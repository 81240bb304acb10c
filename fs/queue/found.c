/*
 * found: what a claim finds on the disk and no log tells of: markers of others, and claims of nodes that fell silent. It is logged for them, for all.
 */
#include "queue/inner.h"

#include <stdio.h>
#include <stdlib.h>

#include "queue/owner.h"

/* Markers that no record had told of: whose they are goes into the log, for all. Memory short or no answer: the next claim finds it again. */
void found_done_log(struct queue *queue, struct attempt *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	struct buf *texts = calloc(count, sizeof(*texts));
	char path[LAYOUT_PATH], by[LAYOUT_MAX_NODE + 4];
	struct owner owner;
	size_t i, at;

	for (i = 0; i < count && texts; i++) {
		if (!list[i].found_done)
			continue;
		layout_marker(path, &list[i].held->claim.unit, list[i].held->claim.generation);
		flight_read(&flight, path, 0, OWNER_MAX_BYTES, &texts[i]);
	}
	flight_run(&flight, queue->store);
	pthread_mutex_lock(&queue->lock);
	for (i = at = 0; i < count && texts; i++) {
		const struct held *held = list[i].held;

		if (!list[i].found_done)
			continue;
		if (!flight_error(&flight, at++) && owner_parse(buf_text(&texts[i]), texts[i].len, &owner) == 0) {
			struct record record = { .what = RECORD_DONE, .unit = held->claim.unit, .key = held->key, .name = held->name,
				.generation = held->claim.generation, .time = queue_time(queue), .values = by };

			snprintf(by, sizeof(by), "by=%s", owner.node);
			logs_add_locked(queue, &record);
		}
		buf_release(&texts[i]);
	}
	pthread_mutex_unlock(&queue->lock);
	free(texts);
	flight_release(&flight);
}

/*
 * Claims of nodes that fell silent are taken over: they can't log that themselves any more, so it is logged for them, with the time of their last
 * heartbeat. Whose it was stands in the old claim, which nobody removes while the generation runs. No answer: a line less in the story.
 */
void found_stale_log(struct queue *queue, struct attempt *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	struct buf *texts = calloc(count, sizeof(*texts));
	char path[LAYOUT_PATH], values[LAYOUT_MAX_NODE + 40];
	struct owner owner;
	size_t i, at = 0;

	for (i = 0; i < count && texts; i++) {
		struct layout_claim claim = list[i].held ? list[i].held->claim : (struct layout_claim) { 0 };

		if (list[i].settled || !list[i].chance.stale)
			continue;
		claim.number = list[i].chance.stale;
		layout_claim(path, &claim);
		flight_read(&flight, path, 0, OWNER_MAX_BYTES, &texts[i]);
	}
	flight_run(&flight, queue->store);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count && texts; i++) {
		const struct held *held = list[i].held;
		struct record record = { .what = RECORD_LOST, .attempt = list[i].chance.attempts, .values = values };

		if (list[i].settled || !list[i].chance.stale)
			continue;
		if (!flight_error(&flight, at++) && owner_parse(buf_text(&texts[i]), texts[i].len, &owner) == 0 && owner.kind == OWNER_LIVE) {
			snprintf(values, sizeof(values), "of=%s beat=%lld", owner.node, (long long)list[i].chance.stale_mtime);
			record.unit = held->claim.unit;
			record.key = held->has_key ? held->key : held->claim.unit;
			record.generation = held->claim.generation;
			record.time = queue_time(queue);
			record.name = held->name;
			logs_add_locked(queue, &record);
		}
		buf_release(&texts[i]);
	}
	pthread_mutex_unlock(&queue->lock);
	free(texts);
	flight_release(&flight);
}
