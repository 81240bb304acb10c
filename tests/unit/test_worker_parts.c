/*
 * The worker's small parts: loop, tail, session, expand, options, the bar, how many units are kept ahead.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "worker/aside.h"
#include "worker/bar.h"
#include "worker/batch.h"
#include "worker/expand.h"
#include "worker/loop.h"
#include "worker/options.h"
#include "worker/session.h"
#include "worker/stray.h"
#include "worker/supply.h"
#include "worker/tail.h"

/* ---- tail ---- */

static void tail_keeps_short_streams(void **state)
{
	struct tail tail = { .total = 0 };
	struct buf text = BUF_INIT;

	(void)state;
	tail_text(&tail, &text);
	assert_int_equal(text.len, 0);
	tail_add(&tail, "one\n", 4);
	tail_add(&tail, "two", 3);
	tail_text(&tail, &text);
	assert_string_equal(buf_text(&text), "one\ntwo");
	buf_release(&text);
}

static void tail_keeps_the_last_whole_lines(void **state)
{
	struct tail tail = { .total = 0 };
	struct buf text = BUF_INIT;
	char line[32];
	int i, len;

	(void)state;
	for (i = 0; i < 1000; i++) {
		len = snprintf(line, sizeof(line), "line %d\n", i);
		tail_add(&tail, line, (size_t)len);
	}
	tail_text(&tail, &text);
	assert_true(text.len <= TAIL_BYTES && text.len > TAIL_BYTES - 16);
	assert_memory_equal(text.data, "line ", 5);
	assert_memory_equal(text.data + text.len - 9, "line 999\n", 9);
	buf_release(&text);
}

static void tail_takes_more_than_it_holds_at_once(void **state)
{
	struct tail tail = { .total = 0 };
	struct buf text = BUF_INIT;
	char *big = malloc(3 * TAIL_BYTES + 7);

	(void)state;
	assert_non_null(big);
	memset(big, 'a', 3 * TAIL_BYTES + 7);
	memcpy(big + 3 * TAIL_BYTES + 4, "end", 3);
	tail_add(&tail, "x", 1);
	tail_add(&tail, big, 3 * TAIL_BYTES + 7);
	tail_text(&tail, &text);
	assert_int_equal(text.len, TAIL_BYTES);		/* one line longer than all: cut, not dropped */
	assert_memory_equal(text.data + TAIL_BYTES - 4, "aend", 4);
	free(big);
	buf_release(&text);
}

/* ---- loop ---- */

static int fired[4], fired_count;

struct numbered {
	struct loop_timer timer;
	int number;
	struct loop_timer *stops;
};

static void note_fire(struct loop_timer *timer)
{
	struct numbered *numbered = container_of(timer, struct numbered, timer);

	fired[fired_count++] = numbered->number;
	if (numbered->stops)
		loop_timer_stop(numbered->stops);
}

static void timers_fire_in_order_and_can_stop_each_other(void **state)
{
	struct numbered timers[3];
	struct loop *loop;
	int i;

	(void)state;
	fired_count = 0;
	assert_int_equal(loop_new(&loop), 0);
	for (i = 0; i < 3; i++) {
		loop_timer_init(&timers[i].timer, note_fire);
		timers[i].number = i;
		timers[i].stops = NULL;
	}
	timers[1].stops = &timers[0].timer;
	loop_timer_set(loop, &timers[0].timer, clock_now() + 2 * NS_PER_MS);
	loop_timer_set(loop, &timers[1].timer, clock_now() + NS_PER_MS);
	loop_timer_set(loop, &timers[2].timer, clock_now() + 100 * NS_PER_S);
	loop_timer_set(loop, &timers[2].timer, clock_now());		/* moved to the front */
	while (loop_timer_is_set(&timers[1].timer))
		assert_int_equal(loop_turn(loop), 0);
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[0], 2);
	assert_int_equal(fired[1], 1);
	assert_false(loop_timer_is_set(&timers[0].timer));
	loop_free(loop);
}

static struct loop *closing_loop;
static struct loop_fd closing[2];
static int ready_calls;

static void close_other(struct loop_fd *watch, uint32_t events)
{
	(void)events;
	ready_calls++;
	loop_unwatch(closing_loop, watch == &closing[0] ? &closing[1] : &closing[0]);
}

