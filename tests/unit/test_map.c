/* map: against a plain array as the model, with many removals, and walks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define MODEL 2000

static void test_empty(void **state)
{
	struct map map = MAP_INIT;
	size_t cursor = 0;

	(void)state;
	assert_null(map_get_str(&map, "x"));
	assert_null(map_remove_str(&map, "x"));
	assert_null(map_next(&map, &cursor, NULL, NULL));
	map_release(&map);
}

static void test_replaces_and_gives_the_old_value(void **state)
{
	struct map map = MAP_INIT;
	int one, two;
	void *old = &two;

	(void)state;
	assert_int_equal(map_set_str(&map, "k", &one, &old), 0);
	assert_null(old);
	assert_int_equal(map_set_str(&map, "k", &two, &old), 0);
	assert_ptr_equal(old, &one);
	assert_int_equal(map.count, 1);
	assert_ptr_equal(map_remove_str(&map, "k"), &two);
	assert_int_equal(map.count, 0);
	assert_null(map_get_str(&map, "k"));
	map_release(&map);
}

static void test_keys_are_bytes(void **state)
{
	struct map map = MAP_INIT;
	int empty, nul, a, ab;

	(void)state;
	assert_int_equal(map_set(&map, "", 0, &empty, NULL), 0);
	assert_int_equal(map_set(&map, "\0", 1, &nul, NULL), 0);
	assert_int_equal(map_set(&map, "a\0b", 1, &a, NULL), 0);
	assert_int_equal(map_set(&map, "a\0b", 3, &ab, NULL), 0);
	assert_int_equal(map.count, 4);
	assert_ptr_equal(map_get(&map, "x", 0), &empty);
	assert_ptr_equal(map_get(&map, "\0", 1), &nul);
	assert_ptr_equal(map_get_str(&map, "a"), &a);
	assert_ptr_equal(map_get(&map, "a\0b", 3), &ab);
	map_release(&map);
}

/* Random sets and removals on few keys, so that graves are met, filled and cleaned. */
static void test_against_a_model(void **state)
{
	static char values[MODEL];
	bool in[MODEL] = { false };
	struct map map = MAP_INIT;
	size_t count = 0;
	char key[32];

	(void)state;
	srand(7);
	for (int step = 0; step < 200000; step++) {
		int i = rand() % (step < 100000 ? MODEL : 40);

		snprintf(key, sizeof(key), "key-%d", i);
		if (rand() % 2) {
			assert_int_equal(map_set_str(&map, key, &values[i], NULL), 0);
			count += !in[i];
			in[i] = true;
		} else {
			assert_ptr_equal(map_remove_str(&map, key), in[i] ? &values[i] : NULL);
			count -= in[i];
			in[i] = false;
		}
		assert_int_equal(map.count, count);
	}
	for (int i = 0; i < MODEL; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_ptr_equal(map_get_str(&map, key), in[i] ? &values[i] : NULL);
	}
	assert_in_range(map.capacity, 16, 16384);
	map_release(&map);
}

static void test_walk_sees_each_once_while_removing(void **state)
{
	static int seen[500];
	struct map map = MAP_INIT;
	size_t cursor = 0, len;
	const void *key;
	char name[16];
	int *value;

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(map_set_str(&map, name, &seen[i], NULL), 0);
	}
	while ((value = map_next(&map, &cursor, &key, &len)) != NULL) {
		snprintf(name, sizeof(name), "%d", (int)(value - seen));
		assert_int_equal(len, strlen(name));
		assert_memory_equal(key, name, len);
		(*value)++;
		if ((value - seen) % 2)
			assert_ptr_equal(map_remove(&map, name, len), value);
	}
	for (int i = 0; i < 500; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(map.count, 250);
	map_release(&map);
}

/* A table that only ever swaps keys must not grow with its graves. */
static void test_graves_do_not_pile_up(void **state)
{
	struct map map = MAP_INIT;
	char key[32];
	int value;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(map_set_str(&map, key, &value, NULL), 0);
		assert_ptr_equal(map_remove_str(&map, key), &value);
	}
	assert_int_equal(map.count, 0);
	assert_in_range(map.capacity, 1, 64);
	map_release(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_replaces_and_gives_the_old_value),
		cmocka_unit_test(test_keys_are_bytes),
		cmocka_unit_test(test_against_a_model),
		cmocka_unit_test(test_walk_sees_each_once_while_removing),
		cmocka_unit_test(test_graves_do_not_pile_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
