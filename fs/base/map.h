/*
 * map: a hash map from byte strings to pointers. Keys are copied; values belong to the caller.
 *
 * Open addressing, grows at 3/4 full. Not thread-safe. Walking: `map_next` with a cursor that begins at 0; removing the
 * entry just returned is allowed while walking, adding is not.
 */
#ifndef CLAIMFS_BASE_MAP_H
#define CLAIMFS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot;

struct map {
	struct map_slot *slots;
	size_t capacity;	/* 0 or a power of two */
	size_t count;
	size_t used;		/* count and the graves of removed entries */
	uint64_t seed;		/* of the hash; chosen when the first key comes */
};

#define MAP_INIT { 0 }

void map_init(struct map *map);
void map_release(struct map *map);	/* frees keys and table, not the values */

void *map_get(const struct map *map, const void *key, size_t len);	/* NULL: absent */

/* Sets or replaces; the value must not be NULL. The old value (or NULL) goes to *ret_old when ret_old is not NULL. 0 or -ENOMEM. */
int map_set(struct map *map, const void *key, size_t len, void *value, void **ret_old);
void *map_remove(struct map *map, const void *key, size_t len);		/* the value taken out, or NULL */

void *map_get_str(const struct map *map, const char *key);
int map_set_str(struct map *map, const char *key, void *value, void **ret_old);
void *map_remove_str(struct map *map, const char *key);

/* The next value or NULL at the end; its key goes to *ret_key and *ret_len where these are not NULL (valid until a change). */
void *map_next(const struct map *map, size_t *cursor, const void **ret_key, size_t *ret_len);

#endif
