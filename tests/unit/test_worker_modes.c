/*
 * The worker's other ways of running commands, batches and resident ones, and its limits.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "tests/fake/worker/queue.h"
#include "worker/guard.h"

/* ---- batches ---- */

static struct worker_options batch_options(int slots, int batch)
{
	struct worker_options options = options_of(slots);

	options.batch = batch;
	return options;
}

static int largest_line(const char *path)
{
	struct buf text = BUF_INIT;
	const char *line;
	int largest = 0;

	assert_int_equal(io_read_file(path, 4096, &text), 0);
	for (line = buf_text(&text); line; line = strchr(line, '\n'), line += line != NULL)
		largest = atoi(line) > largest ? atoi(line) : largest;
	buf_release(&text);
	return largest;
}

/* A file beside what the fake serves, for commands to leave a trace in. */
static char *log_of(const struct fake *fake, char log[128])
{
	snprintf(log, 128, "%s/log", fake->dir);
	return log;
}

static void a_batch_writes_an_output_for_each(void **state)
{
	char *argv[] = { "sh", "-c", "out=$1; shift; echo $# >> \"$0\"; for i; do cp \"$i\" \"$out/$(basename $i .in).out\"; done", NULL, "{out}",
			 "{in...}", NULL };
	struct worker_options options = batch_options(2, 10);
	char log[128];
	struct fake fake;
	int i;

	(void)state;
	fake_begin(&fake, 40);
	argv[3] = log_of(&fake, log);
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 40);
	for (i = 0; i < 40; i++) {
		char name[64];

		snprintf(name, sizeof(name), "stage/u%d.out", i);
		assert_true(has_file(&fake, name));
	}
	assert_int_equal(largest_line(log), 10);	/* the first batch, whichever slot wrote first */
	fake_end(&fake);
}

/* What fits into a line goes with it, whatever its bytes are; what doesn't, or is no file, is copied. */
static void small_outputs_go_with_their_lines(void **state)
{
	char *const command[] = { "sh", "-c", "printf 'done u1.in\\nput 1 2\\0\\n' >$1/u0.out; : >$1/u1.out; head -c 65537 /dev/zero >$1/u2.out; "
				  "head -c 65536 /dev/zero >$1/u3.out; mkdir $1/u4.out; echo x >$1/u4.out/y", "sh", "{out}", "{in...}", NULL };
	static const off_t sizes[] = { 20, 0, 65537, 65536 };
	struct worker_options options = batch_options(1, 5);
	struct buf text = BUF_INIT;
	char path[128];
	struct stat st;
	struct fake fake;
	int i;

	(void)state;
	fake_begin(&fake, 5);
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 5);
	assert_int_equal(fake.puts, 3);
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/stage/u%d.out", fake.dir, i);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
	}
	assert_non_null(strstr(fake.units[4].values, " out=2"));	/* of a directory, which only the worker has looked through */
	assert_true(has_file(&fake, "stage/u4.out/y"));
	snprintf(path, sizeof(path), "%s/stage/u0.out", fake.dir);
	assert_int_equal(io_read_file(path, 100, &text), 0);
	assert_memory_equal(text.data, "done u1.in\nput 1 2\0\n", 20);
	buf_release(&text);
	fake_end(&fake);
}

static void one_bad_input_condemns_only_itself(void **state)
{
	char *const command[] = { "sh", "-c", "out=$1; shift; for i; do case $i in */u3.in) echo bad >&2; exit 4;; esac; "
				  "cp \"$i\" \"$out/$(basename $i .in).out\"; done", "sh", "{out}", "{in...}", NULL };
	struct worker_options options = batch_options(1, 8);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 8);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(count_state(&fake, FAKE_DONE), 7);
	assert_int_equal(fake.units[3].state, FAKE_FAILED);
	assert_non_null(strstr(fake.units[3].values, "status=4 "));
	assert_non_null(strstr(fake.units[3].values, "stderr=bad%0A"));
	assert_non_null(strstr(fake.units[0].values, "status=0 "));
	fake_end(&fake);
}

