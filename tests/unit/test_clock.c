/* clock: deadlines, replaced time, a wall clock set wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>

#include "base/clock.h"

static _Atomic int64_t fake_now;

static int64_t fake_source(void)
{
	return fake_now;
}

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int open;
};

static void gate_init(struct gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	assert_int_equal(clock_cond_init(&gate->cond), 0);
	gate->open = 0;
}

static void gate_release(struct gate *gate)
{
	pthread_cond_destroy(&gate->cond);
	pthread_mutex_destroy(&gate->lock);
}

static void *gate_opener(void *arg)
{
	struct gate *gate = arg;

	pthread_mutex_lock(&gate->lock);
	gate->open = 1;
	pthread_cond_signal(&gate->cond);
	pthread_mutex_unlock(&gate->lock);
	return NULL;
}

static void test_never_goes_back(void **state)
{
	int64_t last = clock_now();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t now = clock_now();

		assert_true(now >= last);
		last = now;
	}
}

static void test_timespec(void **state)
{
	struct timespec time = clock_timespec(1500000000);

	(void)state;
	assert_int_equal(time.tv_sec, 1);
	assert_int_equal(time.tv_nsec, 500000000);
	time = clock_timespec(-1);
	assert_int_equal(time.tv_sec, -1);
	assert_int_equal(time.tv_nsec, 999999999);
}

static void test_wall_can_be_set_wrong(void **state)
{
	int64_t before = clock_wall();

	(void)state;
	clock_shift_wall(-3600 * NS_PER_S);
	assert_true(clock_wall() < before - 3599 * NS_PER_S);
	clock_shift_wall(0);
	assert_true(clock_wall() >= before - NS_PER_S);
}

static void test_wait_ends_at_its_deadline(void **state)
{
	struct gate gate;
	int64_t begin, error = 0;

	(void)state;
	gate_init(&gate);
	pthread_mutex_lock(&gate.lock);
	begin = clock_now();
	while (!error)	/* wake-ups without a signal are allowed */
		error = clock_cond_wait(&gate.cond, &gate.lock, begin + 30 * NS_PER_MS);
	assert_int_equal(error, -ETIMEDOUT);
	assert_true(clock_now() - begin >= 30 * NS_PER_MS);
	assert_int_equal(clock_cond_wait(&gate.cond, &gate.lock, clock_now() - 1), -ETIMEDOUT);
	pthread_mutex_unlock(&gate.lock);
	gate_release(&gate);
}

static void wait_for_gate(int64_t deadline)
{
	struct gate gate;
	pthread_t thread;

	gate_init(&gate);
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(pthread_create(&thread, NULL, gate_opener, &gate), 0);
	while (!gate.open)
		assert_int_equal(clock_cond_wait(&gate.cond, &gate.lock, deadline), 0);
	pthread_mutex_unlock(&gate.lock);
	pthread_join(thread, NULL);
	gate_release(&gate);
}

static void test_wait_is_woken(void **state)
{
	(void)state;
	wait_for_gate(INT64_MAX);
	wait_for_gate(clock_now() + 20 * NS_PER_S);
}

static void *move_time(void *arg)
{
	(void)arg;
	fake_now = 1000 * NS_PER_S;
	return NULL;
}

/* A deadline an hour away by the replaced clock passes as soon as that clock jumps. */
static void test_wait_follows_a_replaced_clock(void **state)
{
	struct gate gate;
	pthread_t thread;
	int error = 0;

	(void)state;
	fake_now = NS_PER_S;
	clock_set_source(fake_source);
	assert_true(clock_now() == NS_PER_S);
	gate_init(&gate);
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(pthread_create(&thread, NULL, move_time, NULL), 0);
	while (!error)
		error = clock_cond_wait(&gate.cond, &gate.lock, 900 * NS_PER_S);
	assert_int_equal(error, -ETIMEDOUT);
	pthread_mutex_unlock(&gate.lock);
	pthread_join(thread, NULL);
	clock_set_source(NULL);
	assert_true(clock_now() != 1000 * NS_PER_S);
	gate_release(&gate);
}

static void test_random_differs(void **state)
{
	(void)state;
	assert_true(clock_random() != clock_random());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_goes_back),
		cmocka_unit_test(test_timespec),
		cmocka_unit_test(test_wall_can_be_set_wrong),
		cmocka_unit_test(test_wait_ends_at_its_deadline),
		cmocka_unit_test(test_wait_is_woken),
		cmocka_unit_test(test_wait_follows_a_replaced_clock),
		cmocka_unit_test(test_random_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
