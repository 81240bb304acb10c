/*
 * pool: the loop, signals, and the phases of a worker's life.
 *
 * Call-backs only change what is known; pool_pump(), after every turn, does what follows from it. So no call-back depends on another's order.
 */
#include "worker/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/children.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "worker/expand.h"
#include "worker/job.h"
#include "worker/options.h"
#include "worker/report.h"
#include "worker/run.h"

#define POOL_ASIDE_THREADS 16
#define POOL_GIVE_UP_NS (4 * NS_PER_S)		/* from ending the jobs to leaving whatever is unanswered */
#define POOL_START_AGAIN_NS NS_PER_S
#define POOL_SHORT_NS (10 * NS_PER_S)
#define POOL_STRAYS_NS NS_PER_S			/* for ending what jobs have left, at most */
#define POOL_STRAYS_AGAIN_US 1000

/* ---- phases ---- */

static void all_slots(struct pool *pool, enum slot_event event)
{
	unsigned int i;

	for (i = 0; i < pool->slot_count; i++)
		slot_event(&pool->slots[i], event);
}

static void pool_end(struct pool *pool, enum slot_event event)
{
	pool->phase = POOL_ENDING;
	supply_stop(pool);
	all_slots(pool, event);
	loop_timer_set(pool->loop, &pool->timer, clock_now() + POOL_GIVE_UP_NS);
}

static void pool_drain(struct pool *pool)
{
	pool->phase = POOL_DRAINING;
	supply_stop(pool);
}

/* Jobs have --grace from now on. */
static void drain_with_grace(struct pool *pool)
{
	pool_drain(pool);
	if (pool->options->checkpoint_signal)
		all_slots(pool, SLOT_CHECKPOINT);
	loop_timer_set(pool->loop, &pool->timer, clock_now() + pool->options->grace_ns);
}

static void timer_fired(struct loop_timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, timer);

	if (pool->phase == POOL_DRAINING)
		pool_end(pool, SLOT_STOP);
	else
		pool->gave_up = true;
}

/* The queue can't be told anything any more: what runs is for nothing. */
void pool_session_broken(void *arg, int error)
{
	struct pool *pool = arg;

	if (pool->broken)
		return;
	pool->broken = error;
	pool_end(pool, SLOT_KILL);
}

static void halt_if_failed(struct pool *pool)
{
	const struct pool_counts *counts = &pool->counts;
	uint64_t failed = counts->failed + counts->failing;

	if (pool->phase == POOL_ENDING || !guard_must_halt(pool->options, failed, failed + counts->done + counts->already))
		return;
	if (pool->phase == POOL_WORKING)
		report_say(pool, LOG_LEVEL_WARN, "stopping, as --halt says: %llu failed", (unsigned long long)failed);
	if (pool->options->halt == HALT_NOW)
		pool_end(pool, SLOT_STOP);
	else if (pool->phase == POOL_WORKING)
		pool_drain(pool);
}

/* ---- signals, and what is taken like one ---- */

static void ask_to_stop(struct pool *pool, int number)
{
	if (pool->phase == POOL_WORKING || (pool->phase == POOL_DRAINING && !pool->exit_signal)) {
		pool->exit_signal = number;
		drain_with_grace(pool);
		if (pool->busy > 0)
			report_say(pool, LOG_LEVEL_WARN, "stopping: %u job%s may run %lld s more; the same signal again ends %s now", pool->busy,
				   pool->busy == 1 ? "" : "s", (long long)(pool->options->grace_ns / NS_PER_S),
				   pool->busy == 1 ? "it" : "them");
	} else {
		pool_end(pool, SLOT_KILL);
	}
}

static void drain_told(void *arg)
{
	ask_to_stop(arg, SIGTERM);
}

static void time_is_up(struct loop_timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, max_time);

	if (pool->phase != POOL_WORKING)
		return;
	drain_with_grace(pool);
}

static struct slot *slot_of(struct pool *pool, pid_t pid)
{
	unsigned int i;

