/*
 * claimctl log: what happened when, to which unit, by which node; and with --output what its jobs wrote.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/outlog.h"
#include "base/pct.h"
#include "queue/layout.h"
#include "tools/command.h"
#include "tools/json_text.h"
#include "tools/site.h"
#include "tools/story.h"
#include "tools/story_claims.h"

enum { KEY_JSON = 256, KEY_OUTPUT, KEY_LOGS, KEY_ALL };

struct log_options {
	bool json;
	bool output;
	bool all;
	const char *logs;
};

static struct log_options log_options;

static const struct args_option table[] = {
	{ KEY_JSON, "json", NULL, "a JSON object a line" },
	{ KEY_OUTPUT, "output", NULL, "what the unit's last job wrote, as claim-worker --logs kept it" },
	{ KEY_ALL, "all", NULL, "with --output: all its jobs, not the last alone" },
	{ KEY_LOGS, "logs", "DIR", "where claim-worker --logs kept it (QUEUE/logs)" },
	{ 0, NULL, NULL, NULL },
};

static int log_set(void *target, int key, const char *value, struct buf *why)
{
	struct log_options *options = target;

	(void)why;
	options->json |= key == KEY_JSON;
	options->output |= key == KEY_OUTPUT;
	options->all |= key == KEY_ALL;
	if (key == KEY_LOGS)
		options->logs = value;
	return 0;
}

/* ---- what happened ---- */

static const char *const what_names[RECORD_WHATS] = {
	[RECORD_DONE] = "done", [RECORD_FAILED] = "failed", [RECORD_LOST] = "lost", [RECORD_REDO] = "again",
};

static void format_time(int64_t seconds, char ret_text[32])
{
	time_t time = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&time, &tm) || strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(ret_text, 32, "%" PRId64, seconds);
}

static void add_value(struct buf *to, const char *values, const char *name, const char *before, const char *after)
{
	struct buf value = BUF_INIT;

	if (record_value(values, name, &value) == 0 && value.len > 0) {
		buf_adds(to, before);
		pct_encode(to, value.data, value.len);
		buf_adds(to, after);
	}
	buf_release(&value);
}

/* Whole seconds, rounded; -1: no such value, or no number that can be one. */
static int64_t number_value(const struct record *record, const char *name)
{
	struct buf value = BUF_INIT;
	double number = -1;
	char *end;

	if (record_value(record->values, name, &value) == 0 && value.len > 0) {
		number = strtod(value.data, &end);
		number = *end == '\0' && number >= 0 && number < 1e15 ? number : -1;
	}
	buf_release(&value);
	return number < 0 ? -1 : (int64_t)(number + 0.5);
}

/* The node that was silent is `of`; the one that wrote the record took its claim. */
static bool is_taken_over(const struct record *record)
{
	const char *of;
	size_t len;

	of = record_find_value(record->values, "of", &len);
	return of && layout_node_good(of, len);
}

/* Whose attempt it was. */
static const char *event_node(const struct story_event *event, char room[LAYOUT_MAX_NODE + 1])
{
	const char *of;
	size_t len;

	if (event->record->what != RECORD_LOST || !is_taken_over(event->record))
		return event->node;
	of = record_find_value(event->record->values, "of", &len);
	memcpy(room, of, len);
	room[len] = '\0';
	return room;
}

static void print_line(const struct story_event *event)
{
	const struct record *record = event->record;
	struct buf line = BUF_INIT;
	char time[32], node[LAYOUT_MAX_NODE + 1];
	int64_t beat;

	format_time(record->time, time);
	buf_addf(&line, "%s  %-24s %-6s ", time, event_node(event, node), what_names[record->what]);
	pct_encode(&line, record->name, strlen(record->name));
	if (record->attempt > 0)
		buf_addf(&line, "  attempt %" PRIu32, record->attempt);
	if (record->generation > 0)
		buf_addf(&line, "  round %" PRIu32, record->generation + 1);
	add_value(&line, record->values, "wall", "  ", " s");
	if (record->what == RECORD_FAILED) {
		add_value(&line, record->values, "status", "  exit status ", "");
		add_value(&line, record->values, "signal", "  signal ", "");
		add_value(&line, record->values, "why", "  ", "");
	}
	if (record->what == RECORD_LOST && is_taken_over(record)) {
		buf_addf(&line, "  taken over by %s", event->node);
		beat = number_value(record, "beat");
		if (beat > 0) {
			format_time(beat, time);
			buf_addf(&line, ", silent since %s", time);
		}
	}
	add_value(&line, record->values, "by", "  it was done by ", "");
	add_value(&line, record->values, "hedge", "  second attempt: ", "");
	add_value(&line, record->values, "wasted", "  in vain ", " s");
	if (number_value(record, "wall") >= 0) {
		format_time(record->time - number_value(record, "wall"), time);
		buf_addf(&line, "  begun %s", time);
	}
	puts(buf_text(&line));
	buf_release(&line);
}

