/* pool: the connections from beginning to end, and what they report. Which of them carries what is in pool_choose.c. */
#include "sftp/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/io.h"
#include "base/log.h"

#define MIND_TICK_NS (50 * NS_PER_MS)	/* while a connection is down, late requests are looked for this often */
#define ALIVE_DEFAULT_NS (15 * NS_PER_S)
#define CORES_A_CONNECTION 4		/* ours, ssh's and who reads or writes; on loopback the server's two as well */

/* ---- reports ---- */

void pool_connected(struct conn *conn, const struct limits *limits)
{
	struct sftp *sftp = conn->sftp;

	if (conn->index)
		return;
	atomic_store(&sftp->features, limits->features);
	atomic_store(&sftp->max_read, limits->max_read);
	atomic_store(&sftp->max_write, limits->max_write);
	atomic_store(&sftp->max_handles, limits->max_handles);
	pthread_mutex_lock(&sftp->lock);
	if (sftp->start == POOL_STARTING)
		sftp->start = POOL_STARTED;
	pthread_cond_broadcast(&sftp->changed);
	pthread_mutex_unlock(&sftp->lock);
}

/* At the start a server that is not there is told at once. One that drops connections (MaxStartups) has accepted them first: that passes. */
static bool is_final(int error)
{
	return error == -EACCES || error == -EPERM || error == -ENOENT || error == -EINVAL || error == -ECONNREFUSED ||
	       error == -EHOSTUNREACH || error == -ENETUNREACH;
}

void pool_failed(struct conn *conn, int error, const char *why)
{
	struct sftp *sftp = conn->sftp;

	pthread_mutex_lock(&sftp->lock);
	if (conn->index == 0 && sftp->start == POOL_STARTING) {
		buf_reset(&sftp->start_why);
		buf_adds(&sftp->start_why, why);
		sftp->start_error = error;
		if (is_final(error))
			sftp->start = POOL_FAILED;
		pthread_cond_broadcast(&sftp->changed);
	}
	pthread_mutex_unlock(&sftp->lock);
}

void pool_down(struct conn *conn)
{
	struct sftp *sftp = conn->sftp;

	pthread_mutex_lock(&sftp->lock);
	pthread_cond_broadcast(&sftp->changed);
	pthread_mutex_unlock(&sftp->lock);
}

bool pool_heard_since(const struct sftp *sftp, const struct conn *but, int64_t since_ns)
{
	int i;

	for (i = 0; i < sftp->count; i++)
		if (sftp->conns[i] != but && conn_is_up(sftp->conns[i]) && atomic_load(&sftp->conns[i]->heard_ns) >= since_ns)
			return true;
	return false;
}

int pool_up_count(const struct sftp *sftp)
{
	int i, count = 0;

	for (i = 0; i < sftp->count; i++)
		count += conn_is_up(sftp->conns[i]);
	return count;
}

/* ---- the minder: while a connection's thread is busy connecting, somebody must look at its requests' deadlines ---- */

static bool any_down(const struct sftp *sftp)
{
	int i;

	for (i = 0; i < sftp->count; i++)
		if (atomic_load(&sftp->conns[i]->state) == CONN_CONNECTING || (i == 0 && !conn_is_up(sftp->conns[i])))
			return true;
	return false;
}

static void *mind(void *arg)
{
	struct sftp *sftp = arg;
	int i;

	pthread_mutex_lock(&sftp->lock);
	while (!atomic_load(&sftp->closing)) {
		int64_t now = clock_now();

		clock_cond_wait(&sftp->changed, &sftp->lock, any_down(sftp) ? now + MIND_TICK_NS : INT64_MAX);
		pthread_mutex_unlock(&sftp->lock);
		for (i = 0; i < sftp->count; i++)
			conn_expire_incoming(sftp->conns[i], clock_now());
		pthread_mutex_lock(&sftp->lock);
	}
	pthread_mutex_unlock(&sftp->lock);
	return NULL;
}

/* ---- beginning and end ---- */

static int sftp_new(struct channel_maker *maker, const struct sftp_options *options, struct sftp **ret_sftp)
{
	struct sftp *sftp = calloc(1, sizeof(*sftp));
	int i, error = 0;

	if (!sftp)
		return -ENOMEM;
	sftp->maker = maker;
	sftp->options = *options;
	if (sftp->options.alive_ns <= 0)
		sftp->options.alive_ns = ALIVE_DEFAULT_NS;
	if (sftp->options.near_data <= 0)
		sftp->options.near_data = cores_count() < CORES_A_CONNECTION ? 1 : cores_count() / CORES_A_CONNECTION;
	pthread_mutex_init(&sftp->lock, NULL);
	clock_cond_init(&sftp->changed);
	sftp->cancel_fd = io_wake_new();
	if (sftp->cancel_fd < 0)
		error = sftp->cancel_fd;
	for (i = 0; !error && i < POOL_MAX_CONNS && (i < 1 || i < options->connections); i++) {
		error = conn_new(sftp, i, &sftp->conns[i]);
		if (!error)
			sftp->count = i + 1;
	}
	if (error) {
		sftp_free(sftp);
		return error;
	}
	*ret_sftp = sftp;
	return 0;
}

