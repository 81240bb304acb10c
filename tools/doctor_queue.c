/*
 * doctor_queue: what progress.json says, judged: what holds the work up, the figures it is seen by, and what to do. Which part limits is not
 * decided here but where progress is made (limits.h), so that all say the same.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tools/doctor.h"
#include "tools/html.h"

#define MANY_CLAIMS 100		/* tried, before a share of them means something */
#define LOST_SHARE 0.2
#define MAX_NODES 10		/* said one by one */

static double part_of(const struct progress_facts *facts, const char *name)
{
	size_t i;

	for (i = 0; facts->parts[i].name; i++)
		if (strcmp(facts->parts[i].name, name) == 0)
			return facts->parts[i].seconds;
	return 0;
}

static double total_of(const struct progress_facts *facts)
{
	double total = 0;
	size_t i;

	for (i = 0; facts->parts[i].name; i++)
		total += facts->parts[i].seconds;
	return total;
}

static bool is(const char *limit, const char *name)
{
	return strcmp(limit, name) == 0;
}

/* ---- units and nodes ---- */

static void judge_units(const struct progress_facts *facts, struct findings *to)
{
	struct buf text = BUF_INIT;
	size_t i;

	buf_addf(&text, "%.0f of %.0f done, %.0f to do, %.0f claimed", facts->done, facts->total, facts->todo, facts->claimed);
	if (facts->unsettled > 0)
		buf_addf(&text, ", %.0f inputs too young to be units", facts->unsettled);
	if (facts->rate_minute > 0)
		buf_addf(&text, "; %.3g a second", facts->rate_minute);
	if (facts->eta > 0 && facts->claimed > 0) {
		buf_adds(&text, ", through in ");
		html_seconds(&text, facts->eta);
	}
	findings_add(to, "queue", "units", NULL, "%s", buf_text(&text));
	buf_release(&text);
	if (facts->failed > 0)
		findings_add(to, "queue", "failed", "read what they said (QUEUE/failed/, claimctl top, f), mend it, then claimctl retry", "%.0f %s failed",
			     facts->failed, facts->failed == 1 ? "unit" : "units");
	for (i = 0; facts->warnings[i]; i++)
		findings_add(to, "queue", "warning", "see claimfs-queue(7)", "%s", facts->warnings[i]);
	if (facts->claims_tried >= MANY_CLAIMS && facts->claims_lost > LOST_SHARE * facts->claims_tried)
		findings_add(to, "queue", "races", "let claim-worker claim (it asks for many at once), or make units bigger",
			     "this mount lost %.0f of %.0f claims to others", facts->claims_lost, facts->claims_tried);
}

static void judge_hedges(const struct progress_facts *facts, struct findings *to)
{
	double hedges = facts->hedges_won + facts->hedges_lost;
	struct buf wasted = BUF_INIT;

	if (hedges > 0) {
		html_seconds(&wasted, facts->wasted);
		findings_add(to, "queue", "hedges", NULL, "%.0f second %s, %.0f came first; %s of work in vain", hedges,
			     hedges == 1 ? "attempt" : "attempts", facts->hedges_won, buf_text(&wasted));
	}
	buf_release(&wasted);
}

static void judge_nodes(const struct progress_facts *facts, struct findings *to)
{
	size_t i, working = 0, said = 0;

	/* A mount is live without a worker too. */
	for (i = 0; i < facts->node_count; i++)
		working += is(facts->nodes[i].state, "live") && facts->nodes[i].held > 0;
	findings_add(to, "queue", "nodes", working == 0 && facts->todo > 0 && facts->node_count > 0 ?
		     "start one: claim-worker QUEUE -- COMMAND" : NULL, "%zu of %zu work now%s", working, facts->node_count,
		     facts->node_count == 0 ? ": nobody has worked here yet" : "");
	for (i = 0; i < facts->node_count && said < MAX_NODES; i++) {
		const struct progress_row *row = &facts->nodes[i];
		struct buf age = BUF_INIT;

		if (!is(row->state, "stale"))
			continue;
		said++;
		if (row->age >= 0)
			html_seconds(&age, row->age);
		findings_add(to, "queue", "silent", "others take its units by themselves; see whether the machine lives",
			     "%s has %.0f claims and was silent for %s", row->name, row->held, age.len ? buf_text(&age) : "an unknown time");
		buf_release(&age);
	}
}

/* ---- where the time goes ---- */

