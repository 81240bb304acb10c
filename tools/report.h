/*
 * report: what the logs of a queue say, counted and put in order for a page (report_page). Everything in it comes from other nodes' files: it
 * is bytes until html_text() has written it.
 */
#ifndef CLAIMFS_TOOLS_REPORT_H
#define CLAIMFS_TOOLS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "queue/record.h"

struct report_node {
	const char *name;
	double first, last;		/* begin of its first unit, its last sign of life; the server's seconds */
	uint64_t done, failed, lost;
	double busy;			/* seconds of its jobs, those side by side added up */
	double beat;			/* its last heartbeat, when others took its claims over; 0: it never fell silent */
};

struct report_job {			/* an attempt that ended as done or failed */
	double begin, end;		/* the server's seconds */
	double wall;			/* seconds; < 0: not said */
	uint32_t node;
	bool failed;
	const struct record *record;
};

struct report_loss {			/* an attempt that was lost */
	double time;
	uint32_t node;			/* whose it was */
};

struct report_unit {			/* what is true of a unit now, as far as the logs know */
	struct hash128 hash;
	uint32_t generation;
	bool done, failed;
	size_t job;			/* index + 1 of the one that failed it; 0: it did not */
};

struct report_spent {			/* seconds of slots, over all jobs that say it: values of records in claimfs-queue(7) */
	double wall, user, sys;
	double spawn, read_wait, write_wait, ready;	/* of wall */
	double claim, look, turn, idle;		/* between jobs */
	double tail;				/* beside them */
	double failed;				/* wall of those that failed */
	double in_bytes;
};

struct story;

struct report {
	struct story *story;
	struct report_node *nodes;	/* by the time of their first unit */
	size_t node_count, node_cap;
	struct report_job *jobs;	/* by begin */
	size_t job_count, job_cap;
	struct report_loss *losses;	/* by time */
	size_t loss_count, loss_cap;
	struct report_unit *units;
	size_t unit_count, unit_cap;
	uint64_t done, failed;		/* units now */
	uint64_t redone;		/* generations begun again */
	uint64_t hedges, hedges_won;	/* second attempts, and those that came first */
	double wasted;			/* seconds of attempts that another was before */
	double begin, end;		/* of all; equal: nothing happened */
	struct report_spent spent;
};

/* Reads the logs of the queue at `dir`. 0, or -errno with what could not be read in `why`. */
int report_read(const char *dir, struct report **ret_report, struct buf *why);
void report_free(struct report *report);

/* Hours of nodes: of each from its first unit's begin to its last sign of life. */
double report_node_hours(const struct report *report);

#endif
