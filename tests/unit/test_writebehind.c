/* writebehind: order, merging, limits; and random writes, truncations and appends acknowledged in any order, against a model. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/writebehind.h"

#define CHUNK 1000

static struct writebehind wb;
static int owner_a, owner_b;

static int set_up(void **state)
{
	(void)state;
	writebehind_init(&wb, CHUNK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	writebehind_release(&wb);
	return 0;
}

static void add(void *owner, uint64_t offset, size_t len)
{
	static uint8_t bytes[64 * CHUNK];

	assert_int_equal(writebehind_add(&wb, owner, false, offset, bytes, len), 0);
}

static struct writebehind_item *expect(uint64_t offset, size_t len)
{
	struct writebehind_item *item = writebehind_next(&wb);

	assert_non_null(item);
	assert_int_equal(item->offset, offset);
	assert_int_equal(item->len, len);
	return item;
}

static void test_merges_while_one_is_under_way(void **state)
{
	struct writebehind_item *first, *second;

	(void)state;
	add(&owner_a, 0, 10);
	first = expect(0, 10);			/* nothing is under way: goes at once */
	add(&owner_a, 10, 10);
	add(&owner_a, 20, 30);
	assert_null(writebehind_next(&wb));	/* waits for more */
	writebehind_acked(&wb, first);
	second = expect(10, 40);
	assert_in_range(wb.bytes, 41, 1000);	/* and what the item itself takes */
	writebehind_acked(&wb, second);
	assert_true(writebehind_idle(&wb));
	assert_int_equal(wb.bytes, 0);
}

static void test_full_ones_go_at_once(void **state)
{
	(void)state;
	add(&owner_a, 0, 2 * CHUNK + 5);
	expect(0, CHUNK);
	expect(CHUNK, CHUNK);
	assert_null(writebehind_next(&wb));
	add(&owner_a, 2 * CHUNK + 5, CHUNK - 5);
	expect(2 * CHUNK, CHUNK);
	assert_null(writebehind_next(&wb));
}

/* What fills a block lies in one that has been used before; what began small moves there with its bytes, and beyond it. */
static void test_blocks_are_used_again(void **state)
{
	enum { BIG = 40 * CHUNK };
	static const size_t sizes[] = { BIG, BIG / 2 };	/* of the pool's blocks */
	static uint8_t bytes[BIG];
	struct writebehind_item *item;
	struct block_pool pool;
	size_t i;
	void *used;

	(void)state;
	writebehind_init(&wb, BIG);
	for (i = 0; i < BIG; i++)
		bytes[i] = (uint8_t)(i * 7);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		block_pool_init(&pool, sizes[i]);
		wb.pool = &pool;
		add(&owner_a, 0, sizes[i]);
		item = writebehind_next(&wb);
		used = item->data;
		assert_int_equal(writebehind_add(&wb, &owner_a, false, BIG, bytes, 10), 0);
		writebehind_acked(&wb, item);
		assert_int_equal(pool.count, 1);
		assert_int_equal(writebehind_add(&wb, &owner_a, false, BIG + 10, bytes + 10, sizes[i] - 110), 0);
		assert_int_equal(pool.count, 0);
		assert_int_equal(writebehind_add(&wb, &owner_a, false, BIG + sizes[i] - 100, bytes + sizes[i] - 100, BIG - sizes[i] + 100), 0);
		item = expect(BIG, BIG);
		assert_true(sizes[i] < BIG || item->data == used);
		assert_memory_equal(item->data, bytes, BIG);
		writebehind_acked(&wb, item);
		assert_int_equal(pool.count, sizes[i] < BIG ? 0 : 1);
		block_pool_release(&pool);
	}
	wb.pool = NULL;
}

static void test_push_sends_parts(void **state)
{
	(void)state;
	add(&owner_a, 0, 10);
	expect(0, 10);
	add(&owner_a, 500, 10);
	assert_null(writebehind_next(&wb));
	writebehind_push(&wb);
	expect(500, 10);
	add(&owner_a, 510, 10);
	assert_null(writebehind_next(&wb));
}

