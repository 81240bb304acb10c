/*
 * heard: a tree over the peer of the tests, a reply that waits for its answer, and blocking shorthands for what is done to names in the root.
 *
 *   heard_ask() is given to an operation; heard_wait() is its answer; what came with it is in heard.got.
 */
#ifndef CLAIMFS_TESTS_FAKE_HEARD_H
#define CLAIMFS_TESTS_FAKE_HEARD_H

#include "tests/fake/awaited.h"
#include "tests/fake/rig.h"
#include "tree/tree.h"

struct heard {
	struct rig rig;
	struct tree *tree;
	struct awaited got;
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