static int start_threads(struct sftp *sftp)
{
	int i, error = 0;

	for (i = 0; !error && i < sftp->count; i++)
		error = conn_start(sftp->conns[i]);
	if (!error)
		error = -pthread_create(&sftp->minder, NULL, mind, sftp);
	sftp->minding = !error;
	return error;
}

static int await_start(struct sftp *sftp, struct buf *why)
{
	int64_t deadline_ns = sftp->options.timeout_ns ? clock_now() + sftp->options.timeout_ns : INT64_MAX;
	int error = 0;

	pthread_mutex_lock(&sftp->lock);
	while (sftp->start == POOL_STARTING && !error)
		error = clock_cond_wait(&sftp->changed, &sftp->lock, deadline_ns);
	if (sftp->start == POOL_STARTED)
		error = 0;
	else if (sftp->start == POOL_FAILED)
		error = sftp->start_error;
	if (error && sftp->start_why.len)
		buf_adds(why, buf_text(&sftp->start_why));
	else if (error)
		buf_adds(why, "the server did not answer in time");
	pthread_mutex_unlock(&sftp->lock);
	return error;
}

int sftp_connect(struct channel_maker *maker, const struct sftp_options *options, struct sftp **ret_sftp, struct buf *why)
{
	struct sftp *sftp;
	int error = sftp_new(maker, options, &sftp);

	if (error) {
		buf_addf(why, "starting the SFTP engine: %s", log_strerror(error));
		return error;
	}
	error = start_threads(sftp);
	if (error)
		buf_addf(why, "starting the SFTP engine's threads: %s", log_strerror(error));
	else
		error = await_start(sftp, why);
	if (error) {
		sftp_free(sftp);
		return error;
	}
	*ret_sftp = sftp;
	return 0;
}

void sftp_hold(struct sftp *sftp)
{
	atomic_fetch_add(&sftp->holding, 1);
}

void sftp_go(struct sftp *sftp)
{
	int i;

	atomic_fetch_sub(&sftp->holding, 1);
	for (i = 0; i < sftp->count; i++)
		conn_go(sftp->conns[i]);
}

void sftp_hurry(struct sftp *sftp)
{
	int i;

	for (i = 0; i < sftp->count; i++)
		conn_hurry(sftp->conns[i]);
}

static void begin_closing(struct sftp *sftp)
{
	int i;

	atomic_store(&sftp->closing, true);
	if (sftp->cancel_fd >= 0)
		io_wake(sftp->cancel_fd);
	pthread_mutex_lock(&sftp->lock);
	pthread_cond_broadcast(&sftp->changed);
	pthread_mutex_unlock(&sftp->lock);
	for (i = 0; i < sftp->count; i++)
		conn_poke(sftp->conns[i]);
}

void sftp_free(struct sftp *sftp)
{
	int i;

	if (!sftp)
		return;
	begin_closing(sftp);
	if (sftp->minding)
		pthread_join(sftp->minder, NULL);
	for (i = 0; i < sftp->count; i++)		/* a completion of one may look at any other */
		if (sftp->conns[i]->started) {
			pthread_join(sftp->conns[i]->thread, NULL);
			sftp->conns[i]->started = false;
		}
	for (i = 0; i < sftp->count; i++)
		conn_free(sftp->conns[i]);
	if (sftp->cancel_fd >= 0)
		io_close(&sftp->cancel_fd);
	buf_release(&sftp->start_why);
	pthread_cond_destroy(&sftp->changed);
	pthread_mutex_destroy(&sftp->lock);
	free(sftp);
}

unsigned int sftp_features(const struct sftp *sftp)
{
	return atomic_load(&sftp->features);
}

uint32_t sftp_max_handles(const struct sftp *sftp)
{
	return atomic_load(&sftp->max_handles);
}

uint32_t sftp_max_read(const struct sftp *sftp)
{
	return atomic_load(&sftp->max_read);
}

uint32_t sftp_max_write(const struct sftp *sftp)
{
	return atomic_load(&sftp->max_write);
}

void sftp_stats(struct sftp *sftp, struct buf *ret_json)
{
	static const char *const states[] = { "idle", "connecting", "up", "ended" };
	struct stats_conn_view views[POOL_MAX_CONNS];
	int i;

	for (i = 0; i < sftp->count; i++)
		views[i] = (struct stats_conn_view){
			.counts = &sftp->conns[i]->stats,
			.state = states[atomic_load(&sftp->conns[i]->state)],
			.waiting = atomic_load(&sftp->conns[i]->waiting),
		};
	stats_json(&sftp->stats, views, sftp->count, ret_json);
}
