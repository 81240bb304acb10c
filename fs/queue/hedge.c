/*
 * hedge: a second attempt at a unit that takes far longer than the others (claimfs-queue(7), "Hedge").
 *
 * Its claim is the link claims/UNIT.G.0, which stands beside the claims 1 … N: it makes none of them stale and counts as none of them. Which
 * attempt's output counts is said by the marker, as ever. The name is there at most once in a generation, whatever became of its holder, so no
 * unit is hedged twice; and since nobody can take it over, a lapse costs its holder nothing.
 */
#include "queue/inner.h"

#include <string.h>

#include "base/clock.h"

#define HEDGE_TIMES 3			/* far longer: than so many medians, */
#define HEDGE_LEAST_S 10		/* than this, */
#define HEDGE_RECORDS 5			/* and known of at least so many units */
#define HEDGE_TRIES 4			/* others hedge too */

bool held_is_hedge(const struct held *held)
{
	return held->claim.number == LAYOUT_HEDGE;
}

/* May this unit be hedged by this mount? Then it is UNIT_BUSY and `ret_attempt` filled in. 0, -EBUSY, -ENOENT. */
static int ready_locked(struct queue *queue, uint32_t unit, struct attempt *ret_attempt)
{
	struct unit *at = units_at(&queue->index.units, unit);
	struct index_clock clock;

	memset(ret_attempt, 0, sizeof(*ret_attempt));
	if (at->state != QUEUE_CLAIMS)
		return -ENOENT;
	queue_clock(queue, &clock);
	index_chance(&queue->index, unit, &clock, &ret_attempt->chance);
	if (!ret_attempt->chance.live || ret_attempt->chance.hedged || (at->flags & (UNIT_BUSY | UNIT_HELD)) ||
	    claim_output_taken_locked(queue, unit))
		return -EBUSY;
	ret_attempt->chance.next = LAYOUT_HEDGE;
	ret_attempt->unit = unit;
	at->flags |= UNIT_BUSY;
	return 0;
}

/* For how long the claim has been there, as far as this mount knows: seconds. */
static int64_t age_of(struct queue *queue, uint32_t claim)
{
	return queue_time(queue) - queue->index.claims[claim].since;
}

/* The one that has taken longest of those that take far longer than the others. UNITS_NONE: none does. */
static uint32_t slowest_locked(struct queue *queue)
{
	double limit = HEDGE_TIMES * walls_median(&queue->walls);
	struct index *index = &queue->index;
	struct index_chance chance;
	struct index_clock clock;
	uint32_t i, unit, slowest = UNITS_NONE;
	int64_t age, longest = limit > HEDGE_LEAST_S ? (int64_t)limit : HEDGE_LEAST_S;

	if (queue->walls.count < HEDGE_RECORDS || index->counts[QUEUE_TODO] > 0)
		return UNITS_NONE;
	queue_clock(queue, &clock);
	for (i = 0; i < index->claim_count; i++) {
		unit = index->claims[i].unit;
		if (unit == UNITS_NONE || units_at(&index->units, unit)->state != QUEUE_CLAIMS ||
		    (units_at(&index->units, unit)->flags & (UNIT_BUSY | UNIT_HELD)))
			continue;
		index_chance(index, unit, &clock, &chance);
		age = chance.highest == i && chance.live && !chance.hedged ? age_of(queue, i) : 0;
		if (age > longest) {
			longest = age;
			slowest = unit;
		}
	}
	return slowest;
}

static int try_one(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names)
{
	struct attempt attempt;
	uint32_t unit;
	int error = -ENOENT;

	pthread_mutex_lock(&queue->lock);
	unit = name ? index_find(&queue->index, name) : slowest_locked(queue);
	if (unit != UNITS_NONE)
		error = ready_locked(queue, unit, &attempt);
	pthread_mutex_unlock(&queue->lock);
	if (error)
		return error;
	claim_units(queue, &attempt, 1, owner);
	if (attempt.error)
		return attempt.error;
	buf_add(ret_names, attempt.held->name, strlen(attempt.held->name) + 1);
	return 1;
}

int queue_hedge_for(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names)
{
	/* Room for the name before it is claimed: what can't be told must not stay so. */
	int error = buf_reserve(ret_names, RECORD_MAX_NAME + 1), tries;

	if (!error)
		error = queue_refresh(queue, name ? queue->options.ttl_ns : take_age(queue));
	if (error)
		return error;
	for (tries = 0; tries < HEDGE_TRIES; tries++) {
		error = try_one(queue, owner, name, ret_names);
		if (error != -EBUSY || name)
			break;
	}
	return public_error(error);
}

/* ---- what is told of it in records ---- */

void hedge_values(const struct held *held, bool won, struct buf *values)
{
	if (!won)
		buf_addf(values, "%swasted=%.3f", values->len > 0 ? " " : "", (double)(clock_now() - held->claimed_ns) / NS_PER_S);
	if (held_is_hedge(held))
		buf_addf(values, "%shedge=%s", values->len > 0 ? " " : "", won ? "won" : "lost");
}

void hedge_log_lost_locked(struct queue *queue, const struct held *held, const char *job)
{
	struct buf values = BUF_INIT;
	struct record record = held_record(queue, held, RECORD_LOST);

	buf_adds(&values, job && record_values_good(job) ? job : "");
	hedge_values(held, false, &values);
	record.values = buf_error(&values) || !record_values_good(values.data) ? "hedge=lost" : values.data;
	logs_add_locked(queue, &record);
	buf_release(&values);
}
