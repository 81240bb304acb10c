/*
 * figures: what the mount has counted, for user.claimfs.stats: the connections' and operations' (sftp/stats.h), what the kernel asked, how often a cache
 * had the answer, and how old the oldest heartbeat is.
 */
#ifndef CLAIMFS_TREE_FIGURES_H
#define CLAIMFS_TREE_FIGURES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "tree/reply.h"

struct tree;

enum figures_cache {
	FIGURES_LOOKUPS,	/* names looked up; hit: known without a round trip (tree/ahead.h, tree/warm.h) */
	FIGURES_OPENS,		/* files opened; hit: what the page cache has of them is good still */
	FIGURES_READS,		/* reads the kernel could not answer; hit: the bytes were here already, fetched ahead */
	FIGURES_CACHES
};

struct figures {		/* counted by any thread */
	atomic_ullong kernel_requests;	/* that were answered, or will be: all but forgets */
	struct {
		atomic_ullong asked;
		atomic_ullong hits;
	} caches[FIGURES_CACHES];
};

void figures_count_request(struct figures *figures);
void figures_count(struct figures *figures, enum figures_cache cache, bool hit);

/* Answers an extended attribute: all of it as JSON. On a worker thread, because it asks the queues. */
void figures_answer(struct tree *tree, size_t size, struct reply *reply);

#endif
