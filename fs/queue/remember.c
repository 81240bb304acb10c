/*
 * remember: see remember.h. How far a log was read is noted before the units are, so a record may be met twice, never missed: taking one in
 * again changes nothing.
 */
#include "queue/remember.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/inner.h"
#include "queue/keep.h"

#define CHUNK 4096			/* units */
#define REMEMBER_CLOSE_NS (3 * NS_PER_S)	/* who unmounts does not wait longer for what is only remembered */
#define BATCH (8U << 20)		/* bytes */
#define KEY_BYTES (LAYOUT_MAX_LOG + 16)
#define WHOLE "whole"
#define KEPT_KEY (CONTENT_MAP_KEY + sizeof(struct hash128))

struct kept_log {
	uint64_t consumed;
	uint64_t done, failed, lost;
	int64_t last_record;
	struct progress_spent spent;
	uint32_t id;		/* as in unit->record */
	uint32_t gone;		/* it was merged into another: no longer to be looked for */
};

struct kept_sums {
	int64_t first_done, last_done;
	struct progress_spent spent;
	uint64_t has_spent;
	struct progress_hedges hedges;
	struct walls walls;
};

struct kept_dir {		/* the path follows */
	int64_t mtime;
	uint32_t parent;
	uint32_t pad;
};

static void unit_key(char key[KEY_BYTES], uint32_t dir, uint32_t chunk)
{
	snprintf(key, KEY_BYTES, "u%08" PRIx32 "%08" PRIx32, dir, chunk);
}

/* ---- saving ---- */

/* What must be as it was for the memory to be good. */
static void settings(const struct queue *queue, struct buf *ret)
{
	buf_addf(ret, "%d %s", queue->conf.key, queue->conf.input);
}

/* A save under way: changes gather to BATCH before they are committed, since each commit waits for the local disk. Most saves are one. */
struct save {
	struct queue *queue;
	struct keep *keep;
	int64_t deadline;
	size_t bytes;			/* put since the last commit */
	bool open;
	bool parted;			/* a part of it is committed, as one that is not whole */
};

static int commit(struct save *save)
{
	if (!save->open)
		return 0;
	save->open = false;
	save->bytes = 0;
	save->parted = true;
	return save->keep->ops->commit(save->keep);
}

static int begin(struct save *save)
{
	int error;

	if (save->open)
		return 0;
	error = save->keep->ops->begin(save->keep);
	save->open = !error;
	return error;
}

static int put(struct save *save, const char *key, const void *value, size_t len)
{
	int error = begin(save);

	if (!error)
		error = save->keep->ops->put(save->keep, key, value, len);
	save->bytes += len;
	return !error && save->bytes >= BATCH ? commit(save) : error;
}

/* Unless what lies there was written from this very index, it is begun anew. */
static int begin_save(struct save *save)
{
	int error = begin(save);

	if (!error && !save->queue->kept_ours)
		error = save->keep->ops->clear(save->keep);
	return error ? error : put(save, WHOLE, "no", 2);
}

static int save_log(struct save *save, uint32_t log)
{
	struct queue *queue = save->queue;
	struct kept_log kept = { .id = log + 1 };
	const struct node_facts *node;
	char name[LAYOUT_MAX_LOG + 1], key[KEY_BYTES];

	pthread_mutex_lock(&queue->lock);
	node = &queue->nodes[queue->logs[log].node - 1];
	logs_name(queue, log, name);
	kept.gone = queue->logs[log].merged && !queue->logs[log].own &&
		    (!queue->logs[log].listing || queue->logs[log].listing != queue->log_listing);
	kept.consumed = queue->logs[log].own ? queue->log_size : queue->logs[log].consumed;
	kept.done = node->done;
	kept.failed = node->failed;
	kept.lost = node->lost;
	kept.last_record = node->last_record;
	kept.spent = node->spent;
	snprintf(key, sizeof(key), "l%s", name);
	pthread_mutex_unlock(&queue->lock);
	return put(save, key, &kept, sizeof(kept));
}

