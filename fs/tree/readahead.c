/* readahead: see readahead.h. */
#include "tree/readahead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

static void get_data(struct readahead_block *block, struct block_pool *pool, size_t len)
{
	block->pool = block_pool_suits(pool, len) ? pool : NULL;
	block->data = block->pool ? block_pool_get(pool) : malloc(len);
}

static void put_data(struct readahead_block *block)
{
	if (block->pool)
		block_pool_put(block->pool, block->data);
	else
		free(block->data);
}

static struct readahead_block *block_of(const struct list *link)
{
	return list_entry(link, struct readahead_block, link);
}

void readahead_init(struct readahead *ra, size_t block, size_t max)
{
	memset(ra, 0, sizeof(*ra));
	ra->block = block;
	ra->max = max;
	ra->first = READAHEAD_FIRST < max ? READAHEAD_FIRST : max;
	list_init(&ra->blocks);
}

void readahead_way(struct readahead *ra, int64_t round_trip_ns)
{
	uint64_t bytes = round_trip_ns > 0 ? (uint64_t)round_trip_ns / 1000 * READAHEAD_PACE : 0;

	if (bytes > ra->first)
		ra->first = bytes < ra->max ? (size_t)bytes : ra->max;
}

static void unref(struct readahead_block *block)
{
	if (--block->refs)
		return;
	put_data(block);
	free(block);
}

static void unlist(struct readahead *ra, struct readahead_block *block)
{
	if (list_empty(&block->link))
		return;
	list_remove(&block->link);
	ra->bytes -= block->len;
	unref(block);
}

void readahead_release(struct readahead *ra)
{
	while (!list_empty(&ra->blocks))
		unlist(ra, block_of(ra->blocks.next));
}

void readahead_drop(struct readahead *ra, uint64_t offset, uint64_t len, bool grew)
{
	struct list *link, *next;

	list_for_each_safe(link, next, &ra->blocks) {
		struct readahead_block *block = block_of(link);

		if ((block->offset < offset + len && offset < block->offset + block->len) || (grew && block->got < block->len))
			unlist(ra, block);
	}
}

/* A block before `before` on the list, to be fetched. NULL: out of memory. */
static struct readahead_block *new_block(struct readahead *ra, uint64_t offset, size_t len, struct list *before, struct list *fetch)
{
	struct readahead_block *block = calloc(1, sizeof(*block));

	if (!block)
		return NULL;
	get_data(block, ra->pool, len);
	if (!block->data) {
		free(block);
		return NULL;
	}
	block->offset = offset;
	block->len = len;
	block->refs = 2;
	ra->bytes += len;
	list_append(before, &block->link);
	list_append(fetch, &block->fetch);
	return block;
}

/* ---- in sequence? ---- */

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

static uint64_t near_enough(const struct readahead *ra)
{
	return ra->longest * 4 > READAHEAD_NEAR ? ra->longest * 4 : READAHEAD_NEAR;
}

static void note_read(struct readahead *ra, uint64_t offset, size_t len)
{
	bool first = !ra->run && !ra->longest;
	uint64_t near;

	if (len > ra->longest)
		ra->longest = len;
	near = near_enough(ra);
	if (distance(offset, ra->next) > near || (first && offset)) {
		ra->run = 0;
		ra->window = 0;
		ra->next = offset + len;
		return;
	}
	ra->run += len;
	if (offset + len > ra->next)
		ra->next = offset + len;
	if (!ra->window)
		ra->window = ra->first;
}

/* The reader waits: what is under way is too little for the way to the server. */
static void widen(struct readahead *ra)
{
	ra->window = ra->window * 2 < ra->max ? ra->window * 2 : ra->max;
}

/* ---- planning ---- */

int readahead_max_pieces(const struct readahead *ra, uint64_t offset, size_t len)
{
	struct list *link;
	int there = 0;

	list_for_each(link, &ra->blocks) {
		const struct readahead_block *block = block_of(link);

		there += block->offset < offset + len && offset < block->offset + block->len;
	}
	return 2 * there + (int)(len / ra->block) + 2;	/* each with a gap before it, at most */
}

/* How long a block for a gap of `gap` bytes may be, of which `want` are asked for. */
static size_t gap_len(const struct readahead *ra, uint64_t offset, uint64_t gap, uint64_t want, uint64_t size)
{
	uint64_t len = want;

	if (ra->window && size != READAHEAD_UNKNOWN && offset + len < size)	/* going on: a whole block */
		len = size - offset < ra->block ? size - offset : ra->block;
	if (len < want)
		len = want;
	if (len > gap)
		len = gap;
	return (size_t)(len < ra->block ? len : ra->block);
}

static void take_piece(struct readahead_piece *piece, struct readahead_block *block, uint64_t at, uint64_t end)
{
	uint64_t block_end = block->offset + block->len;

	piece->block = block;
	piece->from = (size_t)(at - block->offset);
	piece->len = (size_t)((end < block_end ? end : block_end) - at);
	block->refs++;
}

