/*
 * file_attr: attributes of files that are open here: read and set through a handle, so that it works after unlink and rename too, and in order with queued
 * writes: a truncation, or times, must not come before writes that were made before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tree/damage.h"
#include "tree/errors.h"
#include "tree/file.h"
#include "tree/file_state.h"
#include "tree/real.h"
#include "tree/task.h"

bool file_overlay(struct tree *tree, struct node *node, const struct sftp_attrs *answer, struct stat *st)
{
	struct real *real = real_of(tree, node);
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_SIZE | SFTP_ATTR_TIMES, .asked_ns = answer->asked_ns };
	uint64_t size = (uint64_t)st->st_size;
	bool dirty;

	if (!real || !S_ISREG(st->st_mode))
		return false;
	attrs.size = size;
	attrs.mtime = (uint32_t)st->st_mtime;
	pthread_mutex_lock(&real->lock);
	real_saw_locked(real, &attrs);
	dirty = real_overlay_locked(real, attrs.asked_ns, &size);
	size = writebehind_told_size(&real->wb, size);	/* less, and the kernel would put the next append's pages too far to the front */
	pthread_mutex_unlock(&real->lock);
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
	return dirty;
}

/* ---- getattr ---- */

struct getattr {
	struct waiter waiter;		/* for appends */
	struct open_file *of;		/* held */
	struct reply *reply;
};

/* What an answer about an open file means, to the kernel. */
static bool as_stat(struct open_file *of, const struct sftp_attrs *attrs, struct stat *ret_st)
{
	struct tree *tree = of->handle.tree;

	files_saw_time(tree->files, attrs);
	tree_stat(tree, attrs, of->handle.node->ino, ret_st);
	if (node_is_removed(tree, of->handle.node))
		ret_st->st_nlink = 0;
	return file_overlay(tree, of->handle.node, attrs, ret_st);
}

static void getattr_done(void *arg, const struct sftp_reply *answer)
{
	struct getattr *getattr = arg;
	struct open_file *of = getattr->of;
	struct reply *reply = getattr->reply;
	double ttl = of->handle.tree->options.attr_ttl;
	struct stat st;

	free(getattr);
	if (answer->error) {
		open_file_unref(of);
		reply->ops->error(reply, errors_plain(answer->error));
		return;
	}
	if (as_stat(of, &answer->attrs, &st))
		ttl = 0;
	open_file_unref(of);
	reply->ops->attr(reply, &st, ttl);
}

static void getattr_send(struct getattr *getattr)
{
	struct sftp_reply failed = { .error = sftp_fstat(getattr->of->file, getattr_done, getattr) };

	if (failed.error)
		getattr_done(getattr, &failed);
}

static void getattr_waited(struct waiter *waiter)
{
	getattr_send(container_of(waiter, struct getattr, waiter));
}

bool file_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply)
{
	struct real *real = real_of(tree, node);
	struct open_file *of = real ? real_any_open(real, handle ? open_file_of(handle) : NULL, false) : NULL;
	struct getattr *getattr;
	uint64_t appends;

	if (!of)
		return false;
	getattr = calloc(1, sizeof(*getattr));
	if (!getattr) {
		open_file_unref(of);
		reply->ops->error(reply, -ENOMEM);
		return true;
	}
	getattr->of = of;
	getattr->reply = reply;
	list_init(&getattr->waiter.link);
	getattr->waiter.run = getattr_waited;
	node_ref(tree, node);
	pthread_mutex_lock(&real->lock);
	appends = writebehind_appends(&real->wb);
	if (appends)
		real_wait_locked(real, &getattr->waiter, appends);
	pthread_mutex_unlock(&real->lock);
	if (appends)
		real_pump(real);
	else
		getattr_send(getattr);
	node_unref(tree, node);
	return true;
}

/* ---- setattr: a step among the writes ---- */

struct setattr {
	struct writebehind_item step;
	struct flight flight;
	struct open_file *of;		/* held */
	struct task *task;
	struct reply *reply;
	int error;
	bool explaining;
};

static void setattr_end(struct setattr *setattr, const struct sftp_attrs *attrs)
{
	struct open_file *of = setattr->of;
	struct reply *reply = setattr->reply;
	double ttl = of->handle.tree->options.attr_ttl;
	int error = setattr->error;
	struct stat st;

	real_acked(of->real, &setattr->step);
	task_end(setattr->task);
	free(setattr);
	if (error) {
		open_file_unref(of);
		reply->ops->error(reply, errors_plain(error));
		return;
	}
	if (as_stat(of, attrs, &st))
		ttl = 0;
	open_file_unref(of);
	reply->ops->attr(reply, &st, ttl);
}

