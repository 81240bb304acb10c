/*
 * report_lanes: a lane a node. Of few units each is drawn, those side by side below one another; of many, or of short ones (times of records are
 * whole seconds), how many ran at a time. So the drawing stays small: at most MAX_LANES lanes of at most MAX_DRAWN units in all, or of BINS steps
 * each.
 */
#include "tools/report_page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html.h"

#define MAX_LANES 64
#define MAX_DRAWN 1500
#define MIN_DRAWN_S 1.0
#define MAX_ROWS 16
#define MIN_SLACK_S 0.5
#define SLACK_X 2.0		/* of the drawing's width */
#define BINS 180
#define TOP 8
#define LEFT 200
#define RIGHT 825
#define MANY_LANES 20		/* more are drawn flatter */
#define BODY 22
#define FLAT_BODY 13
#define GAP 8			/* below each */
#define NAME_COLUMNS 27

struct lane {
	uint32_t node;			/* UINT32_MAX: all that have none of their own */
	double y;
	struct report_node sum;
	double rows[MAX_ROWS];		/* until when each is taken */
	uint32_t row_count;
	float running[BINS];		/* jobs at a time, on average */
	uint32_t failed[BINS], lost[BINS];
};

struct lanes {
	const struct report *report;
	struct chart chart;
	struct lane *list;
	size_t count;
	int body;			/* a lane's height, without the space below it */
	uint32_t *of_node;		/* lane of each node */
	size_t bins;			/* of these, each so many whole seconds */
	double bin_width;
	bool drawn;			/* unit by unit */
	uint32_t *row_of_job;		/* when drawn */
	double most;			/* jobs at a time in any node's lane */
};

/* ---- who has a lane ---- */

struct weight {
	double busy;
	uint32_t node;
};

static int by_weight(const void *left, const void *right)
{
	const struct weight *a = left, *b = right;

	if (a->busy != b->busy)
		return a->busy > b->busy ? -1 : 1;
	return a->node < b->node ? -1 : a->node > b->node;
}

static void add_sum(struct lane *lane, const struct report_node *node)
{
	lane->sum.first = lane->sum.first > 0 ? fmin(lane->sum.first, node->first) : node->first;
	lane->sum.last = fmax(lane->sum.last, node->last);
	lane->sum.done += node->done;
	lane->sum.failed += node->failed;
	lane->sum.lost += node->lost;
	lane->sum.busy += node->busy;
	lane->sum.beat = node->beat;
}

/* Those that worked longest have one, in the order in which they came. */
static int choose(struct lanes *lanes)
{
	const struct report *report = lanes->report;
	size_t count = report->node_count, own = count <= MAX_LANES ? count : MAX_LANES - 1, i;
	struct weight *weights = calloc(count + 1, sizeof(*weights));

	lanes->of_node = calloc(count + 1, sizeof(*lanes->of_node));
	lanes->list = calloc(MAX_LANES, sizeof(*lanes->list));
	if (!weights || !lanes->of_node || !lanes->list) {
		free(weights);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++)
		weights[i] = (struct weight){ report->nodes[i].busy, (uint32_t)i };
	qsort(weights, count, sizeof(*weights), by_weight);
	for (i = own; i < count; i++)
		lanes->of_node[weights[i].node] = UINT32_MAX;
	free(weights);
	for (i = 0; i < count; i++) {
		if (lanes->of_node[i] == UINT32_MAX)
			continue;
		lanes->of_node[i] = (uint32_t)lanes->count;
		lanes->list[lanes->count++].node = (uint32_t)i;
	}
	if (own < count)
		lanes->list[lanes->count++].node = UINT32_MAX;
	for (i = 0; i < count; i++) {
		if (lanes->of_node[i] == UINT32_MAX)
			lanes->of_node[i] = (uint32_t)own;
		add_sum(&lanes->list[lanes->of_node[i]], &report->nodes[i]);
	}
	lanes->body = lanes->count > MANY_LANES ? FLAT_BODY : BODY;
	for (i = 0; i < lanes->count; i++)
		lanes->list[i].y = TOP + (lanes->body + GAP) * (double)i;
	return 0;
}

/* ---- what is in it ---- */

static double bin_of(const struct lanes *lanes, double time)
{
	return fmin(fmax((time - lanes->chart.begin) / lanes->bin_width, 0), (double)lanes->bins);
}

static size_t whole_bin(const struct lanes *lanes, double time)
{
	size_t bin = (size_t)bin_of(lanes, time);

	return bin < lanes->bins ? bin : lanes->bins - 1;
}

static double bin_x(const struct lanes *lanes, size_t bin)
{
	return chart_x(&lanes->chart, lanes->chart.begin + (double)bin * lanes->bin_width);
}

/* One that ran for less than a second ran somewhere in the second of its end. */
static void add_running(const struct lanes *lanes, struct lane *lane, const struct report_job *job)
{
	double from = bin_of(lanes, job->begin), till = bin_of(lanes, job->end);
	size_t bin = whole_bin(lanes, job->end);

	lane->failed[bin] += job->failed;
	if (job->end - job->begin < 1) {
		lane->running[bin] += (float)((job->end - job->begin) / lanes->bin_width);
		return;
	}
	for (bin = (size_t)from; bin < lanes->bins && (double)bin < till; bin++)
		lane->running[bin] += (float)(fmin(till, (double)(bin + 1)) - fmax(from, (double)bin));
}

