/*
 * conn: see conn.h. Here: a connection's life (wanted, connecting, up, broken, ended), and what that means for its requests.
 * What it does while it is up is in conn_io.c.
 */
#include "sftp/conn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "sftp/handle.h"
#include "sftp/pool.h"

#define ATTEMPT_NS (30 * NS_PER_S)		/* longest a reconnect may take */
#define BACKOFF_FIRST_NS (100 * NS_PER_MS)
#define BACKOFF_MOST_NS (5 * NS_PER_S)
#define BACKOFF_BROKE_NS (20 * NS_PER_MS)	/* after a session that was short but answered something */
#define STEADY_NS (2 * NS_PER_S)		/* after one that lasted this long: at once */
#define OUT_BYTES (1024u * 1024)
#define IN_BYTES (1024u * 1024)

int conn_new(struct sftp *sftp, int index, struct conn **ret_conn)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->sftp = sftp;
	conn->index = index;
	conn->wanted = index == 0;
	list_init(&conn->incoming);
	list_init(&conn->ready);
	list_init(&conn->sent);
	list_init(&conn->age);
	list_init(&conn->reopening);
	table_init(&conn->table);
	pthread_mutex_init(&conn->lock, NULL);
	clock_cond_init(&conn->wanted_cond);
	conn->wake_fd = io_wake_new();
	if (conn->wake_fd < 0) {
		int error = conn->wake_fd;

		conn_free(conn);
		return error;
	}
	*ret_conn = conn;
	return 0;
}

void conn_free(struct conn *conn)
{
	if (!conn)
		return;
	if (conn->started)
		pthread_join(conn->thread, NULL);
	if (conn->wake_fd >= 0)
		io_close(&conn->wake_fd);
	table_release(&conn->table);
	stream_release(&conn->out);
	stream_release(&conn->in);
	buf_release(&conn->last_why);
	pthread_cond_destroy(&conn->wanted_cond);
	pthread_mutex_destroy(&conn->lock);
	free(conn);
}

static bool is_closing(const struct conn *conn)
{
	return atomic_load(&conn->sftp->closing);
}

/* ---- handing requests over ---- */

static bool must_wake_locked(const struct conn *conn)
{
	return conn->asleep && (conn->dozing ? conn->pressing : !list_empty(&conn->incoming));
}

bool conn_submit(struct conn *conn, struct request *request, bool wait)
{
	bool wake = false, taken;
	int state;

	pthread_mutex_lock(&conn->lock);
	state = atomic_load(&conn->state);
	taken = state == CONN_UP || (wait && !request->bound && state != CONN_ENDED && conn->wanted);
	if (taken) {
		request->conn = conn;
		conn_charge(conn, request);
		list_append(&conn->incoming, &request->link);
		conn->pressing |= !request->unhurried;
		/* Whoever holds lets go after this, and then looks at the list. */
		wake = must_wake_locked(conn) && !atomic_load(&conn->sftp->holding);
		conn->asleep = conn->asleep && !wake;
	}
	pthread_mutex_unlock(&conn->lock);
	if (wake)
		io_wake(conn->wake_fd);
	return taken;
}

void conn_hurry(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->pressing |= !list_empty(&conn->incoming);
	pthread_mutex_unlock(&conn->lock);
	conn_go(conn);
}

void conn_go(struct conn *conn)
{
	bool wake;

	pthread_mutex_lock(&conn->lock);
	wake = must_wake_locked(conn);
	conn->asleep = conn->asleep && !wake;
	pthread_mutex_unlock(&conn->lock);
	if (wake)
		io_wake(conn->wake_fd);
}

void conn_want(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	if (!conn->wanted && atomic_load(&conn->state) == CONN_IDLE) {
		conn->wanted = true;
		pthread_cond_signal(&conn->wanted_cond);
	}
	pthread_mutex_unlock(&conn->lock);
}

void conn_poke(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	pthread_cond_signal(&conn->wanted_cond);
	pthread_mutex_unlock(&conn->lock);
	io_wake(conn->wake_fd);
}

/* Off its connection's account, and its file's. */
static void settle(struct request *request)
{
	enum op_kind kind = request->op->kind;

	list_remove(&request->age);
	if (request->conn)
		conn_discharge(request->conn, request);
	if (request->slot && (kind == OP_READ || kind == OP_WRITE))
		atomic_fetch_sub(&request->slot->file->outstanding, request->len);
}

