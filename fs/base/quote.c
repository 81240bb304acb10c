/* quote: see quote.h. */
#include "base/quote.h"

#include <stddef.h>
#include <string.h>

/* Within single quotes nothing is special but the quote itself, which is written outside of them. */
void quote_word(struct buf *to, const char *word)
{
	buf_addch(to, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			buf_adds(to, "'\\''");
		else
			buf_addch(to, *word);
	}
	buf_addch(to, '\'');
}

void quote_words(struct buf *to, char *const *words)
{
	size_t i;

	for (i = 0; words && words[i]; i++) {
		if (i > 0)
			buf_addch(to, ' ');
		quote_word(to, words[i]);
	}
}

void quote_for_people(struct buf *to, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_+=:,./-";

	if (*word && word[strspn(word, plain)] == '\0')
		buf_adds(to, word);
	else
		quote_word(to, word);
}
