/*
 * children: the processes whose parent is this one; with PR_SET_CHILD_SUBREAPER those too whose parents below it have ended.
 */
#ifndef CLAIMFS_BASE_CHILDREN_H
#define CLAIMFS_BASE_CHILDREN_H

#include <stdbool.h>
#include <sys/types.h>

/* Kills those of the calling thread, which has made them all, for which `spare` (NULL: none) says false; the number of them. They are left to be reaped. */
int children_kill(bool (*spare)(void *arg, pid_t pid), void *arg);

#endif
