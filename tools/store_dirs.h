/*
 * store_dirs: makes the empty store of a new queue, .claimfs/, on any directory: step by step, so that what was made can be taken back.
 */
#ifndef CLAIMFS_TOOLS_STORE_DIRS_H
#define CLAIMFS_TOOLS_STORE_DIRS_H

#include "base/buf.h"

/* Directories of .claimfs in `dir`; those that are there already are fine. 0, or -errno with one line in `why`. */
int store_dirs_make(const char *dir, struct buf *why);

/* Takes back what is empty of them. */
void store_dirs_unmake(const char *dir);

/* Does this disk make hard links? In .claimfs/tmp. 0, or -errno with one line in `why`. */
int store_dirs_try_link(const char *dir, struct buf *why);

/* queue.conf with `text`, if there is none: whole from the moment it is there. 0; -EEXIST: another made it meanwhile; -errno, `why`. */
int store_dirs_put_conf(const char *dir, const char *text, size_t len, struct buf *why);

#endif
