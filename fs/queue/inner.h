/*
 * inner: struct queue, as the files of the engine see it. Not for others: they have queue.h.
 *
 * Lock order: queue->lock, then the lease's (inside lease.c). queue->lock is held for moments, never across a store call: a step reads what
 * it needs under the lock, marks its units UNIT_BUSY (or its held claims `busy`), asks the disk, and takes the lock again to say
 * what came of it. Whoever finds a unit busy waits on `changed` or leaves it alone.
 */
#ifndef CLAIMFS_QUEUE_INNER_H
#define CLAIMFS_QUEUE_INNER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "queue/flight.h"
#include "queue/index.h"
#include "queue/lease.h"
#include "queue/progress.h"
#include "queue/queue.h"
#include "queue/record.h"
#include "queue/walls.h"

/* A claim of this mount, or (not yet `claimed`) one under way, which keeps others from the same name and output. */
struct held {
	struct list link;		/* queue->held */
	char *name;
	char *output;			/* relative to the queue */
	char *stage;			/* below stage/ */
	uint32_t unit;
	struct layout_claim claim;
	struct lease_stand stand;	/* its lapses are those it was claimed or last verified under */
	struct hash128 key;
	bool has_key;
	bool offered;			/* bytes of its input were (options.hashed) */
	bool claimed;
	bool busy;			/* an end of it is under way */
	unsigned int makes;		/* how often its place in stage/ was asked for to make something: 0: nothing is staged */
	bool unanswered;		/* a LINK of its marker was sent and never answered */
	uint32_t attempt;
	struct store_attrs input;	/* at the claim, as a look told that was sent at asked_ns; 0: none was answered yet */
	int64_t asked_ns;
	int64_t since;			/* the server's seconds */
	int64_t claimed_ns;		/* clock_now() */
	struct ctl *owner;		/* NULL: the mount */
	struct debt *debt;		/* made with it, so that giving it back needs no memory; NULL: it is given back already */
};

/* A claim to be given back: kept until the disk has acknowledged it (queue.md, "Release"). */
enum debt_kind {
	DEBT_FREE,			/* rename NODE.free over it */
	DEBT_LOST,
	DEBT_HEAL,			/* a LINK without an answer: free it if it is there and this node's (heal.c) */
};

struct debt {
	struct list link;
	enum debt_kind kind;
	struct layout_claim claim;
	struct lease_stand stand;
	bool sent;			/* tried before: read the owner first */
	bool rename;			/* DEBT_HEAL: it was a RENAME, which comes over whatever is there by then */
};

/* What anybody may remove: queue.md, "Sweep". */
struct dirt {
	struct list link;
	char path[LAYOUT_PATH];
	bool tree;			/* may be a directory with things in it */
};

struct node_facts {			/* what is known of a node, for progress and tickets */
	char name[LAYOUT_MAX_NODE + 1];
	uint64_t done, failed, lost;
	int64_t last_record;		/* the server's seconds */
	struct progress_spent spent;	/* by its jobs */
};

struct log_state {			/* another node's log, or this mount's own ones */
	uint32_t node;			/* index into nodes + 1 */
	uint32_t number;		/* K of log/NODE.K; 0: log/NODE */
	uint32_t listing;		/* met last by this listing of log/ */
	uint64_t listed;		/* size in the last listing */
	uint64_t consumed;		/* whole lines taken in */
	bool skipping;			/* in the middle of a line that is too long */
	bool own;
	bool mine;			/* written by this mount: its records were counted when they were made */
	bool merged;			/* lines of it were met in a merged log */
};

#define CONTENT_MAP_KEY (sizeof(struct hash128) + sizeof(uint32_t))	/* KEY.G as a key of maps */
#define RATE_SLOTS 64			/* seconds of recent completions */

struct queue {
	struct store *store;
	struct qconf conf;
	struct queue_options options;
	char *host;
	struct lease *lease;

	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t changed;		/* states, busy flags, the view's age, wake-ups */
	pthread_cond_t work;		/* for the keeper */
	struct index index;

