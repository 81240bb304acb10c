/* file_state: see file_state.h: lives of nodes' and handles' state, and the queue's traffic. */
#include "tree/file_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tree/file.h"
#include "tree/hashed.h"

/* An entry of a listing may be this old when it comes: a write acknowledged meanwhile still counts. */
#define ACKED_COUNTS_NS (2 * NS_PER_S)

/* ---- nodes ---- */

struct real *real_of(struct tree *tree, struct node *node)
{
	struct real *real;

	pthread_mutex_lock(&tree->lock);
	real = node->data;
	pthread_mutex_unlock(&tree->lock);
	return real;
}

/* What lies in the server's page cache is not begun by one request and ended by the next. */
static size_t whole_pages(size_t bytes)
{
	return bytes > FILE_PAGE ? bytes - bytes % FILE_PAGE : bytes;
}

static struct real *real_new(struct tree *tree, struct node *node)
{
	struct real *real = calloc(1, sizeof(*real));

	if (!real)
		return NULL;
	real->tree = tree;
	real->node = node;
	pthread_mutex_init(&real->lock, NULL);
	list_init(&real->opens);
	list_init(&real->waiters);
	list_init(&real->closes);
	list_init(&real->failed);
	writebehind_init(&real->wb, whole_pages(sftp_max_write(tree->sftp)));
	real->wb.pool = &tree->files->pool;
	return real;
}

static void real_free(struct real *real)
{
	if (!real)
		return;
	writebehind_release(&real->wb);
	pthread_mutex_destroy(&real->lock);
	free(real);
}

struct real *real_get(struct tree *tree, struct node *node)
{
	struct real *real = real_of(tree, node), *fresh;

	if (real)
		return real;
	fresh = real_new(tree, node);
	if (!fresh)
		return NULL;
	pthread_mutex_lock(&tree->lock);
	if (!node->data)
		node->data = fresh;
	real = node->data;
	pthread_mutex_unlock(&tree->lock);
	if (real != fresh)
		real_free(fresh);
	return real;
}

void file_node_free(struct node *node)
{
	real_free(node->data);
	node->data = NULL;
}

/* ---- the queue's traffic ---- */

void real_pump(struct real *real)
{
	struct writebehind_item *item;
	struct list ready, *link;

	list_init(&ready);
	pthread_mutex_lock(&real->lock);
	while ((item = writebehind_next(&real->wb)))
		list_append(&ready, &item->ready);
	pthread_mutex_unlock(&real->lock);
	while ((link = list_pop(&ready))) {
		item = list_entry(link, struct writebehind_item, ready);
		if (item->kind == WRITEBEHIND_STEP)
			item->run(item);
		else if (item->kind == WRITEBEHIND_APPEND)
			file_append_send(real, item);
		else
			file_send(real, item);
	}
}

/* Waiters whose time has come, onto `ret_ready`. */
static void collect_waiters_locked(struct real *real, struct list *ret_ready)
{
	struct list *link, *next;

	list_for_each_safe(link, next, &real->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		if (writebehind_done(&real->wb, waiter->seq)) {
			list_remove(link);
			list_append(ret_ready, link);
		}
	}
}

void waiters_run(struct list *ready)
{
	struct list *link;

	while ((link = list_pop(ready))) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		waiter->run(waiter);
	}
}

void real_wait_locked(struct real *real, struct waiter *waiter, uint64_t seq)
{
	waiter->seq = seq;
	list_append(&real->waiters, &waiter->link);
	writebehind_push(&real->wb);
}

/* Once the waiter has run, the handle and so the node may be gone: it is held. */
void real_wait(struct real *real, struct waiter *waiter)
{
	struct tree *tree = real->tree;
	struct node *node = real->node;
	bool idle;

	node_ref(tree, node);
	pthread_mutex_lock(&real->lock);
	idle = writebehind_idle(&real->wb);
	if (!idle)
		real_wait_locked(real, waiter, writebehind_last(&real->wb));
	pthread_mutex_unlock(&real->lock);
	if (idle)
		waiter->run(waiter);
	else
		real_pump(real);
	node_unref(tree, node);
}

static void set_size_locked(struct real *real, uint64_t size)
{
	struct list *link;

	if (real->acked_end > size)
		real->acked_end = size;
	if (real->known_end > size)
		real->known_end = size;
	list_for_each(link, &real->opens)
		list_entry(link, struct open_file, link)->size = size;
}

/* The node is held: a waiter that runs may be the last to hold the file. */
static size_t most_flying(const struct tree *tree)
{
	size_t worth = sftp_worth_flying(tree->sftp);

	return worth < WRITEBEHIND_MAX_BYTES ? worth : WRITEBEHIND_MAX_BYTES;
}

