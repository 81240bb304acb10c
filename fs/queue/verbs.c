/*
 * verbs: what is done to units that are claimed, failed or done.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- finish ---- */

/* The held claim, busy from now on. NULL: not this mount's. One that this very call ends already counts as not held any more. */
static struct held *seize_locked(struct queue *queue, const char *name, const struct ending *list, size_t count)
{
	struct held *held;
	size_t i;

	for (;;) {
		held = held_find_locked(queue, name);
		if (!held)
			return NULL;
		for (i = 0; i < count; i++)
			if (list[i].held == held)
				return NULL;
		if (!held->busy)
			break;
		pthread_cond_wait(&queue->changed, &queue->lock);
	}
	held->busy = true;
	return held;
}

static void give_back(struct queue *queue, struct ending *list, size_t count)
{
	size_t i;

	/* Of a generation that is over nothing is given back: the name may have been swept. */
	check_claims(queue, list, count);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		struct queue_finish *finish = list[i].finish;
		struct held *held = list[i].held;
		bool lost = finish->verb == QUEUE_VERB_LOSE;

		/* Where the disk could not be asked, it is given up all the same, as lost. */
		if (!held)
			continue;
		if (held_is_hedge(held)) {
			hedge_log_lost_locked(queue, held, NULL);
			lost = false;
		} else if (lost || finish->error) {
			struct record record = held_record(queue, held, RECORD_LOST);

			logs_add_locked(queue, &record);
			lost = true;
		}
		release_held_locked(queue, held, lost ? DEBT_LOST : DEBT_FREE);
		list[i].held = NULL;
		finish->error = 0;
	}
	pthread_mutex_unlock(&queue->lock);
	debts_pay(queue);
}

typedef void end_claims(struct queue *queue, struct ending *list, size_t count);

static end_claims *const ends[] = {
	[QUEUE_VERB_DONE] = commit_claims,
	[QUEUE_VERB_FAIL] = fail_claims,
	[QUEUE_VERB_RELEASE] = give_back,
	[QUEUE_VERB_LOSE] = give_back,
	[QUEUE_VERB_CHECK] = check_claims,
};

static void finish_verb(struct queue *queue, struct queue_finish *list, size_t count, enum queue_verb verb, struct ending *endings)
{
	size_t i, wanted = 0;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		if (list[i].verb != verb)
			continue;
		memset(&endings[wanted], 0, sizeof(endings[wanted]));
		endings[wanted].finish = &list[i];
		endings[wanted].held = seize_locked(queue, list[i].name, endings, wanted);
		list[i].error = endings[wanted].held ? 0 : -EACCES;
		list[i].node[0] = '\0';
		wanted += endings[wanted].held != NULL;
	}
	pthread_mutex_unlock(&queue->lock);
	if (!wanted)
		return;
	ends[verb](queue, endings, wanted);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < wanted; i++)
		if (endings[i].held)
			endings[i].held->busy = false;
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
}

void queue_finish(struct queue *queue, struct queue_finish *list, size_t count)
{
	struct ending *endings = calloc(count, sizeof(*endings)), one;
	size_t i, verb;

	for (verb = 0; endings && verb < sizeof(ends) / sizeof(ends[0]); verb++)
		finish_verb(queue, list, count, (enum queue_verb)verb, endings);
	for (i = 0; !endings && i < count; i++)		/* no memory to do it together */
		finish_verb(queue, &list[i], 1, list[i].verb, &one);
	free(endings);
}

/* ---- a new generation ---- */

struct renewal {
	uint32_t unit;
	struct hash128 hash;
	struct hash128 key;		/* key = content: that of what was done, when `has_key` */
	bool has_key;
	bool was_done;			/* the generation that began was done under it before */
	uint64_t record;
	uint32_t generation;		/* that begins */
	struct layout_claim highest;	/* of the generation that ends */
};

static int find_over_locked(struct queue *queue, const char *name, enum queue_state state, struct renewal *ret)
{
	uint32_t unit = index_find(&queue->index, name);
	const struct unit *at;
	struct index_chance chance;
	struct index_clock clock;

	if (unit == UNITS_NONE)
		return -ENOENT;
	at = units_at(&queue->index.units, unit);
	if (at->state != state)
		return at->state == QUEUE_CLAIMS ? -EBUSY : -ENOENT;
	queue_clock(queue, &clock);
	index_chance(&queue->index, unit, &clock, &chance);
	if (chance.live || (at->flags & (UNIT_HELD | UNIT_BUSY)))
		return -EBUSY;
	if (at->generation >= LAYOUT_MAX_NUMBER)
		return -ERANGE;
	*ret = (struct renewal) {
		.unit = unit, .hash = at->hash, .record = at->record, .generation = at->generation + 1,
		.highest = { at->hash, at->generation, chance.next - 1 },
	};
	return 0;
}

