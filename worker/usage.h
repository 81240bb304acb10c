/*
 * usage: what a process that stays has used so far, or since it was asked the last time: what wait4() says of one that has ended.
 */
#ifndef CLAIMFS_WORKER_USAGE_H
#define CLAIMFS_WORKER_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Processor time, threads included, nanoseconds; 0: not known. */
int64_t usage_cpu_ns(pid_t pid);

/* That of its children which have ended and were waited for, in steps of clock ticks; 0: not known. */
int64_t usage_children_cpu_ns(pid_t pid);

/* The peak begins anew. False: the kernel does not let us. */
bool usage_reset_peak(pid_t pid);

/* The most memory that was resident, bytes, since it began or the peak was reset; -1: not known. */
int64_t usage_peak(pid_t pid);

#endif
