/*
 * index: the claims that were listed. Each is watched: when its mtime was first seen as it is now. From that, the server's time and the lease
 * follows whether it is live, and from a unit's chain of claims whether the unit may be claimed.
 */
#include "queue/index.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

static struct index_claim *slot(const struct index *index, uint32_t at)
{
	return &index->claims[at];
}

struct index_claim *index_claim_find(const struct index *index, uint32_t unit, uint32_t generation, uint32_t number)
{
	struct index_claim *claim;
	uint32_t at;

	for (at = units_at(&index->units, unit)->claims; at != UNITS_NONE; at = claim->next) {
		claim = slot(index, at);
		if (claim->generation == generation && claim->number == number)
			return claim;
	}
	return NULL;
}

static uint32_t new_slot(struct index *index)
{
	uint32_t at = index->claim_free, cap = index->claim_cap ? index->claim_cap * 2 : 256;
	struct index_claim *claims;

	if (at != UNITS_NONE) {
		index->claim_free = slot(index, at)->next;
		return at;
	}
	if (index->claim_count == index->claim_cap) {
		claims = cap > index->claim_cap ? realloc(index->claims, cap * sizeof(*claims)) : NULL;
		if (!claims)
			return UNITS_NONE;
		index->claims = claims;
		index->claim_cap = cap;
	}
	return index->claim_count++;
}

/* The slot of a claim, made when it is new. NULL: out of memory. */
static struct index_claim *get(struct index *index, const struct layout_claim *claim, int64_t mtime, const struct index_clock *clock)
{
	uint32_t unit = units_get(&index->units, &claim->unit), at;
	struct index_claim *found;
	struct unit *in;

	if (unit == UNITS_NONE)
		return NULL;
	found = index_claim_find(index, unit, claim->generation, claim->number);
	if (found)
		return found;
	at = new_slot(index);
	if (at == UNITS_NONE)
		return NULL;
	in = units_at(&index->units, unit);
	*slot(index, at) = (struct index_claim) {
		.unit = unit, .generation = claim->generation, .number = claim->number, .next = in->claims,
		.mtime = mtime, .watched_ns = clock->now_ns, .seen_ns = clock->now_ns,
	};
	/* A claim that appears while this mount looks was made now; one that was there before, at most at its last heartbeat. */
	slot(index, at)->since = index->listing > 1 && clock->server_ns > 0 ? clock->server_ns / NS_PER_S : mtime;
	in->claims = at;
	return slot(index, at);
}

static void set_mtime(struct index_claim *claim, int64_t mtime, const struct index_clock *clock)
{
	if (claim->mtime == mtime)
		return;
	/* What became free or lost may have been read as somebody's before. */
	if (mtime == INDEX_FREE_MTIME || mtime == INDEX_LOST_MTIME)
		claim->owner = 0;
	claim->mtime = mtime;
	claim->watched_ns = claim->seen_ns = clock->now_ns;
}

void index_claims_begin(struct index *index, int64_t now_ns)
{
	index->listing++;
	index->listing_ns = now_ns;
}

int index_claims_add(struct index *index, const struct layout_claim *name, int64_t mtime, const struct index_clock *clock)
{
	struct index_claim *claim = get(index, name, mtime, clock);

	if (!claim)
		return -ENOMEM;
	if (claim->put != index->listing) {
		set_mtime(claim, mtime, clock);
		if (index->listing_ns > claim->seen_ns)
			claim->seen_ns = index->listing_ns;
	}
	claim->listing = index->listing;
	return 0;
}

int index_claim_put(struct index *index, const struct layout_claim *name, int64_t mtime, const struct index_clock *clock)
{
	struct index_claim *claim = get(index, name, mtime, clock);

	if (!claim)
		return -ENOMEM;
	set_mtime(claim, mtime, clock);
	claim->listing = index->listing;
	claim->put = index->listing;
	return 0;
}

static void remove_slot(struct index *index, uint32_t at)
{
	struct unit *unit = units_at(&index->units, slot(index, at)->unit);
	uint32_t *link = &unit->claims;

	while (*link != at)
		link = &slot(index, *link)->next;
	*link = slot(index, at)->next;
	slot(index, at)->unit = UNITS_NONE;
	slot(index, at)->next = index->claim_free;
	index->claim_free = at;
}

void index_claims_end(struct index *index, const struct index_clock *clock)
{
	uint32_t at, unit;

	for (at = 0; at < index->claim_count; at++) {
		unit = slot(index, at)->unit;
		if (unit == UNITS_NONE)
			continue;
		if (slot(index, at)->listing != index->listing)
			remove_slot(index, at);
		index_update(index, unit, clock, clock->server_ns / NS_PER_S);
	}
}

/* queue.md, "Clock": stale by the server's time and by watching; an mtime in the future is judged by watching alone, for a whole lease, and
 * so is every claim while the server's time is not known. Times are whole seconds, so the age must pass the lease by one. */
static bool is_stale(const struct index_claim *claim, const struct index_clock *clock)
{
	int64_t watched = claim->seen_ns - claim->watched_ns, mtime_ns = claim->mtime * NS_PER_S;

	if (clock->server_ns == INT64_MIN || mtime_ns > clock->server_max_ns)
		return watched > clock->lease_ns;
	return clock->server_ns - mtime_ns > clock->lease_ns + NS_PER_S && watched > clock->lease_ns / 2;
}

bool index_claim_is_live(const struct index_claim *claim, const struct index_clock *clock)
{
	return claim->mtime != INDEX_FREE_MTIME && claim->mtime != INDEX_LOST_MTIME && !is_stale(claim, clock);
}

void index_chance(const struct index *index, uint32_t unit, const struct index_clock *clock, struct index_chance *ret)
{
	const struct unit *at = units_at(&index->units, unit);
	const struct index_claim *claim, *highest = NULL;
	uint32_t i, entries = 0, top = 0;

	*ret = (struct index_chance) { .highest = UNITS_NONE };
	for (i = at->claims; i != UNITS_NONE; i = claim->next) {
		claim = slot(index, i);
		if (claim->generation != at->generation)
			continue;
		if (claim->number == LAYOUT_HEDGE) {
			ret->hedged = true;
			continue;
		}
		entries++;
		if (claim->number > top)
			top = claim->number;
		if (claim->mtime == INDEX_FREE_MTIME)
			continue;
		ret->attempts++;
		if (!highest || claim->number > highest->number) {
			highest = claim;
			ret->highest = i;
		}
	}
	ret->next = top + 1;
	ret->gap = entries != top;
	if (highest && highest->mtime != INDEX_LOST_MTIME) {
		ret->live = !is_stale(highest, clock);
		if (!ret->live) {
			ret->stale = highest->number;
			ret->stale_mtime = highest->mtime;
		}
	}
	ret->claimable = !ret->live && !ret->gap && top < LAYOUT_MAX_NUMBER && !(at->flags & (UNIT_DONE | UNIT_FAILED | UNIT_HELD));
}
