/*
 * aside: a few threads for what the loop must not wait for: looks at files on the mount, each of which may cost a round trip.
 */
#ifndef CLAIMFS_WORKER_ASIDE_H
#define CLAIMFS_WORKER_ASIDE_H

#include "base/list.h"
#include "worker/loop.h"

struct aside;

struct aside_job {		/* embedded; the aside's from submit until `done` is called */
	struct list link;
	void (*work)(struct aside_job *job);	/* on some thread: touches only what the job holds */
	void (*done)(struct aside_job *job);	/* in the loop */
};

int aside_new(struct loop *loop, unsigned int max_threads, struct aside **ret_aside);	/* 0 or -errno */
void aside_submit(struct aside *aside, struct aside_job *job);
/* Lets what is being worked on end; what is not begun, and what is not told yet, is dropped. NULL is fine. */
void aside_free(struct aside *aside);

#endif
