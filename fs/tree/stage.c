/*
 * stage: stage/, where the units claimed here put their output. Its entries are real files and directories that are kept elsewhere
 * (.claimfs/tmp/NODE/…, as the queue says): real nodes with an anchor. Above them are virtual directories.
 *
 *   stage/a/b.npy   stage/ and stage/a: this file      b.npy: real_ops, anchored at .claimfs/tmp/…
 *
 * What is done to a name in a directory of stage/ is done by real_ops, once the queue has said that a unit held here has that output (else EACCES,
 * or ENOENT for what only looks), through a reply that keeps the anchored node until the answer, and the kernel from keeping the name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tree/queues.h"
#include "tree/real.h"

#define STAGE_MODE (S_IFDIR | 0755)

static void stage_stat(struct tree *tree, uint64_t ino, struct stat *ret_st)
{
	vnode_stat(tree, ino, STAGE_MODE, 0, clock_wall() / NS_PER_S, ret_st);
}

static struct node *stage_dir_node(struct tree *tree, struct node *dir, const char *name, struct place *place, const char *sub)
{
	const struct vnode vnode = { .place = place, .kind = VKIND_STAGE, .sub = (char *)sub };

	return vnode_get(tree, dir, name, &vnode);
}

/* ---- the reply between real_ops and the caller ---- */

struct held {				/* a name in stage/ while something is done to it */
	struct node *node;		/* NULL: the name is not in stage/ */
	char *anchor;
};

struct stage_reply {
	struct reply reply;
	struct reply *to;
	struct tree *tree;
	struct held held[2];
};

static void held_release(struct tree *tree, struct held *held)
{
	node_unref(tree, held->node);
	free(held->anchor);
}

static struct reply *let_go(struct reply *base)
{
	struct stage_reply *reply = container_of(base, struct stage_reply, reply);
	struct reply *to = reply->to;

	held_release(reply->tree, &reply->held[0]);
	held_release(reply->tree, &reply->held[1]);
	free(reply);
	return to;
}

/* A name that became another kind of file has a new node: it is kept where the old one was. */
static void anchor_new_node(struct stage_reply *reply, struct node *node)
{
	const struct held *held = &reply->held[reply->held[1].node ? 1 : 0];

	if (node && node != held->node && held->anchor)
		(void)node_set_anchor(reply->tree, node, held->anchor);
}

static void stage_error(struct reply *base, int error)
{
	struct reply *to = let_go(base);

	to->ops->error(to, error);
}

static void stage_entry(struct reply *base, const struct tree_entry *entry)
{
	struct tree_entry fleeting = *entry;
	struct reply *to;

	anchor_new_node(container_of(base, struct stage_reply, reply), entry->node);
	fleeting.entry_ttl = 0;
	to = let_go(base);
	to->ops->entry(to, &fleeting);
}

static void stage_created(struct reply *base, const struct tree_entry *entry, const struct tree_opened *opened)
{
	struct tree_entry fleeting = *entry;
	struct reply *to;

	anchor_new_node(container_of(base, struct stage_reply, reply), entry->node);
	fleeting.entry_ttl = 0;
	to = let_go(base);
	to->ops->created(to, &fleeting, opened);
}

static bool stage_abandoned(struct reply *base)
{
	struct reply *to = container_of(base, struct stage_reply, reply)->to;

	return to->ops->abandoned(to);
}

static void stage_on_interrupt(struct reply *base, void (*wake)(void *arg), void *arg)
{
	struct reply *to = container_of(base, struct stage_reply, reply)->to;

	to->ops->on_interrupt(to, wake, arg);
}

/* What operations on names are answered with, and no more. */
static const struct reply_ops stage_reply_ops = {
	.error = stage_error,
	.entry = stage_entry,
	.created = stage_created,
	.abandoned = stage_abandoned,
	.on_interrupt = stage_on_interrupt,
};

/* Takes what is held over. NULL: out of memory, answered so. */
static struct reply *stage_reply_new(struct tree *tree, struct held *first, struct held *second, struct reply *to)
{
	struct stage_reply *reply = calloc(1, sizeof(*reply));

