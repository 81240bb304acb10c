/*
 * share: taking in another mount's listing of the inputs, or becoming the one that makes it. See share.h.
 */
#include "queue/share.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/pct.h"
#include "queue/inner.h"

#define PIECE (1024 * 1024)
#define PIECES 8
#define LOOKS 1024
#define MAX_DIRS 10000000u
#define FIRST_REST_NS (50 * NS_PER_MS)
#define MAX_REST_NS NS_PER_S

struct section {
	uint32_t count;
	int64_t mtime;
	char *path;
	bool same;			/* its mtime is what it was */
};

struct share_reader {
	struct queue *queue;
	struct index_clock clock;
	struct section *sections;
	uint32_t count, cap;
	bool begun, in_entries;		/* the first line, the last one of the head were met */
	uint32_t at;			/* the section that entries are of */
	uint32_t met;			/* of its entries */
	struct index_dir *dir;		/* it; NULL: left alone */
	uint64_t taken;			/* inputs */
};

/* ---- the head ---- */

static int take_first(struct share_reader *reader, const char *line)
{
	struct buf good = BUF_INIT;
	int error;

	buf_addf(&good, "claimfs-inputs 1 %d ", reader->queue->conf.key);
	pct_encode(&good, reader->queue->conf.input, strlen(reader->queue->conf.input));
	error = buf_error(&good);
	if (!error && strcmp(line, good.data) != 0)
		error = -EINVAL;
	buf_release(&good);
	reader->begun = true;
	return error;
}

static int take_section(struct share_reader *reader, char *line)
{
	uint32_t cap = reader->cap ? reader->cap * 2 : 64;
	char *count = strchr(line + 2, ' '), *path = count ? strchr(count + 1, ' ') : NULL;
	struct section section = { 0 }, *sections;
	int64_t number;

	if (strncmp(line, "d ", 2) != 0 || !path || reader->count >= MAX_DIRS)
		return -EINVAL;
	*count++ = *path++ = '\0';
	if (conf_parse_number(line + 2, INT64_MIN + 1, INT64_MAX, &section.mtime) < 0 ||
	    conf_parse_number(count, 0, INDEX_DIR_BIT - 1, &number) < 0 || pct_decode(path) < 0)
		return -EINVAL;
	/* The top is named "": it is the first. */
	if ((path[0] == '\0') != (reader->count == 0) || (path[0] && !record_name_good(path)))
		return -EINVAL;
	section.count = (uint32_t)number;
	if (reader->count == reader->cap) {
		sections = realloc(reader->sections, cap * sizeof(*sections));
		if (!sections)
			return -ENOMEM;
		reader->sections = sections;
		reader->cap = cap;
	}
	section.path = strdup(path);
	if (!section.path)
		return -ENOMEM;
	reader->sections[reader->count++] = section;
	return 0;
}

/* Which directories are as they were then? */
static int look_at_sections(struct share_reader *reader)
{
	struct queue *queue = reader->queue;
	struct flight flight = FLIGHT_INIT;
	struct buf path = BUF_INIT;
	uint32_t begin, i;
	int error = 0;

	for (begin = 0; begin < reader->count && !error; begin += LOOKS) {
		flight_reset(&flight);
		for (i = begin; i < reader->count && i < begin + LOOKS; i++) {
			buf_reset(&path);
			index_input(&queue->index, reader->sections[i].path, &path);
			if (!reader->sections[i].path[0])
				buf_adds(&path, "/.");
			error = error ? error : buf_error(&path);
			flight_lstat(&flight, error ? "." : path.data);
		}
		flight_run(&flight, queue->store);
		for (i = begin; i < reader->count && i < begin + LOOKS && !error; i++) {
			const struct store_op *op = flight_op(&flight, i - begin);

			reader->sections[i].same = !op->error && S_ISDIR(op->attrs.mode) && op->attrs.mtime == reader->sections[i].mtime;
		}
	}
	buf_release(&path);
	flight_release(&flight);
	return error;
}

