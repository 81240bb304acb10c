/*
 * logs: the tails of all nodes' logs, read into the index. One READDIR shows all sizes, so what it costs to know what is done grows with what
 * changed. This mount's own log is written in own_log.c.
 *
 * A log that is gone was merged into another (merge.h): what was read of it stays known. A line of a merged log says where it stood first; it
 * is news unless that log was read so far already, and in any case the place to find it from now on.
 */
#include "queue/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "queue/merge.h"
#include "queue/ticket.h"

#define PIECE (1024 * 1024)
#define PIECES 8
#define RELISTS 3

uint32_t nodes_get_locked(struct queue *queue, const char *name)
{
	uint32_t index = (uint32_t)(uintptr_t)map_get_str(&queue->node_by_name, name);
	struct node_facts *nodes;

	if (index)
		return index;
	nodes = realloc(queue->nodes, (queue->node_count + 1) * sizeof(*nodes));
	if (!nodes)
		return 0;
	queue->nodes = nodes;
	if (map_set_str(&queue->node_by_name, name, (void *)(uintptr_t)(queue->node_count + 1), NULL) < 0)
		return 0;
	memset(&nodes[queue->node_count], 0, sizeof(*nodes));
	strncpy(nodes[queue->node_count].name, name, LAYOUT_MAX_NODE);
	return ++queue->node_count;
}

uint32_t logs_get_locked(struct queue *queue, const char *name)
{
	uint32_t index = (uint32_t)(uintptr_t)map_get_str(&queue->log_by_name, name), of, number;
	char node[LAYOUT_MAX_NODE + 1];
	struct log_state *logs;
	size_t len;

	if (index || layout_parse_log(name, strlen(name), &len, &number) < 0)
		return index;
	memcpy(node, name, len);
	node[len] = '\0';
	of = nodes_get_locked(queue, node);
	if (!of)
		return 0;
	logs = realloc(queue->logs, (queue->log_count + 1) * sizeof(*logs));
	if (!logs)
		return 0;
	queue->logs = logs;
	if (map_set_str(&queue->log_by_name, name, (void *)(uintptr_t)(queue->log_count + 1), NULL) < 0)
		return 0;
	logs[queue->log_count] = (struct log_state) { .node = of, .number = number };
	return ++queue->log_count;
}

void logs_name(const struct queue *queue, uint32_t log, char ret_name[LAYOUT_MAX_LOG + 1])
{
	layout_log_name(ret_name, queue->nodes[queue->logs[log].node - 1].name, queue->logs[log].number);
}

/* ---- records into the index ---- */

/* 0 for what is none, or more than `max`. */
static double number_of(const char *value, size_t len, double max)
{
	char text[40];
	double number;

	if (len == 0 || len >= sizeof(text))
		return 0;
	memcpy(text, value, len);
	text[len] = '\0';
	number = strtod(text, NULL);
	return number > 0 && number <= max ? number : 0;
}

static const struct spent_value {
	const char *name;
	size_t at;		/* in struct progress_spent */
	bool size;		/* bytes, which are known of every unit; else seconds, which a job has said */
} spent_values[] = {
	{ "wall", offsetof(struct progress_spent, wall_s), false },
	{ "user", offsetof(struct progress_spent, user_s), false },
	{ "sys", offsetof(struct progress_spent, sys_s), false },
	{ "spawn", offsetof(struct progress_spent, spawn_s), false },
	{ "rwait", offsetof(struct progress_spent, read_wait_s), false },
	{ "wwait", offsetof(struct progress_spent, write_wait_s), false },
	{ "ready", offsetof(struct progress_spent, ready_s), false },
	{ "claim", offsetof(struct progress_spent, claim_s), false },
	{ "look", offsetof(struct progress_spent, look_s), false },
	{ "turn", offsetof(struct progress_spent, turn_s), false },
	{ "idle", offsetof(struct progress_spent, idle_s), false },
	{ "tail", offsetof(struct progress_spent, tail_s), false },
	{ "in", offsetof(struct progress_spent, in_bytes), true },
	{ "out", offsetof(struct progress_spent, out_bytes), true },
};

static double *spent_at(struct progress_spent *spent, const struct spent_value *value)
{
	return (double *)((char *)spent + value->at);
}

static const struct spent_value *find_spent(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(spent_values) / sizeof(spent_values[0]); i++)
		if (strncmp(spent_values[i].name, name, len) == 0 && spent_values[i].name[len] == '\0')
			return &spent_values[i];
	return NULL;
}