static void test_two_streams_merge_apart(void **state)
{
	struct writebehind_item *first;
	int i;

	(void)state;
	add(&owner_a, 90000, 1);
	first = expect(90000, 1);
	for (i = 0; i < 10; i++) {
		add(&owner_a, (uint64_t)i * 10, 10);
		add(&owner_a, 50000 + (uint64_t)i * 10, 10);
		add(&owner_b, 70000 + (uint64_t)i * 10, 10);
	}
	writebehind_acked(&wb, first);
	expect(0, 100);
	expect(50000, 100);
	expect(70000, 100);
	assert_null(writebehind_next(&wb));
}

static void test_handles_are_not_mixed(void **state)
{
	struct writebehind_item *first;

	(void)state;
	add(&owner_a, 9000, 1);
	first = expect(9000, 1);
	add(&owner_a, 0, 10);
	add(&owner_b, 10, 10);
	writebehind_acked(&wb, first);
	assert_ptr_equal(expect(0, 10)->owner, &owner_a);
	assert_ptr_equal(expect(10, 10)->owner, &owner_b);
}

static void test_overlaps_wait(void **state)
{
	struct writebehind_item *first, *second;

	(void)state;
	add(&owner_a, 0, 100);
	first = expect(0, 100);
	add(&owner_b, 99, 100);
	writebehind_push(&wb);
	assert_null(writebehind_next(&wb));
	assert_int_equal(writebehind_touches(&wb, 150, 1), 2);
	assert_int_equal(writebehind_touches(&wb, 199, 1), 0);
	assert_int_equal(writebehind_touches(&wb, 0, 1), 1);
	writebehind_acked(&wb, first);
	second = expect(99, 100);
	assert_false(writebehind_done(&wb, 2));
	writebehind_acked(&wb, second);
	assert_true(writebehind_done(&wb, 2));
}

/* Bytes may not join an item that lies before another which they overwrite. */
static void test_merging_keeps_order(void **state)
{
	struct writebehind_item *item;

	(void)state;
	add(&owner_a, 5000, 1);
	item = expect(5000, 1);
	add(&owner_a, 0, 10);
	add(&owner_a, 15, 10);
	add(&owner_a, 10, 10);		/* would end [0,10), but overwrites [15,20) */
	writebehind_acked(&wb, item);
	item = expect(0, 10);
	expect(15, 10);
	assert_null(writebehind_next(&wb));
}

static void run_nothing(struct writebehind_item *step)
{
	(void)step;
}

static void test_step_stands_alone(void **state)
{
	struct writebehind_item step = { .run = run_nothing, .sets_size = true, .size = 50 }, *first;

	(void)state;
	add(&owner_a, 0, 100);
	first = expect(0, 100);
	writebehind_add_step(&wb, &step);
	add(&owner_a, 200, 10);
	assert_int_equal(writebehind_size(&wb, 7), 210);
	assert_null(writebehind_next(&wb));
	writebehind_acked(&wb, first);
	assert_ptr_equal(writebehind_next(&wb), &step);
	assert_null(writebehind_next(&wb));
	assert_int_equal(writebehind_touches(&wb, 0, 1), step.seq);
	writebehind_acked(&wb, &step);
	expect(200, 10);
	assert_int_equal(writebehind_size(&wb, 50), 210);
	assert_int_equal(writebehind_size(&wb, 500), 500);
}

static void test_size_with_steps(void **state)
{
	static struct writebehind_item cut = { .sets_size = true, .size = 50 }, grow = { .grows_to = 80 };

	(void)state;
	add(&owner_a, 0, 100);
	writebehind_add_step(&wb, &cut);
	assert_int_equal(writebehind_size(&wb, 1000), 50);
	writebehind_add_step(&wb, &grow);
	assert_int_equal(writebehind_size(&wb, 1000), 80);
}

