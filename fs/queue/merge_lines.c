/*
 * merge_lines: the lines of merged logs, written and read. See merge.h.
 */
#include "queue/merge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queue/record.h"

#define MAX_OFFSET (1ULL << 40)		/* as far as places in logs reach */

/* Digits up to `stop`, which is where *ret_end points then. */
static int parse_offset(const char *text, size_t len, char stop, uint64_t *ret_number, size_t *ret_len)
{
	uint64_t number = 0;
	size_t i;

	for (i = 0; i < len && text[i] != stop; i++) {
		if (text[i] < '0' || text[i] > '9' || number >= MAX_OFFSET)
			return -EINVAL;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	if (i == 0 || number >= MAX_OFFSET || (stop && i == len))
		return -EINVAL;
	*ret_number = number;
	*ret_len = i;
	return 0;
}

int merge_origin(const char *values, struct merge_origin *ret_origin)
{
	struct merge_origin origin;
	const char *value, *colon;
	uint32_t number;
	size_t len, used;

	value = record_find_value(values, "from", &len);
	if (!value)
		return -ENOENT;
	colon = memchr(value, ':', len);
	if (!colon || colon - value > LAYOUT_MAX_LOG || layout_parse_log(value, (size_t)(colon - value), &origin.node_len, &number) < 0)
		return -EINVAL;
	memcpy(origin.log, value, (size_t)(colon - value));
	origin.log[colon - value] = '\0';
	len -= (size_t)(colon + 1 - value);
	value = colon + 1;
	if (parse_offset(value, len, ':', &origin.begin, &used) < 0)
		return -EINVAL;
	if (parse_offset(value + used + 1, len - used - 1, '\0', &origin.end, &len) < 0 || origin.end <= origin.begin)
		return -EINVAL;
	*ret_origin = origin;
	return 0;
}

/* One line, its newline not counted in `len`. Lines that are no records go no further. */
static void add_line(const char *log, uint64_t offset, const char *line, size_t len, struct buf *to)
{
	char copy[RECORD_MAX_LINE], from[LAYOUT_MAX_LOG + 64];
	struct record record;
	size_t from_len, values_len, room;

	if (len >= sizeof(copy))
		return;
	memcpy(copy, line, len);
	copy[len] = '\0';
	if (record_parse(copy, len, &record) < 0)
		return;
	if (record_find_value(record.values, "from", &from_len)) {
		buf_add(to, line, len);
	} else {
		snprintf(from, sizeof(from), "from=%s:%" PRIu64 ":%" PRIu64, log, offset, offset + len + 1);
		from_len = strlen(from) + 1;
		values_len = strlen(record.values);
		room = RECORD_MAX_VALUES - values_len;
		/* Where there is no room for it, it stands instead of all other values. */
		if (values_len && (room < from_len || len + from_len + 1 >= RECORD_MAX_LINE))
			len -= values_len + 1;
		buf_add(to, line, len);
		buf_addf(to, " %s", from);
	}
	buf_addch(to, '\n');
}

int64_t merge_lines(const char *log, uint64_t offset, const char *text, size_t len, struct buf *to)
{
	const char *line = text, *end;

	for (; len && (end = memchr(line, '\n', len)) != NULL; len -= (size_t)(end + 1 - line), line = end + 1)
		add_line(log, offset + (uint64_t)(line - text), line, (size_t)(end - line), to);
	return buf_error(to) ? buf_error(to) : (int64_t)(line - text);
}
