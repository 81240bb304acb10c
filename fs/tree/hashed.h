/*
 * hashed: bytes of inputs that a queue has read to hash them (key = content), kept for the jobs that read the inputs next, so that they cross the
 * network once.
 *
 *   queue: add() … ─▶ pieces of a file, from its begin on ─▶ find() at an open of the same size and time ─▶ read(): copies, as often as asked
 *                     drop(): its claim has ended
 *
 * At most `max` bytes of all files together: what comes when it is full is not kept (its job reads that again), so that what was promised first is
 * served. Who has found a file keeps it alive until hashed_unref().
 *
 * Thread-safe; its lock is innermost. Bytes do not change once they are kept.
 */
#ifndef CLAIMFS_TREE_HASHED_H
#define CLAIMFS_TREE_HASHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "sftp/client.h"

struct hashed;		/* of a mount */
struct hashed_file;

int hashed_new(size_t max, struct hashed **ret_hashed);	/* 0 or -ENOMEM */
void hashed_free(struct hashed *hashed);		/* once nobody has a file of it; NULL is fine */

/*
 * Bytes of the file at `path` on the server when its size and mtime were these, from `offset` on: the next ones after those kept, or 0: the file is begun
 * anew. True: it has taken `bytes`, and leaves the buffer empty.
 */
bool hashed_add(struct hashed *hashed, const char *path, uint64_t size, int64_t mtime, uint64_t offset, struct buf *bytes);
void hashed_drop(struct hashed *hashed, const char *path);

/* What is kept of it, if it is as it was then; NULL: nothing. The caller's reference. */
struct hashed_file *hashed_find(struct hashed *hashed, const char *path, const struct sftp_attrs *attrs);
bool hashed_any(struct hashed *hashed);		/* is it worth asking? */
void hashed_unref(struct hashed_file *file);	/* NULL is fine */

/* Copies [offset, offset + len) into `data`, if all of it is kept. What is behind the file's end is not: the server says whether it has grown. */
bool hashed_read(struct hashed_file *file, uint64_t offset, void *data, size_t len);

#endif
