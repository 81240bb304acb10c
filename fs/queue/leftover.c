/*
 * leftover: claims of generations that were over before. Whoever ends a generation sweeps its claims at once; but a LINK or RENAME of an old
 * server process may put one there afterwards, and who should have swept may have died. Nobody waits for these, they only make claims/ longer: any
 * mount that is in use removes those its listings have shown for a lease (queue.md, "Sweep"), now and then, having asked the disk.
 */
#include "queue/inner.h"

#include <stdlib.h>

#include "base/clock.h"

#define LEFTOVERS 512			/* a flight */

struct leftover {
	struct layout_claim claim;
	struct hash128 key;
	bool has_key;
	bool recorded;			/* key = content: done by its own record, which comes after its output */
	size_t marker, failed, redo;
};

static bool is_over(const struct unit *unit, const struct index_claim *claim, const struct index_clock *clock)
{
	if (claim->generation != unit->generation)
		return claim->generation < unit->generation;
	/* A hedge may still be committed though the other attempt failed. */
	if (claim->number == LAYOUT_HEDGE && !(unit->flags & UNIT_DONE) && index_claim_is_live(claim, clock))
		return false;
	return unit->flags & (UNIT_DONE | UNIT_FAILED);
}

/* Some that were over a lease ago and are listed still. */
static size_t collect(struct queue *queue, struct leftover *list)
{
	const struct index *index = &queue->index;
	bool content = queue->conf.key == QCONF_KEY_CONTENT;
	struct index_clock clock;
	int64_t before;
	size_t count = 0;
	uint32_t i;

	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	before = queue_time(queue) - queue->conf.lease_ns / NS_PER_S;
	for (i = 0; i < index->claim_count && count < LEFTOVERS; i++) {
		const struct index_claim *claim = &index->claims[i];
		const struct unit *at = claim->unit != UNITS_NONE ? units_at(&index->units, claim->unit) : NULL;

		if (!at || !is_over(at, claim, &clock) || at->changed > before)
			continue;
		list[count] = (struct leftover) {
			.claim = { at->hash, claim->generation, claim->number }, .key = at->hash, .has_key = !content,
			.recorded = content && claim->generation == at->generation && (at->flags & UNIT_DONE),
		};
		count++;
	}
	pthread_mutex_unlock(&queue->lock);
	return count;
}

static void ask(struct queue *queue, struct flight *flight, struct leftover *list, size_t count)
{
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count; i++) {
		const struct layout_claim *claim = &list[i].claim;

		layout_marker(path, &list[i].key, claim->generation);
		if (list[i].has_key)
			list[i].marker = flight_lstat(flight, path);
		layout_failed(path, &claim->unit, claim->generation);
		list[i].failed = flight_lstat(flight, path);
		layout_redo(path, &claim->unit, claim->generation + 1);
		list[i].redo = flight_lstat(flight, path);
	}
	flight_run(flight, queue->store);
}

void sweep_leftovers(struct queue *queue)
{
	struct leftover *list = calloc(LEFTOVERS, sizeof(*list));
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t count, i;

	if (!list)
		return;
	count = collect(queue, list);
	if (count)
		ask(queue, &flight, list, count);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		if (!list[i].recorded && !(list[i].has_key && !flight_error(&flight, list[i].marker)) &&
		    flight_error(&flight, list[i].failed) && flight_error(&flight, list[i].redo))
			continue;
		layout_claim(path, &list[i].claim);
		sweep_path_locked(queue, path, false);
	}
	pthread_mutex_unlock(&queue->lock);
	flight_release(&flight);
	free(list);
}
