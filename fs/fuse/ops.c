/*
 * ops: the kernel's requests, handed to the node or handle they are for. No policy here: what an operation means is the tree's; one that a kind
 * of node does not have is answered with the error such an object gives on a local disk.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "fuse/internal.h"

#define OPS_MAX_NAME 255
#define OPS_XATTR_LIST "user.claimfs.stats"	/* on the root; with its NUL */

static struct tree *tree_of(fuse_req_t req)
{
	const struct session *session = fuse_req_userdata(req);

	return session->tree;
}

static struct node *node_of(struct tree *tree, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? tree->root : (struct node *)(uintptr_t)ino;
}

static struct handle *handle_of(const struct fuse_file_info *info)
{
	return (struct handle *)(uintptr_t)info->fh;
}

/* A reply for an operation that there is; else the request is answered with `error`, as it is for a name that is too long. */
static struct reply *begin(fuse_req_t req, bool there, int error, const char *name)
{
	if (name && strlen(name) > OPS_MAX_NAME) {
		fuse_reply_err(req, ENAMETOOLONG);
		return NULL;
	}
	if (!there) {
		figures_count_request(&tree_of(req)->figures);
		fuse_reply_err(req, error);
		return NULL;
	}
	return reply_new(req, REPLY_PLAIN, 0);
}

/* ---- names ---- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->lookup, ENOTDIR, name);

	if (reply)
		dir->ops->lookup(tree, dir, name, reply);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct tree *tree = tree_of(req);

	node_forget(tree, node_of(tree, ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct tree *tree = tree_of(req);
	size_t i;

	for (i = 0; i < count; i++)
		node_forget(tree, node_of(tree, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->mkdir, EPERM, name);

	if (reply)
		dir->ops->mkdir(tree, dir, name, mode, reply);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->mknod, EPERM, name);

	if (reply)
		dir->ops->mknod(tree, dir, name, mode, rdev, reply);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->symlink, EPERM, name);

	if (reply)
		dir->ops->symlink(tree, dir, name, target, reply);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->unlink, EPERM, name);

	if (reply)
		dir->ops->unlink(tree, dir, name, reply);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->rmdir, EPERM, name);

	if (reply)
		dir->ops->rmdir(tree, dir, name, reply);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->rename, EPERM, newname);

	if (reply)
		dir->ops->rename(tree, dir, name, node_of(tree, newparent), newname, flags, reply);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply = begin(req, node->ops->link, EPERM, newname);

	if (reply)
		node->ops->link(tree, node, node_of(tree, newparent), newname, reply);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply = begin(req, node->ops->readlink, EINVAL, NULL);

	if (reply)
		node->ops->readlink(tree, node, reply);
}

/* ---- attributes ---- */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply = begin(req, node->ops->getattr, ENOSYS, NULL);

	if (!reply)
		return;
	reply_about(reply, node);
	node->ops->getattr(tree, node, info ? handle_of(info) : NULL, reply);
}

static unsigned int valid_of(int to_set)
{
	static const struct {
		int fuse;
		unsigned int tree;
	} bits[] = {
		{ FUSE_SET_ATTR_MODE, TREE_SET_MODE }, { FUSE_SET_ATTR_UID, TREE_SET_UID }, { FUSE_SET_ATTR_GID, TREE_SET_GID },
		{ FUSE_SET_ATTR_SIZE, TREE_SET_SIZE }, { FUSE_SET_ATTR_ATIME, TREE_SET_ATIME }, { FUSE_SET_ATTR_MTIME, TREE_SET_MTIME },
		{ FUSE_SET_ATTR_ATIME_NOW, TREE_SET_ATIME_NOW }, { FUSE_SET_ATTR_MTIME_NOW, TREE_SET_MTIME_NOW },
	};
	unsigned int valid = 0, i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (to_set & bits[i].fuse)
			valid |= bits[i].tree;
	return valid;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *info)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply = begin(req, node->ops->setattr, EPERM, NULL);

	if (!reply)
		return;
	reply_about(reply, node);
	node->ops->setattr(tree, node, info ? handle_of(info) : NULL, st, valid_of(to_set), reply);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply;

	if (!node->ops->statvfs)
		node = tree->root;
	reply = begin(req, node->ops->statvfs, ENOSYS, NULL);
	if (reply)
		node->ops->statvfs(tree, node, reply);
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply = begin(req, node->ops->access, 0, NULL);

	if (reply)
		node->ops->access(tree, node, mask, reply);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply;

	if (!node->ops->getxattr) {
		fuse_reply_err(req, EOPNOTSUPP);	/* ENOSYS would mean that no node has any */
		return;
	}
	reply = reply_new(req, REPLY_XATTR, size);
	if (reply)
		node->ops->getxattr(tree, node, name, size, reply);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	size_t len = ino == FUSE_ROOT_ID ? sizeof(OPS_XATTR_LIST) : 0;

	if (!size)
		fuse_reply_xattr(req, len);
	else if (size < len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, OPS_XATTR_LIST, len);
}

