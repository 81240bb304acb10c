/*
 * clock: time, and waiting for it.
 */
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>

/*
 * Condition variables know CLOCK_MONOTONIC, which stands still while the machine sleeps, but not CLOCK_BOOTTIME. So a long wait is cut into
 * slices, and after each the real clock is asked again: after a sleep a deadline is noticed this late at most. A replaced clock of a unit
 * test moves in jumps and is asked more often.
 */
#define CLOCK_SLICE_NS NS_PER_S
#define CLOCK_TEST_SLICE_NS (2 * NS_PER_MS)

typedef int64_t clock_source(void);

static _Atomic(clock_source *) clock_test_source;
static _Atomic int64_t clock_wall_offset;

static int64_t clock_read(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_now(void)
{
	clock_source *source = atomic_load_explicit(&clock_test_source, memory_order_relaxed);

	return source ? source() : clock_read(CLOCK_BOOTTIME);
}

int64_t clock_wall(void)
{
	return clock_read(CLOCK_REALTIME) + atomic_load_explicit(&clock_wall_offset, memory_order_relaxed);
}

void clock_set_source(int64_t (*now)(void))
{
	atomic_store(&clock_test_source, now);
}

void clock_shift_wall(int64_t offset_ns)
{
	atomic_store(&clock_wall_offset, offset_ns);
}

struct timespec clock_timespec(int64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	if (time.tv_nsec < 0) {
		time.tv_sec--;
		time.tv_nsec += (long)NS_PER_S;
	}
	return time;
}

int clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int error;

	error = pthread_condattr_init(&attr);
	if (error)
		return -error;
	error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (!error)
		error = pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return -error;
}

int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns)
{
	if (deadline_ns == INT64_MAX)
		return -pthread_cond_wait(cond, mutex);
	for (;;) {
		int64_t slice = atomic_load(&clock_test_source) ? CLOCK_TEST_SLICE_NS : CLOCK_SLICE_NS;
		int64_t now = clock_now();
		struct timespec until;
		int error;

		if (deadline_ns <= now)
			return -ETIMEDOUT;
		if (slice > deadline_ns - now)
			slice = deadline_ns - now;
		until = clock_timespec(clock_read(CLOCK_MONOTONIC) + slice);
		error = pthread_cond_timedwait(cond, mutex, &until);
		if (error != ETIMEDOUT)
			return -error;
	}
}

uint64_t clock_random(void)
{
	uint64_t value;

	/* Eight bytes come whole or not at all; not at all only before the kernel has any randomness. */
	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		value = (uint64_t)clock_read(CLOCK_REALTIME) * 0x9e3779b97f4a7c15u ^ (uint64_t)clock_read(CLOCK_BOOTTIME);
	return value;
}
