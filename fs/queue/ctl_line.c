/*
 * ctl_line: see ctl_line.h.
 */
#include "queue/ctl_line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/ctl.h"

void ctl_line_free(struct ctl_line *line)
{
	if (!line)
		return;
	free(line->text);
	buf_release(&line->answer);
	buf_release(&line->names);
	free(line);
}

void ctl_lines_free(struct list *lines)
{
	struct list *link;

	while ((link = list_pop(lines)))
		ctl_line_free(list_entry(link, struct ctl_line, link));
}

size_t ctl_line_bytes(const struct ctl_line *line)
{
	return sizeof(*line) + CTL_ANSWER_ROOM + line->len + line->output.len;
}

/* `payload` bytes of data follow the newline behind `text`. NULL: out of memory. */
static struct ctl_line *line_new(const char *text, size_t len, size_t payload)
{
	struct ctl_line *line = calloc(1, sizeof(*line));

	if (!line)
		return NULL;
	line->len = len;
	line->text = malloc(len + 1 + payload);
	if (!line->text || buf_reserve(&line->answer, CTL_ANSWER_ROOM) < 0) {
		ctl_line_free(line);
		return NULL;
	}
	memcpy(line->text, text, len + 1 + payload);
	line->text[len] = '\0';
	line->output.data = line->text + len + 1;
	line->output.len = payload;
	return line;
}

/* Cuts `data` into lines; *ret_used is how much of it whole ones took. 0, -EMSGSIZE, -EINVAL, -ENOMEM. */
int ctl_split(const char *data, size_t len, struct list *ret_lines, size_t *ret_used)
{
	const char *newline = NULL, *at = data, *end = data + len;
	size_t line_len, payload = 0;
	struct ctl_line *line;
	int error;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		line_len = (size_t)(newline - at);
		error = line_len > CTL_MAX_LINE ? -EMSGSIZE : ctl_payload(at, line_len, &payload);
		if (error)
			return error;
		if (payload > (size_t)(end - newline) - 1)
			break;
		line = line_new(at, line_len, payload);
		if (!line)
			return -ENOMEM;
		list_append(ret_lines, &line->link);
		at = newline + 1 + payload;
	}
	*ret_used = (size_t)(at - data);
	return !newline && len - *ret_used > CTL_MAX_LINE ? -EMSGSIZE : 0;
}
