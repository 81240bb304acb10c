/*
 * fleet_words: a list of words, as of a command line; and how they are quoted where a shell of another machine reads them.
 *
 * ssh(1) strings its arguments together with spaces, and the login shell there takes them apart again: whatever is meant for another
 * machine goes through base/quote.h's quote_words(), and nothing else may write a remote command.
 */
#ifndef CLAIMFS_TOOLS_FLEET_WORDS_H
#define CLAIMFS_TOOLS_FLEET_WORDS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/quote.h"

struct words {
	char **word;		/* ends with NULL once a word was added; NULL: none */
	size_t count;
	int error;		/* sticky: 0 or -ENOMEM */
};

#define WORDS_INIT { 0 }

void words_add(struct words *words, const char *word);		/* a copy */
void words_add_len(struct words *words, const char *bytes, size_t len);
void words_add_all(struct words *words, char *const *more);	/* `more` ends with NULL; NULL: none */
void words_release(struct words *words);
int words_error(const struct words *words);

#endif
