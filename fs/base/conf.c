/*
 * conf: `name = value` lines and the units of values.
 *
 * A '#' begins a comment at the start of a line or after a space, so that a value may hold one inside a word.
 */
#include "base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"

#define CONF_MAX_ENTRIES 64

/* ---- units ---- */

struct conf_unit {
	const char *name;
	int64_t factor;
};

static const struct conf_unit conf_durations[] = {
	{ "", NS_PER_S }, { "ms", NS_PER_MS }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S },
	{ "h", 3600 * NS_PER_S }, { "d", 86400 * NS_PER_S }, { NULL, 0 },
};

static const struct conf_unit conf_sizes[] = {
	{ "", 1 }, { "k", 1LL << 10 }, { "K", 1LL << 10 }, { "m", 1LL << 20 }, { "M", 1LL << 20 }, { "g", 1LL << 30 },
	{ "G", 1LL << 30 }, { "t", 1LL << 40 }, { "T", 1LL << 40 }, { NULL, 0 },
};

static const struct conf_unit *conf_find_unit(const struct conf_unit *units, const char *name)
{
	for (; units->name; units++)
		if (!strcmp(units->name, name))
			return units;
	return NULL;
}

#define CONF_FRACTION_DIGITS 9	/* of 0.123456789 s: nanoseconds; further digits are dropped */

/* The value of `count` digits after the point, in parts of `factor`; at most CONF_FRACTION_DIGITS are looked at. */
static int64_t conf_fraction(const char *digits, size_t count, int64_t factor)
{
	int64_t numerator = 0, denominator = 1;

	if (count > CONF_FRACTION_DIGITS)
		count = CONF_FRACTION_DIGITS;
	for (size_t i = 0; i < count; i++) {
		numerator = numerator * 10 + (digits[i] - '0');
		denominator *= 10;
	}
	/* numerator < denominator, so the result fits; the product needs more than 64 bits. */
	return (int64_t)((__int128)factor * numerator / denominator);
}

/* DIGITS[.DIGITS]UNIT, by hand and in whole numbers: strtod would take "inf", "0x1p3" and the locale's comma. */
static int conf_parse_scaled(const char *text, const struct conf_unit *units, int64_t *ret_value)
{
	size_t whole = strspn(text, "0123456789"), digits = 0;
	const char *rest = text + whole, *fraction = NULL;
	const struct conf_unit *unit;
	int64_t value = 0;

	if (*rest == '.') {
		fraction = rest + 1;
		digits = strspn(fraction, "0123456789");
		rest = fraction + digits;
	}
	unit = conf_find_unit(units, rest);
	if (!unit || !whole || (fraction && !digits))
		return -EINVAL;
	for (size_t i = 0; i < whole; i++)
		if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
		    __builtin_add_overflow(value, (int64_t)(text[i] - '0'), &value))
			return -EINVAL;
	if (__builtin_mul_overflow(value, unit->factor, &value) ||
	    __builtin_add_overflow(value, conf_fraction(fraction, digits, unit->factor), &value))
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int conf_parse_duration(const char *text, int64_t *ret_ns)
{
	return conf_parse_scaled(text, conf_durations, ret_ns);
}

int conf_parse_size(const char *text, int64_t *ret_bytes)
{
	return conf_parse_scaled(text, conf_sizes, ret_bytes);
}

int conf_parse_number(const char *text, int64_t min, int64_t max, int64_t *ret_number)
{
	const char *digits = text + (*text == '-');
	long long value;

	if (!*digits || digits[strspn(digits, "0123456789")])
		return -EINVAL;
	errno = 0;
	value = strtoll(text, NULL, 10);
	if (errno || value < min || value > max)
		return -ERANGE;
	*ret_number = value;
	return 0;
}

/* ---- setters ---- */

static void *conf_field(void *target, const struct conf_entry *entry)
{
	return (char *)target + entry->offset;
}

int conf_set_string(void *target, const struct conf_entry *entry, const char *value, struct buf *why)
{
	char **field = conf_field(target, entry);
	char *copy;

	copy = strdup(value);
	if (!copy) {
		buf_adds(why, "out of memory");
		return -EINVAL;
	}
	free(*field);
	*field = copy;
	return 0;
}

static void conf_add_duration(struct buf *to, int64_t ns)
{
	if (ns % NS_PER_S)
		buf_addf(to, "%lldms", (long long)(ns / NS_PER_MS));
	else
		buf_addf(to, "%llds", (long long)(ns / NS_PER_S));
}

int conf_set_duration(void *target, const struct conf_entry *entry, const char *value, struct buf *why)
{
	int64_t *field = conf_field(target, entry);
	int64_t ns;

	if (conf_parse_duration(value, &ns)) {
		buf_addf(why, "'%s' is not a time: write 90, 90s, 2m, 1h or 500ms", value);
		return -EINVAL;
	}
	if (ns < entry->min || ns > entry->max) {
		buf_addf(why, "'%s' is out of range: from ", value);
		conf_add_duration(why, entry->min);
		buf_adds(why, " to ");
		conf_add_duration(why, entry->max);
		return -EINVAL;
	}
	*field = ns;
	return 0;
}

