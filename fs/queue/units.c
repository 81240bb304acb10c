/*
 * units: chunks of 4,096 units and blocks of 1 MiB of names, so that growing never copies nor moves them.
 */
#include "queue/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/queue.h"

#define CHUNK 4096u
#define BLOCK_BITS 20
#define BLOCK_BYTES (1u << BLOCK_BITS)
#define MAX_BLOCKS (1u << (32 - BLOCK_BITS))

void units_init(struct units *units)
{
	memset(units, 0, sizeof(*units));
}

void units_release(struct units *units)
{
	uint32_t i;

	for (i = 0; i < units->chunk_count; i++) {
		free(units->chunks[i]);
		free(units->keys[i]);
	}
	free(units->keys);
	for (i = 0; i < units->block_count; i++)
		free(units->blocks[i]);
	free(units->chunks);
	free(units->blocks);
	free(units->by_hash);
	free(units->by_name);
	memset(units, 0, sizeof(*units));
}

struct unit *units_at(const struct units *units, uint32_t index)
{
	return &units->chunks[index / CHUNK][index % CHUNK];
}

static uint32_t hash_tag(const struct hash128 *hash)
{
	uint32_t tag;

	memcpy(&tag, hash->bytes, sizeof(tag));
	return tag;
}

uint32_t units_find(const struct units *units, const struct hash128 *hash)
{
	const struct unit_slot *slot;
	uint32_t tag = hash_tag(hash);
	size_t at;

	if (!units->by_hash_cap)
		return UNITS_NONE;
	for (at = tag & (units->by_hash_cap - 1); (slot = &units->by_hash[at])->index; at = (at + 1) & (units->by_hash_cap - 1))
		if (slot->tag == tag && hash128_equal(&units_at(units, slot->index - 1)->hash, hash))
			return slot->index - 1;
	return UNITS_NONE;
}

static void put_hash(struct unit_slot *table, size_t cap, struct unit_slot slot)
{
	size_t at = slot.tag & (cap - 1);

	while (table[at].index)
		at = (at + 1) & (cap - 1);
	table[at] = slot;
}

