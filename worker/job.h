/*
 * job: the kinds of jobs. A kind says how units are given to a slot and what its end means for them; when is the slot's business.
 */
#ifndef CLAIMFS_WORKER_JOB_H
#define CLAIMFS_WORKER_JOB_H

#include <stdbool.h>

#include "base/buf.h"

struct slot;
struct worker_options;

struct job_kind {
	/* 0, or -EINVAL with one line in `why`: can this command be worked on in this way. */
	int (*check)(const struct worker_options *options, struct buf *why);
	/* In IDLE: starts a process for slot->units. 0 or -errno. */
	int (*start)(struct slot *slot);
	/* In WAITING: hears what the process has said since its last answer; it may be in KILLED then, or ENDING. */
	void (*listen)(struct slot *slot);
	/* In WAITING: hands slot->units to the process that is there. */
	void (*ask)(struct slot *slot);
	/* The process has ended: every unit of the slot is settled, or goes back to the supply. */
	void (*ended)(struct slot *slot);
	/* The process answered: likewise. */
	void (*answered)(struct slot *slot);
	/* Asks a process without units to end. */
	void (*dismiss)(struct slot *slot);
	void (*release)(struct slot *slot);	/* what the kind keeps in the slot; may be NULL */
	bool batches;		/* takes many units at once */
	bool stays;		/* the process outlives its units */
};

extern const struct job_kind job_plain, job_batch, job_resident;

const struct job_kind *job_kind_of(const struct worker_options *options);

#endif
