/*
 * args: command lines over getopt_long, with errors that help.
 */
#include "base/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX_OPTIONS 96
#define ARGS_MAX_WORD 64
#define ARGS_SHORT_MAX 256
#define ARGS_HELP_COLUMN 26

/* ---- the nearest word ---- */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Optimal string alignment: no part is edited twice. Three rows of the table; words too long for them are far from everything. */
size_t args_distance(const char *a, const char *b)
{
	size_t rows[3][ARGS_MAX_WORD + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2], *swap;
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > ARGS_MAX_WORD || b_len > ARGS_MAX_WORD)
		return a_len > b_len ? a_len : b_len;
	for (size_t j = 0; j <= b_len; j++)
		before[j] = last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		swap = before;
		before = last;
		last = row;
		row = swap;
	}
	return last[b_len];
}

const char *args_nearest(const char *word, const char *const *candidates)
{
	size_t limit = (strlen(word) + 2) / 3, best_distance = limit + 1;
	const char *best = NULL;

	for (; *candidates; candidates++) {
		size_t distance = args_distance(word, *candidates);

		/* Nothing in common is not near, however short the words are. */
		if (distance < best_distance && distance < strlen(*candidates)) {
			best = *candidates;
			best_distance = distance;
		}
	}
	return best;
}

/* ---- parsing ---- */

struct args_getopt {
	char letters[2 * ARGS_MAX_OPTIONS + 3];
	struct option longs[ARGS_MAX_OPTIONS + 1];
	const char *names[ARGS_MAX_OPTIONS + 1];
};

/* "+": stop at the first operand; ":": tell a missing argument from an unknown option. */
static int args_prepare(struct args_getopt *to, const struct args_option *table)
{
	size_t letters = 0, longs = 0, count = 0;

	to->letters[letters++] = '+';
	to->letters[letters++] = ':';
	for (; table->key; table++) {
		if (++count > ARGS_MAX_OPTIONS)
			return -EINVAL;
		if (table->key < ARGS_SHORT_MAX) {
			to->letters[letters++] = (char)table->key;
			if (table->value)
				to->letters[letters++] = ':';
		}
		if (table->name) {
			to->names[longs] = table->name;
			to->longs[longs++] = (struct option){ table->name, table->value ? required_argument : no_argument,
							      NULL, table->key };
		}
	}
	to->letters[letters] = '\0';
	to->names[longs] = NULL;
	to->longs[longs] = (struct option){ NULL, 0, NULL, 0 };
	return 0;
}

static const struct args_option *args_find(const struct args_option *table, int key)
{
	for (; table->key; table++)
		if (table->key == key)
			return table;
	return NULL;
}

/* As the user would write it: --name, or -x when `word` (what was written) is short or there is no long name. */
static void args_add_name(struct buf *to, const struct args_option *option, const char *word)
{
	if (option->name && (!strncmp(word, "--", 2) || option->key >= ARGS_SHORT_MAX))
		buf_addf(to, "--%s", option->name);
	else
		buf_addf(to, "-%c", option->key);
}

static int args_unknown(const struct args_getopt *opts, const char *word, int letter, struct buf *why)
{
	const char *near;
	char name[ARGS_MAX_WORD + 1];

	snprintf(name, sizeof(name), "%s", word + strspn(word, "-"));
	name[strcspn(name, "=")] = '\0';
	near = args_nearest(name, opts->names);
	if (!strncmp(word, "--", 2))
		buf_addf(why, "no such option: --%s", name);
	else
		buf_addf(why, "no such option: -%c", letter);
	if (near && (!strncmp(word, "--", 2) || strlen(name) > 2))
		buf_addf(why, "; did you mean --%s?", near);
	return -EINVAL;
}

/* getopt says "?" for an unknown option, an ambiguous one, and one that was given an argument it does not take. */
static int args_refuse(const struct args_getopt *opts, const struct args_option *table, const char *word, struct buf *why)
{
	const struct args_option *option = optopt ? args_find(table, optopt) : NULL;
	size_t matches = 0, len;

	if (option) {
		args_add_name(why, option, word);
		buf_adds(why, " takes no argument");
		return -EINVAL;
	}
	if (strncmp(word, "--", 2))
		return args_unknown(opts, word, optopt, why);
	len = strcspn(word + 2, "=");
	for (size_t i = 0; opts->names[i]; i++)
		matches += !strncmp(opts->names[i], word + 2, len);
	if (matches < 2)
		return args_unknown(opts, word, 0, why);
	buf_addf(why, "%s could be", word);
	for (size_t i = 0; opts->names[i]; i++)
		if (!strncmp(opts->names[i], word + 2, len))
			buf_addf(why, " --%s", opts->names[i]);
	return -EINVAL;
}

static int args_apply(const struct args_option *option, args_set *set, void *target, const char *word, struct buf *why)
{
	struct buf reason = BUF_INIT;
	int error;

	error = set(target, option->key, optarg, &reason);
	if (error) {
		args_add_name(why, option, word);
		buf_addf(why, ": %s", reason.len ? buf_text(&reason) : "bad value");
	}
	buf_release(&reason);
	return error;
}

int args_parse(int argc, char **argv, const struct args_option *table, args_set *set, void *target, int *ret_first, struct buf *why)
{
	struct args_getopt opts;
	int error = args_prepare(&opts, table);

	if (error)
		return error;
	opterr = 0;
	optind = 0;	/* GNU: begin anew, also with a changed argv */
	for (;;) {
		const char *word = argv[optind ? optind : 1];
		int key = getopt_long(argc, argv, opts.letters, opts.longs, NULL);

		if (key < 0)
			break;
		if (key == '?')
			return args_refuse(&opts, table, word, why);
		if (key == ':') {
			args_add_name(why, args_find(table, optopt), word);
			buf_addf(why, " needs an argument: %s", args_find(table, optopt)->value);
			return -EINVAL;
		}
		error = args_apply(args_find(table, key), set, target, word, why);
		if (error)
			return error;
	}
	*ret_first = optind;
	return 0;
}

/* ---- help ---- */

void args_print_options(FILE *out, const struct args_option *table)
{
	for (; table->key; table++) {
		struct buf left = BUF_INIT;

		if (table->key < ARGS_SHORT_MAX)
			buf_addf(&left, "  -%c%s", table->key, table->name ? ", " : "");
		else
			buf_adds(&left, "      ");
		if (table->name)
			buf_addf(&left, "--%s", table->name);
		if (table->value)
			buf_addf(&left, "%s%s", table->name ? "=" : " ", table->value);
		if (left.len + 2 > ARGS_HELP_COLUMN)
			fprintf(out, "%s\n%*s%s\n", buf_text(&left), ARGS_HELP_COLUMN, "", table->help);
		else
			fprintf(out, "%-*s%s\n", ARGS_HELP_COLUMN, buf_text(&left), table->help);
		buf_release(&left);
	}
}
