/*
 * conn: one connection: its I/O thread, the requests it holds, and its reconnecting. Internal to the engine.
 *
 *   any thread:   conn_submit ──▶ incoming (lock) ──wake──┐
 *   I/O thread:   incoming ─▶ ready ─▶ encode ─▶ out (FIFO) ─▶ channel_write          sent: in order, and by id in the table
 *                 channel_read ─▶ in ─▶ whole packets ─▶ decode ─▶ finish
 *
 * Submitters wake the thread only when it sleeps, so a burst costs one wake-up. Connection 0 is wanted always and keeps its
 * requests while it is down (then `incoming` alone holds them, and the minder of the pool expires them); the others are opened
 * when the pool wants them, carry requests only while they are up, and give theirs back to the pool when they break.
 */
#ifndef CLAIMFS_SFTP_CONN_H
#define CLAIMFS_SFTP_CONN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "sftp/channel.h"
#include "sftp/request.h"
#include "sftp/stats.h"
#include "sftp/table.h"

enum conn_state { CONN_IDLE, CONN_CONNECTING, CONN_UP, CONN_ENDED };

struct stream {				/* bytes to send, or received and not parsed */
	uint8_t *data;
	size_t cap;
	size_t start;
	size_t end;
};

struct limits {
	uint32_t max_read;
	uint32_t max_write;
	uint32_t max_handles;		/* open at a time; 0: not told */
	unsigned int features;
};

struct conn {
	struct sftp *sftp;
	int index;
	pthread_t thread;
	bool started;
	int wake_fd;
	atomic_int state;		/* enum conn_state; written under the lock */
	atomic_uint session;		/* counts, from 1; written by the I/O thread */
	atomic_ullong load;		/* cost of the requests it holds */
	atomic_uint slow;		/* of these: slow operations, that others behind them wait for */
	atomic_llong retry_ns;		/* not to be wanted before */
	atomic_llong heard_ns;		/* when the peer last sent a byte */
	atomic_uint waiting;		/* requests sent and not answered, for the stats */
	struct stats_conn stats;

	pthread_mutex_t lock;		/* guards the next six */
	pthread_cond_t wanted_cond;
	bool wanted;
	bool asleep;
	bool dozing;			/* asleep, and awake again soon in any case */
	bool pressing;			/* there is a request in `incoming` that somebody waits for */
	struct list incoming;

	/* The I/O thread's from here on. */
	struct channel *channel;
	struct limits limits;
	struct list ready;		/* not encoded yet, in order */
	struct list sent;		/* in the table, in order of sending */
	struct list age;		/* all of these and those waiting for a handle, by deadline */
	struct list reopening;		/* slots with requests waiting */
	struct table table;
	struct stream out;
	struct stream in;
	uint64_t queued;		/* bytes put into `out` in this session */
	uint64_t written;		/* of these: handed to the channel */
	int64_t waiting_ns;		/* since when the peer owes an answer and has said nothing */
	int64_t answered_ns;		/* when it last answered anything */
	uint64_t answered_upto;		/* wire_start of the latest request that was answered in this session */
	int64_t up_ns;			/* since when this session is up */
	bool pushed_back;		/* the channel took less than it was offered */
	bool probing;
	unsigned int failures;		/* connecting, in a row */
	long long warned_ns;
	struct buf last_why;
};

int conn_new(struct sftp *sftp, int index, struct conn **ret_conn);
void conn_free(struct conn *conn);	/* after its thread was joined */
int conn_start(struct conn *conn);

/* Hands a request over. False (and nothing done): this connection can't carry it now. `wait`: it may wait for the connection being made. */
bool conn_submit(struct conn *conn, struct request *request, bool wait);
void conn_go(struct conn *conn);	/* wakes it for what was submitted while somebody held (sftp_hold) */
void conn_hurry(struct conn *conn);	/* wakes it for what nobody waited for when it was submitted */
void conn_want(struct conn *conn);
void conn_poke(struct conn *conn);	/* look whether the sftp is closing */

static inline bool conn_is_up(const struct conn *conn)
{
	return atomic_load(&conn->state) == CONN_UP;
}

/* Requests that have waited too long on a connection that is not up; any thread. */
void conn_expire_incoming(struct conn *conn, int64_t now);

/* A request on its connection's account: `load` and `slow`. Any thread. */
static inline void conn_charge(struct conn *conn, const struct request *request)
{
	atomic_fetch_add(&conn->load, request->cost);
	if (request->op->slow)
		atomic_fetch_add(&conn->slow, 1);
}

static inline void conn_discharge(struct conn *conn, const struct request *request)
{
	atomic_fetch_sub(&conn->load, request->cost);
	if (request->op->slow)
		atomic_fetch_sub(&conn->slow, 1);
}

/* Takes a request from its connection's account and finishes it. Any thread that owns the request. */
void conn_finish(struct request *request, struct answer *answer);
void conn_fail(struct request *request, int error);

/* ---- on the I/O thread ---- */

void conn_push(struct conn *conn, struct request *request);	/* encoded next, before all that are ready */
void conn_resume(struct conn *conn, struct list *requests);	/* the same for several, in their order */
void conn_close_handle(struct conn *conn, const char *handle, size_t len);	/* nobody waits for its answer */
void conn_own(struct conn *conn, struct request *request);	/* a request that must stay on this connection, from its own thread */
void conn_track(struct conn *conn, struct request *request);	/* into `age` */

/* INIT, VERSION, limits. 0 or -errno with `why`. */
int handshake(struct conn *conn, int64_t deadline_ns, struct buf *why);

/* Until the session breaks (its -errno) or the sftp closes (0). conn_io.c. */
int conn_run(struct conn *conn);

int stream_init(struct stream *stream, size_t cap);
void stream_release(struct stream *stream);
void stream_compact(struct stream *stream);

static inline size_t stream_len(const struct stream *stream)
{
	return stream->end - stream->start;
}

/* Reads once into `in`: > 0, 0 at end, -EAGAIN, or -errno; writes from `out`: bytes or -errno. Both count. */
ssize_t conn_read(struct conn *conn);
ssize_t conn_write(struct conn *conn);

#endif
