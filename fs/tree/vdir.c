/*
 * vdir: todo/, claims/, done/ and failed/, and the directories in them: tickets are listed, and renames and removals are the verbs of the
 * queue (claimfs-queue(7)). Every other change is EPERM, and none is EXDEV, which would make mv copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "tree/queues.h"

#define DIR_MODE (S_IFDIR | 0755)
#define TICKET_MODE (S_IFREG | 0444)
#define DOTS 2			/* offsets 0 and 1 are "." and ".."; from 2 on they are the queue's cursors */

/* ---- entries ---- */

static void entry_stat(const struct tree *tree, uint64_t ino, const struct queue_entry *entry, struct stat *ret_st)
{
	bool is_dir = entry->kind == QUEUE_DIR;

	vnode_stat(tree, ino, is_dir ? DIR_MODE : TICKET_MODE, is_dir ? 0 : entry->size, entry->mtime, ret_st);
}

/* The node of an entry of a directory of this state. */
static struct node *entry_node(struct tree *tree, struct node *dir, const char *name, enum queue_kind kind)
{
	const struct vnode *above = vnode_of(dir);
	struct vnode vnode = { .place = above->place, .kind = kind == QUEUE_DIR ? VKIND_STATE : VKIND_TICKET, .state = above->state };
	struct buf sub = BUF_INIT;
	struct node *node = NULL;

	if (vnode_sub(above, name, &sub) == 0) {
		vnode.sub = sub.data;
		node = vnode_get(tree, dir, name, &vnode);
	}
	buf_release(&sub);
	return node;
}

/* What stands at `name` in the directory of the job. 0, -ENOENT, -errno. */
static int look(struct vjob *vjob, struct live *live, const char *name, struct queue_entry *ret_entry)
{
	const struct vnode *vnode = vnode_of(vjob->node);
	struct buf sub = BUF_INIT;
	int error;

	error = name ? vnode_sub(vnode, name, &sub) : 0;
	if (!error)
		error = queue_look(live_queue(live), vnode->state, name ? sub.data : vnode->sub, ret_entry);
	if (!error && ret_entry->kind == QUEUE_NOTHING)
		error = -ENOENT;
	if (ret_entry->mtime == 0)
		ret_entry->mtime = live_opened(live);
	buf_release(&sub);
	return error;
}

static void lookup_run(struct vjob *vjob, struct live *live)
{
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	struct queue_entry entry = { .kind = QUEUE_NOTHING };
	struct node *node = NULL;
	struct stat st;
	int error;

	error = look(vjob, live, vjob->name, &entry);
	if (!error) {
		node = entry_node(tree, vjob->node, vjob->name, entry.kind);
		error = node ? 0 : -ENOMEM;
	}
	if (error) {
		vjob_answer(vjob, error);
		return;
	}
	entry_stat(tree, node->ino, &entry, &st);
	vjob_end(vjob);
	vnode_entry(tree, node, &st, reply);
}

static void vdir_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	struct vjob *vjob = vjob_new(tree, dir, name, reply);

	if (vjob)
		vjob_submit(vjob, lookup_run);
}

/* The job's node is the queue's own directory, `name` one of the four. */
void vdir_top(struct vjob *vjob, struct live *live, enum queue_state state)
{
	struct vnode vnode = { .place = vjob->place, .kind = VKIND_STATE, .state = state, .sub = (char *)"" };
	struct queue_entry entry = { .kind = QUEUE_DIR };
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	struct node *node;
	struct stat st;
	int error;

	error = live ? queue_look(live_queue(live), state, "", &entry) : -EIO;
	node = error ? NULL : vnode_get(tree, vjob->node, vjob->name, &vnode);
	if (!node) {
		vjob_answer(vjob, error ? error : -ENOMEM);
		return;
	}
	entry.kind = QUEUE_DIR;
	if (entry.mtime == 0)
		entry.mtime = live_opened(live);
	entry_stat(tree, node->ino, &entry, &st);
	vjob_end(vjob);
	vnode_top_entry(tree, node, &st, reply);
}

