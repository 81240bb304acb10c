/*
 * expand: a command's words and environment for one unit. No shell sees any of it.
 */
#include "worker/expand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/pattern.h"

static size_t count_strings(char *const *strings)
{
	size_t count = 0;

	while (strings[count])
		count++;
	return count;
}

void expand_free(char **strings)
{
	size_t i;

	if (!strings)
		return;
	for (i = 0; strings[i]; i++)
		free(strings[i]);
	free(strings);
}

static void fill_words(const struct expand_unit *unit, struct pattern_word words[4])
{
	size_t at = 0;

	if (unit->in)
		words[at++] = (struct pattern_word){ "in", unit->in };
	if (unit->out)
		words[at++] = (struct pattern_word){ "out", unit->out };
	if (unit->name)
		words[at++] = (struct pattern_word){ "name", unit->name };
	words[at] = (struct pattern_word){ NULL, NULL };
}

static char *expand_one(const char *word, const struct expand_unit *unit)
{
	struct pattern_word words[4];
	struct buf expanded = BUF_INIT;
	char *text = NULL;

	fill_words(unit, words);
	if (pattern_expand(&expanded, word, unit->name ? unit->name : "", words) >= 0)
		text = buf_detach(&expanded);
	buf_release(&expanded);
	return text;
}

int expand_command(char *const *command, const struct expand_unit *unit, char ***ret_argv)
{
	size_t i, j, at = 0, count = count_strings(command), more = unit->inputs ? count_strings(unit->inputs) : 0;
	char **argv = calloc(count * (more + 1) + 1, sizeof(*argv));

	if (!argv)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		if (!unit->inputs || strcmp(command[i], EXPAND_INPUTS) != 0) {
			argv[at] = expand_one(command[i], unit);
			if (!argv[at++])
				goto fail;
			continue;
		}
		for (j = 0; j < more; j++) {
			argv[at] = strdup(unit->inputs[j]);
			if (!argv[at++])
				goto fail;
		}
	}
	*ret_argv = argv;
	return 0;
fail:
	expand_free(argv);
	return -ENOMEM;
}

bool expand_has_word(const char *word)
{
	return pattern_has_word(word) || strstr(word, "{in}") || strstr(word, "{out}") || strstr(word, "{name}");
}

/* One of ours that was inherited (a worker under a worker) is left out: it would be there twice. */
static bool is_ours(const char *entry)
{
	return strncmp(entry, "CLAIM_", 6) == 0;
}

static char *entry_new(const char *name, const char *value)
{
	char *entry;

	return asprintf(&entry, "%s=%s", name, value) < 0 ? NULL : entry;
}

int expand_environment(char *const *environment, const struct expand_unit *unit, char ***ret_envp)
{
	char attempt[16];
	const char *const ours[][2] = {
		{ "CLAIM_IN", unit->in }, { "CLAIM_OUT", unit->out }, { "CLAIM_NAME", unit->name }, { "CLAIM_JOB", unit->job },
		{ "CLAIM_QUEUE", unit->queue }, { "CLAIM_RESUME", unit->resume },
		{ "CLAIM_ATTEMPT", unit->attempt ? attempt : NULL },
	};
	const size_t our_count = sizeof(ours) / sizeof(ours[0]);
	size_t i, at = 0;
	char **envp = calloc(count_strings(environment) + our_count + 1, sizeof(*envp));

	if (!envp)
		return -ENOMEM;
	snprintf(attempt, sizeof(attempt), "%u", unit->attempt);
	for (i = 0; environment[i]; i++) {
		if (is_ours(environment[i]))
			continue;
		envp[at] = strdup(environment[i]);
		if (!envp[at++])
			goto fail;
	}
	for (i = 0; i < our_count; i++) {
		if (!ours[i][1])
			continue;
		envp[at] = entry_new(ours[i][0], ours[i][1]);
		if (!envp[at++])
			goto fail;
	}
	*ret_envp = envp;
	return 0;
fail:
	expand_free(envp);
	return -ENOMEM;
}
