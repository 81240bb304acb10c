/*
 * html: text, numbers and durations as they go into a page. Pages are well-formed XML as well, so that any parser can check them.
 */
#ifndef CLAIMFS_TOOLS_HTML_H
#define CLAIMFS_TOOLS_HTML_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Bytes from anywhere, in an element or an attribute: < > & " ' become entities; control characters, what is no UTF-8, and what turns the
 * direction of writing become %XX. */
void html_text(struct buf *to, const char *bytes, size_t len);
/* The same of several lines: newlines and tabs stay, and the colours of terminals are left out. */
void html_lines(struct buf *to, const char *bytes, size_t len);
/* A name of at most `columns` characters: a longer one loses its middle. */
void html_short(struct buf *to, const char *name, size_t columns);

void html_count(struct buf *to, uint64_t count);		/* 12 345, with narrow spaces */
void html_seconds(struct buf *to, double seconds);		/* 420 ms, 3.2 s, 12 min 5 s, 3 h 20 min */
void html_bytes(struct buf *to, double bytes);			/* 1.5 GB */
void html_time(struct buf *to, double seconds);			/* 2026-11-24 10:20:30 */

#endif
