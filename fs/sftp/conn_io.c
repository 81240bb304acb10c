/*
 * conn_io: what a connection's thread does while it is up: takes requests, fills the output, writes, reads, answers, watches the clock.
 *
 * The output is an immutable FIFO of whole packets: small requests leave in one write, a packet's payload is copied into it when it is
 * encoded, so the caller's memory is needed by the request only. A peer that is silent for alive_ns though it owes an answer is dead.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "sftp/conn.h"
#include "sftp/handle.h"
#include "sftp/pool.h"

#define OUT_FULL (512u * 1024)		/* no further request is encoded while this much is to be sent */
#define ROUND_READS 8			/* reads a round, so that a fast peer can't keep requests from being taken */
#define PATIENCE 10			/* a request may wait this many time-outs in a line that moves */
#define PROBES 3			/* probes in alive_ns */
#define DOZE_NS (20 * NS_PER_MS)	/* after an answer: so long at most waits what nobody waits for */
#define SLOW_ALONE 4			/* with a single connection a slow operation may be silent for this many alive_ns */

/* ---- streams ---- */

int stream_init(struct stream *stream, size_t cap)
{
	stream->data = malloc(cap);
	stream->cap = cap;
	stream->start = 0;
	stream->end = 0;
	return stream->data ? 0 : -ENOMEM;
}

void stream_release(struct stream *stream)
{
	free(stream->data);
	memset(stream, 0, sizeof(*stream));
}

void stream_compact(struct stream *stream)
{
	size_t len = stream_len(stream);

	if (stream->start && len)
		memmove(stream->data, stream->data + stream->start, len);
	stream->start = 0;
	stream->end = len;
}

ssize_t conn_read(struct conn *conn)
{
	struct stream *in = &conn->in;
	ssize_t n;

	if (in->start == in->end)
		in->start = in->end = 0;
	else if (in->cap - in->end < PROTO_MAX_PACKET)
		stream_compact(in);
	n = conn->channel->ops->read(conn->channel, in->data + in->end, in->cap - in->end);
	if (n > 0) {
		in->end += (size_t)n;
		atomic_fetch_add_explicit(&conn->stats.received_bytes, (unsigned long long)n, memory_order_relaxed);
	}
	return n;
}

ssize_t conn_write(struct conn *conn)
{
	struct stream *out = &conn->out;
	ssize_t n = conn->channel->ops->write(conn->channel, out->data + out->start, stream_len(out));

	if (n > 0) {
		out->start += (size_t)n;
		conn->written += (uint64_t)n;
		atomic_fetch_add_explicit(&conn->stats.sent_bytes, (unsigned long long)n, memory_order_relaxed);
		if (out->start == out->end)
			out->start = out->end = 0;
	}
	return n;
}

/* ---- lists ---- */

/* By deadline. Nearly always the last. */
void conn_track(struct conn *conn, struct request *request)
{
	struct list *at = conn->age.prev;

	while (at != &conn->age && list_entry(at, struct request, age)->deadline_ns > request->deadline_ns)
		at = at->prev;
	list_prepend(at, &request->age);
}

void conn_push(struct conn *conn, struct request *request)
{
	request->state = REQUEST_READY;
	list_prepend(&conn->ready, &request->link);
}

void conn_own(struct conn *conn, struct request *request)
{
	int64_t timeout = conn->sftp->options.timeout_ns;

	request->conn = conn;
	request->submitted_ns = clock_now();
	request->deadline_ns = timeout ? request->submitted_ns + timeout : INT64_MAX;
	request->cost = POOL_REQUEST_COST;
	request->state = REQUEST_READY;
	conn_charge(conn, request);
	conn_track(conn, request);
	list_append(&conn->ready, &request->link);
}

void conn_resume(struct conn *conn, struct list *requests)
{
	struct list *link;

	list_for_each(link, requests)
		list_entry(link, struct request, link)->state = REQUEST_READY;
	list_splice(requests, &conn->ready);
	list_splice(&conn->ready, requests);
}

