/*
 * awaited: a reply that waits. awaited_ask() is given to an operation; awaited_wait() is its answer, which must come once; what came with it is in
 * the struct. One may be asked again and again; operations that are under way at the same time need one each.
 */
#ifndef CLAIMFS_TESTS_FAKE_AWAITED_H
#define CLAIMFS_TESTS_FAKE_AWAITED_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/buf.h"
#include "tree/tree.h"

struct awaited {
	struct reply reply;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int answers;		/* lock */
	int error;		/* of what was answered; 1: nothing yet */
	struct node *node;
	struct stat st;
	double entry_ttl, attr_ttl;
	struct tree_opened opened;
	size_t count;		/* bytes written */
	struct buf text;	/* what was read; the target of a link */
	struct statvfs statvfs;
	unsigned int events;	/* of a poll */
	bool abandoned;		/* the test's: nobody hears what is answered */
	void (*wake)(void *arg);	/* lock; what an interruption is to call */
	void *wake_arg;
	/* Of listings, since they were last set: */
	struct buf names;	/* "name/" for directories, each with a newline */
	size_t room;		/* entries they take */
	off_t next;
	int plus;		/* entries that came with attributes */
	int odd;		/* entries that are not what they should be */
};

void awaited_init(struct awaited *awaited);
void awaited_release(struct awaited *awaited);
struct reply *awaited_ask(struct awaited *awaited);
int awaited_wait(struct awaited *awaited);			/* 0 or -errno */
bool awaited_came(struct awaited *awaited);

#endif