static void setattr_fail(struct setattr *setattr, int error)
{
	setattr->error = error;
	setattr_end(setattr, NULL);
}

static void setattr_explained(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);
	struct setattr *setattr = task->owner;

	setattr_fail(setattr, error && error != ERRORS_AGAIN ? error : -EIO);
}

/* A "failure" is looked into, while the file has a path to look at. */
static void setattr_refused(struct setattr *setattr, int error)
{
	struct task *task = setattr->task;

	change_init(&task->change, task->tree->sftp, CHANGE_SETATTR);
	if (error != -EREMOTEIO || node_path(task->tree, task->node, NULL, &task->change.path)) {
		setattr_fail(setattr, error);
		return;
	}
	change_explain(&task->change, error, setattr_explained);
}

enum { LEG_SET, LEG_LOOK };

static void stat_done(void *arg, const struct sftp_reply *answer)
{
	struct setattr *setattr = arg;

	setattr->error = answer->error;
	setattr_end(setattr, &answer->attrs);
}

/* Did who looked see what was set? With several connections, and after a break, requests keep no order. */
static bool shows(const struct sftp_attrs *seen, const struct sftp_attrs *set)
{
	if ((set->flags & SFTP_ATTR_SIZE) && seen->size != set->size)
		return false;
	if ((set->flags & SFTP_ATTR_MODE) && ((seen->mode ^ set->mode) & 0777))
		return false;
	if ((set->flags & SFTP_ATTR_TIMES) && (seen->mtime != set->mtime || seen->atime != set->atime))
		return false;
	if (!(set->flags & SFTP_ATTR_OWNER))
		return true;
	return (set->uid == (uint32_t)-1 || seen->uid == set->uid) && (set->gid == (uint32_t)-1 || seen->gid == set->gid);
}

static void set_landed(struct flight *flight)
{
	struct setattr *setattr = container_of(flight, struct setattr, flight);
	struct sftp_attrs attrs = flight->legs[LEG_LOOK].attrs;
	int error = flight->legs[LEG_SET].error;

	if (!error && (flight->legs[LEG_LOOK].error || !shows(&attrs, &setattr->task->attrs))) {
		error = sftp_fstat(setattr->of->file, stat_done, setattr);
		if (!error)
			return;
	}
	if (error)
		setattr_refused(setattr, error);
	else
		setattr_end(setattr, &attrs);
}

static void set(struct setattr *setattr)
{
	struct sftp_file *file = setattr->of->file;
	struct flight_leg *leg;

	flight_begin(&setattr->flight, set_landed);
	leg = flight_leg(&setattr->flight);
	flight_sent(leg, sftp_fsetstat(file, &setattr->task->attrs, flight_done, leg));
	leg = flight_leg(&setattr->flight);
	flight_sent(leg, sftp_fstat(file, flight_done, leg));
	flight_go(&setattr->flight);
}

/* SFTP sets both times or none: the one that stays was asked for. */
static void times_done(void *arg, const struct sftp_reply *answer)
{
	struct setattr *setattr = arg;
	struct task *task = setattr->task;

	if (answer->error) {
		setattr_fail(setattr, answer->error);
		return;
	}
	if (task->keep & TREE_SET_ATIME)
		task->attrs.atime = answer->attrs.atime;
	if (task->keep & TREE_SET_MTIME)
		task->attrs.mtime = answer->attrs.mtime;
	set(setattr);
}

/* All writes before it are on the server. */
static void setattr_run(struct writebehind_item *step)
{
	struct setattr *setattr = container_of(step, struct setattr, step);
	int error;

	if (step->sets_size)
		real_cut(setattr->of->real, step->size);
	if (!setattr->task->keep) {
		set(setattr);
		return;
	}
	error = sftp_fstat(setattr->of->file, times_done, setattr);
	if (error)
		setattr_fail(setattr, error);
}

/* By path, then, but what is known of its bytes may be wrong afterwards. */
static bool set_elsewhere(struct real *real, const struct stat *st, unsigned int valid)
{
	if (real && (valid & TREE_SET_SIZE)) {
		real_cut(real, (uint64_t)st->st_size);
		pthread_mutex_lock(&real->lock);
		real_drop_locked(real, 0, UINT64_MAX);
		real->cached = false;
		real->acked_end = 0;
		real->changes++;
		real_size_unknown_locked(real);
		pthread_mutex_unlock(&real->lock);
	}
	return false;
}

