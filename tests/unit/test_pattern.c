/* pattern: what GNU Parallel answers for the same words and names, but for a base name that is all extension. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/pattern.h"

static void assert_expands(const char *pattern, const char *name, const char *expected, int count)
{
	struct buf buf = BUF_INIT;

	assert_int_equal(pattern_expand(&buf, pattern, name, NULL), count);
	assert_string_equal(buf_text(&buf), expected);
	buf_release(&buf);
}

static void test_words(void **state)
{
	(void)state;
	assert_expands("{}", "a/b.jpg", "a/b.jpg", 1);
	assert_expands("{.}", "a/b.jpg", "a/b", 1);
	assert_expands("{/}", "a/b.jpg", "b.jpg", 1);
	assert_expands("{//}", "a/b.jpg", "a", 1);
	assert_expands("{/.}", "a/b.jpg", "b", 1);
	assert_expands("{//}", "b.jpg", ".", 1);
	assert_expands("{//}", "a/b/c", "a/b", 1);
}

static void test_extensions(void **state)
{
	(void)state;
	assert_expands("{.}", "x.tar.gz", "x.tar", 1);
	assert_expands("{.}", "a.b/c", "a.b/c", 1);
	assert_expands("{/.}", "a.b/c", "c", 1);
	assert_expands("{.}", ".bashrc", ".bashrc", 1);
	assert_expands("{.}", "d/.bashrc", "d/.bashrc", 1);
	assert_expands("{.}", "d/.x.y", "d/.x", 1);
	assert_expands("{.}", "ends.", "ends.", 1);
	assert_expands("{.}", "none", "none", 1);
}

static void test_several_and_none(void **state)
{
	(void)state;
	assert_expands("out/{//}/{/.}-{/}", "a/b.c", "out/a/b-b.c", 3);
	assert_expands("plain", "x", "plain", 0);
	assert_expands("", "x", "", 0);
	assert_expands("{{}}", "x", "{x}", 1);
	assert_expands("{unknown} {", "x", "{unknown} {", 0);
	assert_expands("{}{}", "{}", "{}{}", 2);	/* what came from the name is not looked at again */
}

static void test_own_words(void **state)
{
	static const struct pattern_word words[] = { { "in", "/m/inputs/x" }, { "out", "/m/stage/x" }, { "i", "short" }, { NULL, NULL } };
	struct buf buf = BUF_INIT;

	(void)state;
	assert_int_equal(pattern_expand(&buf, "{in} {out} {} {inn} {i}", "x", words), 4);
	assert_string_equal(buf_text(&buf), "/m/inputs/x /m/stage/x x {inn} short");
	buf_release(&buf);
}

static void test_has_word(void **state)
{
	(void)state;
	assert_true(pattern_has_word("x{/.}"));
	assert_true(pattern_has_word("{{//}"));
	assert_false(pattern_has_word("{in}"));
	assert_false(pattern_has_word("{"));
	assert_false(pattern_has_word(""));
}

static void test_fixed_dir(void **state)
{
	(void)state;
	assert_int_equal(pattern_fixed_dir("features/{.}.npy"), 8);
	assert_int_equal(pattern_fixed_dir("out-{}"), 0);
	assert_int_equal(pattern_fixed_dir("a/b/{}"), 3);
	assert_int_equal(pattern_fixed_dir("a/b-{//}/{/}"), 1);
	assert_int_equal(pattern_fixed_dir("{}"), 0);
	assert_int_equal(pattern_fixed_dir("{x}/y/{}"), 5);
	assert_int_equal(pattern_fixed_dir("a/b"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_several_and_none),
		cmocka_unit_test(test_own_words),
		cmocka_unit_test(test_has_word),
		cmocka_unit_test(test_fixed_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
