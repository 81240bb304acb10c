/*
 * json_read: numbers of JSON that others wrote.
 */
#ifndef CLAIMFS_TOOLS_JSON_READ_H
#define CLAIMFS_TOOLS_JSON_READ_H

struct cJSON;

/* The number of that name; -1: there is none. `object` may be NULL. */
double json_number(const struct cJSON *object, const char *name);

/* The same of what can't be negative: 0 where it is, or there is none. */
double json_count(const struct cJSON *object, const char *name);

#endif
