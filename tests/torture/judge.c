/*
 * judge: the promises of claimfs-queue(7), unit by unit: what clients were told against what the witness saw on the disk (judge_disk.c), and what
 * is there at the end.
 */
#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_NS 3000000000LL	/* SFTP's whole seconds, a view that may be one second old, and a busy machine */

const char *const promise_names[PROMISES] = {
	[PROMISE_ONE_COMMIT] = "one commit", [PROMISE_NO_UNIT_LOST] = "no unit is lost", [PROMISE_DONE_IS_THERE] = "done means there",
	[PROMISE_ONE_OWNER] = "one owner at a time", [PROMISE_ATTEMPTS_RISE] = "attempt numbers rise",
	[PROMISE_TOLD_IS_TRUE] = "what is told is on the disk", [PROMISE_SUM] = "inputs = the four directories",
	[PROMISE_DEAD_FREED] = "no dead node's claim is left",
};

static void tell_event(const struct judge *judge, const struct event *event)
{
	fprintf(judge->out, "    %14.6f %s@%s %s %s %s\n", (double)event->time_ns / 1e9, event->client, event->node, event_name(event->kind),
		event->unit, event->detail);
}

static bool of_nemesis(const struct event *event)
{
	return event->kind >= EVENT_KILL && event->kind <= EVENT_MEND;
}

void breach(const struct judge *judge, enum promise promise, const struct story *story, const char *what)
{
	judge->verdict->broken[promise]++;
	fprintf(judge->out, "BROKEN %s: %s%s%s\n", promise_names[promise], what, story ? ": " : "", story ? story->unit : "");
	for (size_t i = 0; story && i < judge->history->count; i++)
		if (of_nemesis(&judge->history->events[i]) || !strcmp(judge->history->events[i].unit, story->unit))
			tell_event(judge, &judge->history->events[i]);
}

/* ---- what clients were told ---- */

/* When the client asked for what events[at] answers. */
static int64_t asked_at(const struct judge *judge, const struct event *answer, enum event_kind asked)
{
	for (size_t i = answer->number; i > 0; i--) {
		const struct event *event = &judge->history->events[i - 1];

		if (event->kind == asked && !strcmp(event->client, answer->client))
			return event->time_ns;
	}
	return INT64_MIN;
}

static bool between(const struct event *disk, int64_t asked, int64_t told)
{
	return disk->since_ns <= told && disk->time_ns >= asked;
}

static bool attempt_fits(const struct claim *claim, unsigned long told)
{
	return told >= claim->least && told <= claim->most;
}

/*
 * The claim that a client was told of: the latest for which that number may be told, or else the latest. A client says whether it is a hedge; a
 * claim-worker's job, of which nothing says when it was asked for, does not know.
 */
static struct claim *find_told(const struct judge *judge, const struct story *story, const struct event *took, unsigned long told)
{
	int64_t asked = asked_at(judge, took, EVENT_TAKE);
	bool either = asked == INT64_MIN, hedged = took->kind == EVENT_HEDGED;
	struct claim *found = NULL;

	for (size_t i = story->claim_count; i > 0; i--) {
		struct claim *at = &story->claims[i - 1];

		if (at->took || !node_on_host(at->link->node, took->node) || !between(at->link, asked, took->time_ns) ||
		    (at->freed && at->freed->time_ns < asked) || (!either && is_hedge(at) != hedged))
			continue;
		if (attempt_fits(at, told))
			return at;
		if (!found)
			found = at;
	}
	return found;
}

static void judge_took(const struct judge *judge, struct story *story, const struct event *took)
{
	unsigned long told = strtoul(took->detail, NULL, 10);
	struct claim *claim = find_told(judge, story, took, told);

	judge->verdict->executions++;
	if (!claim) {
		breach(judge, PROMISE_TOLD_IS_TRUE, story, "a client was told of a claim that was not made for it");
		return;
	}
	claim->took = took;
	if (claim->beside)
		breach(judge, PROMISE_ONE_OWNER, story, "given out while another's lease is live");
	if (!attempt_fits(claim, told))
		breach(judge, PROMISE_ATTEMPTS_RISE, story, "a client was told a wrong number of the attempt");
}

static void judge_ok(const struct judge *judge, struct story *story, const struct event *ok)
{
	int64_t asked = asked_at(judge, ok, EVENT_COMMIT);

	for (size_t i = 0; i < story->marker_count; i++) {
		struct marker *marker = &story->markers[i];

		if (marker->ok || !node_on_host(marker->made->node, ok->node) || !between(marker->made, asked, ok->time_ns))
			continue;
		marker->ok = ok;
		return;
	}
	breach(judge, PROMISE_ONE_COMMIT, story, "an ok without a marker of its own");
}

/* "already NODE": that node's marker is there. */
static void judge_already(const struct judge *judge, const struct story *story, const struct event *already)
{
	const char *node = strchr(already->detail, ' ');

	for (size_t i = 0; i < story->marker_count; i++)
		if (story->markers[i].made->since_ns <= already->time_ns && node && !strcmp(story->markers[i].made->node, node + 1))
			return;
	breach(judge, PROMISE_TOLD_IS_TRUE, story, "told of another's commit, which is not there");
}

static void judge_failed(const struct judge *judge, const struct story *story, const struct event *failed)
{
	for (size_t i = 0; i < story->count; i++)
		if (story->events[i]->kind == EVENT_ASIDE && story->events[i]->since_ns <= failed->time_ns)
			return;
	breach(judge, PROMISE_TOLD_IS_TRUE, story, "told that it is set aside, which it is not");
}

