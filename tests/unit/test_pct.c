/* pct: every byte, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/pct.h"

static void test_encodes_only_what_it_must(void **state)
{
	static const char bytes[] = "a b\n%\x7f\x80\xff=\t\x1f";
	struct buf plain = BUF_INIT, value = BUF_INIT;

	(void)state;
	pct_encode(&plain, bytes, sizeof(bytes) - 1);
	assert_string_equal(buf_text(&plain), "a b%0A%25%7F\x80\xff=%09%1F");
	pct_encode_value(&value, bytes, sizeof(bytes) - 1);
	assert_string_equal(buf_text(&value), "a%20b%0A%25%7F\x80\xff%3D%09%1F");
	buf_release(&plain);
	buf_release(&value);
}

static void test_every_byte_comes_back(void **state)
{
	char bytes[256];
	struct buf plain = BUF_INIT, value = BUF_INIT;

	(void)state;
	for (int i = 1; i < 256; i++)
		bytes[i - 1] = (char)i;
	bytes[255] = '\0';
	pct_encode(&plain, bytes, 255);
	pct_encode_value(&value, bytes, 255);
	assert_null(strpbrk(buf_text(&plain), "\t\n\r"));
	assert_null(strpbrk(buf_text(&value), "\t\n\r ="));
	assert_int_equal(pct_decode(plain.data), 255);
	assert_memory_equal(plain.data, bytes, 256);
	assert_int_equal(pct_decode(value.data), 255);
	assert_memory_equal(value.data, bytes, 256);
	buf_release(&plain);
	buf_release(&value);
}

static void test_decode_takes_both_cases(void **state)
{
	char text[] = "%2f%2F%c3%A9";

	(void)state;
	assert_int_equal(pct_decode(text), 4);
	assert_string_equal(text, "//\xc3\xa9");
}

static void test_decode_refuses(void **state)
{
	static const char *const bad[] = { "%", "%4", "%4g", "%g4", "x%", "%00", "a%%41", "% 1", "%-1" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[16];

		strcpy(text, bad[i]);
		assert_int_equal(pct_decode(text), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encodes_only_what_it_must),
		cmocka_unit_test(test_every_byte_comes_back),
		cmocka_unit_test(test_decode_takes_both_cases),
		cmocka_unit_test(test_decode_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
