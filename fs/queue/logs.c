/*
 * logs: the tails of all nodes' logs, read into the index; and this mount's own log. One READDIR shows all sizes, so what it costs to know
 * what is done grows with what changed.
 *
 * The own log keeps the name of this mount's first incarnation. Records go into the own index at once and to the disk as soon as the append
 * before them is acknowledged. After an append that may stand there in part or twice, the next begins with a newline, and the log is read
 * again from there like another node's, so that the places of records are known again.
 */
#include "queue/inner.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "queue/ticket.h"

#define PIECE (1024 * 1024)
#define PIECES 8

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

uint32_t logs_get_locked(struct queue *queue, const char *node)
{
	uint32_t index = (uint32_t)(uintptr_t)map_get_str(&queue->log_by_node, node), of = nodes_get_locked(queue, node);
	struct log_state *logs;

	if (index || !of)
		return index;
	logs = realloc(queue->logs, (queue->log_count + 1) * sizeof(*logs));
	if (!logs)
		return 0;
	queue->logs = logs;
	if (map_set_str(&queue->log_by_node, node, (void *)(uintptr_t)(queue->log_count + 1), NULL) < 0)
		return 0;
	logs[queue->log_count] = (struct log_state) { .node = of };
	return ++queue->log_count;
}

/* ---- records into the index ---- */

static double number_value(const char *values, const char *name)
{
	char text[40];
	const char *value;
	size_t len;

	value = record_find_value(values, name, &len);
	if (!value || len == 0 || len >= sizeof(text))
		return 0;
	memcpy(text, value, len);
	text[len] = '\0';
	return strtod(text, NULL) > 0 ? strtod(text, NULL) : 0;
}

