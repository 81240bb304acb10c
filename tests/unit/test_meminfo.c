/*
 * meminfo: lines of /proc/meminfo.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/meminfo.h"

static void lines_are_read(void **state)
{
	static const char text[] = "MemTotal:       16000 kB\nMemFree:  7 kB\nSwapMemAvailable: 3 kB\nMemAvailable:   5000 kB\nHuge: -4 kB\nOdd: x\n"
				   "Endless: 99999999999999999999 kB\n";

	(void)state;
	assert_true(meminfo_parse(text, "MemTotal") == 16000 * 1024);
	assert_true(meminfo_parse(text, "MemAvailable") == 5000 * 1024);
	assert_true(meminfo_parse(text, "Mem") == -1);
	assert_true(meminfo_parse(text, "Huge") == -1);
	assert_true(meminfo_parse(text, "Odd") == -1);
	assert_true(meminfo_parse(text, "Endless") == -1);
	assert_true(meminfo_parse("", "MemTotal") == -1);
	assert_true(meminfo_bytes("MemTotal") > meminfo_bytes("MemAvailable"));
	assert_true(meminfo_bytes("MemAvailable") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lines_are_read) };

	return cmocka_run_group_tests_name("meminfo", tests, NULL, NULL);
}