static void getattr_run(struct vjob *vjob, struct live *live)
{
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	const struct vnode *vnode = vnode_of(vjob->node);
	struct queue_entry entry = { .kind = QUEUE_NOTHING };
	struct stat st;
	int error;

	error = look(vjob, live, NULL, &entry);
	if (error == -ENOENT && vnode->sub[0] == '\0') {
		entry.kind = QUEUE_DIR;
		error = 0;
	}
	/* A directory of inputs that became a file, or the other way round: the kernel must look the name up again. */
	if (!error && (entry.kind == QUEUE_DIR) != (vnode->kind == VKIND_STATE))
		error = -ESTALE;
	if (error) {
		vjob_answer(vjob, error);
		return;
	}
	entry_stat(tree, vjob->node->ino, &entry, &st);
	vjob_end(vjob);
	reply->ops->attr(reply, &st, 0);
}

/* Tickets too. */
void vdir_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	struct vjob *vjob = vjob_new(tree, node, NULL, reply);

	(void)handle;
	if (vjob)
		vjob_submit(vjob, getattr_run);
}

/* ---- listings ---- */

struct vdir_handle {
	struct handle handle;		/* first */
	int64_t opened_ns;		/* until it is first read from its beginning; then 0 */
};

struct listing {
	struct vjob *vjob;
	int error;
};

static bool give_plus(struct listing *listing, const char *name, const struct queue_entry *entry, off_t next)
{
	struct vjob *vjob = listing->vjob;
	struct tree_entry plus = { 0 };
	bool fits;

	plus.node = entry_node(vjob->tree, vjob->node, name, entry->kind);
	if (!plus.node) {
		listing->error = -ENOMEM;
		return false;
	}
	entry_stat(vjob->tree, plus.node->ino, entry, &plus.st);
	fits = vjob->reply->ops->dirent(vjob->reply, name, &plus.st, &plus, next);
	node_unref(vjob->tree, plus.node);
	return fits;
}

static bool emit(void *arg, const char *name, const struct queue_entry *entry, uint64_t next_cursor)
{
	struct listing *listing = arg;
	struct vjob *vjob = listing->vjob;
	struct stat st = { .st_mode = entry->kind == QUEUE_DIR ? DIR_MODE : TICKET_MODE };	/* a plain listing says no more than this and the number */

	if (vjob->plus)
		return give_plus(listing, name, entry, (off_t)(next_cursor + DOTS));
	st.st_ino = node_ino(vjob->tree, vjob->node, name);
	return vjob->reply->ops->dirent(vjob->reply, name, &st, NULL, (off_t)(next_cursor + DOTS));
}

bool vdir_dots(struct tree *tree, struct node *dir, off_t *offset, struct reply *reply)
{
	static const char *const names[DOTS] = { ".", ".." };
	struct stat st;

	for (; *offset < DOTS; ++*offset) {
		vnode_stat(tree, dir->ino, DIR_MODE, 0, 0, &st);
		pthread_mutex_lock(&tree->lock);
		if (*offset == 1 && dir->parent)
			st.st_ino = dir->parent->ino;
		pthread_mutex_unlock(&tree->lock);
		if (!reply->ops->dirent(reply, names[*offset], &st, NULL, *offset + 1))
			return false;
	}
	return true;
}

static void readdir_run(struct vjob *vjob, struct live *live)
{
	const struct vnode *vnode = vnode_of(vjob->node);
	struct listing listing = { .vjob = vjob };
	struct reply *reply = vjob->reply;
	struct vdir_handle *handle = container_of(vjob->handle, struct vdir_handle, handle);
	int64_t asked_ns = 0;
	uint64_t cursor;

	/* A directory shows what it held when it was opened or later: the view that the fstat after the opening got will do. */
	if (vjob->offset == 0)
		asked_ns = __atomic_exchange_n(&handle->opened_ns, 0, __ATOMIC_RELAXED);
	if (!asked_ns)
		asked_ns = clock_now();
	if (vdir_dots(vjob->tree, vjob->node, &vjob->offset, reply)) {
		cursor = (uint64_t)vjob->offset - DOTS;
		listing.error = queue_list(live_queue(live), vnode->state, vnode->sub, &cursor, vjob->plus, asked_ns, emit, &listing);
	}
	if (listing.error < 0) {
		vjob_answer(vjob, listing.error);
		return;
	}
	vjob_end(vjob);
	reply->ops->dirents(reply);
}

