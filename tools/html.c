/*
 * html: the only way for foreign bytes into a page.
 */
#include "tools/html.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

#define NARROW_SPACE "\xe2\x80\xaf"
#define ELLIPSIS "\xe2\x80\xa6"

/* U+0080 … U+009F are controls; U+202A … E and U+2066 … 9 turn what follows round; U+FFFE and U+FFFF may not stand in XML. */
static bool is_unwanted(const char *bytes, size_t len)
{
	const unsigned char *at = (const unsigned char *)bytes;

	if (len == 1)
		return at[0] < 0x20 || at[0] == 0x7f;
	if (len == 2)
		return at[0] == 0xc2 && at[1] < 0xa0;
	if (len != 3)
		return false;
	return (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) ||
	       (at[0] == 0xe2 && at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9) || (at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe);
}

static const char *entity(char c)
{
	switch (c) {
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '&':
		return "&amp;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

/* One character of what stands at `bytes`; how many bytes it was. */
static size_t add_character(struct buf *to, const char *bytes, size_t len, bool lines)
{
	size_t step = utf8_sequence(bytes, len), i;
	const char *named = entity(bytes[0]);

	if (named)
		buf_adds(to, named);
	else if (step && (!is_unwanted(bytes, step) || (lines && (bytes[0] == '\n' || bytes[0] == '\t'))))
		buf_add(to, bytes, step);
	else
		for (i = 0; i < (step ? step : 1); i++)
			buf_addf(to, "%%%02X", (unsigned char)bytes[i]);
	return step ? step : 1;
}

void html_text(struct buf *to, const char *bytes, size_t len)
{
	size_t at;

	for (at = 0; at < len;)
		at += add_character(to, bytes + at, len - at, false);
}

/* The length of "ESC [ … letter" at `bytes`; 0: there is none. */
static size_t colour_len(const char *bytes, size_t len)
{
	size_t at = 2;

	if (len < 3 || bytes[0] != '\x1b' || bytes[1] != '[')
		return 0;
	while (at < len && (unsigned char)bytes[at] >= 0x20 && (unsigned char)bytes[at] < 0x40)
		at++;
	return at < len && (unsigned char)bytes[at] >= 0x40 && (unsigned char)bytes[at] < 0x7f ? at + 1 : 0;
}

void html_lines(struct buf *to, const char *bytes, size_t len)
{
	size_t at = 0, skip;

	while (at < len) {
		skip = colour_len(bytes + at, len - at);
		if (!skip && bytes[at] == '\r' && at + 1 < len && bytes[at + 1] == '\n')
			skip = 1;
		at += skip ? skip : add_character(to, bytes + at, len - at, true);
	}
}

/* `count` characters from `bytes` on are so many bytes; what is no UTF-8 counts as a character a byte. */
static size_t characters(const char *bytes, size_t len, size_t count)
{
	size_t at = 0, step;

	for (; at < len && count > 0; count--) {
		step = utf8_sequence(bytes + at, len - at);
		at += step ? step : 1;
	}
	return at;
}

void html_short(struct buf *to, const char *name, size_t columns)
{
	size_t len = strlen(name), have = 0, at, head, tail;

	for (at = 0; at < len; have++)
		at += characters(name + at, len - at, 1);
	if (have <= columns) {
		html_text(to, name, len);
		return;
	}
	head = characters(name, len, columns - columns / 2 - 1);
	tail = characters(name, len, have - columns / 2);
	html_text(to, name, head);
	buf_adds(to, ELLIPSIS);
	html_text(to, name + tail, len - tail);
}

void html_count(struct buf *to, uint64_t count)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, count), i;

	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf_adds(to, NARROW_SPACE);
		buf_addch(to, digits[i]);
	}
}

void html_seconds(struct buf *to, double seconds)
{
	int64_t whole = (int64_t)(seconds + 0.5);

	if (seconds > 0 && seconds < 0.00995)
		buf_addf(to, "%.1f ms", seconds * 1000);
	else if (seconds < 0.9995)
		buf_addf(to, "%.0f ms", seconds * 1000);
	else if (seconds < 59.95)
		buf_addf(to, seconds < 9.95 && seconds != floor(seconds) ? "%.1f s" : "%.0f s", seconds);
	else if (whole < 3600)
		buf_addf(to, whole % 60 ? "%" PRId64 " min %" PRId64 " s" : "%" PRId64 " min", whole / 60, whole % 60);
	else if (whole < 48 * 3600)
		buf_addf(to, whole % 3600 / 60 ? "%" PRId64 " h %" PRId64 " min" : "%" PRId64 " h", whole / 3600, whole % 3600 / 60);
	else
		buf_addf(to, "%.1f d", seconds / 86400);
}

void html_bytes(struct buf *to, double bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	size_t unit = 0;

	while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1000;
		unit++;
	}
	buf_addf(to, unit > 0 && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

void html_time(struct buf *to, double seconds)
{
	time_t time = (time_t)seconds;
	char text[32];
	struct tm tm;

	if (fabs(seconds) < 1e12 && gmtime_r(&time, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
		buf_adds(to, text);
	else
		buf_addf(to, "%.0f", seconds);
}