static int save_logs(struct save *save)
{
	struct queue *queue = save->queue;
	struct kept_sums sums = { 0 };
	uint32_t count, i;
	int error;

	pthread_mutex_lock(&queue->lock);
	count = queue->log_count;
	sums = (struct kept_sums) {
		.first_done = queue->first_done, .last_done = queue->last_done, .spent = queue->spent,
		.has_spent = queue->has_spent, .hedges = queue->hedges, .walls = queue->walls,
	};
	pthread_mutex_unlock(&queue->lock);
	error = put(save, "t", &sums, sizeof(sums));
	for (i = 0; i < count && !error; i++)
		error = save_log(save, i);
	return error;
}

/* A listing that may have missed something is not remembered as good. */
static int64_t good_mtime(const struct index_dir *dir)
{
	return dir->gone || dir->dirty || dir->settle_ns != INT64_MAX ? INT64_MIN : dir->mtime;
}

static int save_dir(struct save *save, uint32_t at)
{
	struct queue *queue = save->queue;
	struct kept_dir kept;
	struct buf value = BUF_INIT;
	char key[KEY_BYTES];
	int error;

	pthread_mutex_lock(&queue->lock);
	kept = (struct kept_dir) { .mtime = good_mtime(queue->index.dirs[at]), .parent = queue->index.dirs[at]->parent };
	buf_add(&value, &kept, sizeof(kept));
	buf_adds(&value, queue->index.dirs[at]->path);
	pthread_mutex_unlock(&queue->lock);
	snprintf(key, sizeof(key), "d%08" PRIx32, at);
	error = buf_error(&value);
	if (!error)
		error = put(save, key, value.data, value.len);
	buf_release(&value);
	return error;
}

static void add_unit_locked(struct queue *queue, const struct index_dir *dir, uint32_t entry, struct buf *value)
{
	struct index_kept kept;
	const char *name;

	if (entry & INDEX_DIR_BIT || !index_keep(&queue->index, dir, entry, &kept, &name))
		return;
	buf_add(value, &kept, sizeof(kept));
	buf_add(value, name, strlen(name) + 1);
}

/* The units of a directory from its entry `from` on; moves it on. Where all have gone, nothing is kept. */
static int save_units(struct save *save, uint32_t at, uint32_t *from)
{
	struct queue *queue = save->queue;
	const struct index_dir *dir;
	struct buf value = BUF_INIT;
	char key[KEY_BYTES];
	uint32_t i;
	int error;

	unit_key(key, at, *from / CHUNK);
	pthread_mutex_lock(&queue->lock);
	dir = queue->index.dirs[at];
	for (i = *from; i < dir->count && i < *from + CHUNK; i++)
		add_unit_locked(queue, dir, dir->entries[i], &value);
	*from = i < dir->count ? i : UNITS_NONE;
	if (queue->stopping && save->deadline > clock_now() + REMEMBER_CLOSE_NS)
		save->deadline = clock_now() + REMEMBER_CLOSE_NS;
	pthread_mutex_unlock(&queue->lock);
	error = buf_error(&value);
	if (!error)
		error = put(save, key, buf_text(&value), value.len);
	buf_release(&value);
	logs_flush(queue);	/* others wait for what this mount has done, not for what it remembers */
	return error ? error : clock_now() > save->deadline ? -ETIMEDOUT : 0;
}

/* key = content: which unit stands for a key. */
static int save_keys(struct save *save)
{
	struct queue *queue = save->queue;
	struct buf all = BUF_INIT;
	const void *name;
	size_t cursor = 0, len, from;
	char key[KEY_BYTES];
	void *unit;
	int error;

	pthread_mutex_lock(&queue->lock);
	while ((unit = map_next(&queue->keys, &cursor, &name, &len)) != NULL) {
		buf_add(&all, name, len);
		buf_add(&all, &units_at(&queue->index.units, (uint32_t)(uintptr_t)unit - 1)->hash, sizeof(struct hash128));
	}
	pthread_mutex_unlock(&queue->lock);
	error = buf_error(&all);
	for (from = 0; !error && from < all.len; from += CHUNK * KEPT_KEY) {
		len = all.len - from < CHUNK * KEPT_KEY ? all.len - from : CHUNK * KEPT_KEY;
		snprintf(key, sizeof(key), "k%08zx", from / (CHUNK * KEPT_KEY));
		error = put(save, key, all.data + from, len);
	}
	buf_release(&all);
	return error;
}

