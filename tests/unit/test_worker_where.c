/*
 * Where the time of a slot goes: what a job stands in (where), what one that stays has used (usage), and what a slot without one waited for (gap).
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "worker/gap.h"
#include "worker/usage.h"
#include "worker/where.h"

/* ---- where ---- */

static void a_sleeping_call_is_understood(void **state)
{
	char text[64];
	int fd;

	(void)state;
	snprintf(text, sizeof(text), "%d 0x5 0x7ffd 0x1000 0x0 0x0 0x0 0x7ffd 0x7f00\n", (int)SYS_read);
	assert_int_equal(where_parse(text, &fd), WHERE_READING);
	assert_int_equal(fd, 5);
	snprintf(text, sizeof(text), "%d 0x1 0x7ffd\n", (int)SYS_write);
	assert_int_equal(where_parse(text, &fd), WHERE_WRITING);
	assert_int_equal(fd, 1);
	snprintf(text, sizeof(text), "%d 0xffffff9c 0x7ffd\n", (int)SYS_openat);
	assert_int_equal(where_parse(text, &fd), WHERE_READING);
	assert_int_equal(fd, -1);
	snprintf(text, sizeof(text), "%d 0x3 0x0 0x4\n", (int)SYS_copy_file_range);	/* what cp does within a mount */
	assert_int_equal(where_parse(text, &fd), WHERE_WRITING);
	assert_int_equal(fd, 3);
	snprintf(text, sizeof(text), "%d 0x0\n", (int)SYS_wait4);
	assert_int_equal(where_parse(text, &fd), WHERE_ELSE);
	assert_int_equal(where_parse("running\n", &fd), WHERE_READY);
	assert_int_equal(where_parse("-1 0x7ffd 0x7f00\n", &fd), WHERE_READING);	/* a page fault */
	assert_int_equal(where_parse("-1 0x0 0x0\n", &fd), WHERE_ELSE);		/* a zombie */
	assert_int_equal(where_parse("", &fd), WHERE_ELSE);
}

/* It waits, but for no disk. */
static void a_read_of_a_pipe_is_no_wait_for_the_disk(void **state)
{
	int64_t limit = clock_now() + 20 * NS_PER_S;
	int fds[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) != 0);
	}
	while (where_is(pid) == WHERE_READY && clock_now() < limit)	/* it is on its way there */
		usleep(1000);
	assert_int_equal(where_is(pid), WHERE_ELSE);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- jobs of many threads and processes ---- */

static char fifo[64];		/* what reads it by name waits as one does for a file */

static int make_fifo(void **state)
{
	(void)state;
	snprintf(fifo, sizeof(fifo), "/tmp/test-where-%d", (int)getpid());
	return mkfifo(fifo, 0600);
}

static int remove_fifo(void **state)
{
	(void)state;
	return unlink(fifo);
}

