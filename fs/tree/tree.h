/*
 * tree: the filesystem without FUSE: what fuse/ calls and main.c builds.
 *
 *   fuse/ops ──▶ tree (node → node_ops, handle → handle_ops) ──▶ sftp/client        real files: asynchronous, completion replies
 *                                                          └──▶ work ──▶ queue     virtual entries: on a worker thread, may wait
 */
#ifndef CLAIMFS_TREE_TREE_H
#define CLAIMFS_TREE_TREE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/map.h"
#include "sftp/client.h"
#include "tree/figures.h"
#include "tree/node.h"
#include "tree/reply.h"

struct idmap;		/* tree/idmap.h */
struct work;		/* tree/work.h: threads for what may wait */
struct queues;		/* tree/queues.h: the queues this mount has opened */
struct files;		/* tree/file.h: what all open files share */
struct ahead;		/* tree/ahead.h: files opened before they are asked for */
struct warm;		/* tree/warm.h: directories looked at before they are asked for */
struct damage;		/* tree/damage.h: what is staged with a hole in it */
struct hashed;		/* tree/hashed.h: inputs that were read to hash them */

enum idmap_mode { IDMAP_NONE, IDMAP_USER, IDMAP_FILE };

struct tree_options {
	double attr_ttl;		/* seconds; 1 */
	double entry_ttl;
	int64_t queue_ttl_ns;
	bool direct_io;
	bool kernel_cache;
	bool no_readahead;
	bool sync_writes;		/* sshfs_sync */
	bool no_queues;			/* show .claimfs directories as plain ones */
	bool follow_symlinks;
	bool transform_symlinks;
	bool contain_symlinks;
	bool disable_hardlink;
	bool rename_by_removing;	/* workaround=rename: without posix-rename, remove what is at the new name first */
	bool rename_xdev;		/* workaround=renamexdev: a rename that fails without a reason is EXDEV, so that mv copies */
	bool read_only;
	enum idmap_mode idmap;
	uid_t remote_uid, local_uid;	/* idmap=user: these stand for one another */
	gid_t remote_gid, local_gid;
	const struct idmap *uids, *gids;	/* idmap=file; NULL: as they are */
	bool force_uid, force_gid, force_umask;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	size_t readahead;		/* most bytes read ahead of a sequential reader; 16 MiB */
	size_t write_buffer;		/* most bytes queued and unacknowledged, all files together; 64 MiB */
	size_t hash_cache;		/* most bytes of inputs that were hashed and are kept for their jobs; 64 MiB */
	const char *host;		/* this node's name in queues */
	bool one_host;			/* queue.h */
	const char *cache_dir;		/* queues are remembered below it; NULL: nowhere */
	const char *cache_scope;	/* what server this is, for the names there */
};

struct tree {
	struct sftp *sftp;
	struct tree_options options;
	char *root_path;		/* on the server, absolute, without a trailing slash ("" is /) */
	struct node *root;
	struct work *work;
	struct queues *queues;
	struct files *files;
	struct ahead *ahead;
	struct warm *warm;
	struct damage *damage;
	struct hashed *hashed;
	struct figures figures;
	pthread_mutex_t lock;		/* guards names, and node's counts: see node.h */
	struct map names;		/* parent's address and name → node; by lock */
	int64_t forgot_ns;		/* when a name that somebody had known was forgotten or moved last (clock_now); by lock */
	struct map strays;		/* ino → node, of nodes that were renamed; by lock */
	/* Set by fuse/session before the first request, and for good; each may be NULL. Tells the kernel to forget a node's attributes. Never blocks. */
	void (*invalidate_attrs)(void *arg, struct node *node);
	/* Or the pages it keeps of a file, from `offset` on: done(done_arg) follows once they are gone, on a thread that may block, or within the call. */
	void (*invalidate_pages)(void *arg, struct node *node, uint64_t offset, void (*done)(void *done_arg), void *done_arg);
	/* Puts the whole of a file into the kernel's page cache, which holds nothing of it and is not being asked for any. False: it did not. */
	bool (*store_pages)(void *arg, struct node *node, const void *data, size_t len);
	void *invalidate_arg;
};

/* `root_path` is absolute and exists. 0 or -errno. The sftp must live until tree_stop() has returned. */
int tree_new(struct sftp *sftp, const char *root_path, const struct tree_options *options, struct tree **ret_tree);

/*
 * The end of a mount: once the kernel asks nothing more and every handle was released,
 *   tree_stop()   closes queues (their claims are given back) and ends the worker threads; the disk is still needed
 *   sftp_free()   answers what is still under way
 *   tree_free()   the rest. NULL is fine for both.
 */
void tree_stop(struct tree *tree);
void tree_free(struct tree *tree);

/* The node of real files and directories. */
extern const struct node_ops real_ops;

/* Attributes of the server as the mount shows them: ids mapped, umask applied, ino set. Shared by real nodes and stage. */
void tree_stat(const struct tree *tree, const struct sftp_attrs *attrs, uint64_t ino, struct stat *ret_st);

/* The way back, for chown: ids of this machine as the server knows them; (uid_t)-1 stays. 0, or -EPERM for one that has no counterpart. */
int tree_remote_ids(const struct tree *tree, uid_t uid, gid_t gid, uint32_t *ret_uid, uint32_t *ret_gid);

/* The names a queue adds to the directory that holds it are asked for first (queues_lookup). */
bool tree_has_queues(const struct tree *tree);

/* ---- the queue side, called by real directories (tree/queues.c) ---- */

/*
 * Real lookup of `name` in `dir` asks here first, when the name is one of a queue's virtual ones: true when `dir` holds a queue (or must be asked
 * whether it does): the reply is then answered by the queue side, which may come back with real_lookup(). False: not ours.
 */
bool queues_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply);

/* The rest of a real lookup, for queues_lookup() to come back to. */
void real_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply);

/* A listing of `dir` shows an entry ".claimfs": the virtual names to show as well, ends with NULL; NULL when it is no good queue.
 * Non-blocking: answers from the listing alone (the queue is opened when one of them is looked up). */
const char *const *queues_listing(struct tree *tree, struct node *dir);

int queues_new(struct tree *tree, struct queues **ret_queues);
/* Unmounting begins: handles given back from now on were not closed by their programs, so claims of their ctl sessions are not lost attempts
 * but released by queues_free(). NULL is fine. */
void queues_ending(struct queues *queues);
void queues_free(struct queues *queues);

#endif