/* key = content: what the hash of each unit's bytes is. */
static int save_hashes(struct save *save)
{
	struct queue *queue = save->queue;
	struct buf all = BUF_INIT;
	struct hash128 key;
	uint32_t i, count;
	size_t from, len;
	char name[KEY_BYTES];
	int error;

	pthread_mutex_lock(&queue->lock);
	count = queue->index.units.count;
	for (i = 0; i < count; i++)
		if (units_key(&queue->index.units, i, &key)) {
			buf_add(&all, &units_at(&queue->index.units, i)->hash, sizeof(key));
			buf_add(&all, &key, sizeof(key));
		}
	pthread_mutex_unlock(&queue->lock);
	error = buf_error(&all);
	for (from = 0; !error && from < all.len; from += len) {
		len = all.len - from < CHUNK * 2 * sizeof(key) ? all.len - from : CHUNK * 2 * sizeof(key);
		snprintf(name, sizeof(name), "h%08zx", from / (CHUNK * 2 * sizeof(key)));
		error = put(save, name, all.data + from, len);
	}
	buf_release(&all);
	return error;
}

static uint32_t dir_count(struct queue *queue)
{
	uint32_t count;

	pthread_mutex_lock(&queue->lock);
	count = queue->index.dir_count;
	pthread_mutex_unlock(&queue->lock);
	return count;
}

static int save_all(struct save *save)
{
	struct buf whole = BUF_INIT;
	uint32_t at, from;
	int error = begin_save(save);

	if (!error)
		error = save_logs(save);
	for (at = 0; !error && at < dir_count(save->queue); at++) {
		error = save_dir(save, at);
		for (from = 0; !error && from != UNITS_NONE; )
			error = save_units(save, at, &from);
	}
	if (!error)
		error = save_keys(save);
	if (!error)
		error = save_hashes(save);
	/* What is told to be whole is on the disk by then. */
	if (!error && save->parted)
		error = commit(save);
	settings(save->queue, &whole);
	if (!error)
		error = buf_error(&whole);
	if (!error)
		error = put(save, WHOLE, whole.data, whole.len);
	buf_release(&whole);
	return error ? error : commit(save);
}

int remember_save(struct queue *queue)
{
	int64_t began = clock_now();
	struct save save = { .queue = queue, .keep = queue->options.keep, .deadline = INT64_MAX };
	uint64_t version;
	int error;

	if (!save.keep)
		return 0;
	pthread_mutex_lock(&queue->lock);
	version = queue->index.version;
	pthread_mutex_unlock(&queue->lock);
	error = save_all(&save);
	if (save.open)
		save.keep->ops->abort(save.keep);
	queue->kept_ours |= save.parted;
	pthread_mutex_lock(&queue->lock);
	queue->remember_took_ns = error == -ETIMEDOUT ? INT64_MAX : error ? 0 : clock_now() - began;
	if (!error)
		queue->remembered = version;
	pthread_mutex_unlock(&queue->lock);
	return error;
}

void remember_close(struct queue *queue)
{
	/* What came after the last save stands in the logs, which the next mount reads from there on. */
	if (queue->index.version == queue->remembered || queue->remember_took_ns > REMEMBER_CLOSE_NS)
		return;
	remember_save(queue);
}

/* ---- loading ---- */

struct load {
	struct queue *queue;
	struct index_clock clock;
	uint32_t *logs;			/* old id → the one of now */
	size_t log_count;
	uint32_t checked;		/* logs that are there, as far as they were read */
	uint32_t expected;
	bool whole;
	bool same;			/* a log is there that was known, or a merged one */
	bool inputs_only;
};

static int check_whole(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct load *load = arg;
	struct buf good = BUF_INIT;

	(void)key, (void)key_len;
	settings(load->queue, &good);
	load->whole = good.len == value_len && memcmp(good.data, value, value_len) == 0;
	buf_release(&good);
	return 0;
}

