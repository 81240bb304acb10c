/*
 * file: open real files: reads, read-ahead, queued writes, copies. What real directories (dir.c, attr.c, node.c) need of them.
 */
#ifndef CLAIMFS_TREE_FILE_H
#define CLAIMFS_TREE_FILE_H

#include <sys/stat.h>

#include "tree/node.h"

struct sftp_attrs;

struct files;			/* what all open files of a mount share */

int files_new(const struct tree *tree, struct files **ret_files);		/* 0 or -ENOMEM */
void files_free(struct files *files);						/* NULL is fine */

/* node_ops of real files. create follows O_EXCL in `flags`; the node is made by the file side with &real_ops. */
void file_open(struct tree *tree, struct node *node, int flags, struct reply *reply);
void file_create(struct tree *tree, struct node *dir, const char *name, mode_t mode, int flags, struct reply *reply);

/*
 * getattr and setattr of a node that has open files, or of a handle: by descriptor, queued writes included, so they work on unlinked files too.
 * true: the reply is the file side's now. false: nothing is open (or not its affair): ask by path.
 */
bool file_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply);
bool file_setattr(struct tree *tree, struct node *node, struct handle *handle, const struct stat *st, unsigned int valid, struct reply *reply);

/*
 * What the server said of a node's attributes (`answer`) may lack writes that are still queued or have come to it meanwhile: puts the size in `st` right.
 * True: more is on its way, the kernel should not keep these attributes. Quick, any thread.
 */
bool file_overlay(struct tree *tree, struct node *node, const struct sftp_attrs *answer, struct stat *st);

/* The node (a regular file) has another path now: its open files are told (sftp_file_moved). */
void file_moved(struct tree *tree, struct node *node);
/* A rename to that path is being asked for (sftp_file_moving). NULL: it did not happen. */
void file_moving(struct tree *tree, struct node *node, const char *path);

/*
 * The entry is being removed, or another file is being put in its place: its open files must not be opened by that name again, not on another
 * connection either, or what is written to them ends up in the other file. Before the request is sent. `gone` false: it did not happen.
 */
void file_gone(struct tree *tree, struct node *dir, const char *name, bool gone);

/*
 * `done` is called once the server has closed all handles of the node that the kernel had given back when this was asked, at once or later: only then has a
 * file that was removed given its bytes back. `node` may be NULL, or of any kind. `done` is quick; any thread.
 */
void file_await_closes(struct tree *tree, struct node *node, void (*done)(void *arg), void *arg);

/* node_ops.free of real nodes: what the file side keeps in node->data. */
void file_node_free(struct node *node);

#endif
