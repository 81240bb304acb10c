/* table: see table.h. */
#include "sftp/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct table_entry {
	struct request *request;	/* NULL: free, or a grave */
	const struct op *op;		/* NULL: free */
	int32_t next_free;
	uint16_t uses;
};

void table_init(struct table *table)
{
	*table = (struct table){ .free = -1 };
}

void table_release(struct table *table)
{
	free(table->entries);
	table_init(table);
}

void table_clear(struct table *table)
{
	uint32_t i;

	for (i = 0; i < table->fresh; i++) {
		struct table_entry *entry = &table->entries[i];

		if (!entry->op)
			continue;
		entry->op = NULL;
		entry->request = NULL;
		entry->uses++;
		entry->next_free = table->free;
		table->free = (int32_t)i;
	}
	table->count = 0;
	table->slow = 0;
}

bool table_full(const struct table *table)
{
	return table->count >= TABLE_MAX;
}

static int grow(struct table *table)
{
	uint32_t capacity = table->capacity ? table->capacity * 2 : 256;
	struct table_entry *entries = realloc(table->entries, capacity * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	table->entries = entries;
	table->capacity = capacity;
	return 0;
}

int table_add(struct table *table, struct request *request, uint32_t *ret_id)
{
	struct table_entry *entry;
	uint32_t index;

	assert(!table_full(table));
	if (table->free >= 0) {
		index = (uint32_t)table->free;
		table->free = table->entries[index].next_free;
	} else {
		if (table->fresh == table->capacity && grow(table))
			return -ENOMEM;
		index = table->fresh++;
		table->entries[index].uses = 0;
	}
	entry = &table->entries[index];
	entry->request = request;
	entry->op = request->op;
	table->count++;
	table->slow += request->op->slow;
	*ret_id = (uint32_t)entry->uses << 16 | index;
	return 0;
}

static struct table_entry *find(const struct table *table, uint32_t id)
{
	uint32_t index = id & 0xffff;
	struct table_entry *entry;

	if (index >= table->fresh)
		return NULL;
	entry = &table->entries[index];
	return entry->op && entry->uses == id >> 16 ? entry : NULL;
}

enum table_found table_take(struct table *table, uint32_t id, struct request **ret_request, const struct op **ret_op)
{
	struct table_entry *entry = find(table, id);
	struct request *request;

	if (!entry)
		return TABLE_UNKNOWN;
	request = entry->request;
	*ret_op = entry->op;
	table->count--;
	if (request)
		table->slow -= entry->op->slow;
	entry->request = NULL;
	entry->op = NULL;
	entry->uses++;
	entry->next_free = table->free;
	table->free = (int32_t)(entry - table->entries);
	if (!request)
		return TABLE_GRAVE;
	*ret_request = request;
	return TABLE_REQUEST;
}

void table_bury(struct table *table, uint32_t id)
{
	struct table_entry *entry = find(table, id);

	assert(entry && entry->request);
	table->slow -= entry->op->slow;
	entry->request = NULL;
}
