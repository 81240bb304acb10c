/*
 * buf: a growable byte buffer whose first error sticks.
 */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

#define BUF_MIN_CAP 64

void buf_init(struct buf *buf)
{
	*buf = (struct buf)BUF_INIT;
}

/* The limit is part of what the buffer is, not of what it holds: it stays. */
void buf_release(struct buf *buf)
{
	size_t max = buf->max;

	free(buf->data);
	buf_init(buf);
	buf->max = max;
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->error = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

int buf_error(const struct buf *buf)
{
	return buf->error;
}

static int buf_fail(struct buf *buf, int error)
{
	buf->error = error;
	return error;
}

int buf_reserve(struct buf *buf, size_t more)
{
	size_t need, cap;
	char *data;

	if (buf->error)
		return buf->error;
	if (buf->max && (buf->len > buf->max || more > buf->max - buf->len))
		return buf_fail(buf, -EMSGSIZE);
	if (more > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4)
		return buf_fail(buf, -ENOMEM);
	need = buf->len + more + 1;	/* the NUL */
	if (need <= buf->cap)
		return 0;
	cap = buf->cap + buf->cap / 2;
	if (cap < need)
		cap = need;
	if (cap < BUF_MIN_CAP)
		cap = BUF_MIN_CAP;
	data = fault_hit("buf-memory") ? NULL : realloc(buf->data, cap);
	if (!data)
		return buf_fail(buf, -ENOMEM);
	buf->data = data;
	buf->cap = cap;
	buf->data[buf->len] = '\0';
	return 0;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (buf_reserve(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf_adds(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_addch(struct buf *buf, int c)
{
	char byte = (char)c;

	buf_add(buf, &byte, 1);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vaddf(buf, format, args);
	va_end(args);
}

void buf_vaddf(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0) {
		if (!buf->error)
			buf_fail(buf, -ENOMEM);
		return;
	}
	if (buf_reserve(buf, (size_t)len))
		return;
	vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
	buf->len += (size_t)len;
}

void buf_drop(struct buf *buf, size_t count)
{
	assert(count <= buf->len);
	if (!count)
		return;
	buf->len -= count;
	memmove(buf->data, buf->data + count, buf->len);
	buf->data[buf->len] = '\0';
}

void buf_truncate(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	buf->len = len;
	if (buf->data)
		buf->data[len] = '\0';
}

/* Who filled reserved room without buf_add() need not have written the NUL. Where it is there nothing is written: several threads may read. */
const char *buf_text(const struct buf *buf)
{
	if (!buf->data)
		return "";
	if (buf->data[buf->len])
		buf->data[buf->len] = '\0';
	return buf->data;
}

char *buf_detach(struct buf *buf)
{
	char *data;

	if (buf_reserve(buf, 0))
		return NULL;
	data = buf->data;
	data[buf->len] = '\0';
	buf->data = NULL;
	buf_release(buf);
	return data;
}