/* ---- entries ---- */

/* It is there, as was just seen, even if its parent changed since and is still to be listed. NULL: that one is not there. */
static struct index_dir *find_dir(struct index *index, const char *path)
{
	struct index_dir *dir = index_find_dir(index, path), *parent;
	char *slash, above[RECORD_MAX_NAME + 1];
	const char *name;

	if (dir)
		return dir;
	strcpy(above, path);
	slash = strrchr(above, '/');
	name = slash ? path + (slash - above) + 1 : path;
	*(slash ? slash : above) = '\0';
	parent = index_find_dir(index, above);
	return parent && !qconf_skips(name) ? index_dir_sub(index, parent, name) : NULL;
}

/* A directory that this mount has listed itself is left as it is. */
static void begin_section(struct share_reader *reader)
{
	const struct section *section = &reader->sections[reader->at];
	struct queue *queue = reader->queue;
	struct index_dir *dir;

	reader->met = 0;
	pthread_mutex_lock(&queue->lock);
	dir = section->same ? find_dir(&queue->index, section->path) : NULL;
	if (dir && dir->mtime != INT64_MIN && !dir->dirty)
		dir = NULL;
	queue_clock(queue, &reader->clock);
	if (dir) {
		dir->dirty = true;
		dir->listed_ns = reader->clock.now_ns;
		index_dir_begin(&queue->index, dir);
	}
	reader->dir = dir;
	pthread_mutex_unlock(&queue->lock);
}

static void end_section(struct share_reader *reader)
{
	struct queue *queue = reader->queue;
	struct index_dir *dir = reader->dir;

	if (dir) {
		pthread_mutex_lock(&queue->lock);
		index_dir_end(&queue->index, dir, queue_time(queue));
		dir->mtime = reader->sections[reader->at].mtime;
		dir->mtime_since_ns = reader->clock.now_ns;
		dir->dirty = false;
		queue_changed_locked(queue);
		pthread_mutex_unlock(&queue->lock);
	}
	reader->dir = NULL;
	reader->at++;
}

/* On to the section that has the next entry. */
static void next_section(struct share_reader *reader)
{
	while (reader->at < reader->count && reader->met == reader->sections[reader->at].count) {
		end_section(reader);
		if (reader->at < reader->count)
			begin_section(reader);
	}
}

static int add_input(struct share_reader *reader, char *line)
{
	bool with_unit = reader->queue->conf.key != QCONF_KEY_NAME;
	struct index_file file = { .settled = true };
	char *name = strchr(line, ' ');
	struct hash128 hash;

	if (!name)
		return -EINVAL;
	*name++ = '\0';
	if (conf_parse_number(line, 0, UINT32_MAX, &file.mtime) < 0)
		return -EINVAL;
	if (with_unit) {
		if (strlen(name) <= HASH_HEX_LEN || name[HASH_HEX_LEN] != ' ' || hash128_parse(name, &hash) < 0)
			return -EINVAL;
		name += HASH_HEX_LEN + 1;
		file.unit = &hash;
	}
	if (pct_decode(name) < 0 || !record_name_good(name) || strchr(name, '/') || qconf_skips(name))
		return -EINVAL;
	file.name = name;
	reader->taken++;
	return index_dir_file(&reader->queue->index, reader->dir, &file, &reader->clock);
}

static int add_dir(struct share_reader *reader, char *name)
{
	if (pct_decode(name) < 0 || !record_name_good(name) || strchr(name, '/') || qconf_skips(name))
		return -EINVAL;
	return index_dir_sub(&reader->queue->index, reader->dir, name) ? 0 : -ENOMEM;
}

static int take_entry_locked(struct share_reader *reader, char *line)
{
	if (reader->at >= reader->count)
		return -EINVAL;
	reader->met++;
	if (!reader->dir)
		return 0;
	return strncmp(line, "/ ", 2) == 0 ? add_dir(reader, line + 2) : add_input(reader, line);
}

