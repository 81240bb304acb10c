/*
 * limits: where the slots' time went, and so what holds the work up and what to do about it.
 *
 * A slot is at any time in one of these; together they are all of its time:
 *
 *   computing   user + sys of its jobs        starting   from wishing for a process to its exec
 *   reading     jobs wait for reads           claiming   no job: a claim is on its way
 *   writing     jobs wait for writes          idle       no job: there was nothing to claim
 *   crowded     jobs wait for a processor     other      jobs wait for something else (a network, a lock, a sleep)
 *
 * Pure: no state, any thread.
 */
#ifndef CLAIMFS_QUEUE_LIMITS_H
#define CLAIMFS_QUEUE_LIMITS_H

#include "queue/progress.h"

enum limit {
	LIMIT_UNKNOWN,		/* nothing was measured */
	LIMIT_COMPUTING, LIMIT_READING, LIMIT_LATENCY, LIMIT_WRITING, LIMIT_STARTING, LIMIT_CROWDED, LIMIT_CLAIMING, LIMIT_IDLE, LIMIT_TAIL,
	LIMIT_OTHER,
	LIMITS
};

/* The parts of the slots' time, in the order in which they are shown; limits_name() names them. LIMIT_LATENCY's is in LIMIT_READING's. */
#define LIMITS_PARTS 9
extern const enum limit limits_parts[LIMITS_PARTS];

struct limits_split {
	double seconds[LIMITS];		/* of slots; 0 of what is no part */
	double total;
};

void limits_split(const struct progress_spent *spent, struct limits_split *ret_split);

enum limit limits_of(const struct progress_spent *spent);
const char *limits_name(enum limit limit);	/* one word, as in progress.json */
const char *limits_advice(enum limit limit);	/* one sentence: what limits it and what to do, at most 160 bytes */

#endif
