/*
 * ssh_tcp: name resolution in a thread of its own (getaddrinfo can't be cancelled: a lookup that is given up ends by
 * itself and frees what it found), then non-blocking connects.
 */
#include "sftp/ssh_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#define LEAST_TRY_NS (2 * NS_PER_S)	/* for one of several addresses */
#define ATTEMPT_PAUSE_NS NS_PER_S	/* as ssh's */

int ssh_wait_fd(int fd, short events, const struct ssh_limit *limit)
{
	struct pollfd fds[2] = {
		{ .fd = fd, .events = events },
		{ .fd = limit->cancel_fd, .events = POLLIN },
	};

	for (;;) {
		int64_t left = limit->deadline_ns - clock_now();
		struct timespec timeout = clock_timespec(left > 0 ? left : 0);
		int ready = ppoll(fds, 2, limit->deadline_ns == INT64_MAX ? NULL : &timeout, NULL);

		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready > 0 && fds[1].revents)
			return -ECANCELED;
		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
	}
}

/* ---- resolving ---- */

struct lookup {
	pthread_mutex_t lock;
	bool abandoned;		/* guarded by lock: nobody waits any more */
	bool finished;		/* guarded by lock */
	int wake_fd;
	int result;		/* getaddrinfo's */
	int system_error;	/* errno for EAI_SYSTEM */
	struct addrinfo hints;
	struct addrinfo *found;
	char port[8];
	char host[];
};

static void lookup_free(struct lookup *lookup)
{
	if (lookup->found)
		freeaddrinfo(lookup->found);
	io_close(&lookup->wake_fd);
	pthread_mutex_destroy(&lookup->lock);
	free(lookup);
}

static void *lookup_run(void *arg)
{
	struct lookup *lookup = arg;
	bool abandoned;

	lookup->result = getaddrinfo(lookup->host, lookup->port, &lookup->hints, &lookup->found);
	lookup->system_error = errno;
	pthread_mutex_lock(&lookup->lock);
	lookup->finished = true;
	abandoned = lookup->abandoned;
	if (!abandoned)
		io_wake(lookup->wake_fd);
	pthread_mutex_unlock(&lookup->lock);
	if (abandoned)
		lookup_free(lookup);
	return NULL;
}

static struct lookup *lookup_new(const struct ssh_tcp_target *target)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup) + strlen(target->host) + 1);

	if (!lookup)
		return NULL;
	lookup->wake_fd = io_wake_new();
	if (lookup->wake_fd < 0) {
		free(lookup);
		return NULL;
	}
	pthread_mutex_init(&lookup->lock, NULL);
	memcpy(lookup->host, target->host, strlen(target->host) + 1);
	snprintf(lookup->port, sizeof(lookup->port), "%d", target->port);
	lookup->hints.ai_family = target->family;
	lookup->hints.ai_socktype = SOCK_STREAM;
	return lookup;
}

static int lookup_start(struct lookup *lookup)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error = pthread_attr_init(&attributes);

	if (error)
		return -error;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, lookup_run, lookup);
	pthread_attr_destroy(&attributes);
	return -error;
}

static int lookup_error(const struct lookup *lookup, struct buf *why)
{
	switch (lookup->result) {
	case 0:
		return 0;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_FAIL:
		buf_addf(why, "there is no host named %s: check the spelling, or HostName in ~/.ssh/config", lookup->host);
		return -ENOENT;
	case EAI_ADDRFAMILY:
	case EAI_FAMILY:
		buf_addf(why, "%s has no address of the wanted AddressFamily", lookup->host);
		return -ENOENT;
	case EAI_MEMORY:
		buf_addf(why, "out of memory while looking up %s", lookup->host);
		return -ENOMEM;
	default:
		buf_addf(why, "can't look up %s: %s", lookup->host,
			 lookup->result == EAI_SYSTEM ? log_strerror(lookup->system_error) : gai_strerror(lookup->result));
		return -EAGAIN;
	}
}

/* The caller frees the lookup that holds the addresses. */
static int resolve(const struct ssh_tcp_target *target, const struct ssh_limit *limit, struct lookup **ret_lookup, struct buf *why)
{
	struct lookup *lookup = lookup_new(target);
	bool finished;
	int error;

	if (!lookup) {
		buf_addf(why, "out of memory while looking up %s", target->host);
		return -ENOMEM;
	}
	lookup->hints.ai_flags = AI_NUMERICHOST;	/* no thread for a number */
	if (getaddrinfo(lookup->host, lookup->port, &lookup->hints, &lookup->found) == 0) {
		*ret_lookup = lookup;
		return 0;
	}
	lookup->hints.ai_flags = AI_ADDRCONFIG;
	error = lookup_start(lookup);
	if (error) {
		buf_addf(why, "can't start a thread to look up %s: %s", target->host, log_strerror(error));
		lookup_free(lookup);
		return error;
	}
	error = ssh_wait_fd(lookup->wake_fd, POLLIN, limit);
	pthread_mutex_lock(&lookup->lock);
	finished = lookup->finished;
	lookup->abandoned = !finished;
	pthread_mutex_unlock(&lookup->lock);
	if (!finished) {
		if (error == -ETIMEDOUT)
			buf_addf(why, "looking up %s took too long: is the name server reachable?", target->host);
		else
			buf_addf(why, "looking up %s was given up: %s", target->host, log_strerror(error));
		return error ? error : -EIO;
	}
	error = lookup_error(lookup, why);
	if (error)
		lookup_free(lookup);
	else
		*ret_lookup = lookup;
	return error;
}

