/*
 * internal: what session.c, ops.c, reply.c, dying.c and pages.c share.
 */
#ifndef CLAIMFS_FUSE_INTERNAL_H
#define CLAIMFS_FUSE_INTERNAL_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "fuse/session.h"
#include "tree/tree.h"

struct session {
	struct tree *tree;
	struct fuse_session *fuse;
	char *mountpoint;
	bool mounted;
	bool signals;			/* handlers are set */
	bool single_thread;
	bool auto_cache;
	bool no_readdirplus;
	uint32_t readahead;
	pthread_mutex_t lock;		/* guards all below; taken last, never held over a call into tree or libfuse */
	pthread_cond_t changed;
	struct list replies;		/* struct fuse_reply: unanswered */
	uint64_t last_id;
	unsigned int interrupted;	/* unanswered ones that a signal has hit */
	unsigned int returning;		/* handles given back, by the kernel or at the end: their replies are not yet there */
	pthread_cond_t returned;	/* … one is: for session_end() alone, since it happens with every file that is closed */
	unsigned int notices;		/* to the kernel, under way; their end is told by `returned` once `leaving` */
	bool leaving;			/* no more notices */
	struct map handles;		/* address → open handle */
	bool ending;
	struct list drops;		/* of pages.c: to be done */
	pthread_cond_t drops_changed;
	bool dropping_ends;
	bool dropping;			/* its thread runs */
	pthread_t dropper;
	bool watching;			/* the watcher thread runs */
	pthread_t watcher;
};

extern const struct fuse_lowlevel_ops session_ops;	/* ops.c */

/* Once the kernel has had the answer to INIT: that sets the readahead too. */
void session_raise_readahead(const struct session *session);

/*
 * Around every notice to the kernel. False: the mount is ending, and none may be sent: they go to a descriptor that the unmount closes, and its number
 * may soon be another file's.
 */
bool session_notice_begin(struct session *session);
void session_notice_end(struct session *session);

/* ---- reply.c: tree/reply.h over fuse_req_t ---- */

enum reply_kind { REPLY_PLAIN, REPLY_DIRENTS, REPLY_DIRENTS_PLUS, REPLY_XATTR, REPLY_RELEASE };

/* A reply for this request. NULL: out of memory, and the request has been answered so. `size`: the most bytes of dirents. */
struct reply *reply_new(fuse_req_t req, enum reply_kind kind, size_t size);

/* Whose attributes are asked for. */
void reply_about(struct reply *reply, struct node *node);

/* The kernel gives the handle back: releases it, with a reply of its own. */
void reply_release(fuse_req_t req, struct handle *handle);

/* A reply nobody waits for: a handle that is given back. Counted as a REPLY_RELEASE is, so that session_end() can wait for what it wrote. */
struct reply *reply_nobody(struct session *session);

/* Watches the processes that signals have hit: one that is to die waits no longer. */
int reply_watch_begin(struct session *session);
void reply_watch_end(struct session *session);

/* pages.c: tree->invalidate_pages. Ending it carries out what was asked for before; after that all are answered at once. */
int pages_begin(struct session *session);
void pages_end(struct session *session);
void pages_drop(void *arg, struct node *node, uint64_t offset, void (*done)(void *done_arg), void *done_arg);

/* dying.c: is one of the signals that end programs pending for this thread or its process? */
bool dying_is(pid_t pid);

#endif