static void vdir_readdir(struct handle *handle, off_t offset, bool plus, struct reply *reply)
{
	struct vjob *vjob;

	if (offset < 0) {
		reply->ops->error(reply, -EINVAL);
		return;
	}
	vjob = vjob_new(handle->tree, handle->node, NULL, reply);
	if (!vjob)
		return;
	vjob->handle = handle;
	vjob->offset = offset;
	vjob->plus = plus;
	vjob_submit(vjob, readdir_run);
}

static void vdir_release(struct handle *handle, struct reply *reply)
{
	node_unref(handle->tree, handle->node);
	free(container_of(handle, struct vdir_handle, handle));
	reply->ops->error(reply, 0);
}

static const struct handle_ops vdir_handle_ops = {
	.readdir = vdir_readdir,
	.release = vdir_release,
};

static void vdir_opendir(struct tree *tree, struct node *dir, struct reply *reply)
{
	struct tree_opened opened = { 0 };
	struct vdir_handle *handle = calloc(1, sizeof(*handle));

	if (!handle) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	handle->handle.ops = &vdir_handle_ops;
	handle->handle.tree = tree;
	handle->handle.node = dir;
	handle->opened_ns = clock_now();
	node_ref(tree, dir);
	opened.handle = &handle->handle;
	reply->ops->opened(reply, &opened);
}

/* ---- verbs ---- */

typedef int verb(struct queue *queue, const char *name);

static int finish(struct queue *queue, const char *name, enum queue_verb how)
{
	struct queue_finish finish_one = { .verb = how, .name = name };

	queue_finish(queue, &finish_one, 1);
	return finish_one.error;
}

static int commit(struct queue *queue, const char *name)
{
	return finish(queue, name, QUEUE_VERB_DONE);
}

static int give_up(struct queue *queue, const char *name)
{
	return finish(queue, name, QUEUE_VERB_FAIL);
}

static int release(struct queue *queue, const char *name)
{
	return finish(queue, name, QUEUE_VERB_RELEASE);
}

/* `mv from/x to/x`; NULL: EPERM. */
static verb *const renames[QUEUE_STATES][QUEUE_STATES] = {
	[QUEUE_TODO] = { [QUEUE_CLAIMS] = queue_claim },
	[QUEUE_CLAIMS] = { [QUEUE_DONE] = commit, [QUEUE_FAILED] = give_up, [QUEUE_TODO] = release },
	[QUEUE_DONE] = { [QUEUE_TODO] = queue_redo },
	[QUEUE_FAILED] = { [QUEUE_TODO] = queue_retry },
};

/* `rm from/x` */
static verb *const removals[QUEUE_STATES] = {
	[QUEUE_CLAIMS] = release,
	[QUEUE_DONE] = queue_redo,
	[QUEUE_FAILED] = queue_retry,
};

/* `: > to/x` */
static verb *const creations[QUEUE_STATES] = {
	[QUEUE_CLAIMS] = queue_claim,
	[QUEUE_DONE] = queue_mark_done,
};

static int run_verb(const struct vnode *dir, struct live *live, const char *name, verb *what)
{
	struct buf sub = BUF_INIT;
	int error;

	error = vnode_sub(dir, name, &sub);
	if (!error)
		error = what(live_queue(live), sub.data);
	buf_release(&sub);
	return error;
}

static bool is_directory(struct tree *tree, struct node *dir, const char *name)
{
	struct node *node = node_find(tree, dir, name);
	bool is_dir = node && node->ops == &vdir_ops;

	node_unref(tree, node);
	return is_dir;
}

