/*
 * queues: which directories hold a queue, opened when one of their virtual names is looked up. See queues.h for what the words mean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tree/place.h"
#include "tree/store_sftp.h"

#define MAX_IDLE_PLACES 1024		/* directories without a queue that are remembered */

void queues_begin_job(struct queues *queues)
{
	pthread_mutex_lock(&queues->lock);
	queues->busy++;
	pthread_mutex_unlock(&queues->lock);
}

void queues_end_job(struct queues *queues)
{
	pthread_mutex_lock(&queues->lock);
	if (--queues->busy == 0)
		pthread_cond_broadcast(&queues->changed);
	pthread_mutex_unlock(&queues->lock);
}

/* ---- places ---- */

/* Directories without a queue that nobody asks about any more are forgotten. */
static void forget_idle_locked(struct queues *queues)
{
	size_t cursor = 0, len;
	struct place *place;
	const void *key;
	bool idle;

	while ((place = map_next(&queues->places, &cursor, &key, &len))) {
		pthread_mutex_lock(&place->lock);
		idle = place->refs == 1 && place->state == PLACE_NONE;
		pthread_mutex_unlock(&place->lock);
		if (!idle)
			continue;
		map_remove(&queues->places, key, len);
		place_unref(place);
	}
}

/* With a ref; NULL: out of memory, the directory has no path, or the mount ends. */
static struct place *place_get(struct tree *tree, struct node *dir)
{
	struct queues *queues = tree->queues;
	struct buf path = BUF_INIT;
	struct place *place = NULL;

	if (node_path(tree, dir, NULL, &path) < 0) {
		buf_release(&path);
		return NULL;
	}
	pthread_mutex_lock(&queues->lock);
	if (!queues->ending)
		place = map_get(&queues->places, path.data, path.len);
	if (!place && !queues->ending) {
		if (queues->places.count >= MAX_IDLE_PLACES)
			forget_idle_locked(queues);
		place = place_new(queues, path.data);
		if (place && map_set(&queues->places, path.data, path.len, place, NULL) < 0) {
			place_unref(place);
			place = NULL;
		}
	}
	if (place)
		place_ref(place);
	pthread_mutex_unlock(&queues->lock);
	buf_release(&path);
	return place;
}

/* ---- heartbeats ---- */

/* Open queues, each with a ref. */
static unsigned int hold_lives_locked(struct queues *queues, struct live **lives)
{
	unsigned int count = 0;
	struct place *place;
	size_t cursor = 0;

	while ((place = map_next(&queues->places, &cursor, NULL, NULL))) {
		pthread_mutex_lock(&place->lock);
		if (place->live) {
			live_ref(place->live);
			lives[count++] = place->live;
		}
		pthread_mutex_unlock(&place->lock);
	}
	return count;
}

unsigned int queues_heartbeats(struct queues *queues, int64_t *ret_oldest)
{
	unsigned int count = 0, i;
	struct live **lives;
	int64_t age;

	*ret_oldest = -1;
	pthread_mutex_lock(&queues->lock);
	lives = calloc(queues->places.count + 1, sizeof(struct live *));
	if (lives)
		count = hold_lives_locked(queues, lives);
	pthread_mutex_unlock(&queues->lock);
	for (i = 0; i < count; i++) {
		age = queue_heartbeat_age(live_queue(lives[i]));
		if (age > *ret_oldest)
			*ret_oldest = age;
		live_unref(lives[i]);
	}
	free(lives);
	return count;
}

/* ---- the names of a queue ---- */

static bool is_virtual_name(const char *name)
{
	size_t i;

	for (i = 0; qconf_virtual_names[i]; i++)
		if (strcmp(name, qconf_virtual_names[i]) == 0)
			return true;
	return false;
}

static void top_lookup(struct vjob *vjob, struct live *live)
{
	static const char *const states[QUEUE_STATES] = { "todo", "claims", "done", "failed" };
	int state;

	for (state = 0; state < QUEUE_STATES; state++)
		if (strcmp(vjob->name, states[state]) == 0) {
			vdir_top(vjob, live, (enum queue_state)state);
			return;
		}
	if (strcmp(vjob->name, "stage") == 0)
		stage_top(vjob);
	else if (strcmp(vjob->name, "ctl") == 0)
		ctl_top(vjob);
	else
		progress_top(vjob, live, strcmp(vjob->name, "progress.json") == 0);
}

/* No queue here: the name is the directory's own. */
static void lookup_real(struct vjob *vjob)
{
	real_lookup(vjob->tree, vjob->node, vjob->name, vjob->reply);
	vjob_end(vjob);
}

