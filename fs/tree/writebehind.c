/* writebehind: see writebehind.h. */
#include "tree/writebehind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MERGE_LOOK_BACK 8	/* so many queued items are looked at for one that the new bytes join */
#define ITEM_COST (2 * sizeof(struct writebehind_item))	/* with what the allocator adds to two blocks, about */

static struct writebehind_item *item_of(const struct list *link)
{
	return list_entry(link, struct writebehind_item, link);
}

void writebehind_init(struct writebehind *wb, size_t chunk)
{
	memset(wb, 0, sizeof(*wb));
	list_init(&wb->items);
	wb->chunk = chunk;
	wb->next_seq = 1;
	wb->limit = WRITEBEHIND_FIRST_BYTES;
	wb->most = WRITEBEHIND_MAX_BYTES;
}

static void free_data(struct writebehind *wb, struct writebehind_item *item)
{
	if (item->pooled)
		block_pool_put(wb->pool, item->data);
	else
		free(item->data);
	free(item);
}

void writebehind_release(struct writebehind *wb)
{
	struct list *link;

	while ((link = list_pop(&wb->items)))
		if (item_of(link)->kind != WRITEBEHIND_STEP)
			free_data(wb, item_of(link));
}

/* ---- adding ---- */

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static void enlist(struct writebehind *wb, struct writebehind_item *item)
{
	item->sent = false;
	item->seq = wb->next_seq++;
	list_init(&item->ready);
	list_append(&wb->items, &item->link);
	if (item->kind != WRITEBEHIND_STEP)
		wb->bytes += ITEM_COST;
}

/* A queued item of the same owner that ends where the bytes begin, with nothing behind it that they must not pass. */
static struct writebehind_item *find_joining(const struct writebehind *wb, const void *owner, bool append, uint64_t offset, size_t len)
{
	struct list *link;
	int looked = 0;

	for (link = wb->items.prev; link != &wb->items && looked < MERGE_LOOK_BACK; link = link->prev, looked++) {
		struct writebehind_item *item = item_of(link);

		if (item->kind == WRITEBEHIND_STEP)
			return NULL;
		if (append || item->kind == WRITEBEHIND_APPEND)	/* whole writes only, so that none is torn */
			return append && item->kind == WRITEBEHIND_APPEND && !item->sent && item->owner == owner &&
				item->len + len <= wb->chunk ? item : NULL;
		if (!item->sent && item->owner == owner && item->offset + item->len == offset && item->len < wb->chunk)
			return item;
		if (overlap(item->offset, item->len, offset, len))
			return NULL;
	}
	return NULL;
}

static int move_to_block(struct writebehind *wb, struct writebehind_item *item)
{
	uint8_t *block = block_pool_get(wb->pool);

	if (!block)
		return -ENOMEM;
	if (item->len)
		memcpy(block, item->data, item->len);
	free(item->data);
	item->data = block;
	item->room = wb->pool->size;
	item->pooled = true;
	return 0;
}

static int grow(struct writebehind *wb, struct writebehind_item *item, size_t len)
{
	size_t room = item->room ? item->room : len;	/* many are never joined */
	uint8_t *data;

	if (len <= item->room)
		return 0;
	if (!item->pooled && block_pool_suits(wb->pool, len))
		return move_to_block(wb, item);
	while (room < len)
		room *= 2;
	if (room > wb->chunk)
		room = wb->chunk;
	data = realloc(item->data, room);
	if (!data)
		return -ENOMEM;
	item->data = data;
	item->room = room;
	item->pooled = false;
	return 0;
}

static void put(struct writebehind *wb, struct writebehind_item *item, const void *data, size_t len)
{
	memcpy(item->data + item->len, data, len);
	item->len += len;
	wb->bytes += len;
}

static struct writebehind_item *new_item(struct writebehind *wb, void *owner, bool append, uint64_t offset, size_t len)
{
	struct writebehind_item *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	item->kind = append ? WRITEBEHIND_APPEND : WRITEBEHIND_DATA;
	item->owner = owner;
	item->offset = offset;
	if (grow(wb, item, len)) {
		free(item);
		return NULL;
	}
	return item;
}

int writebehind_add(struct writebehind *wb, void *owner, bool append, uint64_t offset, const void *data, size_t len)
{
	struct writebehind_item *joining = find_joining(wb, owner, append, offset, len), *item;
	const uint8_t *at = data;
	struct list fresh, *link;
	size_t joined = 0, piece, done;

	list_init(&fresh);
	if (joining) {
		joined = wb->chunk - joining->len < len ? wb->chunk - joining->len : len;
		if (grow(wb, joining, joining->len + joined))
			return -ENOMEM;
	}
	for (done = joined; done < len; done += piece) {	/* all memory first: added whole or not at all */
		piece = len - done < wb->chunk ? len - done : wb->chunk;
		item = new_item(wb, owner, append, offset + done, piece);
		if (!item)
			goto fail;
		list_append(&fresh, &item->link);
	}
	if (joined) {
		put(wb, joining, at, joined);
		joining->told_end = offset + joined;
	}
	for (done = joined; (link = list_pop(&fresh)); done += piece) {
		piece = len - done < wb->chunk ? len - done : wb->chunk;
		put(wb, item_of(link), at + done, piece);
		item_of(link)->told_end = offset + done + piece;
		enlist(wb, item_of(link));
	}
	return 0;
fail:
	while ((link = list_pop(&fresh)))
		free_data(wb, item_of(link));
	return -ENOMEM;
}

