/*
 * file_state: what is kept of real files that are open. Internal to file*.c.
 *
 *   struct node ──data──▶ struct real ──opens──▶ struct open_file (a handle) ──▶ struct sftp_file
 *                          │                       └─ readahead: blocks fetched for this handle
 *                          └─ writebehind: queued writes of all handles, so that every read and stat of this mount sees them
 *
 * A real is made at the first open and lives as long as its node. An open_file lives while the kernel has it, or while
 * something of it is under way; it is closed on the server with its last ref.
 *
 * Lock order: real->lock, then files->lock; tree->lock is innermost. Nothing is sent to the server and nobody is answered under them.
 */
#ifndef CLAIMFS_TREE_FILE_STATE_H
#define CLAIMFS_TREE_FILE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "sftp/client.h"
#include "tree/readahead.h"
#include "tree/tree.h"
#include "tree/writebehind.h"

#define FILE_PAGE 4096u		/* blocks are multiples of it */
#define FILES_AHEAD_READERS 2	/* so many readers may have the whole of options.readahead ahead of them; others go on with less */

/* ---- of the whole mount ---- */

struct files {
	pthread_mutex_t lock;		/* guards what follows */
	size_t queued;			/* bytes of all writebehinds */
	size_t max_queued;
	struct list parked;		/* writes whose programs wait for room: struct parked */
	int64_t server_s;		/* the newest time of the server that was seen, 0: none … */
	int64_t server_seen_ns;		/* … and when */
	atomic_size_t ahead;		/* bytes fetched ahead by all handles */
	size_t max_ahead;
	struct block_pool pool;
};

void files_charge(struct files *files, size_t bytes);	/* before anything of it may be sent */
void files_unqueued(struct files *files, size_t bytes);

/* A write of `count` bytes was queued and charged: it is answered at once, or when there is room again. */
void files_queued(struct files *files, struct reply *reply, size_t count);

void files_saw_time(struct files *files, const struct sftp_attrs *attrs);
int64_t files_server_time(struct files *files);		/* the server's clock shows at least this (seconds), 0: not known */

/* ---- of one node ---- */

/* Called once all changes up to `seq` are acknowledged or have failed. */
struct waiter {
	struct list link;
	uint64_t seq;
	void (*run)(struct waiter *waiter);
};

struct real {
	struct tree *tree;
	struct node *node;
	pthread_mutex_t lock;		/* guards what follows, and the inside of every open_file here */
	struct list opens;
	struct writebehind wb;
	struct list waiters;
	unsigned int closing;		/* handles of the server that nobody uses any more and whose CLOSE is not answered; each holds the node … */
	struct list closes;		/* … and who waits for that */
	struct list failed;		/* writes whose error is being looked into */
	bool explaining;
	bool gone;			/* its name is being removed or given to another file, or was */
	int error;			/* of the last write that failed … */
	uint64_t error_count;		/* … told once to each handle */
	uint64_t changes;		/* writes and steps acknowledged: an answer from before one tells nothing of the size */
	uint64_t acked_end;		/* end of the furthest write acknowledged lately, at acked_ns */
	int64_t acked_ns;
	uint64_t known_end;		/* the server has told or acknowledged that it is this long; of->size counts what is queued, too */
	int64_t looked_ns;		/* when the kernel was last made to look the name up anew */
	/* What the kernel's page cache holds is what the file was when it had this size and time. */
	bool cached;
	bool was_open;			/* the kernel has had a handle of it: so it may hold pages */
	bool cached_racy;		/* it may have changed within that second */
	uint64_t cached_size;
	uint32_t cached_mtime;
	/* Last seen: what was fetched ahead is dropped when they change. */
	bool seen;
	uint64_t seen_size;
	uint32_t seen_mtime;
};

struct open_file {
	struct handle handle;
	struct real *real;
	struct list link;		/* of real->opens */
	unsigned int refs;
	struct sftp_file *file;
	struct open_file *lender;	/* held: whose file it is, opened when it had a name no more; NULL: this handle's own */
	bool readable;
	bool writable;
	bool append;
	bool guessed;			/* nobody has asked for it yet (ahead.h) */
	bool begun;			/* its first block has been asked for */
	uint64_t size;			/* last known, bounds what is fetched ahead; READAHEAD_UNKNOWN */
	uint64_t error_seen;		/* real->error_count that this handle was told */
	struct sftp_file *pages;	/* `append`: without APPEND, for pages of a mapping; NULL until one came */
	struct open_file *pages_lender;	/* held: whose it is; NULL: of->pages is this handle's own */
	unsigned int lent;		/* as their lender or pages_lender */
	bool pages_opening;
	struct list pages_waiting;	/* items */
	struct readahead ra;
	size_t ahead;			/* of its bytes, counted in files->ahead */
	struct hashed_file *hashed;	/* held: bytes of the file as it was opened, or NULL */
	struct list reads;		/* struct read: wait for blocks */
	bool closing;			/* counted in real->closing */
	struct waiter releasing;
	struct reply *release_reply;
};