/* What one record says, the first of two values of a name as record_find_value() does; `units` is 1 when a job has said some of it, 0 when all that is known are sizes. */
static struct progress_spent read_spent(const char *values)
{
	struct progress_spent spent = { 0 };
	uint32_t told = 0;	/* of spent_values */
	size_t len, name;

	for (; *values; values += len + (values[len] == ' ')) {
		const struct spent_value *value;

		len = strcspn(values, " ");
		name = strcspn(values, "= ");
		value = name < len ? find_spent(values, name) : NULL;
		if (!value || told & 1u << (value - spent_values))
			continue;
		told |= 1u << (value - spent_values);
		*spent_at(&spent, value) = number_of(values + name + 1, len - name - 1, value->size ? RECORD_MAX_BYTES : RECORD_MAX_SECONDS);
		if (!value->size)
			spent.units = 1;
	}
	return spent;
}

static void add_spent(struct progress_spent *to, struct progress_spent *spent)
{
	size_t i;

	for (i = 0; i < sizeof(spent_values) / sizeof(spent_values[0]); i++)
		*spent_at(to, &spent_values[i]) += *spent_at(spent, &spent_values[i]);
	to->units += spent->units;
}

/* Second attempts, and work in vain. */
static void count_hedges(struct queue *queue, const struct record *record)
{
	const char *hedge, *wasted;
	size_t len;

	hedge = record_find_value(record->values, "hedge", &len);
	if (hedge && len == 3 && memcmp(hedge, "won", len) == 0)
		queue->hedges.won++;
	else if (hedge)
		queue->hedges.lost++;
	wasted = record_find_value(record->values, "wasted", &len);
	if (wasted)
		queue->hedges.wasted_s += number_of(wasted, len, RECORD_MAX_SECONDS);
}

/* Where the time went: sums for progress. */
static void spend(struct queue *queue, uint32_t node, const struct record *record)
{
	struct progress_spent spent;

	if (!record->values || !record->values[0])
		return;
	spent = read_spent(record->values);
	if (spent.units > 0)
		queue->has_spent = true;
	if (record->what == RECORD_DONE && spent.units > 0)
		walls_add(&queue->walls, spent.wall_s);
	add_spent(&queue->spent, &spent);
	if (node)
		add_spent(&queue->nodes[node - 1].spent, &spent);
}

static void count_done(struct queue *queue, int64_t time)
{
	size_t slot = (size_t)(time % RATE_SLOTS);

	if (time <= 0)
		return;
	if (queue->rate[slot].second != time) {
		if (queue->rate[slot].second > time)
			return;
		queue->rate[slot].second = time;
		queue->rate[slot].done = 0;
	}
	queue->rate[slot].done++;
	if (!queue->first_done || time < queue->first_done)
		queue->first_done = time;
	if (time > queue->last_done)
		queue->last_done = time;
}

uint32_t ticket_size_of_record(struct queue *queue, uint32_t unit, const struct record *record, const char *node)
{
	const struct unit *at = units_at(&queue->index.units, unit);
	struct buf name = BUF_INIT, input = BUF_INIT, why = BUF_INIT;
	char key[HASH_HEX_LEN + 1];
	struct ticket ticket = {
		.state = record->what == RECORD_DONE ? QUEUE_DONE : QUEUE_FAILED, .attempt = record->attempt, .since = record->time,
		.node = node, .values = record->values, .key = key,
	};
	uint32_t size = 0;

	hash128_hex(&record->key, key);
	if (at->dir != UNITS_NONE && index_name(&queue->index, unit, &name) == 0 && index_input(&queue->index, name.data, &input) == 0) {
		ticket.unit = name.data;
		ticket.input = input.data;
		if (record->values && record_value(record->values, "why", &why) == 0)
			ticket.why = why.data;
		size = (uint32_t)ticket_size(&ticket);
	}
	buf_release(&name);
	buf_release(&input);
	buf_release(&why);
	return size;
}

/* A record that only says that somebody else did it: by=NODE. */
static bool is_hearsay(const struct record *record)
{
	size_t len;

	return record->values && record_find_value(record->values, "by", &len);
}

/* Of a second attempt, which counts as none of those that were lost. */
static bool is_hedge(const struct record *record)
{
	size_t len;

	return record->values && record_find_value(record->values, "hedge", &len);
}