void real_acked(struct real *real, struct writebehind_item *item)
{
	struct tree *tree = real->tree;
	struct node *node = real->node;
	struct list ready;
	size_t bytes;

	list_init(&ready);
	node_ref(tree, node);
	pthread_mutex_lock(&real->lock);
	bytes = real->wb.bytes;
	if (item->kind == WRITEBEHIND_DATA)
		real_drop_locked(real, item->offset, item->len);
	else
		real_drop_locked(real, 0, UINT64_MAX);
	if (item->kind == WRITEBEHIND_STEP && item->sets_size)
		set_size_locked(real, item->size);
	real->changes++;
	real->wb.most = most_flying(tree);
	writebehind_acked(&real->wb, item);
	bytes -= real->wb.bytes;
	collect_waiters_locked(real, &ready);
	pthread_mutex_unlock(&real->lock);
	if (bytes)
		files_unqueued(tree->files, bytes);
	real_pump(real);
	waiters_run(&ready);
	node_unref(tree, node);
}

void real_grew_locked(struct real *real, uint64_t end)
{
	struct list *link;

	if (end > real->acked_end || clock_now() - real->acked_ns > ACKED_COUNTS_NS)
		real->acked_end = end;
	real->acked_ns = clock_now();
	if (real->known_end < end)
		real->known_end = end;
	list_for_each(link, &real->opens) {
		struct open_file *of = list_entry(link, struct open_file, link);

		if (of->size != READAHEAD_UNKNOWN && of->size < end)
			of->size = end;
	}
}

void real_size_unknown_locked(struct real *real)
{
	struct list *link;

	list_for_each(link, &real->opens)
		list_entry(link, struct open_file, link)->size = READAHEAD_UNKNOWN;
}

void real_cut(struct real *real, uint64_t size)
{
	struct list *link;

	pthread_mutex_lock(&real->lock);
	if (real->known_end > size)
		real->known_end = size;
	list_for_each(link, &real->opens) {
		struct open_file *of = list_entry(link, struct open_file, link);

		sftp_file_cut(of->file, size);
		if (of->pages)
			sftp_file_cut(of->pages, size);
	}
	pthread_mutex_unlock(&real->lock);
}

void real_add_step(struct real *real, struct writebehind_item *step)
{
	struct tree *tree = real->tree;
	struct node *node = real->node;

	node_ref(tree, node);
	pthread_mutex_lock(&real->lock);
	writebehind_add_step(&real->wb, step);
	if (step->changes) {
		real_drop_locked(real, 0, UINT64_MAX);
		real->cached = false;
	}
	if (step->sets_size)
		set_size_locked(real, step->size);
	pthread_mutex_unlock(&real->lock);
	real_pump(real);
	node_unref(tree, node);
}

/* ---- what is known of its attributes ---- */

void real_drop_locked(struct real *real, uint64_t offset, uint64_t len)
{
	struct list *link;

	if (len > UINT64_MAX - offset)
		len = UINT64_MAX - offset;
	list_for_each(link, &real->opens) {
		struct open_file *of = list_entry(link, struct open_file, link);

		hashed_unref(of->hashed);
		of->hashed = NULL;
		readahead_drop(&of->ra, offset, len, of->size == READAHEAD_UNKNOWN || offset + len > of->size);
		open_file_ahead_locked(of);
	}
}

void real_saw_locked(struct real *real, const struct sftp_attrs *attrs)
{
	uint64_t size = attrs->size;
	struct list *link;

	if (!(attrs->flags & SFTP_ATTR_SIZE) || !(attrs->flags & SFTP_ATTR_TIMES))
		return;
	if (real->seen && (real->seen_size != attrs->size || real->seen_mtime != attrs->mtime) && writebehind_idle(&real->wb))
		real_drop_locked(real, 0, UINT64_MAX);
	if (attrs->asked_ns > real->acked_ns) {	/* it is the truth: another node may have cut the file */
		real->acked_end = 0;
		real->known_end = attrs->size;
	} else if (real->known_end < attrs->size) {
		real->known_end = attrs->size;
	}
	real->seen = true;
	real->seen_size = attrs->size;
	real->seen_mtime = attrs->mtime;
	real_overlay_locked(real, attrs->asked_ns, &size);
	list_for_each(link, &real->opens)
		list_entry(link, struct open_file, link)->size = size;
}

