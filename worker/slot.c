/*
 * slot: state × event.
 *
 *             GIVE    ANSWER             EXIT    TIMER             STOP             KILL
 *   IDLE      start   -                  -       -                 -                -
 *   WAITING   ask     misbehaves: KILL   ended   -                 dismiss: ENDING  KILL → KILLED
 *   RUNNING   -       answered: WAITING  ended   timed out: TERM   TERM → ENDING    KILL → KILLED
 *   ENDING    -       -                  ended   KILL → KILLED     -                KILL → KILLED
 *   KILLED    -       -                  ended   -                 -                -
 *
 * What ended by itself is done or failed by its exit status; what timed out has failed; what was stopped is released, whatever its status: a
 * program that ends well on SIGTERM may have done half of its work.
 */
#include "worker/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "worker/job.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"

#define SLOT_KILL_AFTER_NS (2 * NS_PER_S)	/* from asking to SIGKILL */
#define SLOT_READ_BYTES 4096
#define SLOT_MAX_LAST_READS 64			/* of what stands in the pipe when the process has ended */
#define SLOT_MAX_LINE 8192			/* a longer line is shown in pieces */

/* ---- standard error ---- */

static void show_line(struct slot *slot)
{
	if (slot->line.len > 0)
		report_stderr(slot->pool, slot->count == 1 ? slot_first(slot) : NULL, buf_text(&slot->line), slot->line.len);
	buf_reset(&slot->line);
}

static void show(struct slot *slot, const char *data, size_t len)
{
	const char *newline;
	size_t piece;

	while (len > 0) {
		newline = memchr(data, '\n', len);
		piece = newline ? (size_t)(newline - data) : len;
		buf_add(&slot->line, data, piece);
		if (newline || slot->line.len > SLOT_MAX_LINE)
			show_line(slot);
		piece += newline ? 1 : 0;
		data += piece;
		len -= piece;
	}
}

/* False: nothing more for now, or for ever. */
static bool read_error(struct slot *slot)
{
	char data[SLOT_READ_BYTES];
	ssize_t len;
	int fd = slot->err_watch.fd;

	if (fd < 0)
		return false;
	do {
		len = read(fd, data, sizeof(data));
	} while (len < 0 && errno == EINTR);
	if (len > 0) {
		tail_add(&slot->tail, data, (size_t)len);
		if (slot->pool->options->verbose)
			show(slot, data, (size_t)len);
		return true;
	}
	if (len == 0 || errno != EAGAIN) {
		loop_unwatch(slot->pool->loop, &slot->err_watch);
		close(fd);
	}
	return false;
}

static void error_ready(struct loop_fd *watch, uint32_t events)
{
	(void)events;
	read_error(container_of(watch, struct slot, err_watch));
}

/* Somebody who left the job may hold the pipe open for ever: what is there now is all that counts. */
static void close_error(struct slot *slot)
{
	int i, fd;

	for (i = 0; i < SLOT_MAX_LAST_READS && read_error(slot); i++)
		;
	fd = slot->err_watch.fd;
	if (fd >= 0) {
		loop_unwatch(slot->pool->loop, &slot->err_watch);
		close(fd);
	}
	show_line(slot);
}

/* ---- the process ---- */

int slot_spawn(struct slot *slot, char *const *argv, char *const *envp, int in_fd, int out_fd)
{
	const struct worker_options *options = slot->pool->options;
	struct run_spec spec = {
		.argv = argv, .envp = envp, .in_fd = in_fd, .out_fd = out_fd, .nice = (int)options->nice, .memory = options->memory,
		.group = warden_group(slot->pool->warden, slot->index),
	};
	int pipe_fds[2], pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	spec.err_fd = pipe_fds[1];
	slot->started_ns = clock_now();
	pid = run_start(&spec);
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return pid;
	}
	/* If nobody can hear it, it runs all the same: that is no reason to do the work again. */
	if (io_set_nonblock(pipe_fds[0], true) < 0 || loop_watch(slot->pool->loop, &slot->err_watch, pipe_fds[0], EPOLLIN) < 0)
		close(pipe_fds[0]);
	slot->pid = pid;
	slot->reason = SLOT_BY_ITSELF;
	tail_reset(&slot->tail);
	slot->pool->processes++;
	return 0;
}

static void set_timer(struct slot *slot, int64_t after_ns)
{
	if (after_ns > 0)
		loop_timer_set(slot->pool->loop, &slot->timer, clock_now() + after_ns);
}

static void ask_to_end(struct slot *slot)
{
	slot->state = SLOT_ENDING;
	run_signal_group(slot->pid, SIGTERM);
	set_timer(slot, SLOT_KILL_AFTER_NS);
}

static void become_busy(struct slot *slot)
{
	slot->state = SLOT_RUNNING;
	slot->pool->busy++;
	set_timer(slot, slot->pool->options->timeout_ns);
}

/* ---- what happens ---- */

