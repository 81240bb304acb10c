/*
 * keeper: the one thread of a queue besides its heartbeats. It writes the log, pays debts, sweeps, and looks at claims/ now and then while
 * others' live claims are known and somebody uses the queue: a claim is stale only after it was watched for a while. Or while a LINK of this
 * mount has no answer (heal.c).
 */
#include "queue/inner.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/owner.h"
#include "queue/remember.h"
#include "queue/share.h"

#define USED_NS (300 * NS_PER_S)	/* watch for so long after the last use */
#define REMEMBER_NS (60 * NS_PER_S)	/* write down what is known this often, if it changed */
#define REMEMBER_SHARE 50		/* and spend no more than this part of the time on it */
#define FLUSH_REST_NS (5 * NS_PER_MS)	/* records and removals of one burst travel together */
#define MARKER_REST 10			/* times as long as listing one of done/00 … ff took, for each so many nodes: */
#define MARKER_NODES 8			/* all of them together must not keep the host busy with it */
#define SWEEP_LEASES 10			/* look for what nodes long gone and late answers have left this often */

void keeper_wake_locked(struct queue *queue)
{
	pthread_cond_signal(&queue->work);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool in_use(const struct queue *queue, int64_t now)
{
	return queue->viewed_ns != INT64_MIN && now - queue->used_ns < USED_NS;
}

/* When the next claims listing is due; INT64_MAX: nobody needs one. */
static int64_t watch_due(const struct queue *queue, int64_t now)
{
	int64_t due = heal_due_locked(queue, now);

	if (!in_use(queue, now) || queue->index.counts[QUEUE_CLAIMS] == 0)
		return due;
	return earlier(due, queue->watched_ns + queue->conf.lease_ns / 4);
}

static bool log_waits(const struct queue *queue)
{
	return (queue->log_text.len || queue->log_sending.len) && queue->log_index;
}

static bool learned(const struct queue *queue)
{
	return queue->options.keep && queue->viewed_ns != INT64_MIN && queue->index.version != queue->remembered;
}

static int64_t due_locked(struct queue *queue, int64_t now)
{
	int64_t due = watch_due(queue, now);

	if (queue->share_due)
		return now;
	if (log_waits(queue))
		due = earlier(due, queue->flush_ns);
	if (!list_empty(&queue->debts))
		due = earlier(due, queue->debts_ns);
	if (!list_empty(&queue->dirt))
		due = earlier(due, queue->flush_ns);
	if (in_use(queue, now) && queue->marker_dir < 256)
		due = earlier(due, queue->markers_ns);
	if (in_use(queue, now) && queue->log_index)
		due = earlier(due, queue->sweep_ns);
	if (learned(queue))
		due = earlier(due, queue->remember_ns);
	return due;
}

/* ---- markers without a record: one directory of done/ at a time ---- */

struct markers {
	struct queue *queue;
	struct index_clock clock;
	char dir[3];
};

static bool take_marker(void *arg, const struct store_name *name)
{
	struct markers *markers = arg;
	struct queue *queue = markers->queue;
	struct hash128 hash;
	uint32_t generation, unit;

	if (layout_parse_marker(name->name, name->len, &hash, &generation) < 0 || strncmp(name->name, markers->dir, 2) != 0)
		return !store_cancelled(queue->store);
	pthread_mutex_lock(&queue->lock);
	unit = units_find(&queue->index.units, &hash);
	if (unit != UNITS_NONE && index_mark(&queue->index, unit, generation, UNIT_DONE))
		index_update(&queue->index, unit, &markers->clock, 0);
	pthread_mutex_unlock(&queue->lock);
	return !store_cancelled(queue->store);
}

static void check_markers(struct queue *queue)
{
	struct markers markers = { .queue = queue };
	int64_t began = clock_now(), ended;
	char path[LAYOUT_PATH];
	int error = 0;

	/* A content's key is no unit's: only records tell whose it is. */
	if (queue->conf.key != QCONF_KEY_CONTENT) {
		snprintf(markers.dir, sizeof(markers.dir), "%02x", queue->marker_dir & 0xff);
		snprintf(path, sizeof(path), "%s/%s", LAYOUT_DONE, markers.dir);
		pthread_mutex_lock(&queue->lock);
		queue_clock(queue, &markers.clock);
		pthread_mutex_unlock(&queue->lock);
		error = store_list(queue->store, path, take_marker, &markers);
	}
	pthread_mutex_lock(&queue->lock);
	/* It is only a check, since the next claim finds a marker by itself: most of the time it rests. */
	ended = clock_now();
	queue->markers_ns = ended + MARKER_REST * (1 + queue->node_count / MARKER_NODES) * (ended - began);
	queue->marker_dir = error && error != -ENOENT ? 256 : queue->marker_dir + 1;
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
}

/* ---- the thread ---- */

struct jobs {
	bool share, flush, sweep, pay, watch, markers, nodes, remember;
};

static struct jobs jobs_locked(const struct queue *queue, int64_t now)
{
	return (struct jobs) {
		.share = queue->share_due,
		.flush = log_waits(queue) && queue->flush_ns <= now,
		.sweep = !list_empty(&queue->dirt) && queue->flush_ns <= now,
		.pay = !list_empty(&queue->debts) && queue->debts_ns <= now,
		.watch = watch_due(queue, now) <= now,
		.markers = in_use(queue, now) && queue->marker_dir < 256 && queue->markers_ns <= now,
		.nodes = in_use(queue, now) && queue->log_index && queue->sweep_ns <= now,
		.remember = learned(queue) && queue->remember_ns <= now,
	};
}

static void remember(struct queue *queue)
{
	int64_t begin = clock_now(), took;

	remember_save(queue);
	took = clock_now() - begin;
	pthread_mutex_lock(&queue->lock);
	queue->remember_ns = begin + (took * REMEMBER_SHARE > REMEMBER_NS ? took * REMEMBER_SHARE : REMEMBER_NS);
	pthread_mutex_unlock(&queue->lock);
}

static void keep(struct queue *queue, const struct jobs *jobs)
{
	int error = 0;

	if (jobs->share)
		share_end(queue, true);
	if (jobs->flush)
		error = logs_flush(queue);
	if (jobs->sweep && !error)
		sweep_run(queue);
	if (jobs->pay)
		debts_pay(queue);
	if (jobs->watch)
		queue_watch(queue);
	if (jobs->markers)
		check_markers(queue);
	if (jobs->nodes) {
		sweep_nodes(queue);
		sweep_leftovers(queue);
		merge_logs(queue);
	}
	if (jobs->remember)
		remember(queue);
	pthread_mutex_lock(&queue->lock);
	/* What can't be done now is tried again soon, not at once. */
	if (jobs->flush || jobs->sweep)
		queue->flush_ns = clock_now() + (error ? NS_PER_S : FLUSH_REST_NS);
	if (jobs->pay && !list_empty(&queue->debts))
		queue->debts_ns = clock_now() + queue->conf.lease_ns / 12;
	if (jobs->watch)
		queue->watched_ns = clock_now();
	if (jobs->nodes)
		queue->sweep_ns = clock_now() + SWEEP_LEASES * queue->conf.lease_ns;
	pthread_mutex_unlock(&queue->lock);
}

static void *keeper_thread(void *arg)
{
	struct queue *queue = arg;
	struct jobs jobs;
	int64_t now, due;

	pthread_mutex_lock(&queue->lock);
	while (!queue->stopping) {
		now = clock_now();
		due = due_locked(queue, now);
		if (due > now) {
			clock_cond_wait(&queue->work, &queue->lock, due);
			continue;
		}
		jobs = jobs_locked(queue, now);
		pthread_mutex_unlock(&queue->lock);
		keep(queue, &jobs);
		pthread_mutex_lock(&queue->lock);
	}
	pthread_mutex_unlock(&queue->lock);
	return NULL;
}

int keeper_start(struct queue *queue)
{
	int error = pthread_create(&queue->keeper, NULL, keeper_thread, queue);

	queue->keeper_running = !error;
	return -error;
}

void keeper_stop(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->stopping = true;
	pthread_cond_broadcast(&queue->work);
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	if (queue->keeper_running)
		pthread_join(queue->keeper, NULL);
	queue->keeper_running = false;
}
