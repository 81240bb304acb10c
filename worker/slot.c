/*
 * slot: state × event.
 *
 *              EXIT      TIMER              STOP             KILL
 *   IDLE       -         -                  -                -
 *   RUNNING    settle    timed out: TERM    TERM → ENDING    KILL → KILLED
 *   ENDING     settle    KILL → KILLED      -                KILL → KILLED
 *   KILLED     settle    -                  -                -
 *
 * settle: what ended by itself is done or failed by its exit status; what timed out has failed; what was stopped is released, whatever its
 * status: a program that ends well on SIGTERM may have done half of its work.
 */
#include "worker/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "worker/expand.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"

#define SLOT_KILL_AFTER_NS (2 * NS_PER_S)	/* from SIGTERM to SIGKILL */
#define SLOT_READ_BYTES 4096
#define SLOT_MAX_LAST_READS 64			/* of what stands in the pipe when the process has ended */
#define SLOT_MAX_LINE 8192			/* a longer line is shown in pieces */

/* ---- standard error ---- */

static void show_line(struct slot *slot)
{
	if (slot->line.len > 0)
		report_stderr(slot->unit, buf_text(&slot->line), slot->line.len);
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

/* ---- what happens ---- */

static void slot_idle(struct slot *slot)
{
	loop_timer_stop(&slot->timer);
	warden_set(slot->pool->warden, slot->index, 0);
	slot->state = SLOT_IDLE;
	slot->unit = NULL;
	slot->pid = 0;
	slot->pool->busy--;
}

static void on_exit_settle(struct slot *slot)
{
	struct pool *pool = slot->pool;
	struct unit *unit = slot->unit;
	enum unit_verdict verdict;

	close_error(slot);
	unit->wall_ns = slot->result.wall_ns;
	if (slot->reason == SLOT_STOPPED)
		verdict = UNIT_RELEASED;
	else if (slot->reason == SLOT_BY_ITSELF && WIFEXITED(slot->result.status) && WEXITSTATUS(slot->result.status) == 0)
		verdict = UNIT_DONE;
	else
		verdict = UNIT_FAILED;
	if (verdict != UNIT_RELEASED)
		report_values(unit, &slot->result, verdict == UNIT_FAILED ? &slot->tail : NULL, slot->reason == SLOT_TIMED_OUT);
	supply_job_took(pool, slot->result.wall_ns);
	slot_idle(slot);
	settle_unit(pool, unit, verdict);
}

static void ask_to_end(struct slot *slot)
{
	slot->state = SLOT_ENDING;
	run_signal_group(slot->pid, SIGTERM);
	loop_timer_set(slot->pool->loop, &slot->timer, clock_now() + SLOT_KILL_AFTER_NS);
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

static void (*const table[SLOT_STATES][SLOT_EVENTS])(struct slot *slot) = {
	[SLOT_RUNNING] = { [SLOT_EXIT] = on_exit_settle, [SLOT_TIMER] = on_timer_term, [SLOT_STOP] = on_stop_term, [SLOT_KILL] = on_kill },
	[SLOT_ENDING] = { [SLOT_EXIT] = on_exit_settle, [SLOT_TIMER] = on_timer_kill, [SLOT_KILL] = on_kill },
	[SLOT_KILLED] = { [SLOT_EXIT] = on_exit_settle },
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

void slot_init(struct slot *slot, struct pool *pool, unsigned int index)
{
	memset(slot, 0, sizeof(*slot));
	slot->pool = pool;
	slot->index = index;
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
}

/* ---- start ---- */

static int spawn(struct slot *slot, const struct unit *unit, int err_fd)
{
	struct pool *pool = slot->pool;
	const struct expand_unit words = {
		.name = unit->name, .in = unit->in, .out = unit->out, .job = slot->job,
		.attempt = unit->attempt > 0 ? (unsigned int)unit->attempt : 0,
	};
	struct run_spec spec = { .in_fd = -1, .out_fd = -1, .err_fd = err_fd };
	char **argv = NULL, **envp = NULL;
	int error;

	error = expand_command(pool->options->command, &words, &argv);
	if (!error)
		error = expand_environment(pool->environment, &words, &envp);
	if (!error) {
		spec.argv = argv;
		spec.envp = envp;
		error = run_start(&spec);
	}
	expand_free(argv);
	expand_free(envp);
	return error;
}

int slot_start(struct slot *slot, struct unit *unit)
{
	struct pool *pool = slot->pool;
	int pipe_fds[2], pid, error;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	stray_job_name(getpid(), ++pool->serial, slot->job);
	slot->started_ns = clock_now();
	pid = spawn(slot, unit, pipe_fds[1]);
	close(pipe_fds[1]);
	error = pid < 0 ? pid : io_set_nonblock(pipe_fds[0], true);
	if (!error)
		error = loop_watch(pool->loop, &slot->err_watch, pipe_fds[0], EPOLLIN);
	if (error) {
		close(pipe_fds[0]);
		if (pid < 0)
			return pid;
		/* It runs, but nobody will hear it: that is no reason to do the work again. */
	}
	warden_set(pool->warden, slot->index, pid);
	slot->pid = pid;
	slot->unit = unit;
	slot->state = SLOT_RUNNING;
	slot->reason = SLOT_BY_ITSELF;
	tail_reset(&slot->tail);
	pool->busy++;
	return 0;
}
