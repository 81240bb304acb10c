/*
 * block_pool: memory of whole blocks, kept for the next ones: fresh memory costs a page fault for every 4 KiB.
 *
 * What all open files of a mount share, for what they read ahead and for what they have queued to be written. Thread-safe.
 */
#ifndef CLAIMFS_TREE_BLOCK_POOL_H
#define CLAIMFS_TREE_BLOCK_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define BLOCK_POOL_MOST 32

struct block_pool {
	pthread_mutex_t lock;		/* guards all; innermost */
	size_t size;			/* of a block; does not change */
	unsigned int count;
	void *blocks[BLOCK_POOL_MOST];
};

void block_pool_init(struct block_pool *pool, size_t size);
void block_pool_release(struct block_pool *pool);

/* Is a block the thing to have for so many bytes? Not for few, which it would waste. NULL, no pool: never. */
bool block_pool_suits(const struct block_pool *pool, size_t len);

/* A block of pool->size bytes, from malloc(). NULL: out of memory. */
void *block_pool_get(struct block_pool *pool);
void block_pool_put(struct block_pool *pool, void *block);

#endif
