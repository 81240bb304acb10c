/*
 * pipe: what its three files share. One thread, no locks.
 */
#ifndef CLAIMFS_FAULT_PIPE_H
#define CLAIMFS_FAULT_PIPE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"

#define RATE_QUEUE_NS (200 * NS_PER_MS)		/* how much a limited line queues before the sender is held */

enum way { UP, DOWN, WAYS };

struct chunk {
	struct list link;
	int64_t due_ns;
	size_t len;
	size_t sent;
	char data[];
};

struct lane {				/* one way of one connection */
	struct list chunks;
	size_t queued;
	int64_t free_ns;		/* when the limited line has carried all that was read */
	bool ended;			/* end of file was read */
	bool closed;			/* and passed on */
	bool blocked;			/* the receiver took no more */
};

struct relay {				/* one connection; lane[w] reads fd[w] and writes fd[!w] */
	struct list link;
	int fd[WAYS];
	bool connecting;
	struct lane lane[WAYS];
	int slot[WAYS];			/* of fd[] in this round's poll array, -1: not there */
};

struct rule {				/* one way of all connections */
	int64_t delay_ns;
	int64_t rate;
	bool stalled;
	int64_t cut_after;		/* bytes to go, -1: off */
	bool cut_reset;
	int64_t flip_after;
	uint64_t passed;
};

struct control {
	struct list link;
	int fd;
	struct buf in;
	int slot;
};

struct pipe {
	struct sockaddr_storage listen_address;
	struct sockaddr_storage to_address;
	socklen_t listen_len;
	socklen_t to_len;
	int listen_fd;			/* -1 while refusing */
	int64_t relisten_ns;
	int control_fd;
	struct list relays;
	struct list controls;
	struct rule rule[WAYS];
	uint64_t accepted;
	uint64_t cut;
	uint64_t flipped;
	struct pollfd *polls;
	size_t poll_count;
	size_t poll_room;
};

/* pipe_relay.c: connections */

int socket_new(const struct sockaddr_storage *address);		/* non-blocking; descriptor or -errno */
int relay_new(struct pipe *pipe, int client_fd);		/* takes the descriptor on success */
void relay_end(struct relay *relay, bool reset);		/* with RST or FIN on both sides */
void relay_service(struct pipe *pipe, struct relay *relay, int64_t now);
size_t lane_room(const struct lane *lane, const struct rule *rule, int64_t now);	/* bytes to read now */

/* pipe_command.c: the control socket */

int control_new(struct pipe *pipe, int fd);			/* takes the descriptor on success */
void control_service(struct pipe *pipe, struct control *control);

#endif
