/*
 * symlink: what symbolic links of the server show. A hostile server may point them anywhere on *this* machine, where a program that follows one
 * reads or writes with its user's rights; so links that lead out of the mount are refused (contain_symlinks), as sshfs does since 3.7.6.
 *
 * A link stays inside when it is relative and climbs with ".." only at its beginning and no further than the mount's root: after a name, ".."
 * may lead anywhere, because that name may be a link itself. What it passes through on its way down is judged when that is read.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "tree/real.h"
#include "tree/task.h"

static bool is_component(const char *at, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(at, word, len);
}

static bool stays_inside(const char *text, unsigned int depth)
{
	bool climbing = true;

	if (*text == '/')
		return false;
	while (*text) {
		size_t len = strcspn(text, "/");

		if (is_component(text, len, "..")) {
			if (!climbing || !depth--)
				return false;
		} else if (len && !is_component(text, len, ".")) {
			climbing = false;
		}
		text += len;
		text += strspn(text, "/");
	}
	return true;
}

/* An absolute link below the mounted directory becomes a relative one. */
static bool transform(const char *root_path, unsigned int depth, const char *text, struct buf *ret_text)
{
	size_t len = strlen(root_path);
	unsigned int i;

	if (*text != '/' || strncmp(text, root_path, len) || (text[len] && text[len] != '/'))
		return false;
	text += len;
	text += strspn(text, "/");
	for (i = 0; i < depth; i++)
		buf_adds(ret_text, *text || i + 1 < depth ? "../" : "..");
	buf_adds(ret_text, text);
	if (!ret_text->len)
		buf_addch(ret_text, '.');
	return true;
}

int symlink_text(const struct tree_options *options, const char *root_path, unsigned int depth, const char *text, struct buf *ret_text)
{
	if (!options->transform_symlinks || !transform(root_path, depth, text, ret_text))
		buf_adds(ret_text, text);
	if (buf_error(ret_text))
		return -ENOMEM;
	if (ret_text->len >= PATH_MAX)		/* more than the kernel takes */
		return -ENAMETOOLONG;
	return !options->contain_symlinks || stays_inside(buf_text(ret_text), depth) ? 0 : -EPERM;
}

static void readlink_done(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;
	struct reply *reply = task->reply;
	struct buf text = BUF_INIT;
	unsigned int depth = node_depth(task->tree, task->node);
	int error = answer->error;

	if (!error)
		error = symlink_text(&task->tree->options, task->tree->root_path, depth ? depth - 1 : 0, answer->text, &text);
	if (error) {
		task_fail(task, error);
	} else {
		task_end(task);
		reply->ops->link(reply, buf_text(&text));
	}
	buf_release(&text);
}

void real_readlink(struct tree *tree, struct node *node, struct reply *reply)
{
	struct task *task = task_new(tree, reply, node, NULL, NULL);
	int error;

	if (!task)
		return;
	error = task_path(task);
	if (!error)
		error = sftp_readlink(tree->sftp, SFTP_CONTROL, task->path.data, readlink_done, task);
	if (error)
		task_fail(task, error);
}
