/*
 * top_read: reads progress.json of every queue once an interval, and what is looked at closer. Never holds the lock while it reads.
 */
#include "tools/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"

#define MAX_FAILED 2000		/* names: more are not scrolled through */
#define MAX_TICKET (1u << 20)

void top_ask_locked(struct top *top)
{
	top->asked = true;
	pthread_cond_signal(&top->wake);
}

static void read_progress(struct top *top, struct top_queue *queue)
{
	struct progress_facts facts, old;
	int error = progress_read(queue->dir, &facts);

	pthread_mutex_lock(&top->lock);
	queue->error = error;
	if (!error) {
		old = queue->facts;
		queue->facts = facts;
		facts = old;
		queue->known = true;
		queue->read_ns = clock_now();
	}
	pthread_mutex_unlock(&top->lock);
	if (!error)
		progress_release(&facts);
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static void read_failures(struct top *top, struct top_queue *queue)
{
	struct names names = NAMES_INIT, old;
	struct buf dir = BUF_INIT;
	int error;

	buf_addf(&dir, "%s/failed", queue->dir);
	error = buf_error(&dir) ? buf_error(&dir) : names_walk(&names, buf_text(&dir), false, MAX_FAILED);
	if (names.count)
		qsort(names.list, names.count, sizeof(*names.list), compare_names);
	buf_release(&dir);
	pthread_mutex_lock(&top->lock);
	old = queue->failed;
	queue->failed = names;
	queue->failed_error = error;
	pthread_mutex_unlock(&top->lock);
	names_release(&old);
}

/* `unit` is the caller's copy; it becomes what the ticket is of. */
static void read_ticket(struct top *top, const struct top_queue *queue, char *unit)
{
	struct buf path = BUF_INIT, text = BUF_INIT;
	int error;

	buf_addf(&path, "%s/failed/%s", queue->dir, unit);
	error = buf_error(&path) ? buf_error(&path) : io_read_file(buf_text(&path), MAX_TICKET, &text);
	buf_release(&path);
	pthread_mutex_lock(&top->lock);
	buf_release(&top->ticket);
	top->ticket = text;
	if (error)
		buf_adds(&top->ticket, error == -ENOENT ? "it is not in failed/ any more\n" : "its ticket can't be read\n");
	free(top->ticket_is_of);
	top->ticket_is_of = unit;
	pthread_mutex_unlock(&top->lock);
}

static void wait_for_next(struct top *top, int64_t deadline_ns)
{
	pthread_mutex_lock(&top->lock);
	while (!top->asked && clock_now() < deadline_ns)
		clock_cond_wait(&top->wake, &top->lock, deadline_ns);
	top->asked = false;
	pthread_mutex_unlock(&top->lock);
}

static void *reader(void *arg)
{
	struct top *top = arg;
	struct top_queue *selected;
	char *unit;
	bool failures;
	int64_t begin;
	size_t i;

	for (;;) {
		begin = clock_now();
		for (i = 0; i < top->queue_count; i++)
			read_progress(top, &top->queues[i]);
		pthread_mutex_lock(&top->lock);
		failures = top->failures;
		selected = &top->queues[top->selected];
		pthread_mutex_unlock(&top->lock);
		if (failures)
			read_failures(top, selected);
		pthread_mutex_lock(&top->lock);
		unit = failures && top->ticket_of ? strdup(top->ticket_of) : NULL;
		pthread_mutex_unlock(&top->lock);
		if (unit)
			read_ticket(top, selected, unit);
		wait_for_next(top, begin + top->interval_ns);
	}
	return NULL;
}

int top_read_start(struct top *top)
{
	pthread_t thread;
	int error = pthread_mutex_init(&top->lock, NULL);

	if (!error)
		error = -clock_cond_init(&top->wake);
	if (!error)
		error = pthread_create(&thread, NULL, reader, top);
	if (!error)
		pthread_detach(thread);
	return -error;
}
