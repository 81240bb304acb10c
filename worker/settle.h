/*
 * settle: tells the queue how units ended, through a ctl session of its own, so that a take that waits holds up nobody. What is settled
 * in one turn of the loop is written together and committed together; slots don't wait for the answers.
 */
#ifndef CLAIMFS_WORKER_SETTLE_H
#define CLAIMFS_WORKER_SETTLE_H

#include "worker/session.h"
#include "worker/unit.h"

struct pool;

struct settle {
	struct session session;
	unsigned int count;		/* units being published, and those whose line is unanswered */
	size_t put_bytes;		/* of outputs in those lines */
	unsigned int small;		/* outputs in a row, up to now, that were small enough for a line */
	unsigned int measured;		/* units whose output was looked at, since one was larger */
};

void settle_init(struct pool *pool, int fd);
void settle_release(struct pool *pool);		/* closes the session */

/* Sends what was settled: at once when no job runs, else with what ends within some milliseconds. */
void settle_flush(struct pool *pool);

/* Are outputs small, as far as can be told? Then it is cheaper to leave the next one on this machine's disk. */
bool settle_outputs_small(const struct pool *pool);

/* Takes the unit over. For UNIT_DONE and UNIT_FAILED unit->values are set; the output's size is added. */
void settle_overtaken(struct unit *unit);	/* its claim is over, and its job too: there is nothing to tell */
void settle_unit(struct pool *pool, struct unit *unit, enum unit_verdict verdict);

#endif
