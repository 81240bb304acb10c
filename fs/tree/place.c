/*
 * place: a directory that was asked for a queue's names: what is there, and the open queue. See queues.h.
 */
#include "tree/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tree/ahead.h"
#include "tree/hashed.h"
#include "tree/keep_db.h"
#include "tree/store_flight.h"
#include "tree/store_sftp.h"

#define FRESH_NS NS_PER_S		/* what is known of a directory is believed for so long */

/* ---- lives ---- */

struct queue *live_queue(const struct live *live)
{
	return live->queue;
}

int64_t live_opened(const struct live *live)
{
	return live->opened_s;
}

struct store *live_store(const struct live *live)
{
	return live->store;
}

void live_ref(struct live *live)
{
	__atomic_add_fetch(&live->refs, 1, __ATOMIC_RELAXED);
}

static void live_free(struct live *live)
{
	if (live->keep)
		live->keep->ops->free(live->keep);
	buf_release(&live->conf);
	free(live->path);
	free(live);
}

static void live_close(struct live *live)
{
	struct queues *queues = live->queues;
	struct live **at;

	queue_close(live->queue, CLOSE_NS);
	pthread_mutex_lock(&queues->lock);
	for (at = &queues->lives; *at != live; at = &(*at)->next)
		;
	*at = live->next;
	pthread_mutex_unlock(&queues->lock);
	store_sftp_cancel(live->store);
	store_sftp_free(live->store);
	live_free(live);
	queues_end_job(queues);
}

void live_unref(struct live *live)
{
	if (live && __atomic_sub_fetch(&live->refs, 1, __ATOMIC_ACQ_REL) == 0)
		live_close(live);
}

void live_session_begin(struct live *live)
{
	__atomic_add_fetch(&live->sessions, 1, __ATOMIC_RELEASE);
}

void live_session_end(struct live *live)
{
	__atomic_sub_fetch(&live->sessions, 1, __ATOMIC_RELEASE);
}

/* What earlier mounts of this machine learned of the queue; without it, it is learned again. */
static struct keep *open_keep(const struct place *place)
{
	const struct tree_options *options = &place->queues->tree->options;
	struct keep *keep = NULL;
	int error;

	if (!options->cache_dir)
		return NULL;
	error = keep_db_open(options->cache_dir, options->cache_scope, place->path, &keep);
	if (error == -EBUSY)
		log_debug("queue %s: another mount of this machine has its cache", place->path);
	else if (error)
		log_warn("queue %s: no cache in %s: %s; name another with -o cache_dir=DIR, or none with -o no_cache", place->path,
			 options->cache_dir, log_strerror(error));
	return keep;
}

/* ---- inputs, as the queue tells of them ---- */

/* An input's path on the server. "../images/x" is beside the queue: its path has no symbolic links. */
static int input_path(const struct live *live, const char *input, struct buf *ret_path)
{
	size_t len = strlen(live->path);

	while (strncmp(input, "../", 3) == 0) {
		while (len > 0 && live->path[--len] != '/')
			;
		input += 3;
	}
	buf_add(ret_path, live->path, len);
	buf_addf(ret_path, "/%s", input);
	return buf_error(ret_path);
}

/* What a session took will be read before long. */
static void input_taken(void *arg, const char *input, const struct store_attrs *attrs, int64_t asked_ns)
{
	const struct live *live = arg;
	struct buf path = BUF_INIT;
	struct sftp_attrs told;

	store_attrs_back(attrs, asked_ns, &told);
	if (!input_path(live, input, &path))
		ahead_expect(live->queues->tree->ahead, path.data, &told);
	buf_release(&path);
}

static bool input_hashed(void *arg, const char *input, uint64_t size, int64_t mtime, uint64_t offset, struct buf *bytes)
{
	const struct live *live = arg;
	struct buf path = BUF_INIT;
	bool kept = !input_path(live, input, &path) && hashed_add(live->queues->tree->hashed, path.data, size, mtime, offset, bytes);

	buf_release(&path);
	return kept;
}

static void input_hashed_end(void *arg, const char *input)
{
	const struct live *live = arg;
	struct buf path = BUF_INIT;

	if (!input_path(live, input, &path))
		hashed_drop(live->queues->tree->hashed, path.data);
	buf_release(&path);
}

/* ---- opening ---- */

