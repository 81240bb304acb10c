/*
 * reply: one caller that waits for an answer. The tree answers every operation exactly once through it, on any thread; the FUSE
 * side (fuse/reply.c) and the tests implement it. After an answer the reply is gone.
 */
#ifndef CLAIMFS_TREE_REPLY_H
#define CLAIMFS_TREE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

struct node;
struct handle;
struct reply;

struct caller {			/* who asks */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	mode_t umask;
};

struct tree_entry {
	struct node *node;	/* with one lookup counted for the kernel (node_ref'd), NULL: a negative entry */
	struct stat st;
	double entry_ttl;	/* seconds the kernel may keep name and attributes */
	double attr_ttl;
};

struct tree_opened {
	struct handle *handle;
	bool direct_io;		/* nothing of it in the page cache */
	bool keep_cache;	/* what the page cache holds is still right */
	bool nonseekable;
	bool no_flush;		/* closing it needs no flush() */
	bool cache_readdir;
};

struct reply_ops {
	void (*error)(struct reply *reply, int error);		/* 0 (done, nothing to say) or -errno */
	void (*entry)(struct reply *reply, const struct tree_entry *entry);
	void (*attr)(struct reply *reply, const struct stat *st, double ttl);
	void (*opened)(struct reply *reply, const struct tree_opened *opened);
	void (*created)(struct reply *reply, const struct tree_entry *entry, const struct tree_opened *opened);
	void (*data)(struct reply *reply, const struct iovec *pieces, int count);
	void (*written)(struct reply *reply, size_t count);
	void (*link)(struct reply *reply, const char *target);
	void (*statvfs)(struct reply *reply, const struct statvfs *st);
	void (*poll)(struct reply *reply, unsigned int revents);
	/*
	 * One entry of a listing; false when it does not fit: the listing stops before it, then calls `dirents`. With `plus` (readdirplus) the
	 * entry carries attributes and counts a lookup of its node when it was taken.
	 */
	bool (*dirent)(struct reply *reply, const char *name, const struct stat *st, const struct tree_entry *plus, off_t next);
	void (*dirents)(struct reply *reply);
	/* Is the caller a program that is being ended, and has been let go? What it is answered now nobody hears. */
	bool (*abandoned)(struct reply *reply);
	/* Call `wake(arg)` when the caller is interrupted (or at once). NULL takes the call-back off again, and returns only when it is not running. */
	void (*on_interrupt)(struct reply *reply, void (*wake)(void *arg), void *arg);
};

struct reply {			/* the first member of every kind */
	const struct reply_ops *ops;
	struct caller caller;
};

#endif
