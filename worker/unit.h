/*
 * unit: one claimed unit on its way through the worker.
 *
 *   supply: take ─▶ prepare (aside: look at the input) ─▶ ready ─▶ slot: run ─▶ settle: measure (aside: output) ─▶ done | fail | release ─▶ freed
 *
 * It belongs to exactly one of supply, a slot and settle.
 */
#ifndef CLAIMFS_WORKER_UNIT_H
#define CLAIMFS_WORKER_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/buf.h"
#include "base/list.h"
#include "worker/aside.h"
#include "worker/place.h"
#include "worker/session.h"

#define UNIT_MAX_PUT (64u << 10)

struct batch_dir;
struct pool;

enum unit_verdict { UNIT_DONE, UNIT_FAILED, UNIT_RELEASED };

struct unit {
	struct list link;		/* where it is */
	struct list all;		/* pool->units */
	struct pool *pool;
	char *name;			/* the bytes */
	char *coded;			/* as a word of ctl: no spaces */
	char *in;
	char *out;
	unsigned int attempt;
	int64_t look_ns;		/* how long the look at its input took */
	bool look_tells;		/* … and nothing stood in its way */
	int64_t read_ahead;		/* 0: nothing is read ahead */
	int64_t out_bytes;		/* -1: nothing staged */
	bool out_small;			/* it is a file of at most UNIT_MAX_PUT bytes */
	bool out_dir;			/* it is a directory: the mount knows the sizes of files alone */
	int64_t taken_ns;		/* clock_now() when its take was sent */
	int64_t claimed_ns;		/* when that was answered */
	int64_t ready_ns;		/* when it could be started, the last time */
	int64_t wall_ns;
	unsigned int failures;		/* of its job, so far */
	unsigned int deaths;		/* of the resident commands that had it */
	bool skim;			/* so short that looking at its files would cost as much */
	bool alone;			/* a batch with it failed: it goes by itself from now on */
	int64_t due_ns;			/* delayed: when it is to be tried again */
	struct batch_dir *dir;		/* holds `staged` */
	char *staged;			/* its output in this machine's directory; NULL: it is in stage/, if anywhere */
	struct timespec staged_time;
	int64_t staged_bytes;
	mode_t staged_mode;		/* with the type bits */
	struct buf put;			/* … and what is in it, when it goes to the mount with the line that ends the unit */
	bool putting;			/* it does */
	bool local;			/* job_resident: was told to leave it there, by itself: it goes when it is not needed any more */
	char *resume;			/* with --checkpoint-signal: where what an unfinished attempt left is kept */
	bool keep;			/* its job is unfinished, and was told to leave something to go on from */
	bool resumable;			/* something is there */
	bool hedge;			/* it is a second attempt */
	bool overtaken;			/* another attempt has done it: the claim is over, and the job may end */
	bool failing;			/* counted in pool->counts.failing */
	bool checking;			/* whether it was is being asked */
	int64_t check_ns;		/* not asked before */
	struct session_command check;
	int error;			/* of copying it to stage/ */
	enum unit_verdict verdict;
	struct buf values;		/* k=v …, of done and fail */
	struct buf why;			/* failed: for people, one line */
	struct aside_job job;
	struct session_command command;
};

/* `coded` is the name as ctl says it. 0, -EINVAL (not well encoded), -ENOMEM. */
int unit_new(struct pool *pool, const struct place *place, const char *coded, struct unit **ret_unit);
void unit_free(struct unit *unit);

/* On a thread aside: how long a look at the input takes; one of at most unit->read_ahead bytes is read into the page cache. */
void unit_look(struct unit *unit);
/* Likewise, after the run: what a batch made and unit_load() did not take is copied to stage/ (unit->error); how much is staged. */
void unit_publish(struct unit *unit);

/* Reads what a job left in this machine's directory into unit->put, if it is a file of at most UNIT_MAX_PUT bytes: true. */
bool unit_load(struct unit *unit);

void unit_forget_staged(struct unit *unit);

#endif