/* ---- opening ---- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct tree *tree = tree_of(req);
	struct node *node = node_of(tree, ino);
	struct reply *reply = begin(req, node->ops->open, EPERM, NULL);

	if (reply)
		node->ops->open(tree, node, info->flags, reply);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *info)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, parent);
	struct reply *reply = begin(req, dir->ops->create, EPERM, name);

	if (reply)
		dir->ops->create(tree, dir, name, mode, info->flags, reply);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct tree *tree = tree_of(req);
	struct node *dir = node_of(tree, ino);
	struct reply *reply = begin(req, dir->ops->opendir, ENOTDIR, NULL);

	(void)info;
	if (reply)
		dir->ops->opendir(tree, dir, reply);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)ino;
	reply_release(req, handle_of(info));
}

/* ---- open files ---- */

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = begin(req, handle->ops->read, EBADF, NULL);

	(void)ino;
	if (reply)
		handle->ops->read(handle, offset, size, reply);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = begin(req, handle->ops->write, EBADF, NULL);

	(void)ino;
	if (reply && info->writepage && handle->ops->write_page)
		handle->ops->write_page(handle, offset, data, size, reply);
	else if (reply)
		handle->ops->write(handle, offset, data, size, reply);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = begin(req, handle->ops->flush, 0, NULL);

	(void)ino;
	if (reply)
		handle->ops->flush(handle, reply);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = begin(req, handle->ops->fsync, 0, NULL);

	(void)ino;
	if (reply)
		handle->ops->fsync(handle, data_only, reply);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = reply_new(req, REPLY_DIRENTS, size);

	(void)ino;
	if (reply && handle->ops->readdir)
		handle->ops->readdir(handle, offset, false, reply);
	else if (reply)
		reply->ops->error(reply, -ENOTDIR);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = reply_new(req, REPLY_DIRENTS_PLUS, size);
	bool plus = handle->node->ops->real;	/* the kernel keeps nothing of virtual entries: attributes would be made for nothing */

	(void)ino;
	if (reply && handle->ops->readdir)
		handle->ops->readdir(handle, offset, plus, reply);
	else if (reply)
		reply->ops->error(reply, -ENOTDIR);
}

/* The kernel takes ENOSYS of one file for an answer about every file, so it is never said. (Of lseek it is: nobody knows where holes are.) */
static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	struct reply *reply = begin(req, handle->ops->fallocate, EOPNOTSUPP, NULL);

	(void)ino;
	if (reply)
		handle->ops->fallocate(handle, mode, offset, length, reply);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *info_in, fuse_ino_t ino_out, off_t off_out,
	struct fuse_file_info *info_out, size_t len, int flags)
{
	struct handle *from = handle_of(info_in), *to = handle_of(info_out);
	/* EOPNOTSUPP: the kernel copies by reading and writing. */
	struct reply *reply = begin(req, from->ops->copy && from->ops == to->ops, EOPNOTSUPP, NULL);

	(void)ino_in;
	(void)ino_out;
	(void)flags;
	if (reply)
		from->ops->copy(from, off_in, to, off_out, len, reply);
}

/* ---- poll ---- */

static void poll_kick(void *arg)
{
	fuse_lowlevel_notify_poll(arg);
}

static void poll_drop(void *arg)
{
	fuse_pollhandle_destroy(arg);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info, struct fuse_pollhandle *poll_handle)
{
	struct handle *handle = handle_of(info);
	struct reply *reply;

	(void)ino;
	if (!handle->ops->poll) {
		if (poll_handle)
			fuse_pollhandle_destroy(poll_handle);
		fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
		return;
	}
	reply = reply_new(req, REPLY_PLAIN, 0);
	if (reply)
		handle->ops->poll(handle, poll_handle, poll_handle ? poll_kick : NULL, poll_drop, reply);
	else if (poll_handle)
		fuse_pollhandle_destroy(poll_handle);
}

/* ---- what is agreed with the kernel ---- */

#define OPS_MAX_TRANSFER (1U << 20)
#define OPS_MAX_BACKGROUND 256

static void want(struct fuse_conn_info *conn, unsigned int capability, bool wanted)
{
	if (wanted && (conn->capable & capability))
		conn->want |= capability;
	else
		conn->want &= ~capability;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct session *session = userdata;

	want(conn, FUSE_CAP_READDIRPLUS, !session->no_readdirplus);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, false);	/* the server sends attributes anyway; `ls -l` would ask for each again */
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	want(conn, FUSE_CAP_ASYNC_READ, true);
	want(conn, FUSE_CAP_ASYNC_DIO, true);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC, true);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, session->auto_cache);
	want(conn, FUSE_CAP_WRITEBACK_CACHE, false);	/* another node would not see it, and a close could not report its errors */
	want(conn, FUSE_CAP_EXPORT_SUPPORT, false);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
	want(conn, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, false);
	conn->max_write = OPS_MAX_TRANSFER;
	conn->max_background = OPS_MAX_BACKGROUND;
	conn->congestion_threshold = OPS_MAX_BACKGROUND * 3 / 4;
	conn->time_gran = 1000000000;	/* SFTP's times are whole seconds */
}

const struct fuse_lowlevel_ops session_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_release,
	.fsyncdir = op_fsync,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.access = op_access,
	.create = op_create,
	.poll = op_poll,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
};
