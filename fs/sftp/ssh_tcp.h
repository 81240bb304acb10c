/*
 * ssh_tcp: a TCP connection to a named host, and waiting, both with a deadline and a descriptor that cancels.
 */
#ifndef CLAIMFS_SFTP_SSH_TCP_H
#define CLAIMFS_SFTP_SSH_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"

/* Until when, and what ends it early. */
struct ssh_limit {
	int64_t deadline_ns;	/* clock_now() */
	int cancel_fd;		/* readable: give up; -1: none */
};

/* Waits for `events` (POLLIN, POLLOUT) on fd. 0; -ETIMEDOUT; -ECANCELED; -errno. */
int ssh_wait_fd(int fd, short events, const struct ssh_limit *limit);

struct ssh_tcp_target {
	const char *host;	/* a name or a number */
	int port;
	int family;		/* AF_UNSPEC, AF_INET, AF_INET6 */
	const char *bind_address;	/* a name or a number, or NULL */
	int attempts;		/* how often all are tried, a second apart; 0: once */
	int tos;		/* for IP_TOS and IPV6_TCLASS; -1: the system's */
	bool keepalive;
};

/*
 * Tries the host's addresses one after another. 0 and a non-blocking, close-on-exec socket with TCP_NODELAY; or
 * -errno with one line in `why`: -ENOENT no such host; -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EAGAIN (name
 * service) may pass; -ECANCELED.
 */
int ssh_tcp_connect(const struct ssh_tcp_target *target, const struct ssh_limit *limit, int *ret_fd, struct buf *why);

/* The peer's address as a number, "" if there is none; *ret_local: it is a loopback address. */
void ssh_tcp_peer(int fd, char *ret_text, size_t size, bool *ret_local);

#endif
