/*
 * refresh: brings what this mount knows up to date, on demand: whoever finds the view too old does it, and others wait for that one.
 *
 *   claims/ ─▶ inputs ─▶ failed/, redo/ (when they changed) ─▶ log/
 *
 * Claims come first: a unit that is committed has its record before its claims are swept, so a unit whose claims are missing in an
 * older listing is found done by the records read after it, and never shows up in todo/ for a moment.
 */
#include "queue/inner.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"

struct listing {
	struct queue *queue;
	struct index_clock clock;
	int error;
	const char *what;
};

static void strange_name(const char *dir, const struct store_name *name)
{
	static long long last;

	if (log_allowed(&last))
		log_warn("queue: %s/%.80s is not a name that belongs there, so it is left alone", dir, name->name);
}

static bool take_claim(void *arg, const struct store_name *name)
{
	struct listing *listing = arg;
	struct layout_claim claim;

	if (layout_parse_claim(name->name, name->len, &claim) < 0) {
		strange_name(LAYOUT_CLAIMS, name);
		return true;
	}
	pthread_mutex_lock(&listing->queue->lock);
	listing->clock.now_ns = clock_now();
	listing->error = index_claims_add(&listing->queue->index, &claim, name->attrs.mtime, &listing->clock);
	pthread_mutex_unlock(&listing->queue->lock);
	return listing->error == 0;
}

static int refresh_claims(struct queue *queue)
{
	struct listing listing = { .queue = queue };
	int64_t began;
	int error;

	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &listing.clock);
	began = listing.clock.now_ns;
	index_claims_begin(&queue->index, listing.clock.now_ns);
	pthread_mutex_unlock(&queue->lock);
	error = store_list(queue->store, LAYOUT_CLAIMS, take_claim, &listing);
	if (error == -ENOENT)
		error = 0;
	if (error || listing.error)
		return error ? error : listing.error;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &listing.clock);
	index_claims_end(&queue->index, &listing.clock);
	heal_check_locked(queue);
	queue->watched_ns = queue->index.listing_ns;
	queue->claims_ns = clock_now() - began;
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

static bool take_mark(void *arg, const struct store_name *name)
{
	struct listing *listing = arg;
	struct queue *queue = listing->queue;
	bool failed = strcmp(listing->what, LAYOUT_FAILED) == 0, news;
	struct hash128 hash;
	uint32_t generation, unit;

	if (layout_parse_marker(name->name, name->len, &hash, &generation) < 0) {
		strange_name(listing->what, name);
		return true;
	}
	pthread_mutex_lock(&queue->lock);
	unit = units_get(&queue->index.units, &hash);
	if (unit == UNITS_NONE) {
		listing->error = -ENOMEM;
	} else {
		news = failed ? index_mark(&queue->index, unit, generation, UNIT_FAILED) : index_generation(&queue->index, unit, generation);
		if (news)
			index_update(&queue->index, unit, &listing->clock, name->attrs.mtime);
	}
	pthread_mutex_unlock(&queue->lock);
	return listing->error == 0;
}

/* A listing begun now of a directory whose mtime was seen to be `mtime` since `since_ns` shows all changes that leave that mtime as it is. */
bool refresh_is_clean(const struct index_clock *clock, int64_t mtime, int64_t since_ns)
{
	if (clock->server_ns != INT64_MIN && clock->server_ns - mtime * NS_PER_S > 2 * NS_PER_S && mtime * NS_PER_S < clock->server_ns)
		return true;
	return clock->now_ns - since_ns > 3 * NS_PER_S;
}

