/*
 * task: what one operation on a real node holds while the server works on it: the reply, the nodes, and the requests sent.
 *
 * Begun by task_new(), ended by exactly one task_end() or task_fail(), after or with its answer.
 */
#ifndef CLAIMFS_TREE_TASK_H
#define CLAIMFS_TREE_TASK_H

#include "tree/change.h"
#include "tree/flight.h"
#include "tree/tree.h"

struct task {
	struct tree *tree;
	struct reply *reply;
	struct node *node;		/* held, or NULL: so with all nodes here */
	struct node *dir;
	struct node *new_dir;
	char *name;			/* in dir */
	char *new_name;			/* in new_dir */
	struct buf path;
	struct buf path2;
	struct change change;
	struct flight flight;
	struct sftp_attrs attrs;	/* to be set */
	bool nofollow;
	unsigned int keep;		/* TREE_SET_ATIME, TREE_SET_MTIME: the one that stays as it is */
	bool name_only;			/* the attributes are not to be kept */
	void *owner;			/* of who began it */
	double age;			/* of the attributes it answers with, in seconds */
};

/* On `dir`'s entry `name`, or on `node` (those not meant are NULL). NULL: out of memory, and the reply has been answered so. */
struct task *task_new(struct tree *tree, struct reply *reply, struct node *node, struct node *dir, const char *name);
void task_end(struct task *task);

/* Answers with what a caller of a system call may see (-EREMOTEIO becomes -EIO, -ESTALE of a name that is gone -ENOENT), and ends. */
void task_fail(struct task *task, int error);

void task_done(void *task);	/* answers with success, and ends */

/* The path of the task's node, or of dir and name, into task->path. */
int task_path(struct task *task);

/* Answers with the entry that dir and name are, having these attributes, and ends. */
void task_entry(struct task *task, const struct sftp_attrs *attrs);
void task_attr(struct task *task, const struct sftp_attrs *attrs);

#endif
