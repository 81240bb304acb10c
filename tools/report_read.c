/*
 * report_read: from the story of a queue to the facts of its report. Numbers in values are other nodes' word: what is no number, or none that can
 * be, is left out.
 */
#include "tools/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "queue/record.h"
#include "tools/story.h"

struct reading {
	struct report *report;
	struct map nodes;		/* NODE → index + 1 */
	struct map units;		/* UNIT → index + 1 */
};

/* Room for one more of `size` bytes at *array. 0 or -ENOMEM. */
static int grow(void **array, size_t count, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *bigger;

	if (count < *cap)
		return 0;
	bigger = reallocarray(*array, more, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*cap = more;
	return 0;
}

/* The number `name` says; < 0: none, or none between 0 and max. */
static double number_of(const struct record *record, const char *name, double max)
{
	char text[32], *end;
	const char *value;
	double number;
	size_t len;

	value = record_find_value(record->values, name, &len);
	if (!value || len == 0 || len >= sizeof(text))
		return -1;
	memcpy(text, value, len);
	text[len] = '\0';
	number = strtod(text, &end);
	return *end == '\0' && isfinite(number) && number >= 0 && number <= max ? number : -1;
}

/* A time that can be shown; one from tomorrow would make a dot of all others. */
static bool is_time(int64_t time)
{
	return time > 0 && time < clock_wall() / NS_PER_S + 86400;
}

static double known(double number)
{
	return number > 0 ? number : 0;
}

static int find_node(struct reading *reading, const char *name, size_t len, uint32_t *ret_node)
{
	struct report *report = reading->report;
	size_t index = (size_t)(uintptr_t)map_get(&reading->nodes, name, len);
	char *copy;

	if (index) {
		*ret_node = (uint32_t)(index - 1);
		return 0;
	}
	if (grow((void **)&report->nodes, report->node_count, &report->node_cap, sizeof(*report->nodes)) < 0)
		return -ENOMEM;
	copy = strndup(name, len);
	if (!copy)
		return -ENOMEM;
	report->nodes[report->node_count] = (struct report_node){ .name = copy, .first = INFINITY, .last = -INFINITY };
	*ret_node = (uint32_t)report->node_count++;
	return map_set(&reading->nodes, name, len, (void *)(uintptr_t)report->node_count, NULL);
}

static void seen(struct report_node *node, double from, double to)
{
	node->first = fmin(node->first, from);
	node->last = fmax(node->last, to);
}

static int find_unit(struct reading *reading, const struct hash128 *hash, struct report_unit **ret_unit)
{
	struct report *report = reading->report;
	size_t index = (size_t)(uintptr_t)map_get(&reading->units, hash->bytes, sizeof(hash->bytes));

	if (!index) {
		if (grow((void **)&report->units, report->unit_count, &report->unit_cap, sizeof(*report->units)) < 0)
			return -ENOMEM;
		report->units[report->unit_count] = (struct report_unit){ .hash = *hash };
		index = ++report->unit_count;
		if (map_set(&reading->units, hash->bytes, sizeof(hash->bytes), (void *)(uintptr_t)index, NULL) < 0)
			return -ENOMEM;
	}
	*ret_unit = &report->units[index - 1];
	return 0;
}

static void spend(struct report_spent *spent, const struct record *record, double wall, bool failed)
{
	spent->wall += known(wall);
	spent->user += known(number_of(record, "user", RECORD_MAX_SECONDS));
	spent->sys += known(number_of(record, "sys", RECORD_MAX_SECONDS));
	spent->spawn += known(number_of(record, "spawn", RECORD_MAX_SECONDS));
	spent->read_wait += known(number_of(record, "rwait", RECORD_MAX_SECONDS));
	spent->ready += known(number_of(record, "ready", RECORD_MAX_SECONDS));
	spent->write_wait += known(number_of(record, "wwait", RECORD_MAX_SECONDS));
	spent->claim += known(number_of(record, "claim", RECORD_MAX_SECONDS));
	spent->look += known(number_of(record, "look", RECORD_MAX_SECONDS));
	spent->turn += known(number_of(record, "turn", RECORD_MAX_SECONDS));
	spent->idle += known(number_of(record, "idle", RECORD_MAX_SECONDS));
	spent->tail += known(number_of(record, "tail", RECORD_MAX_SECONDS));
	spent->in_bytes += known(number_of(record, "in", RECORD_MAX_BYTES));
	if (failed)
		spent->failed += known(wall);
}

static int add_job(struct report *report, const struct record *record, uint32_t node, bool failed)
{
	double wall = number_of(record, "wall", RECORD_MAX_SECONDS), end = (double)record->time;
	struct report_job *job;

	if (grow((void **)&report->jobs, report->job_count, &report->job_cap, sizeof(*report->jobs)) < 0)
		return -ENOMEM;
	job = &report->jobs[report->job_count++];
	*job = (struct report_job){ .begin = end - known(wall), .end = end, .wall = wall, .node = node, .failed = failed, .record = record };
	seen(&report->nodes[node], job->begin, job->end);
	report->nodes[node].busy += known(wall);
	if (failed)
		report->nodes[node].failed++;
	else
		report->nodes[node].done++;
	spend(&report->spent, record, wall, failed);
	return 0;
}

/* The highest generation wins, and within it done beats failed. */
static void mark(struct report_unit *unit, const struct record *record, size_t job)
{
	if (record->generation < unit->generation)
		return;
	if (record->generation > unit->generation)
		*unit = (struct report_unit){ .hash = unit->hash, .generation = record->generation };
	if (record->what == RECORD_DONE)
		unit->done = true;
	if (record->what == RECORD_FAILED) {
		unit->failed = true;
		unit->job = job;
	}
}

static int add_end(struct reading *reading, const struct record *record, const char *name)
{
	struct report *report = reading->report;
	struct report_unit *unit;
	uint32_t node;
	size_t len;
	int error = find_unit(reading, &record->unit, &unit);

	if (error)
		return error;
	/* by=NODE: it was found done, by another. Without an attempt it was marked by hand; without a time it stands nowhere. */
	if (record_find_value(record->values, "by", &len) || record->attempt == 0 || !is_time(record->time)) {
		mark(unit, record, 0);
		return 0;
	}
	error = find_node(reading, name, strlen(name), &node);
	if (!error)
		error = add_job(report, record, node, record->what == RECORD_FAILED);
	if (!error)
		mark(unit, record, report->job_count);
	return error;
}

static int add_loss(struct reading *reading, const struct record *record, const char *name)
{
	struct report *report = reading->report;
	double time = (double)record->time, beat = number_of(record, "beat", 1e15);
	struct report_loss *loss;
	const char *of;
	uint32_t node;
	size_t len;
	int error;

	if (!is_time(record->time))
		return 0;
	of = record_find_value(record->values, "of", &len);
	error = of ? find_node(reading, of, len, &node) : find_node(reading, name, strlen(name), &node);
	if (!error)
		error = grow((void **)&report->losses, report->loss_count, &report->loss_cap, sizeof(*report->losses));
	if (error)
		return error;
	loss = &report->losses[report->loss_count++];
	*loss = (struct report_loss){ .time = time, .node = node };
	report->nodes[node].lost++;
	if (of && beat > 0 && beat <= time) {
		report->nodes[node].beat = fmax(report->nodes[node].beat, beat);
		loss->time = beat;
	}
	seen(&report->nodes[node], loss->time, loss->time);
	return 0;
}

/* A second attempt that was not the first to end is no claim that was lost. */
static bool count_hedge(struct report *report, const struct record *record)
{
	size_t len;
	const char *hedge = record_find_value(record->values, "hedge", &len);

	report->wasted += known(number_of(record, "wasted", RECORD_MAX_SECONDS));
	if (!hedge)
		return false;
	report->hedges++;
	report->hedges_won += len == 3 && memcmp(hedge, "won", len) == 0;
	return true;
}

static int add_event(struct reading *reading, const struct story_event *event)
{
	struct report_unit *unit;
	bool hedge = count_hedge(reading->report, event->record);
	int error;

	switch (event->record->what) {
	case RECORD_DONE:
	case RECORD_FAILED:
		return add_end(reading, event->record, event->node);
	case RECORD_LOST:
		return hedge ? 0 : add_loss(reading, event->record, event->node);
	default:
		error = find_unit(reading, &event->record->unit, &unit);
		if (!error)
			mark(unit, event->record, 0);
		reading->report->redone++;
		return error;
	}
}

/* ---- in order ---- */

static int compare_jobs(const void *left, const void *right)
{
	const struct report_job *a = left, *b = right;

	if (a->begin != b->begin)
		return a->begin < b->begin ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static int compare_losses(const void *left, const void *right)
{
	const struct report_loss *a = left, *b = right;

	return a->time < b->time ? -1 : a->time > b->time;
}

struct place {
	double first;
	uint32_t node;
};

static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->node < b->node ? -1 : a->node > b->node;
}

/* Nodes by their first sign, and what refers to them. */
static int sort_nodes(struct report *report)
{
	struct place *places = calloc(report->node_count + 1, sizeof(*places));
	struct report_node *nodes = calloc(report->node_count + 1, sizeof(*nodes));
	uint32_t *now = calloc(report->node_count + 1, sizeof(*now));
	size_t i;
	int error = places && nodes && now ? 0 : -ENOMEM;

	for (i = 0; !error && i < report->node_count; i++)
		places[i] = (struct place){ report->nodes[i].first, (uint32_t)i };
	if (!error)
		qsort(places, report->node_count, sizeof(*places), compare_places);
	for (i = 0; !error && i < report->node_count; i++) {
		nodes[i] = report->nodes[places[i].node];
		now[places[i].node] = (uint32_t)i;
	}
	for (i = 0; !error && i < report->job_count; i++)
		report->jobs[i].node = now[report->jobs[i].node];
	for (i = 0; !error && i < report->loss_count; i++)
		report->losses[i].node = now[report->losses[i].node];
	if (!error) {
		free(report->nodes);
		report->nodes = nodes;
		nodes = NULL;
	}
	free(places);
	free(nodes);
	free(now);
	return error;
}

/* Which units failed is told by jobs, so their indexes must follow when these are put in order. */
static int sort_jobs(struct report *report)
{
	const struct record **failed = calloc(report->unit_count + 1, sizeof(*failed));
	struct map places = MAP_INIT;
	size_t i;
	int error = failed ? 0 : -ENOMEM;

	for (i = 0; !error && i < report->unit_count; i++)
		failed[i] = report->units[i].job ? report->jobs[report->units[i].job - 1].record : NULL;
	if (!error && report->job_count)
		qsort(report->jobs, report->job_count, sizeof(*report->jobs), compare_jobs);
	for (i = 0; !error && i < report->job_count; i++)
		if (report->jobs[i].failed)
			error = map_set(&places, &report->jobs[i].record, sizeof(report->jobs[i].record), (void *)(uintptr_t)(i + 1), NULL);
	for (i = 0; !error && i < report->unit_count; i++)
		if (failed[i])
			report->units[i].job = (size_t)(uintptr_t)map_get(&places, &failed[i], sizeof(failed[i]));
	map_release(&places);
	free(failed);
	return error;
}

static int put_in_order(struct report *report)
{
	size_t i;
	int error = sort_jobs(report);

	if (report->loss_count)
		qsort(report->losses, report->loss_count, sizeof(*report->losses), compare_losses);
	if (!error && report->node_count)
		error = sort_nodes(report);
	if (error)
		return error;
	for (i = 0; i < report->unit_count; i++) {
		report->done += report->units[i].done;
		report->failed += report->units[i].failed && !report->units[i].done;
	}
	for (i = 0; i < report->node_count; i++) {
		report->begin = i == 0 ? report->nodes[i].first : fmin(report->begin, report->nodes[i].first);
		report->end = i == 0 ? report->nodes[i].last : fmax(report->end, report->nodes[i].last);
	}
	return 0;
}

int report_read(const char *dir, struct report **ret_report, struct buf *why)
{
	struct report *report = calloc(1, sizeof(*report));
	struct reading reading = { .report = report };
	struct story_event event;
	size_t i;
	int error = report ? story_read(dir, NULL, &report->story, why) : -ENOMEM;

	for (i = 0; !error && i < story_count(report->story); i++) {
		story_event(report->story, i, &event);
		error = add_event(&reading, &event);
	}
	if (!error)
		error = put_in_order(report);
	map_release(&reading.nodes);
	map_release(&reading.units);
	if (error)
		report_free(report);
	else
		*ret_report = report;
	return error;
}

void report_free(struct report *report)
{
	size_t i;

	if (!report)
		return;
	for (i = 0; i < report->node_count; i++)
		free((char *)report->nodes[i].name);
	free(report->nodes);
	free(report->jobs);
	free(report->losses);
	free(report->units);
	story_free(report->story);
	free(report);
}

double report_node_hours(const struct report *report)
{
	double seconds = 0;
	size_t i;

	for (i = 0; i < report->node_count; i++)
		seconds += report->nodes[i].last - report->nodes[i].first;
	return seconds / 3600;
}
