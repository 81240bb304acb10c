/*
 * fail: a unit is set aside: failed/UNIT.G, made exclusively. Its text is the record's line, so that what the logs say can be read from it
 * when they are gone.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/pct.h"
#include "queue/record.h"

struct failure {
	struct record record;	/* its values are those below */
	struct buf values;
	struct buf text;
};

static void failure_release(struct failure *failure)
{
	buf_release(&failure->values);
	buf_release(&failure->text);
}

static int failure_init(struct failure *failure, struct queue *queue, const struct held *held, const char *values)
{
	*failure = (struct failure) { .record = held_record(queue, held, RECORD_FAILED) };
	if (values && record_values_good(values))
		buf_adds(&failure->values, values);
	if (held->asked_ns)
		held_add_size(&failure->values, "in", held->input.size);
	failure->record.values = failure->values.data;
	return buf_error(&failure->values) ? buf_error(&failure->values) : record_format(&failure->record, &failure->text);
}

static void create_all(struct queue *queue, struct ending *list, struct failure *failures, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count; i++) {
		if (list[i].settled)
			continue;
		layout_failed(path, &list[i].held->claim.unit, list[i].held->claim.generation);
		list[i].op = flight_create(&flight, path, failures[i].text.data, failures[i].text.len);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++)
		if (!list[i].settled)
			list[i].rename_error = flight_error(&flight, list[i].op);
	flight_release(&flight);
}

static void make_dir(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;

	flight_mkdir(&flight, LAYOUT_FAILED);
	flight_run(&flight, queue->store);
	flight_release(&flight);
}

/* The creation stopped between name and text, or may have: what is there is this mount's though it is not whole. */
static bool may_be_half_made(int error)
{
	return error == STORE_UNKNOWN || error == -ENOSPC;
}

/* failed/UNIT.G may be there: is the text this mount's? The name alone sets the unit aside, be it whole or not. 0, -EEXIST another's, -ENOENT. */
static int look_whose(struct queue *queue, const struct ending *ending, const struct buf *text)
{
	struct flight flight = FLIGHT_INIT;
	struct buf there = BUF_INIT;
	char path[LAYOUT_PATH];
	int error;

	layout_failed(path, &ending->held->claim.unit, ending->held->claim.generation);
	flight_read(&flight, path, 0, RECORD_MAX_LINE, &there);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, 0) ? flight_error(&flight, 0) : buf_error(&there);
	if (!error) {
		bool begins = there.len <= text->len && memcmp(buf_text(&there), text->data, there.len) == 0;

		error = begins && (there.len == text->len || may_be_half_made(ending->rename_error)) ? 0 : -EEXIST;
	}
	buf_release(&there);
	flight_release(&flight);
	return error;
}

static void settle_failed(struct queue *queue, struct ending *ending, const struct record *record, int error)
{
	struct held *held = ending->held;
	struct index_clock clock;
	char path[LAYOUT_PATH];

	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	if (!error)
		logs_add_locked(queue, record);
	else
		index_mark(&queue->index, held->unit, held->claim.generation, UNIT_FAILED);
	sweep_claims_locked(queue, &held->claim);
	if (held->makes) {
		layout_staged(path, held->stand.node, &held->claim);
		sweep_path_locked(queue, path, true);
	}
	index_update(&queue->index, held->unit, &clock, record->time);
	lease_end(queue->lease, &held->stand, 1);
	held_drop_locked(queue, held);
	ending->held = NULL;
	pthread_mutex_unlock(&queue->lock);
	ending_settle(queue, ending, error);
}

/* A hedge that fails leaves the unit to the attempt that it was made beside. */
static void drop_hedges(struct queue *queue, struct ending *list, size_t count)
{
	size_t i;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		if (list[i].settled || !held_is_hedge(list[i].held))
			continue;
		hedge_log_lost_locked(queue, list[i].held, list[i].finish->values);
		release_held_locked(queue, list[i].held, DEBT_FREE);
		list[i].held = NULL;
		ending_settle(queue, &list[i], 0);
	}
	pthread_mutex_unlock(&queue->lock);
}

void fail_claims(struct queue *queue, struct ending *list, size_t count)
{
	struct failure *failures = calloc(count, sizeof(*failures));
	size_t i;
	int tries;

	ending_check(queue, list, count);
	drop_hedges(queue, list, count);
	for (i = 0; i < count; i++) {
		int error = -ENOMEM;

		if (list[i].settled)
			continue;
		if (failures)
			error = failure_init(&failures[i], queue, list[i].held, list[i].finish->values);
		if (error)
			ending_settle(queue, &list[i], error);
	}
	for (tries = 0; tries < 3 && failures; tries++) {
		create_all(queue, list, failures, count);
		for (i = 0; i < count; i++) {
			int error = list[i].rename_error;

			if (list[i].settled)
				continue;
			if (error == -ENOENT && tries == 0) {
				make_dir(queue);
				continue;
			}
			if (error == STORE_FAILURE || error == -EEXIST || may_be_half_made(error))
				error = look_whose(queue, &list[i], &failures[i].text);
			if (error == -ENOENT && tries < 2 && list[i].rename_error == STORE_UNKNOWN)
				continue;
			if (!error || error == -EEXIST)
				settle_failed(queue, &list[i], &failures[i].record, error);
			else
				ending_settle(queue, &list[i], error != -ENOENT ? error : list[i].rename_error == -ENOSPC ? -ENOSPC : -EIO);
		}
	}
	for (i = 0; i < count; i++) {
		if (!list[i].settled)
			ending_settle(queue, &list[i], -EIO);
		if (failures)
			failure_release(&failures[i]);
	}
	free(failures);
}

int fail_exhausted(struct queue *queue, struct held *held, uint32_t attempts)
{
	struct buf why = BUF_INIT, values = BUF_INIT;
	struct failure failure = { 0 };
	struct flight flight = FLIGHT_INIT;
	struct index_clock clock;
	char path[LAYOUT_PATH];
	int error, tries;

	buf_addf(&why, "%u attempts were lost: their nodes went away, or their jobs took the worker with them", attempts);
	buf_adds(&values, "why=");
	pct_encode_value(&values, buf_text(&why), why.len);
	error = buf_error(&why) ? buf_error(&why) : buf_error(&values);
	if (!error)
		error = failure_init(&failure, queue, held, values.data);
	layout_failed(path, &held->claim.unit, held->claim.generation);
	for (tries = 0; !error && tries < 2; tries++) {
		flight_reset(&flight);
		flight_create(&flight, path, failure.text.data, failure.text.len);
		flight_lstat(&flight, path);
		flight_run(&flight, queue->store);
		error = flight_error(&flight, 0);
		if (error != -ENOENT)
			break;
		make_dir(queue);
		error = 0;
	}
	/* There already, or made without an answer: both are well, if it is there. */
	if (error == STORE_FAILURE || error == -EEXIST || may_be_half_made(error)) {
		flight_reset(&flight);
		flight_lstat(&flight, path);
		flight_run(&flight, queue->store);
		error = flight_error(&flight, 0) ? -EIO : 0;
	}
	if (!error) {
		pthread_mutex_lock(&queue->lock);
		queue_clock(queue, &clock);
		failure.record.attempt = attempts;
		logs_add_locked(queue, &failure.record);
		sweep_claims_locked(queue, &held->claim);
		pthread_mutex_unlock(&queue->lock);
	}
	buf_release(&why);
	buf_release(&values);
	failure_release(&failure);
	flight_release(&flight);
	return error;
}