	for (i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].pid == pid)
			return &pool->slots[i];
	return NULL;
}

/* Of this process's children: the warden, the jobs, and what a running job has put into the background are left alone. */
static bool is_wanted(void *arg, pid_t pid)
{
	struct pool *pool = arg;
	unsigned int i;

	if (pid == warden_pid(pool->warden) || pid == pool->drain.pid || slot_of(pool, pid))
		return true;
	for (i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].pid && stray_is_of(pid, pool->slots[i].job))
			return true;
	return false;
}

static void reap_other(struct pool *pool, pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid && pid == pool->drain.pid)
		drain_ended(&pool->drain, status);
}

/* The group is ended before its leader is reaped: until then its number can't be another's. */
static void reap(struct pool *pool)
{
	struct slot *slot;
	bool ended = false;
	pid_t pid;

	while ((pid = run_ended()) > 0) {
		ended = true;
		slot = slot_of(pool, pid);
		if (!slot) {
			reap_other(pool, pid);
			continue;
		}
		run_signal_group(pid, SIGKILL);
		if (run_reap(pid, slot->started_ns, &slot->result) < 0)
			continue;
		if (pool->memory)
			memory_end(pool->memory, slot->index, &slot->result);
		slot_event(slot, SLOT_EXIT);
	}
	if (ended)
		children_kill(is_wanted, pool);
}

/* What the last jobs left: the children of one that is killed are ours when it is gone. One that hangs in the mount is not waited for. */
static void end_strays(struct pool *pool)
{
	int64_t limit = clock_now() + POOL_STRAYS_NS;
	pid_t pid;

	while (children_kill(is_wanted, pool) > 0 && clock_now() < limit) {
		usleep(POOL_STRAYS_AGAIN_US);
		while ((pid = run_ended()) > 0 && waitpid(pid, NULL, WNOHANG) == pid)
			;
	}
}

static void signal_came(struct loop_fd *watch, uint32_t events)
{
	struct pool *pool = container_of(watch, struct pool, signals);
	struct signalfd_siginfo info;
	bool child = false;

	(void)events;
	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			child = true;
		else
			ask_to_stop(pool, (int)info.ssi_signo);
	}
	if (child)
		reap(pool);
}

/* ---- work ---- */

/* The command itself can't be run: no unit is to blame. */
static bool is_fatal(const struct pool *pool, int error)
{
	return run_error_is_final(error) && error != -E2BIG && !expand_has_word(pool->options->command[0]);
}

static void could_not_start(struct pool *pool, struct unit *unit, int error)
{
	if (!run_error_is_final(error) || (error == -E2BIG && pool->kind->batches && !unit->alone)) {
		unit->alone |= error == -E2BIG;
		supply_push_back(pool, unit);
	} else if (pool->fatal.len > 0) {
		settle_unit(pool, unit, UNIT_RELEASED);
	} else {
		report_start_failure(unit, error);
		settle_unit(pool, unit, UNIT_FAILED);
	}
}

static void start_failed(struct pool *pool, struct list *units, int error)
{
	struct list *link;

	if (!run_error_is_final(error)) {
		report_say(pool, LOG_LEVEL_WARN, "can't start a process now, will try again: %s", log_strerror(error));
		loop_timer_set(pool->loop, &pool->start_again, clock_now() + POOL_START_AGAIN_NS);
	} else if (is_fatal(pool, error)) {
		buf_addf(&pool->fatal, "can't run '%s': %s", pool->options->command[0], log_strerror(error));
	}
	while ((link = list_pop(units)))
		could_not_start(pool, list_entry(link, struct unit, link), error);
	if (pool->fatal.len > 0)
		pool_drain(pool);
}

static void become_short(struct pool *pool, const char *why)
{
	static long long said;

	pool->short_ns = clock_now();
	if (log_allowed(&said))
		report_say(pool, LOG_LEVEL_WARN, "no job is started for now: %s", why);
}

