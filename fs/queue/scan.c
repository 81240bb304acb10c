/*
 * scan: the listing of the inputs. Every directory is looked at in each refresh (one flight of LSTATs), and listed again when its mtime
 * changed, when the last listing may have missed a change within the same second, or when something in it settles. Where the first view turns
 * out to have many inputs, another mount may have listed them (share.h).
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/share.h"

#define LOOKS 1024			/* LSTATs a flight */
/* A changed input shows in no directory's mtime: all are listed again after this long, when UNIT holds it. */
#define RELIST_LEAST_NS NS_PER_S
#define RELIST_MOST_NS (60 * NS_PER_S)
#define RELIST_SHARE 50			/* all mounts together list for 1/50 of the time at most, up to that */

struct scan {
	struct queue *queue;
	uint32_t *dirs;			/* to be listed */
	uint32_t count;
	uint32_t cap;
	struct index_clock clock;
	struct index_dir *dir;		/* being listed */
	uint64_t listed;		/* inputs */
	uint64_t share_from;		/* with so many, look whether another has listed them; UINT64_MAX: never, or it was done */
	bool cold;			/* nothing is known yet */
	bool stopped;			/* another has */
	bool all;			/* all inputs are listed again */
	int64_t began_ns;
	int error;
};

static int add_dir(struct scan *scan, uint32_t dir)
{
	uint32_t cap = scan->cap ? scan->cap * 2 : 64, *dirs;

	if (scan->count == scan->cap) {
		dirs = realloc(scan->dirs, cap * sizeof(*dirs));
		if (!dirs)
			return -ENOMEM;
		scan->dirs = dirs;
		scan->cap = cap;
	}
	scan->dirs[scan->count++] = dir;
	return 0;
}

/* "/." for the input directory itself: it may be a symbolic link. */
static int dir_path(struct queue *queue, const struct index_dir *dir, struct buf *path)
{
	buf_reset(path);
	index_input(&queue->index, dir->path, path);
	if (!dir->path[0])
		buf_adds(path, "/.");
	return buf_error(path);
}

static bool must_list(const struct index_dir *dir, int64_t mtime, const struct index_clock *clock)
{
	return (dir->mtime != mtime || dir->dirty || dir->settle_ns <= clock->now_ns) && dir->rest_ns <= clock->now_ns;
}

/* Without its inputs a queue has nothing to show: whoever looks gets the error, and the log the reason. */
static void say_no_inputs(const struct queue *queue, int error)
{
	static long long last;

	if (log_allowed(&last))
		log_error("queue: its input directory %s cannot be listed: %s; make it, or name another as 'input' in %s", queue->conf.input,
			  log_strerror(error), QCONF_PATH);
}

static void look_at(struct scan *scan, struct index_dir *dir, const struct store_op *op)
{
	struct queue *queue = scan->queue;

	if (op->error == -ENOENT && dir->path[0]) {
		index_dir_gone(&queue->index, dir, queue_time(queue));
	} else if (op->error) {
		scan->error = op->error;
		if (!dir->path[0])
			say_no_inputs(queue, op->error);
	} else if (!S_ISDIR(op->attrs.mode)) {
		if (dir->path[0])
			index_dir_gone(&queue->index, dir, queue_time(queue));
		else
			scan->error = -ENOTDIR;
	} else if (must_list(dir, op->attrs.mtime, &scan->clock)) {
		if (dir->mtime != op->attrs.mtime)
			dir->mtime_since_ns = scan->clock.now_ns;
		dir->mtime = op->attrs.mtime;
		dir->dirty = true;
		scan->error = add_dir(scan, dir->index);
	}
}

/*
 * One flight: the directories from `begin` on; before the first listing of all, whether another mount has made one or is at it. `marks`
 * may be NULL.
 */
static uint32_t look_from(struct scan *scan, uint32_t begin, struct scan_marks *marks)
{
	struct queue *queue = scan->queue;
	struct flight flight = FLIGHT_INIT;
	struct buf path = BUF_INIT;
	uint32_t at, looked[LOOKS];
	size_t i, dirs, failed = 0, redo = 0;

	pthread_mutex_lock(&queue->lock);
	for (at = begin; at < queue->index.dir_count && flight.count < LOOKS; at++) {
		if (queue->index.dirs[at]->gone)
			continue;
		scan->error = dir_path(queue, queue->index.dirs[at], &path);
		if (scan->error)
			break;
		looked[flight.count] = at;
		flight_lstat(&flight, path.data);
	}
	pthread_mutex_unlock(&queue->lock);
	dirs = flight.count;
	if (scan->cold) {
		flight_lstat(&flight, SHARE_PATH);
		flight_lstat(&flight, SHARE_LOCK_PATH);
	}
	if (marks) {
		failed = flight_lstat(&flight, LAYOUT_FAILED);
		redo = flight_lstat(&flight, LAYOUT_REDO);
	}
	flight_run(&flight, queue->store);
	if (marks)
		*marks = (struct scan_marks) { .failed = *flight_op(&flight, failed), .redo = *flight_op(&flight, redo) };
	scan->error = scan->error ? scan->error : flight.error;
	scan->stopped = scan->cold && (!flight_error(&flight, dirs) || !flight_error(&flight, dirs + 1));
	scan->cold = false;
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < dirs && !scan->error; i++)
		look_at(scan, queue->index.dirs[looked[i]], flight_op(&flight, i));
	pthread_mutex_unlock(&queue->lock);
	flight_release(&flight);
	buf_release(&path);
	return at;
}

