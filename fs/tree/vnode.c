/*
 * vnode: what all virtual nodes share: making them, their attributes, and the jobs that work on them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tree/queues.h"

#define VNODE_BLKSIZE 4096

struct vnode *vnode_of(const struct node *node)
{
	return node->data;
}

int vnode_error(int error)
{
	return error == STORE_FAILURE || error == STORE_UNKNOWN ? -EIO : error;
}

static const struct node_ops *ops_of(enum vkind kind)
{
	static const struct node_ops *const ops[] = {
		[VKIND_STATE] = &vdir_ops,
		[VKIND_TICKET] = &ticket_ops,
		[VKIND_STAGE] = &stage_ops,
		[VKIND_CTL] = &ctl_ops,
		[VKIND_PROGRESS] = &progress_ops,
	};

	return ops[kind];
}

static void vnode_release(struct vnode *vnode)
{
	if (!vnode)
		return;
	place_unref(vnode->place);
	free(vnode->sub);
	free(vnode);
}

static struct vnode *vnode_copy(const struct vnode *from)
{
	struct vnode *vnode = malloc(sizeof(*vnode));

	if (!vnode)
		return NULL;
	*vnode = *from;
	vnode->sub = strdup(from->sub);
	if (!vnode->sub) {
		free(vnode);
		return NULL;
	}
	place_ref(vnode->place);
	return vnode;
}

struct node *vnode_get(struct tree *tree, struct node *dir, const char *name, const struct vnode *vnode)
{
	struct node *node = node_get(tree, dir, name, ops_of(vnode->kind));
	struct vnode *copy = NULL;
	bool has;

	if (!node)
		return NULL;
	pthread_mutex_lock(&tree->lock);
	has = node->data;
	pthread_mutex_unlock(&tree->lock);
	if (has)
		return node;
	copy = vnode_copy(vnode);
	if (!copy) {
		node_unref(tree, node);
		return NULL;
	}
	pthread_mutex_lock(&tree->lock);
	if (!node->data) {
		node->data = copy;
		copy = NULL;
	}
	pthread_mutex_unlock(&tree->lock);
	vnode_release(copy);
	return node;
}

void vnode_free(struct node *node)
{
	vnode_release(node->data);
}

int vnode_sub(const struct vnode *vnode, const char *name, struct buf *ret_path)
{
	buf_adds(ret_path, vnode->sub);
	if (vnode->sub[0] != '\0')
		buf_addch(ret_path, '/');
	buf_adds(ret_path, name);
	return buf_error(ret_path);
}

void vnode_stat(const struct tree *tree, uint64_t ino, mode_t mode, uint64_t size, int64_t mtime, struct stat *ret_st)
{
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->st_ino = ino;
	ret_st->st_mode = mode;
	ret_st->st_nlink = S_ISDIR(mode) ? 2 : 1;
	ret_st->st_uid = tree->options.force_uid ? tree->options.uid : getuid();
	ret_st->st_gid = tree->options.force_gid ? tree->options.gid : getgid();
	ret_st->st_size = (off_t)size;
	ret_st->st_blksize = VNODE_BLKSIZE;
	ret_st->st_atime = ret_st->st_mtime = ret_st->st_ctime = (time_t)mtime;
}

static void answer_entry(struct tree *tree, struct node *node, const struct stat *st, double entry_ttl, struct reply *reply)
{
	struct tree_entry entry = { .node = node, .st = *st, .entry_ttl = entry_ttl };

	node_looked_up(tree, node);
	node_unref(tree, node);
	reply->ops->entry(reply, &entry);
}

void vnode_entry(struct tree *tree, struct node *node, const struct stat *st, struct reply *reply)
{
	answer_entry(tree, node, st, 0, reply);
}

void vnode_top_entry(struct tree *tree, struct node *node, const struct stat *st, struct reply *reply)
{
	answer_entry(tree, node, st, tree->options.entry_ttl, reply);
}

/* ---- jobs ---- */

struct vjob *vjob_new(struct tree *tree, struct node *node, const char *name, struct reply *reply)
{
	struct vjob *vjob = calloc(1, sizeof(*vjob));

	if (vjob && name) {
		vjob->name = strdup(name);
		if (!vjob->name) {
			free(vjob);
			vjob = NULL;
		}
	}
	if (!vjob) {
		reply->ops->error(reply, -ENOMEM);
		return NULL;
	}
	vjob->tree = tree;
	vjob->reply = reply;
	vjob->node = node;
	node_ref(tree, node);
	queues_begin_job(tree->queues);
	return vjob;
}

void vjob_end(struct vjob *vjob)
{
	struct tree *tree = vjob->tree;

	node_unref(tree, vjob->node);
	node_unref(tree, vjob->new_dir);
	place_unref(vjob->place);
	free(vjob->name);
	free(vjob->new_name);
	free(vjob);
	queues_end_job(tree->queues);
}

void vjob_answer(struct vjob *vjob, int error)
{
	struct reply *reply = vjob->reply;

	vjob_end(vjob);
	reply->ops->error(reply, vnode_error(error));
}

static void vjob_run(struct work_job *job)
{
	struct vjob *vjob = container_of(job, struct vjob, job);
	struct live *live = NULL;
	int error = 0;

	if (!vjob->without) {
		live = place_live(vjob->place, &error);
		if (!live) {
			vjob_answer(vjob, error);
			return;
		}
	}
	vjob->run(vjob, live);
	live_unref(live);
}

void vjob_submit(struct vjob *vjob, void (*run)(struct vjob *vjob, struct live *live))
{
	if (!vjob->place) {
		vjob->place = vnode_of(vjob->node)->place;
		place_ref(vjob->place);
	}
	vjob->run = run;
	vjob->job.run = vjob_run;
	work_submit(vjob->tree->work, &vjob->job);
}

void vjob_submit_without(struct vjob *vjob, void (*run)(struct vjob *vjob, struct live *live))
{
	vjob->without = true;
	vjob_submit(vjob, run);
}