/* Opens the queue in `store`, which it takes over on success. 0 or -errno with a line in `why`. */
static int live_open(struct place *place, struct store *store, struct buf *conf, struct live **ret_live, struct buf *why)
{
	struct queues *queues = place->queues;
	const struct tree_options *options = &queues->tree->options;
	struct queue_options queue_options = { .host = options->host, .pid = (int)getpid(), .ttl_ns = options->queue_ttl_ns, .one_host = options->one_host,
						     .seed = clock_random(), .taken = input_taken, .hashed = input_hashed,
						     .hashed_end = input_hashed_end };
	struct live *live = calloc(1, sizeof(*live));
	int error;

	if (!live)
		return -ENOMEM;
	live->queues = queues;
	live->path = strdup(place->path);
	queue_options.inputs_arg = live;
	queue_options.keep = live->keep = open_keep(place);
	error = live->path ? queue_open(store, &queue_options, &live->queue, why) : -ENOMEM;
	if (error) {
		live_free(live);
		return error;
	}
	live->store = store;
	live->opened_s = clock_wall() / NS_PER_S;
	live->conf = *conf;
	buf_init(conf);
	live->refs = 1;
	pthread_mutex_lock(&queues->lock);
	live->next = queues->lives;
	queues->lives = live;
	queues->busy++;
	pthread_mutex_unlock(&queues->lock);
	*ret_live = live;
	return 0;
}

/* ---- places ---- */

const char *place_path(const struct place *place)
{
	return place->path;
}

void place_ref(struct place *place)
{
	pthread_mutex_lock(&place->lock);
	place->refs++;
	pthread_mutex_unlock(&place->lock);
}

void place_unref(struct place *place)
{
	bool last;

	if (!place)
		return;
	pthread_mutex_lock(&place->lock);
	last = --place->refs == 0;
	pthread_mutex_unlock(&place->lock);
	if (!last)
		return;
	pthread_cond_destroy(&place->changed);
	pthread_mutex_destroy(&place->lock);
	buf_release(&place->why);
	free(place->path);
	free(place);
}

bool place_ending(struct place *place)
{
	bool ending;

	pthread_mutex_lock(&place->lock);
	ending = place->ending;
	pthread_mutex_unlock(&place->lock);
	return ending;
}

struct live *place_live(struct place *place, int *ret_error)
{
	struct live *live = NULL;

	pthread_mutex_lock(&place->lock);
	if (place->live) {
		live = place->live;
		live_ref(live);
	} else {
		*ret_error = place->ending ? -ENOTCONN : place->state == PLACE_BROKEN ? -EIO : -ENOENT;
	}
	pthread_mutex_unlock(&place->lock);
	return live;
}

bool place_why(struct place *place, struct buf *ret_why)
{
	bool broken;

	pthread_mutex_lock(&place->lock);
	broken = place->state == PLACE_BROKEN;
	if (broken)
		buf_add(ret_why, buf_text(&place->why), place->why.len);
	pthread_mutex_unlock(&place->lock);
	return broken;
}

struct place *place_new(struct queues *queues, const char *path)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return NULL;
	place->path = strdup(path);
	if (!place->path || clock_cond_init(&place->changed) < 0) {
		free(place->path);
		free(place);
		return NULL;
	}
	pthread_mutex_init(&place->lock, NULL);
	place->queues = queues;
	place->refs = 1;
	return place;
}

/* ---- looking at a directory ---- */

struct look {			/* what a look found */
	enum place_state state;
	struct live *live;	/* PLACE_OPEN: a new one, or NULL: as it was */
	struct buf why;
};

/* 0, or -errno: the disk could not be asked, and what was known stays known. */
static int read_conf(struct store *store, struct buf *ret_text)
{
	struct store_op op = { .kind = STORE_READ, .path = QCONF_PATH, .max = QCONF_MAX_BYTES, .data = ret_text };

	store_run(store, &op, 1);
	return op.error;
}

static bool is_nothing(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -EACCES || error == -EPERM || error == -ELOOP || error == -ENAMETOOLONG;
}

/* Opens the queue there is, of which queue.conf's text is `conf`. */
static int look_open(struct place *place, struct store **store, struct buf *conf, struct look *look)
{
	int error;

	error = live_open(place, *store, conf, &look->live, &look->why);
	if (!error) {
		*store = NULL;
		look->state = PLACE_OPEN;
		return 0;
	}
	if (error == -ENOENT) {
		look->state = PLACE_NONE;
		return 0;
	}
	if (error == -ENOTCONN || error == -ETIMEDOUT || error == -ENOMEM)
		return error;
	look->state = PLACE_BROKEN;
	if (look->why.len == 0)
		buf_addf(&look->why, "%s/%s: the queue can't be opened: %s", place->path, QCONF_PATH, log_strerror(error));
	return 0;
}

static bool is_as_it_was(const struct live *live, const struct buf *conf)
{
	return live && live->conf.len == conf->len && (conf->len == 0 || memcmp(live->conf.data, conf->data, conf->len) == 0);
}

/* So that the end of the mount can cut a look short. */
static void set_look(struct place *place, struct store *store)
{
	pthread_mutex_lock(&place->lock);
	place->look = store;
	if (store && place->ending)
		store_sftp_cancel(store);
	pthread_mutex_unlock(&place->lock);
}

static bool seen(void *arg, const char *name, const struct queue_entry *entry, uint64_t next_cursor)
{
	bool *any = arg;

	(void)name;
	(void)entry;
	(void)next_cursor;
	*any = true;
	return false;
}