static void *read_fifo(void *arg)
{
	char byte;
	int fd = open(fifo, O_RDWR);

	(void)arg;
	return read(fd, &byte, 1) == 1 ? &fifo : NULL;
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* fork(); the child ends with this test, whatever becomes of it. */
static pid_t fork_job(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void *spin(void *arg)
{
	volatile unsigned long turns = 0;

	for (;;)
		turns++;
	return arg;
}

/* A job of these threads beside a main one that waits for them; ends with NULL. */
static pid_t fork_threads(void *(*const *bodies)(void *))
{
	pid_t pid = fork_job();
	pthread_t thread;

	if (pid != 0)
		return pid;
	for (; *bodies; bodies++)
		if (pthread_create(&thread, NULL, *bodies, NULL) != 0)
			_exit(1);
	wait_for_ever(NULL);
	return 0;
}

/* They are on their way there for a while. */
static void assert_gets_to(pid_t pid, enum where expected)
{
	int64_t limit = clock_now() + 20 * NS_PER_S;

	while (where_is(pid) != expected && clock_now() < limit)
		usleep(1000);
	assert_int_equal(where_is(pid), expected);
}

static void end(pid_t pid)
{
	assert_int_equal(kill(-pid, SIGKILL) < 0 ? kill(pid, SIGKILL) : 0, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void any_thread_may_be_the_one_that_waits(void **state)
{
	void *(*const readers[])(void *) = { wait_for_ever, read_fifo, wait_for_ever, NULL };
	pid_t pid = fork_threads(readers);

	(void)state;
	assert_gets_to(pid, WHERE_READING);
	end(pid);
}

static void who_computes_in_one_thread_waits_for_nothing_in_another(void **state)
{
	void *(*const both[])(void *) = { read_fifo, spin, NULL };
	pid_t pid = fork_threads(both);
	int64_t limit = clock_now() + 20 * NS_PER_S;
	int i = 0;

	(void)state;
	while (i < 100 && clock_now() < limit)		/* in a row: one thread may wait before the other has begun */
		i = where_is(pid) == WHERE_READY ? i + 1 : 0;
	assert_int_equal(i, 100);
	end(pid);
}

/* Its newest child waits for the older one by a pipe, as `cat FILE | gzip` does. */
static void any_process_of_a_pipeline_may_be_the_one_that_waits(void **state)
{
	int both[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(both), 0);
	pid = fork_job();
	if (pid == 0) {
		setpgid(0, 0);
		if (fork_job() == 0)
			read_fifo(NULL);
		else if (fork_job() == 0)
			wait_for_ever(NULL);
		else
			byte = write(both[1], "", 1) == 1;
		wait_for_ever(NULL);
	}
	setpgid(pid, pid);
	assert_int_equal(read(both[0], &byte, 1), 1);
	close(both[0]);
	close(both[1]);
	assert_gets_to(pid, WHERE_READING);
	end(pid);
}

/* Of very many threads some are looked at, other ones each time. */
static void a_look_at_very_many_threads_costs_no_more_than_at_many(void **state)
{
	void *(*threads[201])(void *) = { NULL };
	int64_t limit = clock_now() + 20 * NS_PER_S;
	int i, seen = 0, looks = 0;
	pid_t pid;

	(void)state;
	for (i = 0; i < 200; i++)
		threads[i] = i == 180 ? read_fifo : wait_for_ever;
	pid = fork_threads(threads);
	for (; seen < 3 && clock_now() < limit; looks++)
		seen += where_is(pid) == WHERE_READING;
	assert_int_equal(seen, 3);
	assert_true(looks > 3);
	end(pid);
}

/* ---- usage ---- */

#define MUCH (64u << 20)

static void touch_much(void)
{
	void *much = mmap(NULL, MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	assert_ptr_not_equal(much, MAP_FAILED);
	assert_int_equal(munmap(much, MUCH), 0);
}

static void the_peak_of_memory_begins_anew(void **state)
{
	int64_t before, peak;

	(void)state;
	before = usage_peak(getpid());
	touch_much();
	peak = usage_peak(getpid());
	assert_true(before > 0 && peak > (int64_t)MUCH);
	assert_true(usage_reset_peak(getpid()));
	assert_true(usage_peak(getpid()) < peak - (int64_t)MUCH / 2);
}

static void what_children_computed_counts_when_they_have_ended(void **state)
{
	int64_t before = usage_children_cpu_ns(getpid()), own = usage_cpu_ns(getpid());
	pid_t pid = fork_job();

	(void)state;
	if (pid == 0) {
		while (usage_cpu_ns(getpid()) < 500 * NS_PER_MS)
			;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(usage_children_cpu_ns(getpid()) - before >= 450 * NS_PER_MS);
	assert_true(own > 0 && usage_cpu_ns(getpid()) - own < 450 * NS_PER_MS);
	/* It is no more. */
	assert_int_equal(usage_cpu_ns(pid), 0);
	assert_int_equal(usage_children_cpu_ns(pid), 0);
	assert_int_equal(usage_peak(pid), -1);
	assert_false(usage_reset_peak(pid));
}

/* ---- gap ---- */

static const struct gap_case {
	struct gap gap;		/* milliseconds, here */
	int claim, look, turn, idle;
} gaps[] = {
	/* Asked, answered and looked at while it stood empty. */
	{ { .free_ns = 100, .asked_ns = 90, .claimed_ns = 300, .ready_ns = 500, .started_ns = 510 }, 200, 200, 10, 0 },
	/* The unit was there before: only the worker is in the way. */
	{ { .free_ns = 100, .asked_ns = 10, .claimed_ns = 20, .ready_ns = 30, .started_ns = 105 }, 0, 0, 5, 0 },
	{ { .free_ns = 100, .asked_ns = 10, .claimed_ns = 20, .ready_ns = 103, .started_ns = 105 }, 0, 3, 2, 0 },
	/* The slot was not empty at all: a resident asked at once. */
	{ { .free_ns = 100, .asked_ns = 10, .claimed_ns = 20, .ready_ns = 30, .started_ns = 100 }, 0, 0, 0, 0 },
	/* A claim that waited for units; the look at what came is one. */
	{ { .free_ns = 100, .asked_ns = 100, .claimed_ns = 3100, .ready_ns = 3300, .started_ns = 3300, .look_ns = 200 }, 0, 200, 0, 3000 },
	/* On a disk so far away a second is a claim. */
	{ { .free_ns = 100, .asked_ns = 100, .claimed_ns = 1500, .ready_ns = 1900, .started_ns = 1900, .look_ns = 400 }, 1400, 400, 0, 0 },
	/* Nothing was to be started: --load, --mem-free. */
	{ { .free_ns = 100, .asked_ns = 100, .claimed_ns = 110, .ready_ns = 120, .started_ns = 2120, .held = true }, 10, 10, 0, 2000 },
	/* Its job had failed and was to be tried again after a while. */
	{ { .free_ns = 100, .asked_ns = 10, .claimed_ns = 20, .ready_ns = 900, .started_ns = 901, .again = true }, 0, 0, 1, 800 },
};

static void what_an_empty_slot_waited_for_is_told_apart(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		struct gap gap = gaps[i].gap;
		struct run_result result = { 0 };

		gap.free_ns *= NS_PER_MS;
		gap.started_ns *= NS_PER_MS;
		gap.asked_ns *= NS_PER_MS;
		gap.claimed_ns *= NS_PER_MS;
		gap.ready_ns *= NS_PER_MS;
		gap.look_ns *= NS_PER_MS;
		gap_split(&gap, &result);
		assert_int_equal(result.claim_ns, gaps[i].claim * NS_PER_MS);
		assert_int_equal(result.look_ns, gaps[i].look * NS_PER_MS);
		assert_int_equal(result.turn_ns, gaps[i].turn * NS_PER_MS);
		assert_int_equal(result.idle_ns, gaps[i].idle * NS_PER_MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sleeping_call_is_understood),
		cmocka_unit_test(a_read_of_a_pipe_is_no_wait_for_the_disk),
		cmocka_unit_test(any_thread_may_be_the_one_that_waits),
		cmocka_unit_test(who_computes_in_one_thread_waits_for_nothing_in_another),
		cmocka_unit_test(any_process_of_a_pipeline_may_be_the_one_that_waits),
		cmocka_unit_test(a_look_at_very_many_threads_costs_no_more_than_at_many),
		cmocka_unit_test(the_peak_of_memory_begins_anew),
		cmocka_unit_test(what_children_computed_counts_when_they_have_ended),
		cmocka_unit_test(what_an_empty_slot_waited_for_is_told_apart),
	};

	return cmocka_run_group_tests_name("worker_where", tests, make_fifo, remove_fifo);
}
