/*
 * index: names, directories, states and their counts. Claims are in index_claims.c, the permutation in index_order.c.
 */
#include "queue/index.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int index_init(struct index *index, const struct qconf *conf, uint64_t seed)
{
	memset(index, 0, sizeof(*index));
	index->conf = conf;
	index->seed = seed;
	index->claim_free = UNITS_NONE;
	units_init(&index->units);
	map_init(&index->dir_by_path);
	return index_dir_sub(index, NULL, "") ? 0 : -ENOMEM;
}

void index_release(struct index *index)
{
	uint32_t i;

	for (i = 0; i < index->dir_count; i++) {
		free(index->dirs[i]->path);
		free(index->dirs[i]->entries);
		free(index->dirs[i]);
	}
	free(index->dirs);
	map_release(&index->dir_by_path);
	units_release(&index->units);
	free(index->claims);
	free(index->back);
}

/* ---- names ---- */

struct index_dir *index_find_dir(const struct index *index, const char *path)
{
	struct index_dir *dir = map_get_str(&index->dir_by_path, path);

	return dir && !dir->gone ? dir : NULL;
}

static bool with_stat(const struct index *index)
{
	return index->conf->key != QCONF_KEY_NAME;
}

uint32_t index_find(const struct index *index, const char *name)
{
	const char *slash = strrchr(name, '/');
	const struct index_dir *dir;
	struct hash128 hash;
	char path[PATH_MAX];
	uint32_t unit;
	size_t len;

	if (!with_stat(index)) {
		hash = layout_unit(name, false, 0, 0);
		unit = units_find(&index->units, &hash);
		return unit != UNITS_NONE && units_at(&index->units, unit)->dir != UNITS_NONE ? unit : UNITS_NONE;
	}
	len = slash ? (size_t)(slash - name) : 0;
	if (len >= sizeof(path))
		return UNITS_NONE;
	memcpy(path, name, len);
	path[len] = '\0';
	dir = index_find_dir(index, path);
	return dir ? units_by_name(&index->units, dir->index, slash ? slash + 1 : name) : UNITS_NONE;
}

int index_name(const struct index *index, uint32_t unit, struct buf *ret_name)
{
	const struct unit *at = units_at(&index->units, unit);
	const struct index_dir *dir;

	if (at->dir == UNITS_NONE)
		return -ENOENT;
	dir = index->dirs[at->dir];
	if (dir->path[0])
		buf_addf(ret_name, "%s/", dir->path);
	buf_adds(ret_name, units_name(&index->units, at->name));
	return buf_error(ret_name);
}

size_t index_join(const struct index_dir *dir, const char *name, char *ret_path, size_t room)
{
	size_t head = strlen(dir->path), len = strlen(name), slash = head > 0;

	if (head + slash + len >= room)
		return 0;
	memcpy(ret_path, dir->path, head);
	if (slash)
		ret_path[head] = '/';
	memcpy(ret_path + head + slash, name, len + 1);
	return head + slash + len;
}

int index_input(const struct index *index, const char *name, struct buf *ret_path)
{
	buf_adds(ret_path, index->conf->input);
	if (name[0])
		buf_addf(ret_path, "/%s", name);
	return buf_error(ret_path);
}

/* ---- states and counts ---- */

static void count(struct index *index, const struct unit *unit, uint8_t state, int by, int64_t when)
{
	struct index_dir *dir;
	uint32_t at;

	if (state >= QUEUE_STATES)
		return;
	index->counts[state] += (uint64_t)by;
	for (at = unit->dir; at != UNITS_NONE; at = dir->parent) {
		dir = index->dirs[at];
		dir->counts[state] += (uint32_t)by;
		if (when > dir->changed[state])
			dir->changed[state] = (uint32_t)when;
	}
}

/* On to the list of units to be tried again. Memory short: they are found when the next pass over all units begins. */
static void came_back(struct index *index, uint32_t unit)
{
	struct unit *at = units_at(&index->units, unit);
	uint32_t cap = index->back_cap ? index->back_cap * 2 : 256, *back;

	if (at->flags & UNIT_BACK)
		return;
	if (index->back_count == index->back_cap) {
		back = realloc(index->back, cap * sizeof(*back));
		if (!back)
			return;
		index->back = back;
		index->back_cap = cap;
	}
	at->flags |= UNIT_BACK;
	index->back[index->back_count++] = unit;
}

static void set_state(struct index *index, uint32_t unit, uint8_t state, int64_t when)
{
	struct unit *at = units_at(&index->units, unit);

	if (at->state == state)
		return;
	count(index, at, at->state, -1, when);
	at->state = state;
	if (when > 0)
		at->changed = (uint32_t)when;
	count(index, at, state, 1, at->changed);
	if (state == QUEUE_TODO)
		came_back(index, unit);
	index->version++;
}

