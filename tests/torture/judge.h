/*
 * judge: what judge.c and judge_disk.c share: one unit's events, and the claims and markers among them.
 */
#ifndef CLAIMFS_TESTS_JUDGE_H
#define CLAIMFS_TESTS_JUDGE_H

#include "history.h"

struct judge {
	const struct history *history;
	int64_t lease_ns;
	FILE *out;
	struct verdict *verdict;
};

struct claim {
	const struct event *link;
	const struct event *freed;	/* renamed over: freed or lost; else NULL */
	const struct event *took;	/* the client that was told of it, or NULL */
	unsigned int least, most;	/* attempts that may be told: 1 and the claims below it that were not free when it was made, and 1 and all of them */
	const struct claim *beside;	/* a claim that was live by the server's time when this one was made, or NULL */
};

struct marker {
	const struct event *made;
	const struct event *ok;		/* the client that was told of it, or NULL */
};

struct story {				/* of one unit */
	const char *unit;
	const struct event **events;	/* by time */
	size_t count;
	struct claim *claims;		/* in the order they were made */
	size_t claim_count;
	struct marker *markers;
	size_t marker_count;
	unsigned int generation;	/* the highest that has begun */
};

static inline bool is_hedge(const struct claim *claim)
{
	return claim->link->claim == 0;
}

/* Tells of a breach, with the unit's story. */
void breach(const struct judge *judge, enum promise promise, const struct story *story, const char *what);

bool node_on_host(const char *node, const char *host);		/* host.incarnation is of that host, or unknown ("?") */
const struct event *last_beat(const struct judge *judge, const char *node, size_t before);	/* of those with a lower number; or NULL */

/* Was the generation done, set aside or followed by the next before events[at] of the story (at most its count)? */
bool generation_over(const struct story *story, unsigned int generation, size_t at);

/* judge_disk.c: claims and markers by the disk alone; fills story->claims, markers and generation. 0 or -ENOMEM. */
int judge_disk(const struct judge *judge, struct story *story);

#endif