static void lookup_run(struct vjob *vjob, struct live *live)
{
	enum place_state state;
	bool stale;
	int error;

	state = place_known(vjob->place, &stale);
	if (state != PLACE_OPEN && (stale || state == PLACE_UNKNOWN)) {
		place_check(vjob->place);
		state = place_known(vjob->place, &stale);
	}
	if (state == PLACE_NONE || state == PLACE_UNKNOWN) {
		lookup_real(vjob);
		return;
	}
	if (state == PLACE_BROKEN && strcmp(vjob->name, "progress") != 0) {
		vjob_answer(vjob, -EIO);
		return;
	}
	live = place_live(vjob->place, &error);
	top_lookup(vjob, live);
	live_unref(live);
}

bool queues_lookup(struct tree *tree, struct node *dir, const char *name, struct reply *reply)
{
	enum place_state state;
	struct place *place;
	struct vjob *vjob;
	bool stale;

	if (!is_virtual_name(name))
		return false;
	place = place_get(tree, dir);
	if (!place)
		return false;
	state = place_known(place, &stale);
	if (state == PLACE_NONE && !stale) {
		place_unref(place);
		return false;
	}
	if (state == PLACE_OPEN && stale)
		place_recheck(place);
	vjob = vjob_new(tree, dir, name, reply);
	if (vjob) {
		vjob->place = place;
		vjob_submit_without(vjob, lookup_run);
	} else {
		place_unref(place);
	}
	return true;
}

const char *const *queues_listing(struct tree *tree, struct node *dir)
{
	static const char *const broken[] = { "progress", NULL };
	const char *const *names = qconf_virtual_names;
	enum place_state state;
	struct place *place;
	bool stale;

	place = place_get(tree, dir);
	if (!place)
		return NULL;
	state = place_known(place, &stale);
	if (stale && state != PLACE_UNKNOWN)	/* a listing alone opens no queue */
		place_recheck(place);
	if (state == PLACE_BROKEN)
		names = broken;
	else if (state == PLACE_NONE)
		names = NULL;
	place_unref(place);
	return names;
}

/* ---- beginning and end ---- */

int queues_new(struct tree *tree, struct queues **ret_queues)
{
	struct queues *queues = calloc(1, sizeof(*queues));
	int error;

	if (!queues)
		return -ENOMEM;
	error = clock_cond_init(&queues->changed);
	if (error) {
		free(queues);
		return error;
	}
	queues->tree = tree;
	pthread_mutex_init(&queues->lock, NULL);
	map_init(&queues->places);
	*ret_queues = queues;
	return 0;
}

void queues_ending(struct queues *queues)
{
	struct place *place;
	size_t cursor = 0;

	if (!queues)
		return;
	pthread_mutex_lock(&queues->lock);
	queues->ending = true;
	while ((place = map_next(&queues->places, &cursor, NULL, NULL))) {
		pthread_mutex_lock(&place->lock);
		place->ending = true;
		pthread_mutex_unlock(&place->lock);
	}
	pthread_mutex_unlock(&queues->lock);
}

static void let_go(struct work_job *job)
{
	live_unref(container_of(job, struct live, closing));
}

/* Takes every place's queue away; the last that works on one closes it. On other threads, since closing waits for the disk. */
static void close_places(struct queues *queues)
{
	struct place *place;
	struct live *live;
	size_t cursor = 0;

	while ((place = map_next(&queues->places, &cursor, NULL, NULL))) {
		pthread_mutex_lock(&place->lock);
		live = place->live;
		place->live = NULL;
		pthread_mutex_unlock(&place->lock);
		if (live) {
			live->closing.run = let_go;
			work_submit(queues->tree->work, &live->closing);
		}
	}
}

static void cancel_all_locked(struct queues *queues)
{
	struct place *place;
	struct live *live;
	size_t cursor = 0;

	for (live = queues->lives; live; live = live->next)
		store_sftp_cancel(live->store);
	while ((place = map_next(&queues->places, &cursor, NULL, NULL))) {
		pthread_mutex_lock(&place->lock);
		if (place->look)
			store_sftp_cancel(place->look);
		pthread_mutex_unlock(&place->lock);
	}
}

/* Until all queues are closed and nobody works on one; what takes too long loses the disk. */
static void wait_until_idle(struct queues *queues)
{
	int64_t deadline = clock_now() + CLOSE_NS;
	int error = 0;

	pthread_mutex_lock(&queues->lock);
	while (queues->busy > 0 && !error)
		error = clock_cond_wait(&queues->changed, &queues->lock, deadline);
	if (queues->busy > 0)
		cancel_all_locked(queues);
	while (queues->busy > 0)
		clock_cond_wait(&queues->changed, &queues->lock, INT64_MAX);
	pthread_mutex_unlock(&queues->lock);
}

void queues_free(struct queues *queues)
{
	struct place *place;
	size_t cursor = 0;

	if (!queues)
		return;
	queues_ending(queues);
	close_places(queues);
	wait_until_idle(queues);
	while ((place = map_next(&queues->places, &cursor, NULL, NULL)))
		place_unref(place);
	map_release(&queues->places);
	pthread_cond_destroy(&queues->changed);
	pthread_mutex_destroy(&queues->lock);
	free(queues);
}
