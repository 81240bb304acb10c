/*
 * json_text: names and words of others as strings of JSON, and JSON on standard output.
 */
#ifndef CLAIMFS_TOOLS_JSON_TEXT_H
#define CLAIMFS_TOOLS_JSON_TEXT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/buf.h"

/* Adds `bytes`, copied, to `object`: those that are no UTF-8 become %XX, so that every line is JSON. */
void json_text_add(cJSON *object, const char *name, const char *bytes);

/* The same for what a program printed: NUL and bytes that are no UTF-8 become U+FFFD. */
void json_text_add_output(cJSON *object, const char *name, const struct buf *bytes);

/* Prints `root`, in one line or as people read it, and frees it. 0, -ENOMEM or -EIO; standard output is not flushed. */
int json_text_print(cJSON *root, bool one_line);

#endif