/*
 * The first row that is free then. Times are whole seconds and walls are not, and a commit takes its time while the slot's next job runs: a job may
 * seem to begin a little before the last one ended. What is not to be seen (`slack`, seconds) takes no row.
 */
static uint32_t take_row(struct lane *lane, const struct report_job *job, double slack)
{
	uint32_t row, best = 0;

	for (row = 0; row < lane->row_count; row++) {
		if (lane->rows[row] <= job->begin + slack)
			break;
		if (lane->rows[row] < lane->rows[best])
			best = row;
	}
	if (row == MAX_ROWS)
		row = best;
	else if (row == lane->row_count)
		lane->row_count++;
	lane->rows[row] = job->end;
	return row;
}

static int fill(struct lanes *lanes)
{
	const struct report *report = lanes->report;
	const double slack = MIN_SLACK_S + SLACK_X * (lanes->chart.end - lanes->chart.begin) / (RIGHT - LEFT);
	size_t i, bin;

	lanes->drawn = report->job_count <= MAX_DRAWN && report->spent.wall >= MIN_DRAWN_S * (double)report->job_count;
	lanes->bin_width = ceil((lanes->chart.end - lanes->chart.begin) / BINS);
	lanes->bins = (size_t)fmin(ceil((lanes->chart.end - lanes->chart.begin) / lanes->bin_width), BINS);
	lanes->row_of_job = calloc(report->job_count + 1, sizeof(*lanes->row_of_job));
	if (!lanes->row_of_job)
		return -ENOMEM;
	for (i = 0; i < report->job_count; i++) {
		struct lane *lane = &lanes->list[lanes->of_node[report->jobs[i].node]];

		add_running(lanes, lane, &report->jobs[i]);
		if (lanes->drawn)
			lanes->row_of_job[i] = take_row(lane, &report->jobs[i], slack);
	}
	for (i = 0; i < report->loss_count; i++)
		lanes->list[lanes->of_node[report->losses[i].node]].lost[whole_bin(lanes, report->losses[i].time)]++;
	for (i = 0; i < lanes->count; i++)
		for (bin = 0; bin < lanes->bins && lanes->list[i].node != UINT32_MAX; bin++)
			lanes->most = fmax(lanes->most, (double)lanes->list[i].running[bin]);
	return 0;
}

/* ---- drawing ---- */

static void draw_job(const struct lanes *lanes, size_t i, struct buf *to)
{
	const struct report_job *job = &lanes->report->jobs[i];
	const struct lane *lane = &lanes->list[lanes->of_node[job->node]];
	double height = (double)lanes->body / lane->row_count, from = chart_x(&lanes->chart, job->begin), till = chart_x(&lanes->chart, job->end);

	buf_addf(to, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", job->failed ? "f" : i % 2 ? "d" : "d o", from,
		 lane->y + height * lanes->row_of_job[i], fmax(till - from - 0.6, 1.2), fmax(height - 0.8, 0.8));
	html_short(to, job->record->name, 60);
	buf_adds(to, job->failed ? ": failed" : ": done");
	if (job->wall >= 0) {
		buf_adds(to, " after ");
		html_seconds(to, job->wall);
	}
	if (job->record->attempt > 1)
		buf_addf(to, ", attempt %u", job->record->attempt);
	buf_adds(to, "</title></rect>\n");
}

static void draw_steps(const struct lanes *lanes, const struct lane *lane, struct buf *to)
{
	double now = 0, most = lanes->most;
	size_t bin;

	for (bin = 0; bin < lanes->bins && lane->node == UINT32_MAX; bin++)
		most = fmax(bin > 0 ? most : 0, (double)lane->running[bin]);

	buf_addf(to, "<path class=\"d\" d=\"M%d %.1f", LEFT, lane->y + lanes->body);
	for (bin = 0; bin < lanes->bins; bin++) {
		double height = most > 0 ? (double)lane->running[bin] / most * lanes->body : 0;

		if (fabs(height - now) >= 0.1 || bin == 0) {
			buf_addf(to, "H%.1fV%.1f", bin_x(lanes, bin), lane->y + lanes->body - height);
			now = height;
		}
	}
	buf_addf(to, "H%.1fV%.1fz\"/><path class=\"f\" d=\"", (double)RIGHT, lane->y + lanes->body);
	for (bin = 0; bin < lanes->bins; bin++)
		if (lane->failed[bin])
			buf_addf(to, "M%.1f %.1fH%.1fv-4H%.1fz", bin_x(lanes, bin), lane->y + lanes->body, bin_x(lanes, bin + 1), bin_x(lanes, bin));
	buf_adds(to, "\"/>\n");
}