/* Younger than `settle` by the server's clock. An mtime in the future was set by somebody, after the upload. */
static bool settled(struct scan *scan, int64_t mtime, int64_t *ret_settle_ns)
{
	const struct index_clock *clock = &scan->clock;
	int64_t ready = mtime * NS_PER_S + scan->queue->conf.settle_ns;

	if (clock->server_ns == INT64_MIN || clock->server_ns >= ready || mtime * NS_PER_S > clock->server_max_ns + NS_PER_S)
		return true;
	*ret_settle_ns = clock->now_ns + (ready - clock->server_ns);
	return false;
}

static int take_file(struct scan *scan, const struct store_name *name)
{
	struct index_file file = { .name = name->name, .size = name->attrs.size, .mtime = name->attrs.mtime };
	struct queue *queue = scan->queue;
	int error;

	file.settled = settled(scan, file.mtime, &file.settle_ns);
	pthread_mutex_lock(&queue->lock);
	error = index_dir_file(&queue->index, scan->dir, &file, &scan->clock);
	pthread_mutex_unlock(&queue->lock);
	return error;
}

static int take_dir(struct scan *scan, const struct store_name *name)
{
	struct queue *queue = scan->queue;
	struct index_dir *dir;
	int error = 0;

	pthread_mutex_lock(&queue->lock);
	dir = index_dir_sub(&queue->index, scan->dir, name->name);
	if (!dir)
		error = -ENOMEM;
	else if (dir->mtime == INT64_MIN && !dir->dirty) {
		dir->mtime = name->attrs.mtime;
		dir->dirty = true;
		dir->mtime_since_ns = scan->clock.now_ns;
		error = add_dir(scan, dir->index);
	}
	pthread_mutex_unlock(&queue->lock);
	return error;
}

static bool take_entry(void *arg, const struct store_name *name)
{
	static long long last;
	struct scan *scan = arg;
	char path[RECORD_MAX_NAME + 1];

	if (qconf_skips(name->name) || !(S_ISREG(name->attrs.mode) || S_ISDIR(name->attrs.mode)))
		return true;
	if (!index_join(scan->dir, name->name, path, sizeof(path)) || !record_name_good(path)) {
		if (log_allowed(&last))
			log_warn("queue: input %.80s…: the name is too long or not a good one, so it is left out", name->name);
		return true;
	}
	scan->error = S_ISDIR(name->attrs.mode) ? take_dir(scan, name) : take_file(scan, name);
	if (!scan->error && ++scan->listed >= scan->share_from) {
		scan->share_from = UINT64_MAX;
		scan->stopped = share_offered(scan->queue);
	}
	return scan->error == 0 && !scan->stopped;
}

static int list_dir(struct scan *scan, struct index_dir *dir)
{
	struct queue *queue = scan->queue;
	struct buf path = BUF_INIT;
	int error;

	pthread_mutex_lock(&queue->lock);
	error = dir_path(queue, dir, &path);
	queue_clock(queue, &scan->clock);
	scan->dir = dir;
	dir->listed_ns = scan->clock.now_ns;
	index_dir_begin(&queue->index, dir);
	pthread_mutex_unlock(&queue->lock);
	if (!error)
		error = store_list(queue->store, path.data, take_entry, scan);
	buf_release(&path);
	if (scan->stopped)
		return scan->error;
	pthread_mutex_lock(&queue->lock);
	if (!error && !scan->error) {
		index_dir_end(&queue->index, dir, queue_time(queue));
		dir->dirty = !refresh_is_clean(&scan->clock, dir->mtime, dir->mtime_since_ns);
		/* A huge directory that changes all the time is not listed all the time. */
		dir->rest_ns = 2 * clock_now() - dir->listed_ns;
	} else if (error == -ENOENT && dir->path[0]) {
		index_dir_gone(&queue->index, dir, queue_time(queue));
		error = 0;
	}
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
	return error ? error : scan->error;
}

