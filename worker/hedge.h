/*
 * hedge: second attempts (--hedge), and the end of jobs whose unit another attempt has done.
 *
 * While the take waits, since nothing is left in todo/, and slots are free, the queue is asked for a unit that takes far longer than the
 * others (ctl's `hedge`); it then goes through the worker as any other.
 *
 * Whether a unit that has been worked on for a while is still this worker's is asked now and then (ctl's `check`), more seldom the longer it takes:
 * one look each twentieth of its time so far.
 */
#ifndef CLAIMFS_WORKER_HEDGE_H
#define CLAIMFS_WORKER_HEDGE_H

#include <stdbool.h>

#include "worker/loop.h"
#include "worker/session.h"

struct pool;
struct slot;
struct unit;

struct hedge {
	struct session_command command;
	bool asking;			/* it is unanswered */
	struct loop_timer again;	/* set: not asked before it fires */
};

void hedge_init(struct pool *pool);
void hedge_release(struct pool *pool);
void hedge_pump(struct pool *pool);		/* asks for a unit, if it is time to */
void hedge_check(struct slot *slot);		/* asks after the unit it works on, if it is time to */

#endif
