/*
 * index: what this mount knows of a queue: the input directories and their units, the state of each, the claims that were listed and
 * since when they were watched. Knows no disk and no threads: refresh.c fills it, the verbs report what they did.
 *
 *   listing of inputs ─▶ index_dir_…      logs, failed/, redo/ ─▶ index_mark, index_generation      claims/ ─▶ index_claim_…
 *                                   └──────────▶ state of each unit, counts a directory ◀──────────────┘
 *
 * The state follows from facts: done, failed (flags of the generation), live claim, else todo. index_update() derives it and keeps the counts of
 * all directories above. All calls are made under the queue's lock.
 */
#ifndef CLAIMFS_QUEUE_INDEX_H
#define CLAIMFS_QUEUE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/qconf.h"
#include "queue/layout.h"
#include "queue/queue.h"
#include "queue/units.h"

#define INDEX_DIR_BIT 0x80000000u	/* an entry of a directory's array is a directory */
#define INDEX_FREE_MTIME 1		/* mtimes of NODE.free and NODE.lost */
#define INDEX_LOST_MTIME 0

struct index_dir {
	char *path;			/* relative to the input directory, "" is the top */
	uint32_t index;
	uint32_t parent;		/* UNITS_NONE for the top */
	uint32_t *entries;		/* units and INDEX_DIR_BIT | directory; only grows */
	uint32_t count;
	uint32_t cap;
	uint32_t counts[QUEUE_STATES];	/* units below, all levels */
	uint32_t changed[QUEUE_STATES];	/* the last change in it, the server's seconds */
	uint32_t units;			/* how many of its entries were units at the last listing */
	bool gone;			/* it was removed */
	bool seen;			/* met by its parent's listing under way */
	bool dirty;			/* must be listed again whatever its mtime says */
	int64_t mtime;			/* at the last listing; INT64_MIN: never listed */
	int64_t mtime_since_ns;		/* since when this mount has seen that mtime */
	int64_t listed_ns;		/* begin of the last listing */
	int64_t settle_ns;		/* list it again then: something in it settles; INT64_MAX: nothing */
	int64_t rest_ns;		/* not before then: it takes long to list */
};

struct index_claim {
	uint32_t unit;
	uint32_t generation;
	uint32_t number;
	uint32_t next;			/* in the unit's chain, or the free list */
	uint32_t listing;		/* met last by this listing */
	uint32_t put;			/* this mount changed it during this listing, which may show it as it was before */
	uint32_t owner;			/* of nodes.h; 0: not known */
	int64_t mtime;
	int64_t watched_ns;		/* this mtime was first seen then, */
	int64_t seen_ns;		/* and last in a listing that began then */
	int64_t since;			/* server's seconds it was claimed, as well as is known */
	int64_t pid;
};

/* What time it is, for what depends on it. */
struct index_clock {
	int64_t now_ns;			/* clock_now() */
	int64_t server_ns;		/* the server's time is at least this, */
	int64_t server_max_ns;		/* and at most this; both INT64_MIN: not known */
	int64_t lease_ns;
};

/* May a unit be claimed, and how (queue.md, "Claimable"). */
struct index_chance {
	bool claimable;
	bool live;			/* somebody's live claim is on it */
	bool gap;			/* numbers are missing: the listing was torn */
	uint32_t next;			/* m + 1 */
	uint32_t stale;			/* number of the claim that was judged stale; 0: none */
	int64_t stale_mtime;
	uint32_t highest;		/* slot of the highest claim that is not free; UNITS_NONE: none */
	uint32_t attempts;		/* claims that are not free */
	bool hedged;			/* a hedge was made in this generation; it is in none of the others */
};

struct index {
	const struct qconf *conf;
	struct units units;
	struct index_dir **dirs;
	uint32_t dir_count;
	struct map dir_by_path;		/* path → struct index_dir */
	struct index_claim *claims;
	uint32_t claim_count;
	uint32_t claim_cap;
	uint32_t claim_free;
	uint32_t listing;		/* number of the last claims listing begun */
	int64_t listing_ns;		/* when it began */
	uint64_t counts[QUEUE_STATES];
	uint64_t unsettled;
	uint32_t *back;			/* units that came back to todo, or are new */
	uint32_t back_count;
	uint32_t back_cap;
	uint64_t version;		/* raised by every change of state */
	uint64_t seed;
};

