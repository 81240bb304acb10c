/*
 * channel_ssh2_open: from a host's name to an open channel.
 *
 *   TCP ─▶ algorithms ─▶ handshake ─▶ host key ─▶ login ─▶ session channel ─▶ subsystem sftp
 */
#include "sftp/channel_ssh2_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/glob.h"
#include "base/io.h"
#include "base/log.h"

#define WINDOW_BYTES (8U * 1024 * 1024)	/* what one connection may have unread in memory; above what is ever in flight on it */
#define PACKET_BYTES 32768U
#define KEEPALIVE_S 2			/* libssh2's least: the caller decides when */

int channel_ssh2_init(void)
{
	return libssh2_init(0) ? -ENOMEM : 0;
}

void channel_ssh2_exit(void)
{
	libssh2_exit();
}

const char *channel_ssh2_version(void)
{
	const char *version = libssh2_version(0);

	return version ? version : LIBSSH2_VERSION;
}

bool ssh2_has_rsa_sha2(void)
{
	return libssh2_version(0x010b00) != NULL;
}

/* ---- waiting and errors ---- */

int ssh2_wait(struct ssh2 *s)
{
	int directions = libssh2_session_block_directions(s->session);
	short events = 0;

	if (directions & LIBSSH2_SESSION_BLOCK_INBOUND)
		events |= POLLIN;
	if (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND)
		events |= POLLOUT;
	return ssh_wait_fd(s->fd, events ? events : POLLIN, &s->limit);
}

const char *ssh2_error_text(struct ssh2 *s)
{
	char *text = NULL;

	libssh2_session_last_error(s->session, &text, NULL, 0);
	return text && *text ? text : "no reason given";
}

