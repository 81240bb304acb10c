/*
 * unit: one claimed unit on its way through the worker.
 *
 *   supply: take ─▶ prepare (aside: ticket, input) ─▶ ready ─▶ slot: run ─▶ settle: measure (aside: output) ─▶ done | fail | release ─▶ freed
 *
 * It belongs to exactly one of supply, a slot and settle.
 */
#ifndef CLAIMFS_WORKER_UNIT_H
#define CLAIMFS_WORKER_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "worker/aside.h"
#include "worker/place.h"
#include "worker/session.h"

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
	char *ticket;
	int attempt;			/* 0: not known */
	int64_t in_bytes;		/* -1: not known */
	int64_t out_bytes;		/* -1: nothing staged */
	int64_t taken_ns;		/* clock_now() when its take was sent */
	int64_t wall_ns;
	enum unit_verdict verdict;
	struct buf values;		/* k=v …, of done and fail */
	struct buf why;			/* failed: for people, one line */
	struct aside_job job;
	struct session_command command;
};

/* `coded` is the name as ctl says it. 0, -EINVAL (not well encoded), -ENOMEM. */
int unit_new(struct pool *pool, const struct place *place, const char *coded, struct unit **ret_unit);
void unit_free(struct unit *unit);

/* On a thread aside: the attempt's number from the ticket, the input's size. What can't be had stays unknown. */
void unit_look(struct unit *unit);
/* Likewise, after the run: how much was staged. */
void unit_measure(struct unit *unit);

#endif
