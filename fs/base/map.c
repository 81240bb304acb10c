/*
 * map: open addressing with linear probing. A slot is empty (no key), a grave (key removed, value NULL) or taken.
 *
 * Names come from foreign servers, so the hash is seeded per map: who chooses names cannot choose where they collide.
 */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define MAP_MIN_CAPACITY 16

struct map_slot {
	char *key;		/* NULL: never used */
	size_t len;
	uint64_t hash;
	void *value;		/* NULL with a key: a grave */
};

static char map_grave[1];	/* what the key of a grave points to */

void map_init(struct map *map)
{
	*map = (struct map)MAP_INIT;
}

void map_release(struct map *map)
{
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].value)
			free(map->slots[i].key);
	free(map->slots);
	map_init(map);
}

static uint64_t map_hash(const struct map *map, const void *key, size_t len)
{
	return hash64_of(key, len, map->seed);
}

/* The slot that holds the key, or NULL. There is always an empty slot, so the walk ends. */
static struct map_slot *map_find(const struct map *map, const void *key, size_t len, uint64_t hash)
{
	size_t mask = map->capacity - 1;

	for (size_t i = hash & mask; map->slots[i].key; i = (i + 1) & mask) {
		struct map_slot *slot = &map->slots[i];

		if (slot->value && slot->hash == hash && slot->len == len && !memcmp(slot->key, key, len))
			return slot;
	}
	return NULL;
}

void *map_get(const struct map *map, const void *key, size_t len)
{
	struct map_slot *slot;

	if (!map->count)
		return NULL;
	slot = map_find(map, key, len, map_hash(map, key, len));
	return slot ? slot->value : NULL;
}

static struct map_slot *map_empty_slot(struct map_slot *slots, size_t capacity, uint64_t hash)
{
	size_t mask = capacity - 1, i;

	for (i = hash & mask; slots[i].key; i = (i + 1) & mask)
		continue;
	return &slots[i];
}

/* Makes room for one more: a new table sized for what is there, without the graves. */
static int map_make_room(struct map *map)
{
	size_t capacity = MAP_MIN_CAPACITY;
	struct map_slot *slots;

	if (map->capacity && (map->used + 1) * 4 <= map->capacity * 3)
		return 0;
	while ((map->count + 1) * 2 > capacity)
		capacity *= 2;
	slots = calloc(capacity, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	if (!map->seed)
		map->seed = clock_random();
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].value)
			*map_empty_slot(slots, capacity, map->slots[i].hash) = map->slots[i];
	free(map->slots);
	map->slots = slots;
	map->capacity = capacity;
	map->used = map->count;
	return 0;
}

int map_set(struct map *map, const void *key, size_t len, void *value, void **ret_old)
{
	struct map_slot *slot;
	void *old = NULL;
	uint64_t hash;
	char *copy;

	if (map_make_room(map))
		return -ENOMEM;
	hash = map_hash(map, key, len);
	slot = map_find(map, key, len, hash);
	if (slot) {
		old = slot->value;
		slot->value = value;
	} else {
		copy = malloc(len + 1);
		if (!copy)
			return -ENOMEM;
		if (len)
			memcpy(copy, key, len);
		copy[len] = '\0';
		slot = map_empty_slot(map->slots, map->capacity, hash);
		*slot = (struct map_slot){ copy, len, hash, value };
		map->count++;
		map->used++;
	}
	if (ret_old)
		*ret_old = old;
	return 0;
}

void *map_remove(struct map *map, const void *key, size_t len)
{
	struct map_slot *slot;
	void *value;

	if (!map->count)
		return NULL;
	slot = map_find(map, key, len, map_hash(map, key, len));
	if (!slot)
		return NULL;
	value = slot->value;
	free(slot->key);
	*slot = (struct map_slot){ .key = map_grave };
	map->count--;
	return value;
}

void *map_get_str(const struct map *map, const char *key)
{
	return map_get(map, key, strlen(key));
}

int map_set_str(struct map *map, const char *key, void *value, void **ret_old)
{
	return map_set(map, key, strlen(key), value, ret_old);
}

void *map_remove_str(struct map *map, const char *key)
{
	return map_remove(map, key, strlen(key));
}

void *map_next(const struct map *map, size_t *cursor, const void **ret_key, size_t *ret_len)
{
	while (*cursor < map->capacity) {
		const struct map_slot *slot = &map->slots[(*cursor)++];

		if (!slot->value)
			continue;
		if (ret_key)
			*ret_key = slot->key;
		if (ret_len)
			*ret_len = slot->len;
		return slot->value;
	}
	return NULL;
}
