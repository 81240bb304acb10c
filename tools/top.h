/*
 * top: claimctl top. One thread reads the queues (top_read.c), which may take as long as the network likes; the other draws and listens to keys
 * (cmd_top.c, top_draw.c). What they share is guarded by the lock.
 */
#ifndef CLAIMFS_TOOLS_TOP_H
#define CLAIMFS_TOOLS_TOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tools/names.h"
#include "tools/progress_read.h"

struct top_queue {
	const char *dir;
	const char *name;		/* the last part of dir */
	bool known;			/* facts were read at least once */
	int error;			/* of the last reading */
	int64_t read_ns;		/* when it was last read well, clock_now() */
	struct progress_facts facts;
	struct names failed;		/* names in failed/, in order; only while they are looked at */
	int failed_error;
};

struct top {
	pthread_mutex_t lock;
	pthread_cond_t wake;		/* read now: a key asked for something */
	bool asked;
	int64_t interval_ns;
	struct top_queue *queues;
	size_t queue_count;
	bool failures;			/* they are looked at: of the queue `selected` */
	size_t selected;		/* queue */
	char *ticket_of;		/* the failed unit whose ticket is wanted, or NULL */
	char *ticket_is_of;		/* … and is there */
	struct buf ticket;

	/* the drawing thread's own */
	size_t unit;			/* selected in the list of failures */
	size_t first_node;		/* the first node that is shown */
	bool utf8;			/* what the terminal shows */
};

/* Begins to read. The thread is never joined: one that waits for a dead network ends with the program. 0 or -errno. */
int top_read_start(struct top *top);
void top_ask_locked(struct top *top);	/* read now */

/* Draws all of it on the terminal (the lock is held). */
void top_draw_locked(struct top *top);
/* How many rows of failures and of nodes the last drawing had room for. */
size_t top_rows(const struct top *top);

#endif