/* "lNODE" → the log's state of now, with how far it was read. */
static int load_log(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct load *load = arg;
	struct queue *queue = load->queue;
	char name[LAYOUT_MAX_LOG + 1];
	struct kept_log kept;
	struct node_facts *node;
	uint32_t log, *logs, number;
	size_t len;

	if (value_len != sizeof(kept) || key_len < 2 || key_len > LAYOUT_MAX_LOG + 1)
		return -EUCLEAN;
	memcpy(&kept, value, sizeof(kept));
	memcpy(name, (const char *)key + 1, key_len - 1);
	name[key_len - 1] = '\0';
	if (layout_parse_log(name, key_len - 1, &len, &number) < 0 || kept.id == 0 || kept.id > 1u << 24)
		return -EUCLEAN;
	log = logs_get_locked(queue, name);
	if (!log)
		return -ENOMEM;
	if (kept.id > load->log_count) {
		logs = realloc(load->logs, kept.id * sizeof(*logs));
		if (!logs)
			return -ENOMEM;
		memset(logs + load->log_count, 0, (kept.id - load->log_count) * sizeof(*logs));
		load->logs = logs;
		load->log_count = kept.id;
	}
	load->logs[kept.id - 1] = log;
	queue->logs[log - 1].consumed = kept.consumed;
	queue->logs[log - 1].merged = kept.gone;
	load->expected += !kept.gone;
	node = &queue->nodes[queue->logs[log - 1].node - 1];
	node->done = kept.done;
	node->failed = kept.failed;
	node->lost = kept.lost;
	node->last_record = kept.last_record;
	node->spent = kept.spent;
	return 0;
}

static bool check_log(void *arg, const struct store_name *name)
{
	struct load *load = arg;
	struct queue *queue = load->queue;
	uint32_t log = (uint32_t)(uintptr_t)map_get(&queue->log_by_name, name->name, name->len), number = 0;
	size_t len;

	layout_parse_log(name->name, name->len, &len, &number);
	load->same |= log || number;
	if (log && !queue->logs[log - 1].merged && name->attrs.size >= queue->logs[log - 1].consumed)
		load->checked++;
	return true;
}

static int load_sums(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct queue *queue = ((struct load *)arg)->queue;
	struct kept_sums sums;

	(void)key, (void)key_len;
	if (value_len != sizeof(sums))
		return -EUCLEAN;
	memcpy(&sums, value, sizeof(sums));
	queue->first_done = sums.first_done;
	queue->last_done = sums.last_done;
	queue->spent = sums.spent;
	queue->has_spent = sums.has_spent != 0;
	queue->hedges = sums.hedges;
	queue->walls = sums.walls;
	return 0;
}

/* Directories are taken in by their old order, so a parent comes before its children and their numbers stay what they were. */
static int load_dir(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct load *load = arg;
	struct index *index = &load->queue->index;
	struct kept_dir kept;
	struct index_dir *dir;
	char path[RECORD_MAX_NAME + 1];
	const char *slash;

	(void)key, (void)key_len;
	if (value_len < sizeof(kept) || value_len - sizeof(kept) >= sizeof(path))
		return -EUCLEAN;
	memcpy(&kept, value, sizeof(kept));
	memcpy(path, (const char *)value + sizeof(kept), value_len - sizeof(kept));
	path[value_len - sizeof(kept)] = '\0';
	slash = strrchr(path, '/');
	if (path[0] && kept.parent >= index->dir_count)
		return -EUCLEAN;
	dir = path[0] ? index_dir_sub(index, index->dirs[kept.parent], slash ? slash + 1 : path) : index->dirs[0];
	if (!dir)
		return -ENOMEM;
	dir->mtime = kept.mtime;
	return strcmp(dir->path, path) == 0 ? 0 : -EUCLEAN;
}

/* unit->record names its log by number: the old one becomes the one of now, or none. */
static uint64_t record_of_now(const struct load *load, uint64_t record)
{
	uint64_t id = record >> LOGS_REF_BITS;

	if (id == 0 || id > load->log_count || !load->logs[id - 1])
		return 0;
	return (uint64_t)load->logs[id - 1] << LOGS_REF_BITS | (record & ((1ULL << LOGS_REF_BITS) - 1));
}