/* NULL: it could not be begun, and the reply has been answered. Takes the ref on `of`. */
static struct setattr *setattr_new(struct open_file *of, const struct stat *st, unsigned int valid, struct reply *reply)
{
	struct setattr *setattr = calloc(1, sizeof(*setattr));
	struct task *task = NULL;
	int error;

	if (!setattr)
		reply->ops->error(reply, -ENOMEM);
	else
		task = task_new(of->handle.tree, reply, of->handle.node, NULL, NULL);
	if (!task)
		goto fail;
	task->owner = setattr;
	error = real_fill_attrs(task, st, valid);
	if (error) {
		task_fail(task, error);
		goto fail;
	}
	setattr->task = task;
	setattr->of = of;
	setattr->reply = reply;
	setattr->step.run = setattr_run;
	setattr->step.changes = valid & TREE_SET_SIZE;
	setattr->step.sets_size = valid & TREE_SET_SIZE;
	setattr->step.size = (uint64_t)st->st_size;
	return setattr;
fail:
	free(setattr);
	open_file_unref(of);
	return NULL;
}

static void begin_anew(struct tree *tree, struct node *node)
{
	struct buf path = BUF_INIT;

	if (!node_path(tree, node, NULL, &path))
		damage_mend(tree->damage, path.data);
	buf_release(&path);
}

bool file_setattr(struct tree *tree, struct node *node, struct handle *handle, const struct stat *st, unsigned int valid, struct reply *reply)
{
	struct real *real = real_of(tree, node);
	struct open_file *of = real ? real_any_open(real, handle ? open_file_of(handle) : NULL, valid & TREE_SET_SIZE) : NULL;
	struct setattr *setattr;

	if (valid & TREE_SET_SIZE && st->st_size == 0)
		begin_anew(tree, node);
	if (!of)
		return set_elsewhere(real, st, valid);
	setattr = setattr_new(of, st, valid, reply);
	if (setattr)
		real_add_step(real, &setattr->step);
	return true;
}

/*
 * ---- fallocate: SFTP can't reserve room; only what makes the file longer can be done honestly ----
 *
 * By writing its new last byte, a zero: another node may have appended since we looked, and setting the size would cut that off.
 */

struct grow {
	struct writebehind_item step;
	struct open_file *of;		/* held */
	struct reply *reply;
	uint64_t end;
};

static void grow_end(struct grow *grow, int error)
{
	struct open_file *of = grow->of;
	struct reply *reply = grow->reply;

	if (!error) {
		pthread_mutex_lock(&of->real->lock);
		real_grew_locked(of->real, grow->end);
		pthread_mutex_unlock(&of->real->lock);
	}
	real_acked(of->real, &grow->step);
	free(grow);
	open_file_unref(of);
	reply->ops->error(reply, errors_plain(error));
}

static void grown(void *arg, const struct sftp_reply *answer)
{
	grow_end(arg, answer->error == -EREMOTEIO ? -ENOSPC : answer->error);
}

static void grow_stat_done(void *arg, const struct sftp_reply *answer)
{
	static const uint8_t zero;
	struct grow *grow = arg;
	int error = answer->error;

	if (!error && answer->attrs.size >= grow->end)
		error = -EOPNOTSUPP;	/* inside of the file: there may be holes, which can't be filled */
	if (!error)
		error = sftp_write(grow->of->file, grow->end - 1, &zero, sizeof(zero), grown, grow);
	if (error)
		grow_end(grow, error);
}

static void grow_run(struct writebehind_item *step)
{
	struct grow *grow = container_of(step, struct grow, step);
	int error = sftp_fstat(grow->of->file, grow_stat_done, grow);

	if (error)
		grow_end(grow, error);
}

void file_fallocate(struct handle *handle, int mode, off_t offset, off_t length, struct reply *reply)
{
	struct open_file *of = open_file_of(handle);
	struct grow *grow;
	int error = 0;

	if (mode || of->append)		/* what such a handle writes is at the end, wherever that is */
		error = -EOPNOTSUPP;
	else if (!of->writable)
		error = -EBADF;
	else if (offset < 0 || length <= 0)
		error = -EINVAL;
	else if (length > INT64_MAX - offset)
		error = -EFBIG;
	if (error) {
		reply->ops->error(reply, error);
		return;
	}
	grow = calloc(1, sizeof(*grow));
	if (!grow) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	open_file_ref(of);
	grow->of = of;
	grow->reply = reply;
	grow->end = (uint64_t)offset + (uint64_t)length;
	grow->step.run = grow_run;
	grow->step.changes = true;
	grow->step.grows_to = grow->end;
	real_add_step(of->real, &grow->step);
}
