/*
 * lease: this mount's identity on the disk, its heartbeats, and the server's clock (queue.md, "Clock").
 *
 *   nothing ──lease_begin──▶ NODE (nodes/NODE made exclusively) ──beats every lease/3──▶ …
 *      ▲                                │ a heartbeat file is gone: all its claims are lost
 *      └────────────────────────────────┘ a new epoch, and at the next claim a new incarnation
 *
 * A claim is a link to a heartbeat file, so the files stand for claims: a claim remembers the epoch and the lapses it was made under. lease_good() says
 * whether nothing has happened since that could have cost it. A lapse is a time longer than the lease between the sending of
 * one acknowledged heartbeat and the answer to the next: other nodes may have judged the claims stale.
 *
 * Links: every claim is counted twice, for itself and for the marker made from it. A file that has its number of links is followed by a
 * new one (NODE.1, NODE.2 …); the old ones beat on while claims hang on them.
 *
 * Thread-safe; no lock is held across a store call. The thread starts at the first claim.
 */
#ifndef CLAIMFS_QUEUE_LEASE_H
#define CLAIMFS_QUEUE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/layout.h"
#include "queue/store.h"

#define LEASE_LINKS 30000

struct lease;

struct lease_options {
	const char *host;
	int pid;
	int64_t lease_ns;
	int64_t link_limit;	/* 0: LEASE_LINKS */
};

struct lease_stand {		/* what a claim is made from */
	char node[LAYOUT_MAX_NODE + 1];
	char path[LAYOUT_PATH];	/* the heartbeat file to link from */
	uint32_t epoch;
	uint32_t lapses;
	uint32_t file;
};

int lease_new(struct store *store, const struct lease_options *options, struct lease **ret_lease);
void lease_stop(struct lease *lease);	/* ends the thread */
void lease_free(struct lease *lease);

/*
 * Something to make claims from: makes the identity if there is none, a new file if the current one is full, and a heartbeat if the
 * last one is not fresh. *claims says how many are wanted and is lowered to how many may be made; they are counted on the file until
 * lease_end(). 0 or -errno.
 */
int lease_begin(struct lease *lease, uint32_t *claims, struct lease_stand *ret_stand);
void lease_end(struct lease *lease, const struct lease_stand *stand, uint32_t claims);

/* A LINK from this file failed though the name was not there: the next claims are made from another. How many links were counted on it; if
 * a LINK from the other succeeds, lease_learn() makes that the limit to stay well below. */
uint64_t lease_full(struct lease *lease, const struct lease_stand *stand);
void lease_learn(struct lease *lease, uint64_t links);

/* Is a claim made under this stand beyond doubt at this moment? */
bool lease_good(struct lease *lease, const struct lease_stand *stand);

/* Its heartbeat file went away: nothing can bring the claim back. */
bool lease_gone(struct lease *lease, const struct lease_stand *stand);

/* A heartbeat, sent after this was called and acknowledged before it returns. 0; -ENOENT when the incarnation is gone; -errno.
 * On success *ret_lapses (may be NULL) is what a claim that is verified after it stands under. */
int lease_renew(struct lease *lease, uint32_t *ret_lapses);

/* The node's directory in tmp/ is gone: others took it for long dead. Its incarnation ends as if the heartbeat file were gone. */
void lease_abandon(struct lease *lease, const struct lease_stand *stand);

/* The NODE.free or NODE.lost to link from, with its mtime. 0 or -errno. */
int lease_given_back(struct lease *lease, bool lost, char ret_path[LAYOUT_PATH]);
void lease_given_back_full(struct lease *lease, bool lost);

/* Was this mount silent for a lease since *lapses, or is it now, so that others may have taken it for long gone? Brings *lapses up to date. */
bool lease_was_silent(struct lease *lease, uint32_t *lapses);

/* Current NODE copied out, false when there is none. `epoch` may be NULL. */
bool lease_node(struct lease *lease, char ret_node[LAYOUT_MAX_NODE + 1], uint32_t *ret_epoch);
bool lease_was_node(struct lease *lease, const char *node);	/* this mount, now or in an earlier incarnation */
uint64_t lease_once(struct lease *lease);			/* a number never given before by this lease */

/* The server's time lies between *ret_min and *ret_max (ns since 1970); false when it is not known. */
bool lease_time(struct lease *lease, int64_t now_ns, int64_t *ret_min, int64_t *ret_max);
/* Asks the server for its time without an identity: a file in tmp/ that lives for a moment. 0 or -errno. */
int lease_probe(struct lease *lease);
/* Age of the last acknowledged heartbeat, -1 when there is no identity. */
int64_t lease_age(struct lease *lease, int64_t now_ns);

#endif
