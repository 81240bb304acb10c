/*
 * put: outputs whose bytes are here already, given with the line that ends their unit (queue/ctl.h), need no place in stage/: they are written below
 * tmp/ just before they are published, all of a batch in one flight.
 *
 *   PUT (open, write, fsync) tmp/NODE/put-N ─▶ published as what is staged is (publish.c)
 *        └─ never answered: under another name, once more; what came of the first one is swept
 *
 * A name is never used twice: what an old server process does late is done to a file that nobody looks at.
 */
#include "queue/inner.h"

#define PUT_TRIES 3

static bool is_wanted(const struct ending *ending)
{
	return !ending->settled && ending->finish->output && !ending->staged;
}

static void put_failed(struct queue *queue, struct ending *ending, int error)
{
	/* Where tmp/NODE is gone, so is all that was staged on this lease: others have to know that. */
	if (error == -ENOENT)
		publish_check_tmp(queue, ending->held);
	ending_settle(queue, ending, error == -ENOENT ? -EIO : error);
}

static void forget(struct queue *queue, const struct ending *ending)
{
	pthread_mutex_lock(&queue->lock);
	sweep_path_locked(queue, ending->source, false);
	pthread_mutex_unlock(&queue->lock);
}

/* True: some were not answered. */
static bool put_round(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	bool unanswered = false;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct queue_output *output = list[i].finish->output;

		if (!is_wanted(&list[i]))
			continue;
		layout_once(list[i].source, list[i].held->stand.node, "put", lease_once(queue->lease));
		list[i].put = true;
		list[i].op = flight_put(&flight, list[i].source, output->data, output->len, output->mode);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		int error = is_wanted(&list[i]) ? publish_fsync_error(flight_error(&flight, list[i].op)) : 0;

		if (!is_wanted(&list[i]))
			continue;
		list[i].staged = list[i].sized = !error;
		list[i].size = list[i].finish->output->len;
		if (error == STORE_UNKNOWN) {
			unanswered = true;
			forget(queue, &list[i]);
		} else if (error) {
			put_failed(queue, &list[i], error);
		}
	}
	flight_release(&flight);
	return unanswered;
}

void put_outputs(struct queue *queue, struct ending *list, size_t count)
{
	bool unanswered = true;
	int tries;
	size_t i;

	for (tries = 0; tries < PUT_TRIES && unanswered && !store_cancelled(queue->store); tries++)
		unanswered = put_round(queue, list, count);
	for (i = 0; i < count; i++)
		if (is_wanted(&list[i]))
			ending_settle(queue, &list[i], -EIO);
}

void put_sweep(struct queue *queue, struct ending *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (list[i].put && !list[i].published)
			forget(queue, &list[i]);
}
