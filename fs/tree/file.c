/*
 * file: opening real files, and the table of what can be done with them.
 *
 *   OPEN, LSTAT (in one flight) ─▶ is it what the page cache holds? ─▶ answered: keep the cache
 *                                                              └─▶ READ of the first block, answered
 *
 * So a small file is here, or on its way, before its first read comes. With O_TRUNC the open is a step among queued writes (writebehind.h).
 */
#include "tree/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tree/ahead.h"
#include "tree/damage.h"
#include "tree/errors.h"
#include "tree/file_state.h"
#include "tree/hashed.h"
#include "tree/task.h"

/* SFTP's times are whole seconds: a file that changed so shortly before it was read may change again without showing it. */
#define RACY_S 2
#define GIVEN_MOST (64u * 1024)		/* bytes of a file that is given to the kernel with the answer to its open */
#define LOOK_AGAIN_NS (2 * NS_PER_S)

const struct handle_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.write_page = file_write_page,
	.flush = file_flush,
	.fsync = file_fsync,
	.fallocate = file_fallocate,
	.copy = file_copy,
	.release = file_release,
};

static int open_file_moved(struct open_file *of, const char *path)
{
	int error = sftp_file_moved(of->file, path);

	if (!error && of->pages && !of->pages_lender)
		error = sftp_file_moved(of->pages, path);
	return error;
}

void file_moved(struct tree *tree, struct node *node)
{
	struct real *real = real_of(tree, node);
	struct buf path = BUF_INIT;
	struct list *link;

	if (!real || node_path(tree, node, NULL, &path)) {
		buf_release(&path);
		return;
	}
	pthread_mutex_lock(&real->lock);
	list_for_each(link, &real->opens)
		if (open_file_moved(list_entry(link, struct open_file, link), path.data))
			break;		/* out of memory: it can't be reopened after a break, and says so then */
	pthread_mutex_unlock(&real->lock);
	buf_release(&path);
}

void file_moving(struct tree *tree, struct node *node, const char *path)
{
	struct real *real = real_of(tree, node);
	struct list *link;

	if (!real)
		return;
	pthread_mutex_lock(&real->lock);
	list_for_each(link, &real->opens)
		sftp_file_moving(list_entry(link, struct open_file, link)->file, path);
	pthread_mutex_unlock(&real->lock);
}

void file_gone(struct tree *tree, struct node *dir, const char *name, bool gone)
{
	struct node *node = node_find(tree, dir, name);
	struct real *real = node && node->ops->real ? real_of(tree, node) : NULL;
	struct list *link;

	if (real) {
		pthread_mutex_lock(&real->lock);
		real->gone = gone;
		list_for_each(link, &real->opens) {
			struct open_file *of = list_entry(link, struct open_file, link);

			sftp_file_gone(of->file, gone);
			if (of->pages)
				sftp_file_gone(of->pages, gone);
		}
		pthread_mutex_unlock(&real->lock);
	}
	if (node && gone)
		ahead_forget(tree->ahead, node);
	node_unref(tree, node);
}

uint32_t file_sftp_flags(int flags)
{
	uint32_t sftp_flags = 0;

	if ((flags & O_ACCMODE) != O_WRONLY)
		sftp_flags |= SFTP_OPEN_READ;
	if ((flags & O_ACCMODE) != O_RDONLY)
		sftp_flags |= SFTP_OPEN_WRITE;
	if ((flags & O_APPEND) && (flags & O_ACCMODE) != O_RDONLY)
		sftp_flags |= SFTP_OPEN_APPEND;
	return sftp_flags;
}

/* ---- what the page cache may keep ---- */

/* Is it that, and was it so long enough? */
static bool would_be_cached_locked(const struct real *real, const struct sftp_attrs *attrs)
{
	return real->cached && !real->cached_racy && real->cached_size == attrs->size && real->cached_mtime == attrs->mtime;
}

