/*
 * store_flight: the operations of one store_run() while they are under way; their steps are in store_step.h. Private to the store_….c here.
 *
 *   store_run ──▶ flight ──▶ slot a ──▶ one request                                  (link, lstat, rename …)
 *                      └───▶ slot b ──▶ step: open ──▶ step: fstat, reads ──▶ close   (read, create, fsync, copy)
 *
 * A step is some requests sent together; when all their answers are there, on the I/O thread of the last, the slot's `next` begins the following
 * step or ends the slot. The flight owns copies of all that the requests need, so that store_sftp_cancel() can let the waiting
 * thread go while answers are still to come: the last of them frees the flight.
 */
#ifndef CLAIMFS_TREE_STORE_FLIGHT_H
#define CLAIMFS_TREE_STORE_FLIGHT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "queue/store.h"
#include "sftp/client.h"

struct store_sftp {
	struct store store;
	struct sftp *sftp;
	struct damage *damage;	/* of the mount, or NULL */
	char *root;
	bool cancelled;		/* read with __atomic_load_n */
	uint32_t kept_mode;	/* bits of a mode that the server's umask was seen to leave; with __atomic */
	pthread_mutex_t lock;	/* guards what follows, and all flights, slots and listings */
	struct list waits;	/* struct wait of every waiting thread */
	unsigned int refs;	/* the handle, flights and listings */
};

struct wait {			/* a thread that waits, so that a cancel can wake it */
	struct list link;
	pthread_cond_t changed;
};

struct store_file {
	struct store_sftp *store;
	struct sftp_file *file;
	unsigned int refs;	/* store_open's, and one a slot; by store->lock */
};

struct slot;

struct chunk {			/* one of the reads or writes of a slot */
	struct slot *slot;
	uint64_t offset;
	size_t len;
	size_t got;
	char *data;
};

struct slot {
	struct flight *flight;
	const struct slot_kind *kind;
	char *path2;		/* full, for a copy's second step */
	struct store_file *target;
	char *bytes;		/* what is written, or was read */
	size_t bytes_len;
	uint64_t offset;
	size_t max;
	int open_flags;
	int64_t mtime;
	uint32_t mode;
	struct sftp_file *file;	/* opened for this slot; closed by the flight's end if nobody took it */
	struct sftp_file *file2;
	struct chunk *chunks;
	size_t chunk_count;
	size_t next_chunk;
	/* the step: by store->lock */
	unsigned int waiting;	/* answers to come, and one while requests are being sent */
	void (*next)(struct slot *slot);
	bool ended;
	/* results */
	int error;
	struct store_attrs attrs;
	int64_t sent_ns;
	int64_t received_ns;
};

struct flight {
	struct store_sftp *store;
	struct wait wait;
	size_t pending;		/* slots that have not ended */
	unsigned int refs;	/* the waiting thread, and pending slots */
	size_t count;
	struct slot slots[];
};

/* How a kind of operation begins, and whether asking again is harmless. */
struct slot_kind {
	void (*start)(struct slot *slot, const char *path, const char *path2);
	bool idempotent;
};

extern const struct slot_kind slot_kinds[];	/* by enum store_kind */
extern const struct slot_kind slot_kind_open;	/* store_open() */

/* Ends the slot with slot->error. */
void slot_end(struct slot *slot);

/* The server's path of `path`, which is relative to the queue. */
int store_full_path(const struct store_sftp *store, const char *path, struct buf *ret_path);
void store_unref(struct store_sftp *store);
/* store_ops.list and its two parts. */
int store_list_sftp(struct store *store, const char *path, store_entry *entry, void *arg);
void store_list_begin_sftp(struct store *store, struct store_listing *listing);
int store_list_end_sftp(struct store *store, struct store_listing *listing, store_entry *entry, void *arg);

static inline bool store_is_cancelled(const struct store_sftp *store)
{
	return __atomic_load_n(&store->cancelled, __ATOMIC_ACQUIRE);
}

void store_attrs_of(const struct sftp_attrs *attrs, struct store_attrs *ret_attrs);
/* What was an answer to a request that was sent at `asked_ns`; not all of it was told: asked_ns is 0. */
void store_attrs_back(const struct store_attrs *attrs, int64_t asked_ns, struct sftp_attrs *ret_attrs);

#endif
