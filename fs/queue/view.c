/*
 * view: what ls shows of todo/, claims/, done/ and failed/. Sizes of tickets are exact, so what a ticket needs from the disk (the owner of a
 * claim, a record that was not read with its log) is fetched before, for a whole batch of entries in one flight.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "queue/owner.h"
#include "queue/ticket.h"
#include "queue/view.h"

#define BATCH 256			/* entries collected under the lock */
#define PLAIN_BATCH 64			/* the same without attributes: what does not fit into the answer was in vain */
#define WALK 8192			/* places walked under the lock */
#define ID_DIR (1ULL << 40)

/* ---- what the disk must be asked for ---- */

/* The slot of the claim that a claimed unit's ticket is about. */
static struct index_claim *live_claim(struct queue *queue, uint32_t unit)
{
	struct index_chance chance;
	struct index_clock clock;

	queue_clock(queue, &clock);
	index_chance(&queue->index, unit, &clock, &chance);
	return chance.highest == UNITS_NONE ? NULL : &queue->index.claims[chance.highest];
}

struct fetch {
	uint32_t unit;
	struct layout_claim claim;
	bool owner;			/* of a claim; else the text of a failed unit */
	size_t op;
	struct buf text;
};

static bool needs_fetch(struct queue *queue, uint32_t unit, struct fetch *fetch)
{
	const struct unit *at = units_at(&queue->index.units, unit);
	const struct index_claim *claim;

	*fetch = (struct fetch) { .unit = unit };
	if (at->state == QUEUE_CLAIMS) {
		claim = live_claim(queue, unit);
		if (!claim || claim->owner)
			return false;
		fetch->owner = true;
		fetch->claim = (struct layout_claim) { at->hash, claim->generation, claim->number };
		return true;
	}
	fetch->claim = (struct layout_claim) { at->hash, at->generation, 0 };
	return at->state == QUEUE_FAILED && !at->ticket && !at->record;
}

static void take_owner(struct queue *queue, const struct fetch *fetch)
{
	struct index_claim *claim = index_claim_find(&queue->index, fetch->unit, fetch->claim.generation, fetch->claim.number);
	struct owner owner;

	if (!claim || owner_parse(buf_text(&fetch->text), fetch->text.len, &owner) < 0)
		return;
	claim->owner = nodes_get_locked(queue, owner.node);
	claim->pid = owner.pid;
}

static void take_failed(struct queue *queue, struct fetch *fetch)
{
	char *newline = fetch->text.len ? memchr(fetch->text.data, '\n', fetch->text.len) : NULL;
	struct unit *at = units_at(&queue->index.units, fetch->unit);
	struct record record;

	if (newline && record_parse(fetch->text.data, (size_t)(newline - fetch->text.data), &record) == 0 &&
	    record.what == RECORD_FAILED && hash128_equal(&record.unit, &at->hash)) {
		record.time = at->changed;
		at->ticket = ticket_size_of_record(queue, fetch->unit, &record, NULL);
	}
}

void view_prepare(struct queue *queue, const uint32_t *units, size_t count)
{
	struct fetch *list = calloc(count, sizeof(*list));
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i, wanted = 0;

	if (!list)
		return;
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++)
		wanted += needs_fetch(queue, units[i], &list[wanted]);
	pthread_mutex_unlock(&queue->lock);
	for (i = 0; i < wanted; i++) {
		if (list[i].owner)
			layout_claim(path, &list[i].claim);
		else
			layout_failed(path, &list[i].claim.unit, list[i].claim.generation);
		list[i].op = flight_read(&flight, path, 0, list[i].owner ? OWNER_MAX_BYTES : RECORD_MAX_LINE, &list[i].text);
	}
	flight_run(&flight, queue->store);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < wanted; i++) {
		if (!flight_error(&flight, list[i].op) && !buf_error(&list[i].text)) {
			if (list[i].owner)
				take_owner(queue, &list[i]);
			else
				take_failed(queue, &list[i]);
		}
		buf_release(&list[i].text);
	}
	pthread_mutex_unlock(&queue->lock);
	flight_release(&flight);
	free(list);
}

/* ---- tickets ---- */

