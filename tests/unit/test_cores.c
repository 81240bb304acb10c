/* cores: those a process may run on, not the machine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>

#include <cmocka.h>

#include "base/cores.h"

static void test_follows_affinity(void **state)
{
	cpu_set_t all, one;
	int cpu;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(cores_count(), CPU_COUNT(&all));
	for (cpu = 0; !CPU_ISSET(cpu, &all); cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(cores_count(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_follows_affinity) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