	/* the view */
	bool refreshing;
	int64_t viewed_ns;		/* begin of the last good refresh; INT64_MIN: none yet */
	uint64_t refreshes;		/* ended, good or not */
	int refresh_error;		/* of the last one */
	int64_t used_ns;		/* when somebody last looked or took */
	int64_t relist_ns;		/* key = stat, content: list all inputs again then */
	bool sharing;			/* this mount lists the inputs for others too (share.h) */
	bool share_due;			/* and has done so: the keeper writes it */
	int64_t failed_mtime, redo_mtime;	/* of the directories at their last clean listing; INT64_MIN: none; written by who refreshes */
	int64_t failed_since_ns[2], redo_since_ns[2];	/* since when an mtime was seen, and which */
	int64_t probed_ns;		/* when the server was last asked for its time without an identity */
	bool probe_failed;
	struct log_state *logs;		/* log id is index + 1 */
	uint32_t log_count;
	struct map log_by_name;		/* NODE or NODE.K → index + 1 */
	uint32_t log_listing;		/* number of the last listing of log/ begun */
	struct node_facts *nodes;
	uint32_t node_count;
	struct map node_by_name;	/* NODE → index + 1 */
	struct map keys;		/* key = content: KEY.G → unit + 1 that is done under it */

	/* taking */
	uint32_t *order;		/* todo units by hash: the common order */
	uint32_t order_count;
	uint32_t order_at;
	uint32_t order_left;
	bool order_sparse;		/* so few are left in this pass that all of it is walked */
	uint64_t random;
	uint64_t wakes;

	/* claims of this mount */
	struct list held;
	struct map held_by_name;
	struct map held_by_stage;
	struct map stage_dirs;		/* directories above outputs → how many (as a pointer) */
	struct map committing;		/* KEY.G of commits under way */
	struct map answered;		/* KEY.G this mount answered ok, for key = content */
	struct map made_dirs;		/* output directories known to be there */

	/* own log */
	struct buf log_text;		/* records not written yet */
	struct buf log_sending;		/* being written */
	bool log_busy;
	bool log_unsure;		/* the last append may stand there in part */
	uint64_t log_size;
	struct store_file *log_file;
	char log_node[LAYOUT_MAX_NODE + 1];
	uint32_t log_number;		/* K */
	uint32_t log_epoch;		/* of the incarnation it is named after */
	uint32_t log_lapses;		/* when it was last known to be there */
	uint32_t log_index;		/* in logs + 1 */

	/* the keeper */
	pthread_t keeper;
	bool keeper_running;
	bool stopping;
	struct list debts;
	struct list heals;		/* LINKs (and RENAMEs) of claims without an answer that may still come */
	int64_t healing_ns;		/* when the last of them was added */
	struct list dirt;
	bool paying;
	int64_t debts_ns;		/* when to try them next */
	int64_t flush_ns;		/* when to write the log and to sweep next, after a failure */
	int64_t watched_ns;		/* when claims/ was last listed */
	int64_t sweep_ns;		/* when to look for nodes long gone next */
	int64_t markers_ns;		/* when to check the next directory of markers */
	uint32_t marker_dir;		/* the next of done/00 … ff to check; 256: all were */

	uint64_t remembered;		/* the index's version at the last good remember_save(), */
	int64_t remember_took_ns;	/* and how long that took */
	bool kept_ours;			/* what lies in the keep was written from this index */
	int64_t remember_ns;		/* the next one, at the earliest */

	/* progress */
	struct { int64_t second; uint32_t done; } rate[RATE_SLOTS];
	int64_t first_done, last_done;
	struct progress_spent spent;
	bool has_spent;
	struct walls walls;			/* of done units */
	struct progress_hedges hedges;
	double take_s, commit_s;
	bool link_doubt;		/* LINKs failed for which nobody looked, and none has succeeded since */
	uint64_t claims_tried, claims_lost;	/* LINKs sent for claims, and those that somebody else was before */
	int64_t refresh_ns;			/* how long the last refresh took */
	int64_t claims_ns;			/* … and listing claims/ alone */
};

/* What is told to those above: they know nothing of the store's own answers. */
static inline int public_error(int error)
{
	return error == STORE_UNKNOWN || error == STORE_FAILURE ? -EIO : error;
}