	if (!reply) {
		held_release(tree, first);
		held_release(tree, second);
		to->ops->error(to, -ENOMEM);
		return NULL;
	}
	reply->reply.ops = &stage_reply_ops;
	reply->reply.caller = to->caller;
	reply->to = to;
	reply->tree = tree;
	reply->held[0] = *first;
	reply->held[1] = *second;
	return &reply->reply;
}

/* ---- names ---- */

/* The real node at `name`, kept at `anchor`, with a ref. One that is kept elsewhere is of an earlier claim: it loses the name. */
static struct node *anchored_node(struct tree *tree, struct node *dir, const char *name, const char *anchor)
{
	struct node *node;
	bool stale;

	node = node_get(tree, dir, name, &real_ops);
	if (!node || node_has_anchor(tree, node, anchor))
		return node;
	pthread_mutex_lock(&tree->lock);
	stale = node->anchor;
	pthread_mutex_unlock(&tree->lock);
	if (stale) {
		node_removed(tree, dir, name);
		node_unref(tree, node);
		node = node_get(tree, dir, name, &real_ops);
	}
	if (node && node_set_anchor(tree, node, anchor) < 0) {
		node_unref(tree, node);
		node = NULL;
	}
	return node;
}

static int hold(struct tree *tree, struct node *dir, const char *name, const char *relative, struct held *ret_held)
{
	struct buf anchor = BUF_INIT;

	buf_addf(&anchor, "%s/%s", place_path(vnode_of(dir)->place), relative);
	ret_held->anchor = buf_detach(&anchor);
	if (!ret_held->anchor)
		return -ENOMEM;
	ret_held->node = anchored_node(tree, dir, name, ret_held->anchor);
	return ret_held->node ? 0 : -ENOMEM;
}

/*
 * What `name` in a directory of stage/ is: QUEUE_TICKET: an output of a unit held here, which is then held. QUEUE_NOTHING too for one that was
 * never made, when it is not asked `to_make` it: the most common look of all, for what will be made next, costs no round trip. Or -errno.
 */
static int ask(struct tree *tree, struct node *dir, const char *name, bool to_make, struct held *ret_held)
{
	const struct vnode *vnode = vnode_of(dir);
	struct buf sub = BUF_INIT, relative = BUF_INIT;
	struct live *live;
	int kind, error = 0;

	live = place_live(vnode->place, &error);
	if (!live)
		return error;
	error = vnode_sub(vnode, name, &sub);
	kind = error ? error : (int)queue_stage(live_queue(live), sub.data, to_make, &relative);
	if (kind == QUEUE_TICKET) {
		error = buf_error(&relative);
		if (!error)
			error = hold(tree, dir, name, relative.data, ret_held);
		if (error) {
			held_release(tree, ret_held);
			*ret_held = (struct held){ NULL, NULL };
			kind = error;
		}
	}
	buf_release(&sub);
	buf_release(&relative);
	live_unref(live);
	return kind;
}

/* For an operation on an output: a reply to give to real_ops; NULL: answered with `otherwise` or what went wrong. */
static struct reply *begin(struct tree *tree, struct node *dir, const char *name, int otherwise, struct reply *reply)
{
	struct held held = { NULL, NULL }, none = { NULL, NULL };
	int kind = ask(tree, dir, name, true, &held);

	if (kind == QUEUE_TICKET)
		return stage_reply_new(tree, &held, &none, reply);
	reply->ops->error(reply, kind < 0 ? vnode_error(kind) : kind == QUEUE_DIR ? -EPERM : otherwise);
	return NULL;
}

static void answer_dir(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	const struct vnode *vnode = vnode_of(dir);
	struct buf sub = BUF_INIT;
	struct node *node = NULL;
	struct stat st;

	if (vnode_sub(vnode, name, &sub) == 0)
		node = stage_dir_node(tree, dir, name, vnode->place, sub.data);
	buf_release(&sub);
	if (!node) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	stage_stat(tree, node->ino, &st);
	vnode_entry(tree, node, &st, reply);
}

static void stage_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	struct held held = { NULL, NULL }, none = { NULL, NULL };
	int kind = ask(tree, dir, name, false, &held);

	if (kind == QUEUE_DIR) {
		answer_dir(tree, dir, name, reply);
	} else if (kind == QUEUE_TICKET) {
		reply = stage_reply_new(tree, &held, &none, reply);
		if (reply)
			real_lookup(tree, dir, name, reply);
	} else {
		reply->ops->error(reply, kind < 0 ? vnode_error(kind) : -ENOENT);
	}
}

