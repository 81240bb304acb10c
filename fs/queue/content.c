/*
 * content: with key = content a unit's KEY is the hash of its bytes, computed after the claim, once for a name, size and mtime (which UNIT is
 * of): the index remembers it, and so does every record of the unit, for all. If KEY.G is done already, the unit gets the output
 * of the unit that did it, and is logged as done.
 *
 *   a batch of claims ─▶ pieces of their inputs, as many as go into a flight ─▶ hashes; the bytes go to who reads the inputs next (queue.h: hashed)
 *                     ─▶ all markers, in one flight ─▶ duplicates get their outputs
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "queue/owner.h"

#define PIECE ((size_t)4 * 255 * 1024)	/* what OpenSSH answers in four READs */
#define FLIGHT_BYTES (16 * PIECE)
#define FLIGHT_PIECES 256
#define UNSETTLED_S 2			/* of a file that changed so short a time ago, size and mtime don't say that it is the same */

struct hashing {			/* an input */
	struct content_look *look;
	struct hash_stream *stream;	/* NULL: not begun, or it has ended */
	struct buf path;
	uint64_t offset;		/* so much of it has been hashed */
	bool ended;
	bool offer;			/* its bytes are offered to who reads it next */
};

struct piece {				/* of one */
	struct hashing *of;
	uint64_t offset;
	size_t op;
	struct buf bytes;
};

void content_map_key(const struct hash128 *key, uint32_t generation, char ret_key[CONTENT_MAP_KEY])
{
	memcpy(ret_key, key->bytes, sizeof(key->bytes));
	memcpy(ret_key + sizeof(key->bytes), &generation, sizeof(generation));
}

/* ---- hashing ---- */

static void hashing_end(struct hashing *hashing, int error)
{
	struct held *held = hashing->look->held;

	if (hashing->stream)
		held->key = hash_stream_end(hashing->stream);
	hashing->stream = NULL;
	hashing->ended = true;
	/* Shorter or longer than it was a moment ago: it is being written. */
	if (!error && hashing->offset != held->input.size)
		error = -EBUSY;
	hashing->look->error = error;
	held->has_key = !error;
}

static void hashing_begin(struct queue *queue, struct hashing *hashing)
{
	const struct held *held = hashing->look->held;

	hashing->stream = hash_stream_new();
	if (!hashing->stream || index_input(&queue->index, held->name, &hashing->path) < 0)
		hashing_end(hashing, -ENOMEM);
	else if (!held->input.size)
		hashing_end(hashing, 0);
	pthread_mutex_lock(&queue->lock);
	hashing->offer = queue->options.hashed && held->input.mtime + UNSETTLED_S <= queue_time(queue);
	pthread_mutex_unlock(&queue->lock);
}

/* The next pieces of one input, no further than where a file of its size ends. */
static size_t plan_one(struct hashing *hashing, struct flight *flight, struct piece *pieces, size_t room)
{
	uint64_t at = hashing->offset;
	size_t planned = 0;

	for (; planned < room && at <= hashing->look->held->input.size; at += PIECE) {
		struct piece *piece = &pieces[planned++];

		piece->of = hashing;
		piece->offset = at;
		buf_reset(&piece->bytes);
		piece->op = flight_read(flight, hashing->path.data, at, PIECE, &piece->bytes);
	}
	return planned;
}

/* The next pieces of all inputs, in order, as many as a flight may hold. How many; 0: all have ended. */
static size_t plan(struct queue *queue, struct hashing *list, size_t count, struct flight *flight, struct piece *pieces)
{
	size_t planned = 0, i, room, some;
	uint64_t bytes = 0;

	flight_reset(flight);
	for (i = 0; i < count && planned < FLIGHT_PIECES && bytes < FLIGHT_BYTES; i++) {
		if (!list[i].ended && !list[i].stream)
			hashing_begin(queue, &list[i]);
		if (list[i].ended)
			continue;
		room = (size_t)(FLIGHT_BYTES - bytes + PIECE - 1) / PIECE;
		some = plan_one(&list[i], flight, pieces + planned, room < FLIGHT_PIECES - planned ? room : FLIGHT_PIECES - planned);
		planned += some;
		bytes += some > 1 ? some * PIECE : list[i].look->held->input.size - list[i].offset;
	}
	return planned;
}

static void offer(struct queue *queue, struct piece *piece)
{
	struct hashing *hashing = piece->of;
	struct held *held = hashing->look->held;

	if (!hashing->offer)
		return;
	hashing->offer = queue->options.hashed(queue->options.inputs_arg, hashing->path.data, held->input.size, held->input.mtime, piece->offset, &piece->bytes);
	held->offered |= hashing->offer;
}

static void take_in(struct queue *queue, struct flight *flight, struct piece *piece)
{
	struct hashing *hashing = piece->of;
	size_t len = piece->bytes.len;
	int error;

	if (hashing->ended)
		return;
	error = flight_error(flight, piece->op) ? flight_error(flight, piece->op) : buf_error(&piece->bytes);
	if (error) {
		hashing_end(hashing, error);
		return;
	}
	hash_stream_update(hashing->stream, piece->bytes.data, len);
	hashing->offset += len;
	offer(queue, piece);
	if (len < PIECE)
		hashing_end(hashing, 0);
}