/* Names of values are identifiers; numbers stay numbers. */
static void add_json_value(cJSON *object, const char *name, const char *coded)
{
	char *end, *text;
	double number = strtod(coded, &end);

	if (end != coded && *end == '\0') {
		cJSON_AddNumberToObject(object, name, number);
		return;
	}
	text = strdup(coded);
	if (text && pct_decode(text) >= 0)
		json_text_add(object, name, text);
	free(text);
}

static void add_json_values(cJSON *object, const char *values)
{
	char *copy = strdup(values ? values : ""), *word, *equals, *save = NULL;

	for (word = copy ? strtok_r(copy, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save)) {
		equals = strchr(word, '=');
		if (!equals)
			continue;
		*equals = '\0';
		add_json_value(object, word, equals + 1);
	}
	free(copy);
}

static void print_json(const struct story_event *event)
{
	const struct record *record = event->record;
	cJSON *object = cJSON_CreateObject();
	char node[LAYOUT_MAX_NODE + 1];

	cJSON_AddNumberToObject(object, "time", (double)record->time);
	cJSON_AddStringToObject(object, "node", event_node(event, node));
	if (record->what == RECORD_LOST && is_taken_over(record))
		cJSON_AddStringToObject(object, "taken_over_by", event->node);
	cJSON_AddStringToObject(object, "what", what_names[record->what]);
	json_text_add(object, "unit", record->name);
	cJSON_AddNumberToObject(object, "attempt", record->attempt);
	cJSON_AddNumberToObject(object, "generation", record->generation);
	add_json_values(object, record->values);
	(void)json_text_print(object, true);
}

/* ---- who is at it now ---- */

static void print_claim_line(void *arg, const struct story_claim *claim)
{
	struct buf line = BUF_INIT;
	char time[32];

	(void)arg;
	format_time(claim->beat, time);
	buf_addf(&line, "%s  %-24s claims ", time, claim->node);
	pct_encode(&line, claim->unit, strlen(claim->unit));
	buf_addf(&line, "  claim %" PRIu32 ", its last heartbeat then", claim->number);
	if (claim->generation > 0)
		buf_addf(&line, "  round %" PRIu32, claim->generation + 1);
	puts(buf_text(&line));
	buf_release(&line);
}

static void print_claim_json(void *arg, const struct story_claim *claim)
{
	cJSON *object = cJSON_CreateObject();

	(void)arg;
	cJSON_AddNumberToObject(object, "time", (double)claim->beat);
	cJSON_AddStringToObject(object, "node", claim->node);
	cJSON_AddStringToObject(object, "what", "claims");
	json_text_add(object, "unit", claim->unit);
	cJSON_AddNumberToObject(object, "claim", claim->number);
	cJSON_AddNumberToObject(object, "generation", claim->generation);
	cJSON_AddNumberToObject(object, "pid", (double)claim->pid);
	(void)json_text_print(object, true);
}

/* The units that were asked for, and how much was told of each. */
struct asked {
	char *const *units;	/* ends with NULL */
	size_t *told;
	story_take_claim *print_claim;
};

static void count_told(struct asked *asked, const char *unit)
{
	size_t i;

	for (i = 0; asked->units[i]; i++)
		asked->told[i] += strcmp(asked->units[i], unit) == 0;
}

static void take_claim(void *arg, const struct story_claim *claim)
{
	struct asked *asked = arg;

	asked->print_claim(NULL, claim);
	count_told(asked, claim->unit);
}

/* 0, or -ENOENT when one of those nothing was told of is no input either. */
static int say_untold(const struct asked *asked, const char *dir, const struct qconf *conf)
{
	struct buf path = BUF_INIT;
	size_t i;
	int error = 0;

	for (i = 0; asked->units[i]; i++) {
		if (asked->told[i] > 0)
			continue;
		buf_reset(&path);
		buf_addf(&path, "%s/%s/%s", dir, conf->input, asked->units[i]);
		if (!buf_error(&path) && access(buf_text(&path), F_OK) == 0) {
			log_info("log: %s: nothing has happened to it yet", asked->units[i]);
			continue;
		}
		log_error("log: %s: no such unit: neither an input of %s nor in its logs", asked->units[i], dir);
		error = -ENOENT;
	}
	buf_release(&path);
	return error;
}

static int print_claims(const struct log_options *options, const struct qconf *conf, const char *dir, struct asked *asked)
{
	int error;

	asked->print_claim = options->json ? print_claim_json : print_claim_line;
	error = story_claims(dir, conf, asked->units, take_claim, asked);
	if (error)
		log_error("log: can't look at the claims of %s: %s", dir, log_strerror(error));
	return error ? error : say_untold(asked, dir, conf);
}

static size_t count_units(char *const *units)
{
	size_t count = 0;

	while (units[count])
		count++;
	return count;
}

