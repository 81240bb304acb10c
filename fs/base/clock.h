/*
 * clock: the only source of time. Nanoseconds.
 *
 * clock_now() is CLOCK_BOOTTIME: it never jumps and runs while the machine sleeps, so leases are measured with it.
 * clock_wall() is CLOCK_REALTIME: for log lines and people only; no decision may rest on it.
 *
 * Tests and torture shift both: clock_shift_wall() (or the environment CLAIMFS_FAULT_WALL_OFFSET, seconds, read by
 * fault_init) sets this process's wall clock wrong; clock_set_source() replaces clock_now() in unit tests.
 */
#ifndef CLAIMFS_BASE_CLOCK_H
#define CLAIMFS_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define NS_PER_US 1000LL

int64_t clock_now(void);
int64_t clock_wall(void);

void clock_set_source(int64_t (*now)(void));	/* NULL: the real one again */
void clock_shift_wall(int64_t offset_ns);

struct timespec clock_timespec(int64_t ns);

/* A condition variable that clock_cond_wait() can wait on, and the wait: until signalled or `deadline_ns` on clock_now()'s
 * clock (INT64_MAX: for ever). 0, or -ETIMEDOUT. The caller holds `mutex`, as for pthread_cond_wait. */
int clock_cond_init(pthread_cond_t *cond);
int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns);

/* A new seed each call: from getrandom, for permutations and jitter. */
uint64_t clock_random(void);

#endif
