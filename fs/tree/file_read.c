/*
 * file_read: reads of open files: from blocks that were fetched ahead, or are fetched now.
 *
 *   read ──(queued writes of the same bytes are acknowledged first)──▶ planned ──(its blocks are there)──▶ answered from them
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/errors.h"
#include "tree/file.h"
#include "tree/file_state.h"
#include "tree/hashed.h"

#define ZEROES (64u * 1024)

static const uint8_t zeroes[ZEROES];

struct read {
	struct list link;		/* of of->reads, or of those that can be answered */
	struct waiter waiter;
	struct open_file *of;		/* held */
	struct reply *reply;
	uint64_t offset;
	size_t len;
	uint64_t floor;			/* with the writes that were queued then, the file is so long: a hole before its end reads as zeroes */
	bool again;			/* it was planned anew: what was fetched ended at different sizes of the file */
	int count;
	struct readahead_piece *pieces;
};

static void read_free(struct read *read)
{
	struct open_file *of = read->of;

	free(read->pieces);
	free(read);
	open_file_unref(of);
}

static void read_fail(struct read *read, int error)
{
	struct reply *reply = read->reply;

	read_free(read);
	reply->ops->error(reply, errors_plain(error));
}

/* ---- answering ---- */

static size_t piece_got(const struct readahead_piece *piece)
{
	size_t got = piece->block->got;

	if (got <= piece->from)
		return 0;
	return got - piece->from < piece->len ? got - piece->from : piece->len;
}

static int read_error(const struct read *read)
{
	int i;

	for (i = 0; i < read->count; i++)
		if (read->pieces[i].block->error)
			return read->pieces[i].block->error;
	return 0;
}

/* Did the file end within one block, though another, fetched at another time, has bytes behind that? */
static bool is_torn(const struct read *read)
{
	bool ended = false;
	int i;

	for (i = 0; i < read->count; i++) {
		if (ended && piece_got(&read->pieces[i]))
			return true;
		ended = ended || piece_got(&read->pieces[i]) < read->pieces[i].len;
	}
	return false;
}

static int add_zeroes(struct iovec *pieces, int count, size_t len)
{
	while (len) {
		pieces[count].iov_base = (void *)(uintptr_t)zeroes;
		pieces[count].iov_len = len < ZEROES ? len : ZEROES;
		len -= pieces[count++].iov_len;
	}
	return count;
}

/* The bytes there are, then zeroes up to where queued writes make the file end. */
static int gather(const struct read *read, struct iovec *ret_pieces)
{
	uint64_t at = read->offset, end = read->offset + read->len;
	int i, count = 0;

	for (i = 0; i < read->count; i++) {
		const struct readahead_piece *piece = &read->pieces[i];
		size_t got = piece_got(piece);

		if (got) {
			ret_pieces[count].iov_base = piece->block->data + piece->from;
			ret_pieces[count++].iov_len = got;
			at += got;
		}
		if (got < piece->len)
			break;
	}
	if (read->floor < end)
		end = read->floor;
	return at < end ? add_zeroes(ret_pieces, count, (size_t)(end - at)) : count;
}

static void pass(struct read *read)
{
	struct open_file *of = read->of;

	pthread_mutex_lock(&of->real->lock);
	readahead_passed(&of->ra, read->pieces, read->count);
	open_file_ahead_locked(of);
	pthread_mutex_unlock(&of->real->lock);
	read->count = 0;
}

static void read_start(struct read *read);

static void read_answer(struct read *read)
{
	struct open_file *of = read->of;
	struct reply *reply = read->reply;
	struct iovec *pieces;
	int error = read_error(read), count;

	if (!error && is_torn(read) && !read->again) {
		read->again = true;
		pass(read);
		pthread_mutex_lock(&of->real->lock);
		readahead_drop(&of->ra, read->offset, read->len, true);
		pthread_mutex_unlock(&of->real->lock);
		read_start(read);
		return;
	}
	pieces = error ? NULL : calloc((size_t)read->count + read->len / ZEROES + 2, sizeof(*pieces));
	if (pieces) {
		count = gather(read, pieces);
		reply->ops->data(reply, pieces, count);
	} else {
		reply->ops->error(reply, error ? errors_plain(error) : -ENOMEM);
	}
	free(pieces);
	pass(read);
	read_free(read);
}

static void answer_all(struct list *ready)
{
	struct list *link;

	while ((link = list_pop(ready)))
		read_answer(list_entry(link, struct read, link));
}

/* ---- fetching ---- */

static void collect_reads_locked(struct open_file *of, struct list *ret_ready)
{
	struct list *link, *next;

	list_for_each_safe(link, next, &of->reads) {
		struct read *read = list_entry(link, struct read, link);

		if (readahead_ready(read->pieces, read->count)) {
			list_remove(link);
			list_append(ret_ready, link);
		}
	}
}

/* Where the file ends, as far as this answer tells. */
static void note_size_locked(struct open_file *of, const struct readahead_block *block, size_t got)
{
	uint64_t end = block->offset + got;

	if (got < block->len && got)
		of->size = end;
	else if (of->size != READAHEAD_UNKNOWN && end > of->size && got)
		of->size = end;
}

