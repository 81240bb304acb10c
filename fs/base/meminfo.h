/*
 * meminfo: what the kernel says of this machine's memory.
 */
#ifndef CLAIMFS_BASE_MEMINFO_H
#define CLAIMFS_BASE_MEMINFO_H

#include <stdint.h>

/* Bytes of a line of /proc/meminfo, such as "MemAvailable" (what could be had without swapping) or "MemTotal"; -1: not known. */
int64_t meminfo_bytes(const char *key);

#endif