/* Is the file as it was when the kernel's page cache was filled? If not, the kernel drops that now, and fills it with what is there. */
static bool is_cached_locked(struct real *real, const struct sftp_attrs *attrs)
{
	if (would_be_cached_locked(real, attrs))
		return true;
	real->cached = writebehind_idle(&real->wb);
	real->cached_size = attrs->size;
	real->cached_mtime = attrs->mtime;
	real->cached_racy = files_server_time(real->tree->files) < (int64_t)attrs->mtime + RACY_S;
	return false;
}

static bool are_known(const struct sftp_attrs *attrs)
{
	return attrs && S_ISREG(attrs->mode) && (attrs->flags & SFTP_ATTR_SIZE) && (attrs->flags & SFTP_ATTR_TIMES);
}

/* Is what the queue read of it, to hash it, what is there? */
static void find_hashed_locked(struct open_file *of, const struct sftp_attrs *attrs)
{
	struct tree *tree = of->handle.tree;
	struct buf path = BUF_INIT;

	if (of->hashed || !hashed_any(tree->hashed))
		return;
	if (node_path(tree, of->handle.node, NULL, &path) == 0)
		of->hashed = hashed_find(tree->hashed, path.data, attrs);
	buf_release(&path);
}

/* Once, for a file that is only read. */
static void first_block_locked(struct open_file *of, const struct sftp_attrs *attrs, struct list *fetch)
{
	if (of->begun || of->writable || !writebehind_idle(&of->real->wb))
		return;
	of->begun = true;
	find_hashed_locked(of, attrs);
	readahead_open(&of->ra, attrs->size, fetch);
	open_file_ahead_locked(of);
}

void file_fetch_first(struct open_file *of, const struct sftp_attrs *attrs)
{
	struct real *real = of->real;
	struct list fetch;

	list_init(&fetch);
	pthread_mutex_lock(&real->lock);
	real_saw_locked(real, attrs);
	if (!would_be_cached_locked(real, attrs))
		first_block_locked(of, attrs, &fetch);
	pthread_mutex_unlock(&real->lock);
	file_fetch(of, &fetch);
}

/*
 * A small file that is here already goes to the kernel with the answer to the open: that saves the program a wait for its one read. Only the first time,
 * and before anybody else has a handle: so no page is there that a reader waits for, nor one that was written.
 */
static bool give_pages_locked(struct open_file *of, const struct sftp_attrs *attrs)
{
	struct tree *tree = of->handle.tree;
	struct real *real = of->real;
	const uint8_t *data = readahead_whole(&of->ra, attrs->size);

	if (!tree->store_pages || !data || real->was_open || attrs->size > GIVEN_MOST || of->writable || tree->options.direct_io ||
	    !writebehind_idle(&real->wb))
		return false;
	return tree->store_pages(tree->invalidate_arg, real->node, data, (size_t)attrs->size);
}

void file_begin(struct open_file *of, const struct sftp_attrs *attrs, struct tree_opened *ret_opened)
{
	const struct tree_options *options = &of->handle.tree->options;
	struct real *real = of->real;
	bool keep = false;
	struct list fetch;

	list_init(&fetch);
	if (are_known(attrs))
		files_saw_time(of->handle.tree->files, attrs);
	pthread_mutex_lock(&real->lock);
	if (of->guessed) {		/* the last one opened, now */
		of->guessed = false;
		list_remove(&of->link);
		list_append(&real->opens, &of->link);
	}
	if (are_known(attrs)) {
		real_saw_locked(real, attrs);
		keep = is_cached_locked(real, attrs);
		if (!keep)
			first_block_locked(of, attrs, &fetch);
		keep = keep || give_pages_locked(of, attrs);
	}
	real->was_open = true;
	pthread_mutex_unlock(&real->lock);
	figures_count(&of->handle.tree->figures, FIGURES_OPENS, keep);
	file_fetch(of, &fetch);
	if (node_told_other(of->handle.node, are_known(attrs) ? attrs : NULL) && of->handle.tree->invalidate_attrs)
		of->handle.tree->invalidate_attrs(of->handle.tree->invalidate_arg, of->handle.node);
	*ret_opened = (struct tree_opened){
		.handle = &of->handle,
		.direct_io = open_file_is_direct(of),
		.keep_cache = keep || options->kernel_cache,
		.no_flush = !of->writable,
	};
}