static void units_of_one_base_name_share_no_batch(void **state)
{
	char *const command[] = { "sh", "-c", "out=$1; shift; for i; do cp \"$i\" \"$out\"; done", "sh", "{out}", "{in...}", NULL };
	struct worker_options options = batch_options(1, 8);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 0);
	fake_add(&fake, "a/x.out");
	fake_add(&fake, "b/x.out");
	put_file(fake.dir, "stage/a/.keep", "");
	put_file(fake.dir, "stage/b/.keep", "");
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 2);
	assert_true(has_file(&fake, "stage/a/x.out") && has_file(&fake, "stage/b/x.out"));
	fake_end(&fake);
}

static void automatic_batches_grow(void **state)
{
	char *argv[] = { "sh", "-c", "echo $# >> \"$0\"", NULL, "{in...}", NULL };
	struct worker_options options = batch_options(1, OPTIONS_BATCH_AUTO);
	struct buf text = BUF_INIT;
	char log[128], *line, *save = NULL;
	int sum = 0, most = 0;
	struct fake fake;

	(void)state;
	fake_begin(&fake, 60);
	argv[3] = log_of(&fake, log);
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 60);
	assert_int_equal(io_read_file(log, 4096, &text), 0);
	for (line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		sum += atoi(line);
		most = atoi(line) > most ? atoi(line) : most;
	}
	assert_int_equal(sum, 60);
	assert_true(most >= 4);
	buf_release(&text);
	fake_end(&fake);
}

/* ---- resident commands ---- */

static struct worker_options resident_options(int slots)
{
	struct worker_options options = options_of(slots);

	options.resident = true;
	return options;
}

static void a_resident_works_on_many_units(void **state)
{
	char *argv[] = { "sh", "-c", "echo $$ >> $0; while IFS=\"$(printf '\\t')\" read -r in out name; do cp \"$in\" \"$out\"; echo ok score=7 name=$name; done",
			 NULL, NULL };
	struct worker_options options = resident_options(2);
	struct buf text = BUF_INIT;
	char log[128];
	struct fake fake;

	(void)state;
	fake_begin(&fake, 50);
	argv[3] = log_of(&fake, log);
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 50);
	assert_true(has_file(&fake, "stage/u49.out"));
	assert_non_null(strstr(fake.units[5].values, " score=7 name=u5.in"));
	assert_int_equal(io_read_file(log, 4096, &text), 0);
	assert_non_null(strchr(text.data, '\n'));
	strchr(strchr(text.data, '\n') + 1, '\n')[1] = '\0';
	assert_int_equal(strlen(text.data), text.len);		/* two processes in all */
	buf_release(&text);
	fake_end(&fake);
}

/* After some small outputs the next ones are left on this machine's disk; a large one ends that, and so does one of a unit that has failed. */
static void a_residents_small_outputs_stay_here(void **state)
{
	char *argv[] = { "sh", "-c", "while IFS=\"$(printf '\\t')\" read -r in out name; do "
			 "echo \"$out\" >>$0; case $name in u30.in) head -c 70000 /dev/zero >\"$out\";; *) echo $name >\"$out\";; esac; "
			 "if [ $name = u20.in ]; then echo fail; else echo ok; fi; done", NULL, NULL };
	struct worker_options options = resident_options(1);
	struct buf text = BUF_INIT;
	char log[128], path[128];
	struct stat st;
	struct fake fake;

	(void)state;
	fake_begin(&fake, 32);
	argv[3] = log_of(&fake, log);
	options.ahead = 0;
	assert_int_equal(worker_run(&fake, &options, argv), 1);
	assert_int_equal(count_state(&fake, FAKE_DONE), 31);
	assert_in_range(fake.puts, 16, 27);
	snprintf(path, sizeof(path), "%s/stage/u30.out", fake.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 70000);
	assert_true(has_file(&fake, "stage/u0.out") && has_file(&fake, "stage/u29.out") && has_file(&fake, "stage/u31.out"));
	assert_false(has_file(&fake, "stage/u20.out"));
	/* The last of them, and the directory, are gone. */
	assert_int_equal(io_read_file(log, 8192, &text), 0);
	assert_non_null(strstr(text.data, "/claim-worker."));
	*strstr(strstr(text.data, "/claim-worker.") + 1, "/u") = '\0';
	assert_int_equal(access(strrchr(text.data, '\n') + 1, F_OK), -1);
	buf_release(&text);
	fake_end(&fake);
}