struct facts {
	struct ticket ticket;
	struct buf name, input, why;
	char key[HASH_HEX_LEN + 1];
	char node[LAYOUT_MAX_NODE + 1];
	char claim[LAYOUT_PATH];
};

static void facts_release(struct facts *facts)
{
	buf_release(&facts->name);
	buf_release(&facts->input);
	buf_release(&facts->why);
}

static void add_claim_facts(struct queue *queue, uint32_t unit, struct facts *facts)
{
	const struct index_claim *claim = live_claim(queue, unit);

	if (!claim)
		return;
	facts->ticket.since = units_at(&queue->index.units, unit)->changed;
	facts->ticket.pid = claim->pid;
	layout_claim(facts->claim, &(struct layout_claim){ units_at(&queue->index.units, unit)->hash, claim->generation, claim->number });
	facts->ticket.claim = facts->claim + strlen(LAYOUT_CLAIMS "/");
	if (claim->owner) {
		strcpy(facts->node, queue->nodes[claim->owner - 1].name);
		facts->ticket.node = facts->node;
	}
}

/* What the index knows. 0 or -errno. */
static int facts_load(struct queue *queue, uint32_t unit, struct facts *facts)
{
	const struct unit *at = units_at(&queue->index.units, unit);
	struct index_chance chance;
	struct index_clock clock;
	int error;

	memset(facts, 0, sizeof(*facts));
	error = index_name(&queue->index, unit, &facts->name);
	if (!error)
		error = index_input(&queue->index, facts->name.data, &facts->input);
	if (error)
		return error;
	queue_clock(queue, &clock);
	index_chance(&queue->index, unit, &clock, &chance);
	facts->ticket = (struct ticket) {
		.state = (enum queue_state)at->state, .unit = facts->name.data, .input = facts->input.data, .since = at->changed,
		.attempt = at->state == QUEUE_TODO || at->state == QUEUE_CLAIMS ? chance.attempts + chance.hedged : at->attempt,
	};
	if (queue->conf.key != QCONF_KEY_CONTENT) {
		hash128_hex(&at->hash, facts->key);
		facts->ticket.key = facts->key;
	}
	if (at->state == QUEUE_CLAIMS)
		add_claim_facts(queue, unit, facts);
	return 0;
}

static uint64_t size_locked(struct queue *queue, uint32_t unit)
{
	const struct unit *at = units_at(&queue->index.units, unit);
	struct facts facts;
	uint64_t size = 0;

	if (at->ticket)
		return at->ticket;
	if (facts_load(queue, unit, &facts) == 0)
		size = ticket_size(&facts.ticket);
	facts_release(&facts);
	return size;
}

static void add_record(struct facts *facts, const struct record *record, const char *node)
{
	hash128_hex(&record->key, facts->key);
	facts->ticket.key = facts->key;
	facts->ticket.attempt = record->attempt;
	facts->ticket.since = record->time;
	facts->ticket.values = record->values;
	facts->ticket.node = node;
	if (record->values && record_value(record->values, "why", &facts->why) == 0)
		facts->ticket.why = facts->why.data;
}

/* The record of a done or failed unit from its log, or from failed/UNIT.G. `text` holds its bytes. */
static int read_record(struct queue *queue, const struct unit *unit, struct buf *text, struct record *ret_record, char ret_node[LAYOUT_MAX_NODE + 1])
{
	char path[LAYOUT_PATH];
	int error;

	ret_node[0] = '\0';
	if (unit->record)
		return logs_read(queue, unit->record, text, ret_record, ret_node);
	if (unit->state != QUEUE_FAILED)
		return -ENOENT;
	layout_failed(path, &unit->hash, unit->generation);
	error = logs_read_line(queue, path, 0, text, ret_record);
	if (!error)
		ret_record->time = unit->changed;
	return error;
}

/* The log is gone: a refresh finds the one that it was merged into, and with it the record's new place. */
static int read_merged(struct queue *queue, uint32_t index, uint64_t old, struct buf *text, struct record *ret_record,
		       char ret_node[LAYOUT_MAX_NODE + 1])
{
	uint64_t record;
	int error = queue_refresh(queue, 0);

	pthread_mutex_lock(&queue->lock);
	record = units_at(&queue->index.units, index)->record;
	pthread_mutex_unlock(&queue->lock);
	buf_reset(text);
	if (!error && record && record != old)
		return logs_read(queue, record, text, ret_record, ret_node);
	return error ? error : -ENOENT;
}

