/*
 * options_table: the names after -o. Shared by options.c and options_table.c.
 */
#ifndef CLAIMFS_OPTIONS_TABLE_H
#define CLAIMFS_OPTIONS_TABLE_H

#include "options.h"

#define OPTIONS_MAX_SSH 64

/* "a,b=c": each by its name. 0, or -EINVAL, -ENOMEM with one line in `why`. */
int options_set_list(struct options *options, const char *text, struct buf *why);
int options_set(struct options *options, const char *name, const char *value, struct buf *why);	/* value NULL: none was given */

int options_set_string(char **to, const char *value);
int options_add_ssh(struct options *options, const char *name, const char *value);
int options_add_mount(struct options *options, const char *name, const char *value);

void options_print_table(FILE *out);

#endif
