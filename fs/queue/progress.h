/*
 * progress: the facts of a queue, and the two ways they are shown: text for people (a bar, at most 80 columns) and JSON for
 * programs. The only file of the queue that includes cJSON.
 *
 * JSON, format 1 (names stay; new ones may be added; null: not known):
 *   { "format":1, "queue":s, "time":n,
 *     "units": { "total":n, "todo":n, "claimed":n, "done":n, "failed":n, "unsettled":n },
 *     "rate": { "last_minute":n, "overall":n },                          units a second
 *     "eta": n|null,                                                     seconds
 *     "nodes": [ { "name":s, "host":s, "state":"live|stale|gone", "heartbeat_age":n|null, "held":n, "done":n, "failed":n,
 *                  "lost":n, "last_seen":n|null, "split":SPLIT, "limit":s } ],
 *     "time_spent": { "wall":n, "user":n, "sys":n, "in":n, "out":n, "units":n, "take":n|null, "commit":n|null } | null,
 *     "split":SPLIT, "limit":s, "advice":s,                              of all nodes
 *     "hedges": { "won":n, "lost":n, "wasted":n },                       second attempts; seconds in vain
 *     "this_mount": { "claims_tried":n, "claims_lost":n, "refresh":n },  lost: to another mount; seconds the last refresh took
 *     "warnings": [ s ] }
 *   SPLIT: { "computing":n, "reading":n, "writing":n, "starting":n, "crowded":n, "claiming":n, "idle":n, "tail":n, "other":n }   seconds of slots (limits.h)
 *   limit: the part that holds the work up: unknown computing reading latency writing starting claiming idle other; advice: a sentence
 * Names are percent-encoded as in ctl, and bytes that are not UTF-8 as well, so that the text is always well-formed.
 */
#ifndef CLAIMFS_QUEUE_PROGRESS_H
#define CLAIMFS_QUEUE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define PROGRESS_UNKNOWN (-1)

enum progress_state { PROGRESS_LIVE, PROGRESS_STALE, PROGRESS_GONE };

struct progress_spent {			/* where the time goes: sums over done and failed units, seconds of slots */
	double wall_s;			/* of jobs */
	double user_s;
	double sys_s;
	double spawn_s;			/* of wall_s: starting processes */
	double read_wait_s;		/* of wall_s: jobs waited for reads of files */
	double write_wait_s;
	double ready_s;			/* of wall_s: jobs ran, or waited for a processor alone */
	double claim_s;			/* between jobs: a slot waited for a claim */
	double look_s;			/* between jobs: it waited for a look at an input */
	double turn_s;			/* between jobs: it waited for the worker, which started others */
	double idle_s;			/* between jobs: there was nothing to claim, or nothing was to be started */
	double tail_s;			/* beside jobs: slots stood empty since nothing was left to claim */
	double take_s;			/* waiting for claims; PROGRESS_UNKNOWN: not measured */
	double commit_s;
	double in_bytes;
	double out_bytes;
	double units;
};

struct progress_hedges {		/* second attempts at units that took far longer than the others */
	uint64_t won;			/* they came first */
	uint64_t lost;			/* they did not, or were given up */
	double wasted_s;		/* attempts of either kind that another was before: seconds of slots */
};

struct progress_node {
	const char *name;		/* NODE */
	const char *host;		/* NULL: not known */
	enum progress_state state;	/* live: heartbeat within the lease; stale: older, claims held; gone: older, nothing held */
	int64_t heartbeat_age_s;	/* by the server's clock, or PROGRESS_UNKNOWN */
	int64_t last_seen;		/* the server's seconds, or PROGRESS_UNKNOWN */
	uint64_t held;
	uint64_t done;
	uint64_t failed;
	uint64_t lost;			/* attempts */
	struct progress_spent spent;	/* by it; take_s and commit_s are not known */
};

struct progress {
	const char *queue;		/* what to call it; NULL: nothing */
	int64_t now;			/* the server's seconds */
	uint64_t todo;
	uint64_t claimed;
	uint64_t done;
	uint64_t failed;
	uint64_t unsettled;		/* inputs too young to be units: not part of the total */
	double rate_minute;		/* units a second over the last minute; < 0: not known */
	double rate_overall;		/* since the first unit was done; < 0: not known */
	int64_t eta_s;			/* or PROGRESS_UNKNOWN: progress_eta() */
	const struct progress_node *nodes;
	size_t node_count;
	uint64_t claims_tried;		/* by this mount */
	uint64_t claims_lost;		/* of these: races lost to others */
	double refresh_s;		/* how long this mount's last refresh took */
	bool has_spent;
	struct progress_spent spent;
	struct progress_hedges hedges;
	const char *const *warnings;	/* one line each, ends with NULL; NULL: none */
};

/* Seconds until todo and claimed units are done at the last minute's rate (or the overall one when there is none). */
int64_t progress_eta(const struct progress *progress);

int progress_text(const struct progress *progress, struct buf *to);	/* appends; 0 or -ENOMEM */
int progress_json(const struct progress *progress, struct buf *to);	/* appends, with a newline; 0 or -ENOMEM */

#endif
