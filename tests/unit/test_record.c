/* Log records: what is written is read back, and nothing that another node may have written is believed unless it is whole. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/record.h"

#define UNIT "00112233445566778899aabbccddeeff"
#define KEY "ffeeddccbbaa99887766554433221100"

static struct record sample(const char *name, const char *values)
{
	struct record record = { .what = RECORD_DONE, .generation = 3, .attempt = 2, .time = 1700000000, .name = name, .values = values };

	assert_int_equal(hash128_parse(UNIT, &record.unit), 0);
	record.key = record.unit;
	return record;
}

/* Formats, parses, and compares everything. */
static void round_trip(const struct record *record)
{
	struct buf line = BUF_INIT;
	struct record back;

	assert_int_equal(record_format(record, &line), 0);
	assert_true(line.len <= RECORD_MAX_LINE);
	assert_int_equal(line.data[line.len - 1], '\n');
	assert_null(memchr(line.data, '\n', line.len - 1));
	assert_int_equal(record_parse(line.data, line.len - 1, &back), 0);
	assert_int_equal(back.what, record->what);
	assert_true(hash128_equal(&back.unit, &record->unit));
	assert_true(hash128_equal(&back.key, &record->key));
	assert_int_equal(back.generation, record->generation);
	assert_int_equal(back.attempt, record->attempt);
	assert_int_equal(back.time, record->time);
	assert_string_equal(back.name, record->name);
	assert_string_equal(back.values, record->values ? record->values : "");
	buf_release(&line);
}

static void test_round_trip(void **state)
{
	struct record record = sample("a/b.jpg", "status=0 wall=1.25");

	(void)state;
	round_trip(&record);
	record.values = NULL;
	round_trip(&record);
	assert_int_equal(hash128_parse(KEY, &record.key), 0);
	record.what = RECORD_REDO;
	round_trip(&record);
	record = sample("-n %41 \x01\x7f\n\t=\xff\xfe'\"", "stderr=a%0Ab%20c");
	round_trip(&record);
}

static void test_longest(void **state)
{
	char name[RECORD_MAX_NAME + 2] = "", values[RECORD_MAX_VALUES + 2] = "";
	struct record record = sample(name, values);
	struct buf line = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < RECORD_MAX_NAME; i++)
		name[i] = i % 200 == 199 ? '/' : '\n';
	name[RECORD_MAX_NAME] = '\0';
	memset(values, '1', sizeof(values));
	memcpy(values, "a=", 2);
	values[RECORD_MAX_VALUES] = '\0';
	round_trip(&record);
	values[RECORD_MAX_VALUES] = '1';
	values[RECORD_MAX_VALUES + 1] = '\0';
	assert_int_equal(record_format(&record, &line), -EINVAL);
	record.values = "";
	name[RECORD_MAX_NAME] = 'x';
	name[RECORD_MAX_NAME + 1] = '\0';
	assert_int_equal(record_format(&record, &line), -EINVAL);
	assert_int_equal(line.len, 0);
	buf_release(&line);
}

static void test_typical_size(void **state)
{
	struct record record = sample("2026/11/24/IMG_20261124_0001.jpg",
				      "status=0 wall=12.345 user=11.9 sys=0.3 maxrss=123456789 in=4000000 out=2000000");
	struct buf line = BUF_INIT;

	(void)state;
	assert_int_equal(record_format(&record, &line), 0);
	assert_true(line.len < 300);
	buf_release(&line);
}

static int parse(const char *text, size_t len)
{
	char *copy = malloc(len + 1);
	struct record record;
	int error;

	assert_non_null(copy);
	memcpy(copy, text, len);
	error = record_parse(copy, len, &record);
	free(copy);
	return error;
}