static int take_line(struct share_reader *reader, char *line)
{
	int error;

	if (!reader->begun)
		return take_first(reader, line);
	if (!reader->in_entries && strcmp(line, "-") != 0)
		return take_section(reader, line);
	if (!reader->in_entries) {
		reader->in_entries = true;
		error = reader->count ? look_at_sections(reader) : -EINVAL;
		if (!error)
			begin_section(reader);
	} else {
		pthread_mutex_lock(&reader->queue->lock);
		error = take_entry_locked(reader, line);
		pthread_mutex_unlock(&reader->queue->lock);
	}
	if (!error)
		next_section(reader);
	return error;
}

/* ---- blocks ---- */

static int take_lines(struct share_reader *reader, char *data, size_t len)
{
	char *end;
	int error = 0;

	for (; len && !error; len -= (size_t)(end + 1 - data), data = end + 1) {
		end = memchr(data, '\n', len);
		if (!end)
			return -EINVAL;
		*end = '\0';
		error = take_line(reader, data);
	}
	return error;
}

/* Takes in the blocks that are there in whole; how many bytes they were. */
static int64_t take_blocks(struct share_reader *reader, char *data, size_t len)
{
	char *at = data, *end = data + len, *newline, *hex;
	struct hash128 hash, of;
	int64_t size;
	int error = 0;

	while (!error && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		*newline = '\0';
		hex = newline - at > 2 ? strchr(at + 2, ' ') : NULL;
		if (!hex || strncmp(at, "b ", 2) != 0 || (size_t)(newline - hex) != HASH_HEX_LEN + 1 || hash128_parse(hex + 1, &hash) < 0)
			return -EINVAL;
		*hex = '\0';
		if (conf_parse_number(at + 2, 1, 2 * SHARE_BLOCK, &size) < 0)
			return -EINVAL;
		if (end - newline - 1 < size) {
			*newline = '\n';
			*hex = ' ';
			break;
		}
		of = hash128_of(newline + 1, (size_t)size);
		error = hash128_equal(&hash, &of) ? take_lines(reader, newline + 1, (size_t)size) : -EINVAL;
		at = newline + 1 + size;
	}
	return error ? error : at - data;
}

/* Read in flights; a block that a flight ends in waits for the next. */
static int take_file(struct share_reader *reader)
{
	struct flight flight = FLIGHT_INIT;
	struct buf pieces[PIECES] = { BUF_INIT }, text = BUF_INIT;
	uint64_t offset = 0;
	int64_t used = 0;
	bool more = true;
	int error = 0;
	size_t i;

	while (more && !error) {
		flight_reset(&flight);
		for (i = 0; i < PIECES; i++) {
			buf_reset(&pieces[i]);
			flight_read(&flight, SHARE_PATH, offset + i * PIECE, PIECE, &pieces[i]);
		}
		flight_run(&flight, reader->queue->store);
		for (i = 0; i < PIECES && more && !error; i++) {
			error = flight_error(&flight, i) ? flight_error(&flight, i) : buf_error(&pieces[i]);
			if (error)
				break;
			more = pieces[i].len == PIECE;
			offset += pieces[i].len;
			buf_add(&text, pieces[i].data, pieces[i].len);
		}
		error = error ? error : buf_error(&text);
		used = !error && text.len ? take_blocks(reader, text.data, text.len) : 0;
		error = used < 0 ? (int)used : error;
		if (!error && used)
			buf_drop(&text, (size_t)used);
		/* A block has at most so many bytes. */
		if (!error && text.len > 2 * SHARE_BLOCK + 64)
			error = -EINVAL;
	}
	/* What is missing at the end is listed like what was never written. */
	for (i = 0; i < PIECES; i++)
		buf_release(&pieces[i]);
	buf_release(&text);
	flight_release(&flight);
	return error;
}