/* Where the time went: sums for progress. */
static void spend(struct queue *queue, const struct record *record)
{
	if (!record->values || !record->values[0])
		return;
	queue->has_spent = true;
	queue->wall_s += number_value(record->values, "wall");
	queue->user_s += number_value(record->values, "user");
	queue->sys_s += number_value(record->values, "sys");
	queue->in_bytes += number_value(record->values, "in");
	queue->out_bytes += number_value(record->values, "out");
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

static int apply_mark(struct queue *queue, const struct record *record, uint64_t ref, uint32_t node, const struct index_clock *clock)
{
	uint32_t unit = units_get(&queue->index.units, &record->unit);
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
	/* Counted for its node the first time that it, not hearsay, is met: a marker that was listed before is no reason not to. */
	counts = !is_hearsay(record) && !at->attempt;
	/* The record of who did it stands for the unit, not that of one who found it done. */
	if (!at->record || !is_hearsay(record)) {
		at->record = ref;
		at->attempt = is_hearsay(record) ? 0 : attempt_of(record);
		at->ticket = ticket_size_of_record(queue, unit, record, node ? queue->nodes[node - 1].name : NULL);
		if (record->time > 0 && record->time < UINT32_MAX)
			at->changed = (uint32_t)record->time;
	}
	if (counts) {
		spend(queue, record);
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

static int apply(struct queue *queue, const struct record *record, uint64_t ref, uint32_t node, const struct index_clock *clock)
{
	uint32_t unit;

	if (node && record->time > queue->nodes[node - 1].last_record)
		queue->nodes[node - 1].last_record = record->time;
	if (record->what == RECORD_DONE || record->what == RECORD_FAILED)
		return apply_mark(queue, record, ref, node, clock);
	if (record->what == RECORD_LOST) {
		if (node)
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

	if (log_allowed(&last))
		log_warn("queue: log of node %s: the line at byte %llu is not a record, so it is left out",
			 queue->nodes[queue->logs[log].node - 1].name, (unsigned long long)offset);
}

/* Takes in the whole lines of what was read at `consumed`. Under the lock. */
static int consume(struct queue *queue, uint32_t log, char *data, size_t len)
{
	struct index_clock clock;
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
		error = record_parse(line, (size_t)(end - line), &record);
		if (error == -EINVAL)
			bad_line(queue, log, offset);
		if (error == -EINVAL || error == -ENODATA)
			error = 0;
		else if (!error)
			error = apply(queue, &record, (uint64_t)(log + 1) << LOGS_REF_BITS | offset, queue->logs[log].node, &clock);
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
	uint32_t log = 0;

	if (!layout_node_good(name->name, name->len) || !S_ISREG(name->attrs.mode))
		return true;
	pthread_mutex_lock(&queue->lock);
	log = logs_get_locked(queue, name->name);
	if (log) {
		struct log_state *state = &queue->logs[log - 1];

		/* Shorter than what was read: somebody cut it. Records are idempotent, so it is read again. */
		if (name->attrs.size < state->consumed && !state->own)
			state->consumed = 0;
		state->listed = name->attrs.size;
	}
	pthread_mutex_unlock(&queue->lock);
	return log != 0;
}

/* One flight: a piece of each of up to PIECES logs that have grown. How many there were, or -errno. */
static int read_pieces(struct queue *queue, struct flight *flight, struct buf *pieces)
{
	uint32_t logs[PIECES], i, count = 0;
	char path[LAYOUT_PATH];
	int error = 0;

	flight_reset(flight);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < queue->log_count && count < PIECES; i++) {
		const struct log_state *state = &queue->logs[i];
		uint64_t more = state->listed > state->consumed ? state->listed - state->consumed : 0;

		if (!more || state->own)
			continue;
		layout_log(path, queue->nodes[state->node - 1].name);
		buf_reset(&pieces[count]);
		flight_read(flight, path, state->consumed, more < PIECE ? (size_t)more : PIECE, &pieces[count]);
		logs[count++] = i;
	}
	pthread_mutex_unlock(&queue->lock);
	flight_run(flight, queue->store);
	for (i = 0; i < count && !error; i++) {
		error = flight_error(flight, i) ? flight_error(flight, i) : buf_error(&pieces[i]);
		if (error && error != -ENOENT)
			break;
		error = 0;
		pthread_mutex_lock(&queue->lock);
		if (pieces[i].len)
			error = consume(queue, logs[i], pieces[i].data, pieces[i].len);
		/* A part of a line is read again once the rest of it is listed. */
		if (pieces[i].len < PIECE)
			queue->logs[logs[i]].listed = 0;
		pthread_mutex_unlock(&queue->lock);
	}
	return error ? error : (int)count;
}

int logs_refresh(struct queue *queue)
{
	struct buf pieces[PIECES] = { BUF_INIT };
	struct flight flight = FLIGHT_INIT;
	int count, error;
	size_t i;

	error = store_list(queue->store, LAYOUT_LOG, take_log, queue);
	if (error == -ENOENT)
		return 0;
	if (error)
		return error;
	do
		count = read_pieces(queue, &flight, pieces);
	while (count > 0);
	for (i = 0; i < PIECES; i++)
		buf_release(&pieces[i]);
	flight_release(&flight);
	pthread_mutex_lock(&queue->lock);
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
	return count;
}

int logs_read(struct queue *queue, uint64_t ref, struct buf *text, struct record *ret_record, char ret_node[LAYOUT_MAX_NODE + 1])
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH], *newline;
	uint32_t log = (uint32_t)(ref >> LOGS_REF_BITS);
	bool own = false;
	int error;

	pthread_mutex_lock(&queue->lock);
	if (log == 0 || log > queue->log_count) {
		pthread_mutex_unlock(&queue->lock);
		return -ENOENT;
	}
	strcpy(ret_node, queue->nodes[queue->logs[log - 1].node - 1].name);
	own = log == queue->log_index;
	pthread_mutex_unlock(&queue->lock);
	if (own)
		logs_flush(queue);
	layout_log(path, ret_node);
	flight_read(&flight, path, ref & ((1ULL << LOGS_REF_BITS) - 1), RECORD_MAX_LINE, text);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0) ? flight_error(&flight, 0) : buf_error(text);
	flight_release(&flight);
	if (error)
		return error;
	newline = text->len ? memchr(text->data, '\n', text->len) : NULL;
	return newline ? record_parse(text->data, (size_t)(newline - text->data), ret_record) : -ENODATA;
}

/* ---- the own log ---- */

static uint32_t own_log_locked(struct queue *queue)
{
	if (queue->log_index)
		return queue->log_index;
	if (!lease_node(queue->lease, queue->log_node, NULL))
		return 0;
	queue->log_index = logs_get_locked(queue, queue->log_node);
	if (queue->log_index)
		queue->logs[queue->log_index - 1].own = true;
	return queue->log_index;
}

