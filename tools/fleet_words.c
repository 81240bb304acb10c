/*
 * fleet_words: lists of words.
 */
#include "tools/fleet_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void words_add_len(struct words *words, const char *bytes, size_t len)
{
	char **grown, *copy;

	if (words->error)
		return;
	grown = realloc(words->word, (words->count + 2) * sizeof(*grown));
	if (grown)
		words->word = grown;
	copy = strndup(bytes, len);
	if (!grown || !copy) {
		free(copy);
		words->error = -ENOMEM;
		return;
	}
	words->word[words->count++] = copy;
	words->word[words->count] = NULL;
}

void words_add(struct words *words, const char *word)
{
	words_add_len(words, word, strlen(word));
}

void words_add_all(struct words *words, char *const *more)
{
	for (; more && *more; more++)
		words_add(words, *more);
}

void words_release(struct words *words)
{
	size_t i;

	for (i = 0; i < words->count; i++)
		free(words->word[i]);
	free(words->word);
	*words = (struct words)WORDS_INIT;
}

int words_error(const struct words *words)
{
	return words->error;
}