static void an_unwatched_descriptor_is_not_called_in_the_same_turn(void **state)
{
	int pipes[2][2], i;

	(void)state;
	ready_calls = 0;
	assert_int_equal(loop_new(&closing_loop), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		loop_fd_init(&closing[i], close_other);
		assert_int_equal(loop_watch(closing_loop, &closing[i], pipes[i][0], EPOLLIN), 0);
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
	}
	assert_int_equal(loop_turn(closing_loop), 0);
	assert_int_equal(ready_calls, 1);
	loop_free(closing_loop);
	for (i = 0; i < 2; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

/* ---- aside ---- */

struct sum {
	struct aside_job job;
	int in, out;
	int *told;
};

static void sum_work(struct aside_job *job)
{
	struct sum *sum = container_of(job, struct sum, job);

	sum->out = sum->in * 2;
}

static void sum_done(struct aside_job *job)
{
	struct sum *sum = container_of(job, struct sum, job);

	assert_int_equal(sum->out, sum->in * 2);
	++*sum->told;
}

static void aside_does_every_job_once(void **state)
{
	static struct sum sums[500];
	struct aside *aside;
	struct loop *loop;
	int i, told = 0;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(aside_new(loop, 4, &aside), 0);
	for (i = 0; i < 500; i++) {
		sums[i] = (struct sum){ .job = { .work = sum_work, .done = sum_done }, .in = i, .told = &told };
		list_init(&sums[i].job.link);
		aside_submit(aside, &sums[i].job);
	}
	while (told < 500)
		assert_int_equal(loop_turn(loop), 0);
	aside_free(aside);
	assert_int_equal(told, 500);
	loop_free(loop);
}

/* ---- session, over a socket that keeps packets apart: one of no bytes is a read of no bytes ---- */

struct talk {
	struct loop *loop;
	struct session session;
	int other;
	int broken;
	char said[8][64];
	int said_count;
};

struct ask {
	struct session_command command;
	struct talk *talk;
};

static void talk_broken(void *arg, int error)
{
	struct talk *talk = arg;

	talk->broken = error;
}

static void talk_answer(struct session_command *command, char *line)
{
	struct talk *talk = container_of(command, struct ask, command)->talk;

	snprintf(talk->said[talk->said_count++], sizeof(talk->said[0]), "%s", line ? line : "(end)");
}

static void talk_begin(struct talk *talk)
{
	int fds[2];

	memset(talk, 0, sizeof(*talk));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(loop_new(&talk->loop), 0);
	session_init(&talk->session, talk->loop, fds[0], talk_broken, talk);
	talk->other = fds[1];
}

static void talk_end(struct talk *talk)
{
	session_close(&talk->session);
	if (talk->other >= 0)
		close(talk->other);
	loop_free(talk->loop);
}

static void ask(struct talk *talk, struct ask *ask, const char *line, bool may_end)
{
	ask->talk = talk;
	ask->command.answer = talk_answer;
	ask->command.may_end = may_end;
	list_init(&ask->command.link);
	session_send(&talk->session, &ask->command, line);
}

static void session_answers_in_order_whatever_the_pieces(void **state)
{
	struct talk talk;
	struct ask asks[3];
	char got[64] = "";

	(void)state;
	talk_begin(&talk);
	ask(&talk, &asks[0], "done a", false);
	ask(&talk, &asks[1], "take 2", true);
	ask(&talk, &asks[2], "release b", false);
	session_flush(&talk.session);
	assert_true(read(talk.other, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, "done a\ntake 2\nrelease b\n");
	assert_int_equal(write(talk.other, "o", 1), 1);
	assert_int_equal(write(talk.other, "k\n", 2), 2);
	assert_int_equal(send(talk.other, "", 0, 0), 0);
	assert_int_equal(write(talk.other, "error ESTALE gone\n", 18), 18);
	while (talk.said_count < 3)
		assert_int_equal(loop_turn(talk.loop), 0);
	assert_string_equal(talk.said[0], "ok");
	assert_string_equal(talk.said[1], "(end)");
	assert_string_equal(talk.said[2], "error ESTALE gone");
	assert_true(session_idle(&talk.session));
	assert_int_equal(talk.broken, 0);
	talk_end(&talk);
}

static void session_sees_many_answers_in_one_read(void **state)
{
	struct talk talk;
	struct ask asks[3];

	(void)state;
	talk_begin(&talk);
	ask(&talk, &asks[0], "a", false);
	ask(&talk, &asks[1], "b", false);
	ask(&talk, &asks[2], "c", false);
	session_flush(&talk.session);
	assert_int_equal(write(talk.other, "1\n2\n3\n", 6), 6);
	assert_int_equal(loop_turn(talk.loop), 0);
	assert_int_equal(talk.said_count, 3);
	assert_string_equal(talk.said[2], "3");
	talk_end(&talk);
}

/* While a line is unanswered, those that come then wait, and leave in one write when it is answered. */
static void session_writes_together(void **state)
{
	struct talk talk;
	struct ask asks[3];
	char data[256];

	(void)state;
	talk_begin(&talk);
	talk.session.together = true;
	ask(&talk, &asks[0], "done a", false);
	session_flush(&talk.session);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), 7);
	ask(&talk, &asks[1], "done b", false);
	session_flush(&talk.session);
	ask(&talk, &asks[2], "done c", false);
	session_flush(&talk.session);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), -1);
	assert_int_equal(write(talk.other, "ok\n", 3), 3);
	assert_int_equal(loop_turn(talk.loop), 0);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), 14);
	talk_end(&talk);
}

