/*
 * held: the claims of this mount, found by name and by the place of their output.
 */
#include "queue/inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "queue/record.h"

#define HELD_SIZE_CHARS 22	/* of " =" and any number */

int held_new(struct queue *queue, uint32_t unit, const char *name, struct ctl *owner, struct held **ret_held)
{
	struct held *held = calloc(1, sizeof(*held));
	struct buf output = BUF_INIT, stage = BUF_INIT;
	int error = -ENOMEM;

	if (!held)
		return -ENOMEM;
	list_init(&held->link);
	held->unit = unit;
	held->owner = owner;
	error = qconf_output(&queue->conf, name, &output);
	if (!error)
		error = qconf_stage(&queue->conf, name, &stage);
	if (!error) {
		held->name = strdup(name);
		held->output = buf_detach(&output);
		held->stage = buf_detach(&stage);
		held->debt = malloc(sizeof(*held->debt));
		error = held->name && held->output && held->stage && held->debt ? 0 : -ENOMEM;
	}
	buf_release(&output);
	buf_release(&stage);
	if (error) {
		held_free(held);
		return error;
	}
	*ret_held = held;
	return 0;
}

void held_free(struct held *held)
{
	if (!held)
		return;
	free(held->name);
	free(held->output);
	free(held->stage);
	free(held->debt);
	free(held);
}

/* Counts the directories above an output up or down, so that stage/ shows them. Memory short: some are not shown. */
static void count_dirs(struct queue *queue, char *stage, int by)
{
	uintptr_t count;
	char *slash;

	for (slash = strchr(stage, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		count = (uintptr_t)map_get_str(&queue->stage_dirs, stage);
		if (by > 0)
			map_set_str(&queue->stage_dirs, stage, (void *)(count + 1), NULL);
		else if (count > 1)
			map_set_str(&queue->stage_dirs, stage, (void *)(count - 1), NULL);
		else
			map_remove_str(&queue->stage_dirs, stage);
		*slash = '/';
	}
}

int held_add_locked(struct queue *queue, struct held *held)
{
	if (map_get_str(&queue->held_by_stage, held->stage) || map_get_str(&queue->held_by_name, held->name))
		return -EBUSY;
	if (map_set_str(&queue->held_by_name, held->name, held, NULL) < 0)
		return -ENOMEM;
	if (map_set_str(&queue->held_by_stage, held->stage, held, NULL) < 0) {
		map_remove_str(&queue->held_by_name, held->name);
		return -ENOMEM;
	}
	count_dirs(queue, held->stage, 1);
	list_append(&queue->held, &held->link);
	return 0;
}

static void tell_hashed_end(struct queue *queue, const struct held *held)
{
	struct buf input = BUF_INIT;

	if (queue->options.hashed_end && index_input(&queue->index, held->name, &input) == 0)
		queue->options.hashed_end(queue->options.inputs_arg, input.data);
	buf_release(&input);
}

void held_drop_locked(struct queue *queue, struct held *held)
{
	struct unit *unit = units_at(&queue->index.units, held->unit);

	if (map_get_str(&queue->held_by_name, held->name) == held) {
		map_remove_str(&queue->held_by_name, held->name);
		map_remove_str(&queue->held_by_stage, held->stage);
		count_dirs(queue, held->stage, -1);
	}
	list_remove(&held->link);
	if (held->offered)
		tell_hashed_end(queue, held);
	if (held->claimed)
		unit->flags &= (uint8_t)~UNIT_HELD;
	held_free(held);
	queue_changed_locked(queue);
}

bool held_has_locked(const struct queue *queue, const struct layout_claim *claim)
{
	const struct list *at;

	list_for_each(at, &queue->held) {
		const struct held *held = list_entry(at, struct held, link);

		if (held->claim.number == claim->number && held->claim.generation == claim->generation &&
		    hash128_equal(&held->claim.unit, &claim->unit))
			return true;
	}
	return false;
}

struct held *held_find_locked(struct queue *queue, const char *name)
{
	struct held *held = map_get_str(&queue->held_by_name, name);

	return held && held->claimed ? held : NULL;
}

unsigned int queue_attempt(struct queue *queue, const char *name)
{
	const struct held *held;
	unsigned int attempt;

	pthread_mutex_lock(&queue->lock);
	held = held_find_locked(queue, name);
	attempt = held ? held->attempt : 0;
	pthread_mutex_unlock(&queue->lock);
	return attempt;
}

bool held_is_sure(struct queue *queue, const struct held *held)
{
	return !held->unanswered && lease_good(queue->lease, &held->stand);
}

const struct hash128 *held_key(const struct held *held)
{
	return held->has_key ? &held->key : &held->claim.unit;
}

void held_add_size(struct buf *values, const char *name, uint64_t bytes)
{
	size_t len;

	if (values->len + strlen(name) + HELD_SIZE_CHARS > RECORD_MAX_VALUES || record_find_value(values->data, name, &len))
		return;
	buf_addf(values, "%s%s=%" PRIu64, values->len > 0 ? " " : "", name, bytes);
}

struct record held_record(struct queue *queue, const struct held *held, enum record_what what)
{
	return (struct record) {
		.what = what, .unit = held->claim.unit, .key = *held_key(held), .generation = held->claim.generation,
		.attempt = held->attempt, .name = held->name, .time = queue_time(queue),
	};
}
