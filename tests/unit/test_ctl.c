/* Sessions of ctl over a queue in memory: answers in order, groups, ends of file, errors, and what a closing session gives back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/fault.h"
#include "queue/ctl.h"
#include "queue/ctl_parse.h"
#include "tests/fake/queue_fake.h"

#define WAIT_NS (20 * NS_PER_S)
#define HELD 100		/* more than are given back together */

static struct session {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct ctl *ctl;
	int notified;
	bool closed;
} session = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void notify(void *arg)
{
	struct session *to = arg;

	pthread_mutex_lock(&to->lock);
	to->notified++;
	pthread_cond_broadcast(&to->changed);
	pthread_mutex_unlock(&to->lock);
}

static void closed(void *arg)
{
	struct session *to = arg;

	pthread_mutex_lock(&to->lock);
	to->closed = true;
	pthread_cond_broadcast(&to->changed);
	pthread_mutex_unlock(&to->lock);
}

static int begin(void **state)
{
	(void)state;
	fake_reset();
	clock_cond_init(&session.changed);
	session.closed = false;
	session.notified = 0;
	return ctl_open(NULL, notify, &session, &session.ctl);
}

static void end(bool lose)
{
	int64_t deadline = clock_now() + WAIT_NS;
	int error = 0;

	if (!session.ctl)
		return;
	ctl_close(session.ctl, lose, closed, &session);
	session.ctl = NULL;
	pthread_mutex_lock(&session.lock);
	while (!session.closed && !error)
		error = clock_cond_wait(&session.changed, &session.lock, deadline);
	pthread_mutex_unlock(&session.lock);
	assert_int_equal(error, 0);
}

static int finish(void **state)
{
	(void)state;
	fake_set_gate(false);
	end(true);
	return 0;
}

static void say(const char *text)
{
	assert_int_equal(ctl_write(session.ctl, text, strlen(text)), strlen(text));
}

/* Waits for `expected` to be read, in pieces or in one; "" is an end of file. */
static void hear(const char *expected)
{
	int64_t deadline = clock_now() + WAIT_NS;
	size_t len = strlen(expected), have = 0;
	ssize_t count = 1;
	char data[4096];
	int error = 0;

	pthread_mutex_lock(&session.lock);
	while (count != 0 && (have < len || len == 0) && !error) {
		count = ctl_read(session.ctl, data + have, len > 0 ? len - have : sizeof(data) - 1 - have);
		if (count > 0)
			have += (size_t)count;
		else if (count == -EAGAIN)
			error = clock_cond_wait(&session.changed, &session.lock, deadline);
	}
	pthread_mutex_unlock(&session.lock);
	data[have] = '\0';
	assert_string_equal(data, expected);
	assert_int_equal(error, 0);
}

static void wait_for_waiting(int waiting)
{
	int64_t deadline = clock_now() + WAIT_NS;

	while (fake_waiting() != waiting) {
		assert_true(clock_now() < deadline);
		sched_yield();
	}
}

static void test_cycle(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("dir/b c", QUEUE_TODO);
	fake_add("t\tn\n%", QUEUE_TODO);
	say("take\n");
	hear("a\n");
	say("done a status=0 wall=1\n");
	hear("ok\n");
	assert_string_equal(fake_unit("a").values, "status=0 wall=1");
	say("take 5\n");
	hear("dir/b c\tt%09n%0A%25\n");
	say("fail dir/b c\nrelease t%09n%0A%25\n");
	hear("ok\nok\n");
	assert_int_equal(fake_unit("dir/b c").state, QUEUE_FAILED);
	assert_int_equal(fake_unit("t\tn\n%").state, QUEUE_TODO);
	say("take 2 wait\n");
	hear("t%09n%0A%25\n");
	say("done t%09n%0A%25\n");
	hear("ok\n");
	say("take\n");
	hear("");
	say("take wait\n");
	hear("");
	hear("");	/* nothing asked: an end of file too, and not for ever waiting */
}

static void test_part_lines(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	say("ta");
	assert_true(ctl_readable(session.ctl));
	say("ke");
	hear("");
	say("\nrele");
	hear("a\n");
	say("ase a");
	say("\n");
	hear("o");
	hear("k");
	hear("\n");
}

/* Ends of file stand where the answer would be, also between others. */
static void test_end_of_file_in_order(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	say("take\ntake\ndone a\n");
	hear("a\n");
	hear("");
	hear("ok\n");
	hear("");
}