int conf_set_number(void *target, const struct conf_entry *entry, const char *value, struct buf *why)
{
	int64_t *field = conf_field(target, entry);

	switch (conf_parse_number(value, entry->min, entry->max, field)) {
	case 0:
		return 0;
	case -ERANGE:
		buf_addf(why, "'%s' is out of range: from %" PRId64 " to %" PRId64, value, entry->min, entry->max);
		return -EINVAL;
	default:
		buf_addf(why, "'%s' is not a whole number", value);
		return -EINVAL;
	}
}

int conf_set_choice(void *target, const struct conf_entry *entry, const char *value, struct buf *why)
{
	int *field = conf_field(target, entry);

	for (int i = 0; entry->choices[i]; i++) {
		if (!strcmp(entry->choices[i], value)) {
			*field = i;
			return 0;
		}
	}
	buf_addf(why, "'%s' is not one of", value);
	for (int i = 0; entry->choices[i]; i++)
		buf_addf(why, "%s %s", i ? "," : "", entry->choices[i]);
	return -EINVAL;
}

/* ---- lines ---- */

/* Cuts the comment and the white space at both ends of the NUL-terminated `line`, in place. */
static char *conf_trim(char *line)
{
	char *end;

	line += strspn(line, " \t\r");
	for (end = line; *end; end++)
		if (*end == '#' && (end == line || end[-1] == ' ' || end[-1] == '\t'))
			break;
	while (end > line && strchr(" \t\r", end[-1]))
		end--;
	*end = '\0';
	return line;
}

static const struct conf_entry *conf_find(const struct conf_entry *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

static void conf_unknown(const struct conf_entry *table, const char *name, struct buf *why)
{
	const char *names[CONF_MAX_ENTRIES + 1] = { NULL }, *near;

	for (int i = 0; table[i].name && i < CONF_MAX_ENTRIES; i++)
		names[i] = table[i].name;
	near = args_nearest(name, names);
	buf_addf(why, "no such setting: '%s'", name);
	if (near)
		buf_addf(why, "; did you mean '%s'?", near);
}

int conf_set(const struct conf_entry *table, void *target, const char *name, const char *value, struct buf *why)
{
	const struct conf_entry *entry = conf_find(table, name);
	struct buf reason = BUF_INIT;
	int error;

	if (!entry) {
		conf_unknown(table, name, why);
		return -EINVAL;
	}
	error = entry->set(target, entry, value, &reason);
	if (error)
		buf_addf(why, "%s: %s", name, buf_text(&reason));
	buf_release(&reason);
	return error;
}

/* One line without its end; `seen` holds for each entry of the table the line that gave it, 0 for none. */
static int conf_parse_line(char *line, int number, const struct conf_entry *table, void *target, int *seen, struct buf *why)
{
	char *name = conf_trim(line), *equals, *value;
	const struct conf_entry *entry;

	if (!*name)
		return 0;
	equals = strchr(name, '=');
	if (!equals) {
		buf_addf(why, "'%s' is not of the form name = value", name);
		return -EINVAL;
	}
	*equals = '\0';
	value = conf_trim(equals + 1);
	name = conf_trim(name);
	entry = conf_find(table, name);
	if (entry && seen[entry - table]) {
		buf_addf(why, "%s is given twice, first in line %d", name, seen[entry - table]);
		return -EINVAL;
	}
	if (entry)
		seen[entry - table] = number;
	return conf_set(table, target, name, value, why);
}

int conf_parse(const char *file, const char *text, size_t len, const struct conf_entry *table, void *target, struct buf *why)
{
	int seen[CONF_MAX_ENTRIES] = { 0 };
	struct buf line = BUF_INIT, reason = BUF_INIT;
	int error = 0, number = 0;

	while (len && !error) {
		const char *end = memchr(text, '\n', len);
		size_t line_len = end ? (size_t)(end - text) : len;

		number++;
		buf_reset(&line);
		buf_add(&line, text, line_len);
		if (buf_error(&line)) {
			buf_adds(&reason, "out of memory");
			error = -EINVAL;
		} else if (memchr(text, '\0', line_len)) {
			buf_adds(&reason, "a NUL byte: this is not a text file");
			error = -EINVAL;
		} else {
			error = conf_parse_line(line.data, number, table, target, seen, &reason);
		}
		line_len += end != NULL;
		text += line_len;
		len -= line_len;
	}
	if (error)
		buf_addf(why, "%s:%d: %s", file, number, buf_text(&reason));
	buf_release(&line);
	buf_release(&reason);
	return error;
}
