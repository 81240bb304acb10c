/* history: reads the events of a torture run and judges them against the promises of claimfs-queue(7). See history.h. */
#include "history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[EVENT_KINDS] = {
	[EVENT_TOOK] = "took", [EVENT_COMMIT] = "commit", [EVENT_OK] = "ok", [EVENT_ALREADY] = "already",
	[EVENT_STALE] = "stale", [EVENT_REFUSED] = "refused", [EVENT_GIVE] = "give", [EVENT_GAVE] = "gave",
	[EVENT_FAIL] = "fail", [EVENT_FAILED] = "failed", [EVENT_GONE] = "gone", [EVENT_KILL] = "kill",
	[EVENT_STOP] = "stop", [EVENT_CONT] = "cont", [EVENT_CUT] = "cut", [EVENT_MEND] = "mend",
	[EVENT_REDO] = "redo", [EVENT_RETRY] = "retry", [EVENT_END] = "end",
};

const char *event_name(enum event_kind kind)
{
	return names[kind];
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
	history->events[history->count++] = *event;
	return 0;
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
	event.time_ns = strtoll(time, &end, 10);
	if (*end)
		return -EINVAL;
	event.kind = (enum event_kind)known;
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

	return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

void history_sort(struct history *history)
{
	/* glibc's qsort is a merge sort for arrays of this kind: equal times keep their order. */
	if (history->count)
		qsort(history->events, history->count, sizeof(*history->events), by_time);
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

/* ---- judging ---- */

struct judge {
	const struct history *history;
	int64_t lease_ns;
	FILE *out;
	struct verdict *verdict;
};

static bool about(const struct event *event, const char *unit)
{
	return !strcmp(event->unit, unit);
}

static void tell_story(const struct judge *judge, const char *unit)
{
	for (size_t i = 0; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];

		if (about(event, unit) || (event->kind >= EVENT_GONE && event->kind <= EVENT_MEND))
			fprintf(judge->out, "    %14.6f %s@%s %s %s %s\n", (double)event->time_ns / 1e9, event->client, event->node,
				event_name(event->kind), event->unit, event->detail);
	}
}

static void breach(const struct judge *judge, int *count, const char *unit, const char *what)
{
	++*count;
	fprintf(judge->out, "BROKEN %s: %s\n", what, unit);
	tell_story(judge, unit);
}

/*
 * When the owner of events[from] (a `took`) stopped owning: it finished or gave back, its mount was gone, or a lease after its node was disturbed.
 * It owns until it *asks* for the end: from then on the unit may be another's.
 */
static int64_t end_of_ownership(const struct judge *judge, size_t from)
{
	const struct event *took = &judge->history->events[from];
	int64_t excused = INT64_MAX;

	for (size_t i = from + 1; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];

		if (excused < event->time_ns)
			return excused;
		if (!strcmp(event->client, took->client)) {
			if (event->kind == EVENT_GONE)
				return event->time_ns;
			if (about(event, took->unit) && event->kind != EVENT_TOOK)
				return event->time_ns;
			if (about(event, took->unit))
				return event->time_ns;	/* taken again by itself: the first was over */
		}
		if (!strcmp(event->node, took->node) &&
		    (event->kind == EVENT_KILL || event->kind == EVENT_STOP || event->kind == EVENT_CUT) && excused == INT64_MAX)
			excused = event->time_ns + (event->kind == EVENT_KILL ? 0 : judge->lease_ns);
	}
	return excused;
}

static void judge_owners(const struct judge *judge, const char *unit)
{
	int64_t until = INT64_MIN;
	const char *owner = NULL;

	for (size_t i = 0; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];

		if (event->kind != EVENT_TOOK || !about(event, unit))
			continue;
		judge->verdict->executions++;
		if (owner && event->time_ns < until)
			breach(judge, &judge->verdict->one_owner, unit, "one owner at a time");
		owner = event->client;
		until = end_of_ownership(judge, i);
	}
}

static void judge_attempts(const struct judge *judge, const char *unit)
{
	long last = 0;

	for (size_t i = 0; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];
		long attempt;

		if (!about(event, unit))
			continue;
		if (event->kind == EVENT_REDO || event->kind == EVENT_RETRY)
			last = 0;
		if (event->kind == EVENT_GIVE && last > 0)
			last--;		/* what was given back does not count: its number comes again */
		if (event->kind != EVENT_TOOK || !(attempt = strtol(event->detail, NULL, 10)))
			continue;	/* its ticket could not be read any more */
		if (attempt <= last)
			breach(judge, &judge->verdict->attempts_rise, unit, "attempt numbers rise");
		last = attempt;
	}
}

