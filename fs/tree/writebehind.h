/*
 * writebehind: the changes of one file that a program was told are done and the server has not acknowledged yet, in their order.
 *
 *   add ──▶ queued ──next()──▶ under way ──acked()──▶ gone
 *
 * An item is a stretch of bytes, or a step (a truncation, a copy, times to set) that stands alone: all before it is acknowledged first, and
 * nothing after it is sent until it is. Stretches go out in parallel, but for one that overlaps another that is not acknowledged:
 * over several connections, and after a reconnect, requests keep no order. Small stretches that join are merged; one that is
 * not full waits while others are under way, and goes as soon as none is, so no timer is needed.
 *
 * No locks, no requests: the owner (file_state.h) holds its lock over every call here and sends what next() gives.
 */
#ifndef CLAIMFS_TREE_WRITEBEHIND_H
#define CLAIMFS_TREE_WRITEBEHIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "tree/block_pool.h"

#define WRITEBEHIND_MAX_FLYING 64			/* requests of one file under way */
#define WRITEBEHIND_MAX_BYTES (16u * 1024 * 1024)	/* and their bytes, once the file is up to speed, at most */
/* At first; grows by what is acknowledged. More than makes the engine open the file on other connections. */
#define WRITEBEHIND_FIRST_BYTES (2560u * 1024)

enum writebehind_kind { WRITEBEHIND_DATA, WRITEBEHIND_APPEND, WRITEBEHIND_STEP };

struct writebehind_item {
	struct list link;		/* of writebehind->items, in order of seq */
	enum writebehind_kind kind;
	uint64_t seq;
	bool sent;
	void *owner;			/* whose handle it is to be written through */
	uint64_t offset;
	uint64_t told_end;		/* of an append: where it made the file end for the program, which may not know of others' */
	size_t len;
	size_t room;
	uint8_t *data;
	bool pooled;			/* data is a block of the pool */
	/* A step. `changes`: bytes of the file; `sets_size`: it is `size` bytes long afterwards; `grows_to`: at least so long. */
	bool changes;
	bool sets_size;
	uint64_t size;
	uint64_t grows_to;
	void (*run)(struct writebehind_item *step);
	struct list ready;		/* the sender's */
};

struct writebehind {
	struct list items;
	struct block_pool *pool;	/* for what fills a block; NULL: none */
	size_t chunk;			/* most bytes of an item */
	uint64_t next_seq;
	uint64_t push_seq;		/* items up to this one wait for nothing more to merge */
	unsigned int flying;
	size_t flying_bytes;
	size_t limit;			/* of flying_bytes */
	size_t most;			/* that limit may become; the owner may change it at any time */
	size_t bytes;			/* of memory: all data here, and what each item of it takes besides */
};

void writebehind_init(struct writebehind *wb, size_t chunk);
void writebehind_release(struct writebehind *wb);	/* frees what is left */

/* Copies data in. 0, or -ENOMEM (then nothing was added). An append's offset is where the file ends for the program: the server puts it at its end. */
int writebehind_add(struct writebehind *wb, void *owner, bool append, uint64_t offset, const void *data, size_t len);

/* The caller's item, kind and fields set, `link` and `seq` filled here; next() gives it when its turn has come. */
void writebehind_add_step(struct writebehind *wb, struct writebehind_item *step);

/* Everything that is queued now goes out without waiting for more to merge. */
void writebehind_push(struct writebehind *wb);

/* What may be sent now, marked as sent; NULL: nothing. */
struct writebehind_item *writebehind_next(struct writebehind *wb);

/* It is acknowledged, or has failed. Data is freed with its item; a step is the caller's again. */
void writebehind_acked(struct writebehind *wb, struct writebehind_item *item);

bool writebehind_idle(const struct writebehind *wb);
uint64_t writebehind_last(const struct writebehind *wb);	/* seq of what was added last */
bool writebehind_done(const struct writebehind *wb, uint64_t seq);	/* is all up to `seq` acknowledged? */

/* Seq of the last item that a read of these bytes must wait for (steps and appends touch every byte), 0: none. */
uint64_t writebehind_touches(const struct writebehind *wb, uint64_t offset, uint64_t len);

/* Seq of the last append, 0: none. Where it ends is known once the server has answered. */
uint64_t writebehind_appends(const struct writebehind *wb);

/* The size the file has once all this but appends is written, if it has `size` bytes now. */
uint64_t writebehind_size(const struct writebehind *wb, uint64_t size);

/* The size it has for programs, appends included: no less than what they were told when these were queued, however few the server has so far. */
uint64_t writebehind_told_size(const struct writebehind *wb, uint64_t size);

#endif