static void test_bad_lines(void **state)
{
	char *line = malloc(CTL_MAX_LINE + 3);

	(void)state;
	say("tkae\n");
	hear("error EINVAL unknown command 'tkae', did you mean 'take'?\n");
	say("\nexplode x\n");
	hear("error EINVAL unknown command ''");
	assert_non_null(line);
	say("take 0\n");
	while (ctl_readable(session.ctl) == false)
		sched_yield();
	assert_non_null(line);
	memset(line, 'x', CTL_MAX_LINE + 2);
	line[CTL_MAX_LINE + 1] = '\n';
	assert_int_equal(ctl_write(session.ctl, line, CTL_MAX_LINE + 2), -EMSGSIZE);
	assert_int_equal(ctl_write(session.ctl, line, CTL_MAX_LINE + 1), -EMSGSIZE);
	free(line);
}

static void test_refused(void **state)
{
	static const struct {
		const char *line;
		const char *answer;
	} cases[] = {
		{ "take 0\n", "error EINVAL take: a count from 1 to 100000 or 'wait' is wanted, not '0'\n" },
		{ "take -1\n", "error EINVAL take: a count from 1 to 100000 or 'wait' is wanted, not '-1'\n" },
		{ "take 1 now\n", "error EINVAL take: 'wait', 'attempt' or nothing is wanted, not 'now'\n" },
		{ "take wait 3\n", "error EINVAL take: 'wait', 'attempt' or nothing is wanted, not '3'\n" },
		{ "done\n", "error EINVAL usage: done NAME [k=v ...]\n" },
		{ "claim\n", "error EINVAL usage: claim NAME\n" },
		{ "claim ../a\n", "error EINVAL not the name of a unit: '../a'\n" },
		{ "release \n", "error EINVAL usage: release NAME\n" },
		{ "done a%2\n", "error EINVAL not percent-encoded as ctl gives names: 'a%252'\n" },
		{ "done ../a\n", "error EINVAL not the name of a unit: '../a'\n" },
		{ "put 0 644\n", "error EINVAL usage: put BYTES MODE NAME [k=v ...]\n" },
		{ "put 0 8 a\n", "error EINVAL usage: put BYTES MODE NAME [k=v ...]\n" },
		{ "put 2 1777 a\nx\n", "error EINVAL usage: put BYTES MODE NAME [k=v ...]\n" },
		{ "put 0 644 nobody\n", "error EACCES not a unit that this mount has claimed\n" },
		{ "done nobody\n", "error EACCES not a unit that this mount has claimed\n" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(cases[i].line);
		hear(cases[i].answer);
	}
	assert_int_equal(ctl_write(session.ctl, "done a\0b\n", 9), 9);
	hear("error EINVAL a line with a byte of 0 in it\n");
}

static void test_answers(void **state)
{
	static const struct {
		int error;
		const char *answer;
	} cases[] = {
		{ -EEXIST, "already node%0A2.1\n" },
		{ -ESTALE, "error ESTALE the lease was lost: another node may have the unit now\n" },
		{ STORE_FAILURE, "error EIO the disk refused and did not say why\n" },
		{ -ENOSPC, "error ENOSPC No space left on device\n" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_reset();
		fake_add("a", QUEUE_TODO)->answer = cases[i].error;
		say("take\n");
		hear("a\n");
		say("done a\n");
		hear(cases[i].answer);
	}
}

/* Names with spaces and with words like values. */
static void test_names_with_values(void **state)
{
	(void)state;
	fake_add("a b=c", QUEUE_TODO);
	fake_add("x", QUEUE_TODO);
	say("take 2\n");
	hear("a b=c\tx\n");
	say("done a b=c d=1  e=2 \n");
	hear("ok\n");
	assert_string_equal(fake_unit("a b=c").values, "d=1 e=2");
	say("done x b=c\n");
	hear("ok\n");
	assert_string_equal(fake_unit("x").values, "b=c");
}

/* What is written while the thread is busy is committed together; a take, or the same unit again, ends a group. */
static void test_groups(void **state)
{
	char line[32];
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		snprintf(line, sizeof(line), "u%d", i);
		fake_add(line, QUEUE_TODO);
	}
	say("take 10\n");
	hear("u0\tu1\tu2\tu3\tu4\tu5\tu6\tu7\tu8\tu9\n");
	fake_set_gate(true);
	say("done u0\n");
	wait_for_waiting(1);
	say("done u1\nfail u2\nrelease u3\ndone u1\ntake\ndone u4\nnonsense\ndone u5\n");
	fake_set_gate(false);
	hear("ok\nok\nok\nok\nerror EACCES not a unit that this mount has claimed\n");
	hear("u3\n");
	hear("ok\nerror EINVAL unknown command 'nonsense', known are take, claim, hedge, check, done, put, fail and release\nok\n");
	assert_int_equal(fake.group_count, 5);
	assert_int_equal(fake.groups[0], 1);
	assert_int_equal(fake.groups[1], 3);
	assert_int_equal(fake.groups[2], 1);
	assert_int_equal(fake.groups[3], 1);
	assert_int_equal(fake.groups[4], 1);
}

static void say_bytes(const char *data, size_t len)
{
	assert_int_equal(ctl_write(session.ctl, data, len), len);
}

/* The bytes behind a put are none of the lines', in whatever pieces they come, and it is committed together with others. */
static void test_put(void **state)
{
	static const char put[] = "put 16 750 a b wall=1\ntake\n\0release a\nput 0 644 c\n";
	const struct fake_unit *unit;
	size_t i;

	(void)state;
	fake_add("a b", QUEUE_TODO);
	fake_add("c", QUEUE_TODO);
	fake_add("d", QUEUE_TODO);
	say("take 3\n");
	hear("a b\tc\td\n");
	for (i = 0; i < sizeof(put) - 1; i++)
		say_bytes(put + i, 1);
	hear("ok\nok\n");
	unit = fake_find("a b");
	assert_int_equal(unit->state, QUEUE_DONE);
	assert_string_equal(unit->values, "wall=1");
	assert_int_equal(unit->output_len, 16);
	assert_memory_equal(unit->output, "take\n\0release a\n", 16);
	assert_int_equal(unit->output_mode, 0750);
	assert_int_equal(fake_find("c")->output_len, 0);
	assert_int_equal(fake_find("c")->output_mode, 0644);
	fake.group_count = 0;
	say("put 3 600 d\nxyzdone nobody\n");
	hear("ok\nerror EACCES not a unit that this mount has claimed\n");
	assert_int_equal(fake.groups[0], 2);
	assert_memory_equal(fake_find("d")->output, "xyz", 3);
}

/* Where the count can't be told, what follows might be taken for lines: nothing of it is. */
static void test_put_without_a_count(void **state)
{
	static const char *const lines[] = { "put\n", "put \n", "put x 644 a\n", "put 3x 644 a\nabc", "put -1 644 a\n" };
	char line[64];
	size_t i;

	(void)state;
	fake_add("a", QUEUE_TODO);
	say("take\n");
	hear("a\n");
	for (i = 1; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(ctl_write(session.ctl, lines[i], strlen(lines[i])), -EINVAL);
	say(lines[0]);
	hear("error EINVAL usage: put BYTES MODE NAME [k=v ...]\n");
	snprintf(line, sizeof(line), "release a\nput %u 644 a\n", CTL_MAX_PUT + 1);
	assert_int_equal(ctl_write(session.ctl, line, strlen(line)), -EMSGSIZE);
	say("put 3 644 ");
	assert_int_equal(ctl_write(session.ctl, "a\nxyzput x\n", 11), -EINVAL);
	assert_int_equal(fake_unit("a").state, QUEUE_CLAIMS);
	say("a\nxyz");
	hear("ok\n");
	assert_memory_equal(fake_find("a")->output, "xyz", 3);
}

static void test_close_loses(void **state)
{
	(void)state;
	fake_add("read", QUEUE_TODO);
	fake_add("unread", QUEUE_TODO);
	fake_add("moved", QUEUE_TODO);
	fake_add("ended", QUEUE_TODO);
	say("take\ntake 1\ntake\ntake\n");
	hear("read\n");
	hear("unread\n");
	hear("moved\n");
	hear("ended\n");
	say("release unread\n");
	hear("ok\n");
	say("take\n");
	while (fake_unit("unread").state != QUEUE_CLAIMS || !ctl_readable(session.ctl))
		sched_yield();
	pthread_mutex_lock(&fake.lock);
	fake_find("moved")->owner = NULL;	/* finished by mv and claimed again by others meanwhile */
	pthread_mutex_unlock(&fake.lock);
	say("done ended\n");	/* written before the close, so carried out */
	end(true);
	assert_int_equal(fake_unit("read").lost, 1);
	assert_int_equal(fake_unit("unread").lost, 0);
	assert_int_equal(fake_unit("unread").released, 2);
	assert_int_equal(fake_unit("moved").state, QUEUE_CLAIMS);
	assert_int_equal(fake_unit("ended").state, QUEUE_DONE);
}

/* A session of 100 units ends while no memory is to be had: they are given back all the same. */
static void test_closing_without_memory(void **state)
{
	char name[16];
	int i;

	(void)state;
	for (i = 0; i < HELD; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		fake_add(name, QUEUE_TODO);
		say("take\n");
		strcat(name, "\n");
		hear(name);
	}
	assert_int_equal(fault_set("buf-memory"), 0);
	end(true);
	assert_int_equal(fault_set(NULL), 0);
	for (i = 0; i < HELD; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		assert_int_equal(fake_unit(name).state, QUEUE_TODO);
		assert_int_equal(fake_unit(name).lost, 1);
	}
}

static void test_this_very_unit(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("b c", QUEUE_TODO);
	fake_add("kept", QUEUE_TODO);
	say("claim b c\nclaim b%20c\nclaim none\ndone b c\nclaim kept\n");
	hear("ok 1\n");
	hear("error EBUSY Device or resource busy\nerror ENOENT No such file or directory\nok\nok 1\n");
	say("claim a\n");
	while (fake_unit("a").state != QUEUE_CLAIMS || !ctl_readable(session.ctl))
		sched_yield();
	end(true);
	assert_int_equal(fake_unit("b c").state, QUEUE_DONE);
	assert_int_equal(fake_unit("kept").lost, 1);
	assert_int_equal(fake_unit("a").lost, 0);		/* its answer was never read */
	assert_int_equal(fake_unit("a").released, 1);
}

static void test_a_second_attempt(void **state)
{
	(void)state;
	say("hedge\nhedge a\n");
	hear("error ENOENT No such file or directory\nerror ENOENT No such file or directory\n");
	fake_add("a", QUEUE_TODO);
	fake_add("b c", QUEUE_CLAIMS);
	fake_add("d", QUEUE_CLAIMS);
	say("hedge a\nhedge b c\nhedge b%20c\nhedge\nhedge\n");
	hear("error ENOENT No such file or directory\nok 1 b c\nerror EBUSY Device or resource busy\nok 1 d\nerror EBUSY Device or resource busy\n");
	/* What goes on stays the session's; what is over is not given back. */
	say("check b c\ncheck d\ncheck a\n");
	hear("ok\nok\nerror EACCES not a unit that this mount has claimed\n");
	fake_find("d")->answer = -EEXIST;
	say("check d\n");
	hear("already node%0A2.1\n");
	end(true);
	assert_int_equal(fake_unit("b c").lost, 1);
	assert_int_equal(fake_unit("d").lost, 0);
}

static void test_close_at_the_end_of_the_mount(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	say("take\n");
	hear("a\n");
	end(false);
	assert_int_equal(fake_unit("a").state, QUEUE_CLAIMS);
	assert_int_equal(fake_unit("a").lost, 0);
}

static void test_close_ends_a_waiting_take(void **state)
{
	(void)state;
	fake_add("held", QUEUE_CLAIMS);
	say("take wait\n");
	wait_for_waiting(1);
	assert_int_equal(ctl_read(session.ctl, (char[1]){ 0 }, 1), -EAGAIN);
	end(true);
	assert_int_equal(fake_unit("held").state, QUEUE_CLAIMS);
}

/* With `attempt` each name comes after its number. */
static void test_take_says_the_attempt(void **state)
{
	(void)state;
	fake_add("a b", QUEUE_TODO);
	fake_add("c", QUEUE_TODO);
	say("take 2 attempt\n");
	hear("1 a b\t1 c\n");
	say("take attempt wait\n");
	hear("error EINVAL take: 'wait', 'attempt' or nothing is wanted, not 'wait'\n");
	say("done a b\ndone c\n");
	hear("ok\nok\n");
	say("take wait attempt\n");
	hear("");
}

/* A waiting take goes on when a unit comes free. */
static void test_waiting_take_wakes(void **state)
{
	(void)state;
	fake_add("held", QUEUE_CLAIMS);
	say("take wait\n");
	wait_for_waiting(1);
	fake_add("late", QUEUE_TODO);
	hear("late\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cycle), TEST(test_part_lines), TEST(test_end_of_file_in_order), TEST(test_bad_lines), TEST(test_refused),
		TEST(test_answers), TEST(test_names_with_values), TEST(test_groups), TEST(test_put), TEST(test_put_without_a_count), TEST(test_close_loses), TEST(test_closing_without_memory),
		TEST(test_this_very_unit),
		TEST(test_a_second_attempt),
		TEST(test_close_at_the_end_of_the_mount), TEST(test_close_ends_a_waiting_take), TEST(test_waiting_take_wakes), TEST(test_take_says_the_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