/* ---- open ---- */

struct opening {
	struct writebehind_item step;	/* with O_TRUNC */
	struct flight flight;
	struct task *task;
	struct open_file *of;
	struct real *real;
	int flags;
	struct sftp_file *file;
	int error;
};

enum { LEG_OPEN, LEG_LOOK };

/* The step is over; no more is needed of what led here. The reply is the caller's. */
static void opening_end(struct opening *opening)
{
	if (opening->flags & O_TRUNC)
		real_acked(opening->real, &opening->step);
	task_end(opening->task);
	flight_clear(&opening->flight);
	free(opening);
}

/*
 * No such file: the kernel's name for it is old, another node removed it. On ESTALE the kernel looks the name up anew and, if it is to be created,
 * creates it; of ENOENT it would tell a program that asked for O_CREAT.
 */
static void opening_fail(struct opening *opening, int error)
{
	struct reply *reply = opening->task->reply;

	if (error == -ENOENT)
		ahead_forget(opening->task->tree->ahead, opening->task->node);
	open_file_unref(opening->of);
	opening_end(opening);
	reply->ops->error(reply, error == -ENOENT ? -ESTALE : errors_plain(error));
}

static void open_explained(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);

	opening_fail(task->owner, error && error != ERRORS_AGAIN ? error : -EIO);
}

static void open_refused(struct opening *opening, int error)
{
	struct task *task = opening->task;

	change_init(&task->change, task->tree->sftp, CHANGE_OPEN);
	buf_adds(&task->change.path, task->path.data);
	if (error != -EREMOTEIO || buf_error(&task->change.path))
		opening_fail(opening, error);
	else
		change_explain(&task->change, error, open_explained);
}

/*
 * The kernel itself says where an append goes in its page cache: at the end it knows. If that is another, it must look the name up anew first,
 * which ESTALE makes it do, once. Where others append all the time its end is never right for long: then it isn't asked again so soon.
 */
static bool must_look_again(struct opening *opening, const struct sftp_attrs *attrs)
{
	struct real *real = opening->real;
	bool must;

	if (!opening->of->append || opening->flags & O_TRUNC || !node_told_other(real->node, attrs))
		return false;
	pthread_mutex_lock(&real->lock);
	must = !real->looked_ns || clock_now() - real->looked_ns > LOOK_AGAIN_NS;
	if (must)
		real->looked_ns = clock_now();
	pthread_mutex_unlock(&real->lock);
	return must;
}

static void opened(struct opening *opening)
{
	struct reply *reply = opening->task->reply;
	struct open_file *of = opening->of;
	struct tree_opened answer;
	struct sftp_attrs attrs = { 0 };

	if (opening->flight.count > LEG_LOOK && !opening->flight.legs[LEG_LOOK].error)
		attrs = opening->flight.legs[LEG_LOOK].attrs;
	if (must_look_again(opening, are_known(&attrs) ? &attrs : NULL)) {
		sftp_close(opening->file, NULL, NULL);
		opening_fail(opening, -ESTALE);
		return;
	}
	if (opening->flags & O_TRUNC)
		of->size = 0;
	open_file_attach(of, opening->real, opening->file);
	opening_end(opening);
	file_begin(of, &attrs, &answer);
	reply->ops->opened(reply, &answer);
}

static void open_landed(struct flight *flight)
{
	struct opening *opening = container_of(flight, struct opening, flight);
	int error = flight->legs[LEG_OPEN].error;

	if (error)
		open_refused(opening, error);
	else
		opened(opening);
}

static void open_done(void *arg, const struct sftp_reply *answer)
{
	struct flight_leg *leg = arg;

	struct opening *opening = container_of(leg->flight, struct opening, flight);

	opening->file = answer->file;
	readahead_way(&opening->of->ra, answer->received_ns - answer->sent_ns);
	flight_done(leg, answer);
}

