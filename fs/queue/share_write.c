/*
 * share_write: this mount's listing of the inputs, written down for others (share.h).
 */
#include "queue/share.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pct.h"
#include "queue/inner.h"

#define ENTRIES 512			/* with the lock held, at a time */

struct section {			/* a directory as it was when the head was written */
	uint32_t dir;
	uint32_t count;
	int64_t listed_ns;
};

struct share_writer {
	struct queue *queue;
	struct store_file *file;
	uint64_t size;
	struct buf lines;
	struct section *sections;
	uint32_t count;
};

/* What waits goes out as a block. */
static int write_block(struct share_writer *writer)
{
	struct flight flight = FLIGHT_INIT;
	struct buf block = BUF_INIT;
	char hex[HASH_HEX_LEN + 1];
	struct hash128 hash;
	int error = buf_error(&writer->lines);

	if (!error) {
		hash = hash128_of(writer->lines.data, writer->lines.len);
		hash128_hex(&hash, hex);
		buf_addf(&block, "b %zu %s\n", writer->lines.len, hex);
		buf_add(&block, writer->lines.data, writer->lines.len);
		error = buf_error(&block);
	}
	if (!error) {
		flight_write(&flight, writer->file, writer->size, block.data, block.len);
		flight_run(&flight, writer->queue->store);
		error = flight_error(&flight, 0);
		writer->size += block.len;
	}
	buf_reset(&writer->lines);
	buf_release(&block);
	flight_release(&flight);
	return error;
}

static int write_full(struct share_writer *writer)
{
	return writer->lines.len < SHARE_BLOCK ? 0 : write_block(writer);
}

/* Can another trust its listing? Its mtime will say whether it is still good. */
static bool is_good(const struct index_dir *dir)
{
	return !dir->gone && !dir->dirty && dir->settle_ns == INT64_MAX && dir->mtime != INT64_MIN;
}

static bool is_entry(const struct index *index, const struct index_dir *dir, uint32_t entry)
{
	return entry & INDEX_DIR_BIT ? !index->dirs[entry & ~INDEX_DIR_BIT]->gone : units_at(&index->units, entry)->dir == dir->index;
}

static int add_head(struct share_writer *writer)
{
	struct queue *queue = writer->queue;
	struct index *index = &queue->index;
	uint32_t at, i, dirs;
	int error = 0;

	pthread_mutex_lock(&queue->lock);
	dirs = index->dir_count;
	writer->sections = calloc(dirs, sizeof(*writer->sections));
	pthread_mutex_unlock(&queue->lock);
	if (!writer->sections)
		return -ENOMEM;
	buf_addf(&writer->lines, "claimfs-inputs 1 %d ", queue->conf.key);
	pct_encode(&writer->lines, queue->conf.input, strlen(queue->conf.input));
	buf_addch(&writer->lines, '\n');
	for (at = 0; at < dirs && !error; at++) {
		struct section section = { .dir = at };
		const struct index_dir *dir;
		bool good;

		pthread_mutex_lock(&queue->lock);
		dir = index->dirs[at];
		good = is_good(dir);
		for (i = 0; good && i < dir->count; i++)
			section.count += is_entry(index, dir, dir->entries[i]);
		section.listed_ns = dir->listed_ns;
		if (good) {
			writer->sections[writer->count++] = section;
			buf_addf(&writer->lines, "d %" PRId64 " %" PRIu32 " ", dir->mtime, section.count);
			pct_encode(&writer->lines, dir->path, strlen(dir->path));
			buf_addch(&writer->lines, '\n');
		}
		pthread_mutex_unlock(&queue->lock);
		error = write_full(writer);
	}
	buf_adds(&writer->lines, "-\n");
	return error ? error : writer->count ? 0 : -ENODATA;
}

static void add_entry_locked(struct share_writer *writer, uint32_t entry)
{
	const struct index *index = &writer->queue->index;
	const struct unit *unit;
	const char *name;
	char hex[HASH_HEX_LEN + 1];

	if (entry & INDEX_DIR_BIT) {
		name = strrchr(index->dirs[entry & ~INDEX_DIR_BIT]->path, '/');
		name = name ? name + 1 : index->dirs[entry & ~INDEX_DIR_BIT]->path;
		buf_adds(&writer->lines, "/ ");
	} else {
		unit = units_at(&index->units, entry);
		name = units_name(&index->units, unit->name);
		buf_addf(&writer->lines, "%" PRIu32 " ", unit->changed);
		if (index->conf->key != QCONF_KEY_NAME) {
			hash128_hex(&unit->hash, hex);
			buf_addf(&writer->lines, "%s ", hex);
		}
	}
	pct_encode(&writer->lines, name, strlen(name));
	buf_addch(&writer->lines, '\n');
}

/* -EAGAIN: it was listed again meanwhile, and the head is wrong. */
static int add_section(struct share_writer *writer, const struct section *section)
{
	struct queue *queue = writer->queue;
	const struct index_dir *dir;
	uint32_t at = 0, i, added = 0;
	bool same = true, more = true;
	int error = 0;

	while (more && !error) {
		pthread_mutex_lock(&queue->lock);
		dir = queue->index.dirs[section->dir];
		same = is_good(dir) && dir->listed_ns == section->listed_ns;
		for (i = 0; same && i < ENTRIES && at < dir->count; i++, at++)
			if (is_entry(&queue->index, dir, dir->entries[at])) {
				add_entry_locked(writer, dir->entries[at]);
				added++;
			}
		more = same && at < dir->count;
		pthread_mutex_unlock(&queue->lock);
		error = store_cancelled(queue->store) ? -ECANCELED : write_full(writer);
	}
	return error ? error : same && added == section->count ? 0 : -EAGAIN;
}

/* A name used once, since a request for it may be carried out late. */
static void path_once(char ret_path[LAYOUT_PATH])
{
	snprintf(ret_path, LAYOUT_PATH, "%s/%s%016llx", LAYOUT_TMP, SHARE_LOCK, (unsigned long long)clock_random());
}

static int write_all(struct queue *queue)
{
	struct share_writer writer = { .queue = queue };
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	uint32_t i;
	int error;

	path_once(path);
	error = store_open(queue->store, path, O_WRONLY | O_CREAT | O_EXCL, &writer.file);
	if (error)
		return error;
	error = add_head(&writer);
	for (i = 0; i < writer.count && !error; i++)
		error = add_section(&writer, &writer.sections[i]);
	if (!error && writer.lines.len)
		error = write_block(&writer);
	store_close(queue->store, writer.file);
	if (!error)
		flight_rename(&flight, path, SHARE_PATH);
	else
		flight_remove(&flight, path);
	flight_run(&flight, queue->store);
	if (!error)
		error = flight_error(&flight, 0);
	flight_release(&flight);
	buf_release(&writer.lines);
	free(writer.sections);
	return error;
}

void share_end(struct queue *queue, bool good)
{
	struct flight flight = FLIGHT_INIT;
	int error = good ? write_all(queue) : 0;

	if (error)
		log_debug("queue: the listing of the inputs was not shared: %s", log_strerror(error));
	/* Should this remove another's, two mounts list: it is only there to save that. */
	flight_remove(&flight, SHARE_LOCK_PATH);
	flight_run(&flight, queue->store);
	flight_release(&flight);
	pthread_mutex_lock(&queue->lock);
	queue->sharing = queue->share_due = false;
	pthread_mutex_unlock(&queue->lock);
}
