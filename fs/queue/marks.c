/*
 * marks: is a unit that is being claimed set aside, or has its next generation begun? Both are looked at after the claims' LINKs, in the same flight:
 *
 *   failed/ or redo/ was never seen at rest, or it is for one claim,
 *   or other clients of the disk may have changed them (one_host)        LSTAT failed/UNIT.G and redo/UNIT.(G+1) of each
 *   else, for all claims of the flight                                   LSTAT failed/ and redo/
 *         as they were when they were listed (refresh.c)                 what they hold is in the index
 *         changed since                                                  LSTAT of each after all, in one more flight
 */
#include "queue/inner.h"

static void add_names(struct flight *flight, struct attempt *attempt)
{
	const struct layout_claim *claim = &attempt->held->claim;
	char path[LAYOUT_PATH];

	layout_failed(path, &claim->unit, claim->generation);
	attempt->failed = flight_lstat(flight, path);
	layout_redo(path, &claim->unit, claim->generation + 1);
	attempt->redo = flight_lstat(flight, path);
}

void marks_begin(struct queue *queue, size_t count, struct marks *ret_marks)
{
	pthread_mutex_lock(&queue->lock);
	*ret_marks = (struct marks) { .failed_mtime = queue->failed_mtime, .redo_mtime = queue->redo_mtime };
	pthread_mutex_unlock(&queue->lock);
	ret_marks->at_rest = queue->options.one_host && count > 1 && ret_marks->failed_mtime != INT64_MIN && ret_marks->redo_mtime != INT64_MIN;
}

void marks_add(const struct marks *marks, struct flight *flight, struct attempt *attempt)
{
	if (!marks->at_rest)
		add_names(flight, attempt);
}

void marks_add_last(struct marks *marks, struct flight *flight)
{
	if (!marks->at_rest)
		return;
	marks->failed = flight_lstat(flight, LAYOUT_FAILED);
	marks->redo = flight_lstat(flight, LAYOUT_REDO);
}

static bool is_unchanged(const struct store_op *dir, int64_t mtime)
{
	return !dir->error && dir->attrs.mtime == mtime;
}

enum look flight_look(const struct flight *flight, size_t op)
{
	int error = flight_error(flight, op);

	return error == 0 ? LOOK_THERE : error == -ENOENT ? LOOK_ABSENT : LOOK_UNKNOWN;
}

static void take_answers(const struct flight *flight, struct attempt *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		list[i].looked_ns = flight_op(flight, list[i].redo)->received_ns;
		list[i].is_failed = flight_look(flight, list[i].failed);
		list[i].is_redone = flight_look(flight, list[i].redo);
	}
}

/* The listing was taken in before the LINKs were sent, so what it showed of these units is known by now. */
static void take_index(struct queue *queue, struct attempt *list, size_t count, int64_t looked_ns)
{
	size_t i;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		const struct unit *unit = units_at(&queue->index.units, list[i].unit);
		uint32_t generation = list[i].held->claim.generation;

		list[i].looked_ns = looked_ns;
		list[i].is_redone = unit->generation > generation ? LOOK_THERE : LOOK_ABSENT;
		list[i].is_failed = unit->generation == generation && (unit->flags & UNIT_FAILED) ? LOOK_THERE : LOOK_ABSENT;
	}
	pthread_mutex_unlock(&queue->lock);
}

static void look_at_each(struct queue *queue, struct attempt *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	size_t i;

	for (i = 0; i < count; i++)
		add_names(&flight, &list[i]);
	flight_run(&flight, queue->store);
	take_answers(&flight, list, count);
	flight_release(&flight);
}

void marks_end(struct queue *queue, const struct marks *marks, const struct flight *flight, struct attempt *list, size_t count)
{
	const struct store_op *failed = flight_op(flight, marks->failed), *redo = flight_op(flight, marks->redo);

	if (!marks->at_rest)
		take_answers(flight, list, count);
	else if (is_unchanged(failed, marks->failed_mtime) && is_unchanged(redo, marks->redo_mtime))
		take_index(queue, list, count, redo->received_ns);
	else
		look_at_each(queue, list, count);
}
