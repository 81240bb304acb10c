/*
 * warm: directories that programs work in are looked at again before the kernel asks. It forgets each name of a path after entry_timeout and then
 * asks for each anew, one after another: as many round trips as the path is long, every second.
 *
 *   lookups, creates … in a directory ─▶ warm_used(): it and those above it, when half of entry_timeout is over: LSTAT, nobody waits for it
 *   the kernel asks for the directory ─▶ warm_lookup(): answered from that, for what is left of entry_timeout
 *        └─ it is too old, after a pause: those below it that were used lately are looked at in the same flight
 *
 * Only that there is a directory of this name: its attributes, which this mount's own changes make old, are asked for when somebody wants them.
 * Thread-safe. Lock order: warm->lock before tree->lock; nothing is sent or answered under it.
 */
#ifndef CLAIMFS_TREE_WARM_H
#define CLAIMFS_TREE_WARM_H

#include <stdbool.h>

#include "sftp/client.h"
#include "tree/node.h"

#define WARM_DIRS 16

struct warm;

int warm_new(struct tree *tree, struct warm **ret_warm);	/* 0 or -ENOMEM */
void warm_stop(struct warm *warm);	/* forgets all; what is under way is dropped when it lands. NULL is fine, for warm_free() too */
void warm_free(struct warm *warm);	/* once nothing is under way */

/* A program looks for a name in the directory, or changes one. */
void warm_used(struct warm *warm, struct node *dir);

/* The server has told these attributes of the node. */
void warm_saw(struct warm *warm, struct node *node, const struct sftp_attrs *attrs);

/* The name is a directory, seen no longer than entry_timeout ago: true, what was seen, and how many seconds ago. */
bool warm_lookup(struct warm *warm, struct node *dir, const char *name, struct sftp_attrs *ret_attrs, double *ret_age);

#endif
