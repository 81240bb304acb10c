/* qconf: queue.conf there and back, what it refuses, and where outputs go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/qconf.h"

static int parse(struct qconf *conf, const char *text, struct buf *why)
{
	buf_reset(why);
	assert_int_equal(qconf_init(conf), 0);
	return qconf_parse(conf, ".claimfs/queue.conf", text, strlen(text), why);
}

static void test_defaults(void **state)
{
	struct buf why = BUF_INIT;
	struct qconf conf;

	(void)state;
	assert_int_equal(parse(&conf, "", &why), 0);
	assert_string_equal(conf.input, "inputs");
	assert_string_equal(conf.output, "outputs/{}");
	assert_int_equal(conf.key, QCONF_KEY_NAME);
	assert_true(conf.lease_ns == 60 * NS_PER_S);
	assert_true(conf.settle_ns == 2 * NS_PER_S);
	assert_int_equal(conf.attempts, 3);
	assert_int_equal(conf.durable, 0);
	assert_int_equal(conf.format, 1);
	qconf_release(&conf);
	buf_release(&why);
}

static void test_format_comes_back(void **state)
{
	static const char text[] = "input = ../pictures of me\noutput = features/{.}.npy\nkey = content\nlease = 3500ms\n"
				   "attempts = 7\nsettle = 0\ndurable = yes\nformat = 1\n";
	struct buf why = BUF_INIT, again = BUF_INIT, third = BUF_INIT;
	struct qconf conf;

	(void)state;
	assert_int_equal(parse(&conf, text, &why), 0);
	qconf_format(&conf, &again);
	qconf_release(&conf);
	assert_int_equal(parse(&conf, buf_text(&again), &why), 0);
	assert_string_equal(conf.input, "../pictures of me");
	assert_string_equal(conf.output, "features/{.}.npy");
	assert_int_equal(conf.key, QCONF_KEY_CONTENT);
	assert_true(conf.lease_ns == 3500 * NS_PER_MS);
	assert_int_equal(conf.attempts, 7);
	assert_true(conf.settle_ns == 0);
	assert_int_equal(conf.durable, 1);
	qconf_format(&conf, &third);
	assert_string_equal(buf_text(&again), buf_text(&third));
	qconf_release(&conf);
	buf_release(&why);
	buf_release(&again);
	buf_release(&third);
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} bad[] = {
		{ "\nleese = 3\n", "queue.conf:2: no such setting: 'leese'; did you mean 'lease'?" },
		{ "lease = 2s", "queue.conf:1: lease: '2s' is out of range: from 3s" },
		{ "format = 2", "queue.conf:1: format: 2 is newer than this program knows (1)" },
		{ "format = 0", "queue.conf:1: format: '0' is not a format" },
		{ "key = hash", "queue.conf:1: key: 'hash' is not one of name, stat, content" },
		{ "durable = maybe", "queue.conf:1: durable: 'maybe' is not one of no, yes" },
		{ "attempts = 0", "queue.conf:1: attempts: '0' is out of range" },
		{ "input = /abs", "queue.conf:1: input: '/abs' is absolute" },
		{ "input = a/../b", "queue.conf:1: input: 'a/../b' has a '..'" },
		{ "input =", "queue.conf:1: input: empty" },
		{ "input = done/x", "queue.conf: input: 'done/x' lies in a directory that the queue itself shows" },
		{ "input = .claimfs/x", "queue.conf: input: '.claimfs/x' lies" },
		{ "output = ../{}", "queue.conf:1: output: '../{}' leads out of the queue" },
		{ "output = a/../../{}", "queue.conf:1: output: 'a/../../{}' leads out of the queue" },
		{ "output = /tmp/{}", "queue.conf:1: output: '/tmp/{}' is absolute" },
		{ "output = .claimfs/{}", "queue.conf: output: '.claimfs/{}' lies" },
		{ "output = ./stage/{}", "queue.conf: output: 'stage/{}' lies" },
		{ "output = out", "queue.conf: output: 'out' names one file for all units" },
		{ "output = inputs/{}.out", "queue.conf: output: 'inputs/{}.out' lies in the input directory 'inputs'" },
		{ "input = .\noutput = out/{}", "queue.conf: output: 'out/{}' lies in the input directory '.'" },
		{ "input = a/b\noutput = a//b/c/{}", "queue.conf: output: 'a/b/c/{}' lies in the input directory 'a/b'" },
	};
	struct buf why = BUF_INIT;
	struct qconf conf;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse(&conf, bad[i].text, &why), -EINVAL);
		assert_null(conf.input);
		if (!strstr(buf_text(&why), bad[i].says))
			fail_msg("%s: said: %s", bad[i].text, buf_text(&why));
	}
	buf_release(&why);
}

static void test_accepts_what_only_looks_bad(void **state)
{
	static const char *const good[] = {
		"input = ../../x", "input = ./a//b/", "output = done2/{}", "output = todo.x/{}", "input = in\noutput = inx/{}",
		"input = .\noutput = .out/{}", "input = a/b\noutput = a/{}", "output = {}.out", "input = x#y",
	};
	struct buf why = BUF_INIT;
	struct qconf conf;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		if (parse(&conf, good[i], &why))
			fail_msg("%s: said: %s", good[i], buf_text(&why));
		qconf_release(&conf);
	}
	buf_release(&why);
}

static void test_set_is_as_strict_as_the_file(void **state)
{
	struct buf why = BUF_INIT;
	struct qconf conf;

	(void)state;
	assert_int_equal(qconf_init(&conf), 0);
	assert_int_equal(qconf_set(&conf, "lease", "30s", &why), 0);
	assert_true(conf.lease_ns == 30 * NS_PER_S);
	assert_int_equal(qconf_set(&conf, "lease", "1s", &why), -EINVAL);
	assert_true(strstr(buf_text(&why), "lease: '1s' is out of range") != NULL);
	buf_reset(&why);
	assert_int_equal(qconf_set(&conf, "input", "a\nlease = 3", &why), -EINVAL);
	assert_int_equal(qconf_set(&conf, "input", "a #b", &why), -EINVAL);
	assert_int_equal(qconf_set(&conf, "input", "a ", &why), -EINVAL);
	assert_int_equal(qconf_set(&conf, "nothing", "1", &why), -EINVAL);
	assert_string_equal(conf.input, "inputs");
	qconf_release(&conf);
	buf_release(&why);
}

static void assert_goes(const char *pattern, const char *name, const char *output, const char *stage)
{
	struct buf why = BUF_INIT, to = BUF_INIT;
	struct qconf conf;

	assert_int_equal(qconf_init(&conf), 0);
	assert_int_equal(qconf_set(&conf, "output", pattern, &why), 0);
	assert_int_equal(qconf_output(&conf, name, &to), output ? 0 : -EINVAL);
	assert_string_equal(buf_text(&to), output ? output : "");
	buf_reset(&to);
	assert_int_equal(qconf_stage(&conf, name, &to), stage ? 0 : -EINVAL);
	assert_string_equal(buf_text(&to), stage ? stage : "");
	qconf_release(&conf);
	buf_release(&to);
	buf_release(&why);
}

static void test_outputs(void **state)
{
	(void)state;
	assert_goes("outputs/{}", "a/b.jpg", "outputs/a/b.jpg", "a/b.jpg");
	assert_goes("features/{.}.npy", "a/b.jpg", "features/a/b.npy", "a/b.npy");
	assert_goes("x/y/{//}/{/.}.out", "b.jpg", "x/y/b.out", "b.out");
	assert_goes("x/y/{//}/{/.}.out", "c/d/b.jpg", "x/y/c/d/b.out", "c/d/b.out");
	assert_goes("{}.out", "a", "a.out", "a.out");
	assert_goes("out-{}", "a/b", "out-a/b", "out-a/b");
	assert_goes(".//o/./{/}", "a/b", "o/b", "b");
	assert_goes("{}", "done", NULL, "done");
	assert_goes("{}", ".claimfs/x", NULL, ".claimfs/x");
	assert_goes("o/{/}", "..", NULL, NULL);
	assert_goes("o/{}", "a\nb \xff", "o/a\nb \xff", "a\nb \xff");
}

static void test_skips(void **state)
{
	(void)state;
	assert_true(qconf_skips(".hidden"));
	assert_true(qconf_skips("x.part"));
	assert_true(qconf_skips("x.tmp"));
	assert_true(qconf_skips("x~"));
	assert_true(qconf_skips(".part"));
	assert_false(qconf_skips("x.partial"));
	assert_false(qconf_skips("part"));
	assert_false(qconf_skips("~x"));
	assert_false(qconf_skips("x.tmp2"));
}

/* Whichever allocation fails: it is said, or everything is as it was written. */
static void test_out_of_memory(void **state)
{
	static const char text[] = "input = ../a/long/way/to/the/inputs/of/this/queue/which/need/memory/of/their/own\n"
				   "output = a/long/way/to/the/outputs/of/this/queue/which/need/memory/too/{.}.npy\nkey = content\n";
	struct buf why = BUF_INIT;
	struct qconf conf;
	char fault[32];
	int nth, error = 0, errors = 0;

	(void)state;
	for (nth = 0; nth < 64; nth++) {
		assert_int_equal(qconf_init(&conf), 0);
		snprintf(fault, sizeof(fault), "buf-memory:%d:1", nth);
		assert_int_equal(fault_set(fault), 0);
		error = qconf_parse(&conf, "queue.conf", text, strlen(text), &why);
		fault_set(NULL);
		buf_release(&why);
		errors += error != 0;
		if (error)
			continue;
		assert_string_equal(conf.input, "../a/long/way/to/the/inputs/of/this/queue/which/need/memory/of/their/own");
		assert_string_equal(conf.output, "a/long/way/to/the/outputs/of/this/queue/which/need/memory/too/{.}.npy");
		assert_int_equal(conf.key, QCONF_KEY_CONTENT);
		qconf_release(&conf);
	}
	assert_in_range(errors, 1, 63);
	assert_int_equal(error, 0);	/* there were fewer allocations than that */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_format_comes_back),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_accepts_what_only_looks_bad),
		cmocka_unit_test(test_set_is_as_strict_as_the_file),
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_skips),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
