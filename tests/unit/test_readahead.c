/* readahead: what is fetched for readers in sequence, out of order, at random; and what is let go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/readahead.h"

#define KIB 1024u
#define BLOCK (64 * KIB)
#define MAX (1024 * KIB)
#define ENOUGH (64u * 1024 * KIB)

static struct readahead ra;
static struct list fetch;
static struct readahead_piece pieces[64];
static int fetches;
static uint64_t fetched_bytes;

static int set_up(void **state)
{
	(void)state;
	readahead_init(&ra, BLOCK, MAX);
	list_init(&fetch);
	fetches = 0;
	fetched_bytes = 0;
	return 0;
}

static struct readahead_block *next_fetch(void)
{
	struct list *link = list_pop(&fetch);

	return link ? list_entry(link, struct readahead_block, fetch) : NULL;
}

/* The byte of the file at `offset`: tells where it is from. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 2654435761u >> 24);
}

static void answer(struct readahead_block *block, uint64_t size)
{
	uint64_t end = block->offset + block->len, i;
	size_t got = 0;

	for (i = block->offset; i < end && i < size; i++)
		block->data[got++] = byte_at(i);
	fetches++;
	fetched_bytes += got;
	readahead_fetched(&ra, block, 0, got);
}

static void answer_all(uint64_t size)
{
	struct readahead_block *block;

	while ((block = next_fetch()))
		answer(block, size);
}

static int tear_down(void **state)
{
	(void)state;
	answer_all(0);
	readahead_release(&ra);
	assert_int_equal(ra.bytes, 0);
	return 0;
}

static int plan(uint64_t offset, size_t len, uint64_t size)
{
	assert_true(readahead_max_pieces(&ra, offset, len) <= 64);
	return readahead_plan(&ra, offset, len, size, ENOUGH, pieces, &fetch);
}

static void check_bytes(int count, uint64_t offset, size_t len, uint64_t size)
{
	uint64_t at = offset;
	size_t i, total = 0;
	int p;

	for (p = 0; p < count; p++) {
		const struct readahead_block *block = pieces[p].block;

		assert_int_equal(block->offset + pieces[p].from, at);
		assert_true(pieces[p].from + pieces[p].len <= block->len);
		for (i = pieces[p].from; i < pieces[p].from + pieces[p].len && at + i - pieces[p].from < size; i++)
			assert_int_equal(block->data[i], byte_at(block->offset + i));
		at += pieces[p].len;
		total += pieces[p].len;
	}
	assert_int_equal(total, len);
}

static void read_now(uint64_t offset, size_t len, uint64_t size)
{
	int count;

	if (offset + len > size)
		len = (size_t)(size - offset);
	count = plan(offset, len, size);
	assert_true(count > 0);
	answer_all(size);
	assert_true(readahead_ready(pieces, count));
	check_bytes(count, offset, len, size);
	readahead_passed(&ra, pieces, count);
}

static void test_random_reads_fetch_their_own_bytes(void **state)
{
	(void)state;
	read_now(10 * 1024 * KIB, 4 * KIB, ENOUGH);
	read_now(30 * 1024 * KIB, 4 * KIB, ENOUGH);
	read_now(2 * 1024 * KIB, 8 * KIB, ENOUGH);
	assert_int_equal(fetched_bytes, 16 * KIB);
	assert_int_equal(ra.bytes, 0);
}

static void test_large_random_read_is_split(void **state)
{
	(void)state;
	read_now(10 * 1024 * KIB, 200 * KIB, ENOUGH);
	assert_int_equal(fetched_bytes, 200 * KIB);
	assert_int_equal(fetches, 4);
}

static void test_sequence_fetches_everything_once(void **state)
{
	uint64_t at, size = 10 * 1024 * KIB + 123;

	(void)state;
	for (at = 0; at < size; at += 128 * KIB)
		read_now(at, 128 * KIB, size);
	assert_int_equal(fetched_bytes, size);
	assert_true(fetches <= (int)(size / BLOCK) + 2);
	assert_true(ra.bytes <= 128 * KIB);
}

static void test_window_grows_only_for_who_waits(void **state)
{
	uint64_t at;
	int count;

	(void)state;
	for (at = 0; at < 4 * 1024 * KIB; at += 64 * KIB) {
		count = plan(at, 64 * KIB, ENOUGH);
		if (at && at < 1024 * KIB) {
			assert_true(readahead_ready(pieces, count));
			assert_true(ra.window <= 2 * READAHEAD_FIRST);
		}
		answer_all(ENOUGH);
		readahead_passed(&ra, pieces, count);
		assert_true(ra.bytes <= ra.window + 2 * BLOCK);
	}
}

static void test_window_reaches_its_limit(void **state)
{
	struct readahead_piece held[16][8];
	int counts[16], i;

	(void)state;
	for (i = 0; i < 16; i++) {	/* nothing is answered */
		counts[i] = readahead_plan(&ra, (uint64_t)i * 32 * KIB, 32 * KIB, ENOUGH, ENOUGH, held[i], &fetch);
		assert_true(counts[i] > 0);
	}
	assert_int_equal(ra.window, MAX);
	assert_true(ra.bytes <= MAX + 16 * 32 * KIB + BLOCK);
	answer_all(ENOUGH);
	for (i = 0; i < 16; i++)
		readahead_passed(&ra, held[i], counts[i]);
}