/* The figures behind the sentence, of one unit: they differ by what limits. */
static void explain(const struct progress_facts *facts, const struct doctor_node *node, struct buf *to)
{
	double units = facts->measured, read = part_of(facts, "reading"), write = part_of(facts, "writing");
	const char *limit = facts->limit;

	if ((is(limit, "reading") || is(limit, "latency")) && read > 0) {
		buf_adds(to, "; jobs waited ");
		html_seconds(to, read);
		buf_adds(to, " for ");
		html_bytes(to, facts->in_bytes > 0 ? facts->in_bytes : 0);
		if (node->rtt > 0 && units > 0)
			buf_addf(to, ", which is %.1f round trips a unit", read / units / node->rtt);
	} else if (is(limit, "writing") && write > 0) {
		buf_adds(to, "; jobs waited ");
		html_seconds(to, write);
		buf_adds(to, " to write ");
		html_bytes(to, facts->out_bytes > 0 ? facts->out_bytes : 0);
	} else if ((is(limit, "claiming") || is(limit, "starting")) && units > 0) {
		buf_addf(to, "; %s takes ", limit);
		html_seconds(to, part_of(facts, limit) / units);
		buf_adds(to, " a unit");
	} else if (is(limit, "tail")) {
		buf_adds(to, "; slots stood empty for ");
		html_seconds(to, part_of(facts, limit));
		buf_adds(to, " in all while the last units ran");
	} else if (is(limit, "idle")) {
		buf_addf(to, "; %.0f units are left to claim", facts->todo);
	} else if ((is(limit, "computing") || is(limit, "crowded")) && node->cores > 0) {
		buf_addf(to, "; this node has %.0f cores and a load of %.1f", node->cores, node->load);
	}
}

/* Busy processors are what everybody wants, and nothing is in the way of what is finished. */
static bool is_in_the_way(const struct progress_facts *facts)
{
	return facts->todo + facts->claimed > 0 && !is(facts->limit, "computing") && !is(facts->limit, "unknown") && !is(facts->limit, "");
}

static void judge_limit(const struct progress_facts *facts, const struct doctor_node *node, double total, struct findings *to)
{
	bool latency = is(facts->limit, "latency"), starting = is(facts->limit, "starting");
	double part = part_of(facts, latency ? "reading" : facts->limit);
	struct buf text = BUF_INIT;

	buf_addf(&text, "%s, %.0f%% of the slots' time", facts->limit, 100 * part / total);
	if (latency)
		buf_adds(&text, " (reading small files)");
	if (starting)
		buf_adds(&text, ", and most of what so short a process computes is its beginning and end");
	explain(facts, node, &text);
	if (is_in_the_way(facts)) {
		findings_add(to, "time", "limit", facts->advice ? facts->advice : "see claim-worker(1)", "%s", buf_text(&text));
	} else {
		if (facts->advice && !is(facts->limit, "idle"))
			buf_addf(&text, "; %s%s", facts->todo + facts->claimed > 0 ? "" : "if there is more of the like: ", facts->advice);
		findings_add(to, "time", "limit", NULL, "%s", buf_text(&text));
	}
	buf_release(&text);
}

static void judge_others(const struct progress_facts *facts, struct findings *to)
{
	size_t i, said = 0;

	for (i = 0; i < facts->node_count && said < MAX_NODES; i++) {
		const struct progress_row *row = &facts->nodes[i];

		if (!is(row->state, "live") || is(row->limit, "") || is(row->limit, "unknown") || is(row->limit, facts->limit))
			continue;
		said++;
		findings_add(to, "time", "node", NULL, "%s is another case: %s (%.0f done)", row->name, row->limit, row->done);
	}
}

static void judge_time(const struct progress_facts *facts, const struct doctor_node *node, struct findings *to)
{
	double units = facts->measured, total = total_of(facts);
	struct buf text = BUF_INIT;
	size_t i;

	if (!(total > 0) || is(facts->limit, "unknown")) {
		findings_add(to, "time", "limit", NULL, "nothing has run yet, so nothing is known: ask again when some units are done");
		return;
	}
	for (i = 0; facts->parts[i].name; i++) {
		buf_addf(&text, "%s%s %.0f%% (", i ? ", " : "", facts->parts[i].name, 100 * facts->parts[i].seconds / total);
		html_seconds(&text, facts->parts[i].seconds);
		buf_addch(&text, ')');
	}
	findings_add(to, "time", "slots", NULL, "%s", buf_text(&text));
	if (units > 0 && facts->wall >= 0) {
		buf_reset(&text);
		buf_adds(&text, "runs ");
		html_seconds(&text, facts->wall / units);
		buf_adds(&text, ", computes ");
		html_seconds(&text, part_of(facts, "computing") / units);
		buf_adds(&text, ", reads ");
		html_bytes(&text, facts->in_bytes > 0 ? facts->in_bytes / units : 0);
		buf_adds(&text, ", writes ");
		html_bytes(&text, facts->out_bytes > 0 ? facts->out_bytes / units : 0);
		findings_add(to, "time", "a unit", NULL, "%s (means of %.0f)", buf_text(&text), units);
	}
	buf_release(&text);
	judge_limit(facts, node, total, to);
	judge_others(facts, to);
}

void doctor_queue(const struct progress_facts *facts, const struct doctor_node *node, struct findings *findings)
{
	judge_units(facts, findings);
	judge_hedges(facts, findings);
	judge_nodes(facts, findings);
	judge_time(facts, node, findings);
}
