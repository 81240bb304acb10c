/* The order in which a worker claims: by name, by size, shuffled; nested units, odd names, and inputs that are gone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/worker/queue.h"
#include "worker/order.h"

#define SHUFFLED 200

static char dir[64];
static struct place place;

/* A unit that stands in todo/; its input has `size` bytes, none there when it is negative. */
static void add_unit(const char *name, int size)
{
	char path[600], *text = calloc(1, (size_t)(size > 0 ? size : 0) + 1);

	assert_non_null(text);
	if (size > 0)
		memset(text, 'x', (size_t)size);
	snprintf(path, sizeof(path), "todo/%s", name);
	put_file(dir, path, "state: todo\n");
	snprintf(path, sizeof(path), "inputs/%s", name);
	if (size >= 0)
		put_file(dir, path, text);
	free(text);
}

static int begin(void **state)
{
	struct buf why = BUF_INIT;

	(void)state;
	strcpy(dir, "/tmp/test-order-XXXXXX");
	assert_non_null(mkdtemp(dir));
	put_file(dir, ".claimfs/queue.conf", "input = inputs\n");
	put_file(dir, "ctl", "");
	put_file(dir, "inputs/.keep", "");
	assert_int_equal(place_open(dir, &place, &why), 0);
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	place_release(&place);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void assert_order(enum order_how how, const char *const *names, size_t count)
{
	struct order *order;
	size_t i;

	assert_int_equal(order_new(&place, how, &order), 0);
	for (i = 0; i < count; i++)
		assert_string_equal(order_next(order), names[i]);
	assert_null(order_next(order));
	assert_null(order_next(order));		/* and stays so */
	order_free(order);
}

static void names_are_in_the_order_of_their_bytes(void **state)
{
	static const char *const sorted[] = { "B", "a b", "b\n%", "dir/b", "dir/c/d", "\xc3\xa4" };

	(void)state;
	add_unit("dir/c/d", 1);
	add_unit("\xc3\xa4", 1);
	add_unit("b\n%", 1);
	add_unit("a b", 1);
	add_unit("dir/b", 1);
	add_unit("B", 1);
	assert_order(ORDER_NAME, sorted, 6);
}

/* Those of one size by name; one whose input is gone is as good as empty. */
static void sizes_are_those_of_the_inputs(void **state)
{
	static const char *const smallest[] = { "empty", "gone", "m", "n", "dir/large" };
	static const char *const largest[] = { "dir/large", "m", "n", "empty", "gone" };

	(void)state;
	add_unit("n", 10);
	add_unit("dir/large", 2000);
	add_unit("gone", -1);
	add_unit("m", 10);
	add_unit("empty", 0);
	assert_order(ORDER_SIZE, smallest, 5);
	assert_order(ORDER_LARGEST, largest, 5);
}

/* Every unit once, in an order that is not that of the names, nor twice the same. */
static void shuffling_loses_none(void **state)
{
	char name[16], seen[2][SHUFFLED][16] = { 0 };
	bool found[SHUFFLED];
	struct order *order;
	const char *next;
	int i, round, sorted = 0;

	(void)state;
	for (i = 0; i < SHUFFLED; i++) {
		snprintf(name, sizeof(name), "u%03d", i);
		add_unit(name, 0);
	}
	for (round = 0; round < 2; round++) {
		memset(found, 0, sizeof(found));
		assert_int_equal(order_new(&place, ORDER_SHUFFLED, &order), 0);
		for (i = 0; (next = order_next(order)); i++) {
			assert_true(i < SHUFFLED);
			assert_false(found[atoi(next + 1)]);
			found[atoi(next + 1)] = true;
			snprintf(seen[round][i], sizeof(seen[round][i]), "%s", next);
			sorted += atoi(next + 1) == i;
		}
		assert_int_equal(i, SHUFFLED);
		order_free(order);
	}
	assert_true(sorted < SHUFFLED);
	assert_memory_not_equal(seen[0], seen[1], sizeof(seen[0]));
}

static void without_an_order_nothing_is_listed(void **state)
{
	struct order *order = (struct order *)1;

	(void)state;
	assert_int_equal(order_new(&place, ORDER_AS_TAKEN, &order), 0);
	assert_null(order);
	order_free(order);
}

static void an_empty_todo_and_a_missing_one(void **state)
{
	char path[128];
	struct order *order;

	(void)state;
	add_unit("x", 1);
	snprintf(path, sizeof(path), "%s/todo/x", dir);
	assert_int_equal(unlink(path), 0);
	assert_order(ORDER_NAME, NULL, 0);
	snprintf(path, sizeof(path), "%s/todo", dir);
	assert_int_equal(rmdir(path), 0);
	order = (struct order *)1;
	assert_int_equal(order_new(&place, ORDER_NAME, &order), -ENOENT);
	assert_null(order);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_are_in_the_order_of_their_bytes), TEST(sizes_are_those_of_the_inputs), TEST(shuffling_loses_none),
		TEST(without_an_order_nothing_is_listed), TEST(an_empty_todo_and_a_missing_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