static void hash_inputs(struct queue *queue, struct hashing *list, size_t count)
{
	struct piece *pieces = calloc(FLIGHT_PIECES, sizeof(*pieces));
	struct flight flight = FLIGHT_INIT;
	size_t i, planned;

	for (i = 0; i < count && !pieces; i++)
		hashing_end(&list[i], -ENOMEM);
	while (pieces && (planned = plan(queue, list, count, &flight, pieces)) > 0) {
		flight_run(&flight, queue->store);
		for (i = 0; i < planned; i++)
			take_in(queue, &flight, &pieces[i]);
		for (i = 0; i < planned; i++)
			if (!pieces[i].of->ended && pieces[i].of->offset >= pieces[i].of->look->held->input.size)
				hashing_end(pieces[i].of, 0);
	}
	for (i = 0; i < FLIGHT_PIECES && pieces; i++)
		buf_release(&pieces[i].bytes);
	free(pieces);
	flight_release(&flight);
}

/* Those whose KEY is not remembered are hashed. */
static void find_keys(struct queue *queue, struct content_look *list, size_t count)
{
	struct hashing *hashings = calloc(count, sizeof(*hashings));
	size_t i, unknown = 0;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		struct held *held = list[i].held;

		held->has_key = units_key(&queue->index.units, held->unit, &held->key);
		list[i].error = held->has_key || hashings ? 0 : -ENOMEM;
		if (!held->has_key && hashings)
			hashings[unknown++].look = &list[i];
	}
	pthread_mutex_unlock(&queue->lock);
	hash_inputs(queue, hashings, unknown);
	pthread_mutex_lock(&queue->lock);
	/* Memory short: it is computed again. */
	for (i = 0; i < unknown; i++)
		if (hashings[i].look->held->has_key)
			units_set_key(&queue->index.units, hashings[i].look->held->unit, &hashings[i].look->held->key);
	pthread_mutex_unlock(&queue->lock);
	for (i = 0; i < unknown; i++)
		buf_release(&hashings[i].path);
	free(hashings);
}

/* ---- duplicates ---- */

/*
 * What the records say of a marker that is there: 0 another unit was done under KEY.G, and if its input and so its output are still those of its record,
 * that is at *ret_path; 1 this unit itself was; -ENOENT they don't say.
 */
static int first_output(struct queue *queue, const struct held *held, struct buf *ret_path)
{
	struct buf name = BUF_INIT;
	char key[CONTENT_MAP_KEY];
	const struct unit *self;
	uint32_t unit;
	int error = -ENOENT;

	content_map_key(&held->key, held->claim.generation, key);
	pthread_mutex_lock(&queue->lock);
	self = units_at(&queue->index.units, held->unit);
	unit = (uint32_t)(uintptr_t)map_get(&queue->keys, key, sizeof(key));
	if ((self->flags & UNIT_DONE) && self->generation == held->claim.generation) {
		sweep_generation_locked(queue, &held->claim);
		error = 1;
	} else if (unit && unit - 1 != held->unit) {
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

/* The unit gets the output of the one that did KEY.G. 1: it is done, by that or before; 0: it must be worked on; -ENOENT: the records don't say; -errno. */
static int duplicate(struct queue *queue, struct held *held, const struct buf *marker)
{
	struct buf from = BUF_INIT;
	int error = first_output(queue, held, &from);

	if (!error) {
		error = publish_link_output(queue, from.data, held);
		if (error == 1)
			log_duplicate(queue, held, marker);
	}
	buf_release(&from);
	return error;
}

/* Those whose marker is there. How many the records don't say anything of. */
static size_t judge(struct queue *queue, struct content_look *list, size_t count, const struct buf *markers)
{
	size_t i, unknown = 0;
	int error;

	for (i = 0; i < count; i++) {
		if (!list[i].marked)
			continue;
		error = duplicate(queue, list[i].held, &markers[i]);
		list[i].marked = error == -ENOENT;
		list[i].error = list[i].marked ? 0 : error;
		unknown += list[i].marked;
	}
	return unknown;
}

static void look_for_markers(struct queue *queue, struct content_look *list, size_t count, struct buf *markers)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i, op = 0;
	int error;

	for (i = 0; i < count; i++) {
		if (list[i].error)
			continue;
		layout_marker(path, &list[i].held->key, list[i].held->claim.generation);
		flight_read(&flight, path, 0, OWNER_MAX_BYTES, &markers[i]);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (list[i].error)
			continue;
		error = flight_error(&flight, op++);
		if (!error)
			error = buf_error(&markers[i]);
		list[i].marked = !error;
		list[i].error = error == -ENOENT ? 0 : error;
	}
	flight_release(&flight);
}

/*
 * Where a marker is there and no record known here says whose, this mount's view may be old: the unit itself may be done, its claims swept and this claim
 * one of a name that was used before. So the records are read anew. If they still don't say, who did KEY.G died before it wrote one.
 */
static void find_duplicates(struct queue *queue, struct content_look *list, size_t count)
{
	struct buf *markers = calloc(count, sizeof(*markers));
	size_t i;
	int error = 0;

	if (markers) {
		look_for_markers(queue, list, count, markers);
		if (judge(queue, list, count, markers))
			error = queue_refresh(queue, 0);
		if (!error)
			judge(queue, list, count, markers);
	}
	for (i = 0; i < count; i++) {
		if (!list[i].error && (list[i].marked || !markers))
			list[i].error = markers ? error : -ENOMEM;
		if (markers)
			buf_release(&markers[i]);
	}
	free(markers);
}

void content_look(struct queue *queue, struct content_look *list, size_t count)
{
	find_keys(queue, list, count);
	find_duplicates(queue, list, count);
}