/* `conf` must outlive it. 0 or -ENOMEM. */
int index_init(struct index *index, const struct qconf *conf, uint64_t seed);
void index_release(struct index *index);

/* ---- names ---- */

uint32_t index_find(const struct index *index, const char *name);	/* the unit of an input that is there, or UNITS_NONE */
struct index_dir *index_find_dir(const struct index *index, const char *path);
int index_name(const struct index *index, uint32_t unit, struct buf *ret_name);	/* full name appended; -ENOENT for a ghost */
/* The full name of an entry of `dir`: its length, or 0: there is no room for it. */
size_t index_join(const struct index_dir *dir, const char *name, char *ret_path, size_t room);
int index_input(const struct index *index, const char *name, struct buf *ret_path);	/* input/NAME appended */

/* ---- listing of inputs ---- */

struct index_file {
	const char *name;		/* base name */
	uint64_t size;
	int64_t mtime;
	const struct hash128 *unit;	/* UNIT when it is known; NULL: of name, size and mtime */
	bool settled;
	int64_t settle_ns;		/* when not: clock_now() when it may be */
};

void index_dir_begin(struct index *index, struct index_dir *dir);
int index_dir_file(struct index *index, struct index_dir *dir, const struct index_file *file, const struct index_clock *clock);
/* The sub-directory of that name, made if it is new. NULL: out of memory. */
struct index_dir *index_dir_sub(struct index *index, struct index_dir *dir, const char *name);
/* What was not met is gone. */
void index_dir_end(struct index *index, struct index_dir *dir, int64_t now);
void index_dir_gone(struct index *index, struct index_dir *dir, int64_t now);

/* ---- what is remembered of a unit between mounts ---- */

struct index_kept {
	struct hash128 hash;
	uint64_t record;		/* as in struct unit */
	uint32_t generation;
	uint32_t changed;
	uint32_t ticket;
	uint16_t attempt;
	uint8_t flags;			/* UNIT_DONE, UNIT_FAILED, UNIT_SETTLED */
	uint8_t pad;
};

/* False: the entry stands for no unit any more. The name is valid until the next change. */
bool index_keep(const struct index *index, const struct index_dir *dir, uint32_t unit, struct index_kept *ret_kept, const char **ret_name);
/* As index_dir_file() for a settled input that was listed in an earlier life of the mount. */
int index_restore(struct index *index, struct index_dir *dir, const struct index_kept *kept, const char *name, const struct index_clock *clock);

/* ---- facts ---- */

/* G of a unit is at least `generation`. True if that is news. */
bool index_generation(struct index *index, uint32_t unit, uint32_t generation);

/* Done or failed in `generation` (an older one than the unit's is ignored; done beats failed). True if that is news. */
bool index_mark(struct index *index, uint32_t unit, uint32_t generation, uint8_t flag);

/* Derives the state anew; `when` is the server's time of the change (0: leave it). */
void index_update(struct index *index, uint32_t unit, const struct index_clock *clock, int64_t when);

/* ---- claims ---- */

void index_claims_begin(struct index *index, int64_t now_ns);
int index_claims_add(struct index *index, const struct layout_claim *claim, int64_t mtime, const struct index_clock *clock);
/* Claims that were not met are gone; every unit with claims gets its state anew (leases run out by time alone). */
void index_claims_end(struct index *index, const struct index_clock *clock);

/* This mount made, or saw, a claim outside a listing; the listing under way, if any, need not show it. */
int index_claim_put(struct index *index, const struct layout_claim *claim, int64_t mtime, const struct index_clock *clock);
/* The slot of this very claim, or NULL. Valid until the next addition. */
struct index_claim *index_claim_find(const struct index *index, uint32_t unit, uint32_t generation, uint32_t number);

/* Neither given back nor stale. */
bool index_claim_is_live(const struct index_claim *claim, const struct index_clock *clock);

void index_chance(const struct index *index, uint32_t unit, const struct index_clock *clock, struct index_chance *ret_chance);

/* ---- order ---- */

/*
 * The permutation of a directory's array in which this mount shows it. Cursors: 0 is the beginning; the place that a cursor names and the
 * cursor after it stay what they are while the array grows. UNITS_NONE: the end.
 */
uint32_t index_order(const struct index *index, const struct index_dir *dir, uint64_t *cursor);

#endif
