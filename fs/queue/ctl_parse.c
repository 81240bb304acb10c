/*
 * ctl_parse: the lines written to ctl, and what errors look like in answers. One table of commands; each has a function for what follows its name.
 */
#include "queue/ctl_parse.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/pct.h"
#include "queue/record.h"
#include "queue/store.h"

#define SHOWN_BYTES 64		/* of a wrong word, in the error about it */

struct parser {
	ctl_holds *holds;
	void *arg;
	struct buf *why;
};

typedef int parse_rest(const struct parser *parser, char *rest, struct ctl_command *command);

static parse_rest parse_take, parse_hedge, parse_finish, parse_put, parse_name;

static const struct {
	const char *word;
	enum ctl_verb verb;
	parse_rest *rest;
	const char *usage;
} commands[] = {
	{ "take", CTL_TAKE, parse_take, "take [N] [wait] [attempt]" },
	{ "claim", CTL_CLAIM, parse_name, "claim NAME" },
	{ "hedge", CTL_HEDGE, parse_hedge, "hedge [NAME]" },
	{ "check", CTL_CHECK, parse_name, "check NAME" },
	{ "done", CTL_DONE, parse_finish, "done NAME [k=v ...]" },
	{ "put", CTL_PUT, parse_put, "put BYTES MODE NAME [k=v ...]" },
	{ "fail", CTL_FAIL, parse_finish, "fail NAME [k=v ...]" },
	{ "release", CTL_RELEASE, parse_name, "release NAME" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *const command_words[] = { "take", "claim", "hedge", "check", "done", "put", "fail", "release", NULL };

static void add_shown(struct buf *why, const char *text)
{
	size_t len = strlen(text);

	pct_encode(why, text, len < SHOWN_BYTES ? len : SHOWN_BYTES);
	if (len > SHOWN_BYTES)
		buf_adds(why, "...");
}

static int refuse(const struct parser *parser, const char *what, const char *text)
{
	buf_adds(parser->why, what);
	buf_adds(parser->why, " '");
	add_shown(parser->why, text);
	buf_addch(parser->why, '\'');
	return -EINVAL;
}

static int refuse_usage(const struct parser *parser, enum ctl_verb verb)
{
	buf_addf(parser->why, "usage: %s", commands[verb].usage);
	return -EINVAL;
}

/* ---- take ---- */

static int parse_take(const struct parser *parser, char *rest, struct ctl_command *command)
{
	char *word, *save = NULL;
	int64_t count;

	command->takes = true;
	command->count = 1;
	word = strtok_r(rest, " ", &save);
	if (word && strcmp(word, "wait") != 0 && strcmp(word, "attempt") != 0) {
		if (strspn(word, "0123456789") != strlen(word) || conf_parse_number(word, 1, CTL_MAX_TAKE, &count) < 0)
			return refuse(parser, "take: a count from 1 to 100000 or 'wait' is wanted, not", word);
		command->count = (int)count;
		word = strtok_r(NULL, " ", &save);
	}
	if (word && strcmp(word, "wait") == 0) {
		command->wait = true;
		word = strtok_r(NULL, " ", &save);
	}
	if (word && strcmp(word, "attempt") == 0) {
		command->attempt = true;
		word = strtok_r(NULL, " ", &save);
	}
	return word ? refuse(parser, "take: 'wait', 'attempt' or nothing is wanted, not", word) : 0;
}

/* ---- names and values ---- */

/* Are the first `len` bytes of `text` the name of one of the session's units? */
static bool is_held(const struct parser *parser, const char *text, size_t len)
{
	struct buf name = BUF_INIT;
	bool held = false;

	buf_add(&name, text, len);
	if (len > 0 && parser->holds && buf_error(&name) == 0 && pct_decode(name.data) > 0)
		held = parser->holds(parser->arg, name.data);
	buf_release(&name);
	return held;
}

static size_t without_spaces(const char *text, size_t len)
{
	while (len > 0 && text[len - 1] == ' ')
		len--;
	return len;
}

/* The last word of the first `len` bytes, when it is a k=v: how many bytes are left without it; SIZE_MAX when it is not. */
static size_t before_value(char *text, size_t len)
{
	size_t start, end = without_spaces(text, len);
	char kept = text[end];
	bool good;

	for (start = end; start > 0 && text[start - 1] != ' ';)
		start--;
	if (start < 2 || start == end)		/* something must be left for the name */
		return SIZE_MAX;
	text[end] = '\0';
	good = record_values_good(text + start);
	text[end] = kept;
	return good ? start - 1 : SIZE_MAX;
}

/* How many of the bytes are the name: see ctl_parse(). */
static size_t name_len(const struct parser *parser, char *text)
{
	size_t len = strlen(text), shorter;

	for (; !is_held(parser, text, len); len = shorter) {
		shorter = before_value(text, len);
		if (shorter == SIZE_MAX)
			return without_spaces(text, len);
	}
	return len;
}

/* Values have one space between them and none around. */
static void squeeze(char *text)
{
	char *to = text, *word, *save = NULL;
	size_t len;

	for (word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		len = strlen(word);
		if (to != text)
			*to++ = ' ';
		memmove(to, word, len);
		to += len;
	}
	*to = '\0';
}

static int set_name(const struct parser *parser, char *text, struct ctl_command *command)
{
	if (text[0] == '\0')
		return refuse_usage(parser, command->verb);
	if (pct_decode(text) < 0)
		return refuse(parser, "not percent-encoded as ctl gives names:", text);
	if (!record_name_good(text))
		return refuse(parser, "not the name of a unit:", text);
	command->name = text;
	return 0;
}

static int parse_finish(const struct parser *parser, char *rest, struct ctl_command *command)
{
	size_t len = name_len(parser, rest);

	command->values = "";
	if (rest[len] == ' ') {
		rest[len] = '\0';
		squeeze(rest + len + 1);
		command->values = rest + len + 1;
		if (!record_values_good(command->values))
			return refuse(parser, "not k=v values:", command->values);
	}
	return set_name(parser, rest, command);
}

/* The count was read by ctl_payload() before. */
static int parse_put(const struct parser *parser, char *rest, struct ctl_command *command)
{
	char *word = rest + strcspn(rest, " ");
	size_t len;

	if (*word == ' ')
		word++;
	len = strspn(word, "01234567");
	if (len == 0 || len > 4 || word[len] != ' ')
		return refuse_usage(parser, command->verb);
	command->mode = (unsigned int)strtoul(word, NULL, 8);
	if (command->mode > 0777)
		return refuse_usage(parser, command->verb);
	return parse_finish(parser, word + len + 1, command);
}

static int parse_name(const struct parser *parser, char *rest, struct ctl_command *command)
{
	command->takes = command->verb == CTL_CLAIM;
	command->values = "";
	return set_name(parser, rest, command);
}

/* ---- lines ---- */

int ctl_payload(const char *line, size_t len, size_t *ret_bytes)
{
	static const char word[] = "put ";
	size_t at = strlen(word), bytes = 0;

	*ret_bytes = 0;
	if (len < at || memcmp(line, word, at) != 0)
		return 0;
	if (at == len || line[at] < '0' || line[at] > '9')
		return -EINVAL;
	for (; at < len && line[at] >= '0' && line[at] <= '9'; at++) {
		bytes = bytes * 10 + (size_t)(line[at] - '0');
		if (bytes > CTL_MAX_PUT)
			return -EMSGSIZE;
	}
	if (at < len && line[at] != ' ')
		return -EINVAL;
	*ret_bytes = bytes;
	return 0;
}

static int parse_hedge(const struct parser *parser, char *rest, struct ctl_command *command)
{
	command->takes = true;
	command->values = "";
	return rest[0] == '\0' ? 0 : set_name(parser, rest, command);
}

static int refuse_command(const struct parser *parser, const char *word)
{
	const char *near = strlen(word) <= SHOWN_BYTES ? args_nearest(word, command_words) : NULL;

	refuse(parser, "unknown command", word);
	if (near)
		buf_addf(parser->why, ", did you mean '%s'?", near);
	else
		buf_adds(parser->why, ", known are take, claim, hedge, check, done, put, fail and release");
	return -EINVAL;
}

int ctl_parse(char *line, ctl_holds *holds, void *arg, struct ctl_command *ret_command, struct buf *why)
{
	const struct parser parser = { holds, arg, why };
	struct ctl_command command = { 0 };
	char *rest = line + strcspn(line, " ");
	size_t i;
	int error;

	if (*rest != '\0')
		*rest++ = '\0';
	for (i = 0; i < COMMANDS; i++) {
		if (strcmp(line, commands[i].word) != 0)
			continue;
		command.verb = commands[i].verb;
		error = commands[i].rest(&parser, rest, &command);
		if (!error)
			*ret_command = command;
		return error;
	}
	return refuse_command(&parser, line);
}

/* ---- answers ---- */

void ctl_say_error(struct buf *to, int error)
{
	const char *name, *text = NULL;

	switch (error) {
	case -ESTALE:
		text = "the lease was lost: another node may have the unit now";
		break;
	case -EACCES:
		text = "not a unit that this mount has claimed";
		break;
	case -EAGAIN:
		text = "the input was changed meanwhile: this work was dropped, the unit is in todo/ again";
		break;
	case STORE_FAILURE:
		error = -EIO;
		text = "the disk refused and did not say why";
		break;
	case STORE_UNKNOWN:
		error = -EIO;
		text = "the connection broke and what became of it could not be found out";
		break;
	}
	name = strerrorname_np(-error);
	buf_addf(to, "error %s %s\n", name ? name : "EIO", text ? text : log_strerror(error));
}
