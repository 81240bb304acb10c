/* args: what is told to who mistyped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "base/conf.h"

enum { KEY_GRACE = 256, KEY_GRAPH };

static const struct args_option table[] = {
	{ 'j', "jobs", "N", "that many at once" },
	{ 'v', "verbose", NULL, "say more" },
	{ 'o', NULL, "NAME[=VALUE]", "an option of the mount" },
	{ KEY_GRACE, "grace", "TIME", "how long jobs may go on after SIGTERM" },
	{ KEY_GRAPH, "graph", NULL, "draw" },
	{ 0, NULL, NULL, NULL },
};

struct seen {
	int64_t jobs;
	int verbose;
	const char *last;
	char trail[64];
};

static int set(void *target, int key, const char *value, struct buf *why)
{
	struct seen *seen = target;
	size_t len = strlen(seen->trail);

	snprintf(seen->trail + len, sizeof(seen->trail) - len, "%d;", key);
	seen->verbose += key == 'v';
	seen->last = value;
	if (key == 'j' && conf_parse_number(value, 1, 100, &seen->jobs)) {
		buf_addf(why, "'%s' is not a number from 1 to 100", value);
		return -EINVAL;
	}
	return 0;
}

#define ARGV(...) ((char *[]){ "prog", __VA_ARGS__, NULL })

static int parse(char **argv, struct seen *seen, int *first, struct buf *why)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	*seen = (struct seen){ 0 };
	buf_reset(why);
	return args_parse(argc, argv, table, set, seen, first, why);
}

static void test_parses_all_spellings(void **state)
{
	struct buf why = BUF_INIT;
	struct seen seen;
	int first;

	(void)state;
	assert_int_equal(parse(ARGV("-vj3", "--jobs=4", "--jobs", "5", "-j", "6", "--verb", "x", "-v"), &seen, &first, &why), 0);
	assert_int_equal(seen.jobs, 6);
	assert_int_equal(seen.verbose, 2);
	assert_int_equal(first, 8);
	assert_int_equal(parse(ARGV("-v", "--", "-v"), &seen, &first, &why), 0);
	assert_int_equal(first, 3);
	assert_int_equal(seen.verbose, 1);
	assert_int_equal(parse(ARGV("--grace=1=2"), &seen, &first, &why), 0);
	assert_string_equal(seen.last, "1=2");
	assert_string_equal(seen.trail, "256;");
	assert_int_equal(parse((char *[]){ "prog", NULL }, &seen, &first, &why), 0);
	assert_int_equal(first, 1);
	buf_release(&why);
}

static void assert_refused(char **argv, const char *expected)
{
	struct buf why = BUF_INIT;
	struct seen seen;
	int first = -7;

	assert_int_equal(parse(argv, &seen, &first, &why), -EINVAL);
	assert_string_equal(buf_text(&why), expected);
	assert_int_equal(first, -7);
	buf_release(&why);
}

static void test_errors_name_the_option(void **state)
{
	(void)state;
	assert_refused(ARGV("--jbos=3"), "no such option: --jbos; did you mean --jobs?");
	assert_refused(ARGV("-v", "--verbsoe"), "no such option: --verbsoe; did you mean --verbose?");
	assert_refused(ARGV("--zzzzzzzz"), "no such option: --zzzzzzzz");
	assert_refused(ARGV("-x"), "no such option: -x");
	assert_refused(ARGV("-vx"), "no such option: -x");
	assert_refused(ARGV("-grace", "3"), "no such option: -g; did you mean --grace?");
	assert_refused(ARGV("-j"), "-j needs an argument: N");
	assert_refused(ARGV("-v", "--jobs"), "--jobs needs an argument: N");
	assert_refused(ARGV("-o"), "-o needs an argument: NAME[=VALUE]");
	assert_refused(ARGV("--verbose=3"), "--verbose takes no argument");
	assert_refused(ARGV("--gra"), "--gra could be --grace --graph");
	assert_refused(ARGV("-jx"), "-j: 'x' is not a number from 1 to 100");
	assert_refused(ARGV("--jobs=0"), "--jobs: '0' is not a number from 1 to 100");
}

static void test_distance(void **state)
{
	(void)state;
	assert_int_equal(args_distance("", ""), 0);
	assert_int_equal(args_distance("", "abc"), 3);
	assert_int_equal(args_distance("abc", ""), 3);
	assert_int_equal(args_distance("kitten", "sitting"), 3);
	assert_int_equal(args_distance("lease", "leaes"), 1);	/* two letters swapped */
	assert_int_equal(args_distance("abcd", "badc"), 2);
	assert_int_equal(args_distance("a", "b"), 1);
}

static void test_nearest(void **state)
{
	static const char *const names[] = { "reconnect", "cache", "uid", "gid", NULL };
	char longest[300];

	(void)state;
	memset(longest, 'r', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_string_equal(args_nearest("recconect", names), "reconnect");
	assert_string_equal(args_nearest("udi", names), "uid");
	assert_null(args_nearest("compression", names));
	assert_null(args_nearest("", names));
	assert_null(args_nearest(longest, names));
}

static void test_help_lines_up(void **state)
{
	char text[1024] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	(void)state;
	assert_non_null(out);
	args_print_options(out, table);
	fclose(out);
	assert_string_equal(text, "  -j, --jobs=N            that many at once\n"
				  "  -v, --verbose           say more\n"
				  "  -o NAME[=VALUE]         an option of the mount\n"
				  "      --grace=TIME        how long jobs may go on after SIGTERM\n"
				  "      --graph             draw\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses_all_spellings),
		cmocka_unit_test(test_errors_name_the_option),
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_help_lines_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
