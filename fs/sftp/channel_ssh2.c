/*
 * channel_ssh2: reading and writing the raw channel, by these rules (found in libssh2's source, transport.c and
 * channel.c, and measured):
 *
 *   - After EAGAIN with BLOCK_OUTBOUND a packet is half sent. Only the call that began it may go on: any other that
 * sends would fail
 *     (BAD_USE) or tear the stream. Reads send, too: window adjustments. So the unfinished call is remembered, the
 * other kind answers
 *     -EAGAIN, and only writability is polled for.
 *   - After EAGAIN without it the window is full or keys are being exchanged: both end by reading. A write may have
 * taken its bytes already
 *     (it keeps their number, not the bytes), so the same ones must come again.
 *   - A write drains the socket first, into libssh2's own queue, which poll doesn't see: `look` makes the caller
 * read once more.
 *   - A read of 0 is the end only if libssh2_channel_eof says so; it stays false while bytes of the error stream are unread.
 *   - A packet is at most 32,768 bytes; more than 32,700 a write would be cut anyhow.
 */
#include "sftp/channel_ssh2_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/log.h"

#define WRITE_MAX 32700
#define STDERR_EVERY 256	/* idle reads between looks at the error stream: unread bytes of it stay in memory */
#define EMPTY_MAX 100
#define FREE_TRIES 100000

static struct ssh2 *of(struct channel *channel)
{
	return (struct ssh2 *)(void *)channel;
}

