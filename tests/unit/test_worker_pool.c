/*
 * The worker as a whole, one process a unit: verdicts, signals, what jobs leave behind, a mount that goes away.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "tests/fake/worker/queue.h"

static void every_unit_is_done(void **state)
{
	char *const command[] = { "sh", "-c", "cat {in} > {out} && test $CLAIM_NAME = {} && test $CLAIM_ATTEMPT = 1", NULL };
	struct worker_options options = options_of(3);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 40);
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 40);
	assert_int_equal(fake.releases, 0);
	assert_true(has_file(&fake, "stage/u39.out"));
	assert_non_null(strstr(fake.units[0].values, "status=0 wall="));
	assert_non_null(strstr(fake.units[0].values, " maxrss="));
	assert_null(strstr(fake.units[0].values, "stderr="));
	fake_end(&fake);
}

/* The last unit takes 1.5 s, and three other slots have nothing: its record says how long. */
static void slots_that_stand_empty_at_the_end_are_told(void **state)
{
	char *const command[] = { "sh", "-c", "[ {} != u3.in ] || sleep 1.5", NULL };
	struct worker_options options = options_of(4);
	struct fake fake;
	const char *tail;

	(void)state;
	fake_begin(&fake, 4);
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 4);
	tail = strstr(fake.units[3].values, " tail=");
	assert_non_null(tail);
	assert_true(atof(tail + strlen(" tail=")) > 3.5);
	assert_null(strstr(fake.units[0].values, " tail="));
	fake_end(&fake);
	/* With --watch there may be more. */
	options.watch = true;
	options.max_units = 4;
	fake_begin(&fake, 4);
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_null(strstr(fake.units[3].values, " tail="));
	fake_end(&fake);
}

static void a_failing_unit_is_set_aside_with_its_last_words(void **state)
{
	char *const command[] = { "sh", "-c", "[ {} != u1.in ] || { echo 'no = good' >&2; exit 3; }", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 3);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(fake.units[0].state, FAKE_DONE);
	assert_int_equal(fake.units[1].state, FAKE_FAILED);
	assert_int_equal(fake.units[2].state, FAKE_DONE);
	assert_non_null(strstr(fake.units[1].values, "status=3 "));
	assert_non_null(strstr(fake.units[1].values, "stderr=no%20%3D%20good%0A"));
	fake_end(&fake);
}

