/*
 * keep: a place on the local disk where a queue keeps what it has learned, so that a mount starts again warm. Implemented over cache/db.h in
 * tree/keep_db.c. What is kept can be lost at any time: it is made anew from the queue's own disk.
 *
 * Used by one thread at a time.
 */
#ifndef CLAIMFS_QUEUE_KEEP_H
#define CLAIMFS_QUEUE_KEEP_H

#include <stddef.h>

struct keep {
	const struct keep_ops *ops;
};

/* Ends the walk with what it returns when that is not 0. Key and value are valid during the call only. */
typedef int keep_each(void *arg, const void *key, size_t key_len, const void *value, size_t value_len);

struct keep_ops {
	int (*walk)(struct keep *keep, const char *prefix, keep_each *each, void *arg);	/* in the order of keys */
	int (*begin)(struct keep *keep);
	int (*put)(struct keep *keep, const char *key, const void *value, size_t len);
	int (*clear)(struct keep *keep);
	int (*commit)(struct keep *keep);	/* ends it, whatever it returns */
	void (*abort)(struct keep *keep);
	void (*free)(struct keep *keep);
};

#endif
