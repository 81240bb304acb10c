/*
 * store: what the queue needs of a disk, and nothing more. Implemented over SFTP in tree/store_sftp.c, in memory for the tests in
 * tests/fake/store_mem.c (with faults: lost answers, late execution, lost links), over local system calls for claimctl in
 * tools/store_posix.c.
 *
 * Paths are relative to the queue directory. Calls block the calling thread, which must hold no lock. Thread-safe.
 *
 * store_run() sends all operations in one flight, in order, and waits for all answers: one round trip. The disk carries them out in
 * that order, so LINK followed by LSTATs in one flight is "link, then look". Each operation gets its own error:
 *   0            done
 *   -ENOENT, -EEXIST, -EIO …  what the disk said. SFTP v3 has no EEXIST: a LINK or MKDIR onto an existing name is STORE_FAILURE.
 *   STORE_FAILURE   the disk said only "failure": look, never guess
 *   STORE_UNKNOWN   the answer never came: it may have happened, may not, or may still happen later
 *   -ENOTCONN, -ETIMEDOUT  for an idempotent operation: no answer within the mount's time-out (for others: STORE_UNKNOWN)
 */
#ifndef CLAIMFS_QUEUE_STORE_H
#define CLAIMFS_QUEUE_STORE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define STORE_FAILURE (-EREMOTEIO)
#define STORE_UNKNOWN (-ECONNRESET)

struct store_attrs {
	uint64_t size;
	uint32_t mode;		/* with the type bits */
	int64_t mtime;		/* whole seconds, the disk's clock */
	bool full;		/* the rest is known too, and all above: for whoever shows the file later */
	uint32_t uid, gid;
	int64_t atime;
};

struct store_file;		/* an open file: heartbeat files, own log */

enum store_kind {
	STORE_LINK,		/* hard link: path → path2 (new). Not idempotent. */
	STORE_LSTAT,		/* path → attrs */
	STORE_RENAME,		/* posix-rename: path over path2. Not idempotent. */
	STORE_REMOVE,		/* path. Not idempotent. */
	STORE_MKDIR,		/* path. Not idempotent. */
	STORE_RMDIR,		/* path. Not idempotent. */
	STORE_READ,		/* the whole file at path, at most `max` bytes, from `offset` → data (and attrs.size when known) */
	STORE_CREATE,		/* a new file at path with `input` (O_EXCL). Not idempotent; several round trips: open, write, close. */
	STORE_UTIME,		/* set mtime (and atime) of path to `mtime` */
	STORE_WRITE,		/* `file`: write `input` at `offset` (idempotent) */
	STORE_FSTAT,		/* `file` → attrs */
	STORE_APPEND,		/* `file`, opened for appending: append `input`; after a break it may stand there twice */
	STORE_FSYNC,		/* path: open, fsync, close. A directory too. Runs on a data connection: it may take long. */
	STORE_PUT,		/* a new file at path with `input` (O_EXCL) and `mode`, fsynced: -EOPNOTSUPP when all is written and the server can't. Not
				   idempotent; several round trips on a data connection: open, write, fsync. */
	STORE_COPY,		/* the bytes of path to a new file path2, on the disk's side where it can; several round trips */
};

struct store_op {
	enum store_kind kind;
	const char *path;
	const char *path2;
	struct store_file *file;
	const void *input;
	size_t input_len;
	uint64_t offset;
	size_t max;
	int64_t mtime;
	uint32_t mode;
	/* results */
	int error;
	struct store_attrs attrs;
	struct buf *data;	/* for STORE_READ: the caller's, appended to */
	int64_t sent_ns;	/* clock_now() just before it was sent */
	int64_t received_ns;	/* clock_now() when its answer was there */
};

struct store_name {		/* one entry of a listing; valid during the call-back only */
	const char *name;
	size_t len;
	struct store_attrs attrs;
};

/* false stops the listing. Runs on the thread that called store_list or store_list_end. */
typedef bool store_entry(void *arg, const struct store_name *name);

struct store_listing {		/* one that was begun; the caller's, from store_list_begin to store_list_end */
	const char *path;
	struct store_listing *after;
	void *begun;		/* the store's own */
	int error;
};

struct store {
	const struct store_ops *ops;
};

struct store_ops {
	void (*run)(struct store *store, struct store_op *ops, size_t count);
	int (*list)(struct store *store, const char *path, store_entry *entry, void *arg);
	/* Both or neither: without them a listing begins when its names are taken. `entry` NULL: they aren't wanted. */
	void (*list_begin)(struct store *store, struct store_listing *listing);
	int (*list_end)(struct store *store, struct store_listing *listing, store_entry *entry, void *arg);
	int (*open)(struct store *store, const char *path, int flags, struct store_file **ret_file);
	void (*close)(struct store *store, struct store_file *file);
	bool (*cancelled)(struct store *store);
};

/* One flight; returns when every op has its error. */
static inline void store_run(struct store *store, struct store_op *ops, size_t count)
{
	store->ops->run(store, ops, count);
}

/* A whole directory (without "." and ".."), in the disk's order. 0, or -errno when it could not be listed to its end. */
static inline int store_list(struct store *store, const char *path, store_entry *entry, void *arg)
{
	return store->ops->list(store, path, entry, arg);
}

/*
 * The same in two parts, so that its round trips are made along with those of what the caller does between. What it shows was there when it
 * was begun or later, and, where `after` is another listing that was begun, was read after the last name of that one was. `path` and
 * `after` must stay until the end, and `after` ends first.
 */
static inline void store_list_begin(struct store *store, const char *path, struct store_listing *after, struct store_listing *ret_listing)
{
	*ret_listing = (struct store_listing) { .path = path, .after = after };
	if (store->ops->list_begin)
		store->ops->list_begin(store, ret_listing);
}

/* Each listing that was begun must be ended. `entry` NULL: it is given up. 0, or -errno as store_list. */
static inline int store_list_end(struct store *store, struct store_listing *listing, store_entry *entry, void *arg)
{
	if (store->ops->list_end)
		return store->ops->list_end(store, listing, entry, arg);
	return entry ? store_list(store, listing->path, entry, arg) : 0;
}

/* Flags as open(2): O_WRONLY or O_RDWR, O_APPEND, O_CREAT, O_EXCL. A file stays usable over a broken connection (reopened without
 * O_CREAT); if it is gone by then every operation on it is -ENOENT or -ESTALE. 0 or -errno (STORE_UNKNOWN with O_EXCL: look). */
static inline int store_open(struct store *store, const char *path, int flags, struct store_file **ret_file)
{
	return store->ops->open(store, path, flags, ret_file);
}

static inline void store_close(struct store *store, struct store_file *file)
{
	store->ops->close(store, file);
}

/* True once the mount is ending: loops that try again give up. */
static inline bool store_cancelled(struct store *store)
{
	return store->ops->cancelled(store);
}

#endif