int ssh2_errno(int code)
{
	switch (code) {
	case LIBSSH2_ERROR_ALLOC:
		return -ENOMEM;
	case LIBSSH2_ERROR_TIMEOUT:
	case LIBSSH2_ERROR_SOCKET_TIMEOUT:
		return -ETIMEDOUT;
	case LIBSSH2_ERROR_SOCKET_NONE:
	case LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE:
	case LIBSSH2_ERROR_BANNER_RECV:
	case LIBSSH2_ERROR_BANNER_SEND:
	case LIBSSH2_ERROR_SOCKET_SEND:
	case LIBSSH2_ERROR_SOCKET_RECV:
	case LIBSSH2_ERROR_SOCKET_DISCONNECT:
	case LIBSSH2_ERROR_CHANNEL_CLOSED:
	case LIBSSH2_ERROR_CHANNEL_EOF_SENT:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

int ssh2_fail(struct ssh2 *s, const char *what, int rc, int error)
{
	const struct sshconf *conf = s->target->conf;

	if (error == -ETIMEDOUT)
		buf_addf(s->why, "can't %s %s port %d: no answer in time", what, conf->hostname, conf->port);
	else if (error)
		buf_addf(s->why, "can't %s %s port %d: %s", what, conf->hostname, conf->port, log_strerror(error));
	else if (ssh2_errno(rc) == -ECONNRESET)
		buf_addf(s->why, "can't %s %s port %d: the server closed the connection (%s); it may have too many logins at once "
			 "(MaxStartups), or shut this address out for a while after failed ones (PerSourcePenalties)", what, conf->hostname,
			 conf->port, ssh2_error_text(s));
	else
		buf_addf(s->why, "can't %s %s port %d: %s (libssh2 error %d)", what, conf->hostname, conf->port, ssh2_error_text(s),
			 rc);
	return error ? error : ssh2_errno(rc);
}

bool ssh2_is_gone(struct ssh2 *s)
{
	char byte;
	ssize_t got = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return s->goodbye || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

int ssh2_login_failed(struct ssh2 *s, int rc, int error)
{
	/*
	 * A server that says goodbye while one logs in won't let one in the next time either; one that just falls
	 * silent may.
	 */
	if (error || !s->goodbye)
		return ssh2_fail(s, "log in on", !error && ssh2_is_gone(s) ? LIBSSH2_ERROR_SOCKET_RECV : rc, error);
	buf_addf(s->why, "%s ended the login: %s. If it was offered too many keys (MaxAuthTries), name the right one with "
		 "IdentityFile and IdentitiesOnly yes", s->target->conf->hostname, s->reason);
	return -EACCES;
}

static void on_disconnect(LIBSSH2_SESSION *session, int reason, const char *message, int message_len, const char *language,
			  int language_len, void **abstract)
{
	struct ssh2 *s = *abstract;

	(void)session;
	(void)reason;
	(void)language;
	(void)language_len;
	s->goodbye = true;
	ssh2_set_reason(s, message_len > 0 ? message : "it gave no reason", message_len > 0 ? (size_t)message_len : 17);
}

static void watch_disconnect(struct ssh2 *s)
{
#if LIBSSH2_VERSION_NUM >= 0x010b01
	libssh2_session_callback_set2(s->session, LIBSSH2_CALLBACK_DISCONNECT, (libssh2_cb_generic *)on_disconnect);
#else
	void (*callback)(LIBSSH2_SESSION *, int, const char *, int, const char *, int, void **) = on_disconnect;
	void *pointer;

	memcpy(&pointer, &callback, sizeof(pointer));	/* as dlsym's man page has it: ISO C has no cast for this */
	libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_DISCONNECT, pointer);
#endif
}

/* ---- the steps ---- */

static int connect_tcp(struct ssh2 *s)
{
	const struct sshconf *conf = s->target->conf;
	struct ssh_tcp_target target = {
		.host = conf->hostname, .port = conf->port, .bind_address = conf->bindaddress, .keepalive = conf->tcpkeepalive,
		.family = AF_UNSPEC, .attempts = conf->connectionattempts, .tos = conf->tos,
	};

	if (conf->addressfamily && !strcmp(conf->addressfamily, "inet"))
		target.family = AF_INET;
	else if (conf->addressfamily && !strcmp(conf->addressfamily, "inet6"))
		target.family = AF_INET6;
	return ssh_tcp_connect(&target, &s->limit, &s->fd, s->why);
}

static int handshake(struct ssh2 *s)
{
	const struct sshconf *conf = s->target->conf;
	int rc;
	int error;

	SSH2_WAIT(s, rc, error, libssh2_session_handshake(s->session, s->fd));
	/*
	 * This code alone means that the two lists have nothing in common; a cut in the middle is KEY_EXCHANGE_FAILURE,
	 * and may pass.
	 */
	if (!error && rc == LIBSSH2_ERROR_KEX_FAILURE) {
		buf_addf(s->why, "libssh2 %s and %s have no cipher, MAC, key exchange or host key algorithm in common",
			 channel_ssh2_version(), conf->hostname);
		return -EOPNOTSUPP;
	}
	return rc || error ? ssh2_fail(s, "speak SSH with", rc, error) : 0;
}

static int verify(struct ssh2 *s, const struct ssh_hostkeys *keys)
{
	char address[64];
	struct ssh_hostkey_peer peer = { .address = address, .accept_command = s->target->accept_command };
	size_t len = 0;
	int type = 0;
	const char *blob = libssh2_session_hostkey(s->session, &len, &type);

	ssh_tcp_peer(s->fd, address, sizeof(address), &peer.local);
	if (!blob) {
		buf_addf(s->why, "%s showed no host key", s->target->conf->hostname);
		return -EACCES;
	}
	return ssh_hostkeys_verify(keys, blob, len, &peer, ssh_login_prompt(s->target->login), &s->limit, &s->unsafe, s->why);
}

/* ConnectTimeout is for all until keys are exchanged, as in ssh. */
static int reach(struct ssh2 *s)
{
	int64_t before = s->limit.deadline_ns;
	int64_t deadline = clock_now() + s->target->conf->connecttimeout * NS_PER_S;
	int error;

	if (s->target->conf->connecttimeout && deadline < before)
		s->limit.deadline_ns = deadline;
	error = connect_tcp(s);
	if (!error)
		error = handshake(s);
	s->limit.deadline_ns = before;
	return error;
}

static int start_session(struct ssh2 *s)
{
	struct ssh_hostkeys keys = { 0 };
	int error = ssh_hostkeys_load(s->target->conf, &keys);

	if (!error) {
		s->session = libssh2_session_init_ex(NULL, NULL, NULL, s);
		error = s->session ? 0 : -ENOMEM;
	}
	if (!error) {
		libssh2_session_set_blocking(s->session, 0);
		watch_disconnect(s);
		error = ssh2_set_algorithms(s, &keys);
	}
	if (!error)
		error = reach(s);
	if (!error)
		error = verify(s, &keys);
	ssh_hostkeys_release(&keys);
	return error;
}

static int open_pipe(struct ssh2 *s)
{
	int error = 0;

	while (!(s->pipe = libssh2_channel_open_ex(s->session, "session", sizeof("session") - 1, WINDOW_BYTES, PACKET_BYTES, NULL, 0))) {
		int rc = libssh2_session_last_errno(s->session);

		if (rc != LIBSSH2_ERROR_EAGAIN)
			return ssh2_fail(s, "open a session on", rc, 0);
		error = ssh2_wait(s);
		if (error)
			return ssh2_fail(s, "open a session on", rc, error);
	}
	return 0;
}

/* NAME=value. The server takes what its AcceptEnv allows, and a refusal is none of a mount's business: as with ssh. */
static int set_variable(struct ssh2 *s, const char *variable)
{
	unsigned int name_len = (unsigned int)strcspn(variable, "=");
	const char *value = variable + name_len + (variable[name_len] == '=');
	int rc, error;

	SSH2_WAIT(s, rc, error, libssh2_channel_setenv_ex(s->pipe, variable, name_len, value, (unsigned int)strlen(value)));
	if (error || (rc && rc != LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED))
		return ssh2_fail(s, "set the environment on", rc, error);
	return 0;
}

static bool is_sent(const struct sshconf *conf, const char *variable)
{
	char *name = strndup(variable, strcspn(variable, "="));
	bool sent = false;

	for (char **at = conf->sendenv; name && !sent && *at; at++)
		sent = glob_match(*at, strlen(*at), name, false);
	free(name);
	return sent;
}

/* SendEnv, then SetEnv, which so wins. */
static int set_environment(struct ssh2 *s)
{
	const struct sshconf *conf = s->target->conf;
	int error = 0;

	for (char **at = environ; !error && at && *at; at++)
		if (is_sent(conf, *at))
			error = set_variable(s, *at);
	for (char **at = conf->setenv; !error && *at; at++)
		error = set_variable(s, *at);
	return error;
}

static int start_server(struct ssh2 *s)
{
	const char *server = s->target->sftp_server;
	const char *request = strchr(server, '/') ? "exec" : "subsystem";
	int rc;
	int error;

	SSH2_WAIT(s, rc, error, libssh2_channel_process_startup(s->pipe, request, (unsigned int)strlen(request), server,
								(unsigned int)strlen(server)));
	if (!error && rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) {
		buf_addf(s->why, "%s offers no '%s': enable `Subsystem sftp` in its sshd_config, or name the program with "
			 "-o sftp_server=/usr/lib/openssh/sftp-server", s->target->conf->hostname, server);
		return -ENOENT;
	}
	return rc || error ? ssh2_fail(s, "start the sftp server on", rc, error) : 0;
}

static int open_all(struct ssh2 *s)
{
	int error = start_session(s);

	if (!error)
		error = ssh2_authenticate(s);
	if (!error)
		error = open_pipe(s);
	if (!error)
		error = set_environment(s);
	if (!error)
		error = start_server(s);
	if (!error) {
		libssh2_keepalive_config(s->session, 0, KEEPALIVE_S);
		s->look = true;
	}
	return error;
}

int channel_ssh2_open(const struct ssh2_target *target, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel,
		      struct buf *why)
{
	struct ssh2 *s = calloc(1, sizeof(*s));
	int error = 0;

	if (!s) {
		buf_adds(why, "out of memory while connecting");
		return -ENOMEM;
	}
	s->channel.ops = &ssh2_channel_ops;
	s->fd = -1;
	s->target = target;
	s->limit = (struct ssh_limit){ .deadline_ns = deadline_ns, .cancel_fd = cancel_fd };
	s->why = why;
	s->ready_fd = io_wake_new();
	if (s->ready_fd < 0)
		error = s->ready_fd;
	if (!error) {
		io_wake(s->ready_fd);
		error = open_all(s);
	}
	s->target = NULL;
	s->why = NULL;
	if (error) {
		if (!why->len)
			buf_addf(why, "can't connect to %s: %s", target->conf->hostname, log_strerror(error));
		ssh2_free(s);
		return error;
	}
	*ret_channel = &s->channel;
	return 0;
}
