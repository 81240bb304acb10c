/*
 * utf8: which bytes are well-formed UTF-8 (no surrogates, no longer forms than need be). Names are bytes; what shows them to programs or
 * people must know.
 */
#ifndef CLAIMFS_BASE_UTF8_H
#define CLAIMFS_BASE_UTF8_H

#include <stddef.h>

/* The length of the sequence at `text`, of which `len` ≥ 1 bytes are there; 0: none begins there. */
size_t utf8_sequence(const char *text, size_t len);

#endif
