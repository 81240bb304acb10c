/*
 * remember_save: writes what this mount knows into its keep (remember.h). How far a log was read is noted before the units are, so a record may be met
 * twice, never missed: taking one in again changes nothing.
 */
#include "queue/remember.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "queue/keep.h"
#include "queue/remember_kept.h"

#define CHUNK 4096			/* units */
#define REMEMBER_CLOSE_NS (3 * NS_PER_S)	/* who unmounts does not wait longer for what is only remembered */
#define BATCH (8U << 20)		/* bytes */
#define KEY_BYTES (LAYOUT_MAX_LOG + 16)

static void unit_key(char key[KEY_BYTES], uint32_t dir, uint32_t chunk)
{
	snprintf(key, KEY_BYTES, "u%08" PRIx32 "%08" PRIx32, dir, chunk);
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
	return error ? error : put(save, REMEMBER_WHOLE, "no", 2);
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
	for (from = 0; !error && from < all.len; from += CHUNK * REMEMBER_KEY) {
		len = all.len - from < CHUNK * REMEMBER_KEY ? all.len - from : CHUNK * REMEMBER_KEY;
		snprintf(key, sizeof(key), "k%08zx", from / (CHUNK * REMEMBER_KEY));
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
	remember_settings(save->queue, &whole);
	if (!error)
		error = buf_error(&whole);
	if (!error)
		error = put(save, REMEMBER_WHOLE, whole.data, whole.len);
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