void index_update(struct index *index, uint32_t unit, const struct index_clock *clock, int64_t when)
{
	const struct unit *at = units_at(&index->units, unit);
	struct index_chance chance;
	uint8_t state = QUEUE_TODO;

	if (at->dir == UNITS_NONE || (at->flags & (UNIT_UNSETTLED | UNIT_DONE)) == UNIT_UNSETTLED) {
		state = QUEUE_STATES;
	} else if (at->flags & UNIT_DONE) {
		state = QUEUE_DONE;
	} else if (at->flags & UNIT_FAILED) {
		state = QUEUE_FAILED;
	} else if (at->claims != UNITS_NONE || (at->flags & UNIT_HELD)) {
		index_chance(index, unit, clock, &chance);
		if (chance.live || (at->flags & UNIT_HELD))
			state = QUEUE_CLAIMS;
	}
	set_state(index, unit, state, when);
}

bool index_generation(struct index *index, uint32_t unit, uint32_t generation)
{
	struct unit *at = units_at(&index->units, unit);

	if (generation <= at->generation)
		return false;
	at->generation = generation;
	at->flags &= (uint8_t)~(UNIT_DONE | UNIT_FAILED);
	at->ticket = 0;
	at->record = 0;
	at->attempt = 0;
	return true;
}

bool index_mark(struct index *index, uint32_t unit, uint32_t generation, uint8_t flag)
{
	struct unit *at = units_at(&index->units, unit);

	index_generation(index, unit, generation);
	if (generation < at->generation || (at->flags & flag) || (flag == UNIT_FAILED && (at->flags & UNIT_DONE)))
		return false;
	at->flags |= flag;
	at->ticket = 0;
	at->record = 0;
	return true;
}

/* ---- directories ---- */

