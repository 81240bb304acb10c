/*
 * keyed: texts of a key and a number a line, as the kernel writes them of memory, processes and cgroups.
 */
#ifndef CLAIMFS_BASE_KEYED_H
#define CLAIMFS_BASE_KEYED_H

#include <stdint.h>

/*
 * The number of the first line of `key`, a space or a colon, and the number; of the first line at all if `key` is "". -1: there is no such line, or
 * no number from 0 to INT64_MAX in it.
 */
int64_t keyed_number(const char *text, const char *key);

#endif