static void test_told_size_counts_appends(void **state)
{
	static struct writebehind_item cut = { .sets_size = true, .size = 50 };

	(void)state;
	assert_int_equal(writebehind_add(&wb, &owner_a, true, 100, "abc", 3), 0);
	assert_int_equal(writebehind_add(&wb, &owner_a, true, 103, "de", 2), 0);	/* joins it */
	assert_int_equal(writebehind_add(&wb, &owner_b, true, 105, "x", 1), 0);
	assert_int_equal(writebehind_told_size(&wb, 100), 106);
	assert_int_equal(writebehind_told_size(&wb, 500), 500);		/* another node's bytes */
	assert_int_equal(writebehind_size(&wb, 100), 100);
	writebehind_add_step(&wb, &cut);
	assert_int_equal(writebehind_told_size(&wb, 100), 50);
	assert_int_equal(writebehind_add(&wb, &owner_b, true, 50, "xyz", 3), 0);
	assert_int_equal(writebehind_told_size(&wb, 100), 53);
}

static void test_appends_go_one_by_one(void **state)
{
	struct writebehind_item *first, *second;

	(void)state;
	assert_int_equal(writebehind_add(&wb, &owner_a, true, 0, "abc", 3), 0);
	assert_int_equal(writebehind_add(&wb, &owner_b, true, 0, "x", 1), 0);
	assert_int_equal(writebehind_add(&wb, &owner_b, true, 0, "yz", 2), 0);
	writebehind_push(&wb);
	first = writebehind_next(&wb);
	assert_int_equal(first->len, 3);
	assert_null(writebehind_next(&wb));
	writebehind_acked(&wb, first);
	second = writebehind_next(&wb);
	assert_int_equal(second->len, 3);
	assert_memory_equal(second->data, "xyz", 3);
	assert_null(writebehind_next(&wb));
}

static void test_append_is_not_torn_by_merging(void **state)
{
	static const uint8_t bytes[CHUNK] = { 0 };
	struct writebehind_item *item;

	(void)state;
	assert_int_equal(writebehind_add(&wb, &owner_a, true, 0, "a", 1), 0);
	item = writebehind_next(&wb);
	assert_int_equal(writebehind_add(&wb, &owner_a, true, 0, bytes, 600), 0);
	assert_int_equal(writebehind_add(&wb, &owner_a, true, 0, bytes, 600), 0);
	writebehind_acked(&wb, item);
	item = writebehind_next(&wb);
	assert_int_equal(item->len, 600);
}

static void test_limits(void **state)
{
	struct writebehind_item *items[WRITEBEHIND_MAX_FLYING];
	int i;

	(void)state;
	for (i = 0; i <= WRITEBEHIND_MAX_FLYING; i++)
		add(&owner_a, (uint64_t)i * 2 * CHUNK, CHUNK);
	for (i = 0; i < WRITEBEHIND_MAX_FLYING; i++)
		items[i] = expect((uint64_t)i * 2 * CHUNK, CHUNK);
	assert_null(writebehind_next(&wb));
	writebehind_acked(&wb, items[5]);
	assert_non_null(writebehind_next(&wb));
}

/* What is under way grows up to what the owner says, and follows when that becomes less. */
static void test_most_bytes_under_way(void **state)
{
	struct writebehind_item *items[8];
	int i;

	(void)state;
	wb.limit = 2 * CHUNK;
	wb.most = 4 * CHUNK;
	for (i = 0; i < 20; i++)
		add(&owner_a, (uint64_t)i * 2 * CHUNK, CHUNK);
	for (i = 0; i < 2; i++)
		items[i] = expect((uint64_t)i * 2 * CHUNK, CHUNK);
	assert_null(writebehind_next(&wb));
	writebehind_acked(&wb, items[0]);
	writebehind_acked(&wb, items[1]);
	for (i = 2; i < 6; i++)
		items[i] = expect((uint64_t)i * 2 * CHUNK, CHUNK);
	assert_null(writebehind_next(&wb));
	writebehind_acked(&wb, items[2]);
	items[6] = expect(6 * 2 * CHUNK, CHUNK);	/* one for one: no more than 4 */
	assert_null(writebehind_next(&wb));
	wb.most = 3 * CHUNK;
	writebehind_acked(&wb, items[3]);
	assert_null(writebehind_next(&wb));
	writebehind_acked(&wb, items[4]);
	expect(7 * 2 * CHUNK, CHUNK);
	assert_null(writebehind_next(&wb));
}