static void stage_mkdir(struct tree *tree, struct node *dir, const char *name, mode_t mode, struct reply *reply)
{
	reply = begin(tree, dir, name, -EACCES, reply);
	if (reply)
		real_ops.mkdir(tree, dir, name, mode, reply);
}

static void stage_create(struct tree *tree, struct node *dir, const char *name, mode_t mode, int flags, struct reply *reply)
{
	reply = begin(tree, dir, name, -EACCES, reply);
	if (reply)
		real_ops.create(tree, dir, name, mode, flags, reply);
}

static void stage_mknod(struct tree *tree, struct node *dir, const char *name, mode_t mode, dev_t rdev, struct reply *reply)
{
	reply = begin(tree, dir, name, -EACCES, reply);
	if (reply)
		real_ops.mknod(tree, dir, name, mode, rdev, reply);
}

static void stage_unlink(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	reply = begin(tree, dir, name, -ENOENT, reply);
	if (reply)
		real_ops.unlink(tree, dir, name, reply);
}

static void stage_rmdir(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	reply = begin(tree, dir, name, -ENOENT, reply);
	if (reply)
		real_ops.rmdir(tree, dir, name, reply);
}

/* ---- renames and links ---- */

/* Holds a name if its directory is one of stage/. 0 or -errno. */
static int hold_if_stage(struct tree *tree, struct node *dir, const char *name, int otherwise, struct held *ret_held)
{
	int kind;

	if (dir->ops != &stage_ops)
		return 0;
	kind = ask(tree, dir, name, true, ret_held);
	if (kind == QUEUE_TICKET)
		return 0;
	return kind < 0 ? kind : kind == QUEUE_DIR ? -EPERM : otherwise;
}

/* One of the two directories is in stage/, or both. */
static void rename_held(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags,
			struct reply *reply)
{
	struct held from = { NULL, NULL }, to = { NULL, NULL };
	int error;

	error = hold_if_stage(tree, dir, name, -ENOENT, &from);
	if (!error)
		error = hold_if_stage(tree, new_dir, new_name, -EACCES, &to);
	if (error) {
		held_release(tree, &from);
		reply->ops->error(reply, vnode_error(error));
		return;
	}
	reply = stage_reply_new(tree, &from, &to, reply);
	if (reply)
		real_rename_here(tree, dir, name, new_dir, new_name, flags, reply);
}

static void stage_rename(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags,
			 struct reply *reply)
{
	if (flags & ~(unsigned int)RENAME_NOREPLACE)
		reply->ops->error(reply, -EINVAL);
	else if (new_dir->ops != &stage_ops && !new_dir->ops->real)
		reply->ops->error(reply, -EPERM);
	else
		rename_held(tree, dir, name, new_dir, new_name, flags, reply);
}

static void stage_link_into(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply)
{
	reply = begin(tree, new_dir, new_name, -EACCES, reply);
	if (reply)
		real_link_here(tree, node, new_dir, new_name, reply);
}

/* ---- attributes ---- */

void stage_top(struct vjob *vjob)
{
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	struct node *node;
	struct stat st;

	node = stage_dir_node(tree, vjob->node, vjob->name, vjob->place, "");
	if (!node) {
		vjob_answer(vjob, -ENOMEM);
		return;
	}
	stage_stat(tree, node->ino, &st);
	vjob_end(vjob);
	vnode_top_entry(tree, node, &st, reply);
}

static void stage_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	struct stat st;

	(void)handle;
	stage_stat(tree, node->ino, &st);
	reply->ops->attr(reply, &st, 0);
}

const struct node_ops stage_ops = {
	.lookup = stage_lookup,
	.mkdir = stage_mkdir,
	.mknod = stage_mknod,
	.unlink = stage_unlink,
	.rmdir = stage_rmdir,
	.create = stage_create,
	.opendir = stage_opendir,
	.rename = stage_rename,
	.rename_into = rename_held,
	.link_into = stage_link_into,
	.getattr = stage_getattr,
	.free = vnode_free,
};