static int load_units(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct load *load = arg;
	struct index *index = &load->queue->index;
	const char *at = value, *end = at + value_len, *name;
	struct index_kept kept;
	char number[9] = "";
	unsigned long dir;
	int error = 0;

	if (key_len != 17)
		return -EUCLEAN;
	memcpy(number, (const char *)key + 1, 8);
	dir = strtoul(number, NULL, 16);
	if (dir >= index->dir_count)
		return -EUCLEAN;
	while (!error && at < end) {
		if ((size_t)(end - at) <= sizeof(kept))
			return -EUCLEAN;
		memcpy(&kept, at, sizeof(kept));
		name = at + sizeof(kept);
		at = memchr(name, '\0', (size_t)(end - name));
		if (!at || at == name)
			return -EUCLEAN;
		at++;
		if (load->inputs_only)
			kept = (struct index_kept) { .hash = kept.hash, .flags = kept.flags & UNIT_SETTLED };
		kept.record = record_of_now(load, kept.record);
		error = index_restore(index, index->dirs[dir], &kept, name, &load->clock);
	}
	return error;
}

static int load_keys(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct queue *queue = ((struct load *)arg)->queue;
	const char *at = value;
	struct hash128 hash;
	uint32_t unit;

	(void)key, (void)key_len;
	if (value_len % KEPT_KEY)
		return -EUCLEAN;
	for (; at < (const char *)value + value_len; at += KEPT_KEY) {
		memcpy(&hash, at + CONTENT_MAP_KEY, sizeof(hash));
		unit = units_get(&queue->index.units, &hash);
		if (unit == UNITS_NONE || map_set(&queue->keys, at, CONTENT_MAP_KEY, (void *)(uintptr_t)(unit + 1), NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int load_hashes(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct queue *queue = ((struct load *)arg)->queue;
	const char *at = value, *end = at + value_len;
	struct hash128 pair[2];
	uint32_t unit;

	(void)key, (void)key_len;
	if (value_len % sizeof(pair))
		return -EUCLEAN;
	for (; at < end; at += sizeof(pair)) {
		memcpy(pair, at, sizeof(pair));
		unit = units_get(&queue->index.units, &pair[0]);
		if (unit == UNITS_NONE || units_set_key(&queue->index.units, unit, &pair[1]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Is it good: whole, of these settings, and are all logs there that it was learned from? */
static int load_head(struct load *load)
{
	struct queue *queue = load->queue;
	struct keep *keep = queue->options.keep;
	int error = keep->ops->walk(keep, WHOLE, check_whole, load);

	if (error || !load->whole)
		return error ? error : -ENODATA;
	error = keep->ops->walk(keep, "l", load_log, load);
	if (!error)
		error = store_list(queue->store, LAYOUT_LOG, check_log, load);
	/* Without any of them it is another queue in the place of that one. */
	if (!error && load->checked != load->expected)
		error = load->same ? -ESTALE : -EUCLEAN;
	return error;
}

static int load_body(struct load *load)
{
	struct queue *queue = load->queue;
	struct keep *keep = queue->options.keep;
	int error;

	queue_clock(queue, &load->clock);
	error = keep->ops->walk(keep, "t", load_sums, load);
	if (!error)
		error = keep->ops->walk(keep, "d", load_dir, load);
	if (!error)
		error = keep->ops->walk(keep, "u", load_units, load);
	if (!error)
		error = keep->ops->walk(keep, "k", load_keys, load);
	if (!error)
		error = keep->ops->walk(keep, "h", load_hashes, load);
	/* Every marker that is known of has its record: no listing of done/ is needed. */
	if (!error)
		queue->marker_dir = 256;
	return error;
}

int remember_load(struct queue *queue)
{
	struct load load = { .queue = queue };
	int error;

	error = load_head(&load);
	if (!error)
		error = load_body(&load);
	free(load.logs);
	queue->kept_ours = !error;
	return error == -ENODATA ? 0 : error;
}

/* Whether they are of these settings was asked before. */
int remember_load_inputs(struct queue *queue)
{
	struct load load = { .queue = queue, .inputs_only = true };
	struct keep *keep = queue->options.keep;
	int error;

	queue_clock(queue, &load.clock);
	error = keep->ops->walk(keep, "d", load_dir, &load);
	if (!error)
		error = keep->ops->walk(keep, "u", load_units, &load);
	return error;
}
