/*
 * errors: what SFTP's "failure", or an answer that never came, meant. Decided by looking, in this one place.
 */
#ifndef CLAIMFS_TREE_ERRORS_H
#define CLAIMFS_TREE_ERRORS_H

#include <stdbool.h>

#include "sftp/client.h"

enum change_kind {
	CHANGE_MKDIR, CHANGE_RMDIR, CHANGE_REMOVE, CHANGE_SYMLINK, CHANGE_LINK, CHANGE_RENAME, CHANGE_RENAME_NEW /* not over anything */,
	CHANGE_CREATE /* O_EXCL */, CHANGE_OPEN, CHANGE_WRITE, CHANGE_SETATTR, CHANGE_KINDS
};

struct errors_look {			/* one name that was looked at */
	int error;			/* 0 it is there, -ENOENT, or the look failed */
	struct sftp_attrs attrs;
};

struct errors_disk {			/* one directory's disk */
	int error;			/* not 0: not known */
	struct sftp_statvfs statvfs;
};

struct errors_seen {
	int error;			/* -EREMOTEIO, SFTP_UNKNOWN, or -ENOENT, which may be ENOTDIR */
	bool uncertain;			/* an answer was lost, now or earlier */
	struct errors_look first;	/* change->path */
	struct errors_look second;	/* change->path2 of renames and links */
	struct errors_disk disk;	/* where `path` is */
	struct errors_disk disk2;	/* where `path2` is */
};

#define ERRORS_AGAIN (-EAGAIN)		/* it did not happen, and nothing speaks against it: send it again */

int errors_decide(enum change_kind kind, const struct errors_seen *seen);	/* 0 it happened; -errno; ERRORS_AGAIN */

/* A change failed though its names are fine: is it the disk? -EROFS, -ENOSPC, or -EIO. */
int errors_blame_disk(const struct errors_disk *disk);

/* What is not worth a look, for a caller of a system call: -EREMOTEIO and SFTP_UNKNOWN become -EIO. */
int errors_plain(int error);

#endif
