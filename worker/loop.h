/*
 * loop: the worker's one thread of events: descriptors, timers, signals.
 *
 * Level-triggered. Call-backs run inside loop_turn() and may watch, stop watching, and set timers, their own included; what they own must stay
 * until they have returned. Times are clock_now()'s nanoseconds.
 */
#ifndef CLAIMFS_WORKER_LOOP_H
#define CLAIMFS_WORKER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

struct loop_fd {		/* embedded in its owner; `fd` is -1 while it is not watched */
	int fd;
	void (*ready)(struct loop_fd *watch, uint32_t events);	/* EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP */
};

struct loop_timer {
	struct list link;
	int64_t at_ns;
	void (*fire)(struct loop_timer *timer);
};

int loop_new(struct loop **ret_loop);		/* 0 or -errno */
void loop_free(struct loop *loop);		/* NULL is fine; descriptors stay open */

void loop_fd_init(struct loop_fd *watch, void (*ready)(struct loop_fd *watch, uint32_t events));
int loop_watch(struct loop *loop, struct loop_fd *watch, int fd, uint32_t events);	/* again: changes the events */
void loop_unwatch(struct loop *loop, struct loop_fd *watch);

void loop_timer_init(struct loop_timer *timer, void (*fire)(struct loop_timer *timer));
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ns);	/* fires once; again: moves it */
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);

/* Waits for the next event, at most until the next timer, and calls back. 0 or -errno. */
int loop_turn(struct loop *loop);

#endif
