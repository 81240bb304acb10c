/*
 * cgroup: may this process have control groups (v2) of its own, in which the kernel limits and measures memory?
 */
#ifndef CLAIMFS_BASE_CGROUP_H
#define CLAIMFS_BASE_CGROUP_H

#include <stdint.h>

#include "base/buf.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_SELF "/proc/self/cgroup"

/*
 * The directory of this process's own cgroup, below `root` (CGROUP_ROOT), as `self` (CGROUP_SELF) names it, if groups for jobs may be made in it.
 * 0 or -errno, whose meaning cgroup_why() says: -ENOENT no cgroup v2, -ENOTSUP no memory controller in it, -EACCES not delegated to us, -EBUSY other
 * processes are in it, which no group with groups may have.
 */
int cgroup_own(const char *root, const char *self, struct buf *ret_dir);

/* For people: why there is none. */
const char *cgroup_why(int error);

/* The number in the file `name` of the group at `dir`, or behind `key` in it ("": the first); -1: there is none. */
int64_t cgroup_number(const char *dir, const char *name, const char *key);

/* Writes `text` to the file `name` of the group at `dir`. 0 or -errno. (The kernel's groups let none make a file; a test's group has it then.) */
int cgroup_write(const char *dir, const char *name, const char *text);

#endif
