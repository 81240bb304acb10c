/*
 * stage_list: what `ls stage/` shows: the outputs of units held here that exist on the disk, and the directories above them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/queues.h"

#define DOTS 2			/* offsets 0 and 1 are "." and ".."; then positions in the list */

struct staged {				/* an entry of a listing */
	char *name;
	char *path;			/* relative to the queue; NULL: a virtual directory */
	mode_t mode;			/* 0: not there */
};

struct stage_handle {
	struct handle handle;
	pthread_mutex_t lock;		/* guards what follows: what was there when reading began */
	struct staged *list;
	size_t count;
	size_t room;
	bool read;
};

struct gather {
	struct stage_handle *handle;
	struct live *live;
	int error;
};

static void forget_list(struct stage_handle *handle)
{
	size_t i;

	for (i = 0; i < handle->count; i++) {
		free(handle->list[i].name);
		free(handle->list[i].path);
	}
	handle->count = 0;
}

static int grow(struct stage_handle *handle)
{
	size_t room = handle->room > 0 ? handle->room * 2 : 64;
	struct staged *more;

	if (handle->count < handle->room)
		return 0;
	more = realloc(handle->list, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	handle->list = more;
	handle->room = room;
	return 0;
}

static bool gather_name(void *arg, const char *name, const struct queue_entry *entry, uint64_t next_cursor)
{
	struct gather *gather = arg;
	struct stage_handle *handle = gather->handle;
	struct staged *staged;

	(void)next_cursor;
	gather->error = grow(handle);
	if (gather->error)
		return false;
	staged = &handle->list[handle->count];
	staged->name = strdup(name);
	staged->path = NULL;
	staged->mode = entry->kind == QUEUE_DIR ? S_IFDIR : 0;
	if (!staged->name) {
		gather->error = -ENOMEM;
		return false;
	}
	handle->count++;
	return true;
}

/* Where each output is kept; those that are not held any more have no path, and are not shown. */
static int find_paths(struct stage_handle *handle, struct live *live)
{
	const struct vnode *vnode = vnode_of(handle->handle.node);
	struct buf sub = BUF_INIT, path = BUF_INIT;
	int error = 0;
	size_t i;

	for (i = 0; i < handle->count && !error; i++) {
		if (handle->list[i].mode)
			continue;
		buf_reset(&sub);
		buf_reset(&path);
		error = vnode_sub(vnode, handle->list[i].name, &sub);
		if (error || queue_stage(live_queue(live), sub.data, false, &path) != QUEUE_TICKET)
			continue;
		handle->list[i].path = strdup(buf_text(&path));
		if (!handle->list[i].path || buf_error(&path))
			error = -ENOMEM;
	}
	buf_release(&sub);
	buf_release(&path);
	return error;
}

/* Asks the disk which of the outputs exist: all in one flight. */
static int look_at_all(struct stage_handle *handle, struct live *live)
{
	struct store_op *ops = calloc(handle->count > 0 ? handle->count : 1, sizeof(*ops));
	size_t i, count = 0;
	int error = 0;

	if (!ops)
		return -ENOMEM;
	for (i = 0; i < handle->count; i++)
		if (handle->list[i].path)
			ops[count++] = (struct store_op){ .kind = STORE_LSTAT, .path = handle->list[i].path };
	if (count > 0)
		store_run(live_store(live), ops, count);
	for (i = count = 0; i < handle->count; i++) {
		if (!handle->list[i].path)
			continue;
		if (ops[count].error == 0)
			handle->list[i].mode = ops[count].attrs.mode;
		else if (ops[count].error != -ENOENT && ops[count].error != -ENOTDIR)
			error = ops[count].error;
		count++;
	}
	free(ops);
	return error;
}

static int make_list(struct stage_handle *handle, struct live *live)
{
	struct gather gather = { .handle = handle, .live = live };
	int error;

	forget_list(handle);
	error = queue_stage_list(live_queue(live), vnode_of(handle->handle.node)->sub, gather_name, &gather);
	if (gather.error)
		error = gather.error;
	if (error >= 0)
		error = find_paths(handle, live);
	if (!error)
		error = look_at_all(handle, live);
	return error;
}

static void give_list(struct stage_handle *handle, off_t offset, struct reply *reply)
{
	struct tree *tree = handle->handle.tree;
	struct stat st = { 0 };
	size_t i;

	for (i = (size_t)offset - DOTS; i < handle->count; i++) {
		if (!handle->list[i].mode)
			continue;
		st.st_mode = handle->list[i].mode & S_IFMT;
		st.st_ino = node_ino(tree, handle->handle.node, handle->list[i].name);
		if (!reply->ops->dirent(reply, handle->list[i].name, &st, NULL, (off_t)i + 1 + DOTS))
			break;
	}
}

static void readdir_run(struct vjob *vjob, struct live *live)
{
	struct stage_handle *handle = container_of(vjob->handle, struct stage_handle, handle);
	struct reply *reply = vjob->reply;
	int error = 0;

	pthread_mutex_lock(&handle->lock);
	if (vjob->offset == 0 || !handle->read)
		error = make_list(handle, live);
	handle->read = !error;
	if (!error && vdir_dots(vjob->tree, vjob->node, &vjob->offset, reply))
		give_list(handle, vjob->offset, reply);
	pthread_mutex_unlock(&handle->lock);
	if (error) {
		vjob_answer(vjob, error);
		return;
	}
	vjob_end(vjob);
	reply->ops->dirents(reply);
}

static void stage_readdir(struct handle *handle, off_t offset, bool plus, struct reply *reply)
{
	struct vjob *vjob;

	(void)plus;		/* attributes are looked up name by name: there are never many */
	if (offset < 0) {
		reply->ops->error(reply, -EINVAL);
		return;
	}
	vjob = vjob_new(handle->tree, handle->node, NULL, reply);
	if (!vjob)
		return;
	vjob->handle = handle;
	vjob->offset = offset;
	vjob_submit(vjob, readdir_run);
}

static void stage_release(struct handle *base, struct reply *reply)
{
	struct stage_handle *handle = container_of(base, struct stage_handle, handle);

	forget_list(handle);
	free(handle->list);
	node_unref(base->tree, base->node);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
	reply->ops->error(reply, 0);
}

static const struct handle_ops stage_handle_ops = {
	.readdir = stage_readdir,
	.release = stage_release,
};

void stage_opendir(struct tree *tree, struct node *dir, struct reply *reply)
{
	struct tree_opened opened = { 0 };
	struct stage_handle *handle = calloc(1, sizeof(*handle));

	if (!handle) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	handle->handle.ops = &stage_handle_ops;
	handle->handle.tree = tree;
	handle->handle.node = dir;
	node_ref(tree, dir);
	pthread_mutex_init(&handle->lock, NULL);
	opened.handle = &handle->handle;
	reply->ops->opened(reply, &opened);
}
