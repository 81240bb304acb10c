/*
 * task: see task.h.
 */
#include "tree/task.h"

#include <stdlib.h>
#include <string.h>

#include "tree/file.h"

struct task *task_new(struct tree *tree, struct reply *reply, struct node *node, struct node *dir, const char *name)
{
	struct task *task = calloc(1, sizeof(*task));

	if (task && name) {
		task->name = strdup(name);
		if (!task->name) {
			free(task);
			task = NULL;
		}
	}
	if (!task) {
		reply->ops->error(reply, -ENOMEM);
		return NULL;
	}
	task->tree = tree;
	task->reply = reply;
	flight_init(&task->flight);
	task->node = node;
	task->dir = dir;
	if (node)
		node_ref(tree, node);
	if (dir)
		node_ref(tree, dir);
	return task;
}

void task_done(void *arg)
{
	struct task *task = arg;
	struct reply *reply = task->reply;

	task_end(task);
	reply->ops->error(reply, 0);
}

void task_end(struct task *task)
{
	node_unref(task->tree, task->node);
	node_unref(task->tree, task->dir);
	node_unref(task->tree, task->new_dir);
	free(task->name);
	free(task->new_name);
	buf_release(&task->path);
	buf_release(&task->path2);
	change_release(&task->change);
	flight_clear(&task->flight);
	free(task);
}

void task_fail(struct task *task, int error)
{
	struct reply *reply = task->reply;

	task_end(task);
	reply->ops->error(reply, error == -ESTALE ? -ENOENT : errors_plain(error));
}

int task_path(struct task *task)
{
	return node_path(task->tree, task->node ? task->node : task->dir, task->name, &task->path);
}

void task_entry(struct task *task, const struct sftp_attrs *attrs)
{
	struct tree *tree = task->tree;
	struct reply *reply = task->reply;
	struct tree_entry entry = { .entry_ttl = tree->options.entry_ttl, .attr_ttl = tree->options.attr_ttl };
	struct node *node;

	node = node_get(tree, task->dir, task->name, &real_ops);
	if (node)
		node = node_typed(tree, node, attrs->mode);
	if (!node) {
		task_fail(task, -ENOMEM);
		return;
	}
	if (task->node)		/* a new name of it */
		node_linked(tree, node, task->node);
	tree_stat(tree, attrs, node->ino, &entry.st);
	if (file_overlay(tree, node, attrs, &entry.st) || task->name_only)
		entry.attr_ttl = 0;
	entry.attr_ttl = entry.attr_ttl > task->age ? entry.attr_ttl - task->age : 0;
	entry.entry_ttl = entry.entry_ttl > task->age ? entry.entry_ttl - task->age : 0;
	entry.node = node;
	node_looked_up(tree, node);
	node_unref(tree, node);
	task_end(task);
	reply->ops->entry(reply, &entry);
}

void task_attr(struct task *task, const struct sftp_attrs *attrs)
{
	struct tree *tree = task->tree;
	struct reply *reply = task->reply;
	struct node *node = task->node;
	double ttl = tree->options.attr_ttl;
	struct stat st;

	/* Another kind of file has its name now: the kernel's inode can't become that, a new lookup can. */
	if (node->type && (attrs->mode & S_IFMT) && node->type != (attrs->mode & S_IFMT)) {
		task_end(task);
		reply->ops->error(reply, -ESTALE);
		return;
	}
	tree_stat(tree, attrs, node->ino, &st);
	if (file_overlay(tree, node, attrs, &st))
		ttl = 0;
	task_end(task);
	reply->ops->attr(reply, &st, ttl);
}
