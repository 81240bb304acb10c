/*
 * vfile: the read-only files of a queue, tickets and progress: their text is made when they are opened, and stays what it is in that handle.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tree/queues.h"

#define PROGRESS_MODE (S_IFREG | 0444)

/* ---- a handle with a text ---- */

struct text_handle {
	struct handle handle;
	struct buf text;
	int64_t mtime;		/* of a ticket */
};

static void text_read(struct handle *handle, off_t offset, size_t size, struct reply *reply)
{
	struct text_handle *text = container_of(handle, struct text_handle, handle);
	size_t left = offset >= 0 && (uint64_t)offset < text->text.len ? text->text.len - (size_t)offset : 0;
	struct iovec piece;

	piece.iov_base = left > 0 ? text->text.data + offset : NULL;
	piece.iov_len = left < size ? left : size;
	reply->ops->data(reply, &piece, 1);
}

static void text_write(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply)
{
	(void)handle;
	(void)offset;
	(void)data;
	(void)size;
	reply->ops->error(reply, -EPERM);
}

static void text_release(struct handle *handle, struct reply *reply)
{
	struct text_handle *text = container_of(handle, struct text_handle, handle);

	buf_release(&text->text);
	node_unref(handle->tree, handle->node);
	free(text);
	reply->ops->error(reply, 0);
}

static const struct handle_ops text_handle_ops = {
	.read = text_read,
	.write = text_write,
	.release = text_release,
};

/* Takes the text over. 0 or -ENOMEM. */
static int text_handle_new(struct tree *tree, struct node *node, struct buf *from, int64_t mtime, struct handle **ret_handle)
{
	struct text_handle *text = calloc(1, sizeof(*text));

	if (!text)
		return -ENOMEM;
	text->handle.ops = &text_handle_ops;
	text->handle.tree = tree;
	text->handle.node = node;
	node_ref(tree, node);
	text->text = *from;
	buf_init(from);
	text->mtime = mtime;
	*ret_handle = &text->handle;
	return 0;
}

static void answer_opened(struct vjob *vjob, int error, struct handle *handle)
{
	struct tree_opened opened = { .handle = handle, .direct_io = true };
	struct reply *reply = vjob->reply;

	if (error) {
		vjob_answer(vjob, error);
		return;
	}
	vjob_end(vjob);
	reply->ops->opened(reply, &opened);
}

static bool is_for_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* ---- tickets ---- */

int ticket_handle(struct tree *tree, struct node *node, struct live *live, struct handle **ret_handle)
{
	const struct vnode *vnode = vnode_of(node);
	struct queue_entry entry = { .kind = QUEUE_NOTHING };
	struct buf text = BUF_INIT;
	int error;

	error = queue_ticket(live_queue(live), vnode->state, vnode->sub, &text);
	if (!error && queue_look(live_queue(live), vnode->state, vnode->sub, &entry) < 0)
		entry.mtime = 0;
	if (!error)
		error = text_handle_new(tree, node, &text, entry.mtime, ret_handle);
	buf_release(&text);
	return error;
}

static void ticket_open_run(struct vjob *vjob, struct live *live)
{
	struct handle *handle = NULL;
	int error;

	error = ticket_handle(vjob->tree, vjob->node, live, &handle);
	answer_opened(vjob, error, handle);
}

/* `: > done/x` and `: > claims/x` of what is there already: done before, or held. */
static bool is_creation(const struct vnode *vnode, int flags)
{
	return (flags & O_TRUNC) && (vnode->state == QUEUE_DONE || vnode->state == QUEUE_CLAIMS);
}

static void ticket_open(struct tree *tree, struct node *node, int flags, struct reply *reply)
{
	struct vjob *vjob;

	if (is_for_writing(flags)) {
		reply->ops->error(reply, is_creation(vnode_of(node), flags) ? -EEXIST : -EPERM);
		return;
	}
	vjob = vjob_new(tree, node, NULL, reply);
	if (vjob)
		vjob_submit(vjob, ticket_open_run);
}

