/*
 * glob: patterns of ssh's configuration files: * is any text, ? any one character, and nothing else is special (ssh_config(5),
 * PATTERNS).
 */
#ifndef CLAIMFS_BASE_GLOB_H
#define CLAIMFS_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does the pattern, `len` bytes of it, stand for the whole of `text`? `fold`: upper and lower case are one. */
bool glob_match(const char *pattern, size_t len, const char *text, bool fold);

#endif
