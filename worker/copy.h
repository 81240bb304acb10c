/*
 * copy: a file or a directory, whole, to a place where nothing is yet, or an old attempt's leftover.
 */
#ifndef CLAIMFS_WORKER_COPY_H
#define CLAIMFS_WORKER_COPY_H

/* Regular files and directories; modes are kept; anything else in a directory is left out. 0 or -errno: of close too. */
int copy_tree(const char *from, const char *to);

/* rm -rf, silently. */
void copy_remove(const char *path);

#endif