/* Do ctl sessions or claimed units hang on it? Not who just looks: where somebody always does, it would never end. */
static bool is_in_use(struct live *live)
{
	bool any = false;

	if (__atomic_load_n(&live->sessions, __ATOMIC_ACQUIRE) > 0)
		return true;
	queue_stage_list(live->queue, "", seen, &any);
	return any;
}

/* A queue.conf that was changed or lost waits until nothing is under way: jobs end as they began. */
static bool must_wait(struct place *place, struct live *live)
{
	bool wait = live && is_in_use(live);

	if (wait && !place->told)
		log_warn("%s/%s was changed: that counts once nothing is claimed through this mount any more", place->path, QCONF_PATH);
	place->told = wait;
	return wait;
}

static int look_at_conf(struct place *place, struct store **store, struct live *live, struct look *look)
{
	struct buf conf = BUF_INIT;
	int error;

	error = read_conf(*store, &conf);
	if (!error && is_as_it_was(live, &conf)) {
		look->state = PLACE_OPEN;
		place->told = false;
	} else if ((!error || is_nothing(error)) && must_wait(place, live)) {
		look->state = PLACE_OPEN;
		error = 0;
	} else if (is_nothing(error)) {
		look->state = PLACE_NONE;
		error = 0;
	} else if (!error) {
		error = look_open(place, store, &conf, look);
	}
	buf_release(&conf);
	return error;
}

static int look_at(struct place *place, struct look *look)
{
	struct store *store = NULL;
	struct live *live;
	int error, ignored;

	error = store_sftp_new(place->queues->tree->sftp, place->queues->tree->damage, place->path, &store);
	if (error)
		return error;
	set_look(place, store);
	live = place_live(place, &ignored);
	error = look_at_conf(place, &store, live, look);
	set_look(place, NULL);
	live_unref(live);
	if (store) {
		store_sftp_cancel(store);
		store_sftp_free(store);
	}
	return error;
}

static void say_broken(const struct place *place, const struct look *look)
{
	bool said = place->state == PLACE_BROKEN && strcmp(buf_text(&place->why), buf_text(&look->why)) == 0;

	if (!said)
		log_error("%s: the queue is not shown until this is mended: %s", place->path, buf_text(&look->why));
}

/* Takes over what was found; what is to be let go is returned. */
static struct live *apply_locked(struct place *place, struct look *look)
{
	struct live *old = NULL;

	if (look->state == PLACE_BROKEN)
		say_broken(place, look);
	if (place->ending) {
		old = look->live;
	} else if (look->live || look->state != PLACE_OPEN) {
		old = place->live;
		place->live = look->live;
	}
	if (place->state == PLACE_OPEN && look->live)
		log_info("%s: queue.conf was changed, the queue is opened anew", place->path);
	place->state = look->state;
	buf_release(&place->why);
	place->why = look->why;
	buf_init(&look->why);
	return old;
}

void place_check(struct place *place)
{
	struct look look = { .state = PLACE_NONE };
	struct live *old = NULL;
	int error;

	pthread_mutex_lock(&place->lock);
	if (place->checking) {
		while (place->checking)
			clock_cond_wait(&place->changed, &place->lock, INT64_MAX);
		pthread_mutex_unlock(&place->lock);
		return;
	}
	place->checking = true;
	pthread_mutex_unlock(&place->lock);
	error = look_at(place, &look);
	pthread_mutex_lock(&place->lock);
	if (!error)
		old = apply_locked(place, &look);
	place->checking = false;
	place->checked_ns = clock_now();
	pthread_cond_broadcast(&place->changed);
	pthread_mutex_unlock(&place->lock);
	buf_release(&look.why);
	live_unref(old);
}

/* ---- looking again in the background ---- */

struct recheck {
	struct work_job job;
	struct place *place;		/* held */
};

static void recheck_run(struct work_job *job)
{
	struct recheck *recheck = container_of(job, struct recheck, job);

	struct queues *queues = recheck->place->queues;

	place_check(recheck->place);
	place_unref(recheck->place);
	free(recheck);
	queues_end_job(queues);
}

void place_recheck(struct place *place)
{
	struct recheck *recheck = calloc(1, sizeof(*recheck));

	if (!recheck)
		return;		/* the next lookup asks again */
	recheck->job.run = recheck_run;
	recheck->place = place;
	place_ref(place);
	queues_begin_job(place->queues);
	work_submit(place->queues->tree->work, &recheck->job);
}

enum place_state place_known(struct place *place, bool *ret_stale)
{
	int64_t now = clock_now();
	enum place_state state;

	pthread_mutex_lock(&place->lock);
	state = place->state;
	*ret_stale = !place->checking && (place->checked_ns == 0 || now - place->checked_ns >= FRESH_NS);
	if (*ret_stale && state == PLACE_OPEN)
		place->checked_ns = now;	/* one look a second, however many ask */
	pthread_mutex_unlock(&place->lock);
	return state;
}
