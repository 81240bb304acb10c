/* hashed: bytes of inputs that were read to hash them: what is kept, for whom, and until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tree/hashed.h"

static const struct sftp_attrs as_hashed = { .size = 10, .mtime = 1000 };

static bool add(struct hashed *hashed, const char *path, uint64_t size, uint64_t offset, const char *text)
{
	struct buf bytes = BUF_INIT;
	bool taken;

	buf_adds(&bytes, text);
	taken = hashed_add(hashed, path, size, 1000, offset, &bytes);
	assert_int_equal(bytes.len, taken ? 0 : strlen(text));
	buf_release(&bytes);
	return taken;
}

static void assert_read(struct hashed_file *file, uint64_t offset, const char *expected)
{
	char data[32];

	assert_true(hashed_read(file, offset, data, strlen(expected)));
	assert_memory_equal(data, expected, strlen(expected));
}

static void test_reads_across_pieces(void **state)
{
	struct hashed_file *file;
	struct hashed *hashed;
	char data[32];

	(void)state;
	assert_int_equal(hashed_new(100, &hashed), 0);
	assert_false(hashed_any(hashed));
	assert_true(add(hashed, "/x", 10, 0, "0123"));
	assert_true(add(hashed, "/x", 10, 4, "4"));
	assert_true(add(hashed, "/x", 10, 5, "567"));
	assert_true(hashed_any(hashed));
	assert_null(hashed_find(hashed, "/y", &as_hashed));
	file = hashed_find(hashed, "/x", &as_hashed);
	assert_non_null(file);
	assert_read(file, 0, "01234567");
	assert_read(file, 3, "345");
	assert_read(file, 7, "7");
	assert_false(hashed_read(file, 7, data, 2));	/* the last two bytes are not kept */
	assert_false(hashed_read(file, 0, data, 20));
	assert_false(hashed_read(file, UINT64_MAX, data, 2));
	assert_read(file, 0, "0");			/* as often as asked */
	hashed_unref(file);
	hashed_free(hashed);
}

/* Another size or time is another file; and its bytes have a gap only where something is wrong. */
static void test_another_file_is_not_found(void **state)
{
	struct sftp_attrs longer = { .size = 11, .mtime = 1000 }, later = { .size = 10, .mtime = 1001 };
	struct hashed *hashed;

	(void)state;
	assert_int_equal(hashed_new(100, &hashed), 0);
	assert_true(add(hashed, "/x", 10, 0, "0123456789"));
	assert_null(hashed_find(hashed, "/x", &longer));
	assert_null(hashed_find(hashed, "/x", &later));
	assert_false(add(hashed, "/x", 10, 11, "b"));
	assert_false(add(hashed, "/x", 11, 10, "a"));
	assert_false(add(hashed, "/none", 10, 4, "4"));
	assert_false(add(hashed, "/x", 10, 0, ""));
	hashed_free(hashed);
}

/* What was found lives on when it is dropped or replaced, and its bytes count until then. */
static void test_room_is_that_of_what_lives(void **state)
{
	struct hashed_file *file;
	struct hashed *hashed;

	(void)state;
	assert_int_equal(hashed_new(12, &hashed), 0);
	assert_true(add(hashed, "/x", 10, 0, "0123456789"));
	assert_false(add(hashed, "/y", 3, 0, "abc"));
	assert_true(add(hashed, "/y", 3, 0, "ab"));
	file = hashed_find(hashed, "/x", &as_hashed);
	hashed_drop(hashed, "/x");
	hashed_drop(hashed, "/x");
	assert_null(hashed_find(hashed, "/x", &as_hashed));
	assert_false(add(hashed, "/z", 1, 0, "z"));
	assert_read(file, 0, "0123456789");
	hashed_unref(file);
	assert_true(add(hashed, "/x", 10, 0, "9876543210"));
	file = hashed_find(hashed, "/x", &as_hashed);
	assert_read(file, 0, "98");
	hashed_unref(file);
	hashed_unref(NULL);
	hashed_free(hashed);
	hashed_free(NULL);
}

static void test_no_room_at_all(void **state)
{
	struct hashed *hashed;

	(void)state;
	assert_int_equal(hashed_new(0, &hashed), 0);
	assert_false(add(hashed, "/x", 10, 0, "0"));
	assert_false(hashed_any(hashed));
	hashed_free(hashed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_across_pieces),
		cmocka_unit_test(test_another_file_is_not_found),
		cmocka_unit_test(test_room_is_that_of_what_lives),
		cmocka_unit_test(test_no_room_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
