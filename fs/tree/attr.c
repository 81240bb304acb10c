/*
 * attr: attributes of real nodes, read and set; access, statvfs, and the one extended attribute there is.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tree/file.h"
#include "tree/real.h"
#include "tree/task.h"

#define STATS_XATTR "user.claimfs.stats"
#define STATVFS_FAKE_BLOCKS (1000ULL * 1024 * 1024 * 1024 / 4096)	/* a server that can't tell: as sshfs says */

/* LSTAT, or STAT when symlinks are the server's to follow. */
static int look(struct task *task, sftp_done *done)
{
	int error = task_path(task);

	if (error)
		return error;
	if (task->tree->options.follow_symlinks)
		return sftp_stat(task->tree->sftp, SFTP_CONTROL, task->path.data, done, task);
	return sftp_lstat(task->tree->sftp, SFTP_CONTROL, task->path.data, done, task);
}

static void getattr_done(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;

	if (answer->error)
		task_fail(task, answer->error);
	else
		task_attr(task, &answer->attrs);
}

void real_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	struct task *task;
	int error;

	if (!S_ISDIR(node->type) && file_getattr(tree, node, handle, reply))
		return;
	task = task_new(tree, reply, node, NULL, NULL);
	if (!task)
		return;
	error = look(task, getattr_done);
	if (error)
		task_fail(task, error);
}

/* ---- setattr ---- */

static void setattr_explained(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);

	task_fail(task, error == ERRORS_AGAIN ? -EIO : error);
}

enum { LEG_SET, LEG_LOOK };

static void setattr_landed(struct flight *flight)
{
	struct task *task = container_of(flight, struct task, flight);
	int error = flight->legs[LEG_SET].error;

	if (error == -EREMOTEIO) {
		change_init(&task->change, task->tree->sftp, CHANGE_SETATTR);
		buf_adds(&task->change.path, task->path.data);
		if (!buf_error(&task->change.path)) {
			change_explain(&task->change, error, setattr_explained);
			return;
		}
	}
	/* SFTP has one word for EACCES and EPERM. chmod and chown of what is another's is EPERM, and cp -p goes on after that. */
	if (error == -EACCES && (task->attrs.flags & (SFTP_ATTR_MODE | SFTP_ATTR_OWNER)))
		error = -EPERM;
	if (!error)
		error = flight->legs[LEG_LOOK].error;
	if (error)
		task_fail(task, error);
	else
		task_attr(task, &flight->legs[LEG_LOOK].attrs);
}

static void setattr_send(struct task *task)
{
	struct sftp *sftp = task->tree->sftp;
	struct flight_leg *leg;

	flight_begin(&task->flight, setattr_landed);
	leg = flight_leg(&task->flight);
	flight_sent(leg, sftp_setstat(sftp, SFTP_CONTROL, task->path.data, &task->attrs, task->nofollow, flight_done, leg));
	leg = flight_leg(&task->flight);
	if (task->tree->options.follow_symlinks)
		flight_sent(leg, sftp_stat(sftp, SFTP_CONTROL, task->path.data, flight_done, leg));
	else
		flight_sent(leg, sftp_lstat(sftp, SFTP_CONTROL, task->path.data, flight_done, leg));
	flight_go(&task->flight);
}

/* SFTP sets both times or none: the one that stays was asked for. */
static void setattr_looked(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;

	if (answer->error) {
		task_fail(task, answer->error);
		return;
	}
	if (task->keep & TREE_SET_ATIME)
		task->attrs.atime = answer->attrs.atime;
	if (task->keep & TREE_SET_MTIME)
		task->attrs.mtime = answer->attrs.mtime;
	setattr_send(task);
}

/* What SFTP can hold of a time: whole seconds from 1970 to 2106. */
static uint32_t seconds_of(time_t time)
{
	if (time < 0)
		return 0;
	return time > (time_t)UINT32_MAX ? UINT32_MAX : (uint32_t)time;
}

static void fill_times(struct task *task, const struct stat *st, unsigned int valid)
{
	const unsigned int atime = TREE_SET_ATIME | TREE_SET_ATIME_NOW, mtime = TREE_SET_MTIME | TREE_SET_MTIME_NOW;
	uint32_t now = seconds_of((time_t)(clock_wall() / NS_PER_S));

	if (!(valid & (atime | mtime)))
		return;
	task->attrs.flags |= SFTP_ATTR_TIMES;
	task->attrs.atime = valid & TREE_SET_ATIME_NOW ? now : seconds_of(st->st_atime);
	task->attrs.mtime = valid & TREE_SET_MTIME_NOW ? now : seconds_of(st->st_mtime);
	if (!(valid & atime))
		task->keep |= TREE_SET_ATIME;
	if (!(valid & mtime))
		task->keep |= TREE_SET_MTIME;
}

