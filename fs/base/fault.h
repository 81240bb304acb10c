/*
 * fault: switches that make calls fail in tests, off unless CLAIMFS_FAULT is set in the environment.
 *
 *   CLAIMFS_FAULT=name[:after[:count]],…   the calls of fault_hit("name") number after+1 … after+count fail (count 0, or none given:
 *   for ever)
 *
 * Also CLAIMFS_FAULT_WALL_OFFSET=SECONDS: clock_wall() is wrong by that much. fault_init() reads both; one of the two pieces of
 * global state. Thread-safe.
 */
#ifndef CLAIMFS_BASE_FAULT_H
#define CLAIMFS_BASE_FAULT_H

#include <stdbool.h>

int fault_init(void);			/* 0, or -EINVAL after a log_error for a malformed variable */
int fault_set(const char *text);	/* the same from a test; NULL or "": all off */
bool fault_hit(const char *name);	/* true: fail this call */

#endif
