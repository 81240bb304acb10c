/*
 * pattern: GNU Parallel's replacement words for a unit's name.
 *
 *   {}    the name           a/b.jpg      {.}   without its last extension   a/b
 *   {/}   base name          b.jpg        {//}  directory ("." if none)      a
 *   {/.}  base name without its last extension  b
 *
 * As in Parallel the extension is what follows the last dot of the base name; a base name that begins with its only dot
 * has none.
 */
#ifndef CLAIMFS_BASE_PATTERN_H
#define CLAIMFS_BASE_PATTERN_H

#include <stdbool.h>

#include "base/buf.h"

/* A word of a command beyond the five: {in}, {out}, {name}: `word` is the text between the braces. */
struct pattern_word {
	const char *word;
	const char *value;
};

/*
 * Appends `pattern` with its words replaced to `to`. `words` ends with a NULL word and may be NULL. Unknown {words} stay as
 * they are. Returns how many words were replaced, or -ENOMEM.
 */
int pattern_expand(struct buf *to, const char *pattern, const char *name, const struct pattern_word *words);

bool pattern_has_word(const char *pattern);	/* one of the five, anywhere */

/* How many leading bytes of `pattern` are a fixed directory: "features/{.}.npy" → 8 ("features"); "out-{}" → 0; "a/b/{}" → 3. */
size_t pattern_fixed_dir(const char *pattern);

#endif
