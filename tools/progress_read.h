/*
 * progress_read: progress.json of a queue seen through a mount, taken apart for those who draw it. See claimfs-queue(7).
 */
#ifndef CLAIMFS_TOOLS_PROGRESS_READ_H
#define CLAIMFS_TOOLS_PROGRESS_READ_H

#include <stddef.h>

#include "queue/limits.h"

#define PROGRESS_PARTS (LIMITS_PARTS + 1)
#define PROGRESS_WARNINGS 8

struct progress_row {
	const char *name;
	const char *state;		/* live, stale, gone */
	double age;			/* seconds since its last sign of life; < 0: not known */
	double held, done, failed, lost;
	const char *limit;		/* one of limits.h's words; "": not known */
};

struct progress_facts {
	void *root;			/* what the texts here lie in */
	const char *queue;
	double total, todo, claimed, done, failed, unsettled;
	double rate_minute, rate_overall, eta;	/* units a second, seconds; < 0: not known */
	struct progress_row *nodes;	/* live ones first, then stale, then gone */
	size_t node_count;
	struct progress_part { const char *name; double seconds; } parts[PROGRESS_PARTS];	/* where the slots' time went; NULL ends them */
	const char *advice;		/* what holds it up and what to do, or NULL */
	const char *limit;		/* its word, as of a row */
	const char *warnings[PROGRESS_WARNINGS + 1];	/* the first ones; NULL ends them */
	double time;			/* the server's seconds; < 0: not known */
	double measured;		/* units that the next three and the parts are sums over; 0: not known */
	double wall, in_bytes, out_bytes;	/* < 0: not known */
	double claims_tried, claims_lost;	/* by this mount */
	double hedges_won, hedges_lost;	/* second attempts, by how they ended */
	double wasted;			/* seconds of attempts that another was before */
};

/* 0; -errno: it could not be read (-ENOENT: no mount shows it there); -EINVAL: it is no progress of format 1. */
int progress_read(const char *queue, struct progress_facts *ret_facts);
/* The same of a text. */
int progress_parse(const char *text, size_t len, struct progress_facts *ret_facts);
void progress_release(struct progress_facts *facts);

#endif
