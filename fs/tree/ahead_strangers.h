/*
 * ahead_strangers: directories whose files are opened though nobody has listed them, or not lately: a program that knows the names. After some
 * such openings a directory is worth listing, so that guesses can be made; if that did not help, after twice as many.
 *
 * No locks, no requests: the owner (ahead.c) holds its lock over every call here but strangers_release().
 */
#ifndef CLAIMFS_TREE_AHEAD_STRANGERS_H
#define CLAIMFS_TREE_AHEAD_STRANGERS_H

#include <stdbool.h>

struct node;
struct tree;

#define STRANGERS_MAX 8		/* remembered; of more, the one met longest ago is forgotten */

struct stranger {
	struct node *node;		/* held; NULL: free */
	unsigned int opened;		/* files of it, since … */
	unsigned int due;		/* … so many make it worth listing */
};

struct strangers {
	struct stranger known[STRANGERS_MAX];
	unsigned int next;		/* to be forgotten */
};

/*
 * A file of `node` was opened whose name is in no listing here. True: it is time to list the directory. *ret_old is a node to unref, outside
 * the lock; NULL: none.
 */
bool strangers_opened(struct strangers *strangers, struct tree *tree, struct node *node, struct node **ret_old);

/* Forgets all: *ret_old gets what strangers_release() is for, outside the lock. */
void strangers_clear(struct strangers *strangers, struct strangers *ret_old);
void strangers_release(struct strangers *strangers, struct tree *tree);

#endif
