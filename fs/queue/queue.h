/*
 * queue: one queue as one mount sees and works it. The face of fs/queue towards the virtual directories (tree/) and ctl (queue/ctl.h).
 * The contract is claimfs-queue(7): units, claims, leases, markers, and why a claim is a hard link.
 *
 *   view (what ls shows)        queue_look, queue_list, queue_ticket, queue_progress  ─▶ index (what this mount knows, ≤ ttl old)
 *   verbs (what decides)        queue_take, queue_claim, queue_finish, queue_redo …   ─▶ claim, commit ─▶ store (the disk)
 *   life                        queue_open, queue_close                               ─▶ lease (heartbeats, the server's clock)
 *
 * All calls may block for round trips to the disk and are thread-safe; none may be made on an I/O thread. Names of units are
 * relative to the input directory, as bytes: "a/b.jpg".
 */
#ifndef CLAIMFS_QUEUE_QUEUE_H
#define CLAIMFS_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/qconf.h"
#include "queue/store.h"

struct keep;
struct queue;
struct ctl;	/* queue/ctl.h: a session that owns claims */

struct queue_options {
	const char *host;	/* this node's name; bytes that a file name may not hold are replaced */
	int pid;		/* of this mount, for people */
	int64_t ttl_ns;		/* -o queue_ttl: a view is at most this old; 1 s */
	uint64_t seed;		/* of this mount's permutation */
	int64_t link_limit;	/* begin a new heartbeat file every so many links; 0: 30,000 */
	bool one_host;		/* one host has the disk or is its only client: a directory's mtime that it tells is never older than its entries */
	int64_t share_from;	/* listings of more inputs than this are shared with other mounts; 0: 10,000 */
	struct keep *keep;	/* what earlier mounts learned (queue/keep.h); NULL: none. Must outlive the queue */
	/*
	 * A session has taken a unit: its input's path, relative to the queue, and what a look at it told that was sent at `asked_ns` (clock_now). In the
	 * order in which the names are told, before they are. Called with locks held: it must be quick and not call the queue. May be NULL.
	 */
	void (*taken)(void *arg, const char *input, const struct store_attrs *attrs, int64_t asked_ns);
	/*
	 * key = content: bytes of an input, from `offset` on (in order, beginning with 0), that were read to hash it when its size and mtime were these: who
	 * reads it next need not ask the disk. True: it has taken `bytes`. No lock is held. And: the claim of such an input ended (called as `taken` is).
	 * May be NULL, both.
	 */
	bool (*hashed)(void *arg, const char *input, uint64_t size, int64_t mtime, uint64_t offset, struct buf *bytes);
	void (*hashed_end)(void *arg, const char *input);
	void *inputs_arg;	/* of these */
};

/* Is there a queue at the store's root? Reads and checks queue.conf. 0, -ENOENT (none), -EINVAL (broken: `why` says file and line). */
int queue_probe(struct store *store, struct qconf *ret_conf, struct buf *why);

/*
 * Opens: reads queue.conf, starts the refresh and heartbeat threads. This node's heartbeat file is made at the first claim, so a mount that
 * only looks leaves no trace. 0 or -errno with one line in `why`. The store must outlive the queue.
 */
int queue_open(struct store *store, const struct queue_options *options, struct queue **ret_queue, struct buf *why);

/* Gives every claim held back (not counted), stops the threads, frees. Waits for the disk at most `timeout_ns`. NULL is fine. */
void queue_close(struct queue *queue, int64_t timeout_ns);

const struct qconf *queue_conf(const struct queue *queue);

/* How old this node's last acknowledged heartbeat is (ns); -1: it has made none. */
int64_t queue_heartbeat_age(struct queue *queue);

/* ---- the view ---- */

enum queue_state { QUEUE_TODO, QUEUE_CLAIMS, QUEUE_DONE, QUEUE_FAILED, QUEUE_STATES };

enum queue_kind { QUEUE_NOTHING, QUEUE_DIR, QUEUE_TICKET };

struct queue_entry {
	enum queue_kind kind;
	uint64_t size;		/* of the ticket's text, exact */
	int64_t mtime;		/* seconds, the server's: the last change of state (of a directory: of anything in it) */
	uint64_t id;		/* stable while mounted: for inode numbers */
};

/* What stands at `name` in todo/, claims/, done/ or failed/. "" is the directory itself. Refreshes the view first if it is too old.
 * 0 with kind QUEUE_NOTHING when there is nothing; -errno when the disk could not be asked. */
int queue_look(struct queue *queue, enum queue_state state, const char *name, struct queue_entry *ret_entry);

/*
 * Lists the sub-directory `dir` ("" is the top), in this mount's permutation. `*cursor` begins at 0 and is moved past what was
 * taken; it stays meaningful while units come and go: nothing is shown twice, and what was there all the time is shown. `emit` gets
 * the entry's base name and the cursor that follows it, and returns false when it is full (the entry is then shown again next
 * time). With `stat`, entry->size and mtime are filled (it may have to read owners of claims), else only kind and id. At cursor 0
 * the view is refreshed first where it was too old at `asked_ns` (clock_now()).
 */
