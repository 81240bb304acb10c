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
 * CHECKPOINT, in RUNNING alone, sends --checkpoint-signal and changes no state. OVERTAKEN, there too, is as STOP.
 *
 * What ended by itself is done or failed by its exit status; what timed out has failed; what was stopped is released, whatever its status: a
 * program that ends well on SIGTERM may have done half of its work.
 */
#include "worker/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/outlog.h"
#include "worker/gap.h"
#include "worker/job.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/where.h"

#define SLOT_KILL_AFTER_NS (2 * NS_PER_S)	/* from asking to SIGKILL */
#define SLOT_LOG_NS NS_PER_S			/* what a job wrote is put in the logs so often while it runs */
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

static void close_watch(struct slot *slot, struct loop_fd *watch)
{
	int fd = watch->fd;

	if (fd < 0)
		return;
	loop_unwatch(slot->pool->loop, watch);
	close(fd);
}

/* False: nothing more for now, or for ever. */
static bool read_some(struct slot *slot, struct loop_fd *watch, char data[SLOT_READ_BYTES], size_t *ret_len)
{
	ssize_t len;

	if (watch->fd < 0)
		return false;
	do {
		len = read(watch->fd, data, SLOT_READ_BYTES);
	} while (len < 0 && errno == EINTR);
	if (len > 0) {
		*ret_len = (size_t)len;
		return true;
	}
	if (len == 0 || errno != EAGAIN)
		close_watch(slot, watch);
	return false;
}

static bool read_error(struct slot *slot)
{
	char data[SLOT_READ_BYTES];
	size_t len;

	if (!read_some(slot, &slot->err_watch, data, &len))
		return false;
	tail_add(&slot->tail, data, len);
	if (slot->log)
		outlog_add(slot->log, OUTLOG_ERROR, data, len);
	if (slot->pool->options->verbose)
		show(slot, data, len);
	return true;
}

static bool read_output(struct slot *slot)
{
	char data[SLOT_READ_BYTES];
	size_t len;

	if (!read_some(slot, &slot->out_watch, data, &len))
		return false;
	outlog_add(slot->log, OUTLOG_OUTPUT, data, len);
	return true;
}

static void error_ready(struct loop_fd *watch, uint32_t events)
{
	(void)events;
	read_error(container_of(watch, struct slot, err_watch));
}

static void output_ready(struct loop_fd *watch, uint32_t events)
{
	(void)events;
	read_output(container_of(watch, struct slot, out_watch));
}

static void read_what_is_there(struct slot *slot)
{
	int i;

	for (i = 0; i < SLOT_MAX_LAST_READS && read_error(slot); i++)
		;
	for (i = 0; i < SLOT_MAX_LAST_READS && read_output(slot); i++)
		;
}

/* Somebody who left the job may hold the pipes open for ever: what is there now is all that counts. */
static void close_pipes(struct slot *slot)
{
	read_what_is_there(slot);
	close_watch(slot, &slot->err_watch);
	close_watch(slot, &slot->out_watch);
	show_line(slot);
}

/* ---- logs ---- */

void slot_log_unit(struct slot *slot, const struct unit *unit, const char *how)
{
	if (slot->log)
		outlog_unit(slot->log, unit->name, clock_wall() / NS_PER_MS, how);
}

bool slot_end_overtaken(struct slot *slot, struct unit *unit)
{
	if (!unit->overtaken)
		return false;
	slot_log_unit(slot, unit, OUTLOG_OVERTAKEN);
	settle_overtaken(unit);
	return true;
}

static void flush_log(struct slot *slot)
{
	int error = slot->log ? outlog_flush(slot->log) : 0;

	if (error && !slot->pool->logs_failed)
		report_say(slot->pool, LOG_LEVEL_WARN, "can't write all of the logs in %s: %s", slot->pool->options->logs, log_strerror(error));
	slot->pool->logs_failed |= error != 0;
}

void slot_log_running(struct slot *slot)
{
	int64_t now = clock_now();
	struct list *position;

	if (!slot->log || slot->count == 0 || now - (slot->logged_ns ? slot->logged_ns : slot->started_ns) < SLOT_LOG_NS)
		return;
	if (slot->logged_ns == 0)
		list_for_each(position, &slot->units)
			outlog_running(slot->log, list_entry(position, struct unit, link)->name, clock_wall() / NS_PER_MS);
	slot->logged_ns = now;
	flush_log(slot);
}

/* ---- the process ---- */

