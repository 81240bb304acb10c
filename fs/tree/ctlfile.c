/*
 * ctlfile: the file `ctl`: every open of it is a session (queue/ctl.h).
 *
 *   read ──▶ an answer is there: given ──▶ else parked ──notify (session's thread)──▶ given
 *                                             └──the caller is interrupted──▶ -EINTR, and no byte is lost
 *
 * A parked read is answered by whoever takes it off the list.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "queue/ctl.h"
#include "tree/queues.h"

#define CTL_MODE 0666
#define CTL_UMASK 0022		/* who else may take units needs allow_other and, say, umask=0 */
#define MAX_ANSWER 65536	/* bytes a read is given at most */

struct ctl_handle {
	struct handle handle;
	struct live *live;		/* held */
	struct ctl *ctl;
	bool nonblock;
	pthread_mutex_t lock;		/* guards what follows; not held over calls that answer */
	struct list parked;		/* struct pending */
	void *kick_arg;			/* of a poll that waits */
	void (*kick)(void *arg);
	void (*drop)(void *arg);
};

struct pending {			/* a read */
	struct list link;
	struct ctl_handle *handle;
	struct reply *reply;
	size_t size;
	bool parked;			/* on the list */
	bool interrupted;		/* before it was */
};

/* ---- reading ---- */

/* The reply is answered with what `count` says; the caller took the pending read off the list, or it never was on it. */
static void answer_read(struct pending *pending, char *data, ssize_t count)
{
	struct reply *reply = pending->reply;
	struct iovec piece = { .iov_base = data, .iov_len = count > 0 ? (size_t)count : 0 };

	reply->ops->on_interrupt(reply, NULL, NULL);	/* an interrupt that runs just now is done with `pending` after this */
	free(pending);
	if (count < 0)
		reply->ops->error(reply, (int)count);
	else
		reply->ops->data(reply, &piece, 1);
}

static size_t answer_size(const struct pending *pending)
{
	return pending->size < MAX_ANSWER ? pending->size : MAX_ANSWER;
}

static void interrupted(void *arg)
{
	struct pending *pending = arg;
	struct ctl_handle *handle = pending->handle;
	struct reply *reply = pending->reply;
	bool mine;

	pthread_mutex_lock(&handle->lock);
	mine = pending->parked;
	if (mine)
		list_remove(&pending->link);
	pending->parked = false;
	pending->interrupted = true;
	pthread_mutex_unlock(&handle->lock);
	if (!mine)
		return;
	free(pending);
	reply->ops->error(reply, -EINTR);
}

/* The next parked read and what it gets; NULL: none, or still nothing for it. */
static struct pending *take_parked(struct ctl_handle *handle, char *data, ssize_t *ret_count)
{
	struct pending *pending = NULL;
	ssize_t count;

	pthread_mutex_lock(&handle->lock);
	if (!list_empty(&handle->parked)) {
		pending = list_entry(handle->parked.next, struct pending, link);
		count = ctl_read(handle->ctl, data, answer_size(pending));
		if (count == -EAGAIN) {
			pending = NULL;
		} else {
			list_remove(&pending->link);
			pending->parked = false;
			*ret_count = count;
		}
	}
	pthread_mutex_unlock(&handle->lock);
	return pending;
}

static void serve_parked(struct ctl_handle *handle)
{
	char *data = malloc(MAX_ANSWER);
	struct pending *pending;
	ssize_t count = 0;

	if (!data)
		return;		/* the next notify or read finds the answers still there */
	while ((pending = take_parked(handle, data, &count)))
		answer_read(pending, data, count);
	free(data);
}

static void kick_poll(struct ctl_handle *handle)
{
	void (*kick)(void *arg), (*drop)(void *arg);
	void *arg;

	pthread_mutex_lock(&handle->lock);
	kick = handle->kick;
	drop = handle->drop;
	arg = handle->kick_arg;
	handle->kick = NULL;
	pthread_mutex_unlock(&handle->lock);
	if (!kick)
		return;
	kick(arg);
	drop(arg);
}

