/* conf: units, and errors that name file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/conf.h"

struct target {
	char *text;
	int64_t time_ns;
	int64_t number;
	int choice;
};

static const char *const choices[] = { "red", "green", NULL };
static const struct conf_entry table[] = {
	{ "text", conf_set_string, offsetof(struct target, text), NULL, 0, 0 },
	{ "lease", conf_set_duration, offsetof(struct target, time_ns), NULL, NS_PER_S, 100 * NS_PER_S },
	{ "number", conf_set_number, offsetof(struct target, number), NULL, -5, 10 },
	{ "colour", conf_set_choice, offsetof(struct target, choice), choices, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0 },
};

static void test_parses(void **state)
{
	static const char text[] = "# a comment\n\n  text =  two words # and why\nlease=2m # too long? no\n";
	static const char rest[] = "\ttext\t=\ta#b=c \r\nlease = 90\r\nnumber = -3\ncolour = green";
	struct target target = { 0 };
	struct buf why = BUF_INIT;

	(void)state;
	assert_int_equal(conf_parse("f", text, sizeof(text) - 1, table, &target, &why), -EINVAL);
	assert_string_equal(buf_text(&why), "f:4: lease: '2m' is out of range: from 1s to 100s");
	assert_string_equal(target.text, "two words");
	buf_reset(&why);
	assert_int_equal(conf_parse("f", rest, sizeof(rest) - 1, table, &target, &why), 0);
	assert_string_equal(buf_text(&why), "");
	assert_string_equal(target.text, "a#b=c");
	assert_true(target.time_ns == 90 * NS_PER_S);
	assert_int_equal(target.number, -3);
	assert_int_equal(target.choice, 1);
	free(target.text);
	buf_release(&why);
}

static void assert_error(const char *text, size_t len, const char *expected)
{
	struct target target = { 0 };
	struct buf why = BUF_INIT;

	assert_int_equal(conf_parse("q/queue.conf", text, len, table, &target, &why), -EINVAL);
	assert_string_equal(buf_text(&why), expected);
	free(target.text);
	buf_release(&why);
}

static void test_errors_say_where(void **state)
{
	(void)state;
	assert_error("\nleese = 3", 10, "q/queue.conf:2: no such setting: 'leese'; did you mean 'lease'?");
	assert_error("x", 1, "q/queue.conf:1: 'x' is not of the form name = value");
	assert_error("zzzzzz = 1", 10, "q/queue.conf:1: no such setting: 'zzzzzz'");
	assert_error("number=1\n#\nnumber=1\n", 20, "q/queue.conf:3: number is given twice, first in line 1");
	assert_error("colour = blue", 13, "q/queue.conf:1: colour: 'blue' is not one of red, green");
	assert_error("lease = fast", 12, "q/queue.conf:1: lease: 'fast' is not a time: write 90, 90s, 2m, 1h or 500ms");
	assert_error("lease =", 7, "q/queue.conf:1: lease: '' is not a time: write 90, 90s, 2m, 1h or 500ms");
	assert_error("number = 11", 11, "q/queue.conf:1: number: '11' is out of range: from -5 to 10");
	assert_error("number = 1.5", 12, "q/queue.conf:1: number: '1.5' is not a whole number");
	assert_error("number = 1\0\n", 12, "q/queue.conf:1: a NUL byte: this is not a text file");
	assert_error("= 3", 3, "q/queue.conf:1: no such setting: ''");
}

static void test_empty_text_is_fine(void **state)
{
	struct target target = { 0 };
	struct buf why = BUF_INIT;

	(void)state;
	assert_int_equal(conf_parse("f", "", 0, table, &target, &why), 0);
	assert_int_equal(conf_parse("f", "\n\n#x", 4, table, &target, &why), 0);
	buf_release(&why);
}

static void assert_duration(const char *text, int64_t expected)
{
	int64_t ns = -1;

	assert_int_equal(conf_parse_duration(text, &ns), 0);
	assert_true(ns == expected);
}

static void test_durations(void **state)
{
	static const char *const bad[] = { "", "s", "-1", "1x", "1 s", "1.", ".5", "1..5", "1.5.5", "inf", "0x10", "1e3", "ms", "1mss",
					   "99999999999999999999", "9223372036854775807", "200000d1" };

	(void)state;
	assert_duration("90", 90 * NS_PER_S);
	assert_duration("90s", 90 * NS_PER_S);
	assert_duration("2m", 120 * NS_PER_S);
	assert_duration("1h", 3600 * NS_PER_S);
	assert_duration("1d", 86400 * NS_PER_S);
	assert_duration("500ms", 500 * NS_PER_MS);
	assert_duration("0.5", 500 * NS_PER_MS);
	assert_duration("1.5m", 90 * NS_PER_S);
	assert_duration("0.000000001", 1);
	assert_duration("0.0000000001", 0);
	assert_duration("0", 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int64_t ns = 77;

		assert_int_equal(conf_parse_duration(bad[i], &ns), -EINVAL);
		assert_int_equal(ns, 77);
	}
}

static void test_sizes(void **state)
{
	int64_t bytes;

	(void)state;
	assert_int_equal(conf_parse_size("4096", &bytes), 0);
	assert_int_equal(bytes, 4096);
	assert_int_equal(conf_parse_size("1.5k", &bytes), 0);
	assert_int_equal(bytes, 1536);
	assert_int_equal(conf_parse_size("8M", &bytes), 0);
	assert_int_equal(bytes, 8 << 20);
	assert_int_equal(conf_parse_size("2T", &bytes), 0);
	assert_true(bytes == 2LL << 40);
	assert_int_equal(conf_parse_size("9999999T", &bytes), -EINVAL);
	assert_int_equal(conf_parse_size("1b", &bytes), -EINVAL);
}

static void test_numbers(void **state)
{
	int64_t number = 5;

	(void)state;
	assert_int_equal(conf_parse_number("-10", -10, 10, &number), 0);
	assert_int_equal(number, -10);
	assert_int_equal(conf_parse_number("11", -10, 10, &number), -ERANGE);
	assert_int_equal(conf_parse_number("99999999999999999999", 0, INT64_MAX, &number), -ERANGE);
	assert_int_equal(conf_parse_number("9223372036854775807", 0, INT64_MAX, &number), 0);
	assert_true(number == INT64_MAX);
	assert_int_equal(conf_parse_number("", 0, 10, &number), -EINVAL);
	assert_int_equal(conf_parse_number("-", 0, 10, &number), -EINVAL);
	assert_int_equal(conf_parse_number(" 1", 0, 10, &number), -EINVAL);
	assert_int_equal(conf_parse_number("+1", 0, 10, &number), -EINVAL);
	assert_int_equal(conf_parse_number("1x", 0, 10, &number), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses),
		cmocka_unit_test(test_errors_say_where),
		cmocka_unit_test(test_empty_text_is_fine),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