/* queue.c */
void queue_clock(struct queue *queue, struct index_clock *ret_clock);
int64_t queue_time(struct queue *queue);	/* the server's seconds as well as is known */
void queue_changed_locked(struct queue *queue);

/* refresh.c */
int queue_refresh(struct queue *queue, int64_t max_age_ns);	/* a view at most that old now; 0 or -errno */
int queue_refresh_since(struct queue *queue, int64_t least_ns);	/* one that was begun then or later */
void queue_watch(struct queue *queue);				/* lists claims/ only */
bool refresh_is_clean(const struct index_clock *clock, int64_t mtime, int64_t since_ns);

/* scan.c */
struct scan;
struct scan_marks {			/* STORE_LSTATs of failed/ and redo/: they go along */
	struct store_op failed, redo;
};
/* Looks at the directories of inputs that are known: one flight, where there are not very many. 0 or -errno; the scan is for scan_list() in any case. */
int scan_look(struct queue *queue, struct scan_marks *ret_marks, struct scan **ret_scan);
/* Lists those that changed, unless there is an `error`, and frees the scan, which may be NULL. *ret_listed: some were. The error, 0 or -errno. */
int scan_list(struct scan *scan, int error, bool *ret_listed);
/* How long (ns) until all inputs are listed again, to see what changed in place, after that took `took_ns` and with so many mounts around. */
int64_t scan_relist_after(int64_t took_ns, uint32_t mounts);

/* logs.c */
#define LOGS_REF_BITS 40		/* a record's place: log's index + 1 << LOGS_REF_BITS | offset */
struct log_place {			/* where a record was met */
	uint64_t ref;
	uint32_t node;			/* whose record it is; 0: not known */
	uint32_t origin;		/* of a merged log: the one it stood in first; 0: this one */
	bool counted;			/* it was met before */
};
int logs_apply_locked(struct queue *queue, const struct record *record, const struct log_place *place, const struct index_clock *clock);
uint32_t logs_get_locked(struct queue *queue, const char *name);	/* NODE or NODE.K: index + 1; 0: out of memory */
void logs_name(const struct queue *queue, uint32_t log, char ret_name[LAYOUT_MAX_LOG + 1]);	/* of the log with this index */
/* `listing` of log/, which was begun and is ended here; NULL: there is none yet. */
int logs_refresh(struct queue *queue, struct store_listing *listing);
/* The record at a place of a file on the disk; it points into `text`. Not under the lock. */
int logs_read_line(struct queue *queue, const char *path, uint64_t offset, struct buf *text, struct record *ret_record);
/* The line of a done or failed unit: 0 and `text`, which is decoded in place and which *ret_record points into. */
int logs_read(struct queue *queue, uint64_t ref, struct buf *text, struct record *ret_record, char ret_node[LAYOUT_MAX_NODE + 1]);
uint32_t nodes_get_locked(struct queue *queue, const char *name);	/* index + 1; 0: out of memory */
/* Builds a ticket's size from a record, for the unit it is of. */
uint32_t ticket_size_of_record(struct queue *queue, uint32_t unit, const struct record *record, const char *node);

/* own_log.c */
/* Puts a record of this mount into its log and its own index (queue->lock held). The write follows at once, on the keeper. */
void logs_add_locked(struct queue *queue, const struct record *record);
int logs_flush(struct queue *queue);

/* merge.c */
void merge_logs(struct queue *queue);

/* held.c */
int held_new(struct queue *queue, uint32_t unit, const char *name, struct ctl *owner, struct held **ret_held);
void held_free(struct held *held);
int held_add_locked(struct queue *queue, struct held *held);		/* 0; -EBUSY its output is another's; -ENOMEM */
void held_drop_locked(struct queue *queue, struct held *held);		/* off all lists, and frees it */
bool held_has_locked(const struct queue *queue, const struct layout_claim *claim);	/* held, or being claimed, under this very name */
struct held *held_find_locked(struct queue *queue, const char *name);	/* claimed ones only */
bool held_is_sure(struct queue *queue, const struct held *held);	/* needs no verifying */
const struct hash128 *held_key(const struct held *held);		/* what its marker is named by: UNIT, where its key is not known (yet) */
/* What the log is to say of it now, without values. Its name is the held's. */
/* Adds NAME=BYTES to a record's values, if it doesn't say that itself and there is room. */
void held_add_size(struct buf *values, const char *name, uint64_t bytes);
struct record held_record(struct queue *queue, const struct held *held, enum record_what what);