static void judge_shown(const struct judge *judge, const struct story *story, const struct event *shown)
{
	const struct event *beat = last_beat(judge, shown->detail, shown->number);

	if (!beat || shown->time_ns - beat->time_ns > judge->lease_ns * 3 / 2 + SHOWN_NS)
		breach(judge, PROMISE_DEAD_FREED, story, "a claim of a node that is silent for longer than a lease and a refresh");
}

static void judge_told(const struct judge *judge, struct story *story)
{
	for (size_t i = 0; i < story->count; i++) {
		const struct event *event = story->events[i];

		if (event->kind == EVENT_TOOK || event->kind == EVENT_HEDGED)
			judge_took(judge, story, event);
		else if (event->kind == EVENT_OK)
			judge_ok(judge, story, event);
		else if (event->kind == EVENT_ALREADY)
			judge_already(judge, story, event);
		else if (event->kind == EVENT_FAILED)
			judge_failed(judge, story, event);
		else if (event->kind == EVENT_SHOWN)
			judge_shown(judge, story, event);
	}
}

static void count_takes(const struct judge *judge, const struct story *story)
{
	for (unsigned int generation = 0; generation <= story->generation; generation++) {
		int takes = 0;

		for (size_t i = 0; i < story->claim_count; i++) {
			const struct claim *claim = &story->claims[i];

			if (is_hedge(claim)) {
				judge->verdict->hedges += claim->link->generation == generation && claim->took;
				continue;
			}
			takes += claim->link->generation == generation && claim->took && !(claim->freed && claim->freed->kind == EVENT_FREED);
			judge->verdict->withdrawn += claim->link->generation == generation && claim->beside && !claim->took;
		}
		if (takes > 1)
			judge->verdict->duplicates += takes - 1;
	}
}

/* ---- the end ---- */

static bool digest_was_staged(const struct story *story, const char *digest)
{
	for (size_t i = 0; i < story->count; i++)
		if (story->events[i]->kind == EVENT_COMMIT && !strcmp(story->events[i]->detail, digest))
			return true;
	return false;
}

static const struct event *find_end(const struct story *story)
{
	for (size_t i = story->count; i > 0; i--)
		if (story->events[i - 1]->kind == EVENT_END)
			return story->events[i - 1];
	return NULL;
}

static bool has_aside(const struct story *story, unsigned int generation)
{
	for (size_t i = 0; i < story->count; i++)
		if (story->events[i]->kind == EVENT_ASIDE && story->events[i]->generation == generation)
			return true;
	return false;
}

static void judge_end(const struct judge *judge, const struct story *story)
{
	const struct event *end = find_end(story);
	const struct marker *marker = NULL;
	char state[16], digest[64];

	for (size_t i = 0; i < story->marker_count; i++)
		if (story->markers[i].made->generation == story->generation)
			marker = &story->markers[i];
	if (!end || sscanf(end->detail, "%15s %63s", state, digest) != 2 || !strcmp(state, "none")) {
		breach(judge, PROMISE_NO_UNIT_LOST, story, "it is nowhere at the end");
	} else if (!strcmp(state, "done")) {
		judge->verdict->committed += marker && marker->ok;
		if (!marker)
			breach(judge, PROMISE_ONE_COMMIT, story, "done without a commit");
		if (!digest_was_staged(story, digest))
			breach(judge, PROMISE_DONE_IS_THERE, story, "the output is none that was staged");
	} else if (marker) {
		breach(judge, PROMISE_NO_UNIT_LOST, story, "its commit does not count");
	} else if (!strcmp(state, "failed") && !has_aside(story, story->generation)) {
		breach(judge, PROMISE_NO_UNIT_LOST, story, "failed, though nobody set it aside");
	}
}

static void judge_quiet(const struct judge *judge, const struct event *quiet)
{
	int units, todo, claims, done, failed, once;

	judge->verdict->quiet++;
	if (sscanf(quiet->detail, "%d %d %d %d %d %d", &units, &todo, &claims, &done, &failed, &once) == 6 &&
	    units == todo + claims + done + failed && units == once)
		return;
	breach(judge, PROMISE_SUM, NULL, "units, todo, claims, done, failed, units that stand in one of them:");
	tell_event(judge, quiet);
}

/* ---- all of it ---- */

static int by_unit(const void *a, const void *b)
{
	const struct event *x = *(const struct event *const *)a, *y = *(const struct event *const *)b;
	int order = strcmp(x->unit, y->unit);

	return order ? order : (x->number > y->number) - (x->number < y->number);
}

static int judge_unit(const struct judge *judge, struct story *story)
{
	int error = judge_disk(judge, story);

	if (!error) {
		judge->verdict->units++;
		judge_told(judge, story);
		count_takes(judge, story);
		judge_end(judge, story);
	}
	free(story->claims);
	free(story->markers);
	return error;
}

int history_judge(const struct history *history, int64_t lease_ns, FILE *out, struct verdict *ret_verdict)
{
	struct judge judge = { history, lease_ns, out, ret_verdict };
	const struct event **events = calloc(history->count + 1, sizeof(*events));
	size_t i, begin;
	int error = 0;

	if (!events)
		return -ENOMEM;
	memset(ret_verdict, 0, sizeof(*ret_verdict));
	for (i = 0; i < history->count; i++) {
		events[i] = &history->events[i];
		if (events[i]->kind == EVENT_QUIET)
			judge_quiet(&judge, events[i]);
		ret_verdict->blind |= events[i]->kind == EVENT_BLIND;
	}
	qsort(events, history->count, sizeof(*events), by_unit);
	for (begin = 0; begin < history->count && !error; begin = i) {
		struct story story = { .unit = events[begin]->unit, .events = events + begin };

		for (i = begin; i < history->count && !strcmp(events[i]->unit, story.unit); i++)
			story.count++;
		if (strcmp(story.unit, "-"))
			error = judge_unit(&judge, &story);
	}
	free(events);
	return error;
}