typedef bool queue_emit(void *arg, const char *name, const struct queue_entry *entry, uint64_t next_cursor);
int queue_list(struct queue *queue, enum queue_state state, const char *dir, uint64_t *cursor, bool stat, int64_t asked_ns, queue_emit *emit,
	       void *arg);

/* The ticket's text. 0, -ENOENT, -errno. */
int queue_ticket(struct queue *queue, enum queue_state state, const char *name, struct buf *ret_text);

/* The text of `progress` (bar, counts, rate, ETA, a line per node) or of progress.json. */
int queue_progress(struct queue *queue, bool json, struct buf *ret_text);

/* ---- verbs ---- */

/*
 * Takes up to `count` units for the session `owner` (NULL: for the mount itself, until finished or the mount ends). Names are appended to
 * ret_names as NUL-terminated strings, one after another. Returns how many; 0 when none is left to take (with `wait`: when
 * every unit is done or failed); -EINTR when `*cancel` was set (with __atomic_store_n: read it so) and queue_wake() called; -errno.
 * Without `wait` it still waits for inputs that are not settled yet and for a view that is being made.
 */
int queue_take(struct queue *queue, struct ctl *owner, int count, bool wait, const bool *cancel, struct buf *ret_names);

/* Which attempt at it this mount's claim of the unit is; 0: it is not claimed here. */
unsigned int queue_attempt(struct queue *queue, const char *name);

/* Wakes every queue_take() so that it looks at its `cancel`. */
void queue_wake(struct queue *queue);

/* Claims this very unit for the mount. 0; -EBUSY somebody holds it; -ENOENT done, failed or no such unit; -errno. */
int queue_claim(struct queue *queue, const char *name);
/* The same for a session, as queue_take(): 1, and its name is appended, or -errno. */
int queue_claim_for(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names);

/*
 * A second attempt for a session at a unit that another mount works on, the first there is in its generation: at `name`, or (NULL) at the one
 * that takes longest, if it takes far longer than the others and nothing is left in todo/. 1, and its name is appended; -EBUSY there is one
 * already, or this mount has the unit; -ENOENT nobody works on it, or none takes that long; -errno.
 *
 * It is held like a claim. Given up or failed it leaves the unit as it is.
 */
int queue_hedge_for(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names);

/* CHECK ends a claim only if it is over: -EEXIST done by another (nothing is published), -ESTALE lost. 0: it goes on. */
enum queue_verb { QUEUE_VERB_DONE, QUEUE_VERB_FAIL, QUEUE_VERB_RELEASE, QUEUE_VERB_LOSE, QUEUE_VERB_CHECK };

struct queue_output {		/* a file */
	const void *data;
	size_t len;
	uint32_t mode;		/* permission bits */
};

struct queue_finish {
	enum queue_verb verb;
	const char *name;
	const struct queue_output *output;	/* QUEUE_VERB_DONE: published in place of what is staged. NULL: what is staged, if anything */
	const char *values;	/* "k=v k=v …" (pct-encoded values) for the log record and the ticket, or NULL */
	struct ctl *owner;	/* not NULL: only if this session took it and holds it still, else -EACCES (what a closing session gives back may
				   have been finished by mv and taken again by another one) */
	/* results */
	int error;		/* 0; -EEXIST done before (queue.md: `already`); -ESTALE the claim was lost; -EACCES not this mount's;
				   -EAGAIN the input changed meanwhile: the work was dropped and the unit is free; -errno */
	char node[256];		/* with -EEXIST: who did it */
};

/* Ends claims, all of them together: in as many round trips as one would take. Results are in each entry. */
void queue_finish(struct queue *queue, struct queue_finish *list, size_t count);

int queue_retry(struct queue *queue, const char *name);		/* a failed unit, a new generation. 0, -ENOENT, -EBUSY, -errno */
int queue_redo(struct queue *queue, const char *name);		/* a done unit, a new generation */
int queue_mark_done(struct queue *queue, const char *name);	/* done elsewhere. 0, -EEXIST, -ENOENT no such unit, -EBUSY held, -errno */

/* ---- staging ---- */

/*
 * Where stage/PATH is kept on the disk. QUEUE_TICKET: PATH is the output of a unit held here, or below it: the path relative to the queue
 * directory is appended to ret_path. QUEUE_DIR: PATH is "" or a directory above such outputs. QUEUE_NOTHING: no unit held here
 * has it. Needs no round trip.
 *
 * Something may be there only after it was asked for `to_make`: until then it is QUEUE_NOTHING to who only looks, and the unit's end need not look.
 */
enum queue_kind queue_stage(struct queue *queue, const char *path, bool to_make, struct buf *ret_path);

/* The entries of the directory stage/DIR: as queue_list, base names; the caller asks the disk which of them exist. */
int queue_stage_list(struct queue *queue, const char *dir, queue_emit *emit, void *arg);

#endif
