/*
 * quote: words of a command line, written for a POSIX shell (POSIX.1-2017, Shell Command Language, 2.2.2 Single-Quotes). Whatever bytes they hold,
 * the shell reads back exactly these.
 */
#ifndef CLAIMFS_BASE_QUOTE_H
#define CLAIMFS_BASE_QUOTE_H

#include "base/buf.h"

/* For a shell that runs it: always quoted, harmless words too, since unquoted, `if' and `A=b' would not be words. */
void quote_word(struct buf *to, const char *word);
void quote_words(struct buf *to, char *const *words);		/* a space between; `words` ends with NULL, or is NULL */

/* For people, who may copy it into a shell: quoted only where it must be. Not for a command's first word. */
void quote_for_people(struct buf *to, const char *word);

#endif