/* The read end is watched from now on; *ret_fd is the process's. */
static int open_pipe(struct slot *slot, struct loop_fd *watch, int *ret_fd)
{
	int fds[2], error;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	error = io_set_nonblock(fds[0], true);
	if (!error)
		error = loop_watch(slot->pool->loop, watch, fds[0], EPOLLIN);
	if (error) {
		close(fds[0]);
		close(fds[1]);
		return error;
	}
	*ret_fd = fds[1];
	return 0;
}

/* With --memory: by a cgroup where there can be one. */
static int start_process(struct slot *slot, struct run_spec *spec)
{
	struct pool *pool = slot->pool;
	struct buf procs = BUF_INIT;
	int pid = 0;

	if (pool->memory) {
		pid = memory_begin(pool->memory, slot->index, &procs);
		spec->cgroup = buf_text(&procs);
	} else {
		spec->memory = pool->options->memory;
	}
	slot->started_ns = clock_now();
	if (!pid)
		pid = run_start(spec);
	slot->times.spawn_ns = clock_now() - slot->started_ns;
	if (pid < 0 && pool->memory)
		memory_end(pool->memory, slot->index, &slot->result);
	buf_release(&procs);
	return pid;
}

int slot_spawn(struct slot *slot, char *const *argv, char *const *envp, int in_fd, int out_fd)
{
	const struct worker_options *options = slot->pool->options;
	struct run_spec spec = {
		.file = options->command_file, .argv = argv, .envp = envp, .in_fd = in_fd, .out_fd = out_fd, .nice = (int)options->nice,
		.group = warden_group(slot->pool->warden, slot->index),
	};
	int our_fd = -1, pid, error;

	error = open_pipe(slot, &slot->err_watch, &spec.err_fd);
	if (error)
		return error;
	if (slot->log && out_fd < 0) {
		error = open_pipe(slot, &slot->out_watch, &our_fd);
		spec.out_fd = our_fd;
	}
	pid = error ? error : start_process(slot, &spec);
	close(spec.err_fd);
	io_close(&our_fd);
	if (pid < 0) {
		close_watch(slot, &slot->err_watch);
		close_watch(slot, &slot->out_watch);
		return pid;
	}
	slot->pid = pid;
	slot->reason = SLOT_BY_ITSELF;
	slot->checkpointed = false;
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

/* What stood empty before this job is told with it. It could begin when the last of its units was claimed and looked at. */
static void begin_times(struct slot *slot)
{
	struct gap gap = {
		.free_ns = slot->free_ns, .started_ns = slot->started_ns, .look_ns = slot->pool->supply.look_ns,
		.again = slot_first(slot)->failures > 0, .held = slot->pool->held_ns > slot->free_ns,
	};
	struct list *position;

	list_for_each(position, &slot->units) {
		const struct unit *unit = list_entry(position, struct unit, link);

		if (unit->claimed_ns > gap.claimed_ns) {
			gap.asked_ns = unit->taken_ns;
			gap.claimed_ns = unit->claimed_ns;
		}
		if (unit->ready_ns > gap.ready_ns)
			gap.ready_ns = unit->ready_ns;
	}
	slot->times.read_wait_ns = slot->times.write_wait_ns = slot->times.ready_ns = 0;
	gap_split(&gap, &slot->times);
}

/*
 * The run's end: nothing is left to claim, so no later job of the slots that stand empty can tell of it. Those that run do. With --watch there may be more
 * units; what the worker itself holds back is none.
 */
static int64_t end_tail(const struct slot *slot)
{
	struct pool *pool = slot->pool;
	int64_t now = clock_now(), sum = 0;
	unsigned int i;

	if (pool->options->watch || pool->phase != POOL_WORKING || pool->supply.stopped || pool->short_ns || !supply_empty(pool))
		return 0;
	for (i = 0; i < pool->slot_count; i++) {
		struct slot *other = &pool->slots[i];

		if (other == slot || !list_empty(&other->units) || !gap_is_starved(now - other->free_ns, pool->supply.look_ns))
			continue;
		sum += now - other->free_ns;
		other->free_ns = now;
	}
	return sum;
}

static void end_times(struct slot *slot)
{
	struct run_result *to = &slot->result;

	to->spawn_ns = slot->times.spawn_ns;
	to->read_wait_ns = slot->times.read_wait_ns;
	to->write_wait_ns = slot->times.write_wait_ns;
	to->ready_ns = slot->times.ready_ns;
	to->claim_ns = slot->times.claim_ns;
	to->look_ns = slot->times.look_ns;
	to->turn_ns = slot->times.turn_ns;
	to->idle_ns = slot->times.idle_ns;
	to->tail_ns = end_tail(slot);
	slot->times.spawn_ns = 0;
	slot->free_ns = clock_now();
}

void slot_sample(struct slot *slot, int64_t since_ns)
{
	enum where where = slot->state == SLOT_RUNNING ? where_is(slot->pid) : WHERE_ELSE;
	int64_t ran_ns = clock_now() - slot->started_ns, most_ns = POOL_SAMPLE_NS * 3 / 2;

	/* A look in time stands for all jobs so short that few of them are seen; one that came late, for no more than this job has run. */
	if (since_ns > most_ns)
		since_ns = ran_ns < most_ns ? most_ns : ran_ns < since_ns ? ran_ns : since_ns;
	if (where == WHERE_READING)
		slot->times.read_wait_ns += since_ns;
	else if (where == WHERE_WRITING)
		slot->times.write_wait_ns += since_ns;
	else if (where == WHERE_READY)
		slot->times.ready_ns += since_ns;
}

static void become_busy(struct slot *slot)
{
	begin_times(slot);
	slot->state = SLOT_RUNNING;
	slot->pool->busy++;
	slot->logged_ns = 0;
	if (slot->log)
		outlog_begin(slot->log);
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
	read_what_is_there(slot);
	end_times(slot);
	slot->pool->kind->answered(slot);
	flush_log(slot);
}

static void on_exit_ended(struct slot *slot)
{
	struct pool *pool = slot->pool;

	close_pipes(slot);
	loop_timer_stop(&slot->timer);
	atomic_store(warden_group(pool->warden, slot->index), 0);
	if (slot->count > 0)
		pool->busy--;
	pool->processes--;
	slot->state = SLOT_IDLE;
	slot->pid = 0;
	slot->unasked = false;
	end_times(slot);
	pool->kind->ended(slot);
	flush_log(slot);
}

static void on_timer_term(struct slot *slot)
{
	slot->reason = SLOT_TIMED_OUT;
	ask_to_end(slot);
}

static void on_checkpoint(struct slot *slot)
{
	slot->checkpointed = true;
	run_signal_group(slot->pid, slot->pool->options->checkpoint_signal);
}

static void on_stop_term(struct slot *slot)
{
	slot->reason = SLOT_STOPPED;
	ask_to_end(slot);
}

static void on_overtaken_term(struct slot *slot)
{
	slot->reason = SLOT_IN_VAIN;
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
			   [SLOT_CHECKPOINT] = on_checkpoint, [SLOT_STOP] = on_stop_term, [SLOT_OVERTAKEN] = on_overtaken_term, [SLOT_KILL] = on_kill },
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
	return slot->state == SLOT_IDLE || (slot->state == SLOT_WAITING && !slot->unasked);
}

