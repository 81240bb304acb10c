/*
 * names: lists of units' names, from directories, and doing something for each of many at once.
 */
#ifndef CLAIMFS_TOOLS_NAMES_H
#define CLAIMFS_TOOLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
	char **list;
	size_t count;
	size_t room;
};

#define NAMES_INIT { 0 }

int names_add(struct names *names, const char *name);		/* copies; 0 or -ENOMEM */
void names_release(struct names *names);

/*
 * Adds the regular files at any depth below `dir`, relative to it. With `as_inputs` those that no queue takes for units (qconf_skips) are
 * left out, and directories of such names are not entered. At most `max` (0: all). 0 or -errno: what could not be read.
 */
int names_walk(struct names *names, const char *dir, bool as_inputs, size_t max);

/*
 * Calls `each` for every name, on several threads: each may cost a round trip. `each` returns 0 or what its caller counts as not done
 * (any other value). Returns how many those were.
 */
size_t names_each(const struct names *names, int (*each)(void *arg, const char *name), void *arg);

#endif
