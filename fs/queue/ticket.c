/*
 * ticket: the text of a unit's ticket. The same code writes it and counts it, so that the size in `ls -l` is the size that is read.
 */
#include "queue/ticket.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/pct.h"
#include "queue/record.h"

struct sink {			/* counts; writes too when there is a buffer */
	struct buf *to;
	size_t len;
};

static void put(struct sink *sink, const char *bytes, size_t len)
{
	sink->len += len;
	if (sink->to)
		buf_add(sink->to, bytes, len);
}

static void put_text(struct sink *sink, const char *text)
{
	put(sink, text, strlen(text));
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != 0x7f && c != '%';
}

static void put_encoded(struct sink *sink, const char *bytes, size_t len)
{
	size_t i;

	if (sink->to)
		pct_encode(sink->to, bytes, len);
	for (i = 0; i < len; i++)
		sink->len += is_plain((unsigned char)bytes[i]) ? 1 : 3;
}

static void put_field(struct sink *sink, const char *name, const char *value)
{
	if (!value || value[0] == '\0')
		return;
	put_text(sink, name);
	put_text(sink, ": ");
	put_encoded(sink, value, strlen(value));
	put(sink, "\n", 1);
}

static void put_number(struct sink *sink, const char *name, int64_t number)
{
	char text[24];

	if (number <= 0)
		return;
	snprintf(text, sizeof(text), "%" PRId64, number);
	put_field(sink, name, text);
}

/* UTC, to the second: the server's clock has no more, and nodes may stand in several time zones. */
static void put_time(struct sink *sink, const char *name, int64_t seconds)
{
	time_t time = (time_t)seconds;
	char text[64];
	struct tm tm;

	if (seconds <= 0 || !gmtime_r(&time, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return;
	put_field(sink, name, text);
}

/* ---- values of the job ---- */

static const struct value_field {
	const char *value;	/* its name in records */
	const char *field;	/* its name in tickets */
	const char *unit;
} value_fields[] = {
	{ "status", "exit-status", "" },
	{ "signal", "signal", "" },
	{ "wall", "wall", " s" },
	{ "user", "user", " s" },
	{ "sys", "sys", " s" },
	{ "maxrss", "peak-memory", " bytes" },
	{ "grouppeak", "peak-memory-of-all", " bytes" },
	{ "in", "bytes-in", " bytes" },
	{ "out", "bytes-out", " bytes" },
};

static void put_values(struct sink *sink, const char *values)
{
	const char *value;
	size_t i, len;

	for (i = 0; i < sizeof(value_fields) / sizeof(value_fields[0]); i++) {
		value = record_find_value(values, value_fields[i].value, &len);
		if (!value || len == 0)
			continue;
		put_text(sink, value_fields[i].field);
		put_text(sink, ": ");
		put(sink, value, len);	/* encoded as it is: no line end, no control character */
		put_text(sink, value_fields[i].unit);
		put(sink, "\n", 1);
	}
}

/* What a terminal would act on is shown as %XX; tabs and whatever is not a control character stay as they are. */
static void put_line(struct sink *sink, const char *line, size_t len)
{
	size_t i, start = 0;

	put(sink, "  ", 2);
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if ((c >= 0x20 && c != 0x7f) || c == '\t')
			continue;
		put(sink, line + start, i - start);
		put_encoded(sink, line + i, 1);
		start = i + 1;
	}
	put(sink, line + start, len - start);
	put(sink, "\n", 1);
}

static void put_lines(struct sink *sink, const char *text, size_t len)
{
	const char *line, *next, *end = text + len;

	put_text(sink, "stderr:\n");
	for (line = text; line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		if (!next)
			next = end;
		put_line(sink, line, (size_t)(next - line));
	}
}

static void put_stderr(struct sink *sink, const char *values)
{
	struct buf text = BUF_INIT;
	const char *tail;

	if (record_value(values, "stderr", &text) == 0 && text.len > 0) {
		tail = text.data;
		if (text.len > TICKET_MAX_STDERR)
			tail += text.len - TICKET_MAX_STDERR;
		put_lines(sink, tail, text.len - (size_t)(tail - text.data));
	}
	buf_release(&text);
}

/* ---- the ticket ---- */

static const char *const state_names[QUEUE_STATES] = {
	[QUEUE_TODO] = "todo",
	[QUEUE_CLAIMS] = "claimed",
	[QUEUE_DONE] = "done",
	[QUEUE_FAILED] = "failed",
};

const char *queue_state_name(enum queue_state state)
{
	return (unsigned int)state < QUEUE_STATES ? state_names[state] : "unknown";
}

static void put_ticket(struct sink *sink, const struct ticket *ticket)
{
	bool ended = ticket->state == QUEUE_DONE || ticket->state == QUEUE_FAILED;

	put_field(sink, "unit", ticket->unit);
	put_field(sink, "state", queue_state_name(ticket->state));
	put_field(sink, "input", ticket->input);
	put_number(sink, "attempt", ticket->attempt);
	put_field(sink, "node", ticket->node);
	put_number(sink, "pid", ticket->pid);
	put_field(sink, "claim", ticket->claim);
	put_time(sink, "since", ticket->since);
	put_field(sink, "key", ticket->key);
	if (!ended)
		return;
	put_field(sink, "why", ticket->why);
	put_values(sink, ticket->values);
	if (ticket->state == QUEUE_FAILED)
		put_stderr(sink, ticket->values);
}

size_t ticket_size(const struct ticket *ticket)
{
	struct sink sink = { NULL, 0 };

	put_ticket(&sink, ticket);
	return sink.len;
}

int ticket_format(const struct ticket *ticket, struct buf *to)
{
	struct sink sink = { to, 0 };

	put_ticket(&sink, ticket);
	return buf_error(to);
}
