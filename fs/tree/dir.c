/*
 * dir: real directories: names looked up, made and removed. And the table of what real nodes do.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tree/ahead.h"
#include "tree/file.h"
#include "tree/real.h"
#include "tree/task.h"
#include "tree/warm.h"

/* ---- lookup ---- */

static void saw_directory(struct task *task, const struct sftp_attrs *attrs)
{
	struct node *node = node_find(task->tree, task->dir, task->name);

	if (node)
		warm_saw(task->tree->warm, node, attrs);
	node_unref(task->tree, node);
}

static void lookup_done(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;

	if (answer->error) {
		task_fail(task, answer->error);
		return;
	}
	if (S_ISDIR(answer->attrs.mode))
		saw_directory(task, &answer->attrs);
	task_entry(task, &answer->attrs);
}

static void lookup_send(struct task *task)
{
	struct tree *tree = task->tree;
	int error;

	figures_count(&tree->figures, FIGURES_LOOKUPS, false);
	error = task_path(task);
	if (!error && tree->options.follow_symlinks)
		error = sftp_stat(tree->sftp, SFTP_CONTROL, task->path.data, lookup_done, task);
	else if (!error)
		error = sftp_lstat(tree->sftp, SFTP_CONTROL, task->path.data, lookup_done, task);
	if (error)
		task_fail(task, error);
}

/* What was looked at before anybody asked, or not, after all. */
static void lookup_known(void *arg, const struct sftp_attrs *attrs, double age)
{
	struct task *task = arg;

	if (!attrs) {
		lookup_send(task);
		return;
	}
	figures_count(&task->tree->figures, FIGURES_LOOKUPS, true);
	task->age = age;
	task_entry(task, attrs);
}

void real_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	struct task *task = task_new(tree, reply, NULL, dir, name);
	struct sftp_attrs attrs;
	double age;

	if (!task)
		return;
	warm_used(tree->warm, dir);
	task->name_only = warm_lookup(tree->warm, dir, name, &attrs, &age);
	if (task->name_only)
		lookup_known(task, &attrs, age);
	else if (!ahead_lookup(tree->ahead, dir, name, lookup_known, task))
		lookup_send(task);
}

static void dir_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	if (!tree_has_queues(tree) || !queues_lookup(tree, dir, name, reply))
		real_lookup(tree, dir, name, reply);
}

/* ---- changes of one name ---- */

static struct task *change_new(struct tree *tree, struct node *dir, const char *name, enum change_kind kind, struct reply *reply)
{
	struct task *task = task_new(tree, reply, NULL, dir, name);
	int error;

	if (!task)
		return NULL;
	warm_used(tree->warm, dir);
	change_init(&task->change, tree->sftp, kind);
	error = node_is_virtual(tree, dir, name) ? -EPERM : node_path(tree, dir, name, &task->change.path);
	if (!error)
		return task;
	task_fail(task, error);
	return NULL;
}

static void made(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);

	if (error) {
		task_fail(task, error);
	} else if (change->attrs.flags) {
		task_entry(task, &change->attrs);
	} else {	/* made, but the look behind it failed: look once more */
		real_lookup(task->tree, task->dir, task->name, task->reply);
		task_end(task);
	}
}

static void dir_mkdir(struct tree *tree, struct node *dir, const char *name, mode_t mode, struct reply *reply)
{
	struct task *task = change_new(tree, dir, name, CHANGE_MKDIR, reply);

	if (!task)
		return;
	task->change.mode = mode & 07777;
	change_run(&task->change, made);
}

static void dir_symlink(struct tree *tree, struct node *dir, const char *name, const char *target, struct reply *reply)
{
	struct task *task = change_new(tree, dir, name, CHANGE_SYMLINK, reply);

	if (!task)
		return;
	buf_adds(&task->change.path2, target);
	if (buf_error(&task->change.path2))
		task_fail(task, -ENOMEM);
	else
		change_run(&task->change, made);
}

static void removed(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);
	struct tree *tree = task->tree;
	struct node *node;

	if (error) {
		file_gone(tree, task->dir, task->name, false);
		task_fail(task, error);
		return;
	}
	node = node_find(tree, task->dir, task->name);
	node_removed(tree, task->dir, task->name);
	file_await_closes(tree, node, task_done, task);
	node_unref(tree, node);
}

static void dir_unlink(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	struct task *task = change_new(tree, dir, name, CHANGE_REMOVE, reply);

	if (!task)
		return;
	file_gone(tree, dir, name, true);
	change_run(&task->change, removed);
}

static void dir_rmdir(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	struct task *task = change_new(tree, dir, name, CHANGE_RMDIR, reply);

	if (task)
		change_run(&task->change, removed);
}

/* ---- mknod: an empty regular file; SFTP makes no others ---- */

static void mknod_explained(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);

	task_fail(task, error == ERRORS_AGAIN ? -EIO : error);
}

static void mknod_opened(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;

	if (!answer->error) {
		sftp_close(answer->file, NULL, NULL);
		real_lookup(task->tree, task->dir, task->name, task->reply);
		task_end(task);
	} else if (answer->error == -EREMOTEIO || answer->error == SFTP_UNKNOWN) {
		change_explain(&task->change, answer->error, mknod_explained);
	} else {
		task_fail(task, answer->error);
	}
}

static void dir_mknod(struct tree *tree, struct node *dir, const char *name, mode_t mode, dev_t rdev, struct reply *reply)
{
	const uint32_t flags = SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL;
	struct task *task;
	int error;

	(void)rdev;
	if (!S_ISREG(mode)) {
		reply->ops->error(reply, -EPERM);
		return;
	}
	task = change_new(tree, dir, name, CHANGE_CREATE, reply);
	if (!task)
		return;
	task->attrs.flags = SFTP_ATTR_MODE;
	task->attrs.mode = mode & 07777;
	error = sftp_open(tree->sftp, SFTP_CONTROL, task->change.path.data, flags, &task->attrs, mknod_opened, task);
	if (error)
		task_fail(task, error);
}

const struct node_ops real_ops = {
	.lookup = dir_lookup,
	.mkdir = dir_mkdir,
	.mknod = dir_mknod,
	.symlink = dir_symlink,
	.unlink = dir_unlink,
	.rmdir = dir_rmdir,
	.create = file_create,
	.opendir = real_opendir,
	.rename = real_rename,
	.link = real_link,
	.getattr = real_getattr,
	.setattr = real_setattr,
	.open = file_open,
	.readlink = real_readlink,
	.statvfs = real_statvfs,
	.access = real_access,
	.getxattr = real_getxattr,
	.real = true,
	.free = file_node_free,
};