bool slot_is_fit(struct slot *slot)
{
	if (slot->state == SLOT_WAITING)
		slot->pool->kind->listen(slot);
	return slot_is_free(slot);
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

/* A name that no other worker's slot has, on any node. */
static int open_log(struct slot *slot)
{
	const char *dir = slot->pool->options->logs;
	int error;
	char host[HOST_NAME_MAX + 1] = "node", name[HOST_NAME_MAX + 64];

	if (!dir)
		return 0;
	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "%s.%d.%lld.%u", host, (int)getpid(), (long long)(clock_wall() / NS_PER_S), slot->index);
	error = outlog_new(dir, name, &slot->log);
	if (error)
		log_error("can't keep logs in %s: %s", dir, log_strerror(error));
	return error;
}

int slot_init(struct slot *slot, struct pool *pool, unsigned int index)
{
	memset(slot, 0, sizeof(*slot));
	slot->pool = pool;
	slot->index = index;
	slot->free_ns = clock_now();
	list_init(&slot->units);
	loop_fd_init(&slot->err_watch, error_ready);
	loop_fd_init(&slot->out_watch, output_ready);
	loop_timer_init(&slot->timer, timer_fired);
	return open_log(slot);
}

void slot_release(struct slot *slot)
{
	loop_timer_stop(&slot->timer);
	close_watch(slot, &slot->err_watch);
	close_watch(slot, &slot->out_watch);
	buf_release(&slot->line);
	outlog_free(slot->log);
	if (slot->pool->kind->release)
		slot->pool->kind->release(slot);
}