/* ---- connecting ---- */

/* Any port of the address. */
static int bind_to(int fd, const char *name, int family, const struct ssh_limit *limit)
{
	struct ssh_tcp_target own = { .host = name, .family = family };
	struct lookup *lookup = NULL;
	struct buf why = BUF_INIT;	/* of no use: the caller says it with BindAddress */
	int error = resolve(&own, limit, &lookup, &why);

	buf_release(&why);
	if (error)
		return error == -ENOENT ? -EADDRNOTAVAIL : error;
	if (bind(fd, lookup->found->ai_addr, lookup->found->ai_addrlen))
		error = -errno;
	lookup_free(lookup);
	return error;
}

/* How routers shall treat its packets: a wish, so that a refusal is no error. */
static void mark(int fd, int family, int tos)
{
	if (tos < 0)
		return;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	else
		setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static int connect_one(const struct ssh_tcp_target *target, const struct addrinfo *address, const struct ssh_limit *limit, int *ret_fd)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(int);
	int on = 1;
	int error = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	mark(fd, address->ai_family, target->tos);
	if (target->keepalive)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (target->bind_address)
		error = bind_to(fd, target->bind_address, address->ai_family, limit);
	if (!error && connect(fd, address->ai_addr, address->ai_addrlen)) {
		error = errno == EINPROGRESS || errno == EINTR ? ssh_wait_fd(fd, POLLOUT, limit) : -errno;
		if (!error) {
			int pending = 0;

			getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &len);
			error = -pending;
		}
	}
	if (error)
		io_close(&fd);
	else
		*ret_fd = fd;
	return error;
}

static void explain(const struct ssh_tcp_target *target, int error, struct buf *why)
{
	const char *advice = "";

	if (error == -ECONNREFUSED)
		advice = ": is sshd running there, on that port?";
	else if (error == -ETIMEDOUT)
		advice = ": is the host up, and does a firewall let you through?";
	else if (error == -ENETUNREACH || error == -EHOSTUNREACH)
		advice = ": is the network up?";
	else if (error == -EADDRNOTAVAIL && target->bind_address)
		advice = ": check BindAddress";
	buf_addf(why, "can't connect to %s port %d: %s%s", target->host, target->port, log_strerror(error), advice);
}

/* Each address once. */
static int connect_any(const struct ssh_tcp_target *target, const struct addrinfo *found, const struct ssh_limit *limit, int *ret_fd)
{
	int left = 0, error = -ENOENT;

	for (const struct addrinfo *at = found; at; at = at->ai_next)
		left++;
	for (const struct addrinfo *at = found; at; at = at->ai_next, left--) {
		struct ssh_limit each = *limit;

		/* An address that answers nothing must not use up the time of the others. */
		if (left > 1 && limit->deadline_ns != INT64_MAX) {
			int64_t now = clock_now();
			int64_t share = (limit->deadline_ns - now) / left;

			share = share > LEAST_TRY_NS ? share : LEAST_TRY_NS;
			each.deadline_ns = now + share < limit->deadline_ns ? now + share : limit->deadline_ns;
		}
		error = connect_one(target, at, &each, ret_fd);
		if (!error || error == -ECANCELED)
			break;
	}
	return error;
}

/* Between two attempts. 0, or what `limit` says. */
static int pause_between(const struct ssh_limit *limit)
{
	int64_t until = clock_now() + ATTEMPT_PAUSE_NS;
	struct ssh_limit pause = { .deadline_ns = until < limit->deadline_ns ? until : limit->deadline_ns, .cancel_fd = limit->cancel_fd };
	int error = ssh_wait_fd(-1, 0, &pause);

	return error == -ETIMEDOUT && until < limit->deadline_ns ? 0 : error;
}

int ssh_tcp_connect(const struct ssh_tcp_target *target, const struct ssh_limit *limit, int *ret_fd, struct buf *why)
{
	struct lookup *lookup = NULL;
	int error = resolve(target, limit, &lookup, why);

	if (error)
		return error;
	error = connect_any(target, lookup->found, limit, ret_fd);
	for (int i = 1; error && error != -ECANCELED && i < target->attempts && !pause_between(limit); i++)
		error = connect_any(target, lookup->found, limit, ret_fd);
	if (error)
		explain(target, error, why);
	lookup_free(lookup);
	return error;
}

void ssh_tcp_peer(int fd, char *ret_text, size_t size, bool *ret_local)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	ret_text[0] = '\0';
	*ret_local = false;
	if (getpeername(fd, (struct sockaddr *)&address, &len))
		return;
	if (getnameinfo((struct sockaddr *)&address, len, ret_text, (socklen_t)size, NULL, 0, NI_NUMERICHOST))
		ret_text[0] = '\0';
	if (address.ss_family == AF_INET)
		*ret_local = ntohl(((struct sockaddr_in *)(void *)&address)->sin_addr.s_addr) >> 24 == 127;
	else if (address.ss_family == AF_INET6)
		*ret_local = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)(void *)&address)->sin6_addr);
}