static void remember_key(struct queue *queue, const struct record *record, uint32_t unit)
{
	char key[sizeof(struct hash128) + sizeof(uint32_t)];

	if (queue->conf.key != QCONF_KEY_CONTENT)
		return;
	memcpy(key, record->key.bytes, sizeof(record->key.bytes));
	memcpy(key + sizeof(record->key.bytes), &record->generation, sizeof(record->generation));
	if (!is_hearsay(record))
		map_set(&queue->keys, key, sizeof(key), (void *)(uintptr_t)(unit + 1), NULL);
}

/* Never 0, which says that no record of who did it was met yet; one that was marked done by hand has no attempt. */
static uint16_t attempt_of(const struct record *record)
{
	if (record->attempt == 0)
		return 1;
	return record->attempt < UINT16_MAX ? (uint16_t)record->attempt : UINT16_MAX;
}

static int apply_mark(struct queue *queue, const struct record *record, const struct log_place *place, const struct index_clock *clock)
{
	uint32_t unit = units_get(&queue->index.units, &record->unit), node = place->node;
	bool done = record->what == RECORD_DONE, news, counts;
	struct unit *at;

	if (unit == UNITS_NONE)
		return -ENOMEM;
	at = units_at(&queue->index.units, unit);
	news = index_mark(&queue->index, unit, record->generation, done ? UNIT_DONE : UNIT_FAILED);
	if (!news && (record->generation != at->generation || (!done && (at->flags & UNIT_DONE))))
		return 0;
	if (done)
		remember_key(queue, record, unit);
	if (!place->counted)
		count_hedges(queue, record);
	/* Counted for its node the first time that it, not hearsay, is met: a marker that was listed before is no reason not to. */
	counts = !place->counted && !is_hearsay(record) && !at->attempt;
	/* The record of who did it stands for the unit, not that of one who found it done. One that was merged is found in its new place. */
	if (!at->record || !is_hearsay(record) || (place->origin && at->record >> LOGS_REF_BITS == place->origin)) {
		at->record = place->ref;
		at->attempt = is_hearsay(record) ? 0 : attempt_of(record);
		at->ticket = ticket_size_of_record(queue, unit, record, node ? queue->nodes[node - 1].name : NULL);
		if (record->time > 0 && record->time < UINT32_MAX)
			at->changed = (uint32_t)record->time;
	}
	if (counts) {
		spend(queue, node, record);
		if (done)
			count_done(queue, record->time);
		if (node && done)
			queue->nodes[node - 1].done++;
		else if (node)
			queue->nodes[node - 1].failed++;
	}
	index_update(&queue->index, unit, clock, record->time);
	return 0;
}

/* Whose attempt was lost: `of` says it when another node, which took the claim over, wrote the record. */
static uint32_t loser_of(struct queue *queue, const struct record *record, uint32_t writer)
{
	char name[LAYOUT_MAX_NODE + 1];
	const char *of;
	size_t len;

	of = record_find_value(record->values, "of", &len);
	if (!of || !layout_node_good(of, len))
		return writer;
	memcpy(name, of, len);
	name[len] = '\0';
	return nodes_get_locked(queue, name);
}

/* What somebody has computed of this name, size and mtime nobody needs to again. */
static int take_key(struct queue *queue, const struct record *record)
{
	uint32_t unit;

	if (queue->conf.key != QCONF_KEY_CONTENT || hash128_equal(&record->key, &record->unit))
		return 0;
	unit = units_get(&queue->index.units, &record->unit);
	return unit == UNITS_NONE ? -ENOMEM : units_set_key(&queue->index.units, unit, &record->key);
}

int logs_apply_locked(struct queue *queue, const struct record *record, const struct log_place *place, const struct index_clock *clock)
{
	uint32_t unit, node = place->node;

	if (node && record->time > queue->nodes[node - 1].last_record)
		queue->nodes[node - 1].last_record = record->time;
	if (take_key(queue, record) < 0)
		return -ENOMEM;
	if (record->what == RECORD_DONE || record->what == RECORD_FAILED)
		return apply_mark(queue, record, place, clock);
	if (record->what == RECORD_LOST) {
		node = loser_of(queue, record, node);
		if (!place->counted)
			count_hedges(queue, record);
		if (node && !place->counted && !is_hedge(record))
			queue->nodes[node - 1].lost++;
		return 0;
	}
	unit = units_get(&queue->index.units, &record->unit);
	if (unit == UNITS_NONE)
		return -ENOMEM;
	if (index_generation(&queue->index, unit, record->generation))
		index_update(&queue->index, unit, clock, record->time);
	return 0;
}

