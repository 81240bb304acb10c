/*
 * content: with key = content a unit's KEY is the hash of its bytes, computed after the claim, once for a name, size and mtime (which UNIT is
 * of): the index remembers it, and so does every record of the unit, for all. If KEY.G is done already, the unit gets the output
 * of the unit that did it, and is logged as done.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "queue/owner.h"

#define PIECE (1024 * 1024)
#define PIECES 8			/* a flight */

void content_map_key(const struct hash128 *key, uint32_t generation, char ret_key[CONTENT_MAP_KEY])
{
	memcpy(ret_key, key->bytes, sizeof(key->bytes));
	memcpy(ret_key + sizeof(key->bytes), &generation, sizeof(generation));
}

/* Reads from `offset` on, a flight, no further than where a file of `size` ends. Bytes read, or -errno. */
static int64_t read_flight(struct queue *queue, const char *path, uint64_t offset, uint64_t size, struct buf *pieces, struct hash_stream *stream)
{
	struct flight flight = FLIGHT_INIT;
	int64_t got = 0;
	int error;
	size_t i;

	for (i = 0; i < PIECES && offset + i * PIECE <= size; i++) {
		buf_reset(&pieces[i]);
		flight_read(&flight, path, offset + i * PIECE, PIECE, &pieces[i]);
	}
	flight_run(&flight, queue->store);
	error = flight.error;
	for (i = 0; i < flight.count && !error; i++) {
		error = flight_error(&flight, i) ? flight_error(&flight, i) : buf_error(&pieces[i]);
		if (error)
			break;
		hash_stream_update(stream, pieces[i].data, pieces[i].len);
		got += (int64_t)pieces[i].len;
		if (pieces[i].len < PIECE)
			break;
	}
	flight_release(&flight);
	return error ? error : got;
}

static int compute(struct queue *queue, struct held *held)
{
	struct hash_stream *stream = hash_stream_new();
	struct buf pieces[PIECES] = { BUF_INIT }, path = BUF_INIT;
	uint64_t offset = 0;
	int64_t got = 0;
	size_t i;
	int error;

	if (!stream)
		return -ENOMEM;
	error = index_input(&queue->index, held->name, &path);
	while (!error && offset < held->size) {
		got = read_flight(queue, path.data, offset, held->size, pieces, stream);
		if (got <= 0)
			break;
		offset += (uint64_t)got;
	}
	held->key = hash_stream_end(stream);
	if (!error && got < 0)
		error = (int)got;
	/* Shorter or longer than it was a moment ago: it is being written. */
	if (!error && offset != held->size)
		error = -EBUSY;
	held->has_key = !error;
	for (i = 0; i < PIECES; i++)
		buf_release(&pieces[i]);
	buf_release(&path);
	return error;
}

int content_key(struct queue *queue, struct held *held)
{
	int error;

	pthread_mutex_lock(&queue->lock);
	held->has_key = units_key(&queue->index.units, held->unit, &held->key);
	pthread_mutex_unlock(&queue->lock);
	if (held->has_key)
		return 0;
	error = compute(queue, held);
	if (error)
		return error;
	pthread_mutex_lock(&queue->lock);
	/* Memory short: it is computed again. */
	units_set_key(&queue->index.units, held->unit, &held->key);
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

/* The unit that is done under KEY.G, if its input and so its output are still those of its record: its output's path. */
static int first_output(struct queue *queue, const struct held *held, struct buf *ret_path)
{
	struct buf name = BUF_INIT;
	char key[CONTENT_MAP_KEY];
	uint32_t unit;
	int error = -ENOENT;

	content_map_key(&held->key, held->claim.generation, key);
	pthread_mutex_lock(&queue->lock);
	unit = (uint32_t)(uintptr_t)map_get(&queue->keys, key, sizeof(key));
	if (unit && unit - 1 != held->unit) {
		const struct unit *at = units_at(&queue->index.units, unit - 1);

		if ((at->flags & UNIT_DONE) && at->generation == held->claim.generation)
			error = index_name(&queue->index, unit - 1, &name);
	}
	pthread_mutex_unlock(&queue->lock);
	if (!error)
		error = qconf_output(&queue->conf, name.data, ret_path);
	buf_release(&name);
	return error;
}

static void log_duplicate(struct queue *queue, struct held *held, const struct buf *marker)
{
	struct buf values = BUF_INIT;
	struct record record = {
		.what = RECORD_DONE, .unit = held->claim.unit, .key = held->key, .generation = held->claim.generation, .name = held->name,
	};
	struct owner owner;

	buf_addf(&values, "by=%s", owner_parse(buf_text(marker), marker->len, &owner) == 0 ? owner.node : "unknown");
	record.values = buf_error(&values) ? "by=unknown" : values.data;
	pthread_mutex_lock(&queue->lock);
	record.time = queue_time(queue);
	logs_add_locked(queue, &record);
	sweep_generation_locked(queue, &held->claim);
	pthread_mutex_unlock(&queue->lock);
	buf_release(&values);
}

int content_duplicate(struct queue *queue, struct held *held)
{
	struct buf marker = BUF_INIT, from = BUF_INIT;
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	int error;

	layout_marker(path, &held->key, held->claim.generation);
	flight_read(&flight, path, 0, OWNER_MAX_BYTES, &marker);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0) ? flight_error(&flight, 0) : buf_error(&marker);
	flight_release(&flight);
	if (!error)
		error = first_output(queue, held, &from);
	if (!error)
		error = publish_link_output(queue, from.data, held);
	if (error == 1)
		log_duplicate(queue, held, &marker);
	buf_release(&marker);
	buf_release(&from);
	return error == -ENOENT ? 0 : error;
}
