/*
 * limits: see limits.h. The largest part is what limits; a few rules tell parts with different remedies apart.
 */
#include "queue/limits.h"

#include <stddef.h>

#define LATENCY_BYTES 1e6	/* of input a unit: below this, waiting for reads is waiting for round trips */
#define STARTING_SHARE 0.05	/* of the time: what bigger batches aim at */
#define SPAWN_SHARE 0.1		/* of starting: less, and slots wait for the worker, but not while it starts processes */
#define TAIL_SHARE 0.2		/* of the time: no more machines or slots would shorten it */
#define SHORT_JOB_S 0.02	/* a process that lives so long mostly begins and ends, whatever it does */

static const struct {
	const char *name, *advice;
} table[LIMITS] = {
	[LIMIT_UNKNOWN] = { "unknown", "nothing was measured yet" },
	[LIMIT_COMPUTING] = { "computing", "limited by the processors: add machines; more slots help only where cores are idle" },
	[LIMIT_READING] = { "reading", "limited by reading inputs: use a nearer disk or a faster link; fewer slots lose nothing" },
	[LIMIT_LATENCY] = { "latency", "limited by round trips for small files: raise --ahead, use more slots or a nearer disk" },
	[LIMIT_WRITING] = { "writing", "limited by writing outputs: write less (compress), use a nearer disk; fewer slots lose nothing" },
	[LIMIT_STARTING] = { "starting", "limited by starting processes: use --batch auto or --resident" },
	[LIMIT_CROWDED] = { "crowded", "limited by the processors, which more run on than they are: fewer slots lose nothing; add machines" },
	[LIMIT_CLAIMING] = { "claiming", "limited by claiming units: raise --ahead, make units bigger, or use a nearer disk" },
	[LIMIT_IDLE] = { "idle", "limited by nothing to do (or by --load, --mem-free, --retries): fewer slots or machines are enough" },
	[LIMIT_TAIL] = { "tail", "limited by the last units, beside which slots stood empty: start the largest first (--order -size), or use --hedge" },
	[LIMIT_OTHER] = { "other", "jobs wait for neither processor nor disk: use more slots" },
};

const enum limit limits_parts[LIMITS_PARTS] = {
	LIMIT_COMPUTING, LIMIT_READING, LIMIT_WRITING, LIMIT_STARTING, LIMIT_CROWDED, LIMIT_CLAIMING, LIMIT_IDLE, LIMIT_TAIL,
	LIMIT_OTHER,
};

static double at_least_zero(double value)
{
	return value > 0 ? value : 0;
}

void limits_split(const struct progress_spent *spent, struct limits_split *ret_split)
{
	double computed = spent->user_s + spent->sys_s;
	double rest = at_least_zero(spent->wall_s - computed - spent->read_wait_s - spent->write_wait_s - spent->spawn_s);
	double crowded = at_least_zero(spent->ready_s - computed);
	size_t i;

	if (crowded > rest)
		crowded = rest;

	*ret_split = (struct limits_split){ .seconds = {
		[LIMIT_COMPUTING] = computed,
		[LIMIT_READING] = spent->read_wait_s + spent->look_s,
		[LIMIT_WRITING] = spent->write_wait_s,
		[LIMIT_STARTING] = spent->spawn_s + spent->turn_s,
		[LIMIT_CLAIMING] = spent->claim_s,
		[LIMIT_IDLE] = spent->idle_s,
		[LIMIT_TAIL] = spent->tail_s,
		[LIMIT_CROWDED] = crowded,
		[LIMIT_OTHER] = rest - crowded,
	} };
	for (i = 0; i < LIMITS_PARTS; i++)
		ret_split->total += ret_split->seconds[limits_parts[i]];
}

/* Processes so short that beginning and ending is most of what they do. What they compute is the loader's work, not theirs. */
static bool is_starting(const struct progress_spent *spent, const struct limits_split *split)
{
	if (spent->units <= 0 || spent->wall_s / spent->units > SHORT_JOB_S || split->seconds[LIMIT_STARTING] < STARTING_SHARE * split->total)
		return false;
	if (spent->spawn_s < SPAWN_SHARE * split->seconds[LIMIT_STARTING])
		return false;
	return split->seconds[LIMIT_STARTING] + split->seconds[LIMIT_COMPUTING] + split->seconds[LIMIT_CROWDED] + split->seconds[LIMIT_OTHER] >
	       split->total / 2;
}

enum limit limits_of(const struct progress_spent *spent)
{
	struct limits_split split;
	enum limit limit = LIMIT_COMPUTING;
	size_t i;

	limits_split(spent, &split);
	if (!(split.total > 0))
		return LIMIT_UNKNOWN;
	for (i = 0; i < LIMITS_PARTS; i++)
		if (split.seconds[limits_parts[i]] > split.seconds[limit])
			limit = limits_parts[i];
	if (split.seconds[LIMIT_TAIL] >= TAIL_SHARE * split.total)
		return LIMIT_TAIL;
	if (limit != LIMIT_IDLE && limit != LIMIT_CLAIMING && is_starting(spent, &split))
		return LIMIT_STARTING;
	if (limit == LIMIT_READING && spent->units > 0 && spent->in_bytes / spent->units < LATENCY_BYTES)
		return LIMIT_LATENCY;
	return limit;
}

const char *limits_name(enum limit limit)
{
	return table[(unsigned int)limit < LIMITS ? limit : LIMIT_UNKNOWN].name;
}

const char *limits_advice(enum limit limit)
{
	return table[(unsigned int)limit < LIMITS ? limit : LIMIT_UNKNOWN].advice;
}
