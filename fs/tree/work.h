/*
 * work: threads for operations that may wait for the disk (the queue's). Jobs begin in order of submission as threads become free; there are
 * as many threads as jobs, up to WORK_MAX_THREADS, so that a slow job holds up nobody else. Idle threads end after a while.
 *
 * Thread-safe, but for work_free().
 */
#ifndef CLAIMFS_TREE_WORK_H
#define CLAIMFS_TREE_WORK_H

#include "base/list.h"

#define WORK_MAX_THREADS 64

struct work;

struct work_job {		/* embedded in the caller's request; owned by the work from submit until run is called */
	struct list link;
	void (*run)(struct work_job *job);
};

int work_new(struct work **ret_work);	/* starts one thread that stays, so that submitting cannot fail. 0 or -errno */
void work_submit(struct work *work, struct work_job *job);
void work_free(struct work *work);	/* runs what was submitted, then ends the threads; NULL is fine */

#endif
