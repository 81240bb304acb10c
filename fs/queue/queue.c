/*
 * queue: opening and closing. The verbs are in verbs.c, taking in take.c, the view in view.c and status.c.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/keep.h"
#include "queue/remember.h"
#include "queue/share.h"

void queue_clock(struct queue *queue, struct index_clock *ret_clock)
{
	ret_clock->now_ns = clock_now();
	ret_clock->lease_ns = queue->conf.lease_ns;
	if (!lease_time(queue->lease, ret_clock->now_ns, &ret_clock->server_ns, &ret_clock->server_max_ns))
		ret_clock->server_ns = ret_clock->server_max_ns = INT64_MIN;
}

int64_t queue_time(struct queue *queue)
{
	struct index_clock clock;

	queue_clock(queue, &clock);
	/* For people only: no decision rests on a time that is not the server's. */
	return (clock.server_ns != INT64_MIN ? clock.server_ns : clock_wall()) / NS_PER_S;
}

void queue_changed_locked(struct queue *queue)
{
	pthread_cond_broadcast(&queue->changed);
}

int queue_probe(struct store *store, struct qconf *ret_conf, struct buf *why)
{
	struct flight flight = FLIGHT_INIT;
	struct buf text = BUF_INIT;
	int error;

	flight_read(&flight, QCONF_PATH, 0, QCONF_MAX_BYTES + 1, &text);
	flight_run(&flight, store);
	error = flight_error(&flight, 0) ? flight_error(&flight, 0) : buf_error(&text);
	flight_release(&flight);
	if (error && error != -ENOENT)
		buf_addf(why, "%s: cannot be read: %s", QCONF_PATH, log_strerror(error));
	if (!error && text.len > QCONF_MAX_BYTES) {
		buf_addf(why, "%s: longer than %d bytes", QCONF_PATH, QCONF_MAX_BYTES);
		error = -EINVAL;
	}
	if (!error) {
		error = qconf_init(ret_conf);
		if (!error)
			error = qconf_parse(ret_conf, QCONF_PATH, buf_text(&text), text.len, why);
		if (!error) {
			error = qconf_check(ret_conf, why);
			if (error)
				qconf_release(ret_conf);
		}
	}
	buf_release(&text);
	return error;
}

static int check_input(struct queue *queue, struct buf *why)
{
	struct flight flight = FLIGHT_INIT;
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s/.", queue->conf.input);
	flight_lstat(&flight, buf_text(&path));
	flight_run(&flight, queue->store);
	error = buf_error(&path) ? buf_error(&path) : flight_error(&flight, 0);
	if (error)
		buf_addf(why, "%s: the input directory %s it names can't be used: %s; make it, or name another", QCONF_PATH, queue->conf.input,
			 log_strerror(error == STORE_FAILURE ? -ENOTDIR : error));
	flight_release(&flight);
	buf_release(&path);
	return error == -ENOENT ? -ENOTDIR : error;	/* -ENOENT says that there is no queue */
}

static void free_maps(struct queue *queue)
{
	map_release(&queue->log_by_name);
	map_release(&queue->node_by_name);
	map_release(&queue->keys);
	map_release(&queue->held_by_name);
	map_release(&queue->held_by_stage);
	map_release(&queue->stage_dirs);
	map_release(&queue->committing);
	map_release(&queue->answered);
	map_release(&queue->made_dirs);
}

static void free_list(struct list *list, size_t offset)
{
	struct list *at;

	while ((at = list_pop(list)) != NULL)
		free((char *)at - offset);
}