static void test_hostile(void **state)
{
	static const char *const bad[] = {
		" ", "1", "1 done", "2 done " UNIT " 0 1 1 - x", "1 Done " UNIT " 0 1 1 - x", "1 gone " UNIT " 0 1 1 - x",
		"1 done " UNIT " 0 1 1 -", "1 done " UNIT " 0 1 1 - ", "1 done " UNIT "0 0 1 1 - x", "1 done 0011 0 1 1 - x",
		"1 done 00112233445566778899AABBCCDDEEFF 0 1 1 - x", "1 done " UNIT " -1 1 1 - x", "1 done " UNIT " +1 1 1 - x",
		"1 done " UNIT " 4294967296 1 1 - x", "1 done " UNIT " 0 9223372036854775808 1 - x", "1 done " UNIT " 0 1e3 1 - x",
		"1 done " UNIT " 0 1 1 " KEY "0 x", "1 done " UNIT "  0 1 1 - x", "1 done " UNIT " 0 1 1 - x ", "1 done " UNIT " 0 1 1 - x  a=1",
		"1 done " UNIT " 0 1 1 - x y", "1 done " UNIT " 0 1 1 - x =1", "1 done " UNIT " 0 1 1 - x A=1", "1 done " UNIT " 0 1 1 - x a=%",
		"1 done " UNIT " 0 1 1 - x a=%0", "1 done " UNIT " 0 1 1 - x a=%00", "1 done " UNIT " 0 1 1 - x a=\t", "1 done " UNIT " 0 1 1 - %00",
		"1 done " UNIT " 0 1 1 - %2", "1 done " UNIT " 0 1 1 - /x", "1 done " UNIT " 0 1 1 - x/", "1 done " UNIT " 0 1 1 - a//b",
		"1 done " UNIT " 0 1 1 - ../x", "1 done " UNIT " 0 1 1 - a/./b", "1 done " UNIT " 0 1 1 - a%2F..%2Fb", "1 done " UNIT " 0 1 1 - .",
		"1 done " UNIT " 0 1 1 - fo1 done " UNIT " 0 1 1 - foo",	/* an append that was cut, and the next one */
		"1 done " UNIT " 0 1 1 - foo wall=11 done " UNIT " 0 1 1 - foo",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], strlen(bad[i])) != -EINVAL)
			fail_msg("taken for a record: %s", bad[i]);
	assert_int_equal(parse("", 0), -ENODATA);
	assert_int_equal(parse("1 done " UNIT " 0 1 1 - x", strlen("1 done " UNIT " 0 1 1 - x")), 0);
	assert_int_equal(parse("1 done " UNIT " 0 1 1 - x\0y", strlen("1 done " UNIT " 0 1 1 - x") + 2), -EINVAL);
}

/* Every prefix of a good line and every line with one byte changed is refused or read, never read out of bounds (the sanitizers look). */
static void test_cut_and_flipped(void **state)
{
	struct record record = sample("dir/some name", "status=0 stderr=a%0Ab");
	struct buf line = BUF_INIT;
	size_t i;

	(void)state;
	assert_int_equal(record_format(&record, &line), 0);
	for (i = 0; i < line.len; i++) {
		parse(line.data, i);
		line.data[i] ^= 0x10;
		parse(line.data, line.len - 1);
		line.data[i] ^= 0x10;
	}
	buf_release(&line);
}

static void test_too_long(void **state)
{
	char *line = malloc(RECORD_MAX_LINE + 1);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', RECORD_MAX_LINE);
	memcpy(line, "1 done " UNIT " 0 1 1 - x a=", strlen("1 done " UNIT " 0 1 1 - x a="));
	assert_int_equal(parse(line, RECORD_MAX_LINE), -EINVAL);
	free(line);
}

static void test_values(void **state)
{
	struct buf value = BUF_INIT;

	(void)state;
	assert_true(record_values_good(NULL));
	assert_true(record_values_good(""));
	assert_true(record_values_good("a= b=="));
	assert_false(record_values_good("a"));
	assert_false(record_values_good(" a=1"));
	assert_false(record_values_good("a=1 "));
	assert_int_equal(record_value("aa=1 a=2%20x b=", "a", &value), 0);
	assert_string_equal(buf_text(&value), "2 x");
	buf_reset(&value);
	assert_int_equal(record_value("aa=1 a=2 b=", "b", &value), 0);
	assert_int_equal(value.len, 0);
	assert_int_equal(record_value("aa=1 a=2 b=", "c", &value), -ENOENT);
	assert_int_equal(record_value(NULL, "c", &value), -ENOENT);
	buf_release(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_longest), cmocka_unit_test(test_typical_size),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_cut_and_flipped), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