/* Is it there, and young enough? */
static bool is_fresh(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	int64_t min, max;
	bool fresh;

	flight_lstat(&flight, SHARE_PATH);
	flight_run(&flight, queue->store);
	fresh = !flight_error(&flight, 0);
	if (fresh && queue->conf.key != QCONF_KEY_NAME)
		fresh = lease_time(queue->lease, clock_now(), &min, &max) && max - flight_op(&flight, 0)->attrs.mtime * NS_PER_S < SHARE_AGE_NS;
	flight_release(&flight);
	return fresh;
}

static void take_listing(struct queue *queue)
{
	struct share_reader reader = { .queue = queue };
	uint32_t i;
	int error;

	if (!is_fresh(queue))
		return;
	error = take_file(&reader);
	if (error && error != -ENOENT)
		log_info("queue: %s cannot be used (%s): the inputs are listed instead", SHARE_PATH, log_strerror(error));
	log_debug("queue: %llu inputs as another mount listed them", (unsigned long long)reader.taken);
	for (i = 0; i < reader.count; i++)
		free(reader.sections[i].path);
	free(reader.sections);
}

/* ---- who lists ---- */

static bool all_known(struct queue *queue)
{
	bool known = true;
	uint32_t i;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < queue->index.dir_count && known; i++)
		known = queue->index.dirs[i]->gone || (queue->index.dirs[i]->mtime != INT64_MIN && !queue->index.dirs[i]->dirty);
	pthread_mutex_unlock(&queue->lock);
	return known;
}

/* 0: this mount is at it (queue->sharing). -EEXIST: another is. -errno: nobody can be. */
static int begin_listing(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	int error;

	flight_create(&flight, SHARE_LOCK_PATH, "", 0);
	flight_lstat(&flight, SHARE_LOCK_PATH);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0);
	if (error == STORE_FAILURE && !flight_error(&flight, 1))
		error = -EEXIST;
	flight_release(&flight);
	pthread_mutex_lock(&queue->lock);
	queue->sharing = !error;
	pthread_mutex_unlock(&queue->lock);
	return error;
}

bool share_offered(struct queue *queue)
{
	return is_fresh(queue) || begin_listing(queue) == -EEXIST;
}

/* Another is at it: true once it is not any more, false when it takes too long or is dead. */
static bool wait_for_other(struct queue *queue)
{
	int64_t rest = FIRST_REST_NS, until = clock_now() + SHARE_WAIT_NS, due, min, max;
	struct flight flight = FLIGHT_INIT;
	bool stopping = false;
	int error = 0;

	while (clock_now() < until && !stopping && !store_cancelled(queue->store)) {
		flight_reset(&flight);
		flight_lstat(&flight, SHARE_LOCK_PATH);
		flight_run(&flight, queue->store);
		error = flight_error(&flight, 0);
		if (error)
			break;
		if (!lease_time(queue->lease, clock_now(), &min, &max) || min - flight_op(&flight, 0)->attrs.mtime * NS_PER_S > SHARE_WAIT_NS)
			break;
		due = clock_now() + rest;
		pthread_mutex_lock(&queue->lock);
		while (clock_now() < due && !(stopping = queue->stopping))
			clock_cond_wait(&queue->changed, &queue->lock, due);
		pthread_mutex_unlock(&queue->lock);
		rest = rest * 2 < MAX_REST_NS ? rest * 2 : MAX_REST_NS;
	}
	flight_release(&flight);
	return error == -ENOENT;
}

void share_take(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	int error;

	take_listing(queue);
	if (all_known(queue))
		return;
	error = begin_listing(queue);
	if (error == -EEXIST && wait_for_other(queue)) {
		take_listing(queue);
		if (all_known(queue))
			return;
		begin_listing(queue);
	} else if (error == -EEXIST && !store_cancelled(queue->store)) {
		flight_remove(&flight, SHARE_LOCK_PATH);
		flight_run(&flight, queue->store);
		flight_release(&flight);
		begin_listing(queue);
	}
}