static void a_resident_fails_a_unit_with_a_reason(void **state)
{
	char *const command[] = { "sh", "-c", "while read -r in rest; do case $in in */u1.in*) echo fail no such thing;; *) echo ok;; esac; done", NULL };
	struct worker_options options = resident_options(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 3);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(count_state(&fake, FAKE_DONE), 2);
	assert_int_equal(fake.units[1].state, FAKE_FAILED);
	assert_non_null(strstr(fake.units[1].values, "stderr=no%20such%20thing"));
	fake_end(&fake);
}

static void expect_log(const char *log, const char *expected)
{
	struct buf text = BUF_INIT;

	assert_int_equal(io_read_file(log, 4096, &text), 0);
	assert_string_equal(text.data, expected);
	buf_release(&text);
}

static void a_unit_that_kills_its_resident_fails_after_three(const char *bad, int64_t timeout_ns)
{
	char *argv[] = { "sh", "-c", "while read -r in rest; do case $in in */u1.in*) echo x >> $0; eval \"$1\";; *) echo ok;; esac; done", NULL,
			 (char *)bad, NULL };
	struct worker_options options = resident_options(1);
	char log[128];
	struct fake fake;

	fake_begin(&fake, 4);
	argv[3] = log_of(&fake, log);
	options.timeout_ns = timeout_ns;
	assert_int_equal(worker_run(&fake, &options, argv), 1);
	assert_int_equal(count_state(&fake, FAKE_DONE), 3);
	assert_int_equal(fake.units[1].state, FAKE_FAILED);
	expect_log(log, "x\nx\nx\n");
	fake_end(&fake);
}

static void residents_that_die_or_talk_nonsense_are_replaced(void **state)
{
	(void)state;
	a_unit_that_kills_its_resident_fails_after_three("exit 9", 60 * NS_PER_S);
	a_unit_that_kills_its_resident_fails_after_three("echo hello", 60 * NS_PER_S);
	a_unit_that_kills_its_resident_fails_after_three("exec >&-; sleep 1000", 60 * NS_PER_S);
	a_unit_that_kills_its_resident_fails_after_three("sleep 1000", 2 * NS_PER_S);
}

/* What comes with an answer was said before the next unit was asked for, however soon that is. */
static void all_are_done_though_it_says(const char *said)
{
	char *argv[] = { "sh", "-c", "echo x >> $0; while read -r unit; do printf \"$1\"; done", NULL, (char *)said, NULL };
	struct worker_options options = resident_options(1);
	char log[128];
	struct fake fake;

	fake_begin(&fake, 6);
	argv[3] = log_of(&fake, log);
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 6);
	expect_log(log, "x\nx\nx\nx\nx\nx\n");
	fake_end(&fake);
}

static void an_answer_too_many_is_not_the_next_units(void **state)
{
	(void)state;
	all_are_done_though_it_says("ok\\nok\\n");
	all_are_done_though_it_says("ok\\nok ");		/* the end of the line is still to come */
}

/* Answers that come after the next question: the second process's first line is that of the unit that the first one answered for another. */
static void an_answer_with_anothers_name_is_not_this_units(void **state)
{
	char *argv[] = { "sh", "-c", "echo x >> $0; last=; while IFS=\"$(printf '\\t')\" read -r in out name; do "
			 "case $name in u2.in) [ -e $0.once ] || { : >$0.once; name=$last; };; esac; printf 'ok k=v\\t%s\\n' \"$name\"; last=$name; done",
			 NULL, NULL };
	struct worker_options options = resident_options(1);
	char log[128], once[140];
	struct fake fake;

	(void)state;
	fake_begin(&fake, 6);
	argv[3] = log_of(&fake, log);
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 6);
	assert_non_null(strstr(fake.units[2].values, " k=v"));
	expect_log(log, "x\nx\n");
	snprintf(once, sizeof(once), "%s.once", log);
	assert_int_equal(unlink(once), 0);
	fake_end(&fake);
}

