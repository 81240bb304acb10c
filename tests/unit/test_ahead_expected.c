/* Files that programs were promised: which are opened ahead, in whose directory, and how far by the pace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tree/ahead_expected.h"

static struct ahead_expected expected;
static struct expected_next next_ones[EXPECTED_WINDOW];
static unsigned int count;
static int64_t now;

static int begin(void **state)
{
	(void)state;
	expected_init(&expected);
	now = NS_PER_S;
	return 0;
}

static int end(void **state)
{
	(void)state;
	expected_release(&expected);
	return 0;
}

static const char *path_of(const char *dir, int i)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/u%05d", dir, i);
	return path;
}

static void add(const char *dir, int from, int to)
{
	int i;

	for (i = from; i < to; i++)
		expected_add(&expected, path_of(dir, i), &(struct sftp_attrs){ .size = 100 });
}

static bool opened(const char *path, int64_t after_ns, unsigned int most)
{
	now += after_ns;
	return expected_opened(&expected, path, now, NS_PER_S, most, next_ones, &count);
}

/* Opens them one after another: how many were guessed at most ahead of the program, all in all, and none twice. */
static int run(const char *dir, int from, int to, int64_t pace_ns)
{
	int guessed = 0, i, next = from;
	unsigned int j;

	for (i = from; i < to; i++) {
		assert_true(opened(path_of(dir, i), pace_ns, 64));
		for (j = 0; j < count; j++) {
			int number = atoi(next_ones[j].name + 1);

			assert_true(number > i && number >= next);
			assert_true(number - i <= EXPECTED_WINDOW);
			next = number + 1;
			guessed++;
		}
	}
	return guessed;
}

static void nothing_is_expected_of_strangers(void **state)
{
	(void)state;
	assert_false(opened("/q/in/a", 1, 64));
	assert_int_equal(count, 0);
	add("/q/in", 0, 3);
	assert_false(opened("/q/in/a", 1, 64));
	assert_true(opened(path_of("/q/in", 0), 1, 64));
	assert_false(opened(path_of("/q/in", 0), 1, 64));	/* opened: it is no promise any more */
}

/* One by one at first, then many at a time, each once, and all but the first ones. */
static void a_fast_program_finds_them_open(void **state)
{
	int guessed;

	(void)state;
	add("/q/in", 0, 1000);
	guessed = run("/q/in", 0, 1000, NS_PER_MS / 2);
	assert_in_range(guessed, 970, 999);
}

static void programs_side_by_side(void **state)
{
	unsigned int guessed = 0;
	int i;

	(void)state;
	add("/q/in", 0, 400);
	for (i = 0; i < 200; i++) {
		assert_true(opened(path_of("/q/in", i), NS_PER_MS, 64));
		guessed += count;
		assert_true(opened(path_of("/q/in", 200 + i), NS_PER_MS, 64));
		guessed += count;
	}
	assert_in_range(guessed, 360, 400);
}

/* What would grow old before it is wanted is not opened: at 100 ms a file few, at one a second none; and a guess that grew old tells the same. */
static void a_slow_program_gets_few(void **state)
{
	(void)state;
	add("/q/in", 0, 100);
	assert_in_range(run("/q/in", 0, 30, NS_PER_S / 10), 15, 34);
	assert_true(opened(path_of("/q/in", 30), NS_PER_S / 10, 64));
	add("/q/slow", 0, 100);
	assert_in_range(run("/q/slow", 0, 5, 2 * NS_PER_S), 0, 4);
	assert_int_equal(run("/q/slow", 5, 25, 2 * NS_PER_S), 0);
	add("/q/fast", 0, 100);
	assert_true(run("/q/fast", 0, 20, NS_PER_MS) > 0);
	expected_missed(&expected);
	assert_true(opened(path_of("/q/fast", 20), NS_PER_MS, 64));
	assert_int_equal(count, 0);
}

static void only_of_the_same_directory_and_no_more_than_there_is_room_for(void **state)
{
	unsigned int i;

	(void)state;
	add("/q/in", 0, 20);
	add("/q/in/sub", 20, 40);
	add("/q/in", 40, 60);
	run("/q/in", 0, 19, NS_PER_MS / 10);
	assert_true(opened(path_of("/q/in", 19), NS_PER_MS / 10, 64));
	for (i = 0; i < count; i++)
		assert_true(atoi(next_ones[i].name + 1) >= 40);
	assert_true(opened(path_of("/q/in/sub", 20), NS_PER_MS / 10, 5));
	assert_in_range(count, 0, 5);
	assert_true(opened(path_of("/q/in/sub", 21), NS_PER_MS / 10, 0));
	assert_int_equal(count, 0);
}

/* Large ones only as many as fit into memory together, however fast the program is. */
static void large_ones_are_limited_by_their_bytes(void **state)
{
	unsigned int guessed;
	int i;

	(void)state;
	for (i = 0; i < 200; i++)
		expected_add(&expected, path_of("/q/in", i), &(struct sftp_attrs){ .size = EXPECTED_BYTES / 8 });
	guessed = (unsigned int)run("/q/in", 0, 50, NS_PER_MS);
	assert_in_range(guessed, 30, 50 + 8);
}

/* Taken again after it was given back, it stands where it is promised now; of too many the oldest are forgotten. */
static void promises_are_renewed_and_forgotten(void **state)
{
	(void)state;
	add("/q/in", 0, 10);
	add("/q/in", 0, 1);
	assert_true(opened(path_of("/q/in", 0), 1, 64));
	assert_int_equal(count, 0);
	add("/q/more", 0, EXPECTED_MAX);
	assert_false(opened(path_of("/q/in", 5), 1, 64));
	assert_true(opened(path_of("/q/more", 0), 1, 64));
	assert_true(opened(path_of("/q/more", EXPECTED_MAX - 1), 1, 64));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_expected_of_strangers), TEST(a_fast_program_finds_them_open), TEST(programs_side_by_side), TEST(a_slow_program_gets_few),
		TEST(only_of_the_same_directory_and_no_more_than_there_is_room_for), TEST(large_ones_are_limited_by_their_bytes),
		TEST(promises_are_renewed_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
