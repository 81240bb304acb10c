/*
 * queue_fake: queue/queue.h over a few units in memory, for the tests of what stands above it (ctl, virtual directories). To be included
 * by one test, in the place of the queue: it defines all of queue.h's functions.
 *
 * Units are claimed by the mount or by a session; `gate` holds queue_finish() back; what was called is kept for the test to look at.
 */
#ifndef CLAIMFS_TESTS_FAKE_QUEUE_FAKE_H
#define CLAIMFS_TESTS_FAKE_QUEUE_FAKE_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/queue.h"

#define FAKE_UNITS 128

struct fake_unit {
	char name[300];
	enum queue_state state;
	bool mine;			/* claimed by this mount */
	struct ctl *owner;
	int answer;			/* what the next queue_finish() says; 0: works */
	int released;
	int lost;
	char values[200];
	char output[200];		/* of a put: its bytes … */
	size_t output_len;
	unsigned int output_mode;	/* … and bits; 0: none came */
};

static struct fake {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fake_unit units[FAKE_UNITS];
	size_t count;
	bool gate;			/* queue_finish() waits while it is set */
	int waiting;			/* calls that wait: in queue_finish() at the gate, in queue_take() */
	size_t groups[256];		/* sizes of the calls of queue_finish() */
	size_t group_count;
	int opened;
	int closed;
	struct qconf conf;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

struct queue {
	struct store *store;
};

static inline void fake_reset(void)
{
	pthread_mutex_lock(&fake.lock);
	memset(fake.units, 0, sizeof(fake.units));
	fake.count = fake.group_count = 0;
	fake.gate = false;
	fake.waiting = fake.opened = fake.closed = 0;
	pthread_mutex_unlock(&fake.lock);
}

static inline struct fake_unit *fake_find(const char *name)
{
	size_t i;

	for (i = 0; i < fake.count; i++)
		if (strcmp(fake.units[i].name, name) == 0)
			return &fake.units[i];
	return NULL;
}

static inline struct fake_unit *fake_add(const char *name, enum queue_state state)
{
	struct fake_unit *unit;

	pthread_mutex_lock(&fake.lock);
	unit = &fake.units[fake.count++];
	memset(unit, 0, sizeof(*unit));
	strcpy(unit->name, name);
	unit->state = state;
	pthread_cond_broadcast(&fake.changed);
	pthread_mutex_unlock(&fake.lock);
	return unit;
}

/* A copy of what a unit is now. */
static inline struct fake_unit fake_unit(const char *name)
{
	struct fake_unit unit;

	pthread_mutex_lock(&fake.lock);
	unit = *fake_find(name);
	pthread_mutex_unlock(&fake.lock);
	return unit;
}

static inline void fake_set_gate(bool closed)
{
	pthread_mutex_lock(&fake.lock);
	fake.gate = closed;
	pthread_cond_broadcast(&fake.changed);
	pthread_mutex_unlock(&fake.lock);
}

static inline int fake_waiting(void)
{
	int waiting;

	pthread_mutex_lock(&fake.lock);
	waiting = fake.waiting;
	pthread_mutex_unlock(&fake.lock);
	return waiting;
}

/* ---- life ---- */

int queue_probe(struct store *store, struct qconf *ret_conf, struct buf *why)
{
	(void)store;
	(void)ret_conf;
	(void)why;
	return 0;
}

/* A queue.conf that begins with "bad" is broken. */
int queue_open(struct store *store, const struct queue_options *options, struct queue **ret_queue, struct buf *why)
{
	struct buf text = BUF_INIT;
	struct store_op op = { .kind = STORE_READ, .path = QCONF_PATH, .max = 4096, .data = &text };
	struct queue *queue;
	int error = 0;

	(void)options;
	if (store)
		store_run(store, &op, 1);
	if (store && (op.error || strncmp(buf_text(&text), "bad", 3) == 0)) {
		buf_adds(why, QCONF_PATH ":1: 'bad' is not known");
		error = op.error ? op.error : -EINVAL;
	}
	buf_release(&text);
	if (error)
		return error;
	queue = calloc(1, sizeof(*queue));
	queue->store = store;
	pthread_mutex_lock(&fake.lock);
	fake.opened++;
	pthread_mutex_unlock(&fake.lock);
	*ret_queue = queue;
	return 0;
}

void queue_close(struct queue *queue, int64_t timeout_ns)
{
	(void)timeout_ns;
	if (!queue)
		return;
	free(queue);
	pthread_mutex_lock(&fake.lock);
	fake.closed++;
	pthread_mutex_unlock(&fake.lock);
}

const struct qconf *queue_conf(const struct queue *queue)
{
	(void)queue;
	return &fake.conf;
}

int64_t queue_heartbeat_age(struct queue *queue)
{
	(void)queue;
	return -1;
}

/* ---- the view ---- */

static inline void fake_text(const struct fake_unit *unit, struct buf *to)
{
	buf_addf(to, "unit: %s\nstate: %d\n", unit->name, (int)unit->state);
}

static inline bool fake_is_dir(const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < fake.count; i++)
		if (len == 0 || (strncmp(fake.units[i].name, name, len) == 0 && fake.units[i].name[len] == '/'))
			return true;
	return len == 0;
}