/* Of an open one: what it shows, even when the unit has moved on. */
static void ticket_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	const struct text_handle *text;
	struct stat st;

	if (!handle || handle->ops != &text_handle_ops) {
		vdir_getattr(tree, node, handle, reply);
		return;
	}
	text = container_of(handle, struct text_handle, handle);
	vnode_stat(tree, node->ino, S_IFREG | 0444, text->text.len, text->mtime, &st);
	reply->ops->attr(reply, &st, 0);
}

const struct node_ops ticket_ops = {
	.getattr = ticket_getattr,
	.open = ticket_open,
	.free = vnode_free,
};

/* ---- progress ---- */

/* The queue's own text, or, when queue.conf is broken, what is wrong with it. */
static int progress_of(struct place *place, struct live *live, bool json, struct buf *ret_text)
{
	if (live)
		return queue_progress(live_queue(live), json, ret_text);
	if (json || !place_why(place, ret_text))
		return -EIO;
	buf_addch(ret_text, '\n');
	return buf_error(ret_text);
}

static void progress_stat(struct tree *tree, uint64_t ino, size_t size, struct stat *ret_st)
{
	vnode_stat(tree, ino, PROGRESS_MODE, size, clock_wall() / NS_PER_S, ret_st);
}

void progress_top(struct vjob *vjob, struct live *live, bool json)
{
	struct vnode vnode = { .place = vjob->place, .kind = VKIND_PROGRESS, .json = json, .sub = (char *)"" };
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	struct buf text = BUF_INIT;
	struct node *node;
	struct stat st;
	int error;

	error = progress_of(vjob->place, live, json, &text);
	node = error ? NULL : vnode_get(tree, vjob->node, vjob->name, &vnode);
	if (!node) {
		buf_release(&text);
		vjob_answer(vjob, error ? error : -ENOMEM);
		return;
	}
	progress_stat(tree, node->ino, text.len, &st);
	buf_release(&text);
	vjob_end(vjob);
	vnode_entry(tree, node, &st, reply);
}

static void progress_getattr_run(struct vjob *vjob, struct live *none)
{
	const struct vnode *vnode = vnode_of(vjob->node);
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	struct buf text = BUF_INIT;
	struct live *live;
	struct stat st;
	int error;

	(void)none;
	live = place_live(vnode->place, &error);
	error = progress_of(vnode->place, live, vnode->json, &text);
	live_unref(live);
	progress_stat(tree, vjob->node->ino, text.len, &st);
	buf_release(&text);
	if (error) {
		vjob_answer(vjob, error);
		return;
	}
	vjob_end(vjob);
	reply->ops->attr(reply, &st, 0);
}

/* Of an open one: the size of what it shows. */
static void progress_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	struct vjob *vjob;
	struct stat st;

	if (handle && handle->ops == &text_handle_ops) {
		progress_stat(tree, node->ino, container_of(handle, struct text_handle, handle)->text.len, &st);
		reply->ops->attr(reply, &st, 0);
		return;
	}
	vjob = vjob_new(tree, node, NULL, reply);
	if (vjob)
		vjob_submit_without(vjob, progress_getattr_run);
}

static void progress_open_run(struct vjob *vjob, struct live *none)
{
	const struct vnode *vnode = vnode_of(vjob->node);
	struct handle *handle = NULL;
	struct buf text = BUF_INIT;
	struct live *live;
	int error;

	(void)none;
	live = place_live(vnode->place, &error);
	error = progress_of(vnode->place, live, vnode->json, &text);
	live_unref(live);
	if (!error)
		error = text_handle_new(vjob->tree, vjob->node, &text, 0, &handle);
	buf_release(&text);
	answer_opened(vjob, error, handle);
}

static void progress_open(struct tree *tree, struct node *node, int flags, struct reply *reply)
{
	struct vjob *vjob;

	if (is_for_writing(flags)) {
		reply->ops->error(reply, -EPERM);
		return;
	}
	vjob = vjob_new(tree, node, NULL, reply);
	if (vjob)
		vjob_submit_without(vjob, progress_open_run);
}

const struct node_ops progress_ops = {
	.getattr = progress_getattr,
	.open = progress_open,
	.free = vnode_free,
};