/* ---- a model ---- */

#define MODEL_SIZE 6000

struct file {
	uint8_t bytes[4 * MODEL_SIZE];
	size_t size;
};

static struct file model, server;
static struct writebehind_item *flying[WRITEBEHIND_MAX_FLYING];
static int flying_count;
static uint32_t seed;

static uint32_t pick(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static void file_write_at(struct file *file, size_t offset, const uint8_t *data, size_t len)
{
	memcpy(file->bytes + offset, data, len);
	if (offset + len > file->size)
		file->size = offset + len;
}

static void file_cut(struct file *file, size_t size)
{
	if (size < file->size)
		memset(file->bytes + size, 0, file->size - size);
	file->size = size;
}

static void take_all(void)
{
	struct writebehind_item *item;

	while ((item = writebehind_next(&wb)))
		flying[flying_count++] = item;
}

/* The server carries out one of those under way: any. */
static void carry_out_one(void)
{
	int at = (int)pick((uint32_t)flying_count);
	struct writebehind_item *item = flying[at];

	flying[at] = flying[--flying_count];
	if (item->kind == WRITEBEHIND_DATA)
		file_write_at(&server, item->offset, item->data, item->len);
	else if (item->kind == WRITEBEHIND_APPEND)
		file_write_at(&server, server.size, item->data, item->len);
	else
		file_cut(&server, item->size);
	if (item->kind == WRITEBEHIND_STEP) {
		assert_int_equal(flying_count, 0);
		writebehind_acked(&wb, item);
		free(item);
	} else {
		writebehind_acked(&wb, item);
	}
	take_all();
}

static void do_something(void)
{
	uint8_t bytes[3 * CHUNK];
	size_t offset = pick(MODEL_SIZE), len = 1 + pick(pick(8) ? 200 : 3 * CHUNK);
	struct writebehind_item *step;
	uint32_t what = pick(40);

	memset(bytes, (int)(1 + pick(250)), len);
	if (what == 0) {
		step = calloc(1, sizeof(*step));
		step->sets_size = true;
		step->size = offset;
		file_cut(&model, offset);
		writebehind_add_step(&wb, step);
	} else if (what == 1 && model.size + CHUNK < sizeof(model.bytes)) {
		len = len < CHUNK ? len : CHUNK;
		assert_int_equal(writebehind_add(&wb, &owner_b, true, 0, bytes, len), 0);
		file_write_at(&model, model.size, bytes, len);
	} else {
		assert_int_equal(writebehind_add(&wb, pick(3) ? &owner_a : &owner_b, false, offset, bytes, len), 0);
		file_write_at(&model, offset, bytes, len);
	}
}

static void test_model(void **state)
{
	int round, i;

	(void)state;
	for (round = 0; round < 200; round++) {
		seed = (uint32_t)round;
		memset(&model, 0, sizeof(model));
		memset(&server, 0, sizeof(server));
		for (i = 0; i < 400; i++) {
			do_something();
			if (!pick(50))
				writebehind_push(&wb);
			take_all();
			assert_true(flying_count <= WRITEBEHIND_MAX_FLYING);
			while (flying_count && pick(3))
				carry_out_one();
		}
		writebehind_push(&wb);
		take_all();
		while (flying_count)
			carry_out_one();
		assert_true(writebehind_idle(&wb));
		assert_int_equal(wb.bytes, 0);
		assert_int_equal(server.size, model.size);
		assert_memory_equal(server.bytes, model.bytes, model.size);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_merges_while_one_is_under_way), TEST(test_full_ones_go_at_once), TEST(test_push_sends_parts),
		TEST(test_blocks_are_used_again),
		TEST(test_two_streams_merge_apart), TEST(test_handles_are_not_mixed), TEST(test_overlaps_wait),
		TEST(test_merging_keeps_order), TEST(test_step_stands_alone), TEST(test_size_with_steps),
		TEST(test_told_size_counts_appends), TEST(test_appends_go_one_by_one), TEST(test_append_is_not_torn_by_merging), TEST(test_limits), TEST(test_most_bytes_under_way),
		TEST(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
