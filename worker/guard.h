/*
 * guard: what the machine and the user say about going on: its load and memory, how many units have failed, notices of preemption.
 */
#ifndef CLAIMFS_WORKER_GUARD_H
#define CLAIMFS_WORKER_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "worker/loop.h"

struct worker_options;

/* May a job be started now: --load, --mem-free? If not, `why` gets what the machine is short of. */
bool guard_may_start(const struct worker_options *options, struct buf *why);

/* Have so many failed that --halt says to end? Shares count from three units on: one of one is no share. */
bool guard_must_halt(const struct worker_options *options, uint64_t failed, uint64_t ended);

/* ---- --drain-file, --drain-cmd ---- */

struct drain {
	const struct worker_options *options;
	struct loop *loop;
	struct loop_timer timer;
	pid_t pid;			/* of --drain-cmd, 0 while it does not run */
	_Atomic pid_t *group;		/* where the warden looks for it */
	void (*told)(void *arg);	/* called once */
	void *arg;
	bool over;
};

void drain_begin(struct drain *drain, struct loop *loop, const struct worker_options *options, _Atomic pid_t *group, void (*told)(void *arg),
		 void *arg);
void drain_ended(struct drain *drain, int status);	/* its process was reaped */
void drain_end(struct drain *drain);			/* kills it */

#endif
