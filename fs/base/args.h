/*
 * args: what all three programs' command lines share: usage errors that name the option and the nearest known one.
 * Options themselves are parsed with getopt_long from one table a program, from which --help is printed too.
 */
#ifndef CLAIMFS_BASE_ARGS_H
#define CLAIMFS_BASE_ARGS_H

#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"

struct args_option {
	int key;		/* the short option's letter, or ≥ 256 for long-only ones */
	const char *name;	/* long name without dashes, or NULL */
	const char *value;	/* what --help calls its argument; NULL: takes none */
	const char *help;	/* one line */
};

/* Called for each option found; 0 or -EINVAL with the reason in `why` (without the option's name). */
typedef int args_set(void *target, int key, const char *value, struct buf *why);

/*
 * Parses options up to the first operand (or "--", which is skipped); table ends with key 0. *ret_first is the index of the first
 * operand. 0, or -EINVAL with one line in `why` that names the option, and for an unknown one the nearest known.
 * Uses getopt_long: not thread-safe, meant for main().
 */
int args_parse(int argc, char **argv, const struct args_option *table, args_set *set, void *target, int *ret_first, struct buf *why);
void args_print_options(FILE *out, const struct args_option *table);

/* The candidate nearest to `word` by edit distance, NULL when none is near. `candidates` ends with NULL. */
const char *args_nearest(const char *word, const char *const *candidates);
size_t args_distance(const char *a, const char *b);	/* Damerau-Levenshtein */

#endif
