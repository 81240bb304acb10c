/*
 * conf: files of `name = value` lines with `#` comments, and the units of values.
 *
 * A table describes the names; an unknown name (the nearest known one is named), a name given twice, or a bad value is an
 * error that says file and line. A '#' begins a comment at the start of a line or after white space.
 */
#ifndef CLAIMFS_BASE_CONF_H
#define CLAIMFS_BASE_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct conf_entry {
	const char *name;
	/* Puts `value` into `target` (the struct given to conf_parse). 0, or -EINVAL with the reason appended to `why`. */
	int (*set)(void *target, const struct conf_entry *entry, const char *value, struct buf *why);
	size_t offset;			/* of the field within `target`, for the ready-made setters */
	const char *const *choices;	/* for conf_set_choice, ends with NULL */
	int64_t min;			/* for conf_set_duration and conf_set_number */
	int64_t max;
};

/* Ready-made setters. */
int conf_set_string(void *target, const struct conf_entry *entry, const char *value, struct buf *why);	/* char *, replaced with a copy */
int conf_set_duration(void *target, const struct conf_entry *entry, const char *value, struct buf *why);	/* int64_t, ns; 90, 90s, 2m, 1h, 500ms */
int conf_set_number(void *target, const struct conf_entry *entry, const char *value, struct buf *why);	/* int64_t */
int conf_set_choice(void *target, const struct conf_entry *entry, const char *value, struct buf *why);	/* int, index into choices */

/*
 * Parses `text` (of `len` bytes, read from a file that messages call `file`) into `target`. `table` ends with a NULL name.
 * 0, or -EINVAL with one line in `why`: "FILE:LINE: what and why".
 */
int conf_parse(const char *file, const char *text, size_t len, const struct conf_entry *table, void *target, struct buf *why);

/* One setting by name, with the same errors but for file and line: "NAME: reason". */
int conf_set(const struct conf_entry *table, void *target, const char *name, const char *value, struct buf *why);

int conf_parse_duration(const char *text, int64_t *ret_ns);	/* 0 or -EINVAL; no unit means seconds; fractions allowed */
int conf_parse_size(const char *text, int64_t *ret_bytes);	/* 0 or -EINVAL; k, M, G, T are powers of 1024 */
int conf_parse_number(const char *text, int64_t min, int64_t max, int64_t *ret_number);	/* 0, -EINVAL, -ERANGE */

#endif
