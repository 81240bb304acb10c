/*
 * pattern: GNU Parallel's replacement words.
 */
#include "base/pattern.h"

#include <errno.h>
#include <string.h>

/* What of the name a word stands for: bytes [from, to) of it. */
struct pattern_span {
	size_t from;
	size_t to;
};

static size_t pattern_base(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? (size_t)(slash - name) + 1 : 0;
}

/* Where the last extension of the base name begins, its dot included; the end of the name when there is none. */
static size_t pattern_stem_end(const char *name)
{
	const char *base = name + pattern_base(name);
	const char *dot = strrchr(base, '.');

	if (!dot || dot == base || !dot[1])
		return strlen(name);
	return (size_t)(dot - name);
}

static struct pattern_span span_name(const char *name)
{
	return (struct pattern_span){ 0, strlen(name) };
}

static struct pattern_span span_stem(const char *name)
{
	return (struct pattern_span){ 0, pattern_stem_end(name) };
}

static struct pattern_span span_base(const char *name)
{
	return (struct pattern_span){ pattern_base(name), strlen(name) };
}

static struct pattern_span span_base_stem(const char *name)
{
	return (struct pattern_span){ pattern_base(name), pattern_stem_end(name) };
}

static struct pattern_span span_dir(const char *name)
{
	size_t base = pattern_base(name);

	return (struct pattern_span){ 0, base ? base - 1 : 0 };
}

static const struct pattern_builtin {
	const char *word;		/* with its braces */
	struct pattern_span (*span)(const char *name);
	const char *if_empty;
} pattern_builtins[] = {
	{ "{}", span_name, "" },
	{ "{.}", span_stem, "" },
	{ "{/}", span_base, "" },
	{ "{//}", span_dir, "." },
	{ "{/.}", span_base_stem, "" },
};

/* The built-in word that `text` begins with, or NULL. */
static const struct pattern_builtin *pattern_builtin_at(const char *text)
{
	for (size_t i = 0; i < sizeof(pattern_builtins) / sizeof(*pattern_builtins); i++)
		if (!strncmp(text, pattern_builtins[i].word, strlen(pattern_builtins[i].word)))
			return &pattern_builtins[i];
	return NULL;
}

static const struct pattern_word *pattern_word_at(const char *text, const struct pattern_word *words)
{
	for (; words && words->word; words++) {
		size_t len = strlen(words->word);

		if (!strncmp(text + 1, words->word, len) && text[1 + len] == '}')
			return words;
	}
	return NULL;
}

static void pattern_add_builtin(struct buf *to, const struct pattern_builtin *builtin, const char *name)
{
	struct pattern_span span = builtin->span(name);

	if (span.from == span.to)
		buf_adds(to, builtin->if_empty);
	else
		buf_add(to, name + span.from, span.to - span.from);
}

int pattern_expand(struct buf *to, const char *pattern, const char *name, const struct pattern_word *words)
{
	int count = 0;

	while (*pattern) {
		size_t plain = strcspn(pattern, "{");
		const struct pattern_builtin *builtin;
		const struct pattern_word *word;

		buf_add(to, pattern, plain);
		pattern += plain;
		if (!*pattern)
			break;
		builtin = pattern_builtin_at(pattern);
		word = builtin ? NULL : pattern_word_at(pattern, words);
		if (builtin) {
			pattern_add_builtin(to, builtin, name);
			pattern += strlen(builtin->word);
			count++;
		} else if (word) {
			buf_adds(to, word->value);
			pattern += strlen(word->word) + 2;
			count++;
		} else {
			buf_addch(to, *pattern++);
		}
	}
	return buf_error(to) ? buf_error(to) : count;
}

/* The first of the five words, or NULL. */
static const char *pattern_first_word(const char *pattern)
{
	for (const char *brace = strchr(pattern, '{'); brace; brace = strchr(brace + 1, '{'))
		if (pattern_builtin_at(brace))
			return brace;
	return NULL;
}

bool pattern_has_word(const char *pattern)
{
	return pattern_first_word(pattern) != NULL;
}

size_t pattern_fixed_dir(const char *pattern)
{
	const char *end = pattern_first_word(pattern);
	const char *slash;

	slash = memrchr(pattern, '/', end ? (size_t)(end - pattern) : strlen(pattern));
	return slash ? (size_t)(slash - pattern) : 0;
}