/* Was a commit of the unit asked for whose answer never came: it may be the one that counts. */
static bool unanswered_commit(const struct judge *judge, size_t at)
{
	const struct event *commit = &judge->history->events[at];

	for (size_t i = at + 1; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];

		if (strcmp(event->client, commit->client))
			continue;
		if (event->kind == EVENT_GONE)
			return true;
		if (about(event, commit->unit))
			return event->kind == EVENT_REFUSED || event->kind == EVENT_STALE;
	}
	return true;
}

struct tally {
	int oks;		/* in this generation */
	int unanswered;
	int takes;		/* not given back */
	bool ever_ok;
	const struct event *end;
};

static void end_generation(const struct judge *judge, const char *unit, struct tally *tally)
{
	if (tally->oks > 1)
		breach(judge, &judge->verdict->one_commit, unit, "one commit");
	if (tally->takes > 1)
		judge->verdict->duplicates += tally->takes - 1;
	tally->oks = 0;
	tally->unanswered = 0;
	tally->takes = 0;
}

static bool digest_was_staged(const struct judge *judge, const char *unit, const char *digest)
{
	for (size_t i = 0; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];

		if (event->kind == EVENT_COMMIT && about(event, unit) && !strcmp(event->detail, digest))
			return true;
	}
	return false;
}

static void judge_end(const struct judge *judge, const char *unit, const struct tally *tally)
{
	char state[16], digest[64];

	if (!tally->end) {
		breach(judge, &judge->verdict->no_unit_lost, unit, "no unit is lost (it has no end)");
		return;
	}
	if (sscanf(tally->end->detail, "%15s %63s", state, digest) != 2 || !strcmp(state, "none")) {
		breach(judge, &judge->verdict->no_unit_lost, unit, "no unit is lost");
		return;
	}
	if (!strcmp(state, "done")) {
		if (!tally->oks && !tally->unanswered)
			breach(judge, &judge->verdict->one_commit, unit, "a done unit has one commit");
		if (!digest_was_staged(judge, unit, digest))
			breach(judge, &judge->verdict->done_is_there, unit, "done means there");
	} else if (tally->oks) {
		breach(judge, &judge->verdict->no_unit_lost, unit, "an acknowledged commit counts");
	}
}

static void judge_commits(const struct judge *judge, const char *unit)
{
	struct tally tally = { 0 };
	struct tally last;

	for (size_t i = 0; i < judge->history->count; i++) {
		const struct event *event = &judge->history->events[i];

		if (!about(event, unit))
			continue;
		switch (event->kind) {
		case EVENT_OK:
			tally.oks++;
			tally.ever_ok = true;
			break;
		case EVENT_TOOK:
			tally.takes++;
			break;
		case EVENT_GIVE:
			tally.takes--;
			break;
		case EVENT_COMMIT:
			tally.unanswered += unanswered_commit(judge, i);
			break;
		case EVENT_REDO:
		case EVENT_RETRY:
			end_generation(judge, unit, &tally);
			break;
		case EVENT_END:
			tally.end = event;
			break;
		default:
			break;
		}
	}
	last = tally;
	end_generation(judge, unit, &tally);
	judge->verdict->committed += last.ever_ok;
	judge_end(judge, unit, &last);
}

static bool first_of_its_unit(const struct history *history, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (history->events[i].kind == EVENT_END && about(&history->events[i], history->events[at].unit))
			return false;
	return true;
}

void history_judge(const struct history *history, int64_t lease_ns, FILE *out, struct verdict *ret_verdict)
{
	struct judge judge = { history, lease_ns, out, ret_verdict };

	memset(ret_verdict, 0, sizeof(*ret_verdict));
	for (size_t i = 0; i < history->count; i++) {
		const char *unit = history->events[i].unit;

		if (history->events[i].kind != EVENT_END || !first_of_its_unit(history, i))
			continue;
		ret_verdict->units++;
		judge_owners(&judge, unit);
		judge_attempts(&judge, unit);
		judge_commits(&judge, unit);
	}
}