static int print_story(const struct log_options *options, const struct qconf *conf, char **operands)
{
	struct asked asked = { .units = operands + 1, .told = calloc(count_units(operands), sizeof(*asked.told)) };
	struct story_event event;
	struct buf why = BUF_INIT;
	struct story *story = NULL;
	size_t i;
	int error = asked.told ? story_read(operands[0], operands + 1, &story, &why) : -ENOMEM;

	if (error) {
		log_error("log: can't read %s: %s", why.len ? buf_text(&why) : operands[0], log_strerror(error));
	} else {
		for (i = 0; i < story_count(story); i++) {
			story_event(story, i, &event);
			(options->json ? print_json : print_line)(&event);
			count_told(&asked, event.record->name);
		}
		error = operands[1] ? print_claims(options, conf, operands[0], &asked) : 0;
	}
	story_free(story);
	free(asked.told);
	buf_release(&why);
	return fflush(stdout) == 0 && !error ? 0 : COMMAND_FAILED;
}

/* ---- what it wrote ---- */

struct runs {
	struct outlog_entry *list;
	size_t count;
};

static int add_run(void *arg, const struct outlog_entry *entry)
{
	struct runs *runs = arg;
	struct outlog_entry *list = reallocarray(runs->list, runs->count + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	runs->list = list;
	list[runs->count] = *entry;
	list[runs->count].path = strdup(entry->path);
	list[runs->count].how = strcmp(entry->how, OUTLOG_OVERTAKEN) == 0 ? OUTLOG_OVERTAKEN : NULL;
	return list[runs->count].path ? (runs->count++, 0) : -ENOMEM;
}

static int compare_runs(const void *left, const void *right)
{
	const struct outlog_entry *a = left, *b = right;

	if (a->time_ms != b->time_ms)
		return a->time_ms < b->time_ms ? -1 : 1;
	return a->begin < b->begin ? -1 : a->begin > b->begin;
}

/* Not one that was ended since another attempt had done the unit, if there is one that was not. */
static size_t last_run(const struct runs *runs)
{
	size_t last = runs->count - 1;

	while (last > 0 && runs->list[last].how)
		last--;
	return runs->list[last].how ? runs->count - 1 : last;
}

static int copy_runs(const struct runs *runs, bool all)
{
	size_t i, last = all ? runs->count - 1 : last_run(runs);
	int error = 0;

	for (i = all ? 0 : last; !error && i <= last; i++)
		error = outlog_copy(&runs->list[i], STDOUT_FILENO, STDERR_FILENO);
	if (!error && runs->list[last].running)
		log_info("log: that is as far as it came: its job runs, or was lost with its worker");
	return error;
}

static int print_output(const struct log_options *options, const char *queue, const char *unit)
{
	struct buf dir = BUF_INIT;
	struct runs runs = { 0 };
	int error;

	buf_addf(&dir, options->logs ? "%s" : "%s/logs", options->logs ? options->logs : queue);
	error = buf_error(&dir) ? buf_error(&dir) : outlog_find(buf_text(&dir), unit, add_run, &runs);
	if (error) {
		log_error("log: can't read the logs in %s: %s (claim-worker --logs DIR keeps them, --logs names another)", buf_text(&dir),
			  log_strerror(error));
	} else if (runs.count == 0) {
		log_error("log: nothing is kept of %s in %s: no job for it has ended or run for a second, or it was run without --logs, or with "
			  "another one (--logs names it)",
			  unit, buf_text(&dir));
		error = -ENOENT;
	} else {
		qsort(runs.list, runs.count, sizeof(*runs.list), compare_runs);
		error = copy_runs(&runs, options->all);
		if (error)
			log_error("log: what is kept of %s can't be read: %s", unit, log_strerror(error));
	}
	while (runs.count > 0)
		free((char *)runs.list[--runs.count].path);
	free(runs.list);
	buf_release(&dir);
	return error ? COMMAND_FAILED : 0;
}

static int log_run(char **operands, void *target)
{
	const struct log_options *options = target;
	struct buf why = BUF_INIT;
	struct qconf conf;
	int error, status;

	if (options->output && (!operands[1] || operands[2])) {
		log_error("log: --output is about one unit: claimctl log --output QUEUE UNIT");
		return COMMAND_USAGE;
	}
	error = site_read_conf(operands[0], &conf, &why);	/* a plain directory will do */
	if (error) {
		log_error("log: %s%s", why.len ? buf_text(&why) : operands[0], why.len ? "" : " is no queue");
		buf_release(&why);
		return COMMAND_FAILED;
	}
	status = options->output ? print_output(options, operands[0], operands[1]) : print_story(options, &conf, operands);
	qconf_release(&conf);
	return status;
}

const struct command cmd_log = {
	.name = "log",
	.summary = "what happened when, to which unit; what its job wrote",
	.usage = "log [--json] QUEUE [UNIT...] | log --output [--all] [--logs DIR] QUEUE UNIT",
	.description = "Prints what the nodes have logged about the units, or about all, in order of time: done, failed, lost, again; of named ones\n"
		       "also who is at them now. With --output, "
		       "standard output and error of the unit's last job, where claim-worker was run with --logs.\n",
	.examples = "  claimctl log /mnt/disk/queue a/b.jpg\n"
		    "  claimctl log --json /mnt/disk/queue | jq 'select(.what == \"failed\")'\n"
		    "  claim-worker --logs queue/logs queue -- ./extract {in} {out}; claimctl log --output queue a/b.jpg\n",
	.options = table,
	.set = log_set,
	.run = log_run,
	.target = &log_options,
};
