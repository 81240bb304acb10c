/*
 * node: the names the kernel knows, and what stands behind each: a tree of nodes, real ones (a path on the server) and virtual
 * ones (a queue's todo/, claims/, …, ctl).
 *
 *   kernel's inode number ──▶ struct node ──ops──▶ real (dir.c, file.c) | vdir.c (todo claims done failed, tickets, progress) |
 *                                                   stage.c | ctlfile.c
 *
 * A node lives while the kernel has looked it up (`lookups`), while something in the tree holds it (`refs`), or while it has children. The
 * table of (parent, name) → node is in struct tree. Names, parents and counts are guarded by tree->lock, which is held for moments
 * only, never over a request.
 *
 * SFTP tells no inode numbers: st_ino is a hash of where the node was first seen, so that it is the same after a remount (git's index keeps
 * it), and stays the node's own when it is renamed.
 *
 * Lock order: tree->lock is innermost: nothing else is taken under it.
 */
#ifndef CLAIMFS_TREE_NODE_H
#define CLAIMFS_TREE_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "tree/reply.h"

struct tree;
struct node;
struct handle;
struct sftp_attrs;

struct node_ops {
	/* Directories. Names are single components, checked: not empty, no '/', at most 255 bytes. */
	void (*lookup)(struct tree *tree, struct node *dir, const char *name, struct reply *reply);
	void (*mkdir)(struct tree *tree, struct node *dir, const char *name, mode_t mode, struct reply *reply);
	void (*mknod)(struct tree *tree, struct node *dir, const char *name, mode_t mode, dev_t rdev, struct reply *reply);
	void (*symlink)(struct tree *tree, struct node *dir, const char *name, const char *target, struct reply *reply);
	void (*unlink)(struct tree *tree, struct node *dir, const char *name, struct reply *reply);
	void (*rmdir)(struct tree *tree, struct node *dir, const char *name, struct reply *reply);
	void (*create)(struct tree *tree, struct node *dir, const char *name, mode_t mode, int flags, struct reply *reply);
	void (*opendir)(struct tree *tree, struct node *dir, struct reply *reply);
	/* Called on the source's directory. */
	void (*rename)(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags, struct reply *reply);
	void (*link)(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply);
	/* Not NULL: called on the new directory when a real node is renamed or linked into it, before anything else; it comes back with
	 * real_rename_here() or real_link_here(). */
	void (*rename_into)(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags, struct reply *reply);
	void (*link_into)(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply);
	/* Any node. `handle` may be NULL. */
	void (*getattr)(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply);
	/* `valid`: TREE_SET_* below. */
	void (*setattr)(struct tree *tree, struct node *node, struct handle *handle, const struct stat *st, unsigned int valid, struct reply *reply);
	void (*open)(struct tree *tree, struct node *node, int flags, struct reply *reply);
	void (*readlink)(struct tree *tree, struct node *node, struct reply *reply);
	void (*statvfs)(struct tree *tree, struct node *node, struct reply *reply);
	void (*access)(struct tree *tree, struct node *node, int mask, struct reply *reply);
	void (*getxattr)(struct tree *tree, struct node *node, const char *name, size_t size, struct reply *reply);
	/* Does it have a path on the server: then rename and link between such nodes are the server's. */
	bool real;
	void (*free)(struct node *node);	/* what `data` holds; may be NULL */
};

#define TREE_SET_MODE 0x01
#define TREE_SET_UID 0x02
#define TREE_SET_GID 0x04
#define TREE_SET_SIZE 0x08
#define TREE_SET_ATIME 0x10
#define TREE_SET_MTIME 0x20
#define TREE_SET_ATIME_NOW 0x40
#define TREE_SET_MTIME_NOW 0x80

struct handle_ops {		/* an open file or directory; a NULL operation is answered with the fitting error */
	void (*read)(struct handle *handle, off_t offset, size_t size, struct reply *reply);
	/* `data` is valid during the call only: what is kept is copied. */
	void (*write)(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply);
	/* A page of a mapping, which the kernel writes back through any handle of the node that may write: O_APPEND means nothing to it. NULL: as write. */
	void (*write_page)(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply);
	void (*flush)(struct handle *handle, struct reply *reply);
	void (*fsync)(struct handle *handle, bool data_only, struct reply *reply);
	void (*readdir)(struct handle *handle, off_t offset, bool plus, struct reply *reply);
	void (*fallocate)(struct handle *handle, int mode, off_t offset, off_t length, struct reply *reply);
	void (*copy)(struct handle *from, off_t from_offset, struct handle *to, off_t to_offset, size_t length, struct reply *reply);
	/* `kick` (may be NULL) is called once, with its argument, when readiness may have changed; the handle then drops it with `drop`. */
	void (*poll)(struct handle *handle, void *kick_arg, void (*kick)(void *arg), void (*drop)(void *arg), struct reply *reply);
	void (*release)(struct handle *handle, struct reply *reply);	/* last close; frees the handle */
};

