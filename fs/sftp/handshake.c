/*
 * handshake: the first words of a session: INIT, VERSION with the server's extensions, and its limits where it tells them.
 * Source: draft-ietf-secsh-filexfer-02, section 4; OpenSSH's PROTOCOL, section 4.8.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/codec.h"
#include "sftp/conn.h"
#include "sftp/pool.h"

static const struct {
	const char *name;
	const char *version;
	unsigned int feature;
} extensions[] = {
	{ EXT_POSIX_RENAME, "1", SFTP_HAS_POSIX_RENAME },
	{ EXT_HARDLINK, "1", SFTP_HAS_HARDLINK },
	{ EXT_FSYNC, "1", SFTP_HAS_FSYNC },
	{ EXT_STATVFS, "2", SFTP_HAS_STATVFS },
	{ EXT_LSETSTAT, "1", SFTP_HAS_LSETSTAT },
	{ EXT_LIMITS, "1", SFTP_HAS_LIMITS },
	{ EXT_COPY_DATA, "1", SFTP_HAS_COPY_DATA },
	{ EXT_EXPAND_PATH, "1", SFTP_HAS_EXPAND_PATH },
};

/* Until the channel may be ready. 0, -ETIMEDOUT, or -ENOTCONN: the sftp is closing. */
static int await_channel(struct conn *conn, int64_t deadline_ns)
{
	struct pollfd fds[CHANNEL_MAX_FDS + 1];
	int n = conn->channel->ops->poll_fds(conn->channel, stream_len(&conn->out) > 0, fds);
	int64_t left = deadline_ns - clock_now();

	if (atomic_load(&conn->sftp->closing))
		return -ENOTCONN;
	if (left <= 0)
		return -ETIMEDOUT;
	if (left > 60 * NS_PER_S)
		left = 60 * NS_PER_S;
	fds[n] = (struct pollfd){ .fd = conn->sftp->cancel_fd, .events = POLLIN };
	poll(fds, (nfds_t)n + 1, (int)(left / NS_PER_MS) + 1);
	return 0;
}

/* It can't be written to any more: what reading says may tell why (a child's last words). */
static int why_broken(struct conn *conn, int error)
{
	ssize_t n = conn_read(conn);

	return n < 0 && n != -EAGAIN ? (int)n : error;
}

/* Sends what is in `out`, waits for one packet: *ret_body is what follows its type and lies in `in`. The type, or -errno. */
static int exchange(struct conn *conn, int64_t deadline_ns, struct reader *ret_body)
{
	struct stream *in = &conn->in;
	size_t len;
	ssize_t n = 0;
	int r;

	for (;;) {
		while (stream_len(&conn->out) && (n = conn_write(conn)) > 0)
			;
		if (stream_len(&conn->out) && n != -EAGAIN)
			return why_broken(conn, (int)n);
		r = codec_packet(in->data + in->start, stream_len(in), &len);
		if (r < 0)
			return r;
		if (r) {
			reader_init(ret_body, in->data + in->start + 4, len - 4);
			in->start += len;
			return reader_u8(ret_body);
		}
		n = conn_read(conn);
		if (n == -EAGAIN)
			n = await_channel(conn, deadline_ns);
		else if (!n)
			n = -EPIPE;
		if (n < 0)
			return (int)n;
	}
}

static bool same_text(const char *text, const char *bytes, size_t len)
{
	return strlen(text) == len && !memcmp(text, bytes, len);
}

static unsigned int read_extensions(struct reader *body)
{
	unsigned int features = 0;
	size_t i;

	while (body->left && !body->bad) {
		size_t name_len, version_len;
		const char *name = reader_string(body, &name_len), *version = reader_string(body, &version_len);

		for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]) && !body->bad; i++)
			if (same_text(extensions[i].name, name, name_len) && same_text(extensions[i].version, version, version_len))
				features |= extensions[i].feature;
	}
	if (body->bad)
		log_debug("the server's list of extensions is malformed; what follows was ignored");
	return features;
}

