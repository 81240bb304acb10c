/*
 * judge_disk: claims, leases and markers of one unit by what the witness saw, in the server's order and by the server's time.
 *
 * A claim's lease is live while its node's last heartbeat is younger than the lease. Where two moments are known only within bounds, the
 * longest time that may lie between them is taken: what is called a breach is one.
 */
#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool node_on_host(const char *node, const char *host)
{
	const char *dot = strrchr(node, '.');
	size_t len = dot ? (size_t)(dot - node) : 0;

	return !strcmp(node, "?") || (dot && strlen(host) == len && !memcmp(node, host, len));
}

static bool same_node(const char *a, const char *b)
{
	return !strcmp(a, b) || !strcmp(a, "?") || !strcmp(b, "?");
}

const struct event *last_beat(const struct judge *judge, const char *node, size_t before)
{
	while (before > 0) {
		const struct event *event = &judge->history->events[--before];

		if (event->kind == EVENT_BEAT && !strcmp(event->node, node))
			return event;
	}
	return NULL;
}

bool generation_over(const struct story *story, unsigned int generation, size_t at)
{
	for (size_t i = 0; i < at && i < story->count; i++) {
		const struct event *event = story->events[i];

		if ((event->kind == EVENT_MARKER || event->kind == EVENT_ASIDE) && event->generation == generation)
			return true;
		if (event->kind == EVENT_BEGAN && event->generation == generation + 1)
			return true;
	}
	return false;
}

static struct claim *find_claim(const struct story *story, unsigned int generation, unsigned int number)
{
	for (size_t i = story->claim_count; i > 0; i--)
		if (story->claims[i - 1].link->generation == generation && story->claims[i - 1].link->claim == number)
			return &story->claims[i - 1];
	return NULL;
}

/* The highest claim below this one that is not free, if its lease is live. */
static const struct claim *live_below(const struct judge *judge, const struct story *story, const struct event *link)
{
	const struct claim *claim;
	const struct event *beat;

	for (unsigned int number = link->claim - 1; number > 0; number--) {
		claim = find_claim(story, link->generation, number);
		if (!claim || claim->freed)
			continue;
		beat = last_beat(judge, claim->link->node, link->number);
		return beat && link->time_ns - beat->since_ns < judge->lease_ns ? claim : NULL;
	}
	return NULL;
}

/* A hedge is beside a claim, once in a generation. It is a second attempt at least, and nobody is kept from the unit by it. */
static void see_hedge(const struct judge *judge, struct story *story, struct claim *claim, unsigned int top, unsigned int hedges, bool over)
{
	claim->least = 2;
	claim->most = top + 1;
	if (!over && !top)
		breach(judge, PROMISE_ATTEMPTS_RISE, story, "a hedge beside nothing");
	if (!over && hedges)
		breach(judge, PROMISE_ATTEMPTS_RISE, story, "hedged twice");
}

static void see_link(const struct judge *judge, struct story *story, size_t at)
{
	const struct event *link = story->events[at];
	struct claim *claim = &story->claims[story->claim_count];
	bool over = generation_over(story, link->generation, at);
	unsigned int top = 0, hedges = 0, counted = 0;

	*claim = (struct claim) { .link = link };
	for (size_t i = 0; i < story->claim_count; i++) {
		const struct claim *other = &story->claims[i];

		if (other->link->generation != link->generation)
			continue;
		if (other->link->claim > top)
			top = other->link->claim;
		hedges += is_hedge(other);
		counted += !is_hedge(other) && other->link->claim < link->claim && (!other->freed || other->freed->kind == EVENT_LOST);
	}
	if (is_hedge(claim)) {
		see_hedge(judge, story, claim, top, hedges, over);
	} else {
		claim->least = 1 + counted;
		claim->most = link->claim + hedges;
		if (!over && link->claim != top + 1)
			breach(judge, PROMISE_ATTEMPTS_RISE, story, "a claim has not the next number");
		if (!over)
			claim->beside = live_below(judge, story, link);
	}
	story->claim_count++;
}

static void see_freed(struct story *story, const struct event *event)
{
	struct claim *claim = find_claim(story, event->generation, event->claim);

	if (claim && !claim->freed)
		claim->freed = event;
}

static void see_marker(const struct judge *judge, struct story *story, const struct event *event)
{
	bool claimed = false;

	for (size_t i = 0; i < story->marker_count; i++)
		if (story->markers[i].made->generation == event->generation)
			breach(judge, PROMISE_ONE_COMMIT, story, "a second marker in a generation");
	for (size_t i = 0; i < story->claim_count; i++)
		claimed |= story->claims[i].link->generation == event->generation && !story->claims[i].freed &&
			   same_node(story->claims[i].link->node, event->node);
	if (!claimed)
		breach(judge, PROMISE_ONE_COMMIT, story, "a marker without a claim");
	story->markers[story->marker_count++] = (struct marker) { .made = event };
}

static bool asked_for_anew(const struct story *story, const struct event *began)
{
	for (size_t i = 0; i < story->count; i++)
		if ((story->events[i]->kind == EVENT_REDO || story->events[i]->kind == EVENT_RETRY) &&
		    story->events[i]->time_ns <= began->time_ns)
			return true;
	return false;
}

static void see_began(const struct judge *judge, struct story *story, size_t at)
{
	const struct event *began = story->events[at];

	if (began->generation != story->generation + 1 || !generation_over(story, story->generation, at))
		breach(judge, PROMISE_ONE_COMMIT, story, "a generation began before the last was over");
	if (!asked_for_anew(story, began))
		breach(judge, PROMISE_ONE_COMMIT, story, "a generation began that nobody asked for");
	story->generation = began->generation;
	judge->verdict->redone++;
}

int judge_disk(const struct judge *judge, struct story *story)
{
	story->claims = calloc(story->count + 1, sizeof(*story->claims));
	story->markers = calloc(story->count + 1, sizeof(*story->markers));
	if (!story->claims || !story->markers)
		return -ENOMEM;
	for (size_t i = 0; i < story->count; i++) {
		const struct event *event = story->events[i];

		if (event->kind == EVENT_LINK)
			see_link(judge, story, i);
		else if (event->kind == EVENT_FREED || event->kind == EVENT_LOST)
			see_freed(story, event);
		else if (event->kind == EVENT_MARKER)
			see_marker(judge, story, event);
		else if (event->kind == EVENT_BEGAN)
			see_began(judge, story, i);
		else if (event->kind == EVENT_UNMARKED)
			breach(judge, PROMISE_DONE_IS_THERE, story, "a marker was removed");
		else if (event->kind == EVENT_SWEPT && !generation_over(story, event->generation, i))
			breach(judge, PROMISE_NO_UNIT_LOST, story, "a claim was removed while its generation runs");
	}
	return 0;
}
