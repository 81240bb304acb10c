/* ahead_order: which file comes next: in sorted order, in the server's, or nobody knows; how far ahead, and when guesses were for nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tree/ahead_order.h"

#define MS 1000000ll
#define COUNT 100
#define MOST 64
#define FAR 128
#define SECOND (1000 * MS)

static char names[COUNT][8];
static struct ahead_order order;
static int64_t now;

static const char *name_of(const void *arg, size_t place)
{
	(void)arg;
	return names[place];
}

/* The server lists them in another order than that of names: 0, 37, 74, 11 … */
static int setup(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNT; i++)
		snprintf(names[i], sizeof(names[i]), "f%02u", i * 37 % COUNT);
	ahead_order_init(&order, COUNT, name_of, NULL);
	now = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ahead_order_release(&order);
	return 0;
}

static bool opened(const char *name, int64_t later)
{
	now += later;
	return ahead_order_opened(&order, name, now);
}

static bool opened_nth(unsigned int n, int64_t later)
{
	char name[8];

	snprintf(name, sizeof(name), "f%02u", n);
	return opened(name, later);
}

static unsigned int wanted(void)
{
	return ahead_order_wanted(&order, SECOND, MOST);
}

static void expect_next(const char *name)
{
	size_t place;

	assert_true(ahead_order_next(&order, FAR, &place));
	assert_string_equal(names[place], name);
}

static void test_by_name(void **state)
{
	(void)state;
	assert_true(opened_nth(10, 0));
	assert_int_equal(wanted(), 0);
	assert_true(opened_nth(11, MS));
	assert_int_equal(wanted(), 0);
	assert_true(opened_nth(12, MS));
	assert_int_equal(wanted(), 8);
	expect_next("f13");
	expect_next("f14");
	assert_true(opened_nth(13, MS));
	assert_int_equal(wanted(), 12);
	expect_next("f15");			/* none is guessed twice */
	assert_true(opened_nth(18, MS));	/* too far for a step: it went elsewhere */
	assert_int_equal(wanted(), 0);
}

static void test_by_place(void **state)
{
	(void)state;
	assert_true(opened("f00", 0));
	assert_true(opened("f37", MS));
	assert_true(opened("f74", MS));
	assert_int_equal(wanted(), 8);
	expect_next("f11");
}

static void test_some_left_out(void **state)
{
	(void)state;
	assert_true(opened_nth(1, 0));
	assert_true(opened_nth(4, MS));
	assert_true(opened_nth(6, MS));
	assert_int_equal(wanted(), 8);
	expect_next("f07");
}

static void test_nothing_known(void **state)
{
	static const unsigned int mixed[] = { 5, 90, 17, 60, 2, 44, 71, 8 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++) {
		assert_true(opened_nth(mixed[i], MS));
		assert_int_equal(wanted(), 0);
	}
	assert_false(opened("missing", MS));
	for (i = 0; i < 5; i++)			/* the same again is no step */
		assert_true(opened_nth(8, MS));
	assert_int_equal(wanted(), 0);
	for (i = 97; i < COUNT; i++)
		assert_true(opened_nth(i, MS));
	assert_int_equal(wanted(), 8);
	assert_false(ahead_order_next(&order, FAR, &(size_t){ 0 }));	/* that was the last one */
}

static void test_again_from_the_start(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_true(opened_nth(i, MS));
	assert_true(opened_nth(0, MS));
	assert_int_equal(wanted(), 8);		/* at once: the way is known */
	expect_next("f01");
	assert_true(opened_nth(50, MS));
	assert_int_equal(wanted(), 0);
}

static void test_inherited(void **state)
{
	struct ahead_order newer;
	unsigned int i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_true(opened_nth(i, MS));
	ahead_order_init(&newer, COUNT, name_of, NULL);
	ahead_order_inherit(&newer, &order);
	ahead_order_release(&order);
	order = newer;
	assert_true(opened_nth(0, MS));
	assert_int_equal(wanted(), 8);
}

static void test_missed(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_true(opened_nth(i, MS));
	assert_int_equal(wanted(), 8);
	ahead_order_missed(&order);
	assert_int_equal(wanted(), 0);		/* four in a row, now */
	assert_true(opened_nth(3, MS));
	assert_int_equal(wanted(), 0);
	assert_true(opened_nth(4, MS));
	assert_int_equal(wanted(), 16);
	expect_next("f05");
	expect_next("f06");
	ahead_order_kept(&order, true);
	ahead_order_missed(&order);		/* it halted, but had come so far */
	assert_int_equal(wanted(), 16);
	expect_next("f05");			/* what became too old is guessed anew */
	ahead_order_missed(&order);
	assert_true(opened_nth(0, MS));		/* and the way from the start is no longer believed in */
	assert_int_equal(wanted(), 0);
	for (i = 0; i < 20; i++)		/* never without end */
		ahead_order_missed(&order);
	for (i = 1; i < 66; i++)
		assert_true(opened_nth(i, MS));
	assert_int_equal(wanted(), MOST);
}

/* A slow program: no further ahead than it comes while guesses are good. */
static void test_pace(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(ahead_order_lifetime(&order, 50 * MS, SECOND), SECOND);
	for (i = 0; i < 5; i++)
		assert_true(opened_nth(i, 150 * MS));
	assert_int_equal(ahead_order_lifetime(&order, 50 * MS, SECOND), SECOND);	/* these waited for the server: no pace of the program's own */
	assert_int_equal(wanted(), 16);
	for (; i < 20; i++) {
		ahead_order_kept(&order, true);
		assert_true(opened_nth(i, 150 * MS));
	}
	assert_int_equal(ahead_order_lifetime(&order, 50 * MS, SECOND), 900 * MS);
	assert_int_equal(ahead_order_wanted(&order, 900 * MS, MOST), 3);
	for (; i < 60; i++) {
		ahead_order_kept(&order, true);
		assert_true(opened_nth(i, 2 * MS));
	}
	assert_int_equal(ahead_order_lifetime(&order, 50 * MS, SECOND), 300 * MS);
	assert_int_equal(ahead_order_wanted(&order, 300 * MS, MOST), MOST);
	assert_int_equal(ahead_order_lifetime(&order, MS / 10, SECOND), 50 * MS);
	assert_int_equal(ahead_order_lifetime(&order, 50 * MS, 20 * MS), 20 * MS);
	ahead_order_kept(&order, true);
	assert_true(opened_nth(i, 3600 * SECOND));	/* a pause is no pace */
	assert_true(ahead_order_wanted(&order, 300 * MS, MOST) > 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_by_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_some_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_from_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pace, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