/* The first line waits a while for others, but not when there is a hurry. */
static void session_gathers(void **state)
{
	struct talk talk;
	struct ask asks[3];
	char data[256];

	(void)state;
	talk_begin(&talk);
	talk.session.together = true;
	talk.session.gather_ns = 2 * NS_PER_MS;
	ask(&talk, &asks[0], "done a", false);
	session_flush(&talk.session);
	ask(&talk, &asks[1], "done b", false);
	session_flush(&talk.session);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), -1);
	assert_int_equal(talk.session.armed, 0);	/* ctl would say end of file */
	assert_int_equal(loop_turn(talk.loop), 0);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), 14);
	assert_int_equal(write(talk.other, "ok\nok\n", 6), 6);
	while (talk.said_count < 2)
		assert_int_equal(loop_turn(talk.loop), 0);
	ask(&talk, &asks[2], "done c", false);
	session_flush(&talk.session);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), -1);
	talk.session.hurry = true;
	session_flush(&talk.session);
	assert_int_equal(recv(talk.other, data, sizeof(data), MSG_DONTWAIT), 7);
	talk_end(&talk);
}

static void session_breaks_on(const char *bytes, size_t len, bool take, int error)
{
	struct talk talk;
	struct ask first;

	talk_begin(&talk);
	ask(&talk, &first, take ? "take" : "done x", take);
	session_flush(&talk.session);
	if (bytes)
		assert_int_equal(send(talk.other, bytes, len, 0), (ssize_t)len);
	else
		close(talk.other), talk.other = -1;
	while (!talk.broken)
		assert_int_equal(loop_turn(talk.loop), 0);
	assert_int_equal(talk.broken, error);
	talk_end(&talk);
}

static void session_breaks_on_what_ctl_never_says(void **state)
{
	(void)state;
	session_breaks_on("", 0, false, -EPROTO);		/* an end of file that no take asked for */
	session_breaks_on("ok\nok\n", 6, false, -EPROTO);	/* an answer to nothing */
}

/* ---- expand ---- */

static void words_are_replaced_without_a_shell(void **state)
{
	char *const command[] = { "prog", "--in={in}", "{out}", "{name}", "{.}|{/}|{//}|{/.}|{}", "{other}", "", NULL };
	const struct expand_unit unit = { .name = "a b/$(x).tar.gz", .in = "/m/in/a b/$(x).tar.gz", .out = "/m/stage/o", .job = "1.1" };
	char **argv;

	(void)state;
	assert_int_equal(expand_command(command, &unit, &argv), 0);
	assert_string_equal(argv[1], "--in=/m/in/a b/$(x).tar.gz");
	assert_string_equal(argv[2], "/m/stage/o");
	assert_string_equal(argv[3], "a b/$(x).tar.gz");
	assert_string_equal(argv[4], "a b/$(x).tar|$(x).tar.gz|a b|$(x).tar|a b/$(x).tar.gz");
	assert_string_equal(argv[5], "{other}");
	assert_string_equal(argv[6], "");
	assert_null(argv[7]);
	expand_free(argv);
	assert_true(expand_has_word("{in}") && expand_has_word("x{.}y") && !expand_has_word("{other}"));
}

