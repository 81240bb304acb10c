/*
 * change: retry, redo and release are the same act in three directories: removing a unit's ticket. See claimfs-queue(7).
 */
#ifndef CLAIMFS_TOOLS_CHANGE_H
#define CLAIMFS_TOOLS_CHANGE_H

#include <stdbool.h>

#include "base/args.h"

struct change {
	const char *command;
	const char *dir;	/* failed, done or claims */
	const char *did;	/* "retried" */
	const char *missing;	/* why a unit of such a name is not there */
	bool all;
};

extern const struct args_option change_options[];
int change_set(void *target, int key, const char *value, struct buf *why);
int change_run(char **operands, void *target);

#endif