/* hedge.c */
bool held_is_hedge(const struct held *held);
/* Adds what a record of this attempt says besides: whether it is a hedge and came first, how long it was worked on in vain. */
void hedge_values(const struct held *held, bool won, struct buf *values);
/* It ended without a commit of its unit; `job` is what there is to say of its job, as in queue_finish.values. */
void hedge_log_lost_locked(struct queue *queue, const struct held *held, const char *job);

/* take.c */
int64_t take_age(struct queue *queue);			/* how old a view may be to take by */

/* verify.c */
struct verify {
	struct held *held;
	int error;			/* 0 still ours; -ESTALE gone; else the disk could not be asked */
};
void verify_claims(struct queue *queue, struct verify *list, size_t count);

/* marks.c */
enum look { LOOK_ABSENT, LOOK_THERE, LOOK_UNKNOWN };
enum look flight_look(const struct flight *flight, size_t op);	/* what an LSTAT said */
struct marks {				/* how failed/ and redo/ are looked at for the claims of one flight */
	int64_t failed_mtime, redo_mtime;	/* at their last clean listings */
	bool at_rest;			/* two looks at the directories stand for those at all names, if these are their mtimes still */
	size_t failed, redo;		/* in the flight */
};
struct attempt;
/* Before its LINKs are sent; looks of one claim, after its LINK; after the last of them; what the answers mean, into `list`: may fly once more. */
void marks_begin(struct queue *queue, size_t count, struct marks *ret_marks);
void marks_add(const struct marks *marks, struct flight *flight, struct attempt *attempt);
void marks_add_last(struct marks *marks, struct flight *flight);
void marks_end(struct queue *queue, const struct marks *marks, const struct flight *flight, struct attempt *list, size_t count);

/* claim.c */
struct attempt {			/* one unit that is to be claimed */
	uint32_t unit;			/* UNIT_BUSY; the call ends that */
	struct index_chance chance;
	int error;			/* 0 claimed: `held`; -EBUSY; -ENOENT done, failed, gone; -errno */
	struct held *held;
	bool settled;			/* `error` says how it ended */
	bool any;			/* another unit would do as well: that somebody was before need not be certain */
	bool again;			/* the disk's limit of links was met: once more from another file */
	uint64_t full;			/* what lease_full() said then */
	bool doubtful;			/* verify before believing */
	bool found_done;		/* the marker was there: whose it is belongs into the log */
	int content;			/* struct content_look's error */
	enum look is_failed, is_redone;	/* marks_end() */
	int64_t looked_ns;		/* clock_now() when that was answered */
	size_t link, marker, failed, redo, stale, input;	/* in the flight */
};
/* May the unit be claimed now? Then it is UNIT_BUSY and `ret_attempt` filled in. */
bool claim_output_taken_locked(struct queue *queue, uint32_t unit);	/* its output is that of another unit held here */
bool claim_ready_locked(struct queue *queue, uint32_t unit, struct attempt *ret_attempt);
void claim_units(struct queue *queue, struct attempt *list, size_t count, struct ctl *owner);

/* found.c */
void found_done_log(struct queue *queue, struct attempt *list, size_t count);	/* those with `found_done` */
void found_stale_log(struct queue *queue, struct attempt *list, size_t count);	/* those that claimed after a stale one */

/* release.c */
void debt_add_locked(struct queue *queue, enum debt_kind kind, struct held *held);	/* once for each; `held` may go */
void debt_due_locked(struct queue *queue, struct debt *debt);	/* the same with one that was made before */
void debts_pay(struct queue *queue);	/* what is not acknowledged stays for the next time */
/* Ends a held claim (DEBT_FREE, DEBT_LOST): the debt, what was staged, the held itself. */
void release_held_locked(struct queue *queue, struct held *held, enum debt_kind kind);

