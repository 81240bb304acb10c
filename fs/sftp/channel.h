/*
 * channel: a byte pipe to an SFTP server. Three makers: libssh2 (channel_ssh2.c), a child process that speaks on its standard
 * input and output (channel_pipe.c: `ssh -s host sftp`, or a local sftp-server), and the fakes of the tests.
 *
 * A channel belongs to one thread, its connection's I/O thread, from its making to its end. Reads and writes never block.
 *
 *   conn:  loop { channel_read until -EAGAIN;  channel_write until -EAGAIN;  poll(channel_poll_fds + the wake-up) }
 *
 * After -EAGAIN from channel_write the same bytes (at least as many) are offered first at the next call: the connection's
 * output is an immutable FIFO, so this holds by itself. A channel that must finish a half-written packet before anything
 * else answers -EAGAIN to channel_read until it has: only channel_ssh2.c knows why.
 */
#ifndef CLAIMFS_SFTP_CHANNEL_H
#define CLAIMFS_SFTP_CHANNEL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define CHANNEL_MAX_FDS 3

struct channel;

struct channel_ops {
	/* > 0 bytes; 0 the peer closed; -EAGAIN; other -errno: the channel is broken. */
	ssize_t (*read)(struct channel *channel, void *data, size_t len);
	ssize_t (*write)(struct channel *channel, const void *data, size_t len);
	/* What to poll for before the next read (and write, when want_write): how many of `fds` were filled. */
	int (*poll_fds)(struct channel *channel, bool want_write, struct pollfd fds[CHANNEL_MAX_FDS]);
	/* A keepalive below SFTP, if the transport has one; may be NULL. */
	void (*keepalive)(struct channel *channel);
	/* Why it broke, one line for the log, or "" (what the ssh child last said, libssh2's error text). May be NULL. */
	const char *(*reason)(struct channel *channel);
	/* The session broke: what was written and has not arrived is not to arrive any more, when its changes are made anew elsewhere. Before free.
	 * May be NULL. */
	void (*abandon)(struct channel *channel);
	void (*free)(struct channel *channel);
};

/* For `abandon` of a TCP socket: the kernel drops what it would go on sending, for minutes when the network is away. */
void channel_abandon_socket(int fd);

struct channel {			/* the first member of every kind */
	const struct channel_ops *ops;
};

/*
 * Makes channels to one server: called on a connection's I/O thread at every (re)connect; may block, but only until
 * `deadline_ns` (clock_now) or until `cancel_fd` becomes readable. 0, or -errno with one line for a person in `why`:
 * what was tried, why it failed, what to do. -EACCES, -EPERM, -ENOENT and -EINVAL mean trying again is useless
 * (authentication, host key, no such host or program); every other error may pass.
 */
struct channel_maker {
	int (*open)(struct channel_maker *maker, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel, struct buf *why);
	/* Told after an open that succeeded whether an SFTP server then spoke through it. After a failure true means: there is another way,
	 * open again at once. May be NULL. */
	bool (*spoke)(struct channel_maker *maker, bool spoke);
};

/* A child process whose standard input and output are the channel; its standard error becomes log lines and the reason. */
struct pipe_maker {
	struct channel_maker maker;
	char *const *argv;		/* owned by the caller, must outlive the maker */
};
void pipe_maker_init(struct pipe_maker *maker, char *const *argv);

/* A connected stream socket as the channel (directport=, tests): takes the descriptor over. NULL: out of memory, fd untouched. */
struct channel *channel_from_fd(int fd);

#endif
