/*
 * buf: the one growable byte buffer.
 *
 * Invariants: data[0 .. len) are the bytes; data is NUL-terminated once anything was added, so that text may be used
 * as a C string; a NULL data means empty. The first failure to grow sticks: later additions do nothing and buf_error()
 * says -ENOMEM (or -EMSGSIZE where a limit was set), so that a chain of additions needs one check at its end.
 *
 * Not thread-safe; the holder owns the bytes until buf_release() or buf_detach().
 */
#ifndef CLAIMFS_BASE_BUF_H
#define CLAIMFS_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max;		/* never grow beyond this many bytes; 0: no limit */
	int error;		/* sticky: 0 or -errno */
};

#define BUF_INIT { 0 }

void buf_init(struct buf *buf);
void buf_release(struct buf *buf);		/* frees and leaves it empty and usable */
void buf_reset(struct buf *buf);		/* length and error to 0, memory kept */
int buf_error(const struct buf *buf);

int buf_reserve(struct buf *buf, size_t more);	/* room for `more` bytes after len; 0 or -ENOMEM/-EMSGSIZE */
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_adds(struct buf *buf, const char *text);
void buf_addch(struct buf *buf, int c);
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void buf_drop(struct buf *buf, size_t count);	/* forget the first `count` bytes */
void buf_truncate(struct buf *buf, size_t len);	/* forget all after the first `len` bytes */

/* The text, "" when empty; valid until the next change. */
const char *buf_text(const struct buf *buf);

/* Hands the malloc'ed bytes to the caller and leaves the buffer empty; "" is allocated for an empty one. NULL: -ENOMEM. */
char *buf_detach(struct buf *buf);

#endif