/* What was done is done under a key that other units share: its record tells which. */
static int find_key(struct queue *queue, struct renewal *renewal)
{
	char node[LAYOUT_MAX_NODE + 1];
	struct buf text = BUF_INIT;
	struct record record;
	int error;

	if (queue->conf.key != QCONF_KEY_CONTENT || !renewal->record)
		return 0;
	error = logs_read(queue, renewal->record, &text, &record, node);
	renewal->has_key = !error && hash128_equal(&record.unit, &renewal->hash);
	if (renewal->has_key)
		renewal->key = record.key;
	buf_release(&text);
	/* Merged or cut meanwhile: it is as if there were none. */
	return error == -ENOENT || error == -ENODATA || error == -EINVAL ? 0 : error;
}

/* LINK redo/UNIT.G. If it is there, however it came, the generation has begun. */
static int begin_generation(struct queue *queue, struct renewal *renewal)
{
	struct flight flight = FLIGHT_INIT;
	struct lease_stand stand;
	char path[LAYOUT_PATH], marker[LAYOUT_PATH];
	uint32_t one;
	int error = 0, tries;

	layout_redo(path, &renewal->hash, renewal->generation);
	for (tries = 0; tries < 3; tries++) {
		one = 1;
		error = lease_begin(queue->lease, &one, &stand);
		if (error)
			break;
		flight_reset(&flight);
		flight_link(&flight, stand.path, path);
		flight_lstat(&flight, path);
		flight_mkdir(&flight, LAYOUT_REDO);
		layout_marker(marker, &renewal->key, renewal->generation);
		if (renewal->has_key)
			flight_lstat(&flight, marker);
		flight_run(&flight, queue->store);
		renewal->was_done = renewal->has_key && !flight_error(&flight, 3);
		lease_end(queue->lease, &stand, 1);
		error = flight_error(&flight, 0);
		if (!flight_error(&flight, 1))
			error = 0;
		if (!error)
			break;
		if (error == STORE_FAILURE || error == -EMLINK)
			lease_full(queue->lease, &stand);
	}
	flight_release(&flight);
	return public_error(error);
}

/* queue.md, "Content keys": a generation that was done before it began would count at once, so it goes on to one that was not. */
static int begin_undone_generation(struct queue *queue, struct renewal *renewal)
{
	int error;

	while ((error = begin_generation(queue, renewal)) == 0 && renewal->was_done) {
		if (renewal->generation >= LAYOUT_MAX_NUMBER)
			return -ERANGE;
		renewal->generation++;
	}
	return error;
}

static int renew(struct queue *queue, const char *name, enum queue_state state)
{
	struct renewal renewal;
	struct index_clock clock;
	struct record record;
	int error;

	/* Claims of this mount that wait to be swept are no reason to say EBUSY. */
	sweep_run(queue);
	error = queue_refresh(queue, 0);
	if (error)
		return error;
	pthread_mutex_lock(&queue->lock);
	error = find_over_locked(queue, name, state, &renewal);
	pthread_mutex_unlock(&queue->lock);
	if (!error)
		error = find_key(queue, &renewal);
	if (!error)
		error = begin_undone_generation(queue, &renewal);
	if (error)
		return error;
	record = (struct record) {
		.what = RECORD_REDO, .unit = renewal.hash, .key = renewal.hash, .generation = renewal.generation, .name = name,
	};
	pthread_mutex_lock(&queue->lock);
	record.time = queue_time(queue);
	queue_clock(queue, &clock);
	logs_add_locked(queue, &record);
	index_generation(&queue->index, renewal.unit, renewal.generation);
	index_update(&queue->index, renewal.unit, &clock, record.time);
	sweep_generation_locked(queue, &renewal.highest);
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

int queue_retry(struct queue *queue, const char *name)
{
	return renew(queue, name, QUEUE_FAILED);
}

int queue_redo(struct queue *queue, const char *name)
{
	return renew(queue, name, QUEUE_DONE);
}

/* ---- done elsewhere ---- */

static enum queue_state state_of(struct queue *queue, const char *name)
{
	enum queue_state state = QUEUE_STATES;
	uint32_t unit;

	pthread_mutex_lock(&queue->lock);
	unit = index_find(&queue->index, name);
	if (unit != UNITS_NONE)
		state = (enum queue_state)units_at(&queue->index.units, unit)->state;
	pthread_mutex_unlock(&queue->lock);
	return state;
}

/* Claimed and committed with nothing staged; a failed unit is retried first. */
int queue_mark_done(struct queue *queue, const char *name)
{
	struct queue_finish finish = { .verb = QUEUE_VERB_DONE, .name = name };
	int error;

	error = queue_refresh(queue, queue->options.ttl_ns);
	if (!error && state_of(queue, name) == QUEUE_FAILED)
		error = queue_retry(queue, name);
	if (!error)
		error = queue_claim(queue, name);
	if (error)
		return error == -ENOENT && state_of(queue, name) == QUEUE_DONE ? -EEXIST : error;
	queue_finish(queue, &finish, 1);
	return finish.error == -ESTALE || finish.error == -EACCES ? -EBUSY : finish.error;
}