struct real *real_of(struct tree *tree, struct node *node);	/* NULL: never opened */
struct real *real_get(struct tree *tree, struct node *node);	/* NULL: out of memory */

/* Sends what may be sent. No lock held. */
void real_pump(struct real *real);

/* Runs `waiter` when all that is queued by now is acknowledged (at once, if it is), and hurries it. No lock held. */
void real_wait(struct real *real, struct waiter *waiter);
void real_wait_locked(struct real *real, struct waiter *waiter, uint64_t seq);	/* for that seq; not at once: pump afterwards */

/* Runs each, once it is out of the list. No lock held. */
void waiters_run(struct list *ready);

/* A step among the writes; real_acked() when it is over. No lock held. */
void real_add_step(struct real *real, struct writebehind_item *step);

/* `item` is acknowledged: what waits for it goes on. For steps too. No lock held. */
void real_acked(struct real *real, struct writebehind_item *item);

/* Bytes up to `end` were acknowledged as written. */
void real_grew_locked(struct real *real, uint64_t end);

void real_size_unknown_locked(struct real *real);

/* It is being made this short: what is reopened after a break may be so. No lock held. */
void real_cut(struct real *real, uint64_t size);

/* What was fetched of these bytes is old. */
void real_drop_locked(struct real *real, uint64_t offset, uint64_t len);

/* Attributes that the server told: what was fetched of another state goes. Then st_size as it is with queued writes. True: it is dirty,
 * the kernel should ask again. */
void real_saw_locked(struct real *real, const struct sftp_attrs *attrs);
bool real_overlay_locked(struct real *real, int64_t asked_ns, uint64_t *size);

/* ---- of one handle ---- */

extern const struct handle_ops file_ops;	/* file.c */

struct open_file *open_file_of(struct handle *handle);

/* Past the kernel's page cache. Through it the kernel cuts an append at the end of a page: between the parts another node's record may come. */
bool open_file_is_direct(const struct open_file *of);

size_t file_block(const struct tree *tree);	/* bytes of a block of readahead */

/* With one ref; without a sftp_file and a real yet. NULL: out of memory. */
struct open_file *open_file_new(struct tree *tree, int flags);

/* It is open on the server: takes the file, the node gets a ref. */
void open_file_attach(struct open_file *of, struct real *real, struct sftp_file *file);
void open_file_ref(struct open_file *of);
void open_file_unref(struct open_file *of);		/* no lock held */
void open_file_ahead_locked(struct open_file *of);	/* counts what its readahead holds now */

/* An error of a queued write that this handle was not told yet: 0 or -errno, once. */
int open_file_error_locked(struct open_file *of);

/* Any handle with a ref taken, to reach the file by (for `writable`: one that was opened for writing), `wanted` first. NULL: none. */
struct open_file *real_any_open(struct real *real, struct open_file *wanted, bool writable);

/*
 * file_close.c: the kernel has given the handle back: who removes the file waits until it is closed. `whole`: this is its last ref. While it is lent it
 * stays open, for as long as a program likes: nobody waits for that.
 */
void open_file_closing_locked(struct open_file *of, bool whole);
void open_file_close(struct open_file *of);		/* after that; no lock held */
/* Another handle that can do at least this: with a ref, and lent until the borrower (`lender`, `pages_lender`) is closed. NULL: there is none. */
struct open_file *open_file_lend_locked(struct real *real, bool readable, bool writable, bool append);

/* ---- one subject a file ---- */

/* file.c: an open file is the kernel's now. `attrs`: of the file when it was opened, or NULL. Begins to fetch it, and says what the page cache may keep. */
void file_begin(struct open_file *of, const struct sftp_attrs *attrs, struct tree_opened *ret_opened);
void file_fetch_first(struct open_file *of, const struct sftp_attrs *attrs);	/* of one that nobody has asked for yet */
uint32_t file_sftp_flags(int flags);	/* of open(2), as SFTP_OPEN_*, without CREAT, EXCL and TRUNC */

void file_read(struct handle *handle, off_t offset, size_t size, struct reply *reply);			/* file_read.c */
void file_fetch(struct open_file *of, struct list *fetch);		/* sends what readahead planned; no lock held */
void file_write(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply);	/* file_write.c */
void file_write_page(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply);
void file_flush(struct handle *handle, struct reply *reply);
void file_fsync(struct handle *handle, bool data_only, struct reply *reply);
void file_release(struct handle *handle, struct reply *reply);
void file_send(struct real *real, struct writebehind_item *item);
void file_send_through(struct real *real, struct writebehind_item *item, struct sftp_file *file);
void file_page_send(struct real *real, struct writebehind_item *item);					/* file_page.c */
void file_append_send(struct real *real, struct writebehind_item *item);				/* file_append.c */
void file_write_failed(struct real *real, struct writebehind_item *item, int error);		/* file_error.c: tells it, then real_acked */
void file_fallocate(struct handle *handle, int mode, off_t offset, off_t length, struct reply *reply);	/* file_attr.c */
void file_copy(struct handle *from, off_t from_offset, struct handle *to, off_t to_offset, size_t length, struct reply *reply); /* file_copy.c */

#endif