/* Looked at again after a while when not. */
static bool may_start(struct pool *pool)
{
	bool waits = loop_timer_is_set(&pool->start_again), may;
	struct buf why = BUF_INIT;

	may = !waits && guard_may_start(pool->options, &why);
	if (may)
		pool->short_ns = 0;
	else if (!waits && !pool->short_ns)
		become_short(pool, buf_text(&why));
	buf_release(&why);
	if (may)
		return true;
	pool->held_ns = clock_now();
	if (!waits)
		loop_timer_set(pool->loop, &pool->start_again, pool->held_ns + POOL_START_AGAIN_NS);
	return false;
}

/* For so long that others may have what was claimed for this machine; what a take still brings, too. */
static bool stays_short(struct pool *pool)
{
	if (!pool->short_ns || clock_now() - pool->short_ns < POOL_SHORT_NS)
		return false;
	supply_give_back(pool);
	return !may_start(pool);
}

static void start_jobs(struct pool *pool)
{
	struct list units;
	unsigned int i;
	int error;

	list_init(&units);
	for (i = 0; i < pool->slot_count && pool->phase == POOL_WORKING; i++) {
		if (!slot_is_free(&pool->slots[i]))
			continue;
		if (!supply_ready(pool) || !may_start(pool))
			return;
		if (!slot_is_fit(&pool->slots[i]))
			continue;
		supply_pop(pool, &units);
		error = slot_give(&pool->slots[i], &units);
		if (error)
			start_failed(pool, &units, error);
	}
}

/* Not in step with anything that jobs do twenty times a second. */
static void set_sample(struct pool *pool)
{
	pool->sampled_ns = clock_now();
	loop_timer_set(pool->loop, &pool->sample, pool->sampled_ns + POOL_SAMPLE_NS / 2 + (int64_t)(clock_random() % POOL_SAMPLE_NS));
}

static void sample_fired(struct loop_timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, sample);
	int64_t since_ns = clock_now() - pool->sampled_ns;	/* more, where processors are short for us too */
	unsigned int i;

	for (i = 0; i < pool->slot_count; i++) {
		slot_sample(&pool->slots[i], since_ns);
		slot_log_running(&pool->slots[i]);
		hedge_check(&pool->slots[i]);
	}
	if (pool->busy > 0)
		set_sample(pool);
}

static void pool_pump(struct pool *pool)
{
	halt_if_failed(pool);
	if (pool->phase == POOL_WORKING) {
		start_jobs(pool);
		if (!stays_short(pool)) {
			supply_pump(pool);
			hedge_pump(pool);
		}
	}
	if (pool->busy > 0 && !loop_timer_is_set(&pool->sample))
		set_sample(pool);
	session_flush(&pool->supply.session);
	settle_flush(pool);
}

static bool nothing_left(const struct pool *pool)
{
	return supply_empty(pool) && pool->settle.count == 0 && !pool->hedge.asking && (pool->supply.ended || pool->phase != POOL_WORKING);
}

/* Processes that stay are told last. */
static bool pool_finished(struct pool *pool)
{
	if (pool->gave_up)
		return true;
	if (pool->busy > 0 || (!pool->broken && !nothing_left(pool)))
		return false;
	if (pool->processes > 0 && !pool->dismissed) {
		pool->dismissed = true;
		all_slots(pool, SLOT_STOP);
	}
	return pool->processes == 0;
}

static int exit_status(struct pool *pool)
{
	const char *advice = place_advice(pool->broken);

	if (pool->broken)
		log_error("lost the queue %s: %s; what was not finished is given back by its mount or when its lease ends",
			  pool->place->queue, advice ? advice : log_strerror(pool->broken));
	else if (pool->fatal.len > 0)
		log_error("%s", buf_text(&pool->fatal));
	else if (pool->gave_up)
		log_error("the mount does not answer: what was not finished is given back by it or when its lease ends");
	if (pool->exit_signal)
		return 128 + pool->exit_signal;
	if (pool->fatal.len > 0)
		return WORKER_EXIT_USAGE;
	if (pool->broken || pool->gave_up)
		return WORKER_EXIT_AGAIN;
	return pool->counts.failed > 0 ? WORKER_EXIT_FAILED : 0;
}