static const char *variable(char **envp, const char *name)
{
	size_t len = strlen(name);
	const char *found = NULL;

	for (; *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=') {
			assert_null(found);
			found = *envp + len + 1;
		}
	return found;
}

static void environment_has_each_variable_once(void **state)
{
	char *const environment[] = { "PATH=/bin", "CLAIM_IN=/old", "CLAIM_ATTEMPT=7", NULL };
	struct expand_unit unit = { .name = "n=1\n2", .in = "/in", .out = "/out", .attempt = 2, .job = "9.1" };
	char **envp;

	(void)state;
	assert_int_equal(expand_environment(environment, &unit, &envp), 0);
	assert_string_equal(variable(envp, "PATH"), "/bin");
	assert_string_equal(variable(envp, "CLAIM_IN"), "/in");
	assert_string_equal(variable(envp, "CLAIM_OUT"), "/out");
	assert_string_equal(variable(envp, "CLAIM_NAME"), "n=1\n2");
	assert_string_equal(variable(envp, "CLAIM_ATTEMPT"), "2");
	assert_null(variable(envp, "CLAIM_RESUME"));
	expand_free(envp);
	unit.attempt = 0;
	unit.resume = "/left";
	assert_int_equal(expand_environment(environment, &unit, &envp), 0);
	assert_string_equal(variable(envp, "CLAIM_RESUME"), "/left");
	assert_null(variable(envp, "CLAIM_ATTEMPT"));
	expand_free(envp);
}

/* ---- options ---- */

static int parse(struct worker_options *options, struct buf *why, char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	buf_reset(why);
	return options_parse(argc, argv, options, why);
}

static void options_are_read(void **state)
{
	char *whole[] = { "claim-worker", "-j", "3", "--grace=90s", "-v", "queue", "--", "cmd", "-x", NULL };
	char *checkpoint[] = { "claim-worker", "--checkpoint-signal", "SIGUSR1", "queue", "cmd", NULL };
	char *no_dashes[] = { "claim-worker", "queue", "cmd", "--", NULL }, *odd[] = { "claim-worker", "--hedge", "--", "-q", "--", "cmd", NULL };
	struct worker_options options;
	struct buf why = BUF_INIT;

	(void)state;
	assert_int_equal(parse(&options, &why, whole), 0);
	assert_int_equal(options.slots, 3);
	assert_true(options.grace_ns == 90 * NS_PER_S && options.verbose);
	assert_string_equal(options.queue, "queue");
	assert_string_equal(options.command[1], "-x");
	assert_int_equal(options.checkpoint_signal, 0);
	assert_int_equal(parse(&options, &why, checkpoint), 0);
	assert_int_equal(options.checkpoint_signal, SIGUSR1);
	checkpoint[2] = "usr2";
	assert_int_equal(parse(&options, &why, checkpoint), 0);
	assert_int_equal(options.checkpoint_signal, SIGUSR2);
	assert_int_equal(parse(&options, &why, no_dashes), 0);
	assert_true(options.slots >= 1);
	assert_string_equal(options.command[0], "cmd");
	assert_string_equal(options.command[1], "--");
	assert_int_equal(parse(&options, &why, odd), 0);
	assert_string_equal(options.queue, "-q");
	assert_string_equal(options.command[0], "cmd");
	buf_release(&why);
}

static void bad_options_are_named(void **state)
{
	static char *const cases[][6] = {
		{ "w", "-j", "0", "q", "c", NULL }, { "w", "--grace", "soon", "q", "c", NULL },
		{ "w", "--verbsoe", "q", "c", "x", NULL }, { "w", "q", NULL }, { "w", NULL }, { "w", "q", "--", NULL },
		{ "w", "--order=random", "q", "c", NULL }, { "w", "--shuffle", "--batch=auto", "q", "c", NULL },
		{ "w", "--checkpoint-signal=KILL", "q", "c", NULL }, { "w", "--checkpoint-signal=USR3", "q", "c", NULL },
		{ "w", "--checkpoint-signal=USR1", "--resident", "q", "c", NULL }, { "w", "--logs", "q", "--", "c", NULL },
		{ "w", "--", "c", "x", NULL }, { "w", "--hedge", "--", "q", "c", NULL },
		{ "w", "--drain-file=", "q", "c", NULL }, { "w", "--drain-cmd", "", "q", "c", NULL }, { "w", "--logs=", "q", "c", NULL },
		{ "w", "--ahead=-1", "q", "c", NULL },
	};
	static const char *const says[] = { "-j", "grace", "verbose", "command", "queue", "command", "random", "--shuffle", "KILL", "USR3", "--resident",
					  "'q' was taken for the value of --logs", "queue", "queue", "a file", "a command", "a directory", "auto or" };
	struct worker_options options;
	struct buf why = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		assert_int_equal(parse(&options, &why, (char **)cases[i]), -EINVAL);
		if (!strstr(buf_text(&why), says[i]))
			fail_msg("'%s' does not name %s", buf_text(&why), says[i]);
	}
	buf_release(&why);
}

