/* Tickets: the size that is announced is the size of the text, whatever is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "queue/ticket.h"

static void check(const struct ticket *ticket, const char *wanted)
{
	struct buf text = BUF_INIT;

	assert_int_equal(ticket_format(ticket, &text), 0);
	assert_int_equal(ticket_size(ticket), text.len);
	if (wanted)
		assert_string_equal(buf_text(&text), wanted);
	buf_release(&text);
}

static void test_states(void **state)
{
	struct ticket ticket = { .state = QUEUE_TODO, .unit = "a/b.jpg", .input = "inputs/a/b.jpg" };

	(void)state;
	check(&ticket, "unit: a/b.jpg\nstate: todo\ninput: inputs/a/b.jpg\n");
	ticket.state = QUEUE_CLAIMS;
	ticket.attempt = 2;
	ticket.node = "node-3.1";
	ticket.pid = 4711;
	ticket.since = 1700000000;
	ticket.claim = "00ff.0.2";
	ticket.values = "status=1";	/* not of a claim */
	check(&ticket, "unit: a/b.jpg\nstate: claimed\ninput: inputs/a/b.jpg\nattempt: 2\nnode: node-3.1\npid: 4711\n"
		       "claim: 00ff.0.2\nsince: 2023-11-14T22:13:20Z\n");
	ticket.state = QUEUE_DONE;
	ticket.claim = NULL;
	ticket.key = "0011";
	ticket.values = "status=0 wall=1.5 user=1 sys=0.25 maxrss=1000 in=7 out=8 stderr=note";
	check(&ticket, "unit: a/b.jpg\nstate: done\ninput: inputs/a/b.jpg\nattempt: 2\nnode: node-3.1\npid: 4711\n"
		       "since: 2023-11-14T22:13:20Z\nkey: 0011\nexit-status: 0\nwall: 1.5 s\nuser: 1 s\nsys: 0.25 s\n"
		       "peak-memory: 1000 bytes\nbytes-in: 7 bytes\nbytes-out: 8 bytes\n");
}

static void test_stderr(void **state)
{
	struct ticket ticket = { .state = QUEUE_FAILED, .unit = "x", .input = "inputs/x" };

	(void)state;
	ticket.values = "status=2 stderr=first%0A%0Atab%09%1B[2J%0Alast";
	check(&ticket, "unit: x\nstate: failed\ninput: inputs/x\nexit-status: 2\nstderr:\n  first\n  \n  tab\t%1B[2J\n  last\n");
	ticket.values = "stderr=one%0A";
	check(&ticket, "unit: x\nstate: failed\ninput: inputs/x\nstderr:\n  one\n");
	ticket.values = NULL;
	ticket.why = "3 attempts were lost";
	check(&ticket, "unit: x\nstate: failed\ninput: inputs/x\nwhy: 3 attempts were lost\n");
}

static void test_odd_names(void **state)
{
	struct ticket ticket = { .state = QUEUE_TODO, .unit = "a\nstate: done\x01%\x7f\xff", .input = "inputs/\n" };

	(void)state;
	check(&ticket, "unit: a%0Astate: done%01%25%7F\xff\nstate: todo\ninput: inputs/%0A\n");
}

static void test_long_stderr(void **state)
{
	char values[3 * TICKET_MAX_STDERR];
	struct ticket ticket = { .state = QUEUE_FAILED, .unit = "x", .input = "y", .values = values };
	struct buf text = BUF_INIT;

	(void)state;
	memset(values, 'e', sizeof(values));
	memcpy(values, "stderr=", 7);
	values[sizeof(values) - 1] = '\0';
	values[sizeof(values) - 2] = 'Z';
	check(&ticket, NULL);
	assert_int_equal(ticket_format(&ticket, &text), 0);
	assert_true(text.len < TICKET_MAX_STDERR + 100);
	assert_int_equal(text.data[text.len - 2], 'Z');
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states), cmocka_unit_test(test_stderr), cmocka_unit_test(test_odd_names), cmocka_unit_test(test_long_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