static void a_killed_job_fails_with_its_signal(void **state)
{
	char *const command[] = { "sh", "-c", "kill -SEGV $$", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_memory_equal(fake.units[0].values, "signal=11 ", 10);
	fake_end(&fake);
}

static void names_reach_the_command_as_they_are(void **state)
{
	char *const command[] = { "sh", "-c", "test \"$1\" = \"$CLAIM_NAME\" && cat -- \"$CLAIM_IN\" > \"$CLAIM_OUT\"", "sh", "{name}", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 0);
	put_file(fake.dir, "inputs/-rf a'\"\n$(touch x).in", "weird");
	snprintf(fake.units[fake.count++].name, sizeof(fake.units[0].name), "-rf%%20a'\"%%0A$(touch%%20x).in");
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(fake.units[0].state, FAKE_DONE);
	assert_true(has_file(&fake, "stage/-rf a'\"\n$(touch x).out"));
	fake_end(&fake);
}

/* ThreadSanitizer makes a fork of every vfork: the child cannot tell its parent why exec failed. */
#ifdef __SANITIZE_THREAD__
#define VFORK_WORKS false
#else
#define VFORK_WORKS true
#endif

static void a_command_that_is_missing_condemns_no_unit(void **state)
{
	char *const command[] = { "/nonexistent/command", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	if (!VFORK_WORKS)
		skip();
	fake_begin(&fake, 4);
	assert_int_equal(worker_run(&fake, &options, command), 2);
	assert_int_equal(count_state(&fake, FAKE_TODO), 4);
	fake_end(&fake);
}

static void a_unit_that_is_the_command_fails_alone(void **state)
{
	char *const command[] = { "{in}", NULL };
	struct worker_options options = options_of(2);
	char path[128];
	struct fake fake;

	(void)state;
	if (!VFORK_WORKS)
		skip();
	fake_begin(&fake, 1);
	fake_add(&fake, "good");
	put_file(fake.dir, "inputs/good", "#!/bin/sh\nexit 0\n");
	snprintf(path, sizeof(path), "%s/inputs/good", fake.dir);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(fake.units[0].state, FAKE_FAILED);
	assert_memory_equal(fake.units[0].values, "status=126 stderr=", 18);
	assert_int_equal(fake.units[1].state, FAKE_DONE);
	fake_end(&fake);
}

static void answers_that_are_not_ok(const char *answer, int status, int takes)
{
	char *const command[] = { "true", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	fake_begin(&fake, 2);
	fake.done_answer = answer;
	assert_int_equal(worker_run(&fake, &options, command), status);
	assert_int_equal(count_state(&fake, FAKE_DONE), 2);
	assert_int_equal(fake.units[0].takes + fake.units[1].takes, takes);
	fake_end(&fake);
}

static void done_by_another_or_lost_is_no_failure(void **state)
{
	(void)state;
	answers_that_are_not_ok("already other.1\n", 0, 2);
	answers_that_are_not_ok("error ESTALE the lease was lost\n", 0, 2);
}

static void what_the_disk_refuses_is_done_again(void **state)
{
	(void)state;
	answers_that_are_not_ok("error ENOSPC the disk is full\n", 0, 3);
}

static void background_processes_end_with_their_job(void **state)
{
	char *argv[] = { "sh", "-c", "sleep 1000 & echo $! > \"$1/pid1\"; setsid sh -c 'echo $$ > \"$1/pid2\"; exec sleep 1000' sh \"$1\" & "
			 "while ! [ -s \"$1/pid2\" ]; do sleep 0.01; done", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	argv[4] = fake.dir;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	wait_for_death(read_pid(&fake, "pid1"));
	wait_for_death(read_pid(&fake, "pid2"));
	fake_end(&fake);
}

/* Each in a session of its own and the next one's parent: only when it is gone the next one is a child of the worker. */
static void a_chain_of_background_processes_ends_with_the_worker(void **state)
{
	static const char chain[] = "echo $$ > \"$1/pid$2\"; [ $2 -lt 6 ] || exec sleep 1000; setsid sh -c \"$0\" \"$0\" \"$1\" $(($2 + 1)) & "
				    "[ $2 -gt 1 ] || { until [ -s \"$1/pid6\" ]; do sleep 0.01; done; exit; }; wait";
	char *argv[] = { "sh", "-c", (char *)chain, (char *)chain, NULL, "1", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	char name[16];
	int run, i;

	(void)state;
	for (run = 0; run < 3; run++) {
		fake_begin(&fake, 1);
		argv[4] = fake.dir;
		assert_int_equal(worker_run(&fake, &options, argv), 0);
		for (i = 1; i <= 6; i++) {
			snprintf(name, sizeof(name), "pid%d", i);
			wait_for_death(read_pid(&fake, name));
		}
		fake_end(&fake);
	}
}

/* u0 hangs; the worker is told to stop. */
static void stop_worker(const char *script, int number, int times, int64_t grace_ns, int want_status, enum fake_state want_state)
{
	char *argv[] = { "sh", "-c", (char *)script, "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	siginfo_t info = { .si_pid = 0 };
	struct fake fake;
	pid_t pid;

	fake_begin(&fake, 2);
	argv[4] = fake.dir;
	options.grace_ns = grace_ns;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	wait_for_file(&fake, "begun");
	assert_int_equal(kill(pid, number), 0);
	/* Again and again: two signals that come at once are one. */
	while (times > 1 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
		kill(pid, number);
		usleep(10000);
	}
	assert_int_equal(worker_wait(pid), want_status);
	fake_join(&fake);
	assert_int_equal(fake.units[0].state, want_state);
	assert_int_equal(fake.units[1].state, FAKE_TODO);
	wait_for_death(read_pid(&fake, "begun"));
	fake_end(&fake);
}

static void a_draining_worker_lets_its_jobs_end(void **state)
{
	(void)state;
	stop_worker("echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 0.3", SIGTERM, 1, 10 * NS_PER_S, 143, FAKE_DONE);
}

static void after_the_grace_jobs_are_ended_and_released(void **state)
{
	(void)state;
	stop_worker("echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", SIGTERM, 1, 50 * NS_PER_MS, 143, FAKE_TODO);
	/* It ignores SIGTERM, and one that ends well on it has done half of its work. */
	stop_worker("trap '' TERM; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", SIGTERM, 1, 50 * NS_PER_MS, 143, FAKE_TODO);
	stop_worker("trap 'exit 0' TERM; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000 & wait", SIGTERM, 1, 50 * NS_PER_MS, 143,
		    FAKE_TODO);
}

static void the_second_signal_ends_at_once(void **state)
{
	(void)state;
	stop_worker("trap '' TERM; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", SIGINT, 2, 1000 * NS_PER_S, 130, FAKE_TODO);
}

static void jobs_die_with_a_killed_worker(void **state)
{
	char *argv[] = { "sh", "-c", "sleep 1000 & echo $! > $1/child; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; wait", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	pid_t pid;

	(void)state;
	fake_begin(&fake, 1);
	argv[4] = fake.dir;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	wait_for_file(&fake, "begun");
	kill(pid, SIGKILL);
	assert_int_equal(worker_wait(pid), 1000 + SIGKILL);
	fake_join(&fake);
	wait_for_death(read_pid(&fake, "begun"));
	wait_for_death(read_pid(&fake, "child"));
	fake_end(&fake);
}

static void a_mount_that_goes_away_ends_the_worker(void **state)
{
	char *argv[] = { "sh", "-c", "echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	pid_t pid;

	(void)state;
	fake_begin(&fake, 2);
	argv[4] = fake.dir;
	options.ahead = 1;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	wait_for_file(&fake, "begun");
	pthread_mutex_lock(&fake.lock);
	fake.count = 3;			/* a take is waited for */
	strcpy(fake.units[2].name, "later");
	fake.units[2].state = FAKE_CLAIMED;
	pthread_mutex_unlock(&fake.lock);
	shutdown(fake.fds[1][1], SHUT_RDWR);
	shutdown(fake.fds[0][1], SHUT_RDWR);
	kill(pid, SIGTERM);		/* it has something to say to the queue now */
	assert_int_equal(worker_wait(pid), 143);
	fake_join(&fake);
	wait_for_death(read_pid(&fake, "begun"));
	fake_end(&fake);
}

static void place_says_what_is_missing(void **state)
{
	char dir[] = "/tmp/test-worker-XXXXXX", path[64];
	struct buf why = BUF_INIT;
	struct place place;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(place_open(dir, &place, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "claimctl init"));
	put_file(dir, ".claimfs/queue.conf", "input = inputs\n");
	buf_reset(&why);
	assert_int_equal(place_open(dir, &place, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "not seen through claimfs"));
	put_file(dir, "ctl", "");
	buf_reset(&why);
	assert_int_equal(place_open(dir, &place, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "input = inputs"));
	put_file(dir, ".claimfs/queue.conf", "input = inputs\nleese = 3s\n");
	buf_reset(&why);
	assert_int_equal(place_open(dir, &place, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "queue.conf:2:"));
	buf_reset(&why);
	assert_int_equal(place_open("/nonexistent", &place, &why), -ENOENT);
	put_file(dir, ".claimfs/queue.conf", "input = ../../tmp\n");
	buf_reset(&why);
	snprintf(path, sizeof(path), "%s", dir);
	assert_int_equal(place_open(path, &place, &why), 0);
	assert_string_equal(place.input, "/tmp");
	place_release(&place);
	buf_release(&why);
	snprintf(path, sizeof(path), "rm -rf %s", dir);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_unit_is_done),
		cmocka_unit_test(slots_that_stand_empty_at_the_end_are_told),
		cmocka_unit_test(a_failing_unit_is_set_aside_with_its_last_words),
		cmocka_unit_test(a_killed_job_fails_with_its_signal),
		cmocka_unit_test(names_reach_the_command_as_they_are),
		cmocka_unit_test(a_command_that_is_missing_condemns_no_unit),
		cmocka_unit_test(a_unit_that_is_the_command_fails_alone),
		cmocka_unit_test(done_by_another_or_lost_is_no_failure),
		cmocka_unit_test(what_the_disk_refuses_is_done_again),
		cmocka_unit_test(background_processes_end_with_their_job),
		cmocka_unit_test(a_chain_of_background_processes_ends_with_the_worker),
		cmocka_unit_test(a_draining_worker_lets_its_jobs_end),
		cmocka_unit_test(after_the_grace_jobs_are_ended_and_released),
		cmocka_unit_test(the_second_signal_ends_at_once),
		cmocka_unit_test(jobs_die_with_a_killed_worker),
		cmocka_unit_test(a_mount_that_goes_away_ends_the_worker),
		cmocka_unit_test(place_says_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
