/*
 * file_write: writes, and what waits for them: flush (close), fsync, release.
 *
 * A write is answered when it is queued; it is done when flush, fsync or close say so. Errors come back there, or at the next write.
 */
#include <errno.h>
#include <stdlib.h>

#include "tree/errors.h"
#include "tree/file.h"
#include "tree/file_state.h"

/* ---- to the server ---- */

static void sent(struct real *real, struct writebehind_item *item, int error)
{
	if (error) {
		file_write_failed(real, item, error);
		return;
	}
	pthread_mutex_lock(&real->lock);
	real_grew_locked(real, item->offset + item->len);
	pthread_mutex_unlock(&real->lock);
	real_acked(real, item);
}

static void write_done(void *arg, const struct sftp_reply *answer)
{
	struct writebehind_item *item = arg;
	struct open_file *of = item->owner;

	sent(of->real, item, answer->error);
}

void file_send_through(struct real *real, struct writebehind_item *item, struct sftp_file *file)
{
	int error = sftp_write(file, item->offset, item->data, item->len, write_done, item);

	if (error)
		sent(real, item, error);
}

void file_send(struct real *real, struct writebehind_item *item)
{
	struct open_file *of = item->owner;

	if (of->append)
		file_page_send(real, item);
	else
		file_send_through(real, item, of->file);
}

/* ---- from a program ---- */

struct wait {			/* for all that was queued so far, for the sake of one reply */
	struct waiter waiter;
	struct open_file *of;	/* held */
	struct reply *reply;
	size_t count;		/* of a write */
};

static struct wait *wait_new(struct open_file *of, struct reply *reply, size_t count, void (*run)(struct waiter *waiter))
{
	struct wait *wait = calloc(1, sizeof(*wait));

	if (!wait) {
		reply->ops->error(reply, -ENOMEM);
		return NULL;
	}
	list_init(&wait->waiter.link);
	wait->waiter.run = run;
	wait->of = of;
	wait->reply = reply;
	wait->count = count;
	open_file_ref(of);
	return wait;
}

/* Takes it apart: the reply, and the error this handle must be told, if it is heard. The handle's ref is the caller's. */
static int wait_end(struct waiter *waiter, struct open_file **ret_of, struct reply **ret_reply, size_t *ret_count)
{
	struct wait *wait = container_of(waiter, struct wait, waiter);
	bool heard = !wait->reply->ops->abandoned(wait->reply);
	struct open_file *of = wait->of;
	int error = -EINTR;

	if (heard) {
		pthread_mutex_lock(&of->real->lock);
		error = open_file_error_locked(of);
		pthread_mutex_unlock(&of->real->lock);
	}
	*ret_of = of;
	*ret_reply = wait->reply;
	*ret_count = wait->count;
	free(wait);
	return error;
}

static void write_waited(struct waiter *waiter)
{
	struct open_file *of;
	struct reply *reply;
	size_t count;
	int error = wait_end(waiter, &of, &reply, &count);

	open_file_unref(of);
	if (error)
		reply->ops->error(reply, error);
	else
		reply->ops->written(reply, count);
}

/* Has the kernel pages of this file that a write of this handle goes past? Those of a closed one it drops at the next open, since `cached` is false now. */
static bool makes_pages_stale_locked(const struct open_file *of)
{
	const struct tree *tree = of->handle.tree;
	struct list *link;

	if (!open_file_is_direct(of) || tree->options.direct_io || !tree->invalidate_pages)
		return false;
	if (tree->options.kernel_cache)
		return true;
	list_for_each(link, &of->real->opens)
		if (!open_file_is_direct(list_entry(link, struct open_file, link)))
			return true;
	return false;
}

static int enqueue(struct open_file *of, bool append, uint64_t offset, const void *data, size_t size, bool *ret_stale)
{
	struct real *real = of->real;
	size_t before;
	int error;

	pthread_mutex_lock(&real->lock);
	before = real->wb.bytes;
	error = open_file_error_locked(of);
	if (!error)
		error = writebehind_add(&real->wb, of, append, offset, data, size);
	if (!error) {
		files_charge(of->handle.tree->files, real->wb.bytes - before);
		real_drop_locked(real, append ? 0 : offset, append ? UINT64_MAX : size);
		real->cached = false;
		*ret_stale = append && makes_pages_stale_locked(of);	/* a page that comes from there is not old, and may be awaited by who drops it */
	}
	pthread_mutex_unlock(&real->lock);
	return error;
}

struct queued {			/* a write that is, and has not been answered */
	struct open_file *of;	/* held */
	struct wait *wait;	/* answers it, or NULL: files_queued() does */
	struct reply *reply;
	size_t size;
};

static void queued_answer(const struct queued *queued)
{
	struct open_file *of = queued->of;

	if (queued->wait)
		real_wait(of->real, &queued->wait->waiter);
	else
		files_queued(of->handle.tree->files, queued->reply, queued->size);
	open_file_unref(of);
}