static void a_reason_may_have_tabs_and_a_name(void **state)
{
	char *const command[] = { "sh", "-c", "while IFS=\"$(printf '\\t')\" read -r in out name; do case $name in u0.in) printf 'fail no\\tgood\\n';; "
				  "*) printf 'fail bad\\t%s\\n' \"$name\";; esac; done", NULL };
	struct worker_options options = resident_options(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 2);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_non_null(strstr(fake.units[0].values, "stderr=no%09good"));
	assert_non_null(strstr(fake.units[1].values, "stderr=bad"));
	assert_null(strstr(fake.units[1].values, "stderr=bad%09"));
	fake_end(&fake);
}

/* ---- limits ---- */

static void a_job_that_takes_too_long_fails(void **state)
{
	char *const command[] = { "sh", "-c", "echo begun >&2; sleep 1000", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 2);
	options.timeout_ns = NS_PER_S;
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(count_state(&fake, FAKE_FAILED), 2);
	assert_non_null(strstr(fake.units[0].values, "signal=15 "));
	assert_non_null(strstr(fake.units[0].values, "stderr=begun%0Aclaim-worker:%20timed%20out"));
	fake_end(&fake);
}

static void a_failing_job_is_tried_again(void **state)
{
	char *argv[] = { "sh", "-c", "echo x >> $0; [ $(wc -l < $0) -ge 2 ]", NULL, NULL };
	struct worker_options options = options_of(1);
	char log[128];
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	argv[3] = log_of(&fake, log);
	options.retries = 1;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 1);
	assert_int_equal(fake.units[0].takes, 1);
	fake_end(&fake);
}

static void failures_halt_the_worker(void **state)
{
	char *const command[] = { "false", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 30);
	options.halt = HALT_SOON;
	options.halt_count = 3;
	options.ahead = 0;
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(count_state(&fake, FAKE_FAILED), 3);
	assert_int_equal(count_state(&fake, FAKE_CLAIMED), 0);
	fake_end(&fake);
}

static void no_more_than_max_units_are_taken(void **state)
{
	char *const command[] = { "true", NULL };
	struct worker_options options = options_of(4);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 30);
	options.max_units = 7;
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 7);
	assert_int_equal(count_state(&fake, FAKE_TODO), 23);
	fake_end(&fake);
}

static void memory_is_limited(void **state)
{
	char *const command[] = { "python3", "-c", "x = bytearray(1 << 30)", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	options.memory = 256 << 20;
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_non_null(strstr(fake.units[0].values, "MemoryError"));
	fake_end(&fake);
}

static void jobs_are_nicer(void **state)
{
	char *argv[] = { "sh", "-c", "test $(nice) = $0", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	char nicer[16];
	int own = getpriority(PRIO_PROCESS, 0);

	(void)state;
	snprintf(nicer, sizeof(nicer), "%d", own + 3 < 19 ? own + 3 : 19);
	argv[3] = nicer;
	fake_begin(&fake, 1);
	options.nice = 3;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	fake_end(&fake);
}

/* As after SIGTERM, but for the exit status: what runs may end. */
static void nothing_is_taken_after_max_time(void **state)
{
	char *const argv[] = { "sleep", "0.3", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 60);
	options.max_time_ns = 500 * NS_PER_MS;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_in_range(count_state(&fake, FAKE_DONE), 1, 10);
	assert_int_equal(count_state(&fake, FAKE_FAILED), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE) + count_state(&fake, FAKE_TODO), 60);
	fake_end(&fake);
}

/* Nothing is started, so nothing is there to wait for when the time is up. */
static void nothing_is_started_while_memory_is_short(void **state)
{
	char *const argv[] = { "true", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 3);
	options.mem_free = INT64_MAX;
	options.max_time_ns = 300 * NS_PER_MS;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_TODO), 3);
	fake_end(&fake);
	fake_begin(&fake, 3);
	options.mem_free = 1;
	options.max_time_ns = 0;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 3);
	fake_end(&fake);
}