/* ---- other nodes' logs ---- */

static void bad_line(struct queue *queue, uint32_t log, uint64_t offset)
{
	static long long last;
	char name[LAYOUT_MAX_LOG + 1];

	logs_name(queue, log, name);
	if (log_allowed(&last))
		log_warn("queue: log of node %s: the line at byte %llu is not a record, so it is left out", name, (unsigned long long)offset);
}

/* Whose record it is, and whether it was met before. -EINVAL: it says that it comes from where it can't. */
static int find_place(struct queue *queue, uint32_t log, const struct record *record, struct log_place *place)
{
	struct merge_origin origin;
	struct log_state *first;
	int error = merge_origin(record->values, &origin);

	place->node = queue->logs[log].node;
	place->counted = queue->logs[log].mine;
	if (error)
		return error == -ENOENT ? 0 : error;
	place->origin = logs_get_locked(queue, origin.log);
	if (!place->origin)
		return -ENOMEM;
	if (place->origin == log + 1)
		return -EINVAL;
	first = &queue->logs[place->origin - 1];
	first->merged = true;
	place->node = first->node;
	place->counted = first->mine || origin.begin < first->consumed;
	if (!place->counted)
		first->consumed = origin.end;
	return 0;
}

/* Takes in the whole lines of what was read at `consumed`. Under the lock. */
static int consume(struct queue *queue, uint32_t log, char *data, size_t len)
{
	struct index_clock clock;
	struct log_place place;
	struct record record;
	char *line = data, *end;
	int error = 0;

	queue_clock(queue, &clock);
	for (; len && (end = memchr(line, '\n', len)) != NULL && !error; len -= (size_t)(end + 1 - line), line = end + 1) {
		uint64_t offset = queue->logs[log].consumed;

		queue->logs[log].consumed += (uint64_t)(end + 1 - line);
		if (queue->logs[log].skipping) {
			queue->logs[log].skipping = false;
			continue;
		}
		place = (struct log_place) { .ref = (uint64_t)(log + 1) << LOGS_REF_BITS | offset };
		error = record_parse(line, (size_t)(end - line), &record);
		if (!error)
			error = find_place(queue, log, &record, &place);
		if (error == -EINVAL)
			bad_line(queue, log, offset);
		if (error == -EINVAL || error == -ENODATA)
			error = 0;
		else if (!error)
			error = logs_apply_locked(queue, &record, &place, &clock);
	}
	if (!error && len >= RECORD_MAX_LINE) {
		if (!queue->logs[log].skipping)
			bad_line(queue, log, queue->logs[log].consumed);
		queue->logs[log].skipping = true;
		queue->logs[log].consumed += len;
	}
	return error;
}

static bool take_log(void *arg, const struct store_name *name)
{
	struct queue *queue = arg;
	uint32_t log = 0, number;
	size_t len;

	if (layout_parse_log(name->name, name->len, &len, &number) < 0 || !S_ISREG(name->attrs.mode))
		return true;
	pthread_mutex_lock(&queue->lock);
	log = logs_get_locked(queue, name->name);
	if (log) {
		struct log_state *state = &queue->logs[log - 1];

		/* Shorter than what was read: somebody cut it. Records are idempotent, so it is read again. */
		if (name->attrs.size < state->consumed && !state->own)
			state->consumed = 0;
		state->listed = name->attrs.size;
		state->listing = queue->log_listing;
	}
	pthread_mutex_unlock(&queue->lock);
	return log != 0;
}