/* ---- ahead ---- */

static void ahead_follows_what_is_measured(void **state)
{
	(void)state;
	assert_int_equal(supply_ahead(2, 60 * NS_PER_MS, 0), 0);			/* nothing known yet */
	assert_int_equal(supply_ahead(2, 10 * NS_PER_MS, 60 * NS_PER_S), 0);		/* not worth holding any */
	assert_in_range(supply_ahead(2, 60 * NS_PER_MS, 50 * NS_PER_MS), 3, 6);		/* 2.4 a round trip, and some air */
	assert_in_range(supply_ahead(4, NS_PER_MS, 2 * NS_PER_MS), 4, 8);
	assert_int_equal(supply_ahead(4, NS_PER_S, NS_PER_MS), 256);			/* bounded */
	assert_int_equal(supply_together(4, 0), 0);
	assert_int_equal(supply_together(4, NS_PER_S), 0);
	assert_int_equal(supply_together(4, 2 * NS_PER_MS), 20);
	assert_int_equal(supply_together(4, NS_PER_US), 256);
}

/* ---- batch ---- */

/* Runs of a command that takes `start` and `each` (ms); the size it comes to. */
static unsigned int batch_after(struct batch_size *size, int runs, double start, double each)
{
	while (runs-- > 0)
		batch_size_ran(size, size->now, (int64_t)((start + each * size->now) * NS_PER_MS));
	return size->now;
}

static void batches_are_as_large_as_starting_costs(void **state)
{
	struct batch_size size;

	(void)state;
	batch_size_init(&size, 0, 10 * NS_PER_S);
	assert_in_range(batch_after(&size, 30, 500, 10), 900, 2000);		/* 950 make 500 ms the twentieth part; 10 s is 950 too */
	batch_size_init(&size, 0, 10 * NS_PER_S);
	assert_in_range(batch_after(&size, 30, 20, 10), 30, 90);		/* 38 */
	batch_size_init(&size, 0, NS_PER_S);
	assert_in_range(batch_after(&size, 30, 500, 100), 4, 10);		/* no longer than a second: 5 */
	batch_size_init(&size, 0, 10 * NS_PER_S);
	assert_in_range(batch_after(&size, 30, 0, 4000), 1, 2);			/* nothing to be gained */
	batch_size_init(&size, 0, 10 * NS_PER_S);
	assert_in_range(batch_after(&size, 2, 3, 0), 64, 64);			/* while it is short beside the longest: eightfold */
	batch_size_init(&size, 0, 10 * NS_PER_S);
	assert_in_range(batch_after(&size, 4, 300, 0), 16, 16);			/* doubles */
	assert_int_equal(batch_after(&size, 5, 300, 0), 512);
	batch_size_ran(&size, 512, 3 * NS_PER_S);				/* something held it up: as if starting cost nothing */
	batch_size_ran(&size, size.now, 3 * NS_PER_S);
	assert_true(size.now >= 128);
	batch_size_init(&size, 7, 10 * NS_PER_S);
	assert_int_equal(batch_after(&size, 5, 500, 1), 7);			/* fixed */
}

/* Runs that are disturbed: by up to 40 % more or less, and one in 32 takes three times as long. */
struct noise {
	uint32_t state;
};

static double disturbance(struct noise *noise)
{
	noise->state = noise->state * 1664525 + 1013904223;
	return (0.6 + 0.8 * (noise->state >> 8 & 0xffff) / 65536.0) * (noise->state >> 24 < 8 ? 3 : 1);
}

