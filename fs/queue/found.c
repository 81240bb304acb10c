/*
 * found: what a claim finds on the disk and no log tells of: markers of others, and claims of nodes that fell silent. It is logged for them, for all.
 */
#include "queue/inner.h"

#include <stdio.h>
#include <stdlib.h>

#include "queue/owner.h"

#define VALUES (LAYOUT_MAX_NODE + 40)

/* A kind of find: which attempts made one, where it stands whose it was, and what is said of it. */
struct find {
	bool (*is_one)(const struct attempt *attempt);
	void (*path)(const struct attempt *attempt, char path[LAYOUT_PATH]);
	/* False: that says nothing. */
	bool (*say)(const struct attempt *attempt, const struct owner *owner, struct record *record, char values[VALUES]);
	enum record_what what;
};

/* Memory short or no answer: a line less in the story. */
static void log_finds(struct queue *queue, struct attempt *list, size_t count, const struct find *find)
{
	struct flight flight = FLIGHT_INIT;
	struct buf *texts = calloc(count, sizeof(*texts));
	char path[LAYOUT_PATH], values[VALUES];
	struct record record;
	struct owner owner;
	size_t i, at = 0;

	for (i = 0; i < count && texts; i++) {
		if (!find->is_one(&list[i]))
			continue;
		find->path(&list[i], path);
		flight_read(&flight, path, 0, OWNER_MAX_BYTES, &texts[i]);
	}
	flight_run(&flight, queue->store);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count && texts; i++) {
		if (!find->is_one(&list[i]))
			continue;
		if (!flight_error(&flight, at++) && owner_parse(buf_text(&texts[i]), texts[i].len, &owner) == 0) {
			record = held_record(queue, list[i].held, find->what);
			record.values = values;
			if (find->say(&list[i], &owner, &record, values))
				logs_add_locked(queue, &record);
		}
		buf_release(&texts[i]);
	}
	pthread_mutex_unlock(&queue->lock);
	free(texts);
	flight_release(&flight);
}

/* ---- markers that no record had told of: whose they are ---- */

static bool is_done(const struct attempt *attempt)
{
	return attempt->found_done;
}

static void done_path(const struct attempt *attempt, char path[LAYOUT_PATH])
{
	layout_marker(path, &attempt->held->claim.unit, attempt->held->claim.generation);
}

static bool say_done(const struct attempt *attempt, const struct owner *owner, struct record *record, char values[VALUES])
{
	(void)attempt;
	record->attempt = 0;
	snprintf(values, VALUES, "by=%s", owner->node);
	return true;
}

void found_done_log(struct queue *queue, struct attempt *list, size_t count)
{
	static const struct find find = { is_done, done_path, say_done, RECORD_DONE };

	log_finds(queue, list, count, &find);
}

/*
 * ---- claims of nodes that fell silent, taken over ----
 *
 * They can't log that themselves any more, so it is logged for them, with the time of their last heartbeat. Whose it was stands in the old claim,
 * which nobody removes while the generation runs.
 */

static bool is_stale(const struct attempt *attempt)
{
	return !attempt->settled && attempt->chance.stale;
}

static void stale_path(const struct attempt *attempt, char path[LAYOUT_PATH])
{
	struct layout_claim claim = attempt->held->claim;

	claim.number = attempt->chance.stale;
	layout_claim(path, &claim);
}

static bool say_stale(const struct attempt *attempt, const struct owner *owner, struct record *record, char values[VALUES])
{
	record->attempt = attempt->chance.attempts;
	snprintf(values, VALUES, "of=%s beat=%lld", owner->node, (long long)attempt->chance.stale_mtime);
	return owner->kind == OWNER_LIVE;
}

void found_stale_log(struct queue *queue, struct attempt *list, size_t count)
{
	static const struct find find = { is_stale, stale_path, say_stale, RECORD_LOST };

	log_finds(queue, list, count, &find);
}