bool real_overlay_locked(struct real *real, int64_t asked_ns, uint64_t *size)
{
	bool before = asked_ns ? asked_ns <= real->acked_ns : clock_now() - real->acked_ns < ACKED_COUNTS_NS;

	if (real->acked_end > *size && before)
		*size = real->acked_end;
	*size = writebehind_size(&real->wb, *size);
	return !writebehind_idle(&real->wb);
}

/* ---- handles ---- */

struct open_file *open_file_of(struct handle *handle)
{
	return container_of(handle, struct open_file, handle);
}

bool open_file_is_direct(const struct open_file *of)
{
	return of->handle.tree->options.direct_io || (of->append && !of->readable);
}

size_t file_block(const struct tree *tree)
{
	return whole_pages(sftp_max_read(tree->sftp));
}

struct open_file *open_file_new(struct tree *tree, int flags)
{
	size_t block = file_block(tree), ahead = tree->options.readahead;
	struct open_file *of = calloc(1, sizeof(*of));

	if (!of)
		return NULL;
	if (tree->options.no_readahead)
		ahead = 0;
	of->handle.ops = &file_ops;
	of->handle.tree = tree;
	of->refs = 1;
	of->readable = (flags & O_ACCMODE) != O_WRONLY;
	of->writable = (flags & O_ACCMODE) != O_RDONLY;
	of->append = of->writable && (flags & O_APPEND);
	of->size = READAHEAD_UNKNOWN;
	readahead_init(&of->ra, block, ahead);
	of->ra.pool = &tree->files->pool;
	list_init(&of->link);
	list_init(&of->reads);
	list_init(&of->pages_waiting);
	return of;
}

void open_file_attach(struct open_file *of, struct real *real, struct sftp_file *file)
{
	of->file = file;
	of->real = real;
	of->handle.node = real->node;
	node_ref(real->tree, real->node);
	pthread_mutex_lock(&real->lock);
	of->error_seen = real->error_count;
	list_append(&real->opens, &of->link);
	if (real->gone)
		sftp_file_gone(file, true);
	pthread_mutex_unlock(&real->lock);
}

void open_file_ahead_locked(struct open_file *of)
{
	struct files *files = of->handle.tree->files;

	atomic_fetch_add(&files->ahead, of->ra.bytes);
	atomic_fetch_sub(&files->ahead, of->ahead);
	of->ahead = of->ra.bytes;
}

void open_file_ref(struct open_file *of)
{
	pthread_mutex_lock(&of->real->lock);
	of->refs++;
	pthread_mutex_unlock(&of->real->lock);
}

/* An error that no system call was left to tell. */
static void say_untold(struct open_file *of, int error)
{
	struct buf path = BUF_INIT;

	node_path_below(of->handle.tree, of->handle.tree->root, of->handle.node, NULL, &path);
	log_warn("what was written to %s is not all on the server (%s); it was closed before that was known",
		 path.len ? buf_text(&path) : "a file that was removed", log_strerror(error));
	buf_release(&path);
}

static void open_file_free(struct open_file *of, int error)
{
	if (of->real)
		open_file_close(of);
	hashed_unref(of->hashed);
	if (error)
		say_untold(of, error);
	if (of->real)
		node_unref(of->handle.tree, of->handle.node);
	free(of);
}

void open_file_unref(struct open_file *of)
{
	struct real *real = of->real;
	int error = 0;
	bool last;

	if (!real) {		/* never opened */
		open_file_free(of, 0);
		return;
	}
	pthread_mutex_lock(&real->lock);
	last = !--of->refs;
	if (last) {
		list_remove(&of->link);
		open_file_closing_locked(of, true);
		readahead_release(&of->ra);
		open_file_ahead_locked(of);
		error = open_file_error_locked(of);
	}
	pthread_mutex_unlock(&real->lock);
	if (last)
		open_file_free(of, error);
}

int open_file_error_locked(struct open_file *of)
{
	if (!of->writable || of->error_seen == of->real->error_count)
		return 0;
	of->error_seen = of->real->error_count;
	return of->real->error;
}

/* Another node may have put another file in its place meanwhile: the one opened last is the one that is there. */
struct open_file *real_any_open(struct real *real, struct open_file *wanted, bool writable)
{
	struct open_file *found = NULL;
	struct list *link;

	pthread_mutex_lock(&real->lock);
	if (wanted && wanted->file && (wanted->writable || !writable))
		found = wanted;
	for (link = real->opens.prev; !found && link != &real->opens; link = link->prev) {
		struct open_file *of = list_entry(link, struct open_file, link);

		if (of->file && !of->guessed && (of->writable || !writable))
			found = of;
	}
	if (found)
		found->refs++;
	pthread_mutex_unlock(&real->lock);
	return found;
}
