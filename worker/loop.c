/*
 * loop: epoll and a list of timers. The list is kept in order; there are a few timers a slot, so finding a place is cheap.
 *
 * A call-back may close a descriptor that has an event in the same batch: unwatching takes it out of what is still to be called.
 */
#include "worker/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define LOOP_BATCH 64

struct loop {
	int epoll_fd;
	struct list timers;		/* in order of at_ns */
	struct epoll_event batch[LOOP_BATCH];
	int batch_len;
};

int loop_new(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	list_init(&loop->timers);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		int error = -errno;

		free(loop);
		return error;
	}
	*ret_loop = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	io_close(&loop->epoll_fd);
	while (list_pop(&loop->timers))
		;
	free(loop);
}

void loop_fd_init(struct loop_fd *watch, void (*ready)(struct loop_fd *watch, uint32_t events))
{
	watch->fd = -1;
	watch->ready = ready;
}

int loop_watch(struct loop *loop, struct loop_fd *watch, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	int op = watch->fd == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (watch->fd >= 0 && watch->fd != fd)
		loop_unwatch(loop, watch);
	if (epoll_ctl(loop->epoll_fd, op, fd, &event) < 0)
		return -errno;
	watch->fd = fd;
	return 0;
}

void loop_unwatch(struct loop *loop, struct loop_fd *watch)
{
	int i;

	if (watch->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
	for (i = 0; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

void loop_timer_init(struct loop_timer *timer, void (*fire)(struct loop_timer *timer))
{
	list_init(&timer->link);
	timer->at_ns = 0;
	timer->fire = fire;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ns)
{
	struct list *position;

	list_remove(&timer->link);
	timer->at_ns = at_ns;
	list_for_each(position, &loop->timers)
		if (list_entry(position, struct loop_timer, link)->at_ns > at_ns)
			break;
	list_append(position, &timer->link);	/* before `position` */
}

void loop_timer_stop(struct loop_timer *timer)
{
	list_remove(&timer->link);
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
	return !list_empty(&timer->link);
}

/* Milliseconds until the first timer, rounded up so that it is due after the wait; -1: none. */
static int next_wait(const struct loop *loop)
{
	int64_t left;

	if (list_empty(&loop->timers))
		return -1;
	left = list_entry(loop->timers.next, struct loop_timer, link)->at_ns - clock_now();
	if (left <= 0)
		return 0;
	left = (left + NS_PER_MS - 1) / NS_PER_MS;
	return left > 3600000 ? 3600000 : (int)left;
}

/* Timers set by these call-backs for now or earlier wait for the next turn, so that descriptors get theirs. */
static void fire_timers(struct loop *loop)
{
	int64_t now = clock_now();
	struct list due;

	list_init(&due);
	while (!list_empty(&loop->timers) && list_entry(loop->timers.next, struct loop_timer, link)->at_ns <= now)
		list_append(&due, list_pop(&loop->timers));
	while (!list_empty(&due)) {
		struct loop_timer *timer = list_entry(list_pop(&due), struct loop_timer, link);

		timer->fire(timer);
	}
}

int loop_turn(struct loop *loop)
{
	int i;

	do {
		loop->batch_len = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, next_wait(loop));
	} while (loop->batch_len < 0 && errno == EINTR);
	if (loop->batch_len < 0) {
		loop->batch_len = 0;
		return -errno;
	}
	for (i = 0; i < loop->batch_len; i++) {
		struct loop_fd *watch = loop->batch[i].data.ptr;

		if (watch)
			watch->ready(watch, loop->batch[i].events);
	}
	loop->batch_len = 0;
	fire_timers(loop);
	return 0;
}
