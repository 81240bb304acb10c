/*
 * queues: the queues of a mount, and what the virtual nodes share. Internal to tree/; what real directories call is in tree.h.
 *
 *   place   a directory that was asked for a virtual name: no queue | a broken queue.conf | a queue. Known by its path on the server;
 *           virtual nodes hold it. Looked at again, in the background, when what is known is older than a second.
 *   live    an open queue and its store. Held by its place, and for as long as they take by jobs and ctl sessions; the last one to
 *           let go closes it. A queue.conf that was changed is a new live.
 *   vjob    one operation on a virtual node, on a thread of tree/work.h, because queue/queue.h may wait for the disk.
 *
 * Lock order: queues->lock, then place->lock, then the stores' locks; none is held over a call into queue/.
 */
#ifndef CLAIMFS_TREE_QUEUES_H
#define CLAIMFS_TREE_QUEUES_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/queue.h"
#include "tree/tree.h"
#include "tree/work.h"

struct place;
struct live;

/* ---- places and lives ---- */

struct queue *live_queue(const struct live *live);
struct store *live_store(const struct live *live);
int64_t live_opened(const struct live *live);	/* seconds, this machine's: the time of directories in which nothing has happened yet */
void live_ref(struct live *live);
void live_unref(struct live *live);		/* may close the queue: not on an I/O thread */
void live_session_begin(struct live *live);	/* of ctl, with a ref of its own: while there is one, a changed queue.conf waits */
void live_session_end(struct live *live);

/* The place's queue, with a ref; NULL: *ret_error is why not (-EIO: broken, -ENOENT: none, -ENOTCONN: the mount ends). */
struct live *place_live(struct place *place, int *ret_error);
bool place_why(struct place *place, struct buf *ret_why);	/* broken: the line that says why */
const char *place_path(const struct place *place);		/* on the server */
bool place_ending(struct place *place);			/* the mount ends: what is closed now was not closed by its program */

/* What runs on a thread is counted, so that queues_free() can wait for it. */
void queues_begin_job(struct queues *queues);
void queues_end_job(struct queues *queues);

/* How many queues are open; *ret_oldest: the age (ns) of the oldest last heartbeat among them, -1: none has one. May block. */
unsigned int queues_heartbeats(struct queues *queues, int64_t *ret_oldest);

void place_ref(struct place *place);
void place_unref(struct place *place);

/* ---- virtual nodes ---- */

enum vkind { VKIND_STATE, VKIND_TICKET, VKIND_STAGE, VKIND_CTL, VKIND_PROGRESS };

struct vnode {				/* node->data of every virtual node; never changes */
	struct place *place;		/* held */
	enum vkind kind;
	enum queue_state state;		/* of STATE and TICKET */
	bool json;			/* of PROGRESS */
	char *sub;			/* path below todo/, …, stage/; "" for these themselves */
};

extern const struct node_ops vdir_ops;		/* todo/ claims/ done/ failed/ and directories in them: vdir.c */
extern const struct node_ops ticket_ops;	/* vfile.c */
extern const struct node_ops progress_ops;	/* vfile.c */
extern const struct node_ops stage_ops;		/* stage.c */
extern const struct node_ops ctl_ops;		/* ctlfile.c */

struct vnode *vnode_of(const struct node *node);

/* The child `name` of `dir` as a virtual node with one ref; its kind decides its ops, and it has the vnode described. NULL: out of memory. */
struct node *vnode_get(struct tree *tree, struct node *dir, const char *name, const struct vnode *vnode);
void vnode_free(struct node *node);		/* node_ops.free of all of them */

/* sub + "/" + name */
int vnode_sub(const struct vnode *vnode, const char *name, struct buf *ret_path);

void vnode_stat(const struct tree *tree, uint64_t ino, mode_t mode, uint64_t size, int64_t mtime, struct stat *ret_st);

/* Answers with the node (whose ref it takes) as an entry that the kernel does not keep. */
void vnode_entry(struct tree *tree, struct node *node, const struct stat *st, struct reply *reply);

/* The same for todo, claims, done, failed, stage and ctl: names that stay while the queue does, and that every path to a ticket goes through. Only the name
 * is kept, never an attribute. */
void vnode_top_entry(struct tree *tree, struct node *node, const struct stat *st, struct reply *reply);

/* What programs are told: STORE_FAILURE and STORE_UNKNOWN are -EIO. */
int vnode_error(int error);

/* ---- jobs ---- */

struct vjob {
	struct work_job job;
	void (*run)(struct vjob *vjob, struct live *live);
	bool without;			/* run() is called even when there is no queue */
	struct tree *tree;
	struct reply *reply;
	struct node *node;		/* held */
	struct node *new_dir;		/* held, or NULL */
	struct place *place;		/* held */
	char *name;
	char *new_name;
	struct handle *handle;
	off_t offset;
	int flags;
	bool plus;
};

/* NULL: out of memory, and the reply has been answered so. `name` may be NULL. */
struct vjob *vjob_new(struct tree *tree, struct node *node, const char *name, struct reply *reply);

/* `run` is called on a worker thread with the place's queue (the node's place, if no other was set); it answers and ends with vjob_end() or
 * vjob_answer(). Without a queue the job is answered with why there is none; submit_without: `run` gets NULL. */
void vjob_submit(struct vjob *vjob, void (*run)(struct vjob *vjob, struct live *live));
void vjob_submit_without(struct vjob *vjob, void (*run)(struct vjob *vjob, struct live *live));
void vjob_end(struct vjob *vjob);			/* before the answer */
void vjob_answer(struct vjob *vjob, int error);		/* ends, then answers with an error or success */

/* ---- pieces that one file lends the others ---- */

/* The queue's own names: what stands at `name` in the directory of `place` (queues.c → the kinds). */
void vdir_top(struct vjob *vjob, struct live *live, enum queue_state state);
void progress_top(struct vjob *vjob, struct live *live, bool json);
void stage_top(struct vjob *vjob);
void ctl_top(struct vjob *vjob);

/* getattr of tickets and their directories; "." and ".." of a listing: false when they don't fit (vdir.c). */
void vdir_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply);
bool vdir_dots(struct tree *tree, struct node *dir, off_t *offset, struct reply *reply);

/* node_ops.opendir of stage_ops (stage_list.c). */
void stage_opendir(struct tree *tree, struct node *dir, struct reply *reply);

/* An open ticket: its text is fixed now (vfile.c). 0, -ENOENT, -errno. */
int ticket_handle(struct tree *tree, struct node *node, struct live *live, struct handle **ret_handle);

#endif
