/* history: reads the events of a torture run. See history.h. */
#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[EVENT_KINDS] = {
	[EVENT_TAKE] = "take", [EVENT_TOOK] = "took", [EVENT_HEDGED] = "hedged", [EVENT_COMMIT] = "commit", [EVENT_OK] = "ok", [EVENT_ALREADY] = "already",
	[EVENT_STALE] = "stale", [EVENT_REFUSED] = "refused", [EVENT_GIVE] = "give", [EVENT_GAVE] = "gave", [EVENT_FAIL] = "fail",
	[EVENT_FAILED] = "failed", [EVENT_GONE] = "gone", [EVENT_BEAT] = "beat", [EVENT_LINK] = "link", [EVENT_FREED] = "freed",
	[EVENT_LOST] = "lost", [EVENT_MOVED] = "moved", [EVENT_SWEPT] = "swept", [EVENT_MARKER] = "marker", [EVENT_UNMARKED] = "unmarked",
	[EVENT_ASIDE] = "aside", [EVENT_BEGAN] = "began", [EVENT_BLIND] = "blind", [EVENT_KILL] = "kill", [EVENT_STOP] = "stop",
	[EVENT_CONT] = "cont", [EVENT_CUT] = "cut", [EVENT_MEND] = "mend", [EVENT_REDO] = "redo", [EVENT_RETRY] = "retry",
	[EVENT_QUIET] = "quiet", [EVENT_SHOWN] = "shown", [EVENT_END] = "end",
};

const char *event_name(enum event_kind kind)
{
	return names[kind];
}

bool event_of_disk(enum event_kind kind)
{
	return kind >= EVENT_BEAT && kind <= EVENT_BLIND;
}

static int event_kind(const char *name)
{
	for (int kind = 0; kind < EVENT_KINDS; kind++)
		if (!strcmp(names[kind], name))
			return kind;
	return -EINVAL;
}

static int add_event(struct history *history, const struct event *event)
{
	if (history->count == history->room) {
		size_t room = history->room ? history->room * 2 : 1024;
		struct event *events = realloc(history->events, room * sizeof(*events));

		if (!events)
			return -ENOMEM;
		history->events = events;
		history->room = room;
	}
	history->events[history->count] = *event;
	history->events[history->count].number = history->count;
	history->count++;
	return 0;
}

/* SINCE [G[.N]] */
static int parse_disk(struct event *event, char **detail)
{
	char *at = *detail, *end;

	if (!at)
		return -EINVAL;
	event->since_ns = strtoll(at, &end, 10);
	if (end == at || (*end && *end != ' '))
		return -EINVAL;
	*detail = *end ? end + 1 : end;
	if (**detail)
		event->generation = (unsigned int)strtoul(*detail, &end, 10);
	if (**detail && *end == '.')
		event->claim = (unsigned int)strtoul(end + 1, &end, 10);
	return *end && **detail ? -EINVAL : 0;
}

static int parse_line(struct history *history, char *line)
{
	char *save = NULL;
	char *time = strtok_r(line, " ", &save);
	char *client = strtok_r(NULL, " ", &save);
	char *node = strtok_r(NULL, " ", &save);
	char *kind = strtok_r(NULL, " ", &save);
	char *unit = strtok_r(NULL, " ", &save);
	char *detail = strtok_r(NULL, "", &save);
	char *end;
	struct event event = { 0 };
	int known = kind ? event_kind(kind) : -EINVAL;

	if (!unit || known < 0)
		return -EINVAL;
	event.time_ns = event.since_ns = strtoll(time, &end, 10);
	if (*end && *end != '/')
		return -EINVAL;
	event.kind = (enum event_kind)known;
	if (event_of_disk(event.kind) && parse_disk(&event, &detail) < 0)
		return -EINVAL;
	event.client = strdup(client);
	event.node = strdup(node);
	event.unit = strdup(unit);
	event.detail = strdup(detail ? detail : "");
	if (!event.client || !event.node || !event.unit || !event.detail)
		return -ENOMEM;
	return add_event(history, &event);
}

int history_read(struct history *history, FILE *file, const char *name)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int number = 0;
	int error = 0;

	while (!error && (len = getline(&line, &room, file)) > 0) {
		number++;
		if (line[len - 1] != '\n')
			break;		/* its client was killed while it wrote */
		line[len - 1] = '\0';
		error = parse_line(history, line);
		if (error)
			fprintf(stderr, "%s:%d: not an event\n", name, number);
	}
	free(line);
	return error;
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns > y->time_ns ? 1 : -1;
	return (x->number > y->number) - (x->number < y->number);
}

void history_sort(struct history *history)
{
	if (history->count)
		qsort(history->events, history->count, sizeof(*history->events), by_time);
	for (size_t i = 0; i < history->count; i++)
		history->events[i].number = i;
}

void history_release(struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		free(history->events[i].client);
		free(history->events[i].node);
		free(history->events[i].unit);
		free(history->events[i].detail);
	}
	free(history->events);
	memset(history, 0, sizeof(*history));
}
