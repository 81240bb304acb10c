/*
 * lease_inner: what lease.c, lease_back.c and lease_clock.c share. Not for others.
 */
#ifndef CLAIMFS_QUEUE_LEASE_INNER_H
#define CLAIMFS_QUEUE_LEASE_INNER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "queue/layout.h"
#include "queue/lease.h"
#include "queue/owner.h"

/* The server's clock less clock_now() lies between `min` and `max`. */
struct lease_clock {
	bool known;
	int64_t min;
	int64_t max;
	int64_t sampled_ns;
};

struct lease_file {
	struct list link;
	uint32_t number;		/* K; 0: NODE itself */
	char path[LAYOUT_PATH];
	struct store_file *file;
	uint64_t links;			/* made, or kept for claims under way and their markers */
	uint64_t claims;		/* that hang on it */
	bool full;			/* the disk takes no more links to it */
	int64_t sent_ns;		/* of its first heartbeat */
};

struct lease {
	struct store *store;
	char *host;
	int pid;
	int64_t lease_ns;

	pthread_mutex_t lock;		/* guards all below; innermost */
	pthread_cond_t changed;
	bool busy;			/* somebody has the files; only they change `files`, `node`, `dead` */
	bool stopping;
	bool running;
	pthread_t thread;
	char node[LAYOUT_MAX_NODE + 1];	/* "": none */
	uint32_t epoch;			/* raised when an incarnation begins and when it ends */
	uint32_t lapses;
	bool silent;			/* since the files were last looked for by their names */
	int64_t acked_ns;		/* when the last acknowledged heartbeat was sent */
	struct list files;		/* the last one is current */
	struct list dead;		/* to be closed by whoever has the files */
	uint64_t link_limit;
	uint64_t back_limit;		/* of NODE.free and NODE.lost */
	uint32_t free_file, lost_file;	/* K of the current ones */
	uint64_t free_links, lost_links;
	bool free_made, lost_made;
	uint64_t random;
	uint64_t once;
	char (*past)[LAYOUT_MAX_NODE + 1];	/* all incarnations of this mount */
	uint32_t past_count;
	struct lease_clock clock;
};

/* The files are one thread's at a time. */
void lease_take_files_locked(struct lease *lease);
void lease_leave_files_locked(struct lease *lease);

/* For who has the files, without the lock: a new incarnation; what its files say. */
int lease_make_node(struct lease *lease);
int lease_make_text(struct lease *lease, const char *node, enum owner_kind kind, struct buf *ret_text);

void lease_clock_init(struct lease_clock *clock);

/* A file written between `sent` and `received` (clock_now) has the mtime `mtime`, in whole seconds. */
void lease_clock_sample(struct lease_clock *clock, int64_t mtime, int64_t sent_ns, int64_t received_ns);

#endif
