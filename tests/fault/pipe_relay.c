/*
 * pipe_relay: connections, and what happens to their bytes on the way.
 *
 * Each way of each connection is a queue of chunks, each with the time when it is due; a chunk without bytes is the end of file. So a
 * delay holds at any throughput: what went in at one time comes out together, that much later.
 */
#include "tests/fault/pipe.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"

#define CHUNK_MAX 65536
#define QUEUE_MAX (256u << 20)			/* of one way of one connection: a second at 2 Gbit/s */
#define RATE_STEPS 100				/* chunks a second, so that a slow line drips evenly */

int socket_new(const struct sockaddr_storage *address)
{
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -errno;
	if (address->ss_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

static void socket_end(int *fd, bool reset)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (reset)
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	io_close(fd);
}

static void lane_drop(struct lane *lane)
{
	struct list *entry;

	while ((entry = list_pop(&lane->chunks)) != NULL)
		free(list_entry(entry, struct chunk, link));
	lane->queued = 0;
}

void relay_end(struct relay *relay, bool reset)
{
	for (int way = 0; way < WAYS; way++) {
		lane_drop(&relay->lane[way]);
		socket_end(&relay->fd[way], reset);
	}
	list_remove(&relay->link);
	free(relay);
}

int relay_new(struct pipe *pipe, int client_fd)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int one = 1;

	if (!relay)
		return -ENOMEM;
	for (int way = 0; way < WAYS; way++)
		list_init(&relay->lane[way].chunks);
	list_append(&pipe->relays, &relay->link);
	relay->fd[UP] = client_fd;
	setsockopt(client_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	relay->fd[DOWN] = socket_new(&pipe->to_address);
	if (relay->fd[DOWN] >= 0 && !connect(relay->fd[DOWN], (struct sockaddr *)&pipe->to_address, pipe->to_len))
		return 0;
	relay->connecting = relay->fd[DOWN] >= 0 && errno == EINPROGRESS;
	if (!relay->connecting)
		relay_end(relay, true);
	return 0;
}

/* 0 while the line is full, stalled, or at its end. */
size_t lane_room(const struct lane *lane, const struct rule *rule, int64_t now)
{
	size_t step = CHUNK_MAX;

	if (lane->ended || rule->stalled || lane->queued >= QUEUE_MAX)
		return 0;
	if (rule->rate) {
		if (lane->free_ns > now + RATE_QUEUE_NS)
			return 0;
		if (rule->rate / RATE_STEPS < CHUNK_MAX)
			step = (size_t)(rule->rate / RATE_STEPS) + 1;
	}
	return step;
}

/* False: the connection is broken. */
static bool lane_read(struct lane *lane, const struct rule *rule, int fd, int64_t now)
{
	size_t room = lane_room(lane, rule, now);
	struct chunk *chunk, *shorter;
	ssize_t len;

	if (!room)
		return true;
	chunk = malloc(sizeof(*chunk) + room);
	if (!chunk)
		return false;
	len = read(fd, chunk->data, room);
	if (len < 0) {
		free(chunk);
		return errno == EAGAIN || errno == EINTR;
	}
	lane->ended = !len;
	shorter = realloc(chunk, sizeof(*chunk) + (size_t)len);
	chunk = shorter ? shorter : chunk;
	chunk->len = (size_t)len;
	chunk->sent = 0;
	if (lane->free_ns < now)
		lane->free_ns = now;
	if (rule->rate)
		lane->free_ns += len * NS_PER_S / rule->rate;
	chunk->due_ns = lane->free_ns + rule->delay_ns;
	lane->queued += chunk->len;
	list_append(&lane->chunks, &chunk->link);
	return true;
}

static void rule_flip(struct pipe *pipe, struct rule *rule, struct chunk *chunk, size_t len)
{
	if (rule->flip_after < 0 || (uint64_t)rule->flip_after >= len)
		return;
	chunk->data[chunk->sent + (size_t)rule->flip_after] ^= 0x7f;
	rule->flip_after = -1;
	pipe->flipped++;
}

/* Passes on what is due of one chunk; > 0 when it is gone, 0 when the receiver takes no more, < 0 to end the connection. */
static int chunk_write(struct pipe *pipe, struct rule *rule, struct lane *lane, struct chunk *chunk, int fd)
{
	size_t len = chunk->len - chunk->sent;
	ssize_t done;

	if (!chunk->len) {
		shutdown(fd, SHUT_WR);
		lane->closed = true;
		return 1;
	}
	if (rule->cut_after >= 0 && len > (size_t)rule->cut_after)
		len = (size_t)rule->cut_after;
	rule_flip(pipe, rule, chunk, len);
	done = len ? send(fd, chunk->data + chunk->sent, len, MSG_NOSIGNAL) : 0;
	if (done < 0) {
		lane->blocked = errno == EAGAIN || errno == EINTR;
		return lane->blocked ? 0 : -1;
	}
	chunk->sent += (size_t)done;
	lane->queued -= (size_t)done;
	rule->passed += (uint64_t)done;
	if (rule->flip_after >= 0)
		rule->flip_after -= done;
	if (rule->cut_after >= 0)
		rule->cut_after -= done;
	return rule->cut_after == 0 ? -1 : chunk->sent == chunk->len;
}

static int lane_write(struct pipe *pipe, struct rule *rule, struct lane *lane, int fd, int64_t now)
{
	while (!list_empty(&lane->chunks) && !rule->stalled && !lane->blocked) {
		struct chunk *chunk = list_entry(lane->chunks.next, struct chunk, link);
		int gone;

		if (chunk->due_ns > now)
			break;
		gone = chunk_write(pipe, rule, lane, chunk, fd);
		if (gone < 0)
			return -1;
		if (!gone)
			continue;	/* in part, or blocked: the loop looks */
		list_remove(&chunk->link);
		free(chunk);
	}
	return 0;
}

static bool relay_connected(struct relay *relay)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(relay->fd[DOWN], SOL_SOCKET, SO_ERROR, &error, &len) || error)
		return false;
	relay->connecting = false;
	return true;
}

static short relay_events(const struct pipe *pipe, const struct relay *relay, int way)
{
	return relay->slot[way] < 0 ? 0 : pipe->polls[relay->slot[way]].revents;
}

void relay_service(struct pipe *pipe, struct relay *relay, int64_t now)
{
	if (relay->connecting) {
		if (relay_events(pipe, relay, DOWN) && !relay_connected(relay))
			relay_end(relay, true);
		return;
	}
	for (int way = 0; way < WAYS; way++) {
		struct rule *rule = &pipe->rule[way];
		struct lane *lane = &relay->lane[way];

		if (relay_events(pipe, relay, way) & (POLLIN | POLLHUP | POLLERR) && !lane_read(lane, rule, relay->fd[way], now)) {
			relay_end(relay, true);
			return;
		}
		if (relay_events(pipe, relay, !way) & (POLLOUT | POLLERR))
			lane->blocked = false;
		if (lane_write(pipe, rule, lane, relay->fd[!way], now)) {
			bool asked = rule->cut_after == 0;

			relay_end(relay, asked ? rule->cut_reset : true);
			if (asked) {
				rule->cut_after = -1;
				pipe->cut++;
			}
			return;
		}
	}
	if (relay->lane[UP].closed && relay->lane[DOWN].closed)
		relay_end(relay, false);
}
