/* hash: the vectors are what `xxhsum -H2` of Debian's xxhash 0.8.1 prints for these bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static const struct {
	const char *bytes;
	const char *hex;
} vectors[] = {
	{ "", "99aa06d3014798d86001c324468d497f" },
	{ "a", "a96faf705af16834e6c632b61e964e1f" },
	{ "inputs/photo 1.jpg", "ce4cf59eb2a1b73920770313c8cfcd98" },
};

#define LONG_LEN 100000
static const char long_hex[] = "0fe996a84987456bd8b99a30e426ac41";	/* 100,000 times "x" */

static void assert_hex(const struct hash128 *hash, const char *expected)
{
	char hex[HASH_HEX_LEN + 1];

	hash128_hex(hash, hex);
	assert_string_equal(hex, expected);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		struct hash128 hash = hash128_of(vectors[i].bytes, strlen(vectors[i].bytes));

		assert_hex(&hash, vectors[i].hex);
	}
}

static void test_stream_is_the_same_in_any_pieces(void **state)
{
	static const size_t pieces[] = { 1, 7, 256, 4096, 65537, LONG_LEN };
	char *text = malloc(LONG_LEN);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', LONG_LEN);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		struct hash_stream *stream = hash_stream_new();
		struct hash128 hash;

		assert_non_null(stream);
		for (size_t at = 0; at < LONG_LEN; at += pieces[i])
			hash_stream_update(stream, text + at, at + pieces[i] > LONG_LEN ? LONG_LEN - at : pieces[i]);
		hash = hash_stream_end(stream);
		assert_hex(&hash, long_hex);
	}
	free(text);
}

static void test_empty_stream(void **state)
{
	struct hash_stream *stream = hash_stream_new();
	struct hash128 hash;

	(void)state;
	assert_non_null(stream);
	hash_stream_update(stream, NULL, 0);
	hash = hash_stream_end(stream);
	assert_hex(&hash, vectors[0].hex);
}

static void test_parse(void **state)
{
	struct hash128 hash = { { 0 } }, untouched;

	(void)state;
	assert_int_equal(hash128_parse("99aa06d3014798d86001c324468d497f.0.1", &hash), 0);
	assert_hex(&hash, vectors[0].hex);
	untouched = hash;
	assert_int_equal(hash128_parse("", &hash), -EINVAL);
	assert_int_equal(hash128_parse("99aa06d3014798d86001c324468d497", &hash), -EINVAL);
	assert_int_equal(hash128_parse("99AA06d3014798d86001c324468d497f", &hash), -EINVAL);
	assert_int_equal(hash128_parse("99aa06d3014798d8 001c324468d497f", &hash), -EINVAL);
	assert_true(hash128_equal(&hash, &untouched));
}

static void test_compare_is_by_bytes(void **state)
{
	struct hash128 a, b;

	(void)state;
	assert_int_equal(hash128_parse("00000000000000000000000000000001", &a), 0);
	assert_int_equal(hash128_parse("ff000000000000000000000000000000", &b), 0);
	assert_true(hash128_compare(&a, &b) < 0);
	assert_true(hash128_compare(&b, &a) > 0);
	assert_false(hash128_equal(&a, &b));
	b = a;
	assert_true(hash128_equal(&a, &b));
}

static void test_seed_matters(void **state)
{
	(void)state;
	assert_true(hash64_of("key", 3, 1) != hash64_of("key", 3, 2));
	assert_true(hash64_of("key", 3, 1) == hash64_of("key", 3, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_stream_is_the_same_in_any_pieces),
		cmocka_unit_test(test_empty_stream),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_compare_is_by_bytes),
		cmocka_unit_test(test_seed_matters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