/* Of a command that takes `start` and `each` (s), until so many units are done: the part of the time that went into starting it. */
static double start_share(struct batch_size *size, struct noise *noise, double start, double each, int units, int *ret_runs, int *ret_long)
{
	double spent = 0, started = 0;

	for (*ret_runs = *ret_long = 0; units > 0; units -= (int)size->now, ++*ret_runs) {
		double factor = disturbance(noise), t = (start + each * size->now) * factor;

		spent += t;
		started += start * factor;
		*ret_long += t * NS_PER_S > (double)size->longest_ns;
		batch_size_ran(size, size->now, (int64_t)(t * NS_PER_S));
	}
	return started / spent;
}

static void batches_are_that_large_where_runs_are_disturbed(void **state)
{
	static const struct {
		double start, each;
	} commands[] = { { 0.1, 0.001 }, { 0.1, 0.01 }, { 0.005, 0.0005 }, { 0.05, 0.0007 }, { 0.001, 0.02 } };
	struct batch_size size;
	size_t i;
	int seed, runs, too_long;

	(void)state;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		for (seed = 1; seed <= 20; seed++) {
			struct noise noise = { (uint32_t)seed };

			batch_size_init(&size, 0, 10 * NS_PER_S);
			assert_true(start_share(&size, &noise, commands[i].start, commands[i].each, (int)(600 / commands[i].each), &runs, &too_long) < 0.05);
			assert_true(too_long <= runs / 20);
		}
	}
	/* Units that take ten times as long from now on, and a tenth again: it follows. */
	for (seed = 1; seed <= 20; seed++) {
		struct noise noise = { (uint32_t)seed };

		batch_size_init(&size, 0, 10 * NS_PER_S);
		start_share(&size, &noise, 0.5, 0.005, 100000, &runs, &too_long);
		start_share(&size, &noise, 0.5, 0.05, 20000, &runs, &too_long);
		assert_true(too_long <= runs / 8);
		start_share(&size, &noise, 0.5, 0.005, 100000, &runs, &too_long);
		assert_true(start_share(&size, &noise, 0.5, 0.005, 100000, &runs, &too_long) < 0.1);
	}
}

/* ---- bar ---- */

static void bar_fits_the_terminal(void **state)
{
	static const char json[] = "{\"format\":1,\"units\":{\"total\":200,\"todo\":90,\"claimed\":8,\"done\":100,\"failed\":2},"
				   "\"rate\":{\"last_minute\":2.5,\"overall\":1},\"eta\":40,\"nodes\":[]}";
	struct bar_facts facts = { .running = 8, .done_here = 55 };
	struct buf line = BUF_INIT;
	unsigned int columns;

	(void)state;
	assert_int_equal(bar_read_facts("{", 1, &facts), -EINVAL);
	assert_int_equal(bar_read_facts(json, strlen(json), &facts), 0);
	bar_format(&facts, 120, &line);
	assert_non_null(strstr(buf_text(&line), "100/200"));
	assert_non_null(strstr(buf_text(&line), "2 failed"));
	assert_non_null(strstr(buf_text(&line), "0:40 to go"));
	assert_non_null(strstr(buf_text(&line), "[####################....................] "));
	for (columns = 20; columns < 130; columns++) {
		buf_reset(&line);
		bar_format(&facts, columns, &line);
		assert_true(line.len <= columns);
	}
	facts.total = facts.eta_s = facts.rate = -1;
	buf_reset(&line);
	bar_format(&facts, 80, &line);
	assert_string_equal(buf_text(&line), "  2 failed  here: 8 running, 55 done");
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tail_keeps_short_streams),
		cmocka_unit_test(tail_keeps_the_last_whole_lines),
		cmocka_unit_test(tail_takes_more_than_it_holds_at_once),
		cmocka_unit_test(timers_fire_in_order_and_can_stop_each_other),
		cmocka_unit_test(an_unwatched_descriptor_is_not_called_in_the_same_turn),
		cmocka_unit_test(aside_does_every_job_once),
		cmocka_unit_test(session_answers_in_order_whatever_the_pieces), cmocka_unit_test(session_writes_together),
		cmocka_unit_test(session_gathers),
		cmocka_unit_test(session_sees_many_answers_in_one_read),
		cmocka_unit_test(session_breaks_on_what_ctl_never_says),
		cmocka_unit_test(words_are_replaced_without_a_shell),
		cmocka_unit_test(environment_has_each_variable_once),
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(ahead_follows_what_is_measured),
		cmocka_unit_test(batches_are_as_large_as_starting_costs),
		cmocka_unit_test(batches_are_that_large_where_runs_are_disturbed),
		cmocka_unit_test(bar_fits_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