static void on_give_start(struct slot *slot)
{
	stray_job_name(getpid(), ++slot->pool->serial, slot->job);
	slot->error = slot->pool->kind->start(slot);
	if (!slot->error)
		become_busy(slot);
}

static void on_give_ask(struct slot *slot)
{
	slot->error = 0;
	slot->started_ns = clock_now();
	tail_reset(&slot->tail);
	become_busy(slot);
	slot->pool->kind->ask(slot);
}

static void on_answer(struct slot *slot)
{
	loop_timer_stop(&slot->timer);
	slot->state = SLOT_WAITING;
	slot->pool->busy--;
	slot->pool->kind->answered(slot);
}

static void on_exit_ended(struct slot *slot)
{
	struct pool *pool = slot->pool;

	close_error(slot);
	loop_timer_stop(&slot->timer);
	atomic_store(warden_group(pool->warden, slot->index), 0);
	if (slot->count > 0)
		pool->busy--;
	pool->processes--;
	slot->state = SLOT_IDLE;
	slot->pid = 0;
	pool->kind->ended(slot);
}

static void on_timer_term(struct slot *slot)
{
	slot->reason = SLOT_TIMED_OUT;
	ask_to_end(slot);
}

static void on_stop_term(struct slot *slot)
{
	slot->reason = SLOT_STOPPED;
	ask_to_end(slot);
}

static void on_stop_dismiss(struct slot *slot)
{
	slot->state = SLOT_ENDING;
	slot->pool->kind->dismiss(slot);
	set_timer(slot, SLOT_KILL_AFTER_NS);
}

static void on_timer_kill(struct slot *slot)
{
	slot->state = SLOT_KILLED;
	run_signal_group(slot->pid, SIGKILL);
}

static void on_kill(struct slot *slot)
{
	if (slot->reason == SLOT_BY_ITSELF)
		slot->reason = SLOT_STOPPED;
	loop_timer_stop(&slot->timer);
	on_timer_kill(slot);
}

static void on_unasked_kill(struct slot *slot)
{
	slot->reason = SLOT_MISBEHAVED;
	on_timer_kill(slot);
}

static void (*const table[SLOT_STATES][SLOT_EVENTS])(struct slot *slot) = {
	[SLOT_IDLE] = { [SLOT_GIVE] = on_give_start },
	[SLOT_WAITING] = { [SLOT_GIVE] = on_give_ask, [SLOT_ANSWER] = on_unasked_kill, [SLOT_EXIT] = on_exit_ended,
			   [SLOT_STOP] = on_stop_dismiss, [SLOT_KILL] = on_kill },
	[SLOT_RUNNING] = { [SLOT_ANSWER] = on_answer, [SLOT_EXIT] = on_exit_ended, [SLOT_TIMER] = on_timer_term,
			   [SLOT_STOP] = on_stop_term, [SLOT_KILL] = on_kill },
	[SLOT_ENDING] = { [SLOT_EXIT] = on_exit_ended, [SLOT_TIMER] = on_timer_kill, [SLOT_KILL] = on_kill },
	[SLOT_KILLED] = { [SLOT_EXIT] = on_exit_ended },
};

void slot_event(struct slot *slot, enum slot_event event)
{
	if (table[slot->state][event])
		table[slot->state][event](slot);
}

static void timer_fired(struct loop_timer *timer)
{
	slot_event(container_of(timer, struct slot, timer), SLOT_TIMER);
}

/* ---- units ---- */

bool slot_is_free(const struct slot *slot)
{
	return slot->state == SLOT_IDLE || slot->state == SLOT_WAITING;
}

int slot_give(struct slot *slot, struct list *units)
{
	struct list *position;

	list_splice(&slot->units, units);
	slot->count = 0;
	list_for_each(position, &slot->units)
		slot->count++;
	slot_event(slot, SLOT_GIVE);
	if (slot->error) {
		list_splice(units, &slot->units);
		slot->count = 0;
	}
	return slot->error;
}

struct unit *slot_first(const struct slot *slot)
{
	return list_entry(slot->units.next, struct unit, link);
}

struct unit *slot_take_unit(struct slot *slot)
{
	struct list *link = list_pop(&slot->units);

	if (!link)
		return NULL;
	slot->count--;
	return list_entry(link, struct unit, link);
}

/* ---- life ---- */

void slot_init(struct slot *slot, struct pool *pool, unsigned int index)
{
	memset(slot, 0, sizeof(*slot));
	slot->pool = pool;
	slot->index = index;
	list_init(&slot->units);
	loop_fd_init(&slot->err_watch, error_ready);
	loop_timer_init(&slot->timer, timer_fired);
}

void slot_release(struct slot *slot)
{
	int fd = slot->err_watch.fd;

	loop_timer_stop(&slot->timer);
	if (fd >= 0) {
		loop_unwatch(slot->pool->loop, &slot->err_watch);
		close(fd);
	}
	buf_release(&slot->line);
	if (slot->pool->kind->release)
		slot->pool->kind->release(slot);
}
