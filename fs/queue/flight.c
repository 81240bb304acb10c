/*
 * flight: a growing array of operations; paths live in blocks that never move.
 */
#include "queue/flight.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384

struct flight_block {
	struct flight_block *next;
	size_t used;
	size_t cap;
	char bytes[];
};

void flight_reset(struct flight *flight)
{
	struct flight_block *block;

	/* Keep one block: most flights need no more. */
	while (flight->blocks && flight->blocks->next) {
		block = flight->blocks;
		flight->blocks = block->next;
		free(block);
	}
	if (flight->blocks)
		flight->blocks->used = 0;
	flight->count = 0;
	flight->error = 0;
}

void flight_release(struct flight *flight)
{
	flight_reset(flight);
	free(flight->blocks);
	free(flight->ops);
	memset(flight, 0, sizeof(*flight));
}

static const char *keep_path(struct flight *flight, const char *path)
{
	size_t len = strlen(path) + 1, cap = len > BLOCK_BYTES ? len : BLOCK_BYTES;
	struct flight_block *block = flight->blocks;
	char *kept;

	if (!block || block->cap - block->used < len) {
		block = malloc(sizeof(*block) + cap);
		if (!block) {
			flight->error = -ENOMEM;
			return "";
		}
		block->next = flight->blocks;
		block->used = 0;
		block->cap = cap;
		flight->blocks = block;
	}
	kept = block->bytes + block->used;
	block->used += len;
	memcpy(kept, path, len);
	return kept;
}

static struct store_op *add(struct flight *flight, enum store_kind kind, const char *path, const char *path2)
{
	size_t cap = flight->cap ? flight->cap * 2 : 64;
	struct store_op *ops, *op;

	if (flight->count == flight->cap) {
		ops = realloc(flight->ops, cap * sizeof(*ops));
		if (!ops) {
			flight->error = -ENOMEM;
			return &flight->failed;
		}
		flight->ops = ops;
		flight->cap = cap;
	}
	op = &flight->ops[flight->count++];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->path = path ? keep_path(flight, path) : NULL;
	op->path2 = path2 ? keep_path(flight, path2) : NULL;
	return op;
}

static size_t last(const struct flight *flight)
{
	return flight->count ? flight->count - 1 : 0;
}

size_t flight_link(struct flight *flight, const char *from, const char *to)
{
	add(flight, STORE_LINK, from, to);
	return last(flight);
}

size_t flight_rename(struct flight *flight, const char *from, const char *to)
{
	add(flight, STORE_RENAME, from, to);
	return last(flight);
}

size_t flight_lstat(struct flight *flight, const char *path)
{
	add(flight, STORE_LSTAT, path, NULL);
	return last(flight);
}

size_t flight_remove(struct flight *flight, const char *path)
{
	add(flight, STORE_REMOVE, path, NULL);
	return last(flight);
}

size_t flight_mkdir(struct flight *flight, const char *path)
{
	add(flight, STORE_MKDIR, path, NULL);
	return last(flight);
}

size_t flight_rmdir(struct flight *flight, const char *path)
{
	add(flight, STORE_RMDIR, path, NULL);
	return last(flight);
}

size_t flight_fsync(struct flight *flight, const char *path)
{
	add(flight, STORE_FSYNC, path, NULL);
	return last(flight);
}

size_t flight_utime(struct flight *flight, const char *path, int64_t mtime)
{
	add(flight, STORE_UTIME, path, NULL)->mtime = mtime;
	return last(flight);
}

size_t flight_read(struct flight *flight, const char *path, uint64_t offset, size_t max, struct buf *data)
{
	struct store_op *op = add(flight, STORE_READ, path, NULL);

	op->offset = offset;
	op->max = max;
	op->data = data;
	return last(flight);
}

size_t flight_create(struct flight *flight, const char *path, const void *input, size_t len)
{
	struct store_op *op = add(flight, STORE_CREATE, path, NULL);

	op->input = input;
	op->input_len = len;
	return last(flight);
}

size_t flight_put(struct flight *flight, const char *path, const void *input, size_t len, uint32_t mode)
{
	struct store_op *op = add(flight, STORE_PUT, path, NULL);

	op->input = input;
	op->input_len = len;
	op->mode = mode;
	return last(flight);
}

size_t flight_write(struct flight *flight, struct store_file *file, uint64_t offset, const void *input, size_t len)
{
	struct store_op *op = add(flight, STORE_WRITE, NULL, NULL);

	op->file = file;
	op->offset = offset;
	op->input = input;
	op->input_len = len;
	return last(flight);
}

size_t flight_append(struct flight *flight, struct store_file *file, const void *input, size_t len)
{
	struct store_op *op = add(flight, STORE_APPEND, NULL, NULL);

	op->file = file;
	op->input = input;
	op->input_len = len;
	return last(flight);
}

size_t flight_fstat(struct flight *flight, struct store_file *file)
{
	add(flight, STORE_FSTAT, NULL, NULL)->file = file;
	return last(flight);
}

size_t flight_copy(struct flight *flight, const char *from, const char *to)
{
	add(flight, STORE_COPY, from, to);
	return last(flight);
}

void flight_run(struct flight *flight, struct store *store)
{
	flight->failed.error = flight->error;
	if (flight->count && !flight->error)
		store_run(store, flight->ops, flight->count);
}

const struct store_op *flight_op(const struct flight *flight, size_t index)
{
	return flight->error || index >= flight->count ? &flight->failed : &flight->ops[index];
}
