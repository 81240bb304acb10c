/*
 * story: logs are read whole; records point into their text. Lines that are not well formed are passed over, as everywhere.
 */
#include "tools/story.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/map.h"
#include "base/qconf.h"
#include "queue/layout.h"
#include "queue/merge.h"

#define STORY_MAX_LOG (2u << 30)

struct log {
	char *name;
	char *text;
};

struct event {
	const char *node;
	size_t log;
	size_t line;		/* for events of one second: as they stand in their log */
	struct record record;
};

struct story {
	struct log *logs;
	size_t log_count;
	struct map nodes;	/* NODE → its name, allocated */
	struct map met;		/* struct identity of each event */
	struct event *events;
	size_t event_count;
	size_t event_room;
};

static bool is_wanted(const char *name, char *const *units)
{
	if (!units || !*units)
		return true;
	for (; *units; units++)
		if (strcmp(*units, name) == 0)
			return true;
	return false;
}

/* What is the same in all copies of a record: an append may stand there twice, and beside a merged log the old ones for a while. */
struct identity {
	const char *node;
	struct hash128 unit;
	int64_t time;
	uint32_t generation, attempt, what;
};

/* The one string of that node. NULL: out of memory. */
static const char *node_named(struct story *story, const char *name, size_t len)
{
	char *node = map_get(&story->nodes, name, len);

	if (node)
		return node;
	node = strndup(name, len);
	if (!node || map_set(&story->nodes, name, len, node, NULL) < 0) {
		free(node);
		return NULL;
	}
	return node;
}

/* Whose record it is: the log's name says it, and in a merged log the line itself. */
static const char *node_of(struct story *story, const char *log, const struct record *record)
{
	struct merge_origin origin;
	uint32_t number;
	size_t len;

	if (merge_origin(record->values, &origin) == 0)
		return node_named(story, origin.log, origin.node_len);
	return layout_parse_log(log, strlen(log), &len, &number) == 0 ? node_named(story, log, len) : node_named(story, log, strlen(log));
}

static int add_event(struct story *story, const struct record *record, size_t line)
{
	const char *node = node_of(story, story->logs[story->log_count - 1].name, record);
	struct identity identity;
	void *old;

	if (!node)
		return -ENOMEM;
	memset(&identity, 0, sizeof(identity));	/* its padding too: it is a key */
	identity.node = node;
	identity.unit = record->unit;
	identity.time = record->time;
	identity.generation = record->generation;
	identity.attempt = record->attempt;
	identity.what = (uint32_t)record->what;
	if (map_set(&story->met, &identity, sizeof(identity), story, &old) < 0)
		return -ENOMEM;
	if (old)
		return 0;
	if (story->event_count == story->event_room) {
		size_t room = story->event_room ? story->event_room * 2 : 256;
		struct event *events = reallocarray(story->events, room, sizeof(*events));

		if (!events)
			return -ENOMEM;
		story->events = events;
		story->event_room = room;
	}
	story->events[story->event_count++] = (struct event){ .node = node, .log = story->log_count - 1, .line = line, .record = *record };
	return 0;
}

static int add_lines(struct story *story, char *text, size_t len, char *const *units)
{
	char *line = text, *newline, *end = text + len;
	struct record record;
	size_t number = 0;
	int error = 0;

	for (; !error && line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			break;
		number++;
		if (record_parse(line, (size_t)(newline - line), &record) == 0 && is_wanted(record.name, units))
			error = add_event(story, &record, number);
	}
	return error;
}

static int add_log(struct story *story, const char *dir, const char *name, char *const *units)
{
	struct log *logs = reallocarray(story->logs, story->log_count + 1, sizeof(*logs));
	struct buf path = BUF_INIT, text = BUF_INIT;
	size_t len;
	int error;

	if (!logs)
		return -ENOMEM;
	story->logs = logs;
	buf_addf(&path, "%s/" QCONF_DIR "/log/%s", dir, name);
	error = buf_error(&path) ? buf_error(&path) : io_read_file(buf_text(&path), STORY_MAX_LOG, &text);
	if (!error) {
		len = text.len;
		logs[story->log_count] = (struct log){ .name = strdup(name), .text = buf_detach(&text) };
		story->log_count++;
		error = logs[story->log_count - 1].name && logs[story->log_count - 1].text ?
			add_lines(story, logs[story->log_count - 1].text, len, units) : -ENOMEM;
	}
	buf_release(&path);
	buf_release(&text);
	return error;
}

/* Within a second, for a unit: its generations in order, each begun by its redo, and its attempts; else as it stands in the logs. */
static int compare(const void *left, const void *right)
{
	const struct event *a = left, *b = right;
	const int64_t keys[][2] = {
		{ a->record.time, b->record.time },
		{ a->record.generation, b->record.generation },
		{ a->record.what != RECORD_REDO, b->record.what != RECORD_REDO },
		{ a->record.attempt, b->record.attempt },
		{ (int64_t)a->log, (int64_t)b->log },
		{ (int64_t)a->line, (int64_t)b->line },
	};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i][0] != keys[i][1])
			return keys[i][0] < keys[i][1] ? -1 : 1;
	return 0;
}

static int read_logs(struct story *story, const char *dir, char *const *units, struct buf *why)
{
	struct buf path = BUF_INIT;
	struct dirent *entry;
	int error;
	DIR *listing;

	buf_addf(&path, "%s/" QCONF_DIR "/log", dir);
	listing = buf_error(&path) ? NULL : opendir(buf_text(&path));
	error = listing ? 0 : -errno;
	while (!error && (errno = 0, entry = readdir(listing))) {
		if (entry->d_name[0] == '.')
			continue;
		error = add_log(story, dir, entry->d_name, units);
	}
	if (!error && errno)
		error = -errno;
	if (error)
		buf_adds(why, buf_text(&path));
	if (listing)
		closedir(listing);
	buf_release(&path);
	return error;
}

int story_read(const char *dir, char *const *units, struct story **ret_story, struct buf *why)
{
	struct story *story = calloc(1, sizeof(*story));
	int error = story ? read_logs(story, dir, units, why) : -ENOMEM;

	if (error) {
		story_free(story);
		return error;
	}
	if (story->event_count > 1)
		qsort(story->events, story->event_count, sizeof(*story->events), compare);
	*ret_story = story;
	return 0;
}

void story_free(struct story *story)
{
	size_t cursor = 0;
	char *node;

	if (!story)
		return;
	while (story->log_count > 0) {
		story->log_count--;
		free(story->logs[story->log_count].name);
		free(story->logs[story->log_count].text);
	}
	while ((node = map_next(&story->nodes, &cursor, NULL, NULL)) != NULL)
		free(node);
	map_release(&story->nodes);
	map_release(&story->met);
	free(story->logs);
	free(story->events);
	free(story);
}

size_t story_count(const struct story *story)
{
	return story->event_count;
}

void story_event(const struct story *story, size_t index, struct story_event *ret_event)
{
	const struct event *event = &story->events[index];

	*ret_event = (struct story_event){ .node = event->node, .record = &event->record };
}
