/*
 * slot: one place where a job runs. A const table of state × event says what happens (slot.c).
 */
#ifndef CLAIMFS_WORKER_SLOT_H
#define CLAIMFS_WORKER_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/loop.h"
#include "worker/run.h"
#include "worker/stray.h"
#include "worker/tail.h"
#include "worker/unit.h"

struct pool;

enum slot_state {
	SLOT_IDLE,
	SLOT_RUNNING,
	SLOT_ENDING,	/* asked to end (SIGTERM) */
	SLOT_KILLED,	/* told to (SIGKILL) */
	SLOT_STATES
};

enum slot_event {
	SLOT_EXIT,	/* the process has ended: slot->result */
	SLOT_TIMER,
	SLOT_STOP,	/* the worker ends: the job is asked to */
	SLOT_KILL,	/* the worker ends now */
	SLOT_EVENTS
};

enum slot_reason { SLOT_BY_ITSELF, SLOT_TIMED_OUT, SLOT_STOPPED };

struct slot {
	struct pool *pool;
	unsigned int index;
	enum slot_state state;
	enum slot_reason reason;	/* why it was asked to end */
	struct unit *unit;
	pid_t pid;
	char job[STRAY_JOB_MAX];
	int64_t started_ns;
	struct run_result result;
	struct loop_fd err_watch;	/* the read end of its standard error */
	struct tail tail;
	struct buf line;		/* with -v: what it wrote since the last newline */
	struct loop_timer timer;
};

void slot_init(struct slot *slot, struct pool *pool, unsigned int index);
void slot_release(struct slot *slot);

/*
 * Runs the unit, which the slot takes over. 0, or -errno when nothing was started: the unit is the caller's again.
 */
int slot_start(struct slot *slot, struct unit *unit);
void slot_event(struct slot *slot, enum slot_event event);

#endif
