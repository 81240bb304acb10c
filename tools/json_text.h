/*
 * json_text: names and words of others as strings of JSON.
 */
#ifndef CLAIMFS_TOOLS_JSON_TEXT_H
#define CLAIMFS_TOOLS_JSON_TEXT_H

#include <cjson/cJSON.h>

/* Adds `bytes`, copied, to `object`: those that are no UTF-8 become %XX, so that every line is JSON. */
void json_text_add(cJSON *object, const char *name, const char *bytes);

#endif