static int add_entry(struct index_dir *dir, uint32_t entry)
{
	uint32_t cap = dir->cap ? dir->cap * 2 : 16, *entries;

	if (dir->count == dir->cap) {
		entries = realloc(dir->entries, cap * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		dir->entries = entries;
		dir->cap = cap;
	}
	dir->entries[dir->count++] = entry;
	return 0;
}

static struct index_dir *new_dir(struct index *index, struct index_dir *parent, const char *path)
{
	struct index_dir *dir = calloc(1, sizeof(*dir)), **dirs;

	dirs = realloc(index->dirs, (index->dir_count + 1) * sizeof(*dirs));
	if (dirs)
		index->dirs = dirs;
	if (!dirs || !dir || index->dir_count >= INDEX_DIR_BIT - 1)
		goto fail;
	dir->path = strdup(path);
	if (!dir->path || map_set_str(&index->dir_by_path, path, dir, NULL) < 0)
		goto fail;
	dir->index = index->dir_count;
	dir->parent = parent ? parent->index : UNITS_NONE;
	dir->mtime = INT64_MIN;
	dir->settle_ns = INT64_MAX;
	if (parent && add_entry(parent, INDEX_DIR_BIT | dir->index) < 0) {
		map_remove_str(&index->dir_by_path, path);
		goto fail;
	}
	index->dirs[index->dir_count++] = dir;
	return dir;
fail:
	if (dir)
		free(dir->path);
	free(dir);
	return NULL;
}

struct index_dir *index_dir_sub(struct index *index, struct index_dir *parent, const char *name)
{
	struct index_dir *dir;
	char path[PATH_MAX];
	int len;

	len = snprintf(path, sizeof(path), "%s%s%s", parent ? parent->path : "", parent && parent->path[0] ? "/" : "", name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return NULL;
	dir = map_get_str(&index->dir_by_path, path);
	if (!dir)
		dir = new_dir(index, parent, path);
	if (!dir)
		return NULL;
	dir->gone = false;
	dir->seen = true;
	return dir;
}

void index_dir_begin(struct index *index, struct index_dir *dir)
{
	uint32_t i, entry;

	for (i = 0; i < dir->count; i++) {
		entry = dir->entries[i];
		if (entry & INDEX_DIR_BIT)
			index->dirs[entry & ~INDEX_DIR_BIT]->seen = false;
		else
			units_at(&index->units, entry)->flags &= (uint8_t)~UNIT_SEEN;
	}
	dir->settle_ns = INT64_MAX;
	dir->units = 0;
}

/* Takes the unit out of its directory: a ghost from now on. */
static void remove_unit(struct index *index, uint32_t unit, int64_t when)
{
	struct unit *at = units_at(&index->units, unit);

	if (at->dir == UNITS_NONE)
		return;
	if (at->flags & UNIT_UNSETTLED)
		index->unsettled--;
	set_state(index, unit, QUEUE_STATES, when);
	at->dir = UNITS_NONE;
	at->flags &= (uint8_t)~(UNIT_UNSETTLED | UNIT_SETTLED);
}

/* Puts a ghost into `dir`: in the place of the unit it follows (a changed input), in its own old place, or at the end. */
static int place_unit(struct index *index, struct index_dir *dir, uint32_t unit, uint32_t old, const char *name, int64_t when)
{
	struct unit *at = units_at(&index->units, unit), *was = old != UNITS_NONE ? units_at(&index->units, old) : NULL;
	uint32_t kept;

	if (was) {
		kept = was->name;
		remove_unit(index, old, when);
		at->place = was->place;
		dir->entries[at->place] = unit;
	} else {
		kept = at->name && strcmp(units_name(&index->units, at->name), name) == 0 ? at->name : units_keep_name(&index->units, name);
		if (kept == UNITS_NONE)
			return -ENOMEM;
		if (!(at->place < dir->count && dir->entries[at->place] == unit)) {
			if (add_entry(dir, unit) < 0)
				return -ENOMEM;
			at->place = dir->count - 1;
		}
	}
	at->name = kept;
	at->dir = dir->index;
	return with_stat(index) ? units_set_name(&index->units, unit) : 0;
}

static void settle(struct index *index, struct index_dir *dir, struct unit *at, const struct index_file *file)
{
	bool was = at->flags & UNIT_UNSETTLED;

	if (file->settled || (at->flags & UNIT_SETTLED)) {
		at->flags = (uint8_t)((at->flags & ~UNIT_UNSETTLED) | UNIT_SETTLED);
		index->unsettled -= was;
		return;
	}
	at->flags |= UNIT_UNSETTLED;
	index->unsettled += !was;
	if (file->settle_ns < dir->settle_ns)
		dir->settle_ns = file->settle_ns;
}

int index_dir_file(struct index *index, struct index_dir *dir, const struct index_file *file, const struct index_clock *clock)
{
	static long long last;
	struct hash128 hash;
	char name[PATH_MAX];
	uint32_t unit, old = UNITS_NONE;
	struct unit *at;

	if (!index_join(dir, file->name, name, sizeof(name)))
		return -ENAMETOOLONG;
	hash = file->unit ? *file->unit : layout_unit(name, with_stat(index), file->size, file->mtime);
	unit = units_get(&index->units, &hash);
	if (unit == UNITS_NONE)
		return -ENOMEM;
	at = units_at(&index->units, unit);
	if (at->dir != UNITS_NONE && (at->dir != dir->index || strcmp(units_name(&index->units, at->name), file->name) != 0)) {
		if (log_allowed(&last))
			log_warn("input %s: another input has the same hash, so this one is left out: rename it", name);
		return 0;
	}
	if (at->dir == UNITS_NONE) {
		if (with_stat(index))
			old = units_by_name(&index->units, dir->index, file->name);
		if (place_unit(index, dir, unit, old, file->name, file->mtime) < 0)
			return -ENOMEM;
		if (!at->changed)
			at->changed = file->mtime > 0 && file->mtime < UINT32_MAX ? (uint32_t)file->mtime : 1;
	}
	at->flags |= UNIT_SEEN;
	dir->units++;
	settle(index, dir, at, file);
	index_update(index, unit, clock, 0);
	return 0;
}

void index_dir_end(struct index *index, struct index_dir *dir, int64_t now)
{
	struct index_dir *sub;
	struct unit *at;
	uint32_t i, entry;

	for (i = 0; i < dir->count; i++) {
		entry = dir->entries[i];
		if (entry & INDEX_DIR_BIT) {
			sub = index->dirs[entry & ~INDEX_DIR_BIT];
			if (!sub->seen && !sub->gone)
				index_dir_gone(index, sub, now);
			continue;
		}
		at = units_at(&index->units, entry);
		if (at->dir == dir->index && at->place == i && !(at->flags & UNIT_SEEN))
			remove_unit(index, entry, now);
	}
}

void index_dir_gone(struct index *index, struct index_dir *dir, int64_t now)
{
	dir->gone = true;
	dir->dirty = false;
	dir->mtime = INT64_MIN;
	index_dir_begin(index, dir);
	index_dir_end(index, dir, now);
}

/* ---- remembering ---- */

bool index_keep(const struct index *index, const struct index_dir *dir, uint32_t unit, struct index_kept *ret_kept, const char **ret_name)
{
	const struct unit *at = units_at(&index->units, unit);

	if (at->dir != dir->index || (at->flags & UNIT_UNSETTLED))
		return false;
	*ret_kept = (struct index_kept) {
		.hash = at->hash, .record = at->record, .generation = at->generation, .changed = at->changed, .ticket = at->ticket,
		.attempt = at->attempt, .flags = at->flags & (UNIT_DONE | UNIT_FAILED | UNIT_SETTLED),
	};
	*ret_name = units_name(&index->units, at->name);
	return true;
}

int index_restore(struct index *index, struct index_dir *dir, const struct index_kept *kept, const char *name, const struct index_clock *clock)
{
	uint32_t unit = units_get(&index->units, &kept->hash);
	struct unit *at;

	if (unit == UNITS_NONE)
		return -ENOMEM;
	at = units_at(&index->units, unit);
	if (at->dir != UNITS_NONE || (kept->flags & ~(UNIT_DONE | UNIT_FAILED | UNIT_SETTLED)))
		return -EUCLEAN;
	if (place_unit(index, dir, unit, UNITS_NONE, name, 0) < 0)
		return -ENOMEM;
	at->record = kept->record;
	at->generation = kept->generation;
	at->changed = kept->changed;
	at->ticket = kept->ticket;
	at->attempt = kept->attempt;
	at->flags |= kept->flags;
	dir->units++;
	index_update(index, unit, clock, 0);
	return 0;
}
