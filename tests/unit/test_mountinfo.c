/* mountinfo: what is mounted where, as /proc/self/mountinfo tells it. */
#include "base/mountinfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static void test_finds(void **state)
{
	struct mountinfo info;
	struct stat st;

	(void)state;
	assert_true(mountinfo_find("/proc", &info));
	assert_string_equal(info.type, "proc");
	assert_int_equal(stat("/proc", &st), 0);
	assert_int_equal(makedev(info.major, info.minor), st.st_dev);
}

static void test_finds_nothing(void **state)
{
	struct mountinfo info;

	(void)state;
	assert_false(mountinfo_find("/proc/self", &info));	/* below a mount is no mount */
	assert_false(mountinfo_find("", &info));
	assert_false(mountinfo_find("/no/such directory", &info));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_finds), cmocka_unit_test(test_finds_nothing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