static void take_requests(struct conn *conn)
{
	struct list taken, *link;

	list_init(&taken);
	pthread_mutex_lock(&conn->lock);
	conn->asleep = conn->pressing = false;
	list_splice(&taken, &conn->incoming);
	pthread_mutex_unlock(&conn->lock);
	list_for_each(link, &taken) {
		struct request *request = list_entry(link, struct request, link);

		request->state = REQUEST_READY;
		conn_track(conn, request);
	}
	list_splice(&conn->ready, &taken);
}

/* ---- sending ---- */

static int encode(struct conn *conn, struct request *request, int64_t now)
{
	struct stream *out = &conn->out;
	struct writer writer;
	uint32_t id;

	if (out->cap - out->end < request_room(request, conn->limits.max_write))
		stream_compact(out);
	if (table_add(&conn->table, request, &id))
		return -ENOMEM;
	writer_init(&writer, out->data + out->end, out->cap - out->end);
	request_encode(request, id, conn->limits.max_read, conn->limits.max_write, &writer);
	assert(!writer.full);
	request->id = id;
	request->wire_start = conn->queued;
	request->sent_ns = now;
	request->state = REQUEST_SENT;
	if (request->bound)
		request->session = atomic_load(&conn->session);
	list_append(&conn->sent, &request->link);
	out->end += writer_len(&writer);
	conn->queued += writer_len(&writer);
	request->alone = conn->table.count == 1;
	if (request->alone)
		conn->waiting_ns = now;
	return 0;
}

static bool may_encode(struct conn *conn, struct request *request)
{
	if (request->bound && request->session && request->session != atomic_load(&conn->session)) {
		conn_fail(request, SFTP_UNKNOWN);
		return false;
	}
	return !request->slot || slot_prepare(conn, request);
}

/* True when it could go on but for room. */
static bool fill(struct conn *conn, int64_t now)
{
	struct request *request;
	bool direct = conn->sftp->options.direct;

	while (!list_empty(&conn->ready)) {
		if (stream_len(&conn->out) >= OUT_FULL || table_full(&conn->table) || (direct && stream_len(&conn->out)))
			return true;
		request = list_entry(list_pop(&conn->ready), struct request, link);
		if (may_encode(conn, request) && encode(conn, request, now))
			conn_fail(request, -ENOMEM);
	}
	return false;
}

/* 0 or -errno: it broke. */
static int send_all(struct conn *conn, int64_t now)
{
	bool more;
	ssize_t n;

	do {
		more = fill(conn, now);
		while (stream_len(&conn->out)) {
			n = conn_write(conn);
			if (n == -EAGAIN) {
				conn->pushed_back = true;
				return 0;
			}
			if (n < 0)
				return (int)n;
			if (conn->pushed_back)		/* it takes bytes again: somebody there reads them */
				conn->waiting_ns = now;
			conn->pushed_back = false;
		}
	} while (more && !table_full(&conn->table));
	return 0;
}

/* A request of the engine itself: nobody waits for its answer. */
static void send_own(struct conn *conn, enum op_kind kind, const void *body, size_t len)
{
	struct request *request = request_new(kind, len + 4, NULL, NULL);
	struct writer writer;

	if (!request)
		return;		/* a probe comes again, a handle is closed with its session */
	writer_init(&writer, request->body, request->body_len);
	writer_string(&writer, body, len);
	request->bound = true;
	request->conn = conn;
	conn_track(conn, request);
	conn_push(conn, request);
}

void conn_close_handle(struct conn *conn, const char *handle, size_t len)
{
	send_own(conn, OP_CLOSE, handle, len);
}

/* ---- receiving ---- */

static int ignore(struct conn *conn, uint32_t id)
{
	atomic_fetch_add(&conn->stats.ignored, 1);
	if (log_allowed(&conn->warned_ns))
		log_warn("the server sent an answer that nobody asked for (id %u): ignored", id);
	return 0;
}

/* Too late for who had asked; a handle it brings must be closed all the same. */
static int bury_answer(struct conn *conn, const struct op *op, uint8_t type, struct reader *body)
{
	const char *handle;
	size_t len;

	if (type != FXP_HANDLE || op->answer != FXP_HANDLE)
		return 0;
	handle = reader_string(body, &len);
	if (!body->bad && len && len <= PROTO_MAX_HANDLE)
		conn_close_handle(conn, handle, len);
	return 0;
}