static int list_marks(struct queue *queue, const char *dir, const struct store_op *stat, int64_t *mtime, int64_t *since_ns)
{
	struct listing listing = { .queue = queue, .what = dir };
	int64_t seen = stat->attrs.mtime;
	int error;

	if (stat->error)
		return stat->error == -ENOENT ? 0 : stat->error;
	if (*mtime == seen)
		return 0;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &listing.clock);
	pthread_mutex_unlock(&queue->lock);
	/* *since_ns pairs with the mtime it was taken for: kept in the two words (since, mtime) of the caller. */
	if (since_ns[1] != seen) {
		since_ns[0] = listing.clock.now_ns;
		since_ns[1] = seen;
	}
	error = store_list(queue->store, dir, take_mark, &listing);
	if (error || listing.error)
		return error ? error : listing.error;
	/* A claim may rest on it from now on (marks.c): what the listing showed is in the index. */
	pthread_mutex_lock(&queue->lock);
	*mtime = refresh_is_clean(&listing.clock, seen, since_ns[0]) ? seen : INT64_MIN;
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

static int refresh_marks(struct queue *queue)
{
	struct flight flight = FLIGHT_INIT;
	size_t failed, redo;
	int error;

	failed = flight_lstat(&flight, LAYOUT_FAILED);
	redo = flight_lstat(&flight, LAYOUT_REDO);
	flight_run(&flight, queue->store);
	error = list_marks(queue, LAYOUT_REDO, flight_op(&flight, redo), &queue->redo_mtime, queue->redo_since_ns);
	if (!error)
		error = list_marks(queue, LAYOUT_FAILED, flight_op(&flight, failed), &queue->failed_mtime, queue->failed_since_ns);
	flight_release(&flight);
	return error;
}

/* Without an identity there are no heartbeats to learn the server's time from; without anything to judge by it, it isn't needed. */
static void learn_time(struct queue *queue)
{
	char node[LAYOUT_MAX_NODE + 1];
	int64_t min, max, now = clock_now();
	bool needed;

	if (lease_node(queue->lease, node, NULL))
		return;
	pthread_mutex_lock(&queue->lock);
	needed = !lease_time(queue->lease, now, &min, &max) ||
		 ((queue->index.claim_count || queue->index.unsettled) && now - queue->probed_ns > queue->conf.lease_ns / 2);
	if (queue->probe_failed && now - queue->probed_ns < queue->conf.lease_ns)
		needed = false;
	if (needed)
		queue->probed_ns = now;
	pthread_mutex_unlock(&queue->lock);
	if (needed)
		queue->probe_failed = lease_probe(queue->lease) < 0;
}

static int refresh_now(struct queue *queue)
{
	int error;

	learn_time(queue);
	error = refresh_claims(queue);
	if (!error)
		error = scan_inputs(queue);
	if (!error)
		error = refresh_marks(queue);
	if (!error)
		error = logs_refresh(queue);
	return error;
}

int queue_refresh(struct queue *queue, int64_t max_age_ns)
{
	uint64_t seen;
	int64_t began;
	int error = 0;

	pthread_mutex_lock(&queue->lock);
	queue->used_ns = clock_now();
	while (queue->viewed_ns == INT64_MIN || clock_now() - queue->viewed_ns > max_age_ns) {
		if (queue->refreshing) {
			seen = queue->refreshes;
			while (queue->refreshing)
				pthread_cond_wait(&queue->changed, &queue->lock);
			error = queue->refreshes != seen ? queue->refresh_error : 0;
			if (error)
				break;
			continue;
		}
		queue->refreshing = true;
		pthread_mutex_unlock(&queue->lock);
		began = clock_now();
		error = refresh_now(queue);
		pthread_mutex_lock(&queue->lock);
		queue->refreshing = false;
		queue->refreshes++;
		queue->refresh_error = error;
		queue->refresh_ns = clock_now() - began;
		if (!error)
			queue->viewed_ns = began;
		/* Claims to be watched, markers to be checked. */
		keeper_wake_locked(queue);
		pthread_cond_broadcast(&queue->changed);
		/* A refresh that takes longer than its age may be: what it found is as new as can be had. */
		break;
	}
	pthread_mutex_unlock(&queue->lock);
	return public_error(error);
}

void queue_watch(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	while (queue->refreshing)
		pthread_cond_wait(&queue->changed, &queue->lock);
	queue->refreshing = true;
	pthread_mutex_unlock(&queue->lock);
	refresh_claims(queue);
	pthread_mutex_lock(&queue->lock);
	queue->refreshing = false;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}