static void pages_dropped(void *arg)
{
	struct queued *queued = arg;

	queued_answer(queued);
	free(queued);
}

/*
 * Who has the file open and reads after this write was answered must find it, but a direct write passes the kernel's pages by: before Linux 6.6 it leaves
 * them as they are, and since then it drops them before it asks us, so that a reader may have filled them again with what was there. Reads that come
 * once the write is queued see it: pages that are dropped from then on are right when they are filled again.
 */
static void drop_pages(const struct queued *queued, uint64_t offset)
{
	struct tree *tree = queued->of->handle.tree;
	struct queued *later = malloc(sizeof(*later));

	if (!later) {		/* rather a page that is old for a moment than a write that is there and said to have failed */
		queued_answer(queued);
		return;
	}
	*later = *queued;
	tree->invalidate_pages(tree->invalidate_arg, queued->of->handle.node, offset, pages_dropped, later);
}

static void write_somehow(struct handle *handle, bool append, off_t offset, const void *data, size_t size, struct reply *reply)
{
	struct open_file *of = open_file_of(handle);
	struct queued queued = { .of = of, .reply = reply, .size = size };
	bool sync = handle->tree->options.sync_writes, stale = false;
	int error;

	if (!of->writable || offset < 0) {
		reply->ops->error(reply, of->writable ? -EINVAL : -EBADF);
		return;
	}
	if (sync && !(queued.wait = wait_new(of, reply, size, write_waited)))
		return;
	open_file_ref(of);
	error = enqueue(of, append, (uint64_t)offset, data, size, &stale);
	if (error) {
		if (queued.wait)
			open_file_unref(of);
		free(queued.wait);
		reply->ops->error(reply, error);
		open_file_unref(of);
		return;
	}
	real_pump(of->real);
	if (stale)
		drop_pages(&queued, (uint64_t)offset);
	else
		queued_answer(&queued);
}

void file_write(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply)
{
	write_somehow(handle, open_file_of(handle)->append, offset, data, size, reply);
}

void file_write_page(struct handle *handle, off_t offset, const void *data, size_t size, struct reply *reply)
{
	write_somehow(handle, false, offset, data, size, reply);
}

/* ---- flush: called at every close; fsync ---- */

static void flush_waited(struct waiter *waiter)
{
	struct open_file *of;
	struct reply *reply;
	size_t count;
	int error = wait_end(waiter, &of, &reply, &count);

	open_file_unref(of);
	reply->ops->error(reply, error);
}

void file_flush(struct handle *handle, struct reply *reply)
{
	struct open_file *of = open_file_of(handle);
	struct wait *wait;

	if (!of->writable) {
		reply->ops->error(reply, 0);
		return;
	}
	wait = wait_new(of, reply, 0, flush_waited);
	if (wait)
		real_wait(of->real, &wait->waiter);
}

struct fsync {
	struct open_file *of;
	struct reply *reply;
};

static void fsync_done(void *arg, const struct sftp_reply *answer)
{
	struct fsync *fsync = arg;
	struct reply *reply = fsync->reply;
	int error = answer->error;

	open_file_unref(fsync->of);
	free(fsync);
	/* A server that can't: all is written, as far as it can be known. */
	reply->ops->error(reply, error == -EOPNOTSUPP ? 0 : errors_plain(error));
}

static void fsync_waited(struct waiter *waiter)
{
	struct fsync *fsync = malloc(sizeof(*fsync));
	struct sftp_reply failed = { 0 };
	struct open_file *of;
	struct reply *reply;
	size_t count;
	int error = wait_end(waiter, &of, &reply, &count);

	if (error || !fsync) {
		free(fsync);
		open_file_unref(of);
		reply->ops->error(reply, error ? error : -ENOMEM);
		return;
	}
	fsync->of = of;
	fsync->reply = reply;
	failed.error = sftp_fsync(of->file, fsync_done, fsync);
	if (failed.error)
		fsync_done(fsync, &failed);
}

void file_fsync(struct handle *handle, bool data_only, struct reply *reply)
{
	struct open_file *of = open_file_of(handle);
	struct wait *wait = wait_new(of, reply, 0, fsync_waited);

	(void)data_only;
	if (wait)
		real_wait(of->real, &wait->waiter);
}

/* ---- release: the kernel has done with the handle; what it wrote (through a mapping, after the last close) may still be queued ---- */

static void released(struct waiter *waiter)
{
	struct open_file *of = container_of(waiter, struct open_file, releasing);
	struct reply *reply = of->release_reply;

	open_file_unref(of);
	reply->ops->error(reply, 0);
}

void file_release(struct handle *handle, struct reply *reply)
{
	struct open_file *of = open_file_of(handle);

	of->release_reply = reply;
	list_init(&of->releasing.link);
	of->releasing.run = released;
	pthread_mutex_lock(&of->real->lock);
	open_file_closing_locked(of, false);
	pthread_mutex_unlock(&of->real->lock);
	real_wait(of->real, &of->releasing);
}