static void count(struct conn *conn, const struct request *request, const struct answer *answer)
{
	bool data = request->op->kind == OP_READ || request->op->kind == OP_WRITE || request->op->kind == OP_COPY;
	int64_t latency_ns = answer->reply.received_ns - request->sent_ns;

	stats_count(&conn->sftp->stats, request->op, answer->reply.error, data ? answer->reply.len : 0, latency_ns);
	stats_count_conn(&conn->stats, request->alone && !request->op->slow && !data ? latency_ns : 0);
}

/* An answer that can't be one ends the request that it claims to answer (else it would be asked again for ever), then the session. */
static int answer_request(struct conn *conn, struct request *request, uint8_t type, struct reader *body, int64_t now)
{
	struct answer answer;
	int error = request_decode(request, type, body, &answer);

	list_remove(&request->link);
	if (request->wire_start > conn->answered_upto)
		conn->answered_upto = request->wire_start;
	if (error) {
		log_warn("the server's answer to a %s is malformed", request->op->name);
		answer.reply.error = error;
	} else if (request_advance(request, &answer)) {
		conn_push(conn, request);
		return 0;
	}
	if (request->slot)
		file_fill(request->slot->file, request, &answer);
	answer.reply.sent_ns = request->sent_ns;
	answer.reply.attrs.asked_ns = request->sent_ns;
	answer.reply.received_ns = now;
	count(conn, request, &answer);
	conn_finish(request, &answer);
	return error;
}

/* A server carries out one request after another: it began with this one when it had it and had answered those before. */
static void time_fsync(struct conn *conn, const struct request *request, int64_t now)
{
	int64_t begun_ns;

	if (request->op->kind != OP_FSYNC)
		return;
	begun_ns = request->sent_ns + atomic_load(&conn->stats.rtt_least_ns);
	pool_fsynced(conn->sftp, now - (begun_ns > conn->answered_ns ? begun_ns : conn->answered_ns));
}

static int dispatch(struct conn *conn, const uint8_t *packet, size_t len, int64_t now)
{
	struct request *request;
	const struct op *op;
	struct reader body;
	enum table_found found;
	uint8_t type;
	uint32_t id;

	reader_init(&body, packet + 4, len - 4);
	type = reader_u8(&body);
	id = reader_u32(&body);
	found = table_take(&conn->table, id, &request, &op);
	if (found == TABLE_REQUEST)
		time_fsync(conn, request, now);
	conn->answered_ns = now;
	switch (found) {
	case TABLE_REQUEST:
		return answer_request(conn, request, type, &body, now);
	case TABLE_GRAVE:
		return bury_answer(conn, op, type, &body);
	default:
		return ignore(conn, id);
	}
}

static int parse(struct conn *conn, int64_t now)
{
	struct stream *in = &conn->in;
	size_t len;
	int r;

	while ((r = codec_packet(in->data + in->start, stream_len(in), &len)) > 0) {
		const uint8_t *packet = in->data + in->start;

		in->start += len;
		r = dispatch(conn, packet, len, now);
		if (r)
			return r;
	}
	return r;
}

/* 1: there may be more to read; 0: no; -errno: it broke. */
static int receive(struct conn *conn)
{
	int round, r;
	ssize_t n;

	for (round = 0; round < ROUND_READS; round++) {
		int64_t now;

		n = conn_read(conn);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return n ? (int)n : -EPIPE;
		now = clock_now();
		conn->waiting_ns = now;
		atomic_store(&conn->heard_ns, now);
		r = parse(conn, now);
		if (r)
			return r;
	}
	return 1;
}

/* ---- the clock ---- */

/*
 * A line that moves is no reason to give up: behind megabytes on a slow link a request may wait long. But one that others, sent after
 * it, were answered before is in no line.
 */