/* One flight: a piece of each of up to PIECES logs that have grown. How many there were, or -errno. Sets *vanished when one was not there. */
static int read_pieces(struct queue *queue, struct flight *flight, struct buf *pieces, bool *vanished)
{
	uint32_t logs[PIECES], i, count = 0;
	uint64_t offsets[PIECES];
	char path[LAYOUT_PATH], name[LAYOUT_MAX_LOG + 1];
	int error = 0;

	flight_reset(flight);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < queue->log_count && count < PIECES; i++) {
		const struct log_state *state = &queue->logs[i];
		uint64_t more = state->listed > state->consumed ? state->listed - state->consumed : 0;

		if (!more || state->own)
			continue;
		logs_name(queue, i, name);
		layout_log(path, name);
		buf_reset(&pieces[count]);
		flight_read(flight, path, state->consumed, more < PIECE ? (size_t)more : PIECE, &pieces[count]);
		offsets[count] = state->consumed;
		logs[count++] = i;
	}
	pthread_mutex_unlock(&queue->lock);
	flight_run(flight, queue->store);
	for (i = 0; i < count && !error; i++) {
		error = flight_error(flight, i) ? flight_error(flight, i) : buf_error(&pieces[i]);
		if (error && error != -ENOENT)
			break;
		*vanished |= error == -ENOENT;
		error = 0;
		pthread_mutex_lock(&queue->lock);
		/* Read on meanwhile, in the merged log: what is left of it comes in the next flight. */
		if (queue->logs[logs[i]].consumed != offsets[i]) {
			pthread_mutex_unlock(&queue->lock);
			continue;
		}
		if (pieces[i].len)
			error = consume(queue, logs[i], pieces[i].data, pieces[i].len);
		/* A part of a line is read again once the rest of it is listed. */
		if (pieces[i].len < PIECE)
			queue->logs[logs[i]].listed = 0;
		pthread_mutex_unlock(&queue->lock);
	}
	return error ? error : (int)count;
}

/* Lists log/ and reads what is new. */
static int refresh_once(struct queue *queue, struct store_listing *listing, struct flight *flight, struct buf *pieces, bool *vanished)
{
	int count, error;

	pthread_mutex_lock(&queue->lock);
	queue->log_listing++;
	pthread_mutex_unlock(&queue->lock);
	error = listing ? store_list_end(queue->store, listing, take_log, queue) : store_list(queue->store, LAYOUT_LOG, take_log, queue);
	if (error)
		return error;
	do
		count = read_pieces(queue, flight, pieces, vanished);
	while (count > 0);
	return count;
}

int logs_refresh(struct queue *queue, struct store_listing *listing)
{
	struct buf pieces[PIECES] = { BUF_INIT };
	struct flight flight = FLIGHT_INIT;
	int error, tries = 0;
	bool vanished;
	size_t i;

	/* One that was merged since it was listed: the merged log is in the next listing. */
	do {
		vanished = false;
		error = refresh_once(queue, tries ? NULL : listing, &flight, pieces, &vanished);
	} while (!error && vanished && ++tries < RELISTS);
	for (i = 0; i < PIECES; i++)
		buf_release(&pieces[i]);
	flight_release(&flight);
	if (error == -ENOENT)
		return 0;
	pthread_mutex_lock(&queue->lock);
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
	return error;
}

int logs_read_line(struct queue *queue, const char *path, uint64_t offset, struct buf *text, struct record *ret_record)
{
	struct flight flight = FLIGHT_INIT;
	char *newline;
	int error;

	flight_read(&flight, path, offset, RECORD_MAX_LINE, text);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0) ? flight_error(&flight, 0) : buf_error(text);
	flight_release(&flight);
	if (error)
		return error;
	newline = text->len ? memchr(text->data, '\n', text->len) : NULL;
	return newline ? record_parse(text->data, (size_t)(newline - text->data), ret_record) : -ENODATA;
}

int logs_read(struct queue *queue, uint64_t ref, struct buf *text, struct record *ret_record, char ret_node[LAYOUT_MAX_NODE + 1])
{
	char path[LAYOUT_PATH], name[LAYOUT_MAX_LOG + 1];
	uint32_t log = (uint32_t)(ref >> LOGS_REF_BITS);
	struct merge_origin origin;
	bool own = false;
	int error;

	pthread_mutex_lock(&queue->lock);
	if (log == 0 || log > queue->log_count) {
		pthread_mutex_unlock(&queue->lock);
		return -ENOENT;
	}
	strcpy(ret_node, queue->nodes[queue->logs[log - 1].node - 1].name);
	logs_name(queue, log - 1, name);
	own = log == queue->log_index;
	pthread_mutex_unlock(&queue->lock);
	if (own)
		logs_flush(queue);
	layout_log(path, name);
	error = logs_read_line(queue, path, ref & ((1ULL << LOGS_REF_BITS) - 1), text, ret_record);
	if (!error && merge_origin(ret_record->values, &origin) == 0)
		snprintf(ret_node, LAYOUT_MAX_NODE + 1, "%.*s", (int)origin.node_len, origin.log);
	return error;
}
