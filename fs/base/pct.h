/*
 * pct: percent-encoding of names in ctl, progress and logs: bytes below 0x20, 0x7f and '%' become %XX (upper-case hex); every
 * other byte, UTF-8 or not, stands for itself. In `k=v` values space is encoded too, so that a record splits at spaces.
 */
#ifndef CLAIMFS_BASE_PCT_H
#define CLAIMFS_BASE_PCT_H

#include <stddef.h>

#include "base/buf.h"

void pct_encode(struct buf *to, const char *bytes, size_t len);
void pct_encode_value(struct buf *to, const char *bytes, size_t len);	/* space and '=' too */

/* Decodes in place; the new length, or -EINVAL for a '%' without two hex digits or a %00. The result is NUL-terminated. */
int pct_decode(char *text);

#endif