int queue_look(struct queue *queue, enum queue_state state, const char *name, struct queue_entry *ret_entry)
{
	const struct fake_unit *unit;
	struct buf text = BUF_INIT;

	(void)queue;
	memset(ret_entry, 0, sizeof(*ret_entry));
	pthread_mutex_lock(&fake.lock);
	unit = fake_find(name);
	if (unit && unit->state == state) {
		fake_text(unit, &text);
		ret_entry->kind = QUEUE_TICKET;
		ret_entry->size = text.len;
		ret_entry->mtime = 1234;
	} else if (fake_is_dir(name)) {
		ret_entry->kind = QUEUE_DIR;
	}
	pthread_mutex_unlock(&fake.lock);
	buf_release(&text);
	return 0;
}

/* The entry of `dir` that a unit stands for: its base name, or the next directory on the way to it. False: none. */
static inline bool fake_entry(const struct fake_unit *unit, const char *dir, char *ret_name, struct queue_entry *ret_entry)
{
	size_t len = strlen(dir);
	const char *rest = unit->name;

	if (len > 0 && (strncmp(rest, dir, len) != 0 || rest[len] != '/'))
		return false;
	rest += len > 0 ? len + 1 : 0;
	strcpy(ret_name, rest);
	ret_name[strcspn(rest, "/")] = '\0';
	memset(ret_entry, 0, sizeof(*ret_entry));
	ret_entry->kind = strchr(rest, '/') ? QUEUE_DIR : QUEUE_TICKET;
	return true;
}

int queue_list(struct queue *queue, enum queue_state state, const char *dir, uint64_t *cursor, bool stat, int64_t asked_ns,
	       queue_emit *emit, void *arg)
{
	struct queue_entry entry, ignored;
	char name[300], other[300];
	size_t i, j;
	bool shown;

	(void)asked_ns;
	for (i = *cursor; i < fake.count; i++) {
		if (fake.units[i].state != state || !fake_entry(&fake.units[i], dir, name, &entry))
			continue;
		for (shown = false, j = 0; j < i && !shown; j++)
			shown = fake.units[j].state == state && fake_entry(&fake.units[j], dir, other, &ignored) && strcmp(name, other) == 0;
		if (shown)
			continue;
		if (stat && entry.kind == QUEUE_TICKET)
			queue_look(queue, state, fake.units[i].name, &entry);
		if (!emit(arg, name, &entry, i + 1))
			break;
		*cursor = i + 1;
	}
	return 0;
}

int queue_ticket(struct queue *queue, enum queue_state state, const char *name, struct buf *ret_text)
{
	const struct fake_unit *unit;
	int error = -ENOENT;

	(void)queue;
	pthread_mutex_lock(&fake.lock);
	unit = fake_find(name);
	if (unit && unit->state == state) {
		fake_text(unit, ret_text);
		error = 0;
	}
	pthread_mutex_unlock(&fake.lock);
	return error;
}

int queue_progress(struct queue *queue, bool json, struct buf *ret_text)
{
	(void)queue;
	buf_adds(ret_text, json ? "{}\n" : "all is well\n");
	return 0;
}