void conn_finish(struct request *request, struct answer *answer)
{
	settle(request);
	request_finish(request, answer);
}

void conn_fail(struct request *request, int error)
{
	settle(request);
	request_fail(request, error);
}

static void fail_all(struct list *requests, int error)
{
	struct list *link;

	while ((link = list_pop(requests)))
		conn_fail(list_entry(link, struct request, link), error);
}

void conn_expire_incoming(struct conn *conn, int64_t now)
{
	struct list late, *link, *next;

	list_init(&late);
	pthread_mutex_lock(&conn->lock);
	if (atomic_load(&conn->state) != CONN_UP) {
		list_for_each_safe(link, next, &conn->incoming) {
			if (list_entry(link, struct request, link)->deadline_ns > now)
				continue;
			list_remove(link);
			list_append(&late, link);
		}
	}
	pthread_mutex_unlock(&conn->lock);
	fail_all(&late, -ETIMEDOUT);
}

/* ---- the end of a session ---- */

static void set_state(struct conn *conn, enum conn_state state)
{
	pthread_mutex_lock(&conn->lock);
	atomic_store(&conn->state, state);
	if (state == CONN_IDLE)
		conn->wanted = conn->index == 0;
	pthread_mutex_unlock(&conn->lock);
}

/* May it be asked again, on another session? Not one that may have happened and must not happen twice. */
static bool may_repeat(const struct conn *conn, const struct request *request)
{
	if (request->bound)
		return false;
	if (request->state != REQUEST_SENT || request->wire_start >= conn->written)
		return true;
	return request->op->idempotent && !request->once;
}

static void sort_out(struct conn *conn, struct list *from, struct list *again, struct list *lost)
{
	struct list *link;

	while ((link = list_pop(from))) {
		struct request *request = list_entry(link, struct request, link);

		list_remove(&request->age);
		list_append(may_repeat(conn, request) ? again : lost, link);
		request->state = REQUEST_NEW;
	}
}

/* Everything the I/O thread holds: what may be sent again and what is lost. Its session ends with that. */
static void collect(struct conn *conn, struct list *again, struct list *lost)
{
	struct list waiting;

	list_init(&waiting);
	sort_out(conn, &conn->sent, again, lost);
	slots_broke(conn, &waiting);
	sort_out(conn, &waiting, again, lost);
	sort_out(conn, &conn->ready, again, lost);
	table_clear(&conn->table);
	atomic_store(&conn->waiting, 0);
	conn->probing = false;
}

static void take_incoming(struct conn *conn, struct list *ret)
{
	pthread_mutex_lock(&conn->lock);
	list_splice(ret, &conn->incoming);
	pthread_mutex_unlock(&conn->lock);
}

/* Connection 0 keeps its requests, before those that came meanwhile; the pool finds others for the rest. */
static void give_back(struct conn *conn, struct list *again)
{
	struct list *link;

	if (conn->index == 0) {
		pthread_mutex_lock(&conn->lock);
		list_splice(again, &conn->incoming);
		list_splice(&conn->incoming, again);
		pthread_mutex_unlock(&conn->lock);
		return;
	}
	take_incoming(conn, again);
	while ((link = list_pop(again))) {
		struct request *request = list_entry(link, struct request, link);

		conn_discharge(conn, request);
		request->conn = NULL;
		pool_reroute(conn->sftp, request);
	}
}

static void drop_channel(struct conn *conn)
{
	if (conn->channel)
		conn->channel->ops->free(conn->channel);
	conn->channel = NULL;
	stream_release(&conn->out);
	stream_release(&conn->in);
}

/* False: the sftp is closing. */
static bool pause_for(struct conn *conn, int64_t ns)
{
	struct pollfd fd = { .fd = conn->sftp->cancel_fd, .events = POLLIN };
	int64_t end = clock_now() + ns, left;

	while (!is_closing(conn) && (left = end - clock_now()) > 0)
		poll(&fd, 1, (int)(left / NS_PER_MS) + 1);
	return !is_closing(conn);
}