static void notify(void *arg)
{
	struct ctl_handle *handle = arg;

	serve_parked(handle);
	kick_poll(handle);
}

/* Reads now; true: the pending read is on the list, and no longer the caller's. */
static bool read_or_park(struct pending *pending, char *data, ssize_t *ret_count)
{
	struct ctl_handle *handle = pending->handle;
	ssize_t count = -EAGAIN;

	pthread_mutex_lock(&handle->lock);
	if (list_empty(&handle->parked))	/* those that came before are served before */
		count = ctl_read(handle->ctl, data, answer_size(pending));
	if (count == -EAGAIN && pending->interrupted)
		count = -EINTR;
	if (count == -EAGAIN && !handle->nonblock) {
		list_append(&handle->parked, &pending->link);
		pending->parked = true;
	}
	*ret_count = count;
	pthread_mutex_unlock(&handle->lock);
	return count == -EAGAIN && !handle->nonblock;
}

static void ctlfile_read(struct handle *base, off_t offset, size_t size, struct reply *reply)
{
	struct ctl_handle *handle = container_of(base, struct ctl_handle, handle);
	struct pending *pending = calloc(1, sizeof(*pending));
	char *data = malloc(size < MAX_ANSWER ? size + 1 : MAX_ANSWER);
	ssize_t count;

	(void)offset;
	if (!pending || !data) {
		free(pending);
		free(data);
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	list_init(&pending->link);
	pending->handle = handle;
	pending->reply = reply;
	pending->size = size;
	/* Before it can be parked: after that anybody may answer it. */
	reply->ops->on_interrupt(reply, interrupted, pending);
	if (!read_or_park(pending, data, &count))
		answer_read(pending, data, count);
	free(data);
}

/* ---- writing, polling, closing ---- */

static void ctlfile_write(struct handle *base, off_t offset, const void *data, size_t size, struct reply *reply)
{
	struct ctl_handle *handle = container_of(base, struct ctl_handle, handle);
	ssize_t count;

	(void)offset;
	count = ctl_write(handle->ctl, data, size);
	if (count < 0)
		reply->ops->error(reply, (int)count);
	else
		reply->ops->written(reply, (size_t)count);
}

static void ctlfile_poll(struct handle *base, void *kick_arg, void (*kick)(void *arg), void (*drop)(void *arg), struct reply *reply)
{
	struct ctl_handle *handle = container_of(base, struct ctl_handle, handle);
	void (*old_drop)(void *arg) = NULL;
	void *old_arg = NULL;
	unsigned int events = POLLOUT | POLLWRNORM;

	pthread_mutex_lock(&handle->lock);
	if (kick) {
		if (handle->kick) {
			old_drop = handle->drop;
			old_arg = handle->kick_arg;
		}
		handle->kick = kick;
		handle->drop = drop;
		handle->kick_arg = kick_arg;
	}
	pthread_mutex_unlock(&handle->lock);
	if (old_drop)
		old_drop(old_arg);
	/* Looked at after the kick is in place, so that nothing falls between. */
	if (ctl_readable(handle->ctl))
		events |= POLLIN | POLLRDNORM;
	reply->ops->poll(reply, events);
}

static void closed(void *arg)
{
	live_session_end(arg);
	live_unref(arg);
}

static struct pending *any_parked(struct ctl_handle *handle)
{
	struct pending *pending = NULL;
	struct list *link;

	pthread_mutex_lock(&handle->lock);
	link = list_pop(&handle->parked);
	if (link) {
		pending = list_entry(link, struct pending, link);
		pending->parked = false;
	}
	pthread_mutex_unlock(&handle->lock);
	return pending;
}

static void ctlfile_release(struct handle *base, struct reply *reply)
{
	struct ctl_handle *handle = container_of(base, struct ctl_handle, handle);
	bool lose = !place_ending(vnode_of(base->node)->place);
	struct pending *pending;

	ctl_close(handle->ctl, lose, closed, handle->live);
	/* The kernel closes when nobody reads any more; but an unmount does not wait. */
	while ((pending = any_parked(handle)))
		answer_read(pending, NULL, -ENOTCONN);
	if (handle->kick)
		handle->drop(handle->kick_arg);
	node_unref(base->tree, base->node);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
	reply->ops->error(reply, 0);
}

static const struct handle_ops ctlfile_handle_ops = {
	.read = ctlfile_read,
	.write = ctlfile_write,
	.poll = ctlfile_poll,
	.release = ctlfile_release,
};

static int ctl_handle_new(struct tree *tree, struct node *node, int flags, struct ctl_handle **ret_handle)
{
	struct ctl_handle *handle = calloc(1, sizeof(*handle));
	int error = 0;

	if (!handle)
		return -ENOMEM;
	handle->live = place_live(vnode_of(node)->place, &error);
	if (!handle->live)
		goto fail;
	pthread_mutex_init(&handle->lock, NULL);
	list_init(&handle->parked);
	handle->nonblock = flags & O_NONBLOCK;
	error = ctl_open(live_queue(handle->live), notify, handle, &handle->ctl);
	if (error) {
		live_unref(handle->live);
		pthread_mutex_destroy(&handle->lock);
		goto fail;
	}
	live_session_begin(handle->live);
	handle->handle.ops = &ctlfile_handle_ops;
	handle->handle.tree = tree;
	handle->handle.node = node;
	node_ref(tree, node);
	*ret_handle = handle;
	return 0;
fail:
	free(handle);
	return error;
}

static void ctl_node_open(struct tree *tree, struct node *node, int flags, struct reply *reply)
{
	struct tree_opened opened = { .direct_io = true, .nonseekable = true };
	struct ctl_handle *handle = NULL;
	int error;

	error = ctl_handle_new(tree, node, flags, &handle);
	if (error) {
		reply->ops->error(reply, vnode_error(error));
		return;
	}
	opened.handle = &handle->handle;
	reply->ops->opened(reply, &opened);
}

/* ---- the node ---- */

static void ctl_stat(struct tree *tree, uint64_t ino, struct stat *ret_st)
{
	mode_t hidden = tree->options.force_umask ? tree->options.umask : CTL_UMASK;

	vnode_stat(tree, ino, S_IFREG | (CTL_MODE & ~hidden), 0, clock_wall() / NS_PER_S, ret_st);
}

void ctl_top(struct vjob *vjob)
{
	const struct vnode vnode = { .place = vjob->place, .kind = VKIND_CTL, .sub = (char *)"" };
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	struct node *node;
	struct stat st;

	node = vnode_get(tree, vjob->node, vjob->name, &vnode);
	if (!node) {
		vjob_answer(vjob, -ENOMEM);
		return;
	}
	ctl_stat(tree, node->ino, &st);
	vjob_end(vjob);
	vnode_top_entry(tree, node, &st, reply);
}

static void ctl_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	struct stat st;

	(void)handle;
	ctl_stat(tree, node->ino, &st);
	reply->ops->attr(reply, &st, 0);
}

/* `echo take > ctl` truncates: there is nothing to cut off, as with a terminal. */
static void ctl_setattr(struct tree *tree, struct node *node, struct handle *handle, const struct stat *st, unsigned int valid, struct reply *reply)
{
	const unsigned int harmless = TREE_SET_SIZE | TREE_SET_ATIME | TREE_SET_MTIME | TREE_SET_ATIME_NOW | TREE_SET_MTIME_NOW;

	(void)st;
	if (valid & ~harmless)
		reply->ops->error(reply, -EPERM);
	else
		ctl_getattr(tree, node, handle, reply);
}

const struct node_ops ctl_ops = {
	.getattr = ctl_getattr,
	.setattr = ctl_setattr,
	.open = ctl_node_open,
	.free = vnode_free,
};
