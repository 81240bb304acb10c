/*
 * pct: percent-encoding of names.
 */
#include "base/pct.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool pct_plain(unsigned char c)
{
	return c >= 0x20 && c != 0x7f && c != '%';
}

static void pct_add(struct buf *to, unsigned char c, bool plain)
{
	if (plain)
		buf_addch(to, c);
	else
		buf_addf(to, "%%%02X", c);
}

void pct_encode(struct buf *to, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		pct_add(to, c, pct_plain(c));
	}
}

void pct_encode_value(struct buf *to, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		pct_add(to, c, pct_plain(c) && c != ' ' && c != '=');
	}
}

static int pct_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int pct_decode(char *text)
{
	const char *from = text;
	char *to = text;

	while (*from) {
		int high, low;

		if (*from != '%') {
			*to++ = *from++;
			continue;
		}
		high = pct_digit(from[1]);
		low = high < 0 ? -1 : pct_digit(from[2]);
		if (low < 0 || !(high || low))
			return -EINVAL;
		*to++ = (char)(high << 4 | low);
		from += 3;
	}
	*to = '\0';
	return (int)(to - text);
}