int real_fill_attrs(struct task *task, const struct stat *st, unsigned int valid)
{
	int error = 0;

	if (valid & TREE_SET_SIZE) {
		task->attrs.flags |= SFTP_ATTR_SIZE;
		task->attrs.size = (uint64_t)st->st_size;
	}
	if (valid & TREE_SET_MODE) {
		task->attrs.flags |= SFTP_ATTR_MODE;
		task->attrs.mode = st->st_mode & 07777;
	}
	if (valid & (TREE_SET_UID | TREE_SET_GID)) {	/* -1 leaves one as it is, as in chown(2), which servers hand it to */
		task->attrs.flags |= SFTP_ATTR_OWNER;
		error = tree_remote_ids(task->tree, valid & TREE_SET_UID ? st->st_uid : (uid_t)-1,
			valid & TREE_SET_GID ? st->st_gid : (gid_t)-1, &task->attrs.uid, &task->attrs.gid);
	}
	fill_times(task, st, valid);
	return error;
}

void real_setattr(struct tree *tree, struct node *node, struct handle *handle, const struct stat *st, unsigned int valid, struct reply *reply)
{
	struct task *task;
	bool complete;
	int error;

	if (!S_ISDIR(node->type) && file_setattr(tree, node, handle, st, valid, reply))
		return;
	task = task_new(tree, reply, node, NULL, NULL);
	if (!task)
		return;
	task->nofollow = S_ISLNK(node->type) && !tree->options.follow_symlinks;
	error = real_fill_attrs(task, st, valid);
	complete = !task->keep;		/* the task may be gone once something was sent */
	if (!error)
		error = complete ? task_path(task) : look(task, setattr_looked);
	if (error)
		task_fail(task, error);
	else if (complete)
		setattr_send(task);
}

/* ---- access: the server decides when something is done; only "may it be run" is looked at, as sshfs does ---- */

static void access_done(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;
	struct reply *reply = task->reply;
	int error = answer->error;

	if (!error && S_ISREG(answer->attrs.mode) && !(answer->attrs.mode & 0111))
		error = -EACCES;
	if (error) {
		task_fail(task, error);
		return;
	}
	task_end(task);
	reply->ops->error(reply, 0);
}

void real_access(struct tree *tree, struct node *node, int mask, struct reply *reply)
{
	struct task *task;
	int error;

	if (!(mask & X_OK) || S_ISDIR(node->type)) {
		reply->ops->error(reply, 0);
		return;
	}
	task = task_new(tree, reply, node, NULL, NULL);
	if (!task)
		return;
	error = look(task, access_done);
	if (error)
		task_fail(task, error);
}

/* ---- statvfs ---- */

static void answer_statvfs(struct reply *reply, const struct sftp_statvfs *from)
{
	struct statvfs st = {
		.f_bsize = from->bsize, .f_frsize = from->frsize, .f_blocks = from->blocks, .f_bfree = from->bfree,
		.f_bavail = from->bavail, .f_files = from->files, .f_ffree = from->ffree, .f_favail = from->favail,
		.f_fsid = from->fsid, .f_flag = from->flag, .f_namemax = from->namemax,
	};

	reply->ops->statvfs(reply, &st);
}

static void statvfs_done(void *arg, const struct sftp_reply *answer)
{
	struct task *task = arg;
	struct reply *reply = task->reply;

	if (answer->error) {
		task_fail(task, answer->error);
		return;
	}
	task_end(task);
	answer_statvfs(reply, &answer->statvfs);
}

void real_statvfs(struct tree *tree, struct node *node, struct reply *reply)
{
	static const struct sftp_statvfs unknown = {
		.bsize = 4096, .frsize = 4096, .blocks = STATVFS_FAKE_BLOCKS, .bfree = STATVFS_FAKE_BLOCKS, .bavail = STATVFS_FAKE_BLOCKS,
		.files = 1000000000, .ffree = 1000000000, .favail = 1000000000, .namemax = 255,
	};
	struct task *task;
	int error;

	if (!(sftp_features(tree->sftp) & SFTP_HAS_STATVFS)) {
		answer_statvfs(reply, &unknown);
		return;
	}
	task = task_new(tree, reply, node, NULL, NULL);
	if (!task)
		return;
	error = task_path(task);
	if (!error)
		error = sftp_statvfs(tree->sftp, SFTP_CONTROL, task->path.data, statvfs_done, task);
	if (error)
		task_fail(task, error);
}

/* ---- the mount's own figures, as an extended attribute of its root ---- */

void real_getxattr(struct tree *tree, struct node *node, const char *name, size_t size, struct reply *reply)
{
	/* Not ENODATA: `ls -l` then asks for two attributes of every file. Not ENOSYS: the kernel would never ask for ours. */
	if (node != tree->root || strcmp(name, STATS_XATTR))
		reply->ops->error(reply, -EOPNOTSUPP);
	else
		figures_answer(tree, size, reply);
}