static int say_hello(struct conn *conn, int64_t deadline_ns, struct reader *ret_body)
{
	struct writer writer;

	writer_init(&writer, conn->out.data, conn->out.cap);
	writer_u32(&writer, 5);
	writer_u8(&writer, FXP_INIT);
	writer_u32(&writer, PROTO_VERSION);
	conn->out.end = writer_len(&writer);
	return exchange(conn, deadline_ns, ret_body);
}

static uint32_t within(uint64_t offered, uint32_t wanted)
{
	uint64_t value = offered ? offered : PROTO_DEFAULT_DATA;

	if (wanted && value > wanted)
		value = wanted;
	if (value < PROTO_MIN_DATA)
		value = PROTO_MIN_DATA;
	return value < PROTO_MAX_DATA ? (uint32_t)value : PROTO_MAX_DATA;
}

/* A server that answers this with an error keeps the defaults. */
static int ask_limits(struct conn *conn, int64_t deadline_ns, uint64_t *ret_read, uint64_t *ret_write, uint64_t *ret_handles)
{
	struct writer writer;
	struct reader body;
	int type;

	writer_init(&writer, conn->out.data, conn->out.cap);
	writer_u32(&writer, 5 + 4 + (uint32_t)strlen(EXT_LIMITS));
	writer_u8(&writer, FXP_EXTENDED);
	writer_u32(&writer, 0);
	writer_string(&writer, EXT_LIMITS, strlen(EXT_LIMITS));
	conn->out.start = 0;
	conn->out.end = writer_len(&writer);
	type = exchange(conn, deadline_ns, &body);
	if (type < 0)
		return type;
	if (type != FXP_EXTENDED_REPLY)
		return 0;
	reader_u32(&body);
	reader_u64(&body);		/* of a packet: follows from the other two */
	*ret_read = reader_u64(&body);
	*ret_write = reader_u64(&body);
	if (body.bad)
		return -EPROTO;
	*ret_handles = reader_u64(&body);
	if (body.bad)
		*ret_handles = 0;
	return 0;
}

static int converse(struct conn *conn, int64_t deadline_ns)
{
	const struct sftp_options *options = &conn->sftp->options;
	uint64_t max_read = 0, max_write = 0, max_handles = 0;
	struct reader body;
	int type, error = 0;

	type = say_hello(conn, deadline_ns, &body);
	if (type < 0)
		return type;
	if (type != FXP_VERSION)
		return -EPROTO;
	if (reader_u32(&body) != PROTO_VERSION)
		return -EPROTONOSUPPORT;
	conn->limits.features = read_extensions(&body);
	if (conn->limits.features & SFTP_HAS_LIMITS)
		error = ask_limits(conn, deadline_ns, &max_read, &max_write, &max_handles);
	conn->limits.max_read = within(max_read, options->max_read);
	conn->limits.max_write = within(max_write, options->max_write);
	conn->limits.max_handles = max_handles < UINT32_MAX ? (uint32_t)max_handles : UINT32_MAX;
	return error;
}

static void explain(struct conn *conn, int error, struct buf *why)
{
	const char *reason = conn->channel->ops->reason ? conn->channel->ops->reason(conn->channel) : "";

	if (*reason)
		buf_addf(why, "the SFTP server went away: %s", reason);
	else if (error == -EPIPE || error == -ECONNRESET)
		buf_adds(why, "the connection was closed before the SFTP server answered: is its sftp subsystem enabled?");
	else if (error == -EPROTO)
		buf_adds(why, "what answered does not speak SFTP: does the login shell of that user print something at start?");
	else if (error == -EPROTONOSUPPORT)
		buf_adds(why, "the server speaks another version of SFTP than 3");
	else if (error == -ETIMEDOUT)
		buf_adds(why, "the SFTP server did not answer in time");
	else
		buf_addf(why, "the SFTP server could not be spoken to: %s", log_strerror(error));
}

int handshake(struct conn *conn, int64_t deadline_ns, struct buf *why)
{
	int error = converse(conn, deadline_ns);

	if (error)
		explain(conn, error, why);
	return error;
}
