/*
 * report_page: head, figures, the charts, and the tables of slow and failed units.
 */
#include "tools/report_page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/html.h"

#define MAX_SLOW 10
#define MAX_FAILED 50
#define MAX_NODES 300
#define MAX_STDERR 3000

static void add_name(struct buf *to, const char *name)
{
	buf_adds(to, "<bdi>");
	html_text(to, name, strlen(name));
	buf_adds(to, "</bdi>");
}

/* ---- head ---- */

static void add_head(const struct report *report, const struct report_options *options, struct buf *to)
{
	buf_adds(to, "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>"
		 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/><title>");
	html_text(to, options->queue, strlen(options->queue));
	buf_adds(to, " \xe2\x80\x94 claimfs report</title><style>");
	buf_adds(to, report_style);
	buf_adds(to, "</style></head><body><main>\n<h1>");
	add_name(to, options->queue);
	buf_adds(to, "</h1><p>");
	if (report->end > 0 && report->node_count) {
		html_time(to, report->begin);
		buf_adds(to, " to ");
		html_time(to, report->end);
		buf_adds(to, " UTC, by the server's clock \xc2\xb7 ");
	}
	buf_adds(to, "made ");
	html_time(to, (double)(clock_wall() / NS_PER_S));
	buf_adds(to, " UTC by claimctl " CLAIMFS_VERSION "</p>\n");
}

static void begin_tile(struct buf *to, const char *class)
{
	buf_addf(to, "<div class=\"tile %s\"><b>", class);
}

static void end_tile(struct buf *to, const char *what)
{
	buf_addf(to, "</b><span>%s</span></div>\n", what);
}

static void count_tile(struct buf *to, const char *class, uint64_t count, const char *what)
{
	begin_tile(to, count ? class : "");
	html_count(to, count);
	end_tile(to, what);
}

static void add_done_bar(const struct report *report, const struct report_options *options, struct buf *to)
{
	double total = options->total;

	if (!(total > 0) || (double)report->done > total)
		return;
	buf_addf(to, "<div class=\"bar\"><i class=\"d\" style=\"width:%.2f%%\"></i><i class=\"f\" style=\"width:%.2f%%\"></i></div><p>",
		 (double)report->done / total * 100, fmin((double)report->failed, total - (double)report->done) / total * 100);
	html_count(to, report->done);
	buf_adds(to, " of ");
	html_count(to, (uint64_t)total);
	buf_adds(to, " units done");
	if (options->todo > 0) {
		buf_adds(to, ", ");
		html_count(to, (uint64_t)options->todo);
		buf_adds(to, " to do or under way");
	}
	buf_adds(to, "</p>\n");
}

static void add_tiles(const struct report *report, struct buf *to)
{
	double span = report->end - report->begin, rate = span > 0 ? (double)report->done / span : 0;
	size_t i, silent = 0;

	for (i = 0; i < report->node_count; i++)
		silent += report->nodes[i].beat > 0;
	buf_adds(to, "<div class=\"tiles\">\n");
	count_tile(to, "", report->done, "units done");
	count_tile(to, "failed", report->failed, "failed");
	count_tile(to, "lost", report->loss_count, "attempts lost");
	if (report->hedges) {
		count_tile(to, "", report->hedges, "second attempts");
		count_tile(to, "", report->hedges_won, "of them came first");
	}
	count_tile(to, "", report->node_count, "nodes");
	count_tile(to, "failed", silent, "of them fell silent");
	if (span > 0) {
		begin_tile(to, "");
		html_seconds(to, span);
		end_tile(to, "from first to last");
	}
	if (report->wasted > 0) {
		begin_tile(to, "");
		html_seconds(to, report->wasted);
		end_tile(to, "of work in vain");
	}
	if (rate > 0) {
		begin_tile(to, "");
		buf_addf(to, "%.3g%s", rate >= 1 ? rate : rate * 60 >= 1 ? rate * 60 : rate * 3600, rate >= 1 ? "/s" : rate * 60 >= 1 ? "/min" : "/h");
		end_tile(to, "units done, overall");
	}
	if (report->spent.in_bytes > 0) {
		begin_tile(to, "");
		html_bytes(to, report->spent.in_bytes);
		end_tile(to, "of inputs");
	}
	buf_adds(to, "</div>\n");
}

/* ---- cost ---- */

static void add_cost(const struct report *report, double price, struct buf *to)
{
	double hours = report_node_hours(report), cost = hours * price;
	double busy = report->spent.wall, failed = busy > 0 ? report->spent.failed / busy : 0;

	if (price < 0)
		return;
	buf_adds(to, "<section id=\"cost\"><h2>Cost</h2><p>At the price given, of each node from its first unit's begin to its last sign of life; "
		 "what it idled before and after is not in the logs.</p><table class=\"short\">");
	buf_addf(to, "<tr><td>node hours</td><td class=\"n\">%.2f</td></tr><tr><td>price of one</td><td class=\"n\">%g</td></tr>"
		 "<tr><td><b>sum</b></td><td class=\"n\"><b>%.2f</b></td></tr>", hours, price, cost);
	if (report->done)
		buf_addf(to, "<tr><td>a thousand units</td><td class=\"n\">%.4g</td></tr>", cost / (double)report->done * 1000);
	if (failed > 0)
		buf_addf(to, "<tr><td>of the sum, for jobs that failed</td><td class=\"n\">%.4g (%.1f %%)</td></tr>", cost * failed, failed * 100);
	buf_adds(to, "</table></section>\n");
}

/* ---- units ---- */

static void add_how(const struct record *record, struct buf *to)
{
	struct buf value = BUF_INIT;

	if (record_value(record->values, "signal", &value) == 0)
		buf_adds(to, "signal ");
	else if (record_value(record->values, "status", &value) == 0)
		buf_adds(to, "exit status ");
	html_text(to, buf_text(&value), value.len);
	buf_release(&value);
}

static void add_unit_cells(const struct report *report, const struct report_job *job, struct buf *to)
{
	buf_adds(to, "<td>");
	add_name(to, job->record->name);
	buf_adds(to, "</td><td>");
	add_name(to, report->nodes[job->node].name);
	buf_adds(to, "</td><td class=\"t\">");
	html_time(to, job->end);
	buf_addf(to, "</td><td class=\"n\">%u</td><td class=\"n\">", job->record->attempt);
	if (job->wall >= 0)
		html_seconds(to, job->wall);
	buf_adds(to, "</td>");
}

static int by_wall(const void *left, const void *right)
{
	const struct report_job *const *a = left, *const *b = right;

	return (*a)->wall > (*b)->wall ? -1 : (*a)->wall < (*b)->wall;
}

static int add_slowest(const struct report *report, struct buf *to)
{
	const struct report_job **jobs = calloc(report->job_count + 1, sizeof(const struct report_job *));
	size_t i, count = 0;

	if (!jobs)
		return -ENOMEM;
	for (i = 0; i < report->job_count; i++)
		if (!report->jobs[i].failed && report->jobs[i].wall >= 0)
			jobs[count++] = &report->jobs[i];
	if (count)
		qsort(jobs, count, sizeof(const struct report_job *), by_wall);
	buf_adds(to, "<section id=\"slowest\"><h2>Slowest units</h2>\n<table><tr><th>unit</th><th>node</th><th>ended</th>"
		 "<th class=\"n\">attempt</th><th class=\"n\">took</th></tr>\n");
	for (i = 0; i < count && i < MAX_SLOW; i++) {
		buf_adds(to, "<tr>");
		add_unit_cells(report, jobs[i], to);
		buf_adds(to, "</tr>\n");
	}
	buf_adds(to, "</table></section>\n");
	free(jobs);
	return 0;
}

/* What the job said last, or why the queue set the unit aside. Its end counts. */
static void add_words(const struct record *record, struct buf *to)
{
	struct buf words = BUF_INIT;
	size_t skip = 0;

	if (record_value(record->values, "stderr", &words) < 0)
		record_value(record->values, "why", &words);
	while (words.len > 0 && words.data[words.len - 1] == '\n')
		words.len--;
	if (words.len > MAX_STDERR)
		skip = words.len - MAX_STDERR;
	if (words.len > 0) {
		buf_adds(to, "<tr class=\"said\"><td colspan=\"6\"><pre>");
		if (skip)
			buf_adds(to, "\xe2\x80\xa6 ");
		html_lines(to, words.data + skip, words.len - skip);
		buf_adds(to, "</pre></td></tr>\n");
	}
	buf_release(&words);
}

static void add_failed(const struct report *report, struct buf *to)
{
	uint64_t shown = 0;
	size_t i;

	if (!report->failed)
		return;
	buf_adds(to, "<section id=\"failed\"><h2>Failed units</h2><p>Set aside, with the last lines of standard error. Once the cause is mended, "
		 "claimctl retry has them done again.</p>\n<table><tr><th>unit</th><th>node</th><th>ended</th><th class=\"n\">attempt</th>"
		 "<th class=\"n\">took</th><th>how</th></tr>\n");
	for (i = 0; i < report->unit_count && shown < MAX_FAILED; i++) {
		const struct report_unit *unit = &report->units[i];

		if (!unit->failed || unit->done || !unit->job)
			continue;
		shown++;
		buf_adds(to, "<tr class=\"of\">");
		add_unit_cells(report, &report->jobs[unit->job - 1], to);
		buf_adds(to, "<td>");
		add_how(report->jobs[unit->job - 1].record, to);
		buf_adds(to, "</td></tr>\n");
		add_words(report->jobs[unit->job - 1].record, to);
	}
	buf_adds(to, "</table>");
	if (shown < report->failed) {
		buf_adds(to, "<p>And ");
		html_count(to, report->failed - shown);
		buf_adds(to, " more: claimctl log tells of all.</p>");
	}
	buf_adds(to, "</section>\n");
}

/* ---- nodes ---- */

static void add_nodes(const struct report *report, struct buf *to)
{
	size_t i;

	buf_adds(to, "<section id=\"nodes\"><details><summary>All nodes in figures</summary><table><tr><th>node</th><th>first unit began</th><th>last sign of life</th>"
		 "<th class=\"n\">done</th><th class=\"n\">failed</th><th class=\"n\">lost</th><th class=\"n\">jobs ran</th></tr>\n");
	for (i = 0; i < report->node_count && i < MAX_NODES; i++) {
		const struct report_node *node = &report->nodes[i];

		buf_adds(to, "<tr><td>");
		add_name(to, node->name);
		buf_adds(to, "</td><td class=\"t\">");
		html_time(to, node->first);
		buf_adds(to, "</td><td class=\"t\">");
		html_time(to, node->last);
		buf_adds(to, "</td><td class=\"n\">");
		html_count(to, node->done);
		buf_adds(to, "</td><td class=\"n\">");
		html_count(to, node->failed);
		buf_adds(to, "</td><td class=\"n\">");
		html_count(to, node->lost);
		buf_adds(to, "</td><td class=\"n\">");
		html_seconds(to, node->busy);
		buf_adds(to, "</td></tr>\n");
	}
	buf_adds(to, "</table>");
	if (report->node_count > MAX_NODES)
		buf_addf(to, "<p>And %zu more.</p>", report->node_count - MAX_NODES);
	buf_adds(to, "</details></section>\n");
}

int report_page(const struct report *report, const struct report_options *options, struct buf *to)
{
	int error = 0;

	add_head(report, options, to);
	add_done_bar(report, options, to);
	add_tiles(report, to);
	if (report->node_count) {
		report_throughput(report, to);
		error = report_lanes(report, to);
		buf_adds(to, "<div class=\"two\">");
		if (!error)
			error = report_times(report, to);
		report_split(report, to);
		buf_adds(to, "</div>\n");
		add_cost(report, options->price, to);
		if (!error)
			error = add_slowest(report, to);
		add_failed(report, to);
		add_nodes(report, to);
	} else {
		buf_adds(to, "<section><h2>Nothing has happened yet</h2><p>The logs of this queue tell of no unit that was worked on.</p></section>\n");
	}
	buf_adds(to, "</main></body></html>\n");
	return error ? error : buf_error(to);
}