static void queue_free(struct queue *queue)
{
	struct list *at;

	while ((at = list_pop(&queue->held)) != NULL)
		held_free(list_entry(at, struct held, link));
	free_list(&queue->debts, offsetof(struct debt, link));
	free_list(&queue->heals, offsetof(struct debt, link));
	free_list(&queue->dirt, offsetof(struct dirt, link));
	if (queue->log_file)
		store_close(queue->store, queue->log_file);
	buf_release(&queue->log_text);
	buf_release(&queue->log_sending);
	lease_free(queue->lease);
	free_maps(queue);
	free(queue->logs);
	free(queue->nodes);
	free(queue->order);
	index_release(&queue->index);
	qconf_release(&queue->conf);
	free(queue->host);
	pthread_cond_destroy(&queue->changed);
	pthread_cond_destroy(&queue->work);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

static int init(struct queue *queue, const struct queue_options *options)
{
	struct lease_options lease = {
		.host = options->host, .pid = options->pid, .lease_ns = queue->conf.lease_ns, .link_limit = options->link_limit,
	};
	int error;

	queue->options = *options;
	queue->options.host = queue->host = strdup(options->host ? options->host : "");
	if (queue->options.ttl_ns <= 0)
		queue->options.ttl_ns = NS_PER_S;
	queue->viewed_ns = INT64_MIN;
	queue->failed_mtime = queue->redo_mtime = INT64_MIN;
	queue->failed_since_ns[1] = queue->redo_since_ns[1] = INT64_MIN;
	queue->remember_ns = clock_now() + NS_PER_S * 5;
	queue->random = options->seed ^ 0x5851f42d4c957f2dULL;
	list_init(&queue->held);
	list_init(&queue->debts);
	list_init(&queue->heals);
	list_init(&queue->dirt);
	pthread_mutex_init(&queue->lock, NULL);
	clock_cond_init(&queue->changed);
	clock_cond_init(&queue->work);
	error = index_init(&queue->index, &queue->conf, options->seed);
	if (!error)
		error = lease_new(queue->store, &lease, &queue->lease);
	return error ? error : queue->host ? 0 : -ENOMEM;
}

/* Nothing is known yet, whatever was. */
static int forget(struct queue *queue)
{
	map_release(&queue->log_by_name);
	map_release(&queue->node_by_name);
	map_release(&queue->keys);
	free(queue->logs);
	free(queue->nodes);
	queue->logs = NULL;
	queue->nodes = NULL;
	queue->log_count = queue->node_count = 0;
	queue->first_done = queue->last_done = 0;
	memset(&queue->spent, 0, sizeof(queue->spent));
	queue->has_spent = false;
	memset(&queue->walls, 0, sizeof(queue->walls));
	memset(&queue->hedges, 0, sizeof(queue->hedges));
	index_release(&queue->index);
	return index_init(&queue->index, &queue->conf, queue->options.seed);
}

static int recall(struct queue *queue)
{
	int error;

	if (!queue->options.keep)
		return 0;
	error = remember_load(queue);
	if (!error)
		return 0;
	if (error == -ESTALE) {
		log_debug("queue: logs that were remembered are gone: all are read again");
		error = forget(queue);
		if (!error)
			error = remember_load_inputs(queue);
		if (!error)
			return 0;
	}
	log_info("queue: what was remembered of it cannot be used (%s): it is learned anew", log_strerror(error));
	return forget(queue);
}

int queue_open(struct store *store, const struct queue_options *options, struct queue **ret_queue, struct buf *why)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	int error;

	if (!queue)
		return -ENOMEM;
	queue->store = store;
	error = queue_probe(store, &queue->conf, why);
	if (error) {
		if (error == -ENOENT)
			buf_addf(why, "no queue here: %s is missing (claimctl init makes one)", QCONF_PATH);
		free(queue);
		return error;
	}
	error = init(queue, options);
	if (!error)
		error = check_input(queue, why);
	if (!error)
		error = recall(queue);
	if (!error)
		error = keeper_start(queue);
	if (error) {
		queue_free(queue);
		return error;
	}
	*ret_queue = queue;
	return 0;
}

const struct qconf *queue_conf(const struct queue *queue)
{
	return &queue->conf;
}

int64_t queue_heartbeat_age(struct queue *queue)
{
	return lease_age(queue->lease, clock_now());
}

/* ---- closing ---- */

static void release_all(struct queue *queue, int64_t deadline)
{
	struct list *at, *next;
	struct held *held;
	bool busy = true;

	pthread_mutex_lock(&queue->lock);
	while (busy && clock_now() < deadline) {
		busy = false;
		list_for_each_safe(at, next, &queue->held) {
			held = list_entry(at, struct held, link);
			if (held->busy || !held->claimed)
				busy = true;
			else
				release_held_locked(queue, held, lease_good(queue->lease, &held->stand) ? DEBT_FREE : DEBT_LOST);
		}
		if (busy)
			clock_cond_wait(&queue->changed, &queue->lock, deadline);
	}
	pthread_mutex_unlock(&queue->lock);
}

/* Claims that were not given back: debts, and what time ran out for before it was one. */
static bool owes(struct queue *queue)
{
	bool found;

	pthread_mutex_lock(&queue->lock);
	found = !list_empty(&queue->debts) || !list_empty(&queue->held);
	pthread_mutex_unlock(&queue->lock);
	return found;
}

static void remove_tmp(struct queue *queue)
{
	char node[LAYOUT_MAX_NODE + 1], path[LAYOUT_PATH];
	struct flight flight = FLIGHT_INIT;

	if (!lease_node(queue->lease, node, NULL))
		return;
	layout_tmp(path, node);
	flight_rmdir(&flight, path);
	flight_run(&flight, queue->store);
	flight_release(&flight);
}

void queue_close(struct queue *queue, int64_t timeout_ns)
{
	int64_t deadline = clock_now() + timeout_ns, wait;
	int error;

	if (!queue)
		return;
	keeper_stop(queue);
	if (queue->sharing)
		share_end(queue, queue->share_due);
	release_all(queue, deadline);
	debts_pay(queue);
	error = logs_flush(queue);
	while ((owes(queue) || error) && clock_now() < deadline && !store_cancelled(queue->store)) {
		/* What was not acknowledged is repeated, with a pause that the disk may need to come back. */
		pthread_mutex_lock(&queue->lock);
		wait = clock_now() + NS_PER_S / 5;
		clock_cond_wait(&queue->changed, &queue->lock, wait < deadline ? wait : deadline);
		pthread_mutex_unlock(&queue->lock);
		debts_pay(queue);
		error = logs_flush(queue);
	}
	if (!error)
		error = logs_flush(queue);
	if (error)
		log_warn("queue: the log could not be written to its end (%s): what it lacks is found by the markers", log_strerror(error));
	if (owes(queue))
		log_warn("queue: the disk did not answer: this node's claims become free when its lease has run out");
	sweep_run(queue);
	remove_tmp(queue);
	if (!error)
		remember_close(queue);
	lease_stop(queue->lease);
	queue_free(queue);
}
