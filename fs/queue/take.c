/*
 * take: which units, and waiting for them.
 *
 * All mounts go through the units in one common order, that of their hashes, each from a random place on; so two of them meet only when one
 * comes to where another began or is. Who loses a race, or finds others at work, jumps into the middle of a stretch that is still in todo.
 * What comes back to todo, or is new, gathers in the index's list and becomes the next pass when this one is through.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define TAKE_MAX 1024			/* units a flight */
#define PROBES 16			/* places looked at for each width of room around them */
#define STRETCH 8			/* more in a row that are not in todo: others are at work here */
#define FRUITLESS 100			/* flights in a row that claim nothing: then wait a little */
#define LISTING_REST 20			/* times as long as listing claims/ took, at least, before a take wants it listed anew */

static uint64_t random_below(struct queue *queue, uint64_t below)
{
	queue->random = queue->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return below ? (queue->random >> 33) % below : 0;
}

/* ---- a pass ---- */

static uint32_t hash_prefix(const struct queue *queue, uint32_t unit)
{
	const uint8_t *bytes = units_at(&queue->index.units, unit)->hash.bytes;

	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* By the first four bytes of UNIT: a radix sort, since there may be a million of them. */
static void sort_units(const struct queue *queue, uint32_t *units, uint32_t *spare, uint32_t count)
{
	uint32_t *from = units, *to = spare, *swap, i, begin[257];
	unsigned int shift;

	for (shift = 0; shift < 32; shift += 8) {
		memset(begin, 0, sizeof(begin));
		for (i = 0; i < count; i++)
			begin[((hash_prefix(queue, from[i]) >> shift) & 0xff) + 1]++;
		for (i = 0; i < 256; i++)
			begin[i + 1] += begin[i];
		for (i = 0; i < count; i++)
			to[begin[(hash_prefix(queue, from[i]) >> shift) & 0xff]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
}

/* Everything in todo when memory was short for the list of what came back, or what could not be taken at its turn. */
static int gather_all(struct queue *queue)
{
	struct index *index = &queue->index;
	uint32_t i, count = 0, *order = malloc((size_t)(index->counts[QUEUE_TODO] + 1) * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (i = 0; i < index->units.count && count < index->counts[QUEUE_TODO]; i++)
		if (units_at(&index->units, i)->state == QUEUE_TODO)
			order[count++] = i;
	free(queue->order);
	queue->order = order;
	queue->order_count = count;
	return 0;
}

static int begin_pass(struct queue *queue)
{
	struct index *index = &queue->index;
	uint32_t i, *spare;

	if (index->back_count) {
		for (i = 0; i < index->back_count; i++)
			units_at(&index->units, index->back[i])->flags &= (uint8_t)~UNIT_BACK;
		free(queue->order);
		queue->order = index->back;
		queue->order_count = index->back_count;
		index->back = NULL;
		index->back_count = index->back_cap = 0;
	} else if (gather_all(queue) < 0) {
		return -ENOMEM;
	}
	spare = malloc((size_t)(queue->order_count + 1) * sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	sort_units(queue, queue->order, spare, queue->order_count);
	free(spare);
	queue->order_left = queue->order_count;
	queue->order_sparse = false;
	queue->order_at = (uint32_t)random_below(queue, queue->order_count);
	return 0;
}

/* Positions that were passed hold UNITS_NONE; when most do, they are left out. */
static void compact(struct queue *queue)
{
	uint32_t i, kept = 0, at = queue->order_at;

	if (queue->order_left > queue->order_count / 2 || queue->order_count < 1024)
		return;
	for (i = 0; i < queue->order_count; i++) {
		if (i == at)
			queue->order_at = kept;
		if (queue->order[i] != UNITS_NONE)
			queue->order[kept++] = queue->order[i];
	}
	queue->order_count = queue->order_left = kept;
	if (queue->order_at >= kept)
		queue->order_at = 0;
}

static bool is_todo(const struct queue *queue, uint32_t at)
{
	return queue->order[at] != UNITS_NONE && units_at(&queue->index.units, queue->order[at])->state == QUEUE_TODO;
}

/* Is everything in todo, as far as is known, `room` places before and after this one? */
static bool has_room(const struct queue *queue, uint32_t at, uint32_t room)
{
	uint32_t i, count = queue->order_count;

	if (!is_todo(queue, at))
		return false;
	for (i = 1; i <= room && i < count; i++)
		if (!is_todo(queue, (at + i) % count) || !is_todo(queue, (at + count - i) % count))
			return false;
	return true;
}

/* To where nobody seems to be near. What lies behind a stretch that others have taken is just where they are now, so a place right after one
 * would be the worst. */
static void jump(struct queue *queue)
{
	uint32_t at, room, probe;

	for (room = 512; room > 0 && queue->order_count; room /= 4)
		for (probe = 0; probe < PROBES; probe++) {
			at = (uint32_t)random_below(queue, queue->order_count);
			if (!has_room(queue, at, room))
				continue;
			queue->order_at = at;
			return;
		}
	/* Few are left: one after another from here on. */
	queue->order_sparse = true;
	queue->order_at = (uint32_t)random_below(queue, queue->order_count);
}

/* The next unit of the pass, taken out of it. UNITS_NONE: the pass is through. */
static uint32_t next_unit(struct queue *queue)
{
	uint32_t unit = UNITS_NONE, passed = 0;

	compact(queue);
	while (queue->order_left && unit == UNITS_NONE) {
		passed = is_todo(queue, queue->order_at) ? 0 : passed + 1;
		if (passed > STRETCH && !queue->order_sparse) {
			jump(queue);
			passed = 0;
			continue;
		}
		unit = queue->order[queue->order_at];
		queue->order[queue->order_at] = UNITS_NONE;
		queue->order_left -= unit != UNITS_NONE;
		if (++queue->order_at == queue->order_count)
			queue->order_at = 0;
	}
	return unit;
}

/* Candidates for a flight: at most `count`. What can't be claimed at this moment is left for another pass. */
static size_t pick_locked(struct queue *queue, struct attempt *list, size_t count)
{
	size_t picked = 0, passes = 0;
	uint32_t unit;

	while (picked < count && queue->index.counts[QUEUE_TODO] > 0) {
		if (!queue->order_left) {
			if (passes++ >= 2 || begin_pass(queue) < 0 || !queue->order_left)
				break;
		}
		unit = next_unit(queue);
		if (unit != UNITS_NONE && claim_ready_locked(queue, unit, &list[picked]))
			list[picked++].any = true;
	}
	return picked;
}

/* ---- taking ---- */

static bool worth_another_try(int error)
{
	return error == -EBUSY || error == -ENOENT;
}

static void tell_taken_locked(struct queue *queue, const struct held *held)
{
	struct buf input = BUF_INIT;

	if (queue->options.taken && held->owner && index_input(&queue->index, held->name, &input) == 0)
		queue->options.taken(queue->options.inputs_arg, input.data, &held->input, held->asked_ns);
	buf_release(&input);
}

/* One flight; names of what was claimed are appended. How many, or -errno when nothing was and the disk is why. `fruitless`: the one before
 * claimed nothing. */
static int take_flight(struct queue *queue, struct ctl *owner, size_t count, bool fruitless, struct buf *ret_names, bool *ret_tried)
{
	struct attempt *list = calloc(count, sizeof(*list));
	size_t picked, i;
	int taken = 0, error = 0;
	size_t lost = 0;

	*ret_tried = false;
	if (!list)
		return -ENOMEM;
	pthread_mutex_lock(&queue->lock);
	picked = pick_locked(queue, list, count);
	pthread_mutex_unlock(&queue->lock);
	if (picked)
		claim_units(queue, list, picked, owner);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < picked; i++) {
		lost += worth_another_try(list[i].error);
		if (list[i].error && !worth_another_try(list[i].error))
			error = list[i].error;
		if (list[i].error)
			continue;
		buf_add(ret_names, list[i].held->name, strlen(list[i].held->name) + 1);
		tell_taken_locked(queue, list[i].held);
		taken++;
	}
	if (lost && !queue->order_sparse)
		jump(queue);
	pthread_mutex_unlock(&queue->lock);
	*ret_tried = picked > 0;
	/* So many lost at once: others are at the same units, and what this mount knows of them is too old. */
	if (lost > picked / 4 && (picked > 1 || fruitless))
		queue_refresh(queue, queue->options.ttl_ns / 20);
	free(list);
	return taken || !error ? taken : error;
}

/* Claims `count` units, or as many as can be had; those that lost a race are replaced in the next flight. *ret_left: there are some left that
 * would not be claimed now, an input that is being written, say. */
static int take_now(struct queue *queue, struct ctl *owner, int count, struct buf *ret_names, bool *ret_left)
{
	int taken = 0, got = 0, fruitless = 0;
	bool tried = true;

	while (taken < count && tried && fruitless < FRUITLESS) {
		size_t want = (size_t)(count - taken);

		got = take_flight(queue, owner, want < TAKE_MAX ? want : TAKE_MAX, fruitless > 0, ret_names, &tried);
		if (got < 0)
			break;
		fruitless = got ? 0 : fruitless + 1;
		taken += got;
	}
	*ret_left = tried;
	return taken || got >= 0 ? taken : got;
}

/* Until when to wait before looking again; 0: there is nothing to wait for. */
static int64_t wait_until_locked(struct queue *queue, bool wait, bool left)
{
	const struct index *index = &queue->index;
	bool some = left || index->unsettled > 0 || (wait && (index->counts[QUEUE_TODO] || index->counts[QUEUE_CLAIMS]));

	return some ? clock_now() + (queue->options.ttl_ns < NS_PER_S / 5 ? queue->options.ttl_ns : NS_PER_S / 5) : 0;
}

/* Until a unit's state changed, somebody woke all, or the time has come. */
static void wait_for_change_locked(struct queue *queue, int64_t until, const bool *cancel)
{
	uint64_t version = queue->index.version, wakes = queue->wakes;

	while (!queue->stopping && !(cancel && __atomic_load_n(cancel, __ATOMIC_ACQUIRE)) && queue->index.version == version &&
	       queue->wakes == wakes)
		if (clock_cond_wait(&queue->changed, &queue->lock, until) == -ETIMEDOUT)
			break;
}

/*
 * How old a view may be to take by. What decides is asked of the server, the view only says what is worth a try; and claims/ is as long as the
 * fleet is large, so if each of many nodes listed it every second, the host would do little else. What is shown stays as new as ever.
 */
int64_t take_age(struct queue *queue)
{
	int64_t age, most;

	pthread_mutex_lock(&queue->lock);
	age = queue->claims_ns * LISTING_REST;
	most = queue->conf.lease_ns / 4;
	pthread_mutex_unlock(&queue->lock);
	age = age < most ? age : most;
	return age > queue->options.ttl_ns ? age : queue->options.ttl_ns;
}

int queue_take(struct queue *queue, struct ctl *owner, int count, bool wait, const bool *cancel, struct buf *ret_names)
{
	int64_t until, began = clock_now(), fresh, age = take_age(queue);
	bool ending = false, left = false;
	int taken = 0, error;

	for (;;) {
		error = queue_refresh(queue, age);
		if (error)
			return error;
		taken = take_now(queue, owner, count, ret_names, &left);
		pthread_mutex_lock(&queue->lock);
		until = wait_until_locked(queue, wait, left);
		fresh = queue->viewed_ns == INT64_MIN ? 0 : queue->viewed_ns + age;
		if (!taken && until)
			wait_for_change_locked(queue, until < fresh ? fresh : until, cancel);
		ending = queue->stopping || (cancel && __atomic_load_n(cancel, __ATOMIC_ACQUIRE));
		if (taken)
			queue->take_s += (double)(clock_now() - began) / NS_PER_S;
		pthread_mutex_unlock(&queue->lock);
		if (!taken && !until && age > queue->options.ttl_ns) {
			age = queue->options.ttl_ns;	/* that none is left is said by a view as new as any that is shown */
			continue;
		}
		if (taken || !until)
			return public_error(taken);
		if (ending)
			return -EINTR;
		age = take_age(queue);
	}
}

void queue_wake(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->wakes++;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

/* ---- this very unit ---- */

static int find_free_locked(struct queue *queue, const char *name, struct attempt *ret_attempt)
{
	uint32_t unit = index_find(&queue->index, name);

	while (unit != UNITS_NONE && (units_at(&queue->index.units, unit)->flags & UNIT_BUSY)) {
		pthread_cond_wait(&queue->changed, &queue->lock);
		unit = index_find(&queue->index, name);
	}
	if (unit == UNITS_NONE)
		return -ENOENT;
	if (claim_ready_locked(queue, unit, ret_attempt))
		return 0;
	return units_at(&queue->index.units, unit)->state == QUEUE_TODO ||
	       units_at(&queue->index.units, unit)->state == QUEUE_CLAIMS ? -EBUSY : -ENOENT;
}

static int claim_this(struct queue *queue, struct ctl *owner, const char *name)
{
	struct attempt attempt;
	int error;

	error = queue_refresh(queue, queue->options.ttl_ns);
	if (error)
		return error;
	pthread_mutex_lock(&queue->lock);
	error = find_free_locked(queue, name, &attempt);
	pthread_mutex_unlock(&queue->lock);
	if (error == -ENOENT) {
		/* It may have come since the view was made. */
		error = queue_refresh(queue, 0);
		if (error)
			return error;
		pthread_mutex_lock(&queue->lock);
		error = find_free_locked(queue, name, &attempt);
		pthread_mutex_unlock(&queue->lock);
	}
	if (error)
		return error;
	claim_units(queue, &attempt, 1, owner);
	return public_error(attempt.error);
}

int queue_claim(struct queue *queue, const char *name)
{
	return claim_this(queue, NULL, name);
}

int queue_claim_for(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names)
{
	/* Room for the name before it is claimed: what can't be told must not stay so. */
	int error = buf_reserve(ret_names, strlen(name) + 1);

	if (!error)
		error = claim_this(queue, owner, name);
	if (error)
		return error;
	buf_add(ret_names, name, strlen(name) + 1);
	return 1;
}