/* ---- verbs ---- */

static inline void fake_claim_locked(struct fake_unit *unit, struct ctl *owner)
{
	unit->state = QUEUE_CLAIMS;
	unit->mine = true;
	unit->owner = owner;
}

static inline int fake_take_locked(struct ctl *owner, int count, struct buf *ret_names, bool *ret_over)
{
	size_t i;
	int taken = 0;

	*ret_over = true;
	for (i = 0; i < fake.count && taken < count; i++) {
		if (fake.units[i].state == QUEUE_CLAIMS)
			*ret_over = false;
		if (fake.units[i].state != QUEUE_TODO)
			continue;
		fake_claim_locked(&fake.units[i], owner);
		buf_add(ret_names, fake.units[i].name, strlen(fake.units[i].name) + 1);
		taken++;
	}
	return taken;
}

int queue_take(struct queue *queue, struct ctl *owner, int count, bool wait, const bool *cancel, struct buf *ret_names)
{
	bool over;
	int taken;

	(void)queue;
	pthread_mutex_lock(&fake.lock);
	for (;;) {
		taken = fake_take_locked(owner, count, ret_names, &over);
		if (taken > 0 || !wait || over)
			break;
		if (cancel && __atomic_load_n(cancel, __ATOMIC_ACQUIRE)) {
			taken = -EINTR;
			break;
		}
		fake.waiting++;
		pthread_cond_wait(&fake.changed, &fake.lock);
		fake.waiting--;
	}
	pthread_mutex_unlock(&fake.lock);
	return taken;
}

unsigned int queue_attempt(struct queue *queue, const char *name)
{
	const struct fake_unit *unit;
	unsigned int attempt;

	(void)queue;
	pthread_mutex_lock(&fake.lock);
	unit = fake_find(name);
	attempt = unit ? (unsigned int)unit->lost + 1 : 0;
	pthread_mutex_unlock(&fake.lock);
	return attempt;
}

void queue_wake(struct queue *queue)
{
	(void)queue;
	pthread_mutex_lock(&fake.lock);
	pthread_cond_broadcast(&fake.changed);
	pthread_mutex_unlock(&fake.lock);
}

static inline int fake_change(const char *name, enum queue_state from, enum queue_state to, int otherwise)
{
	struct fake_unit *unit;
	int error = 0;

	pthread_mutex_lock(&fake.lock);
	unit = fake_find(name);
	if (!unit)
		error = -ENOENT;
	else if (unit->state != from)
		error = unit->state == QUEUE_CLAIMS ? -EBUSY : otherwise;
	else if (to == QUEUE_CLAIMS)
		fake_claim_locked(unit, NULL);
	else
		unit->state = to;
	pthread_mutex_unlock(&fake.lock);
	return error;
}

int queue_claim(struct queue *queue, const char *name)
{
	(void)queue;
	return fake_change(name, QUEUE_TODO, QUEUE_CLAIMS, -ENOENT);
}

int queue_claim_for(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names)
{
	int error = queue_claim(queue, name);

	if (error)
		return error;
	pthread_mutex_lock(&fake.lock);
	fake_claim_locked(fake_find(name), owner);
	pthread_mutex_unlock(&fake.lock);
	buf_add(ret_names, name, strlen(name) + 1);
	return 1;
}

/* Units that another mount works on: each may be hedged once. */
int queue_hedge_for(struct queue *queue, struct ctl *owner, const char *name, struct buf *ret_names)
{
	struct fake_unit *unit;
	size_t i;
	int error = -ENOENT;

	(void)queue;
	pthread_mutex_lock(&fake.lock);
	for (i = 0; i < fake.count && error; i++) {
		unit = &fake.units[i];
		if (unit->state != QUEUE_CLAIMS || (name && strcmp(unit->name, name) != 0))
			continue;
		error = unit->mine ? -EBUSY : 0;
		if (error)
			continue;
		fake_claim_locked(unit, owner);
		buf_add(ret_names, unit->name, strlen(unit->name) + 1);
	}
	pthread_mutex_unlock(&fake.lock);
	return error ? error : 1;
}