/* True: it is time to. */
static bool list_all_again(struct scan *scan)
{
	struct queue *queue = scan->queue;
	uint32_t i;

	if (queue->conf.key == QCONF_KEY_NAME || scan->clock.now_ns < queue->relist_ns)
		return false;
	queue->relist_ns = scan->clock.now_ns + RELIST_MOST_NS;
	for (i = 0; i < queue->index.dir_count; i++)
		queue->index.dirs[i]->dirty = true;
	return true;
}

int64_t scan_relist_after(int64_t took_ns, uint32_t mounts)
{
	int64_t share = RELIST_SHARE * (int64_t)(mounts ? mounts : 1);

	if (took_ns >= RELIST_MOST_NS / share)
		return RELIST_MOST_NS;
	return took_ns * share > RELIST_LEAST_NS ? took_ns * share : RELIST_LEAST_NS;
}

static void listed_all_again(struct queue *queue, int64_t began_ns)
{
	int64_t now;

	pthread_mutex_lock(&queue->lock);
	now = clock_now();
	queue->relist_ns = now + scan_relist_after(now - began_ns, queue->node_count);
	pthread_mutex_unlock(&queue->lock);
}

/* What another has listed is not listed again; what it has named only is. */
static void share(struct scan *scan)
{
	struct queue *queue = scan->queue;
	uint32_t at;

	scan->share_from = UINT64_MAX;
	scan->stopped = false;
	share_take(queue);
	pthread_mutex_lock(&queue->lock);
	for (at = 0; at < queue->index.dir_count && !scan->error; at++) {
		struct index_dir *dir = queue->index.dirs[at];

		if (dir->gone || dir->dirty || dir->mtime != INT64_MIN)
			continue;
		dir->dirty = true;
		dir->mtime_since_ns = clock_now();
		scan->error = add_dir(scan, at);
	}
	pthread_mutex_unlock(&queue->lock);
}

static int list_unless_known(struct scan *scan, uint32_t at)
{
	struct queue *queue = scan->queue;
	bool known;

	pthread_mutex_lock(&queue->lock);
	known = queue->index.dirs[at]->gone || !queue->index.dirs[at]->dirty;
	pthread_mutex_unlock(&queue->lock);
	return known ? 0 : list_dir(scan, queue->index.dirs[at]);
}

static uint64_t share_from(const struct queue *queue)
{
	/* Later what changed is wanted at once, and another's listing is about as old as this mount's. */
	if (queue->refreshes || queue->sharing)
		return UINT64_MAX;
	return queue->options.share_from > 0 ? (uint64_t)queue->options.share_from : SHARE_FROM;
}

static void shared(struct queue *queue, int error)
{
	bool give_up;

	pthread_mutex_lock(&queue->lock);
	give_up = queue->sharing && error;
	queue->share_due = queue->sharing && !error;
	pthread_mutex_unlock(&queue->lock);
	if (give_up)
		share_end(queue, false);
}

int scan_look(struct queue *queue, struct scan_marks *ret_marks, struct scan **ret_scan)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	uint32_t at;

	*ret_scan = scan;
	if (!scan)
		return -ENOMEM;
	scan->queue = queue;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &scan->clock);
	scan->began_ns = scan->clock.now_ns;
	scan->all = list_all_again(scan);
	scan->share_from = share_from(queue);
	scan->cold = scan->share_from != UINT64_MAX && queue->index.dir_count == 1 && queue->index.dirs[0]->mtime == INT64_MIN;
	pthread_mutex_unlock(&queue->lock);
	at = look_from(scan, 0, ret_marks);
	while (!scan->error && at < queue->index.dir_count)
		at = look_from(scan, at, NULL);
	return scan->error;
}

static void list_all(struct scan *scan)
{
	uint32_t i;

	if (scan->stopped)
		share(scan);
	/* New sub-directories join at the end while this goes on. */
	for (i = 0; i < scan->count && !scan->error; i++) {
		scan->error = list_unless_known(scan, scan->dirs[i]);
		if (scan->stopped && !scan->error) {
			share(scan);
			if (!scan->error)
				scan->error = list_unless_known(scan, scan->dirs[i]);
		}
	}
}

int scan_list(struct scan *scan, int error, bool *ret_listed)
{
	*ret_listed = false;
	if (!scan)
		return error;
	scan->error = error;
	*ret_listed = scan->stopped || scan->count;
	if (!error)
		list_all(scan);
	if (scan->all && !scan->error)
		listed_all_again(scan->queue, scan->began_ns);
	shared(scan->queue, scan->error);
	error = scan->error;
	free(scan->dirs);
	free(scan);
	return error;
}
