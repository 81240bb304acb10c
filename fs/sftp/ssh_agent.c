/*
 * ssh_agent: a client of ssh-agent's socket.
 */
#include "sftp/ssh_agent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "sftp/ssh_wire.h"

#define AGENT_MAX_BYTES (256 * 1024)	/* OpenSSH's own limit */
#define AGENT_MAX_KEYS 2048

enum { AGENT_FAILURE = 5, AGENT_LIST = 11, AGENT_KEYS = 12, AGENT_SIGN = 13, AGENT_SIGNATURE = 14 };

static int send_all(int fd, const char *data, size_t len, const struct ssh_limit *limit)
{
	while (len) {
		ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (sent < 0) {
			int error = ssh_wait_fd(fd, POLLOUT, limit);

			if (error)
				return error;
			continue;
		}
		data += sent;
		len -= (size_t)sent;
	}
	return 0;
}

static int receive(int fd, size_t len, const struct ssh_limit *limit, struct buf *to)
{
	while (len) {
		char chunk[4096];
		ssize_t got = recv(fd, chunk, len < sizeof(chunk) ? len : sizeof(chunk), 0);

		if (got == 0)
			return -EPIPE;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got < 0) {
			int error = ssh_wait_fd(fd, POLLIN, limit);

			if (error)
				return error;
			continue;
		}
		buf_add(to, chunk, (size_t)got);
		len -= (size_t)got;
	}
	return buf_error(to);
}

/* One request and its answer; `request` is type and body. */
static int ask(int fd, const struct buf *request, const struct ssh_limit *limit, struct buf *ret_answer)
{
	struct buf packet = BUF_INIT;
	struct buf head = BUF_INIT;
	struct ssh_cursor cursor;
	uint32_t len = 0;
	int error;

	ssh_put_string(&packet, request->data, request->len);
	error = buf_error(request) ? buf_error(request) : buf_error(&packet);
	if (!error)
		error = send_all(fd, packet.data, packet.len, limit);
	if (!error)
		error = receive(fd, 4, limit, &head);
	if (!error) {
		cursor = ssh_cursor_of(head.data, head.len);
		len = ssh_get_u32(&cursor);
		error = len < 1 || len > AGENT_MAX_BYTES ? -EPROTO : receive(fd, len, limit, ret_answer);
	}
	buf_release(&packet);
	buf_release(&head);
	return error;
}

static int take_keys(struct ssh_agent *agent, const struct buf *answer)
{
	struct ssh_cursor cursor = ssh_cursor_of(answer->data, answer->len);
	uint8_t type = ssh_get_u8(&cursor);
	uint32_t count = ssh_get_u32(&cursor);

	if (type == AGENT_FAILURE)
		return 0;	/* a locked agent */
	if (type != AGENT_KEYS || cursor.bad || count > AGENT_MAX_KEYS)
		return -EPROTO;
	agent->keys = calloc(count ? count : 1, sizeof(*agent->keys));
	if (!agent->keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct ssh_agent_key *key = &agent->keys[i];
		struct ssh_bytes blob = ssh_get_string(&cursor);
		struct ssh_bytes comment = ssh_get_string(&cursor);

		if (cursor.bad)
			return -EPROTO;
		key->blob = malloc(blob.len ? blob.len : 1);
		key->comment = strndup((const char *)comment.data, comment.len);
		agent->count++;
		if (!key->blob || !key->comment)
			return -ENOMEM;
		memcpy(key->blob, blob.data, blob.len);
		key->blob_len = blob.len;
	}
	return 0;
}

int ssh_agent_open(const char *path, const struct ssh_limit *limit, struct ssh_agent *ret_agent)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ssh_agent agent = { .fd = -1 };
	struct buf request = BUF_INIT;
	struct buf answer = BUF_INIT;
	int error = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	agent.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (agent.fd < 0 || connect(agent.fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	buf_addch(&request, AGENT_LIST);
	if (!error)
		error = ask(agent.fd, &request, limit, &answer);
	if (!error)
		error = take_keys(&agent, &answer);
	buf_release(&request);
	buf_release(&answer);
	if (error)
		ssh_agent_close(&agent);
	else
		*ret_agent = agent;
	return error;
}

void ssh_agent_close(struct ssh_agent *agent)
{
	for (size_t i = 0; i < agent->count; i++) {
		free(agent->keys[i].blob);
		free(agent->keys[i].comment);
	}
	free(agent->keys);
	agent->keys = NULL;
	agent->count = 0;
	io_close(&agent->fd);
}

int ssh_agent_sign(struct ssh_agent *agent, const struct ssh_agent_key *key, const void *data, size_t len, uint32_t flags,
		   const struct ssh_limit *limit, struct buf *ret_signature)
{
	struct buf request = BUF_INIT;
	struct buf answer = BUF_INIT;
	struct ssh_cursor cursor;
	struct ssh_bytes signature;
	uint8_t type;
	int error;

	buf_addch(&request, AGENT_SIGN);
	ssh_put_string(&request, key->blob, key->blob_len);
	ssh_put_string(&request, data, len);
	ssh_put_u32(&request, flags);
	error = ask(agent->fd, &request, limit, &answer);
	if (!error) {
		cursor = ssh_cursor_of(answer.data, answer.len);
		type = ssh_get_u8(&cursor);
		signature = ssh_get_string(&cursor);
		if (type == AGENT_FAILURE)
			error = -EACCES;
		else if (type != AGENT_SIGNATURE || cursor.bad)
			error = -EPROTO;
		else
			buf_add(ret_signature, signature.data, signature.len);
	}
	buf_release(&request);
	buf_release(&answer);
	return error ? error : buf_error(ret_signature);
}
