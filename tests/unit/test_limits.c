/* limits: for made-up loads, of which everybody knows what limits them, the sentence says that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/limits.h"

/* Sums over 1000 units each. */
static const struct {
	struct progress_spent spent;
	enum limit limit;
	const char *says;
} loads[] = {
	{ { .wall_s = 2000, .user_s = 1900, .sys_s = 20, .read_wait_s = 30, .spawn_s = 1, .claim_s = 5, .in_bytes = 5e9 },
	  LIMIT_COMPUTING, "add machines" },
	{ { .wall_s = 1000, .user_s = 100, .sys_s = 50, .read_wait_s = 800, .spawn_s = 1, .in_bytes = 100e9 }, LIMIT_READING, "nearer disk" },
	{ { .wall_s = 1000, .user_s = 100, .sys_s = 50, .write_wait_s = 800, .spawn_s = 1, .out_bytes = 100e9 }, LIMIT_WRITING, "outputs" },
	{ { .wall_s = 60, .user_s = 2, .sys_s = 2, .read_wait_s = 50, .spawn_s = 1, .in_bytes = 2e7 }, LIMIT_LATENCY, "--ahead" },
	/* What `true` is measured to be: the loader computes, most of the rest is beginning and ending. */
	{ { .wall_s = 1.5, .user_s = 0.5, .sys_s = 0.5, .spawn_s = 0.4, .claim_s = 0.2 }, LIMIT_STARTING, "--batch auto" },
	{ { .wall_s = 10, .user_s = 8, .sys_s = 1, .spawn_s = 0.5, .claim_s = 40 }, LIMIT_CLAIMING, "claiming" },
	{ { .wall_s = 100, .user_s = 90, .sys_s = 5, .claim_s = 3, .idle_s = 500 }, LIMIT_IDLE, "fewer slots" },
	{ { .wall_s = 1000, .user_s = 10, .sys_s = 5, .spawn_s = 1 }, LIMIT_OTHER, "more slots" },
	/* More slots than processors: a tenth of the time they compute, the rest they could. */
	{ { .wall_s = 1000, .user_s = 90, .sys_s = 10, .spawn_s = 1, .ready_s = 950 }, LIMIT_CROWDED, "fewer slots" },
	{ { .wall_s = 1000, .user_s = 90, .sys_s = 10, .spawn_s = 1, .ready_s = 110 }, LIMIT_OTHER, "more slots" },
	{ { .wall_s = 1000, .user_s = 900, .ready_s = 990 }, LIMIT_COMPUTING, "add machines" },
	/* Slots that wait for the worker to start others. */
	{ { .wall_s = 8, .user_s = 1.3, .sys_s = 0.2, .spawn_s = 0.7, .claim_s = 3, .turn_s = 4.4 }, LIMIT_STARTING, "--batch auto" },
	{ { .wall_s = 8, .user_s = 1.3, .spawn_s = 0.1, .claim_s = 0.1, .turn_s = 40 }, LIMIT_STARTING, "--batch auto" },
	/* Of a resident command, which wait for the worker too: no process is started for them. */
	{ { .wall_s = 0.5, .user_s = 0.05, .spawn_s = 0.0003, .claim_s = 0.1, .turn_s = 0.1 }, LIMIT_OTHER, "more slots" },
	/* What a slot waits for a small file far away before its job begins is as much a wait for it as in the job. */
	{ { .wall_s = 100, .user_s = 2, .read_wait_s = 90, .claim_s = 200, .look_s = 210, .in_bytes = 2e7 }, LIMIT_LATENCY, "--ahead" },
	{ { .wall_s = 100, .user_s = 2, .read_wait_s = 90, .claim_s = 200, .look_s = 210, .in_bytes = 100e9 }, LIMIT_READING, "nearer disk" },
	/* One giant unit, begun last: neither machines nor slots shorten it. */
	{ { .wall_s = 120, .user_s = 118, .sys_s = 1, .spawn_s = 0.1, .tail_s = 100 }, LIMIT_TAIL, "--order -size" },
	{ { .wall_s = 1200, .user_s = 1180, .sys_s = 1, .spawn_s = 0.1, .tail_s = 100 }, LIMIT_COMPUTING, "add machines" },
	/* Many threads compute more than a second in a second. */
	{ { .wall_s = 1000, .user_s = 7500, .read_wait_s = 100, .spawn_s = 1 }, LIMIT_COMPUTING, "add machines" },
};

static void the_sentence_is_right(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		struct progress_spent spent = loads[i].spent;

		spent.units = 1000;
		assert_string_equal(limits_name(limits_of(&spent)), limits_name(loads[i].limit));
		assert_non_null(strstr(limits_advice(limits_of(&spent)), loads[i].says));
	}
}

static void nothing_measured_is_nothing_said(void **state)
{
	const struct progress_spent spent = { 0 };

	(void)state;
	assert_int_equal(limits_of(&spent), LIMIT_UNKNOWN);
}

static void the_parts_are_the_whole(void **state)
{
	struct progress_spent spent = { .wall_s = 100, .user_s = 20, .sys_s = 5, .spawn_s = 1, .read_wait_s = 30, .write_wait_s = 4,
					.ready_s = 35, .claim_s = 7, .look_s = 2, .turn_s = 4, .idle_s = 3 };
	struct limits_split split;
	double sum = 0;
	size_t i;

	(void)state;
	limits_split(&spent, &split);
	for (i = 0; i < LIMITS; i++)
		sum += split.seconds[i];
	assert_true(sum > 115.99 && sum < 116.01);
	assert_true(split.total > 115.99 && split.total < 116.01);
	assert_true(split.seconds[LIMIT_OTHER] > 29.99 && split.seconds[LIMIT_OTHER] < 30.01);
	assert_true(split.seconds[LIMIT_CROWDED] > 9.99 && split.seconds[LIMIT_CROWDED] < 10.01);
	/* Samples may say more than there is. */
	spent.ready_s = 500;
	limits_split(&spent, &split);
	assert_true(split.total > 115.99 && split.total < 116.01 && split.seconds[LIMIT_OTHER] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sentence_is_right), cmocka_unit_test(nothing_measured_is_nothing_said),
		cmocka_unit_test(the_parts_are_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