/* heal.c */
void heal_add_locked(struct queue *queue, const struct layout_claim *claim, const struct lease_stand *stand, bool rename);
void heal_check_locked(struct queue *queue);	/* claims/ was listed */
int64_t heal_due_locked(const struct queue *queue, int64_t now);	/* when it must be listed for that; INT64_MAX: there is nothing to heal */

/* commit.c */
struct ending {				/* a held claim that is being ended */
	struct queue_finish *finish;
	struct held *held;		/* busy; NULL once it was dropped */
	bool settled;			/* finish->error says how */
	bool gone;			/* verified, and no longer this mount's */
	bool look;			/* a marker may say how it ended */
	bool no_dir;			/* its marker's directory is to be made */
	size_t op;			/* in the flight under way */
	struct hash128 key;		/* of what was done, for after `held` */
	char map_key[CONTENT_MAP_KEY];
	size_t op_end;
	bool made;			/* something may be staged */
	bool staged;			/* something is staged and not yet published */
	bool published;			/* what was staged has been moved to its place */
	bool dir;			/* it is a directory */
	bool sized;			/* `size` is known: it is a file */
	uint64_t size;
	bool put;			/* a file may be at `source` that was written from finish->output */
	char source[LAYOUT_PATH];	/* what is staged */
	int rename_error;
};
void commit_claims(struct queue *queue, struct ending *list, size_t count);
/* Still this mount's, and not done by another? Those that are neither end here, with nothing published; the others stay open. */
void check_claims(struct queue *queue, struct ending *list, size_t count);
/* What must be so before an end: still this mount's claim (verified where there is doubt). Others are settled with their error. */
void ending_check(struct queue *queue, struct ending *list, size_t count);
void ending_settle(struct queue *queue, struct ending *ending, int error);

/* put.c */
/* Writes every finish->output to a file below tmp/, fsynced: ending->source, `staged`. Settles those for which that fails. */
void put_outputs(struct queue *queue, struct ending *list, size_t count);
void put_sweep(struct queue *queue, struct ending *list, size_t count);	/* removes those that were not published */

/* publish.c */
int publish_fsync_error(int error);		/* what is to be made of an fsync's error: 0, with a warning, when the server can't */
int publish_check_tmp(struct queue *queue, const struct held *held);	/* is tmp/NODE there? 0, -ENOENT (the lease is given up then), -errno */
void publish_outputs(struct queue *queue, struct ending *list, size_t count);
int publish_link_output(struct queue *queue, const char *from, struct held *to);	/* a content duplicate's; 1 done, 0 can't be linked */

/* fail.c */
void fail_claims(struct queue *queue, struct ending *list, size_t count);
int fail_exhausted(struct queue *queue, struct held *held, uint32_t attempts);	/* 0 or -errno */

/* content.c */
struct content_look {			/* a claim whose KEY is to be known */
	struct held *held;
	int error;			/* out: 0 it must be worked on; 1 KEY.G was done: the unit has its output and is logged as done; -errno */
	bool marked;			/* content.c's: a marker is there, and what it means is yet to be known */
};
void content_look(struct queue *queue, struct content_look *list, size_t count);
void content_map_key(const struct hash128 *key, uint32_t generation, char ret_key[CONTENT_MAP_KEY]);

/* sweep.c */
void sweep_claims_locked(struct queue *queue, const struct layout_claim *highest);	/* 1 … number, of its generation; a hedge: it alone */
/* All claims of its generation, which is done or has a successor: a hedge too, which may outlive one that failed. */
void sweep_generation_locked(struct queue *queue, const struct layout_claim *highest);
void sweep_path_locked(struct queue *queue, const char *path, bool tree);
void sweep_run(struct queue *queue);
void sweep_nodes(struct queue *queue);
int sweep_tree(struct queue *queue, const char *path);

/* leftover.c */
void sweep_leftovers(struct queue *queue);

/* keeper.c */
int keeper_start(struct queue *queue);
void keeper_stop(struct queue *queue);
void keeper_wake_locked(struct queue *queue);

#endif
