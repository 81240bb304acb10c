/*
 * pool: the worker: slots that run jobs, fed by supply, emptied into settle, all in one loop.
 *
 *   WORKING ──SIGTERM, SIGINT, SIGHUP──▶ DRAINING ──grace over, a second signal──▶ ENDING
 *   takes and runs                       takes no more; jobs may end           jobs are ended and their units released
 */
#ifndef CLAIMFS_WORKER_POOL_H
#define CLAIMFS_WORKER_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "worker/aside.h"
#include "worker/bar.h"
#include "worker/batch.h"
#include "worker/guard.h"
#include "worker/hedge.h"
#include "worker/loop.h"
#include "worker/memory.h"
#include "worker/place.h"
#include "worker/settle.h"
#include "worker/slot.h"
#include "worker/supply.h"
#include "worker/warden.h"

struct job_kind;
struct worker_options;

enum pool_phase { POOL_WORKING, POOL_DRAINING, POOL_ENDING };

struct pool_counts {
	uint64_t taken;
	uint64_t done;		/* this worker's commits */
	uint64_t already;	/* done before by another */
	uint64_t failed;
	uint64_t failing;	/* their jobs failed, and the queue has not answered yet */
	uint64_t lost;		/* their claims */
	uint64_t released;
};

/* Between two looks at where jobs stand, in the mean; half as much more at most, unless this process is kept from a processor. */
#define POOL_SAMPLE_NS (50 * NS_PER_MS)

struct pool {
	const struct worker_options *options;
	const struct place *place;
	char *const *environment;
	struct loop *loop;
	struct aside *aside;
	struct warden *warden;
	struct bar *bar;
	struct memory *memory;		/* with --memory, where it is done by cgroups; else NULL */
	struct order *order;		/* with --order: what is to be claimed next; NULL: as it comes */
	struct list units;		/* all there are */
	struct slot *slots;
	unsigned int slot_count;
	unsigned int busy;		/* slots with units */
	bool logs_failed;		/* and it was said */
	unsigned int processes;		/* slots with a process */
	bool dismissed;			/* resident processes were told that there is no more */
	const struct job_kind *kind;
	struct batch_size batch;
	uint64_t serial;		/* of the last job */
	enum pool_phase phase;
	struct supply supply;
	struct settle settle;
	struct hedge hedge;
	struct pool_counts counts;
	struct loop_fd signals;
	struct loop_timer timer;	/* DRAINING: the grace; ENDING: when to give up */
	struct loop_timer max_time;
	struct loop_timer sample;	/* runs while jobs run */
	int64_t sampled_ns;		/* when it was set or fired last */
	struct drain drain;
	struct loop_timer start_again;	/* set: no job is started before it fires */
	int64_t held_ns;		/* when a job could have been started but for that, the last time */
	int64_t short_ns;		/* since when the machine is short of what --load and --mem-free want; 0: it is not */
	int exit_signal;		/* that ended us; 0: none */
	bool gave_up;
	int broken;			/* the mount: -errno */
	struct buf fatal;		/* why nothing more can be started, one line */
};

/* Blocks the signals it handles, for this thread and all made after it. 0 or -errno. */
int pool_new(const struct worker_options *options, const struct place *place, char *const *environment, struct warden *warden, struct pool **ret_pool);

/*
 * Works until there is nothing more to do. `take_fd` and `finish_fd` are two open sessions of ctl (worker/session.h), the pool's from now on. Returns
 * the exit status; says on standard error what a person must know.
 */
int pool_run(struct pool *pool, int take_fd, int finish_fd);
void pool_free(struct pool *pool);

/* ---- for the pool's own parts ---- */

void pool_session_broken(void *pool, int error);	/* a session's call-back: the mount is gone */

#endif