static void nothing_is_started_while_the_load_is_high(void **state)
{
	struct worker_options options = options_of(1);
	struct buf why = BUF_INIT;
	double load;

	(void)state;
	assert_true(guard_may_start(&options, &why));
	assert_int_equal(getloadavg(&load, 1), 1);
	options.load = 2 * load + 10;
	assert_true(guard_may_start(&options, &why));
	assert_int_equal(why.len, 0);
	options.load = load / 2;		/* 0, which is no limit, where nothing runs but this */
	assert_int_equal(guard_may_start(&options, &why), load == 0);
	assert_true(load == 0 || strstr(buf_text(&why), "--load says"));
	buf_release(&why);
}

static void a_drain_file_is_a_notice(void **state)
{
	char *argv[] = { "sh", "-c", "touch $1/begun; sleep 0.2", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	char file[128];
	struct fake fake;
	pid_t pid;

	(void)state;
	fake_begin(&fake, 60);
	argv[4] = fake.dir;
	snprintf(file, sizeof(file), "%s/begun", fake.dir);
	options.drain_file = file;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	assert_int_equal(worker_wait(pid), 143);
	fake_join(&fake);
	assert_in_range(count_state(&fake, FAKE_DONE), 1, 30);
	assert_int_equal(count_state(&fake, FAKE_CLAIMED), 0);
	fake_end(&fake);
}

static void a_drain_command_is_a_notice(void **state)
{
	char *argv[] = { "sh", "-c", "touch $1/begun; sleep 0.2", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 60);
	argv[4] = fake.dir;
	options.drain_command = "sleep 0.5";
	assert_int_equal(worker_run(&fake, &options, argv), 143);
	assert_in_range(count_state(&fake, FAKE_DONE), 1, 30);
	fake_end(&fake);
}

/* The same of one that looks and does not wait: it is run again. */
static void a_drain_command_is_polled(void **state)
{
	char *const argv[] = { "sleep", "0.2", NULL };
	struct worker_options options = options_of(1);
	char command[200];
	struct fake fake;

	(void)state;
	fake_begin(&fake, 60);
	snprintf(command, sizeof(command), "[ -e %s/asked ] || { touch %s/asked; exit 1; }", fake.dir, fake.dir);
	options.drain_command = command;
	assert_int_equal(worker_run(&fake, &options, argv), 143);
	assert_in_range(count_state(&fake, FAKE_DONE), 1, 59);
	fake_end(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_writes_an_output_for_each),
		cmocka_unit_test(small_outputs_go_with_their_lines),
		cmocka_unit_test(one_bad_input_condemns_only_itself),
		cmocka_unit_test(units_of_one_base_name_share_no_batch),
		cmocka_unit_test(automatic_batches_grow),
		cmocka_unit_test(a_resident_works_on_many_units),
		cmocka_unit_test(a_residents_small_outputs_stay_here),
		cmocka_unit_test(a_resident_fails_a_unit_with_a_reason),
		cmocka_unit_test(residents_that_die_or_talk_nonsense_are_replaced),
		cmocka_unit_test(an_answer_with_anothers_name_is_not_this_units),
		cmocka_unit_test(a_reason_may_have_tabs_and_a_name),
		cmocka_unit_test(an_answer_too_many_is_not_the_next_units),
		cmocka_unit_test(a_job_that_takes_too_long_fails),
		cmocka_unit_test(a_failing_job_is_tried_again),
		cmocka_unit_test(failures_halt_the_worker),
		cmocka_unit_test(no_more_than_max_units_are_taken),
		cmocka_unit_test(memory_is_limited),
		cmocka_unit_test(jobs_are_nicer),
		cmocka_unit_test(nothing_is_taken_after_max_time),
		cmocka_unit_test(nothing_is_started_while_memory_is_short),
		cmocka_unit_test(nothing_is_started_while_the_load_is_high),
		cmocka_unit_test(a_drain_file_is_a_notice),
		cmocka_unit_test(a_drain_command_is_a_notice),
		cmocka_unit_test(a_drain_command_is_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