static bool is_change(const struct request *request)
{
	switch (request->op->kind) {
	case OP_OPEN:		/* a reopening (embedded) creates and cuts nothing */
		return !request->embedded && request->slot->file->flags & (SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC);
	case OP_SETSTAT:
	case OP_LSETSTAT:
	case OP_FSETSTAT:
	case OP_SYMLINK:
	case OP_MKDIR:
	case OP_RMDIR:
	case OP_REMOVE:
	case OP_RENAME:
	case OP_POSIX_RENAME:
	case OP_HARDLINK:
	case OP_WRITE:
	case OP_COPY:
		return true;
	default:
		return false;
	}
}

/* May the server still be at work at something that changes a file or a name? */
static bool changes(const struct conn *conn)
{
	struct list *link;

	list_for_each(link, &conn->sent) {
		const struct request *request = list_entry(link, struct request, link);

		if (request->wire_start < conn->written && is_change(request))
			return true;
	}
	return false;
}

static void session_over(struct conn *conn)
{
	int64_t settle_ns = changes(conn) ? conn->sftp->options.settle_ns : 0;
	struct list again, lost, taken;

	list_init(&again);
	list_init(&lost);
	list_init(&taken);
	set_state(conn, CONN_IDLE);
	collect(conn, &again, &lost);
	take_incoming(conn, &taken);
	sort_out(conn, &taken, &again, &lost);
	if (conn->channel && conn->channel->ops->abandon)
		conn->channel->ops->abandon(conn->channel);
	drop_channel(conn);
	if (conn->index == 0)
		pool_down(conn);
	if (settle_ns)
		pause_for(conn, settle_ns);
	fail_all(&lost, SFTP_UNKNOWN);
	give_back(conn, &again);
}

static void log_break(struct conn *conn, int error)
{
	const char *reason = conn->channel && conn->channel->ops->reason ? conn->channel->ops->reason(conn->channel) : "";

	if (log_allowed(&conn->warned_ns))
		log_warn("connection %d to the server broke (%s%s%s); connecting again", conn->index,
			 log_strerror(error), *reason ? ": " : "", reason);
	atomic_fetch_add(&conn->stats.reconnects, 1);
}

/* ---- connecting ---- */

/* Half to one and a half: 200 nodes must not come at once. */
static int64_t jitter(int64_t delay)
{
	return delay / 2 + (int64_t)(clock_random() % (uint64_t)delay);
}

static int64_t backoff_ns(unsigned int failures)
{
	int64_t delay = BACKOFF_FIRST_NS;
	unsigned int i;

	for (i = 1; i < failures && delay < BACKOFF_MOST_NS; i++)
		delay *= 2;
	return jitter(delay < BACKOFF_MOST_NS ? delay : BACKOFF_MOST_NS);
}

/* A session is over: when may the next one be tried? */
static void plan_retry(struct conn *conn)
{
	int64_t now = clock_now(), delay = 0;

	if (now - conn->up_ns >= STEADY_NS) {
		conn->failures = 0;
	} else if (conn->answered_ns >= conn->up_ns) {
		conn->failures = 0;
		delay = jitter(BACKOFF_BROKE_NS);
	} else {
		delay = backoff_ns(++conn->failures);
	}
	atomic_store(&conn->retry_ns, now + delay);
}

static int64_t attempt_deadline(const struct conn *conn)
{
	int64_t timeout = conn->sftp->options.timeout_ns;

	if (atomic_load(&conn->session) || conn->index)
		return clock_now() + ATTEMPT_NS;
	return timeout ? clock_now() + timeout : INT64_MAX;	/* the first may ask a person for a password */
}

/* *ret_again: it failed, but the maker has another way. */
static int make_channel_once(struct conn *conn, struct channel_maker *maker, bool *ret_again, struct buf *why)
{
	int64_t deadline_ns = attempt_deadline(conn);
	int error;

	error = stream_init(&conn->out, OUT_BYTES);
	if (!error)
		error = stream_init(&conn->in, IN_BYTES);
	if (!error)
		error = maker->open(maker, deadline_ns, conn->sftp->cancel_fd, &conn->channel, why);
	if (!error) {
		error = handshake(conn, deadline_ns, why);
		*ret_again = maker->spoke && !is_closing(conn) && maker->spoke(maker, !error) && error;
	}
	if (error)
		drop_channel(conn);
	return error;
}

