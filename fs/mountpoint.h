/*
 * mountpoint: may something be mounted there?
 */
#ifndef CLAIMFS_MOUNTPOINT_H
#define CLAIMFS_MOUNTPOINT_H

#include <stdbool.h>

#include "base/buf.h"

/* 0, and its absolute path (malloc'ed), or -errno with one line in `why` that says what to do. */
int mountpoint_check(const char *path, bool may_hold_files, char **ret_path, struct buf *why);

#endif
