/*
 * heard: a tree over the peer of the tests, a reply that waits for its answer, and blocking shorthands for what is done to names in the root.
 *
 *   heard_ask() is given to an operation; heard_wait() is its answer, which must come once; what came with it is in `heard`.
 */
#ifndef CLAIMFS_TESTS_FAKE_HEARD_H
#define CLAIMFS_TESTS_FAKE_HEARD_H

#include "base/list.h"
#include "tests/fake/rig.h"
#include "tree/tree.h"

struct heard {
	struct reply reply;
	struct rig rig;
	struct tree *tree;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int answers;
	int error;		/* of what was answered; 1: nothing yet */
	struct node *node;
	struct stat st;
	struct handle *handle;
	struct statvfs statvfs;
	char text[4200];
	struct buf names;	/* of a listing, "name/" for directories, each with a newline */
	size_t room;		/* entries it takes */
	off_t next;
	int plus;		/* entries that came with attributes */
};

extern struct heard heard;

int heard_setup(void **state);		/* for cmocka */
int heard_teardown(void **state);

struct reply *heard_ask(void);
int heard_wait(void);			/* 0 or -errno */

int heard_lookup(struct node *dir, const char *name, struct node **ret_node);
void heard_forget(struct node *node);
int heard_mkdir(const char *name);
int heard_unlink(const char *name);
int heard_rmdir(const char *name);
int heard_rename(const char *from, const char *to, unsigned int flags);
int heard_symlink(const char *name, const char *target);
int heard_link(const char *from, const char *to);

/* Behind the server's back. */
void heard_put(const char *name);
bool heard_is_there(const char *name);

void heard_expect_names(const char *expected);	/* of the listings so far */

#endif