void writebehind_add_step(struct writebehind *wb, struct writebehind_item *step)
{
	step->kind = WRITEBEHIND_STEP;
	enlist(wb, step);
	wb->push_seq = step->seq;
}

void writebehind_push(struct writebehind *wb)
{
	wb->push_seq = wb->next_seq - 1;
}

/* ---- sending ---- */

static bool blocked(const struct writebehind *wb, const struct writebehind_item *item)
{
	struct list *link;

	if (item->kind != WRITEBEHIND_DATA)
		return wb->items.next != &item->link;
	for (link = wb->items.next; link != &item->link; link = link->next) {
		const struct writebehind_item *before = item_of(link);

		if (before->kind != WRITEBEHIND_DATA || overlap(before->offset, before->len, item->offset, item->len))
			return true;
	}
	return false;
}

/* Full, or nothing more is to be waited for. */
static bool ripe(const struct writebehind *wb, const struct writebehind_item *item)
{
	return item->kind == WRITEBEHIND_STEP || item->len >= wb->chunk || item->seq <= wb->push_seq || !wb->flying;
}

static bool room_for(const struct writebehind *wb, const struct writebehind_item *item)
{
	return !wb->flying || (wb->flying < WRITEBEHIND_MAX_FLYING && wb->flying_bytes + item->len <= wb->limit);
}

struct writebehind_item *writebehind_next(struct writebehind *wb)
{
	struct list *link;

	list_for_each(link, &wb->items) {
		struct writebehind_item *item = item_of(link);

		if (item->sent || !ripe(wb, item))	/* first: what is blocked takes a look at all before it */
			continue;
		if (!room_for(wb, item) || blocked(wb, item))
			return NULL;
		item->sent = true;
		wb->flying++;
		wb->flying_bytes += item->len;
		return item;
	}
	return NULL;
}

void writebehind_acked(struct writebehind *wb, struct writebehind_item *item)
{
	list_remove(&item->link);
	wb->flying--;
	wb->flying_bytes -= item->len;
	if (item->kind != WRITEBEHIND_STEP)
		wb->bytes -= item->len + ITEM_COST;
	wb->limit += item->len;
	if (wb->limit > wb->most)
		wb->limit = wb->most;
	if (!wb->flying)	/* what has gathered meanwhile goes out together */
		writebehind_push(wb);
	if (item->kind != WRITEBEHIND_STEP)
		free_data(wb, item);
}

/* ---- asking ---- */

bool writebehind_idle(const struct writebehind *wb)
{
	return list_empty(&wb->items);
}

uint64_t writebehind_last(const struct writebehind *wb)
{
	return wb->next_seq - 1;
}

bool writebehind_done(const struct writebehind *wb, uint64_t seq)
{
	return list_empty(&wb->items) || item_of(wb->items.next)->seq > seq;
}

uint64_t writebehind_touches(const struct writebehind *wb, uint64_t offset, uint64_t len)
{
	struct list *link;

	for (link = wb->items.prev; link != &wb->items; link = link->prev) {
		const struct writebehind_item *item = item_of(link);

		if (item->kind != WRITEBEHIND_DATA || overlap(item->offset, item->len, offset, len))
			return item->seq;
	}
	return 0;
}

uint64_t writebehind_appends(const struct writebehind *wb)
{
	struct list *link;

	for (link = wb->items.prev; link != &wb->items; link = link->prev)
		if (item_of(link)->kind == WRITEBEHIND_APPEND)
			return item_of(link)->seq;
	return 0;
}

static uint64_t size_after(const struct writebehind_item *item, uint64_t size, bool told)
{
	uint64_t end = item->offset + item->len;

	switch (item->kind) {
	case WRITEBEHIND_DATA:
		break;
	case WRITEBEHIND_APPEND:
		end = told ? item->told_end : 0;
		break;
	case WRITEBEHIND_STEP:
		if (item->sets_size)
			size = item->size;
		end = item->grows_to;
		break;
	}
	return end > size ? end : size;
}

static uint64_t size_after_all(const struct writebehind *wb, uint64_t size, bool told)
{
	struct list *link;

	list_for_each(link, &wb->items)
		size = size_after(item_of(link), size, told);
	return size;
}

uint64_t writebehind_size(const struct writebehind *wb, uint64_t size)
{
	return size_after_all(wb, size, false);
}

uint64_t writebehind_told_size(const struct writebehind *wb, uint64_t size)
{
	return size_after_all(wb, size, true);
}
