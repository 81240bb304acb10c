/* block_pool: see block_pool.h. */
#include "tree/block_pool.h"

#include <stdlib.h>

void block_pool_init(struct block_pool *pool, size_t size)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->size = size;
	pool->count = 0;
}

void block_pool_release(struct block_pool *pool)
{
	while (pool->count)
		free(pool->blocks[--pool->count]);
	pthread_mutex_destroy(&pool->lock);
}

bool block_pool_suits(const struct block_pool *pool, size_t len)
{
	return pool && len <= pool->size && len > pool->size / 2;
}

void *block_pool_get(struct block_pool *pool)
{
	void *block = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->count)
		block = pool->blocks[--pool->count];
	pthread_mutex_unlock(&pool->lock);
	return block ? block : malloc(pool->size);
}

void block_pool_put(struct block_pool *pool, void *block)
{
	pthread_mutex_lock(&pool->lock);
	if (pool->count < BLOCK_POOL_MOST) {
		pool->blocks[pool->count++] = block;
		block = NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	free(block);
}