static void draw_losses(const struct lanes *lanes, const struct lane *lane, struct buf *to)
{
	size_t bin;

	for (bin = 0; bin < lanes->bins; bin++) {
		double x = (bin_x(lanes, bin) + bin_x(lanes, bin + 1)) / 2, y = lane->y + lanes->body / 2.0;

		if (lane->lost[bin])
			buf_addf(to, "<g><title>%u claims lost</title><path class=\"x\" d=\"M%.1f %.1fl8 8m0 -8l-8 8\"/></g>\n", lane->lost[bin],
				 fmin(x, RIGHT - 5) - 4, y - 4);
	}
}

static void draw_name(const struct lanes *lanes, const struct lane *lane, struct buf *to)
{
	const struct report_node *node = lane->node == UINT32_MAX ? NULL : &lanes->report->nodes[lane->node];

	buf_addf(to, "<text class=\"name\" x=\"0\" y=\"%.1f\">", lane->y + lanes->body / 2.0 + 4);
	if (node)
		html_short(to, node->name, NAME_COLUMNS);
	else
		buf_addf(to, "%zu more nodes", lanes->report->node_count + 1 - lanes->count);
	buf_adds(to, "<title>");
	if (node)
		html_text(to, node->name, strlen(node->name));
	buf_adds(to, " worked for ");
	html_seconds(to, lane->sum.busy);
	buf_addf(to, "</title></text><text x=\"%d\" y=\"%.1f\">", RIGHT + 10, lane->y + lanes->body / 2.0 + 4);
	html_count(to, lane->sum.done);
	buf_adds(to, " done");
	if (lane->sum.failed) {
		buf_adds(to, " <tspan class=\"f\">");
		html_count(to, lane->sum.failed);
		buf_adds(to, " failed</tspan>");
	}
	if (lane->sum.lost) {
		buf_adds(to, " <tspan class=\"l\">");
		html_count(to, lane->sum.lost);
		buf_adds(to, " lost</tspan>");
	}
	buf_adds(to, "</text>\n");
}

static void draw_lane(const struct lanes *lanes, const struct lane *lane, struct buf *to)
{
	double x;

	draw_name(lanes, lane, to);
	buf_addf(to, "<line class=\"span\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", chart_x(&lanes->chart, lane->sum.first),
		 chart_x(&lanes->chart, lane->sum.last), lane->y + lanes->body + 1.5, lane->y + lanes->body + 1.5);
	if (!lanes->drawn)
		draw_steps(lanes, lane, to);
	if (lane->node == UINT32_MAX || lane->sum.beat <= 0)
		return;
	x = chart_x(&lanes->chart, lane->sum.beat);
	buf_addf(to, "<g><title>fell silent: its claims were taken over</title><line class=\"gone\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
		 "<path class=\"f\" d=\"M%.1f %.1fl4.5 -8h-9z\"/></g>\n", x, x, lane->y - 4, lane->y + lanes->body + 4, x, lane->y + 4);
}

static void draw(const struct lanes *lanes, struct buf *to)
{
	double bottom = TOP + (lanes->body + GAP) * (double)lanes->count;
	size_t i;

	buf_addf(to, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"a lane a node\">\n", CHART_WIDTH, bottom + 24);
	chart_time_axis(&lanes->chart, TOP - 4, bottom, to);
	for (i = 0; i < lanes->count; i++)
		draw_lane(lanes, &lanes->list[i], to);
	for (i = 0; lanes->drawn && i < lanes->report->job_count; i++)
		draw_job(lanes, i, to);
	for (i = 0; i < lanes->count; i++)
		draw_losses(lanes, &lanes->list[i], to);
	buf_adds(to, "</svg>\n");
}

int report_lanes(const struct report *report, struct buf *to)
{
	struct lanes lanes = { .report = report };
	int error;

	chart_init(&lanes.chart, report, LEFT, RIGHT);
	error = choose(&lanes);
	if (!error)
		error = fill(&lanes);
	if (!error) {
		buf_adds(to, "<section id=\"lanes\"><h2>Nodes</h2><p>");
		buf_adds(to, lanes.drawn ? "Each block is a unit; jobs side by side stand below one another." :
					   "How many jobs ran at a time; all nodes' lanes have one scale.");
		buf_adds(to, "</p><div class=\"key\"><span><svg viewBox=\"0 0 12 12\"><rect class=\"d\" width=\"12\" height=\"12\" rx=\"2\"/></svg>done</span>"
			 "<span><svg viewBox=\"0 0 12 12\"><rect class=\"f\" width=\"12\" height=\"12\" rx=\"2\"/></svg>failed</span>"
			 "<span><svg viewBox=\"0 0 12 12\"><path class=\"x\" d=\"M2 2l8 8m0 -8l-8 8\"/></svg>claim lost</span>"
			 "<span><svg viewBox=\"0 0 12 12\"><path class=\"f\" d=\"M6 10l4.5 -8h-9z\"/></svg>node fell silent (preempted)</span></div>\n");
		draw(&lanes, to);
		buf_adds(to, "</section>\n");
	}
	free(lanes.list);
	free(lanes.of_node);
	free(lanes.row_of_job);
	return error;
}
