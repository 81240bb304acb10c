/* buf: growth, limits, and errors that stick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void test_empty_reads_as_text(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	assert_string_equal(buf_text(&buf), "");
	buf_drop(&buf, 0);
	buf_truncate(&buf, 0);
	buf_add(&buf, NULL, 0);
	assert_int_equal(buf_error(&buf), 0);
	buf_release(&buf);
}

static void test_adds_and_terminates(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	buf_adds(&buf, "one");
	buf_addch(&buf, ' ');
	buf_addf(&buf, "%d-%s", 2, "three");
	buf_add(&buf, "\0x", 2);
	assert_int_equal(buf.len, 13);
	assert_memory_equal(buf.data, "one 2-three\0x", 14);
	buf_release(&buf);
}

static void test_grows_past_every_size(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_addch(&buf, 'a' + i % 26);
	assert_int_equal(buf.len, 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf.data[i], 'a' + i % 26);
	assert_int_equal(buf.data[100000], 0);
	buf_release(&buf);
}

static void test_formats_longer_than_its_room(void **state)
{
	struct buf buf = BUF_INIT;
	char text[5000];

	(void)state;
	memset(text, 'q', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	buf_addf(&buf, "<%s>", text);
	assert_int_equal(buf.len, sizeof(text) + 1);
	assert_int_equal(buf.data[buf.len - 1], '>');
	buf_release(&buf);
}

static void test_limit_sticks_and_keeps_what_was_there(void **state)
{
	struct buf buf = { .max = 5 };

	(void)state;
	buf_adds(&buf, "12345");
	assert_int_equal(buf_error(&buf), 0);
	buf_addch(&buf, '6');
	assert_int_equal(buf_error(&buf), -EMSGSIZE);
	buf_reset(&buf);
	assert_int_equal(buf_error(&buf), 0);
	buf_adds(&buf, "123456");
	assert_int_equal(buf_error(&buf), -EMSGSIZE);
	buf_adds(&buf, "1");			/* would fit, but the text has a hole by now */
	assert_string_equal(buf_text(&buf), "");
	assert_int_equal(buf_reserve(&buf, 0), -EMSGSIZE);
	buf_release(&buf);
	assert_int_equal(buf.max, 5);
}

static void test_refuses_sizes_that_wrap(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	buf_adds(&buf, "x");
	assert_int_equal(buf_reserve(&buf, SIZE_MAX), -ENOMEM);
	assert_int_equal(buf_error(&buf), -ENOMEM);
	assert_string_equal(buf_text(&buf), "x");
	buf_release(&buf);
	buf.max = 10;
	assert_int_equal(buf_reserve(&buf, SIZE_MAX - 2), -EMSGSIZE);
	buf_release(&buf);
}

static void test_drops_and_truncates(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	buf_adds(&buf, "0123456789");
	buf_drop(&buf, 3);
	assert_string_equal(buf_text(&buf), "3456789");
	buf_truncate(&buf, 2);
	assert_string_equal(buf_text(&buf), "34");
	buf_drop(&buf, 2);
	assert_string_equal(buf_text(&buf), "");
	buf_adds(&buf, "again");
	assert_string_equal(buf_text(&buf), "again");
	buf_release(&buf);
}

static void test_reserved_room_is_text_too(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	assert_int_equal(buf_reserve(&buf, 3), 0);
	memcpy(buf.data, "abcZ", 3);
	buf.len = 3;
	assert_string_equal(buf_text(&buf), "abc");
	buf_release(&buf);
}

static void *read_text(void *arg)
{
	return (void *)(uintptr_t)strlen(buf_text(arg));
}

/* Text that is ready may be read by several threads: under make check-tsan a write would show. */
static void test_is_read_by_several_threads(void **state)
{
	struct buf buf = BUF_INIT;
	pthread_t threads[4];
	void *len;
	int i;

	(void)state;
	buf_adds(&buf, "text");
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_text, &buf), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &len), 0);
		assert_int_equal((uintptr_t)len, 4);
	}
	buf_release(&buf);
}

static void test_detach(void **state)
{
	struct buf buf = BUF_INIT;
	char *text;

	(void)state;
	text = buf_detach(&buf);
	assert_string_equal(text, "");
	free(text);
	buf_adds(&buf, "mine");
	text = buf_detach(&buf);
	assert_string_equal(text, "mine");
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	free(text);

	buf.max = 1;
	buf_adds(&buf, "too long");
	assert_null(buf_detach(&buf));
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_reads_as_text),
		cmocka_unit_test(test_adds_and_terminates),
		cmocka_unit_test(test_grows_past_every_size),
		cmocka_unit_test(test_formats_longer_than_its_room),
		cmocka_unit_test(test_limit_sticks_and_keeps_what_was_there),
		cmocka_unit_test(test_refuses_sizes_that_wrap),
		cmocka_unit_test(test_drops_and_truncates),
		cmocka_unit_test(test_reserved_room_is_text_too),
		cmocka_unit_test(test_is_read_by_several_threads),
		cmocka_unit_test(test_detach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
