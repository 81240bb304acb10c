/* Worker threads: a job that waits holds up no other, and all that was submitted is run before the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/clock.h"
#include "tree/work.h"

#define WAIT_NS (20 * NS_PER_S)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static int running;
static int ran;
static bool gate;

static void wait_for_locked(const int *number, int value)
{
	int64_t deadline = clock_now() + WAIT_NS;

	while (*number != value)
		assert_int_equal(clock_cond_wait(&changed, &lock, deadline), 0);
}

static void run_waiting(struct work_job *job)
{
	pthread_mutex_lock(&lock);
	running++;
	pthread_cond_broadcast(&changed);
	while (gate)
		clock_cond_wait(&changed, &lock, INT64_MAX);
	running--;
	ran++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	free(job);
}

static void run_quick(struct work_job *job)
{
	pthread_mutex_lock(&lock);
	ran++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	free(job);
}

static void submit(struct work *work, void (*run)(struct work_job *job))
{
	struct work_job *job = calloc(1, sizeof(*job));

	assert_non_null(job);
	job->run = run;
	work_submit(work, job);
}

static int begin(void **state)
{
	(void)state;
	running = ran = 0;
	gate = false;
	return clock_cond_init(&changed);
}

static void open_gate(void)
{
	pthread_mutex_lock(&lock);
	gate = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void test_waiting_jobs_do_not_block(void **state)
{
	struct work *work;
	int i;

	(void)state;
	assert_int_equal(work_new(&work), 0);
	gate = true;
	for (i = 0; i < WORK_MAX_THREADS - 1; i++)
		submit(work, run_waiting);
	pthread_mutex_lock(&lock);
	wait_for_locked(&running, WORK_MAX_THREADS - 1);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < 100; i++)
		submit(work, run_quick);
	pthread_mutex_lock(&lock);
	wait_for_locked(&ran, 100);
	assert_int_equal(running, WORK_MAX_THREADS - 1);
	pthread_mutex_unlock(&lock);
	open_gate();
	work_free(work);
	assert_int_equal(ran, 100 + WORK_MAX_THREADS - 1);
}

/* More than there can be threads: the rest waits its turn. */
static void test_more_than_threads(void **state)
{
	struct work *work;
	int i;

	(void)state;
	assert_int_equal(work_new(&work), 0);
	gate = true;
	for (i = 0; i < WORK_MAX_THREADS + 20; i++)
		submit(work, run_waiting);
	pthread_mutex_lock(&lock);
	wait_for_locked(&running, WORK_MAX_THREADS);
	assert_int_equal(ran, 0);
	pthread_mutex_unlock(&lock);
	open_gate();
	work_free(work);
	assert_int_equal(ran, WORK_MAX_THREADS + 20);
}

static void test_nothing(void **state)
{
	struct work *work;

	(void)state;
	assert_int_equal(work_new(&work), 0);
	work_free(work);
	work_free(NULL);
}

static void test_many(void **state)
{
	struct work *work;
	int i;

	(void)state;
	assert_int_equal(work_new(&work), 0);
	for (i = 0; i < 10000; i++)
		submit(work, run_quick);
	work_free(work);
	assert_int_equal(ran, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_waiting_jobs_do_not_block, begin), cmocka_unit_test_setup(test_more_than_threads, begin),
		cmocka_unit_test_setup(test_nothing, begin), cmocka_unit_test_setup(test_many, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