static int cover(struct readahead *ra, uint64_t offset, size_t len, uint64_t size, struct readahead_piece *pieces, struct list *fetch)
{
	uint64_t at = offset, end = offset + len;
	struct list *link = ra->blocks.next;
	int count = 0;

	while (at < end) {
		struct readahead_block *block = link == &ra->blocks ? NULL : block_of(link);

		if (block && block->offset + block->len <= at) {
			link = link->next;
			continue;
		}
		if (!block || block->offset > at) {
			uint64_t gap = block ? block->offset - at : UINT64_MAX;

			block = new_block(ra, at, gap_len(ra, at, gap, end - at, size), link, fetch);
			if (!block)
				goto fail;
			link = &block->link;
		}
		take_piece(&pieces[count++], block, at, end);
		at += pieces[count - 1].len;
	}
	return count;
fail:
	while (count > 0)
		unref(pieces[--count].block);
	return -ENOMEM;
}

/* Whole blocks only, but for the file's last: no crumbs for every read. */
static void go_ahead(struct readahead *ra, uint64_t size, size_t allowance, struct list *fetch)
{
	uint64_t at = ra->next, end;
	struct list *link = ra->blocks.next;

	if (!ra->window || size == READAHEAD_UNKNOWN || at >= size)
		return;
	end = size - at < ra->window ? size : at + ra->window;
	while (at < end) {
		struct readahead_block *block = link == &ra->blocks ? NULL : block_of(link);
		uint64_t len = ra->block;

		if (block && block->offset <= at) {
			if (block->offset + block->len > at)
				at = block->offset + block->len;
			link = link->next;
			continue;
		}
		if (block && block->offset - at < len)
			len = block->offset - at;
		if (size - at < len)
			len = size - at;
		if (at + len > end || len > allowance || !new_block(ra, at, (size_t)len, link, fetch))
			return;
		allowance -= (size_t)len;
		at += len;
	}
}

/* A reader that went elsewhere leaves blocks behind. They may be of use when it comes back, but not without end. */
static void trim(struct readahead *ra)
{
	uint64_t near = near_enough(ra), end = ra->next + ra->window + near;
	struct list *link, *next;

	if (ra->bytes <= ra->max)
		return;
	list_for_each_safe(link, next, &ra->blocks) {
		struct readahead_block *block = block_of(link);

		if (block->ready && (block->offset > end || block->offset + block->len + near < ra->next))
			unlist(ra, block);
	}
}

int readahead_plan(struct readahead *ra, uint64_t offset, size_t len, uint64_t size, size_t allowance,
		   struct readahead_piece *pieces, struct list *fetch)
{
	int count;

	note_read(ra, offset, len);
	count = cover(ra, offset, len, size, pieces, fetch);
	if (count < 0)
		return count;
	if (ra->window && !readahead_ready(pieces, count))
		widen(ra);
	trim(ra);
	go_ahead(ra, size, allowance, fetch);
	return count;
}

int readahead_open(struct readahead *ra, uint64_t size, struct list *fetch)
{
	size_t len = size < ra->block ? (size_t)size : ra->block;

	if (!len || !ra->max)
		return 0;
	return new_block(ra, 0, len, &ra->blocks, fetch) ? 0 : -ENOMEM;
}

const uint8_t *readahead_whole(const struct readahead *ra, uint64_t size)
{
	const struct readahead_block *first = list_empty(&ra->blocks) ? NULL : block_of(ra->blocks.next);

	return first && first->ready && !first->error && first->offset == 0 && first->got == size ? first->data : NULL;
}

/* ---- afterwards ---- */

void readahead_fetched(struct readahead *ra, struct readahead_block *block, int error, size_t got)
{
	block->ready = true;
	block->error = error;
	block->got = error ? 0 : got;
	if (error)		/* those who wait for it are told; others try again */
		unlist(ra, block);
	unref(block);
}

bool readahead_ready(const struct readahead_piece *pieces, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (!pieces[i].block->ready)
			return false;
	return true;
}

void readahead_passed(struct readahead *ra, struct readahead_piece *pieces, int count)
{
	struct list *link, *next;
	int i;

	for (i = 0; i < count; i++) {
		struct readahead_block *block = pieces[i].block;

		block->used += pieces[i].len;
		if (block->ready && (block->used >= block->got || pieces[i].from + pieces[i].len > block->got))
			unlist(ra, block);
		unref(block);
	}
	list_for_each_safe(link, next, &ra->blocks) {
		struct readahead_block *block = block_of(link);
		uint64_t end = block->offset + block->len;

		if (block->ready && ra->window && end < ra->next && ra->next - end > near_enough(ra))
			unlist(ra, block);
	}
}
