/*
 * readahead: what one open file has fetched, or is fetching, before it is asked for.
 *
 *   read ──▶ plan(): blocks that are there, new ones for what is missing, and, for a sequential reader, new ones ahead of it
 *                 └─▶ the caller fetches the new ones, fetched() ─▶ answer from the blocks, no copy ─▶ passed(): used blocks go
 *
 * The kernel's own read-ahead sends several reads at once and they arrive in any order: a read near where the reader is counts as going
 * on in sequence. The window begins small, and doubles each time the reader had to wait. A random read asks for just its own bytes.
 *
 * No locks, no requests: the owner holds its lock over every call here.
 */
#ifndef CLAIMFS_TREE_READAHEAD_H
#define CLAIMFS_TREE_READAHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "tree/block_pool.h"

#define READAHEAD_FIRST (512u * 1024)		/* the window at first, on a short way */
#define READAHEAD_PACE 100u			/* bytes a µs (100 MB/s) that it should be good for on a long one */
#define READAHEAD_NEAR (256u * 1024)		/* so far from the expected place is still in sequence */
#define READAHEAD_UNKNOWN UINT64_MAX		/* a size that is not known */

struct readahead_block {
	struct list link;		/* of readahead->blocks, by offset; a block not on it is nobody else's */
	struct list fetch;		/* the fetcher's */
	unsigned int refs;		/* the list's, the fetch's, each read's */
	uint64_t offset;
	size_t len;			/* asked for */
	size_t got;			/* once ready; less: the file ended there */
	size_t used;			/* bytes that readers took */
	int error;
	bool ready;
	struct block_pool *pool;	/* where its data goes, or NULL */
	void *owner;			/* the fetcher's */
	uint64_t stamp;			/* the fetcher's */
	uint8_t *data;
};

struct readahead_piece {		/* of a read; holds a ref on its block */
	struct readahead_block *block;
	size_t from;			/* within the block */
	size_t len;
};

struct readahead {
	struct block_pool *pool;	/* NULL: none */
	size_t block;			/* most bytes of a block */
	size_t max;			/* most bytes ahead of the reader; 0: never ahead */
	size_t first;			/* the window at first */
	size_t window;			/* now; 0: not in sequence */
	size_t longest;			/* read so far */
	uint64_t next;			/* where a sequential reader goes on */
	uint64_t run;			/* bytes read in sequence */
	size_t bytes;			/* of all blocks listed */
	struct list blocks;
};

void readahead_init(struct readahead *ra, size_t block, size_t max);
void readahead_way(struct readahead *ra, int64_t round_trip_ns);	/* how far the server is: how much must be under way */
void readahead_release(struct readahead *ra);		/* lets go of all listed blocks */

/* How many pieces a read of these bytes can have at most. */
int readahead_max_pieces(const struct readahead *ra, uint64_t offset, size_t len);

/*
 * A read. Fills `pieces`, which cover [offset, offset + len) in order, and appends blocks to be fetched to `fetch` (through ->fetch, each
 * with a ref for the fetch), those ahead of the reader last; at most `allowance` bytes ahead. `size`: the file's, or READAHEAD_UNKNOWN; blocks ahead do
 * not pass it. How many pieces, or -ENOMEM (then there are none, and what is on `fetch` is to be fetched all the same).
 */
int readahead_plan(struct readahead *ra, uint64_t offset, size_t len, uint64_t size, size_t allowance,
		   struct readahead_piece *pieces, struct list *fetch);

/* The first block of a file that was just opened. 0 or -ENOMEM. */
int readahead_open(struct readahead *ra, uint64_t size, struct list *fetch);

/* All bytes of a file of this size, if they are one block that is there; else NULL. */
const uint8_t *readahead_whole(const struct readahead *ra, uint64_t size);

/* The fetch has ended; gives up its ref. */
void readahead_fetched(struct readahead *ra, struct readahead_block *block, int error, size_t got);

bool readahead_ready(const struct readahead_piece *pieces, int count);

/* The read has been answered: its refs go, and with them blocks that were used up or lie behind. */
void readahead_passed(struct readahead *ra, struct readahead_piece *pieces, int count);

/*
 * These bytes have changed: nobody else may be given what was fetched of them. `grew`: the file may have become longer by that, so that
 * blocks which ended with the file (or may, once they are here) are old as well.
 */
void readahead_drop(struct readahead *ra, uint64_t offset, uint64_t len, bool grew);

#endif