static struct channel_maker *maker_for(const struct conn *conn)
{
	const struct sftp *sftp = conn->sftp;

	return conn->index && sftp->options.data_maker && !pool_is_far(sftp) ? sftp->options.data_maker : sftp->maker;
}

static int make_channel(struct conn *conn, struct buf *why)
{
	struct channel_maker *maker = maker_for(conn);
	bool again = false;
	int error;

	error = make_channel_once(conn, maker, &again, why);
	if (!again)
		return error;
	buf_reset(why);
	return make_channel_once(conn, maker, &again, why);
}

static void connect_failed(struct conn *conn, int error, const struct buf *why)
{
	const char *text = why->len ? buf_text(why) : log_strerror(error);

	conn->failures++;
	if (strcmp(buf_text(&conn->last_why), text) != 0) {
		buf_reset(&conn->last_why);
		buf_adds(&conn->last_why, text);
		if (!atomic_load(&conn->session) && !conn->index)	/* sftp_connect() tells it, if it stays so */
			log_debug("connecting to the server failed: %s", text);
		else if (!is_closing(conn))
			log_warn("connecting to the server failed: %s", text);
	}
	pool_failed(conn, error, text);
	atomic_store(&conn->retry_ns, clock_now() + backoff_ns(conn->failures));
}

static void connected(struct conn *conn)
{
	if (conn->failures && conn->last_why.len)
		log_info("connection %d to the server is up", conn->index);
	buf_reset(&conn->last_why);
	conn->queued = 0;
	conn->written = 0;
	conn->pushed_back = false;
	conn->up_ns = clock_now();
	conn->waiting_ns = conn->up_ns;
	conn->answered_upto = 0;
	atomic_store(&conn->heard_ns, conn->up_ns);
	atomic_fetch_add(&conn->session, 1);
	set_state(conn, CONN_UP);
	pool_connected(conn, &conn->limits);
}

static bool try_connect(struct conn *conn)
{
	struct buf why = BUF_INIT;
	struct list again;
	int error;

	set_state(conn, CONN_CONNECTING);
	pool_down(conn);
	error = make_channel(conn, &why);
	if (!error) {
		connected(conn);
	} else {
		set_state(conn, CONN_IDLE);
		connect_failed(conn, error, &why);
		list_init(&again);
		if (conn->index)
			give_back(conn, &again);
	}
	buf_release(&why);
	return !error;
}

/* Until somebody wants this connection, and its back-off is over. False: the sftp is closing. */
static bool await_wanted(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	while (!conn->wanted && !is_closing(conn))
		clock_cond_wait(&conn->wanted_cond, &conn->lock, INT64_MAX);
	pthread_mutex_unlock(&conn->lock);
	return pause_for(conn, atomic_load(&conn->retry_ns) - clock_now());
}

/* Nothing may be left, and nothing may come after. */
static void end(struct conn *conn)
{
	struct list all, lost;
	bool ended = false;

	list_init(&all);
	list_init(&lost);
	set_state(conn, CONN_IDLE);
	collect(conn, &all, &lost);
	drop_channel(conn);
	list_splice(&all, &lost);
	while (!ended) {
		fail_all(&all, -ENOTCONN);
		list_splice(&all, &conn->ready);	/* the engine's own, to close what a listing had open */
		pthread_mutex_lock(&conn->lock);
		list_splice(&all, &conn->incoming);
		ended = list_empty(&all);
		if (ended)
			atomic_store(&conn->state, CONN_ENDED);
		pthread_mutex_unlock(&conn->lock);
	}
}

static void *conn_thread(void *arg)
{
	struct conn *conn = arg;
	int error;

	while (await_wanted(conn)) {
		if (!try_connect(conn))
			continue;
		error = conn_run(conn);
		if (is_closing(conn))
			break;
		log_break(conn, error);
		plan_retry(conn);
		session_over(conn);
	}
	end(conn);
	return NULL;
}

/* Signals belong to the program's other threads; and a write to a child that has died is to be EPIPE. */
int conn_start(struct conn *conn)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&conn->thread, NULL, conn_thread, conn);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	conn->started = !error;
	return -error;
}