/* At most half full. */
static int grow_by_hash(struct units *units)
{
	size_t i, cap = units->by_hash_cap ? units->by_hash_cap * 2 : 1024;
	struct unit_slot *table;

	if (((size_t)units->count + 1) * 2 <= units->by_hash_cap)
		return 0;
	table = calloc(cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (i = 0; i < units->by_hash_cap; i++)
		if (units->by_hash[i].index)
			put_hash(table, cap, units->by_hash[i]);
	free(units->by_hash);
	units->by_hash = table;
	units->by_hash_cap = cap;
	return 0;
}

static int grow_chunks(struct units *units)
{
	struct hash128 **keys;
	struct unit **chunks;

	if (units->count < units->chunk_count * CHUNK)
		return 0;
	if (units->count >= UNITS_NONE - CHUNK)
		return -ENOMEM;
	chunks = realloc(units->chunks, (units->chunk_count + 1) * sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	units->chunks = chunks;
	keys = realloc(units->keys, (units->chunk_count + 1) * sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	units->keys = keys;
	keys[units->chunk_count] = NULL;
	chunks[units->chunk_count] = calloc(CHUNK, sizeof(**chunks));
	if (!chunks[units->chunk_count])
		return -ENOMEM;
	units->chunk_count++;
	return 0;
}

uint32_t units_get(struct units *units, const struct hash128 *hash)
{
	uint32_t index = units_find(units, hash);
	struct unit *unit;

	if (index != UNITS_NONE)
		return index;
	if (grow_chunks(units) < 0 || grow_by_hash(units) < 0)
		return UNITS_NONE;
	index = units->count++;
	unit = units_at(units, index);
	unit->hash = *hash;
	unit->dir = UNITS_NONE;
	unit->claims = UNITS_NONE;
	unit->state = QUEUE_STATES;
	put_hash(units->by_hash, units->by_hash_cap, (struct unit_slot) { index + 1, hash_tag(hash) });
	return index;
}

int units_set_key(struct units *units, uint32_t index, const struct hash128 *key)
{
	struct hash128 **keys = &units->keys[index / CHUNK];

	if (!*keys)
		*keys = calloc(CHUNK, sizeof(**keys));
	if (!*keys)
		return -ENOMEM;
	(*keys)[index % CHUNK] = *key;
	return 0;
}

bool units_key(const struct units *units, uint32_t index, struct hash128 *ret_key)
{
	static const struct hash128 none;
	const struct hash128 *keys = units->keys[index / CHUNK];

	if (!keys || hash128_equal(&keys[index % CHUNK], &none))
		return false;
	*ret_key = keys[index % CHUNK];
	return true;
}

uint32_t units_keep_name(struct units *units, const char *name)
{
	size_t len = strlen(name) + 1;
	char **blocks;

	if (len > BLOCK_BYTES / 2)
		return UNITS_NONE;
	if (!units->block_count || units->block_used + len > BLOCK_BYTES) {
		if (units->block_count == MAX_BLOCKS - 1)
			return UNITS_NONE;
		blocks = realloc(units->blocks, (units->block_count + 1) * sizeof(*blocks));
		if (!blocks)
			return UNITS_NONE;
		units->blocks = blocks;
		blocks[units->block_count] = malloc(BLOCK_BYTES);
		if (!blocks[units->block_count])
			return UNITS_NONE;
		units->block_count++;
		units->block_used = 1;	/* so that no reference is 0 */
	}
	memcpy(units->blocks[units->block_count - 1] + units->block_used, name, len);
	units->block_used += (uint32_t)len;
	return (units->block_count - 1) << BLOCK_BITS | (units->block_used - (uint32_t)len);
}

const char *units_name(const struct units *units, uint32_t name)
{
	return units->blocks[name >> BLOCK_BITS] + (name & (BLOCK_BYTES - 1));
}

static size_t name_slot(uint32_t dir, const char *name, size_t cap)
{
	return (size_t)hash64_of(name, strlen(name), dir) & (cap - 1);
}

/* The slot of (dir, name), or the empty one where it would go. */
static size_t find_name(const struct units *units, const uint32_t *table, size_t cap, uint32_t dir, const char *name)
{
	const struct unit *unit;
	size_t slot;

	for (slot = name_slot(dir, name, cap); table[slot]; slot = (slot + 1) & (cap - 1)) {
		unit = units_at(units, table[slot] - 1);
		if (unit->dir == dir && strcmp(units_name(units, unit->name), name) == 0)
			break;
	}
	return slot;
}

uint32_t units_by_name(const struct units *units, uint32_t dir, const char *name)
{
	size_t slot;

	if (!units->by_name_cap)
		return UNITS_NONE;
	slot = find_name(units, units->by_name, units->by_name_cap, dir, name);
	return units->by_name[slot] ? units->by_name[slot] - 1 : UNITS_NONE;
}

/* Ghosts among the entries (their dir is none, so no name finds them) are left out of the new table. */
static int grow_by_name(struct units *units)
{
	size_t cap = units->by_name_cap ? units->by_name_cap * 2 : 1024, i, slot, used = 0;
	const struct unit *unit;
	uint32_t *table;

	if ((units->by_name_used + 1) * 2 <= units->by_name_cap)
		return 0;
	table = calloc(cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (i = 0; i < units->by_name_cap; i++) {
		unit = units->by_name[i] ? units_at(units, units->by_name[i] - 1) : NULL;
		if (!unit || unit->dir == UNITS_NONE)
			continue;
		slot = find_name(units, table, cap, unit->dir, units_name(units, unit->name));
		used += !table[slot];
		table[slot] = units->by_name[i];
	}
	free(units->by_name);
	units->by_name = table;
	units->by_name_cap = cap;
	units->by_name_used = used;
	return 0;
}

int units_set_name(struct units *units, uint32_t index)
{
	const struct unit *unit = units_at(units, index);
	size_t slot;

	if (grow_by_name(units) < 0)
		return -ENOMEM;
	slot = find_name(units, units->by_name, units->by_name_cap, unit->dir, units_name(units, unit->name));
	units->by_name_used += !units->by_name[slot];
	units->by_name[slot] = index + 1;
	return 0;
}
