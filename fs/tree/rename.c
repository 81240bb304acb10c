/*
 * rename: names that move, and second names (hard links).
 *
 * rename(2) replaces what is at the new name in one step. SFTP's own rename refuses that; OpenSSH's posix-rename does it. With a server that lacks
 * it, replacing is refused with EEXIST, unless workaround=rename asks for removing first, which is two steps.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tree/damage.h"
#include "tree/file.h"
#include "tree/real.h"
#include "tree/task.h"

#define RENAME_KNOWN_FLAGS RENAME_NOREPLACE

/* A change from one name to another; the task's `dir` and `name` are the source of a rename, `node` that of a link. */
static struct task *two_names(struct tree *tree, enum change_kind kind, struct task *task, struct node *new_dir, const char *new_name)
{
	int error;

	if (!task)
		return NULL;
	node_ref(tree, new_dir);
	task->new_dir = new_dir;
	change_init(&task->change, tree->sftp, kind);
	task->new_name = strdup(new_name);
	error = task->new_name ? 0 : -ENOMEM;
	if ((task->dir && node_is_virtual(tree, task->dir, task->name)) || node_is_virtual(tree, new_dir, new_name))
		error = -EPERM;		/* todo, ctl … of a queue */
	if (!error)
		error = node_path(tree, task->node ? task->node : task->dir, task->name, &task->change.path);
	if (!error)
		error = node_path(tree, new_dir, new_name, &task->change.path2);
	if (!error)
		return task;
	task_fail(task, error);
	return NULL;
}

static void tell_moving(struct task *task, struct node *node, bool begins)
{
	const char *from = buf_text(&task->change.path), *to = buf_text(&task->change.path2);
	struct buf path = BUF_INIT, next = BUF_INIT;

	if (!node_path(task->tree, node, NULL, &path) && !strncmp(path.data, from, strlen(from))) {
		buf_addf(&next, "%s%s", to, path.data + strlen(from));
		if (!buf_error(&next))
			file_moving(task->tree, node, begins ? next.data : NULL);
	}
	buf_release(&path);
	buf_release(&next);
}

/* Should the connection break now, open files at or below the old name may have to be found by the new one. */
static void tell_all_moving(struct task *task, bool begins)
{
	struct node *top = node_find(task->tree, task->dir, task->name), **nodes;
	int count, i;

	if (top && S_ISREG(top->type)) {
		tell_moving(task, top, begins);
	} else if (top) {
		count = node_opened(task->tree, top, &nodes);
		for (i = 0; i < count; i++) {
			tell_moving(task, nodes[i], begins);
			node_unref(task->tree, nodes[i]);
		}
		free(nodes);
	}
	if (top)
		node_unref(task->tree, top);
}

static bool is_same_name(const struct task *task)
{
	return task->dir == task->new_dir && !strcmp(task->name, task->new_name);
}

static void renamed(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);
	struct tree *tree = task->tree;
	struct node *replaced;

	if (error) {
		tell_all_moving(task, false);
		file_gone(tree, task->new_dir, task->new_name, false);
		if (tree->options.rename_xdev && (error == -EIO || error == -EPERM))
			error = -EXDEV;
		task_fail(task, error);
		return;
	}
	damage_move(tree->damage, change->path.data, change->path2.data);
	replaced = is_same_name(task) ? NULL : node_find(tree, task->new_dir, task->new_name);
	node_moved(tree, task->dir, task->name, task->new_dir, task->new_name);
	file_await_closes(tree, replaced, task_done, task);
	node_unref(tree, replaced);
}

/* ---- workaround=rename: not over anything; if something is there, remove it and try again ---- */

static void renamed_or_in_the_way(struct change *change, int error);

static void removed_first(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;

	if (answer->error == SFTP_UNKNOWN)	/* it may still be there */
		change_run(&task->change, renamed_or_in_the_way);
	else if (answer->error && answer->error != -ENOENT)
		renamed(&task->change, answer->error == -EREMOTEIO ? -EISDIR : answer->error);
	else
		change_run(&task->change, renamed);
}

static void renamed_or_in_the_way(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);

	if (error != -EEXIST) {
		renamed(change, error);
		return;
	}
	error = sftp_remove(task->tree->sftp, SFTP_CONTROL, change->path2.data, removed_first, task);
	if (error)
		renamed(change, error);
}

void real_rename(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags, struct reply *reply)
{
	if (flags & ~RENAME_KNOWN_FLAGS)
		reply->ops->error(reply, -EINVAL);
	else if (new_dir->ops->rename_into)
		new_dir->ops->rename_into(tree, dir, name, new_dir, new_name, flags, reply);
	else if (!new_dir->ops->real)
		reply->ops->error(reply, -EPERM);
	else
		real_rename_here(tree, dir, name, new_dir, new_name, flags, reply);
}

void real_rename_here(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags, struct reply *reply)
{
	bool replaces = !(flags & RENAME_NOREPLACE);
	bool atomic = sftp_features(tree->sftp) & SFTP_HAS_POSIX_RENAME;
	struct task *task;

	task = task_new(tree, reply, NULL, dir, name);
	task = two_names(tree, replaces && atomic ? CHANGE_RENAME : CHANGE_RENAME_NEW, task, new_dir, new_name);
	if (!task)
		return;
	tell_all_moving(task, true);
	if (replaces && !is_same_name(task))
		file_gone(tree, new_dir, new_name, true);
	change_run(&task->change, replaces && !atomic && tree->options.rename_by_removing ? renamed_or_in_the_way : renamed);
}

/* ---- hard links ---- */

static void linked(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);
	struct node *dir;
	char *name;

	if (error) {
		task_fail(task, error);
		return;
	}
	if (!change->attrs.flags) {
		real_lookup(task->tree, task->new_dir, task->new_name, task->reply);
		task_end(task);
		return;
	}
	dir = task->dir;	/* the entry that is answered is the new name */
	name = task->name;
	task->dir = task->new_dir;
	task->name = task->new_name;
	task->new_dir = dir;
	task->new_name = name;
	task_entry(task, &change->attrs);
}

void real_link(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply)
{
	if (tree->options.disable_hardlink || !(sftp_features(tree->sftp) & SFTP_HAS_HARDLINK))
		reply->ops->error(reply, -ENOSYS);
	else if (new_dir->ops->link_into)
		new_dir->ops->link_into(tree, node, new_dir, new_name, reply);
	else if (!new_dir->ops->real)
		reply->ops->error(reply, -EPERM);
	else
		real_link_here(tree, node, new_dir, new_name, reply);
}

void real_link_here(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply)
{
	struct task *task;

	task = task_new(tree, reply, node, NULL, NULL);
	task = two_names(tree, CHANGE_LINK, task, new_dir, new_name);
	if (task)
		change_run(&task->change, linked);
}