static inline void fake_finish_locked(struct queue_finish *finish)
{
	struct fake_unit *unit = fake_find(finish->name);

	if (!unit || !unit->mine || unit->state != QUEUE_CLAIMS || (finish->owner && unit->owner != finish->owner)) {
		finish->error = -EACCES;
		return;
	}
	finish->error = unit->answer;
	strncpy(unit->values, finish->values ? finish->values : "", sizeof(unit->values) - 1);
	if (finish->output && finish->output->len <= sizeof(unit->output)) {
		memcpy(unit->output, finish->output->data, finish->output->len);
		unit->output_len = finish->output->len;
		unit->output_mode = finish->output->mode;
	}
	strcpy(finish->node, "node\n2.1");
	if (finish->error || finish->verb == QUEUE_VERB_CHECK)
		return;
	unit->mine = false;
	unit->owner = NULL;
	unit->state = finish->verb == QUEUE_VERB_DONE ? QUEUE_DONE : finish->verb == QUEUE_VERB_FAIL ? QUEUE_FAILED : QUEUE_TODO;
	unit->released += finish->verb == QUEUE_VERB_RELEASE;
	unit->lost += finish->verb == QUEUE_VERB_LOSE;
}

void queue_finish(struct queue *queue, struct queue_finish *list, size_t count)
{
	size_t i;

	(void)queue;
	pthread_mutex_lock(&fake.lock);
	if (fake.group_count < sizeof(fake.groups) / sizeof(fake.groups[0]))
		fake.groups[fake.group_count++] = count;
	fake.waiting++;
	while (fake.gate)
		pthread_cond_wait(&fake.changed, &fake.lock);
	fake.waiting--;
	for (i = 0; i < count; i++)
		fake_finish_locked(&list[i]);
	pthread_cond_broadcast(&fake.changed);
	pthread_mutex_unlock(&fake.lock);
}

int queue_retry(struct queue *queue, const char *name)
{
	(void)queue;
	return fake_change(name, QUEUE_FAILED, QUEUE_TODO, -ENOENT);
}

int queue_redo(struct queue *queue, const char *name)
{
	(void)queue;
	return fake_change(name, QUEUE_DONE, QUEUE_TODO, -ENOENT);
}

int queue_mark_done(struct queue *queue, const char *name)
{
	(void)queue;
	return fake_change(name, QUEUE_TODO, QUEUE_DONE, -EEXIST);
}

/* ---- staging: stage/NAME is kept at tmp/NAME, its slashes made + ---- */

enum queue_kind queue_stage(struct queue *queue, const char *path, bool to_make, struct buf *ret_path)
{
	enum queue_kind kind = QUEUE_NOTHING;
	size_t i, len = strlen(path), at;

	(void)queue;
	(void)to_make;
	pthread_mutex_lock(&fake.lock);
	for (i = 0; i < fake.count && kind == QUEUE_NOTHING; i++) {
		const struct fake_unit *unit = &fake.units[i];

		if (unit->state != QUEUE_CLAIMS || !unit->mine)
			continue;
		if (strcmp(unit->name, path) == 0)
			kind = QUEUE_TICKET;
		else if (len == 0 || (strncmp(unit->name, path, len) == 0 && unit->name[len] == '/'))
			kind = QUEUE_DIR;
	}
	pthread_mutex_unlock(&fake.lock);
	if (len == 0)
		return QUEUE_DIR;
	if (kind == QUEUE_TICKET) {
		buf_adds(ret_path, "tmp/");
		at = ret_path->len;
		buf_adds(ret_path, path);
		for (; at < ret_path->len; at++)
			if (ret_path->data[at] == '/')
				ret_path->data[at] = '+';
	}
	return kind;
}

int queue_stage_list(struct queue *queue, const char *dir, queue_emit *emit, void *arg)
{
	struct queue_entry entry;
	char name[300];
	size_t i;

	(void)queue;
	for (i = 0; i < fake.count; i++)
		if (fake.units[i].state == QUEUE_CLAIMS && fake.units[i].mine && fake_entry(&fake.units[i], dir, name, &entry))
			if (!emit(arg, name, &entry, i + 1))
				break;
	return 0;
}

#endif