static bool outbound(const struct ssh2 *s)
{
	return libssh2_session_block_directions(s->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND;
}

static ssize_t broke(struct ssh2 *s, const char *what, int rc)
{
	if (!s->goodbye)
		snprintf(s->reason, sizeof(s->reason), "%s: %s (libssh2 error %d)", what, ssh2_error_text(s), rc);
	s->broken = ssh2_errno(rc);
	return s->broken;
}

void ssh2_set_reason(struct ssh2 *s, const char *text, size_t len)
{
	len = len < sizeof(s->reason) - 1 ? len : sizeof(s->reason) - 1;
	for (size_t i = 0; i < len; i++)
		s->reason[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
	s->reason[len] = '\0';
}

/* ---- the error stream ---- */

/*
 * What the server's program says on its standard error: the last line is the reason if the channel ends. Looking may
 * queue other bytes.
 */
static void drain_stderr(struct ssh2 *s)
{
	char text[SSH2_REASON_MAX];
	ssize_t got;

	s->idle_reads = 0;
	while ((got = libssh2_channel_read_ex(s->pipe, SSH_EXTENDED_DATA_STDERR, text, sizeof(text) - 1)) > 0) {
		ssh2_set_reason(s, text, (size_t)got);
		log_debug("the server says: %s", s->reason);
	}
	s->look = true;
	if (got == LIBSSH2_ERROR_EAGAIN && outbound(s))
		s->unfinished = SSH2_READ;
}

/* ---- the operations ---- */

static ssize_t read_nothing(struct ssh2 *s)
{
	drain_stderr(s);
	if (libssh2_channel_eof(s->pipe)) {
		if (!*s->reason)
			snprintf(s->reason, sizeof(s->reason), "the server closed the channel");
		/* What a shell ends with when there is no such program. */
		return libssh2_channel_get_exit_status(s->pipe) == 127 ? -ENOENT : 0;
	}
	if (++s->empty_reads > EMPTY_MAX)
		return broke(s, "reading", LIBSSH2_ERROR_SOCKET_DISCONNECT);
	return -EAGAIN;
}

static ssize_t ssh2_read(struct channel *channel, void *data, size_t len)
{
	struct ssh2 *s = of(channel);
	ssize_t got;

	if (s->broken)
		return s->broken;
	if (s->unfinished == SSH2_WRITE)
		return -EAGAIN;
	s->unfinished = SSH2_NOTHING;
	got = libssh2_channel_read_ex(s->pipe, 0, data, len);
	if (got > 0) {
		s->empty_reads = 0;
		return got;
	}
	if (got == 0)
		return read_nothing(s);
	if (got != LIBSSH2_ERROR_EAGAIN)
		return broke(s, "reading", (int)got);
	s->look = false;
	if (outbound(s))
		s->unfinished = SSH2_READ;
	else if (++s->idle_reads >= STDERR_EVERY)
		drain_stderr(s);
	return -EAGAIN;
}

static ssize_t write_packet(struct ssh2 *s, const char *data, size_t len)
{
	ssize_t sent;

	len = len < WRITE_MAX ? len : WRITE_MAX;
	/* As many bytes as the first time: libssh2 has counted them. */
	if (s->write_len)
		len = s->write_len;
	s->unfinished = SSH2_NOTHING;
	sent = libssh2_channel_write_ex(s->pipe, 0, data, len);
	s->look = true;
	if (sent > 0) {
		s->write_len = 0;
		return sent;
	}
	if (sent < 0 && sent != LIBSSH2_ERROR_EAGAIN)
		return broke(s, "writing", (int)sent);
	if (sent < 0) {
		s->write_len = len;
		if (outbound(s))
			s->unfinished = SSH2_WRITE;
	}
	return -EAGAIN;
}

static ssize_t ssh2_write(struct channel *channel, const void *data, size_t len)
{
	struct ssh2 *s = of(channel);
	size_t done = 0;

	if (s->broken)
		return s->broken;
	if (s->unfinished == SSH2_READ)
		return -EAGAIN;
	if (len < s->write_len)
		return -EINVAL;		/* the caller broke the rule of channel.h */
	while (done < len) {
		ssize_t sent = write_packet(s, (const char *)data + done, len - done);

		if (sent < 0)
			return done ? (ssize_t)done : sent;
		done += (size_t)sent;
	}
	return (ssize_t)done;
}

static int ssh2_poll_fds(struct channel *channel, bool want_write, struct pollfd fds[CHANNEL_MAX_FDS])
{
	struct ssh2 *s = of(channel);

	fds[0] = (struct pollfd){ .fd = s->fd, .events = s->unfinished == SSH2_NOTHING ? POLLIN : POLLOUT };
	if (s->unfinished != SSH2_NOTHING)
		return 1;
	/* Bytes may wait inside libssh2; or there is something to write that was never tried. */
	if (!s->look && (!want_write || s->write_len))
		return 1;
	fds[1] = (struct pollfd){ .fd = s->ready_fd, .events = POLLIN };
	return 2;
}

/*
 * libssh2_keepalive_send forgets a packet it could send only in part, which would tear the stream; a socket that
 * polls writable has room for this small one. No reply is asked for: libssh2 would keep each for ever.
 */
static void ssh2_keepalive(struct channel *channel)
{
	struct ssh2 *s = of(channel);
	struct pollfd fds = { .fd = s->fd, .events = POLLOUT };
	int next;

	if (s->broken || s->unfinished != SSH2_NOTHING || s->write_len || poll(&fds, 1, 0) != 1 || !(fds.revents & POLLOUT))
		return;
	libssh2_keepalive_send(s->session, &next);
	s->look = true;
}

static const char *ssh2_reason(struct channel *channel)
{
	return of(channel)->reason;
}

static void free_session(struct ssh2 *s)
{
	int tries = 0;

	if (!s->session)
		return;
	libssh2_session_set_blocking(s->session, 0);
	/* Without a socket of its own a session would speak to descriptor 0. */
	if (s->fd >= 0 && !s->broken && s->unfinished == SSH2_NOTHING && !s->write_len)
		libssh2_session_disconnect(s->session, "done");
	if (s->fd >= 0)
		shutdown(s->fd, SHUT_RDWR);	/* from here on nothing blocks, so nothing is EAGAIN for long */
	while (libssh2_session_free(s->session) == LIBSSH2_ERROR_EAGAIN && ++tries < FREE_TRIES)
		;
	if (tries == FREE_TRIES)
		log_warn("libssh2 didn't let go of a session; its memory is lost");
	s->session = NULL;
}

void ssh2_free(struct ssh2 *s)
{
	free_session(s);
	io_close(&s->fd);
	io_close(&s->ready_fd);
	free(s);
}

static void ssh2_abandon(struct channel *channel)
{
	channel_abandon_socket(of(channel)->fd);
}

static void ssh2_channel_free(struct channel *channel)
{
	ssh2_free(of(channel));
}

const struct channel_ops ssh2_channel_ops = {
	.read = ssh2_read,
	.write = ssh2_write,
	.poll_fds = ssh2_poll_fds,
	.keepalive = ssh2_keepalive,
	.reason = ssh2_reason,
	.abandon = ssh2_abandon,
	.free = ssh2_channel_free,
};
