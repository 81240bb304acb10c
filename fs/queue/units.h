/*
 * units: the compact store of units behind index.h: a million of them in 64 bytes each, their names in an arena, and two hash tables
 * of indices: by UNIT, and by (directory, base name).
 *
 * Units are addressed by index (0 … count-1), never move and are never freed: one whose input went away stays as a ghost
 * (dir = UNITS_NONE), since records and claims of it may still come. Not thread-safe: guarded by the queue's lock.
 */
#ifndef CLAIMFS_QUEUE_UNITS_H
#define CLAIMFS_QUEUE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

#define UNITS_NONE UINT32_MAX

#define UNIT_DONE 0x01		/* by a marker or its record, of `generation` */
#define UNIT_FAILED 0x02
#define UNIT_UNSETTLED 0x04	/* an input too young to be a unit */
#define UNIT_SEEN 0x08		/* met by the listing under way */
#define UNIT_BACK 0x10		/* on the list of units that came back to todo */
#define UNIT_BUSY 0x20		/* an operation of this mount is under way on it */
#define UNIT_HELD 0x40		/* claimed by this mount */
#define UNIT_SETTLED 0x80	/* was old enough once */

struct unit {
	struct hash128 hash;	/* UNIT */
	uint32_t name;		/* base name: units_name() */
	uint32_t dir;		/* index of its directory; UNITS_NONE: a ghost */
	uint32_t generation;
	uint32_t claims;	/* head of its chain of claims; UNITS_NONE: none */
	uint32_t changed;	/* last change of state, the server's seconds */
	uint32_t ticket;	/* size of the ticket of a done or failed unit; 0: not known */
	uint64_t record;	/* done, failed: where its record stands: log's id << 40 | offset; 0: not known */
	uint32_t place;		/* in its directory's array */
	uint8_t state;		/* enum queue_state as counted; QUEUE_STATES: counted nowhere */
	uint8_t flags;
	uint16_t attempt;	/* done, failed: the one that did it; 0: no record of it was met, or only hearsay */
};

struct unit_slot {
	uint32_t index;		/* + 1; 0: empty */
	uint32_t tag;		/* the first four bytes of UNIT: most others are told apart, and the table grows, without a look at the units */
};

struct units {
	struct unit **chunks;
	struct hash128 **keys;		/* of the units of each chunk, all 0: not known. NULL: of none of them */
	uint32_t count;
	uint32_t chunk_count;
	char **blocks;		/* of names */
	uint32_t block_count;
	uint32_t block_used;	/* bytes of the last block */
	struct unit_slot *by_hash;	/* open addressing, power of two */
	size_t by_hash_cap;
	uint32_t *by_name;
	size_t by_name_cap;
	size_t by_name_used;
};

void units_init(struct units *units);
void units_release(struct units *units);

struct unit *units_at(const struct units *units, uint32_t index);

/* The unit with this UNIT, or UNITS_NONE. */
uint32_t units_find(const struct units *units, const struct hash128 *hash);

/* The same, made (a ghost) when it is not there. UNITS_NONE: out of memory. */
uint32_t units_get(struct units *units, const struct hash128 *hash);

/* key = content: the hash of its bytes, once somebody has computed it; UNIT says of which size and mtime. */
int units_set_key(struct units *units, uint32_t index, const struct hash128 *key);	/* 0 or -ENOMEM */
bool units_key(const struct units *units, uint32_t index, struct hash128 *ret_key);

/* A name into the arena: its reference, or UNITS_NONE: out of memory. References are never 0. */
uint32_t units_keep_name(struct units *units, const char *name);
const char *units_name(const struct units *units, uint32_t name);

/* (directory, base name) → unit, for keys under which UNIT does not follow from the name. */
uint32_t units_by_name(const struct units *units, uint32_t dir, const char *name);
/* Sets or replaces what stands there; units_at(index) has dir and name filled in. 0 or -ENOMEM. */
int units_set_name(struct units *units, uint32_t index);

#endif