/* The unit's copy `unit` was made under the lock. */
static int write_ticket(struct queue *queue, uint32_t index, const struct unit *unit, struct facts *facts, struct buf *ret_text)
{
	char node[LAYOUT_MAX_NODE + 1];
	struct buf text = BUF_INIT;
	struct record record;
	int error;

	if (unit->state == QUEUE_DONE || unit->state == QUEUE_FAILED) {
		error = read_record(queue, unit, &text, &record, node);
		if (error == -ENOENT && unit->record)
			error = read_merged(queue, index, unit->record, &text, &record, node);
		if (!error && hash128_equal(&record.unit, &unit->hash) && record.generation == unit->generation) {
			add_record(facts, &record, node[0] ? node : NULL);
		} else {
			/* Its record is not where it was: the ticket has less to say from now on. */
			pthread_mutex_lock(&queue->lock);
			units_at(&queue->index.units, index)->ticket = 0;
			if (unit->record == units_at(&queue->index.units, index)->record)
				units_at(&queue->index.units, index)->record = 0;
			pthread_mutex_unlock(&queue->lock);
		}
	}
	error = ticket_format(&facts->ticket, ret_text);
	buf_release(&text);
	return error;
}

int queue_ticket(struct queue *queue, enum queue_state state, const char *name, struct buf *ret_text)
{
	struct facts facts = { .name = BUF_INIT };
	struct unit copy;
	uint32_t unit;
	int error;

	error = queue_refresh(queue, queue->options.ttl_ns);
	if (error)
		return error;
	pthread_mutex_lock(&queue->lock);
	unit = index_find(&queue->index, name);
	pthread_mutex_unlock(&queue->lock);
	if (unit == UNITS_NONE)
		return -ENOENT;
	view_prepare(queue, &unit, 1);
	pthread_mutex_lock(&queue->lock);
	copy = *units_at(&queue->index.units, unit);
	error = copy.state == state ? facts_load(queue, unit, &facts) : -ENOENT;
	pthread_mutex_unlock(&queue->lock);
	if (!error)
		error = write_ticket(queue, unit, &copy, &facts, ret_text);
	facts_release(&facts);
	return error;
}

/* ---- entries ---- */

static void dir_entry(const struct index_dir *dir, enum queue_state state, struct queue_entry *ret_entry)
{
	*ret_entry = (struct queue_entry) { .kind = QUEUE_DIR, .id = ID_DIR | dir->index, .mtime = dir->changed[state] };
}

static void unit_entry(struct queue *queue, uint32_t unit, bool stat, struct queue_entry *ret_entry)
{
	*ret_entry = (struct queue_entry) { .kind = QUEUE_TICKET, .id = (uint64_t)unit + 1 };
	if (stat) {
		ret_entry->size = size_locked(queue, unit);
		ret_entry->mtime = units_at(&queue->index.units, unit)->changed;
	}
}

static uint32_t find_in_state(struct queue *queue, enum queue_state state, const char *name)
{
	uint32_t unit = index_find(&queue->index, name);

	return unit != UNITS_NONE && units_at(&queue->index.units, unit)->state == state ? unit : UNITS_NONE;
}

