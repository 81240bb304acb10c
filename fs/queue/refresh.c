/*
 * refresh: brings what this mount knows up to date, on demand: whoever finds the view too old does it, and others wait for that one.
 *
 *   claims/ ─▶ inputs ─▶ failed/, redo/ (when they changed) ─▶ log/
 *
 * Claims come first: a unit that is committed has its record before its claims are swept, so a unit whose claims are missing in an
 * older listing is found done by the records read after it, and never shows up in todo/ for a moment.
 *
 * That is the order on the disk. Where nothing changed all of it takes two round trips: what opens the two directories and looks at the others
 * goes out at once, and what reads the two.
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

struct claims_listing {
	struct store_listing store;
	struct listing listing;
	int64_t began_ns;
};

static void begin_claims(struct queue *queue, struct claims_listing *claims)
{
	claims->listing = (struct listing) { .queue = queue };
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &claims->listing.clock);
	claims->began_ns = claims->listing.clock.now_ns;
	index_claims_begin(&queue->index, claims->began_ns);
	pthread_mutex_unlock(&queue->lock);
	store_list_begin(queue->store, LAYOUT_CLAIMS, NULL, &claims->store);
}

static int end_claims(struct queue *queue, struct claims_listing *claims)
{
	int error = store_list_end(queue->store, &claims->store, take_claim, &claims->listing);

	if (error == -ENOENT)
		error = 0;
	if (error || claims->listing.error)
		return error ? error : claims->listing.error;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &claims->listing.clock);
	index_claims_end(&queue->index, &claims->listing.clock);
	heal_check_locked(queue);
	queue->watched_ns = queue->index.listing_ns;
	queue->claims_ns = clock_now() - claims->began_ns;
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

static int refresh_marks(struct queue *queue, const struct scan_marks *marks)
{
	int error = list_marks(queue, LAYOUT_REDO, &marks->redo, &queue->redo_mtime, queue->redo_since_ns);

	if (!error)
		error = list_marks(queue, LAYOUT_FAILED, &marks->failed, &queue->failed_mtime, queue->failed_since_ns);
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
	struct claims_listing claims;
	struct store_listing logs;
	struct scan_marks marks;
	struct scan *scan = NULL;
	bool listed = false;
	int error, claims_error;

	learn_time(queue);
	begin_claims(queue, &claims);
	store_list_begin(queue->store, LAYOUT_LOG, &claims.store, &logs);
	error = scan_look(queue, &marks, &scan);
	claims_error = end_claims(queue, &claims);
	if (claims_error)
		error = claims_error;
	error = scan_list(scan, error, &listed);
	if (!error)
		error = refresh_marks(queue, &marks);
	/* What was done while inputs were listed is not to be shown as work: that may have taken long. */
	if (error || listed)
		store_list_end(queue->store, &logs, NULL, NULL);
	return error ? error : logs_refresh(queue, listed ? NULL : &logs);
}

int queue_refresh_since(struct queue *queue, int64_t least_ns)
{
	uint64_t seen;
	int64_t began;
	int error = 0;

	pthread_mutex_lock(&queue->lock);
	queue->used_ns = clock_now();
	while (queue->viewed_ns < least_ns) {
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
		break;
	}
	pthread_mutex_unlock(&queue->lock);
	return public_error(error);
}

/* The age is that when it was asked for: who had to wait for another's refresh takes what that one found, though it took longer than the age. */
int queue_refresh(struct queue *queue, int64_t max_age_ns)
{
	return queue_refresh_since(queue, clock_now() - max_age_ns);
}

void queue_watch(struct queue *queue)
{
	struct claims_listing claims;

	pthread_mutex_lock(&queue->lock);
	while (queue->refreshing)
		pthread_cond_wait(&queue->changed, &queue->lock);
	queue->refreshing = true;
	pthread_mutex_unlock(&queue->lock);
	begin_claims(queue, &claims);
	end_claims(queue, &claims);
	pthread_mutex_lock(&queue->lock);
	queue->refreshing = false;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}