/* The kernel's own read-ahead sends several at once; they come in any order. */
static void test_out_of_order_is_in_sequence(void **state)
{
	static const unsigned int order[] = { 1, 0, 3, 2, 4, 7, 5, 6, 9, 8, 10, 11, 13, 12, 15, 14 };
	uint64_t base, size = 16 * 128 * KIB * 4;
	unsigned int i;

	(void)state;
	for (base = 0; base < size; base += 16 * 128 * KIB)
		for (i = 0; i < 16; i++)
			read_now(base + order[i] * 128 * KIB, 128 * KIB, size);
	assert_true(ra.window > 0);
	assert_true(fetched_bytes <= size + 128 * KIB);
}

static void test_nothing_past_the_end(void **state)
{
	uint64_t size = 100 * KIB + 7;

	(void)state;
	read_now(0, 4 * KIB, size);
	read_now(4 * KIB, 200 * KIB, size);
	assert_true(fetched_bytes <= size);
	assert_int_equal(ra.bytes, 0);
}

static void test_open_brings_a_small_file(void **state)
{
	uint64_t size = 5000;
	int count;

	(void)state;
	assert_int_equal(readahead_open(&ra, size, &fetch), 0);
	answer_all(size);
	assert_int_equal(fetches, 1);
	count = plan(0, 8192, size);
	assert_true(list_empty(&fetch) || fetched_bytes == size);
	answer_all(size);
	assert_int_equal(pieces[0].block->got, 5000);
	readahead_passed(&ra, pieces, count);
	assert_int_equal(ra.bytes, 0);
}

static void test_allowance(void **state)
{
	int count;

	(void)state;
	count = readahead_plan(&ra, 0, 4 * KIB, ENOUGH, 0, pieces, &fetch);
	assert_int_equal(count, 1);
	assert_true(ra.bytes <= BLOCK);
	answer_all(ENOUGH);
	readahead_passed(&ra, pieces, count);
}

static void test_without_readahead(void **state)
{
	(void)state;
	readahead_init(&ra, BLOCK, 0);
	assert_int_equal(readahead_open(&ra, 5000, &fetch), 0);
	assert_true(list_empty(&fetch));
	read_now(0, 4 * KIB, ENOUGH);
	read_now(4 * KIB, 4 * KIB, ENOUGH);
	assert_int_equal(fetched_bytes, 8 * KIB);
}

static void test_drop(void **state)
{
	int count;

	(void)state;
	assert_int_equal(readahead_open(&ra, 5000, &fetch), 0);
	answer_all(5000);
	readahead_drop(&ra, 6000, 10, false);
	assert_int_equal(ra.bytes, 5000);
	readahead_drop(&ra, 4999, 10, false);
	assert_int_equal(ra.bytes, 0);
	count = plan(0, 100, 5000);
	assert_false(readahead_ready(pieces, count));
	readahead_drop(&ra, 0, 1, false);	/* while it is under way, and a reader waits */
	answer_all(5000);
	assert_true(readahead_ready(pieces, count));
	readahead_passed(&ra, pieces, count);
	assert_int_equal(ra.bytes, 0);
}

/* A block that ended with the file is wrong once the file is longer. */
static void test_growth_drops_short_blocks(void **state)
{
	(void)state;
	assert_int_equal(readahead_open(&ra, 60 * KIB, &fetch), 0);
	answer_all(50 * KIB);
	readahead_drop(&ra, 200 * KIB, 10, false);
	assert_int_equal(ra.bytes, 60 * KIB);
	readahead_drop(&ra, 200 * KIB, 10, true);
	assert_int_equal(ra.bytes, 0);
}

static void test_error_is_not_kept(void **state)
{
	int count = plan(0, 4 * KIB, 4 * KIB);

	(void)state;
	readahead_fetched(&ra, next_fetch(), -EIO, 0);
	assert_true(readahead_ready(pieces, count));
	assert_int_equal(pieces[0].block->error, -EIO);
	readahead_passed(&ra, pieces, count);
	read_now(0, 4 * KIB, 4 * KIB);
}

static void test_random_mix(void **state)
{
	uint64_t size = 3 * 1024 * KIB + 77, at;
	uint32_t seed = 1;
	int i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		size_t len;

		seed = seed * 1664525u + 1013904223u;
		at = seed >> 4 & 3 ? ra.next : (seed >> 8) % size;
		if (at >= size)
			at = 0;
		len = 1 + (seed >> 12) % (150 * KIB);
		read_now(at, len, size);
		if (!(seed >> 20 & 31))
			readahead_drop(&ra, (seed >> 3) % size, 1 + seed % (64 * KIB), seed & 1);
		assert_true(ra.bytes <= MAX + 1024 * KIB);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random_reads_fetch_their_own_bytes), TEST(test_large_random_read_is_split),
		TEST(test_sequence_fetches_everything_once), TEST(test_window_grows_only_for_who_waits),
		TEST(test_window_reaches_its_limit), TEST(test_out_of_order_is_in_sequence), TEST(test_nothing_past_the_end),
		TEST(test_open_brings_a_small_file), TEST(test_allowance), TEST(test_without_readahead), TEST(test_drop),
		TEST(test_growth_drops_short_blocks), TEST(test_error_is_not_kept), TEST(test_random_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
