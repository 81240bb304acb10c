/*
 * guard: asks the machine, and runs --drain-cmd beside the jobs.
 */
#include "worker/guard.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/meminfo.h"
#include "worker/options.h"
#include "worker/run.h"

#define GUARD_MIN_UNITS 3
#define DRAIN_FILE_NS NS_PER_S
#define DRAIN_COMMAND_NS (5 * NS_PER_S)	/* from the end of one to the start of the next */

bool guard_may_start(const struct worker_options *options, struct buf *why)
{
	int64_t available;
	double load;

	if (options->load > 0 && getloadavg(&load, 1) == 1 && load >= options->load) {
		buf_addf(why, "the load is %.2f, and --load says %g", load, options->load);
		return false;
	}
	available = options->mem_free > 0 ? meminfo_bytes("MemAvailable") : -1;
	if (available >= 0 && available < options->mem_free) {
		buf_addf(why, "%" PRId64 " MB of memory are free, and --mem-free says %" PRId64 " MB", available >> 20, options->mem_free >> 20);
		return false;
	}
	return true;
}

bool guard_must_halt(const struct worker_options *options, uint64_t failed, uint64_t ended)
{
	if (options->halt == HALT_NEVER || failed == 0)
		return false;
	if (options->halt_percent > 0)
		return ended >= GUARD_MIN_UNITS && failed * 100 >= (uint64_t)options->halt_percent * ended;
	return failed >= (uint64_t)options->halt_count;
}

/* ---- notices ---- */

static void tell(struct drain *drain)
{
	if (drain->over)
		return;
	drain->over = true;
	loop_timer_stop(&drain->timer);
	drain->told(drain->arg);
}

static void start_command(struct drain *drain)
{
	char *const argv[] = { "sh", "-c", (char *)drain->options->drain_command, NULL };
	const struct run_spec spec = { .argv = argv, .envp = environ, .in_fd = -1, .out_fd = STDERR_FILENO, .err_fd = STDERR_FILENO,
				       .group = drain->group };
	int pid = run_start(&spec);

	if (pid < 0) {
		log_warn("can't run --drain-cmd: %s", log_strerror(pid));
		loop_timer_set(drain->loop, &drain->timer, clock_now() + DRAIN_COMMAND_NS);
		return;
	}
	drain->pid = pid;
}

static void timer_fired(struct loop_timer *timer)
{
	struct drain *drain = container_of(timer, struct drain, timer);

	if (drain->options->drain_file && access(drain->options->drain_file, F_OK) == 0) {
		tell(drain);
		return;
	}
	if (drain->options->drain_file)
		loop_timer_set(drain->loop, &drain->timer, clock_now() + DRAIN_FILE_NS);
	else
		start_command(drain);
}

void drain_begin(struct drain *drain, struct loop *loop, const struct worker_options *options, _Atomic pid_t *group, void (*told)(void *arg),
		 void *arg)
{
	*drain = (struct drain){ .options = options, .loop = loop, .group = group, .told = told, .arg = arg };
	loop_timer_init(&drain->timer, timer_fired);
	if (options->drain_file || options->drain_command)
		loop_timer_set(loop, &drain->timer, clock_now());
}

void drain_ended(struct drain *drain, int status)
{
	drain->pid = 0;
	atomic_store(drain->group, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		tell(drain);
	else if (!drain->over)
		loop_timer_set(drain->loop, &drain->timer, clock_now() + DRAIN_COMMAND_NS);
}

void drain_end(struct drain *drain)
{
	drain->over = true;
	loop_timer_stop(&drain->timer);
	run_signal_group(drain->pid, SIGKILL);
	atomic_store(drain->group, 0);
}