static bool extend(struct conn *conn, struct request *request, int64_t now)
{
	int64_t timeout = conn->sftp->options.timeout_ns;

	if (request->state == REQUEST_WAITING || (request->state == REQUEST_SENT && request->wire_start < conn->answered_upto))
		return false;
	if (now - conn->answered_ns >= timeout || now - request->submitted_ns >= PATIENCE * timeout)
		return false;
	list_remove(&request->age);
	request->deadline_ns = conn->answered_ns + timeout;
	conn_track(conn, request);
	return true;
}

static void expire(struct conn *conn, int64_t now)
{
	while (!list_empty(&conn->age)) {
		struct request *request = list_entry(conn->age.next, struct request, age);

		if (request->deadline_ns > now)
			return;
		if (extend(conn, request, now))
			continue;
		list_remove(&request->link);
		if (request->state == REQUEST_SENT)
			table_bury(&conn->table, request->id);
		conn_fail(request, -ETIMEDOUT);
	}
}

static int64_t silence_allowed(const struct conn *conn)
{
	int64_t alive = conn->sftp->options.alive_ns;

	return conn->table.slow && conn->sftp->count == 1 ? SLOW_ALONE * alive : alive;
}

/* While a slow operation is under way, others show whether the server is there. */
static bool is_dead(const struct conn *conn, int64_t now)
{
	if (!conn->table.count || now - conn->waiting_ns < silence_allowed(conn))
		return false;
	return !conn->table.slow || !pool_heard_since(conn->sftp, conn, now - conn->sftp->options.alive_ns);
}

static void probe(struct conn *conn, int64_t now)
{
	if (conn->table.count || now - conn->waiting_ns < conn->sftp->options.alive_ns / PROBES)
		return;
	if (conn->channel->ops->keepalive)
		conn->channel->ops->keepalive(conn->channel);
	send_own(conn, OP_PROBE, ".", 1);
	conn->waiting_ns = now;
}

static int64_t next_event(const struct conn *conn, int64_t now)
{
	int64_t alive = conn->sftp->options.alive_ns;
	int64_t next = conn->waiting_ns + (conn->table.count ? silence_allowed(conn) : alive / PROBES);

	if (next <= now)		/* spared because of a slow operation: look again soon */
		next = now + alive / PROBES;
	if (!list_empty(&conn->age)) {
		int64_t deadline = list_entry(conn->age.next, struct request, age)->deadline_ns;

		if (deadline < next)
			next = deadline;
	}
	return next;
}

/* Sleeps unless something came meanwhile. */
static void rest(struct conn *conn)
{
	struct pollfd fds[CHANNEL_MAX_FDS + 1];
	int64_t now = clock_now(), left = next_event(conn, now) - now, doze = conn->answered_ns + DOZE_NS - now;
	bool idle, dozing = doze > 0 && doze <= DOZE_NS;
	int n;

	if (dozing && doze < left)
		left = doze;
	pthread_mutex_lock(&conn->lock);
	idle = list_empty(&conn->incoming) && !atomic_load(&conn->sftp->closing);
	conn->asleep = idle;
	conn->dozing = dozing;
	pthread_mutex_unlock(&conn->lock);
	if (!idle)
		return;
	n = conn->channel->ops->poll_fds(conn->channel, stream_len(&conn->out) > 0, fds);
	fds[n] = (struct pollfd){ .fd = conn->wake_fd, .events = POLLIN };
	poll(fds, (nfds_t)n + 1, left > 0 ? (int)(left / NS_PER_MS) + 1 : 0);
	if (fds[n].revents)
		io_wake_clear(conn->wake_fd);
}

int conn_run(struct conn *conn)
{
	while (!atomic_load(&conn->sftp->closing)) {
		int64_t now = clock_now();
		int more, error;

		take_requests(conn);
		expire(conn, now);
		probe(conn, now);
		error = send_all(conn, now);
		if (error)
			return error;
		more = receive(conn);
		if (more < 0)
			return more;
		atomic_store_explicit(&conn->waiting, conn->table.count, memory_order_relaxed);
		if (is_dead(conn, clock_now()))
			return -ETIMEDOUT;
		if (!more && (list_empty(&conn->ready) || stream_len(&conn->out) || table_full(&conn->table)))
			rest(conn);
	}
	return 0;
}
