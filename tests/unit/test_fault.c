/* fault: which calls fail, and what is no switch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

static void assert_hits(const char *name, const char *pattern)
{
	for (; *pattern; pattern++)
		assert_int_equal(fault_hit(name), *pattern == 'x');
}

static void test_off_at_first(void **state)
{
	(void)state;
	assert_hits("link", "---");
	assert_int_equal(fault_set(""), 0);
	assert_hits("link", "-");
}

static void test_counts(void **state)
{
	(void)state;
	assert_int_equal(fault_set("link:2:1,write:0:2,read,stat:3"), 0);
	assert_hits("link", "--x---");
	assert_hits("write", "xx---");
	assert_hits("read", "xxxxxx");
	assert_hits("stat", "---xxxx");
	assert_hits("other", "--");
	assert_int_equal(fault_set("link:1:0"), 0);
	assert_hits("link", "-xxx");
	assert_hits("read", "-");
	assert_int_equal(fault_set(NULL), 0);
	assert_hits("link", "--");
}

static void test_the_same_name_twice(void **state)
{
	(void)state;
	assert_int_equal(fault_set("link:0:1,link:2:1"), 0);
	assert_hits("link", "x-x--");
	assert_int_equal(fault_set(NULL), 0);
}

static void test_refuses_and_keeps_the_old(void **state)
{
	static const char *const bad[] = { ":1", "a:", "a:x", "a:1:", "a:1:2:3", "a:-1", ",", "a,", "a:1,,b",
					   "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a" };
	(void)state;
	assert_int_equal(fault_set("keep"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (fault_set(bad[i]) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	}
	assert_hits("keep", "x");
	assert_int_equal(fault_set(NULL), 0);
}

static void test_environment(void **state)
{
	int64_t before;

	(void)state;
	setenv("CLAIMFS_FAULT", "mkdir:0:1", 1);
	setenv("CLAIMFS_FAULT_WALL_OFFSET", "-7200", 1);
	before = clock_wall();
	assert_int_equal(fault_init(), 0);
	assert_hits("mkdir", "x-");
	assert_true(clock_wall() < before - 7000 * NS_PER_S);
	setenv("CLAIMFS_FAULT_WALL_OFFSET", "1e9", 1);
	log_set_level((enum log_level)-1);
	assert_int_equal(fault_init(), -EINVAL);
	unsetenv("CLAIMFS_FAULT_WALL_OFFSET");
	setenv("CLAIMFS_FAULT", "::", 1);
	assert_int_equal(fault_init(), -EINVAL);
	unsetenv("CLAIMFS_FAULT");
	assert_int_equal(fault_init(), 0);
	log_set_level(LOG_LEVEL_INFO);
	clock_shift_wall(0);
	assert_int_equal(fault_set(NULL), 0);
}

#define THREADS 4
#define CALLS 5000

static void *hit_often(void *arg)
{
	_Atomic int *hits = arg;

	for (int i = 0; i < CALLS; i++)
		*hits += fault_hit("busy");
	return NULL;
}

static void test_threads_share_one_count(void **state)
{
	pthread_t threads[THREADS];
	_Atomic int hits = 0;

	(void)state;
	assert_int_equal(fault_set("busy:100:777"), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hit_often, &hits), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(hits, 777);
	assert_int_equal(fault_set(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off_at_first),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_the_same_name_twice),
		cmocka_unit_test(test_refuses_and_keeps_the_old),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_threads_share_one_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
