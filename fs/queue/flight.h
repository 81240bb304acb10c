/*
 * flight: store operations gathered for one round trip, with room for their paths, so that a step of the protocol for a whole batch of
 * units reads like the step for one. The first failure to grow sticks; every operation of such a flight then answers -ENOMEM.
 *
 * Not thread-safe. An index returned by flight_… is valid until flight_reset().
 */
#ifndef CLAIMFS_QUEUE_FLIGHT_H
#define CLAIMFS_QUEUE_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "queue/store.h"

struct flight_block;

struct flight {
	struct store_op *ops;
	size_t count;
	size_t cap;
	struct flight_block *blocks;	/* of path bytes */
	int error;
	struct store_op failed;		/* what flight_op() shows when memory was short */
};

#define FLIGHT_INIT { 0 }

void flight_reset(struct flight *flight);	/* empty, memory kept for the next */
void flight_release(struct flight *flight);

size_t flight_link(struct flight *flight, const char *from, const char *to);
size_t flight_rename(struct flight *flight, const char *from, const char *to);
size_t flight_lstat(struct flight *flight, const char *path);
size_t flight_remove(struct flight *flight, const char *path);
size_t flight_mkdir(struct flight *flight, const char *path);
size_t flight_rmdir(struct flight *flight, const char *path);
size_t flight_fsync(struct flight *flight, const char *path);
size_t flight_utime(struct flight *flight, const char *path, int64_t mtime);
/* The bytes go to `data`, which must stay until the flight was run. */
size_t flight_read(struct flight *flight, const char *path, uint64_t offset, size_t max, struct buf *data);
/* `input` must stay until the flight was run, of these and those below. */
size_t flight_create(struct flight *flight, const char *path, const void *input, size_t len);
size_t flight_put(struct flight *flight, const char *path, const void *input, size_t len, uint32_t mode);
size_t flight_write(struct flight *flight, struct store_file *file, uint64_t offset, const void *input, size_t len);
size_t flight_append(struct flight *flight, struct store_file *file, const void *input, size_t len);
size_t flight_fstat(struct flight *flight, struct store_file *file);
size_t flight_copy(struct flight *flight, const char *from, const char *to);

void flight_run(struct flight *flight, struct store *store);
const struct store_op *flight_op(const struct flight *flight, size_t index);	/* after the run */

static inline int flight_error(const struct flight *flight, size_t index)
{
	return flight_op(flight, index)->error;
}

#endif
