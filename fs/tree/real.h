/*
 * real: the operations of real nodes, one file a subject; dir.c has the table (real_ops). Internal to tree/.
 */
#ifndef CLAIMFS_TREE_REAL_H
#define CLAIMFS_TREE_REAL_H

#include "tree/tree.h"

/* attr.c */
void real_getattr(struct tree *tree, struct node *node, struct handle *handle, struct reply *reply);
void real_setattr(struct tree *tree, struct node *node, struct handle *handle, const struct stat *st, unsigned int valid, struct reply *reply);
void real_statvfs(struct tree *tree, struct node *node, struct reply *reply);
void real_access(struct tree *tree, struct node *node, int mask, struct reply *reply);
void real_getxattr(struct tree *tree, struct node *node, const char *name, size_t size, struct reply *reply);

struct task;
/* What `valid` fields of `st` are on the server, into task->attrs; of times that stay: task->keep. 0, -EPERM for an id without counterpart. */
int real_fill_attrs(struct task *task, const struct stat *st, unsigned int valid);

/* listing.c */
void real_opendir(struct tree *tree, struct node *dir, struct reply *reply);

/* rename.c */
void real_rename(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags, struct reply *reply);
void real_link(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply);
/* The same, once the new directory has agreed: for rename_into and link_into. */
void real_rename_here(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name, unsigned int flags, struct reply *reply);
void real_link_here(struct tree *tree, struct node *node, struct node *new_dir, const char *new_name, struct reply *reply);

/* symlink.c */
void real_readlink(struct tree *tree, struct node *node, struct reply *reply);

/*
 * What a link's text becomes (transform_symlinks), and whether it may be shown (contain_symlinks): `depth` is how many directories the link's
 * own is below the mount's root. 0, -EPERM, -ENOMEM.
 */
int symlink_text(const struct tree_options *options, const char *root_path, unsigned int depth, const char *text, struct buf *ret_text);

#endif
