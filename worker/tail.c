/*
 * tail: a ring; byte number n of the stream stands at n modulo its size.
 */
#include "worker/tail.h"

#include <string.h>

void tail_reset(struct tail *tail)
{
	tail->total = 0;
}

void tail_add(struct tail *tail, const char *data, size_t len)
{
	size_t at, first;

	if (len > TAIL_BYTES) {
		tail->total += len - TAIL_BYTES;
		data += len - TAIL_BYTES;
		len = TAIL_BYTES;
	}
	at = tail->total % TAIL_BYTES;
	first = len < TAIL_BYTES - at ? len : TAIL_BYTES - at;
	memcpy(tail->bytes + at, data, first);
	memcpy(tail->bytes, data + first, len - first);
	tail->total += len;
}

void tail_text(const struct tail *tail, struct buf *to)
{
	size_t at = tail->total % TAIL_BYTES, start = to->len;
	const char *newline;

	if (tail->total <= TAIL_BYTES) {
		buf_add(to, tail->bytes, (size_t)tail->total);
		return;
	}
	buf_add(to, tail->bytes + at, TAIL_BYTES - at);
	buf_add(to, tail->bytes, at);
	if (buf_error(to))
		return;
	newline = memchr(to->data + start, '\n', TAIL_BYTES - 1);
	if (newline) {
		size_t cut = (size_t)(newline + 1 - (to->data + start));

		memmove(to->data + start, newline + 1, TAIL_BYTES - cut);
		buf_truncate(to, to->len - cut);
	}
}
