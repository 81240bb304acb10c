/*
 * remember_load: takes up what an earlier mount left in the keep (remember.h).
 */
#include "queue/remember.h"

#include <stdlib.h>
#include <string.h>

#include "queue/keep.h"
#include "queue/remember_kept.h"

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
	remember_settings(load->queue, &good);
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
	if (value_len % REMEMBER_KEY)
		return -EUCLEAN;
	for (; at < (const char *)value + value_len; at += REMEMBER_KEY) {
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
	int error = keep->ops->walk(keep, REMEMBER_WHOLE, check_whole, load);

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