struct handle {			/* the first member of every kind */
	const struct handle_ops *ops;
	struct tree *tree;
	struct node *node;	/* held */
};

struct node {
	const struct node_ops *ops;
	struct node *parent;		/* held; NULL for the root, and for a node whose name was removed */
	char *name;			/* component; "" for the root */
	char *anchor;			/* real nodes: the server's path when it is not parent's path + "/" + name; else NULL */
	uint64_t ino;			/* st_ino */
	mode_t type;			/* S_IFMT bits last seen, 0: not known; by tree->lock */
	bool stray;			/* is or was renamed: its ino is not the hash of its name, and is kept in tree->strays */
	struct node *twin;		/* held: whose hard link it was made as, and whose ino it has; NULL */
	atomic_ullong told;		/* of the size and time that the kernel was told and may hold: see node_told; 0: none */
	uint64_t lookups;		/* the kernel's; guarded by tree->lock like all above */
	unsigned int refs;		/* handles, requests under way, children */
	void *data;			/* of its kind: struct real, the queue of a queue directory's virtual nodes, … */
};

/* The child `name` of `dir`, made if it is not there (as `ops`, with data NULL), with one ref. A child of another kind (other ops) loses
 * its name to the new one. NULL: out of memory. */
struct node *node_get(struct tree *tree, struct node *dir, const char *name, const struct node_ops *ops);
struct node *node_find(struct tree *tree, struct node *dir, const char *name);		/* with one ref, or NULL */
/*
 * True: the child has not been known at any time since `since_ns` (clock_now): no program has changed it through this mount without its node being there
 * now, so what the server told of it then is not older than that.
 */
bool node_is_new(struct tree *tree, struct node *dir, const char *name, int64_t since_ns);
uint64_t node_ino(struct tree *tree, struct node *dir, const char *name);	/* what st_ino is, or would be */
bool node_is_virtual(struct tree *tree, struct node *dir, const char *name);	/* a known child that has no path on the server */
unsigned int node_depth(struct tree *tree, struct node *node);			/* how many names below the root */
/*
 * The kernel is told these attributes, to keep for `ttl` seconds. Would it be wrong to go by them if the file now has this size and time (NULL: not
 * known)? Then an open has to make it ask: what was closed on another node before is to be seen whole, its end too.
 */
void node_told(struct node *node, const struct stat *st, double ttl);
bool node_told_other(const struct node *node, const struct sftp_attrs *attrs);

/* Real nodes that have (or had) open files at or below `top`, each with a ref; how many, to be freed. */
int node_opened(struct tree *tree, struct node *top, struct node ***ret_nodes);
void node_ref(struct tree *tree, struct node *node);
void node_unref(struct tree *tree, struct node *node);
void node_looked_up(struct tree *tree, struct node *node);		/* one more lookup by the kernel */
void node_forget(struct tree *tree, struct node *node, uint64_t count);

/* The server says what the node is. A node that was something else before is another object: it loses its name, and the one that is
 * returned (with the caller's ref instead) takes its place. NULL: out of memory, and the ref is gone. */
struct node *node_typed(struct tree *tree, struct node *node, mode_t mode);

/* The root, parentless, with one ref. NULL: out of memory. */
struct node *node_new_root(const struct node_ops *ops);
void node_free_all(struct tree *tree);	/* the mount has ended: nobody holds any */

/* The name is gone (unlink, rmdir): the node stays for those who hold it, without a path. */
void node_removed(struct tree *tree, struct node *dir, const char *name);
/* It was, and is not known to have another: not as a hard link made through this mount. */
bool node_is_removed(struct tree *tree, const struct node *node);
/* rename: what stood at the new name is removed; open files learn their new path. 0, or -ENOMEM: the node has lost its name. */
int node_moved(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name);

/* `node` was just made as a hard link of `source`: it has the same number (git clone looks), while both are known. */
void node_linked(struct tree *tree, struct node *node, struct node *source);

/* Real nodes that are shown elsewhere than they are kept (stage/): the server's path. An anchor stays with the name: what is renamed to an anchored
 * name is kept there from then on, and leaves its own behind. 0 or -ENOMEM. */
int node_set_anchor(struct tree *tree, struct node *node, const char *path);
bool node_has_anchor(struct tree *tree, struct node *node, const char *path);

/* The server's path of a real node, or of `name` in it (name may be NULL), appended. 0, -ESTALE when its name was removed, -ENOMEM,
 * -ENAMETOOLONG. */
int node_path(struct tree *tree, struct node *node, const char *name, struct buf *ret_path);

/* The path within the mount, for messages and for the names of units in virtual directories: relative to `above`. */
int node_path_below(struct tree *tree, struct node *above, struct node *node, const char *name, struct buf *ret_path);

#endif