void logs_add_locked(struct queue *queue, const struct record *record)
{
	uint32_t log = own_log_locked(queue), node = log ? queue->logs[log - 1].node : 0;
	uint64_t offset = queue->log_size + queue->log_sending.len + queue->log_text.len;
	struct index_clock clock;

	/* Memory short or no identity: the marker says it, the next claim finds it. */
	if (log && record_format(record, &queue->log_text) < 0)
		buf_truncate(&queue->log_text, (size_t)(offset - queue->log_size - queue->log_sending.len));
	queue_clock(queue, &clock);
	apply(queue, record, log ? (uint64_t)log << LOGS_REF_BITS | offset : 0, node, &clock);
	queue_changed_locked(queue);
	keeper_wake_locked(queue);
}

static int open_log(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	int error, tries;

	layout_log(path, queue->log_node);
	/* The name is this node's alone, so a second try needs no O_EXCL. */
	for (tries = 0; tries < 2; tries++) {
		error = store_open(queue->store, path, O_WRONLY | O_APPEND | O_CREAT, &queue->log_file);
		if (error != -ENOENT)
			break;
		flight_mkdir(&flight, LAYOUT_LOG);
		flight_run(&flight, queue->store);
		flight_reset(&flight);
	}
	flight_release(&flight);
	return error;
}

/* Appends what is in log_sending. The caller has log_busy. *ret_size is the log's size then; 0: not known. */
static int send_log(struct queue *queue, uint64_t *ret_size)
{
	struct flight flight = FLIGHT_INIT;
	size_t append, stat;
	int error = 0;

	if (!queue->log_file)
		error = open_log(queue);
	if (error)
		return error;
	append = flight_append(&flight, queue->log_file, queue->log_sending.data, queue->log_sending.len);
	stat = flight_fstat(&flight, queue->log_file);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, append);
	*ret_size = flight_error(&flight, stat) ? 0 : flight_op(&flight, stat)->attrs.size;
	flight_release(&flight);
	if (error == -ENOENT || error == -ESTALE) {
		/* The file was removed: a new one at the next try. */
		store_close(queue->store, queue->log_file);
		queue->log_file = NULL;
	}
	return error;
}

/* What is to be sent next goes to log_sending: what could not be sent before, else all that has come since. */
static int fill_sending_locked(struct queue *queue)
{
	struct buf text = BUF_INIT;

	if (queue->log_sending.len) {
		if (!queue->log_unsure || queue->log_sending.data[0] == '\n')
			return 0;
		buf_addch(&text, '\n');
		buf_add(&text, queue->log_sending.data, queue->log_sending.len);
		if (buf_error(&text)) {
			buf_release(&text);
			return -ENOMEM;
		}
		buf_release(&queue->log_sending);
		queue->log_sending = text;
		return 0;
	}
	text = queue->log_sending;
	queue->log_sending = queue->log_text;
	queue->log_text = text;
	return 0;
}

static void sent_locked(struct queue *queue, uint64_t size)
{
	struct log_state *log = &queue->logs[queue->log_index - 1];
	uint64_t expected = queue->log_size + queue->log_sending.len;

	if (queue->log_unsure || (size && size != expected)) {
		/* Records do not stand where they were thought to: from here on it is read like another node's log. */
		if (log->own)
			log->consumed = queue->log_size;
		log->own = false;
		queue->log_unsure = false;
		queue->log_size = size ? size : expected;
	} else {
		queue->log_size = expected;
	}
	buf_reset(&queue->log_sending);
}

int logs_flush(struct queue *queue)
{
	uint64_t size = 0;
	int error;

	pthread_mutex_lock(&queue->lock);
	while (queue->log_busy)
		pthread_cond_wait(&queue->changed, &queue->lock);
	error = fill_sending_locked(queue);
	if (error || !queue->log_sending.len || !queue->log_index) {
		pthread_mutex_unlock(&queue->lock);
		return error;
	}
	queue->log_busy = true;
	pthread_mutex_unlock(&queue->lock);
	error = send_log(queue, &size);
	pthread_mutex_lock(&queue->lock);
	queue->log_busy = false;
	if (error)
		queue->log_unsure = true;
	else
		sent_locked(queue, size);
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	return error;
}
