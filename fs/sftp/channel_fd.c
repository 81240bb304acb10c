/* channel_fd: a connected stream socket as the channel: directport=, and the tests' fakes. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/list.h"
#include "sftp/channel.h"

struct fd_channel {
	struct channel channel;
	int fd;
};

static ssize_t fd_read(struct channel *channel, void *data, size_t len)
{
	ssize_t n = recv(container_of(channel, struct fd_channel, channel)->fd, data, len, MSG_DONTWAIT);

	return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t fd_write(struct channel *channel, const void *data, size_t len)
{
	ssize_t n = send(container_of(channel, struct fd_channel, channel)->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

static int fd_poll_fds(struct channel *channel, bool want_write, struct pollfd fds[CHANNEL_MAX_FDS])
{
	fds[0] = (struct pollfd){
		.fd = container_of(channel, struct fd_channel, channel)->fd,
		.events = (short)(POLLIN | (want_write ? POLLOUT : 0)),
	};
	return 1;
}

void channel_abandon_socket(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));	/* no socket: then there is nothing to drop */
}

static void fd_abandon(struct channel *channel)
{
	channel_abandon_socket(container_of(channel, struct fd_channel, channel)->fd);
}

static void fd_free(struct channel *channel)
{
	struct fd_channel *fd_channel = container_of(channel, struct fd_channel, channel);

	io_close(&fd_channel->fd);
	free(fd_channel);
}

static const struct channel_ops fd_ops = {
	.read = fd_read,
	.write = fd_write,
	.poll_fds = fd_poll_fds,
	.abandon = fd_abandon,
	.free = fd_free,
};

struct channel *channel_from_fd(int fd)
{
	struct fd_channel *fd_channel = calloc(1, sizeof(*fd_channel));

	if (!fd_channel)
		return NULL;
	fd_channel->channel.ops = &fd_ops;
	fd_channel->fd = fd;
	return &fd_channel->channel;
}