int queue_look(struct queue *queue, enum queue_state state, const char *name, struct queue_entry *ret_entry)
{
	const struct index_dir *dir;
	uint32_t unit;
	int error;

	error = queue_refresh(queue, queue->options.ttl_ns);
	if (error)
		return error;
	pthread_mutex_lock(&queue->lock);
	*ret_entry = (struct queue_entry) { .kind = QUEUE_NOTHING };
	dir = index_find_dir(&queue->index, name);
	if (dir)
		dir_entry(dir, state, ret_entry);
	unit = dir ? UNITS_NONE : find_in_state(queue, state, name);
	pthread_mutex_unlock(&queue->lock);
	if (unit == UNITS_NONE)
		return 0;
	view_prepare(queue, &unit, 1);
	pthread_mutex_lock(&queue->lock);
	unit = find_in_state(queue, state, name);
	if (unit != UNITS_NONE)
		unit_entry(queue, unit, true, ret_entry);
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

/* ---- listings ---- */

struct listed {
	uint32_t entry;			/* as in the directory's array */
	uint64_t cursor, next;
	const char *name;
	struct queue_entry show;
};

static bool shows(struct queue *queue, const struct index_dir *dir, uint32_t entry, enum queue_state state, struct listed *ret)
{
	const struct index_dir *sub;
	const struct unit *at;
	const char *slash;

	if (entry & INDEX_DIR_BIT) {
		sub = queue->index.dirs[entry & ~INDEX_DIR_BIT];
		slash = strrchr(sub->path, '/');
		ret->name = slash ? slash + 1 : sub->path;
		dir_entry(sub, state, &ret->show);
		return !sub->gone && sub->counts[state] > 0;
	}
	at = units_at(&queue->index.units, entry);
	if (at->state != state || at->dir != dir->index)
		return false;
	/* Names never move in memory: it may be shown without the lock. */
	ret->name = units_name(&queue->index.units, at->name);
	unit_entry(queue, entry, false, &ret->show);
	return true;
}

/* The next places in this mount's order: at most `room`. *ret_end when there are no more. */
static size_t walk(struct queue *queue, const struct index_dir *dir, uint64_t *cursor, struct listed *list, size_t room, bool *ret_end)
{
	size_t count;

	for (count = 0; count < room; count++) {
		list[count].cursor = *cursor;
		list[count].entry = index_order(&queue->index, dir, cursor);
		list[count].next = *cursor;
		*ret_end = list[count].entry == UNITS_NONE;
		if (*ret_end)
			break;
		/* In a permutation of a million units each is a cache miss: those of a batch are fetched at once, and then their names. */
		if (!(list[count].entry & INDEX_DIR_BIT))
			__builtin_prefetch(units_at(&queue->index.units, list[count].entry));
	}
	return count;
}

/* The next entries that are in this state; *ret_end when there are no more. */
static size_t collect(struct queue *queue, const struct index_dir *dir, enum queue_state state, uint64_t *cursor, struct listed *list,
		      size_t room, bool *ret_end)
{
	size_t count = 0, walked, end, i;

	*ret_end = false;
	for (walked = 0; walked < WALK && count < room && !*ret_end; walked += room) {
		end = count + walk(queue, dir, cursor, list + count, room - count, ret_end);
		for (i = count; i < end; i++) {
			if (!shows(queue, dir, list[i].entry, state, &list[i]))
				continue;
			__builtin_prefetch(list[i].name);
			list[count++] = list[i];
		}
	}
	return count;
}

static void stat_all(struct queue *queue, struct listed *list, size_t count)
{
	uint32_t units[BATCH];
	size_t i, wanted = 0;

	for (i = 0; i < count; i++)
		if (!(list[i].entry & INDEX_DIR_BIT))
			units[wanted++] = list[i].entry;
	if (wanted)
		view_prepare(queue, units, wanted);
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++)
		if (!(list[i].entry & INDEX_DIR_BIT))
			unit_entry(queue, list[i].entry, true, &list[i].show);
	pthread_mutex_unlock(&queue->lock);
}

int queue_list(struct queue *queue, enum queue_state state, const char *path, uint64_t *cursor, bool stat, int64_t asked_ns, queue_emit *emit,
	       void *arg)
{
	struct listed *list;
	const struct index_dir *dir;
	bool end = false, full = false;
	size_t count, i;
	int error = 0;

	if (*cursor == 0)
		error = queue_refresh_since(queue, asked_ns - queue->options.ttl_ns);
	list = error ? NULL : malloc(BATCH * sizeof(*list));
	if (!list)
		return error ? error : -ENOMEM;
	while (!end && !full) {
		pthread_mutex_lock(&queue->lock);
		dir = index_find_dir(&queue->index, path);
		count = dir ? collect(queue, dir, state, cursor, list, stat ? BATCH : PLAIN_BATCH, &end) : 0;
		pthread_mutex_unlock(&queue->lock);
		if (!dir) {
			error = -ENOENT;
			break;
		}
		if (stat)
			stat_all(queue, list, count);
		for (i = 0; i < count && !full; i++) {
			full = !emit(arg, list[i].name, &list[i].show, list[i].next);
			if (full)
				*cursor = list[i].cursor;
		}
	}
	free(list);
	return error;
}
