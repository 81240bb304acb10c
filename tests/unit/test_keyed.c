/*
 * keyed, and what is read with it: lines of /proc/meminfo.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/keyed.h"
#include "base/meminfo.h"

static void lines_are_read(void **state)
{
	static const char text[] = "MemTotal:       16000 kB\nMemFree:  7 kB\nSwapMemAvailable: 3 kB\nMemAvailable:   5000 kB\nHuge: -4 kB\nOdd: x\n"
				   "Endless: 99999999999999999999 kB\noom 7\noom_kill 3\nVmHWM:\t    1756 kB\nEmpty:\nLast 12";

	(void)state;
	assert_true(keyed_number(text, "MemTotal") == 16000);
	assert_true(keyed_number(text, "MemAvailable") == 5000);
	assert_true(keyed_number(text, "Mem") == -1);
	assert_true(keyed_number(text, "Huge") == -1);
	assert_true(keyed_number(text, "Odd") == -1);
	assert_true(keyed_number(text, "Endless") == -1);
	assert_true(keyed_number(text, "oom") == 7);
	assert_true(keyed_number(text, "oom_kill") == 3);
	assert_true(keyed_number(text, "kill") == -1);
	assert_true(keyed_number(text, "VmHWM") == 1756);
	assert_true(keyed_number(text, "Last") == 12);
	assert_true(keyed_number(text, "") == -1);
	assert_true(keyed_number("12\n13\n", "") == 12);
	assert_true(keyed_number("", "MemTotal") == -1);
	assert_true(keyed_number("", "") == -1);
}

/* strtoll() would look for it in the lines after. */
static void a_key_without_a_number_takes_none_from_the_next_line(void **state)
{
	(void)state;
	assert_true(keyed_number("Empty:\n5\n", "Empty") == -1);
	assert_true(keyed_number("Empty:", "Empty") == -1);
}

static void this_machine_has_memory(void **state)
{
	(void)state;
	assert_true(meminfo_bytes("MemTotal") > meminfo_bytes("MemAvailable"));
	assert_true(meminfo_bytes("MemAvailable") > 0);
	assert_true(meminfo_bytes("MemNowhere") == -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read), cmocka_unit_test(a_key_without_a_number_takes_none_from_the_next_line),
		cmocka_unit_test(this_machine_has_memory),
	};

	return cmocka_run_group_tests_name("keyed", tests, NULL, NULL);
}