int pool_run(struct pool *pool, int take_fd, int finish_fd)
{
	int error = 0;

	supply_init(pool, take_fd);
	settle_init(pool, finish_fd);
	while (!error) {
		pool_pump(pool);
		if (pool_finished(pool))
			break;
		error = loop_turn(pool->loop);
	}
	drain_end(&pool->drain);
	end_strays(pool);
	bar_end(pool->bar);
	if (error) {
		log_error("can't wait for events: %s", log_strerror(error));
		all_slots(pool, SLOT_KILL);
		return WORKER_EXIT_AGAIN;
	}
	report_summary(pool);
	return exit_status(pool);
}

/* ---- life ---- */

static int watch_signals(struct pool *pool)
{
	sigset_t set;
	int fd, error;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	error = loop_watch(pool->loop, &pool->signals, fd, EPOLLIN);
	if (error)
		close(fd);
	return error;
}

static int make_slots(struct pool *pool)
{
	unsigned int i, count = (unsigned int)pool->options->slots;

	pool->slots = calloc(count, sizeof(*pool->slots));
	if (!pool->slots)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		int error = slot_init(&pool->slots[i], pool, i);

		pool->slot_count++;
		if (error)
			return error;
	}
	return 0;
}

static void start_again_fired(struct loop_timer *timer)
{
	(void)timer;		/* pool_pump() sees that it is not set any more */
}

int pool_new(const struct worker_options *options, const struct place *place, char *const *environment, struct warden *warden, struct pool **ret_pool)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int error;

	if (!pool)
		return -ENOMEM;
	pool->options = options;
	pool->place = place;
	pool->environment = environment;
	pool->warden = warden;
	list_init(&pool->units);
	loop_fd_init(&pool->signals, signal_came);
	loop_timer_init(&pool->timer, timer_fired);
	loop_timer_init(&pool->start_again, start_again_fired);
	loop_timer_init(&pool->max_time, time_is_up);
	loop_timer_init(&pool->sample, sample_fired);
	pool->kind = job_kind_of(options);
	batch_size_init(&pool->batch, (unsigned int)(options->batch > 0 ? options->batch : 0), options->batch_time_ns);
	error = loop_new(&pool->loop);
	if (!error)
		error = watch_signals(pool);
	if (!error)
		error = aside_new(pool->loop, POOL_ASIDE_THREADS, &pool->aside);
	if (!error)
		error = make_slots(pool);
	if (!error)
		error = bar_new(pool, &pool->bar);
	if (error)
		goto fail;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	drain_begin(&pool->drain, pool->loop, options, warden_group(warden, (unsigned int)options->slots), drain_told, pool);
	if (options->max_time_ns > 0)
		loop_timer_set(pool->loop, &pool->max_time, clock_now() + options->max_time_ns);
	hedge_init(pool);
	*ret_pool = pool;
	return 0;
fail:
	pool_free(pool);
	return error;
}

void pool_free(struct pool *pool)
{
	struct list *position, *next;
	unsigned int i;

	if (!pool || pool->gave_up)	/* then a thread may hang in the mount, and the process is about to end */
		return;
	bar_free(pool->bar);
	aside_free(pool->aside);
	for (i = 0; i < pool->slot_count; i++)
		slot_release(&pool->slots[i]);
	free(pool->slots);
	if (pool->supply.session.loop) {
		supply_release(pool);
		hedge_release(pool);
	}
	if (pool->settle.session.loop)
		settle_release(pool);
	list_for_each_safe(position, next, &pool->units)
		unit_free(list_entry(position, struct unit, all));
	if (pool->signals.fd >= 0) {
		int fd = pool->signals.fd;

		loop_unwatch(pool->loop, &pool->signals);
		close(fd);
	}
	loop_free(pool->loop);
	buf_release(&pool->fatal);
	free(pool);
}