static void unlink_run(struct vjob *vjob, struct live *live)
{
	const struct vnode *dir = vnode_of(vjob->node);

	vjob_answer(vjob, run_verb(dir, live, vjob->name, removals[dir->state]));
}

static void vdir_unlink(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	struct vjob *vjob;

	if (!removals[vnode_of(dir)->state] || is_directory(tree, dir, name)) {
		reply->ops->error(reply, -EPERM);
		return;
	}
	vjob = vjob_new(tree, dir, name, reply);
	if (vjob)
		vjob_submit(vjob, unlink_run);
}

static void rename_run(struct vjob *vjob, struct live *live)
{
	const struct vnode *from = vnode_of(vjob->node), *to = vnode_of(vjob->new_dir);

	vjob_answer(vjob, run_verb(from, live, vjob->name, renames[from->state][to->state]));
}

/* Only between the directories of one queue, and only under the same name: what else would it mean? */
static bool is_verb(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name)
{
	const struct vnode *from = vnode_of(dir), *to = vnode_of(new_dir);

	return new_dir->ops == &vdir_ops && from->place == to->place && strcmp(from->sub, to->sub) == 0 && strcmp(name, new_name) == 0 &&
	       renames[from->state][to->state] && !is_directory(tree, dir, name);
}

static void vdir_rename(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags,
			struct reply *reply)
{
	struct vjob *vjob;

	if (flags & ~(unsigned int)RENAME_NOREPLACE) {
		reply->ops->error(reply, -EINVAL);
		return;
	}
	if (!is_verb(tree, dir, name, new_dir, new_name)) {
		reply->ops->error(reply, -EPERM);
		return;
	}
	vjob = vjob_new(tree, dir, name, reply);
	if (!vjob)
		return;
	vjob->new_dir = new_dir;
	node_ref(tree, new_dir);
	vjob_submit(vjob, rename_run);
}

/* The new ticket, open: what is written to it goes nowhere, but `: >` writes nothing. */
static void answer_created(struct vjob *vjob, struct live *live)
{
	struct tree_opened opened = { .direct_io = true };
	struct tree_entry entry = { 0 };
	struct queue_entry ticket = { .kind = QUEUE_NOTHING };
	struct tree *tree = vjob->tree;
	struct reply *reply = vjob->reply;
	int error;

	(void)look(vjob, live, vjob->name, &ticket);	/* the verb was done: whatever it finds, that is the answer */
	ticket.kind = QUEUE_TICKET;
	entry.node = entry_node(tree, vjob->node, vjob->name, QUEUE_TICKET);
	error = entry.node ? ticket_handle(tree, entry.node, live, &opened.handle) : -ENOMEM;
	if (error) {
		node_unref(tree, entry.node);
		vjob_answer(vjob, error);
		return;
	}
	entry_stat(tree, entry.node->ino, &ticket, &entry.st);
	node_looked_up(tree, entry.node);
	node_unref(tree, entry.node);
	vjob_end(vjob);
	reply->ops->created(reply, &entry, &opened);
}

static void create_run(struct vjob *vjob, struct live *live)
{
	const struct vnode *dir = vnode_of(vjob->node);
	int error;

	error = run_verb(dir, live, vjob->name, creations[dir->state]);
	if (error)
		vjob_answer(vjob, error == -EBUSY ? -EEXIST : error);
	else
		answer_created(vjob, live);
}

static void vdir_create(struct tree *tree, struct node *dir, const char *name, mode_t mode, int flags, struct reply *reply)
{
	struct vjob *vjob;

	(void)mode;
	(void)flags;
	if (!creations[vnode_of(dir)->state]) {
		reply->ops->error(reply, -EPERM);
		return;
	}
	vjob = vjob_new(tree, dir, name, reply);
	if (vjob)
		vjob_submit(vjob, create_run);
}

/* What is not here the kernel's side answers with EPERM. */
const struct node_ops vdir_ops = {
	.lookup = vdir_lookup,
	.unlink = vdir_unlink,
	.create = vdir_create,
	.opendir = vdir_opendir,
	.rename = vdir_rename,
	.getattr = vdir_getattr,
	.free = vnode_free,
};