static void fetched(struct readahead_block *block, int error, size_t got)
{
	struct open_file *of = block->owner;
	struct list ready;

	list_init(&ready);
	pthread_mutex_lock(&of->real->lock);
	if (!error && writebehind_idle(&of->real->wb) && block->stamp == of->real->changes)
		note_size_locked(of, block, got);
	readahead_fetched(&of->ra, block, error, got);
	open_file_ahead_locked(of);
	collect_reads_locked(of, &ready);
	pthread_mutex_unlock(&of->real->lock);
	answer_all(&ready);
	open_file_unref(of);
}

static void fetch_done(void *arg, const struct sftp_reply *answer)
{
	fetched(arg, answer->error, answer->len);
}

void file_fetch(struct open_file *of, struct list *fetch)
{
	struct list *link;

	while ((link = list_pop(fetch))) {
		struct readahead_block *block = list_entry(link, struct readahead_block, fetch);
		bool here;
		int error;

		block->owner = of;
		pthread_mutex_lock(&of->real->lock);
		of->refs++;
		block->stamp = of->real->changes;
		here = of->hashed && hashed_read(of->hashed, block->offset, block->data, block->len);
		pthread_mutex_unlock(&of->real->lock);
		error = here ? 0 : sftp_read(of->file, block->offset, block->data, block->len, fetch_done, block);
		if (here || error)
			fetched(block, error, here ? block->len : 0);
	}
}

/* ---- planning ---- */

static size_t allowance(const struct open_file *of)
{
	struct files *files = of->handle.tree->files;
	size_t ahead = atomic_load(&files->ahead), least = 2 * of->ra.block;

	least = of->ra.bytes < least ? least - of->ra.bytes : 0;
	return ahead < files->max_ahead && files->max_ahead - ahead > least ? files->max_ahead - ahead : least;
}

/* Where the file ends. With writes queued it is the server that knows. */
static uint64_t known_end(const struct open_file *of)
{
	return writebehind_idle(&of->real->wb) ? of->size : READAHEAD_UNKNOWN;
}

static int plan_locked(struct read *read, struct list *fetch)
{
	struct open_file *of = read->of;
	struct real *real = of->real;
	uint64_t end = known_end(of);
	int count;

	/* The kernel asks for whole pages: no request only to hear that the file ends there. Who is at the end and asks on is told by the server. */
	if (read->offset < end && end - read->offset < read->len)
		read->len = (size_t)(end - read->offset);
	count = readahead_max_pieces(&of->ra, read->offset, read->len);
	read->floor = writebehind_size(&real->wb, 0);
	free(read->pieces);
	read->pieces = calloc((size_t)count, sizeof(*read->pieces));
	if (!read->pieces)
		return -ENOMEM;
	count = readahead_plan(&of->ra, read->offset, read->len, end, allowance(of), read->pieces, fetch);
	open_file_ahead_locked(of);
	if (count < 0)
		return count;
	read->count = count;
	return 0;
}

static void read_start(struct read *read)
{
	struct open_file *of = read->of;
	struct real *real = of->real;
	struct list fetch;
	bool ready;
	int error;

	list_init(&fetch);
	pthread_mutex_lock(&real->lock);
	of->refs++;			/* the read may be answered, and gone, while its blocks are being sent for */
	error = plan_locked(read, &fetch);
	ready = error || readahead_ready(read->pieces, read->count);
	if (!ready)
		list_append(&of->reads, &read->link);
	pthread_mutex_unlock(&real->lock);
	figures_count(&real->tree->figures, FIGURES_READS, ready && !error);
	file_fetch(of, &fetch);
	if (error)
		read_fail(read, error);
	else if (ready)
		read_answer(read);
	open_file_unref(of);
}

/* What was queued of these bytes is on the server. */
static void read_waited(struct waiter *waiter)
{
	read_start(container_of(waiter, struct read, waiter));
}

static struct read *read_new(struct open_file *of, uint64_t offset, size_t len, struct reply *reply)
{
	struct read *read = calloc(1, sizeof(*read));

	if (!read)
		return NULL;
	list_init(&read->link);
	list_init(&read->waiter.link);
	read->waiter.run = read_waited;
	read->of = of;
	read->reply = reply;
	read->offset = offset;
	read->len = len;
	return read;
}

void file_read(struct handle *handle, off_t offset, size_t size, struct reply *reply)
{
	struct open_file *of = open_file_of(handle);
	struct real *real = of->real;
	struct read *read;
	uint64_t touched;

	if (!of->readable || offset < 0) {
		reply->ops->error(reply, of->readable ? -EINVAL : -EBADF);
		return;
	}
	if (!size) {
		reply->ops->data(reply, NULL, 0);
		return;
	}
	read = read_new(of, (uint64_t)offset, size, reply);
	if (!read) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	pthread_mutex_lock(&real->lock);
	of->refs += 2;			/* the read's, and one for this call */
	touched = writebehind_touches(&real->wb, read->offset, read->len);
	if (touched)
		real_wait_locked(real, &read->waiter, touched);
	pthread_mutex_unlock(&real->lock);
	if (touched)
		real_pump(real);
	else
		read_start(read);
	open_file_unref(of);
}