static void send_look(struct opening *opening)
{
	struct task *task = opening->task;
	struct flight_leg *leg = flight_leg(&opening->flight);

	if (task->tree->options.follow_symlinks)
		flight_sent(leg, sftp_stat(task->tree->sftp, SFTP_DATA, task->path.data, flight_done, leg));
	else
		flight_sent(leg, sftp_lstat(task->tree->sftp, SFTP_DATA, task->path.data, flight_done, leg));
}

/*
 * It has no name any more (`exec 3<file; rm file; cat /dev/fd/3`): the server can't be asked to open it, but has it open for another handle, whose
 * file this one then uses. False: there is none that would do.
 */
static bool borrowed(struct opening *opening)
{
	struct open_file *of = opening->of;
	struct real *real = opening->real;
	struct reply *reply = opening->task->reply;
	const struct sftp_attrs unknown = { 0 };
	struct tree_opened answer;

	if (opening->flags & O_TRUNC)
		return false;
	pthread_mutex_lock(&real->lock);
	of->lender = open_file_lend_locked(real, of->readable, of->writable, of->append);
	pthread_mutex_unlock(&real->lock);
	if (!of->lender)
		return false;
	open_file_attach(of, real, of->lender->file);
	opening_end(opening);
	file_begin(of, &unknown, &answer);
	reply->ops->opened(reply, &answer);
	return true;
}

static void open_send(struct opening *opening)
{
	struct task *task = opening->task;
	uint32_t flags = file_sftp_flags(opening->flags);
	struct flight_leg *leg;
	int error = task_path(task);

	if (error) {
		if (error != -ESTALE || !borrowed(opening))
			opening_fail(opening, error);
		return;
	}
	if (opening->flags & O_TRUNC) {
		flags |= SFTP_OPEN_TRUNC;
		damage_mend(task->tree->damage, task->path.data);
	}
	flight_begin(&opening->flight, open_landed);
	leg = flight_leg(&opening->flight);
	flight_sent(leg, sftp_open(task->tree->sftp, SFTP_DATA, task->path.data, flags, NULL, open_done, leg));
	if ((opening->of->readable || opening->of->append) && !(opening->flags & O_TRUNC))
		send_look(opening);
	flight_go(&opening->flight);
}

static void open_run(struct writebehind_item *step)
{
	struct opening *opening = container_of(step, struct opening, step);

	real_cut(opening->real, 0);
	open_send(opening);
}

static struct opening *opening_new(struct tree *tree, struct node *node, int flags, struct reply *reply)
{
	struct opening *opening = calloc(1, sizeof(*opening));

	if (!opening || !(opening->of = open_file_new(tree, flags)) || !(opening->real = real_get(tree, node)))
		goto fail;
	opening->task = task_new(tree, reply, node, NULL, NULL);
	if (!opening->task) {
		reply = NULL;
		goto fail;
	}
	opening->task->owner = opening;
	opening->flags = flags;
	flight_init(&opening->flight);
	return opening;
fail:
	if (reply)
		reply->ops->error(reply, -ENOMEM);
	if (opening)
		free(opening->of);
	free(opening);
	return NULL;
}

/* It was opened before it was asked for: or not, after all. */
static void claimed(void *arg, struct open_file *of, const struct sftp_attrs *attrs)
{
	struct opening *opening = arg;
	struct reply *reply = opening->task->reply;
	struct tree_opened answer;

	if (!of) {
		open_send(opening);
		return;
	}
	open_file_unref(opening->of);
	opening_end(opening);
	file_begin(of, attrs, &answer);
	reply->ops->opened(reply, &answer);
}

void file_open(struct tree *tree, struct node *node, int flags, struct reply *reply)
{
	struct opening *opening = opening_new(tree, node, flags, reply);
	bool reads = (flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC);

	if (!opening)
		return;
	if (!(flags & O_TRUNC)) {
		node_ref(tree, node);
		if (!reads || !ahead_claim(tree->ahead, node, claimed, opening))
			open_send(opening);
		if (reads)
			ahead_opened(tree->ahead, node);
		node_unref(tree, node);
		return;
	}
	opening->step.run = open_run;
	opening->step.changes = true;
	opening->step.sets_size = true;
	real_add_step(opening->real, &opening->step);
}
