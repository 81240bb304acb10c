/*
 * order: see order.h. Units of one size are in the order of their names, so that the whole is the same each time.
 */
#include "worker/order.h"

#include <errno.h>
#include <fts.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "worker/patience.h"

struct entry {
	char *name;
	int64_t rank;		/* the smallest comes first */
};

struct order {
	struct entry *entries;
	size_t cap, next;
	atomic_size_t count;
};

static int64_t rank_of(const struct place *place, enum order_how how, const char *name)
{
	struct buf path = BUF_INIT;
	struct stat st = { 0 };

	if (how == ORDER_SHUFFLED)
		return (int64_t)(clock_random() >> 1);
	/* One that is gone meanwhile is as good as empty: it can't be claimed. */
	if (how != ORDER_NAME && (place_in(place, name, &path) < 0 || stat(buf_text(&path), &st) < 0))
		st.st_size = 0;
	buf_release(&path);
	return how == ORDER_LARGEST ? -(int64_t)st.st_size : (int64_t)st.st_size;
}

static int add(struct order *order, const char *name, int64_t rank)
{
	struct entry *bigger, *entry;
	size_t cap;

	if (order->count == order->cap) {
		cap = order->cap ? order->cap * 2 : 1024;
		bigger = reallocarray(order->entries, cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		order->entries = bigger;
		order->cap = cap;
	}
	entry = &order->entries[order->count];
	*entry = (struct entry){ .name = strdup(name), .rank = rank };
	if (!entry->name)
		return -ENOMEM;
	order->count++;
	return 0;
}

static int compare(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	return a->rank != b->rank ? (a->rank < b->rank ? -1 : 1) : strcmp(a->name, b->name);
}

/* What could not be listed is missing from the order; but a unit that has left todo/ meanwhile is nothing to speak of. */
static int walk_error(const FTSENT *entry)
{
	bool failed = entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS;

	if (!failed || (entry->fts_errno == ENOENT && entry->fts_level > FTS_ROOTLEVEL))
		return 0;
	return entry->fts_errno ? -entry->fts_errno : -EIO;
}

static int list(struct order *order, const struct place *place, enum order_how how, char *todo)
{
	char *const paths[] = { todo, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int error = 0;

	if (!walk)
		return -errno;
	while (!error && (errno = 0, entry = fts_read(walk))) {
		const char *name = entry->fts_path + strlen(todo) + 1;

		error = walk_error(entry);
		if (entry->fts_info == FTS_F)
			error = add(order, name, rank_of(place, how, name));
	}
	if (!error && errno)
		error = -errno;
	fts_close(walk);
	return error;
}

int order_new(const struct place *place, enum order_how how, struct order **ret_order)
{
	struct buf todo = BUF_INIT;
	struct patience *patience;
	struct order *order;
	int error;

	*ret_order = NULL;
	if (how == ORDER_AS_TAKEN)
		return 0;
	order = calloc(1, sizeof(*order));
	buf_addf(&todo, "%s/todo", place->queue);
	error = order ? buf_error(&todo) : -ENOMEM;
	if (!error) {
		patience = patience_begin("listing what there is to do", &order->count);
		error = list(order, place, how, todo.data);
		patience_end(patience);
	}
	buf_release(&todo);
	if (error) {
		order_free(order);
		return error;
	}
	if (order->count > 0)
		qsort(order->entries, order->count, sizeof(*order->entries), compare);
	*ret_order = order;
	return 0;
}

void order_free(struct order *order)
{
	size_t i;

	if (!order)
		return;
	for (i = 0; i < order->count; i++)
		free(order->entries[i].name);
	free(order->entries);
	free(order);
}

const char *order_next(struct order *order)
{
	return order->next < order->count ? order->entries[order->next++].name : NULL;
}
