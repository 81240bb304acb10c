/*
 * report_charts: what was done when, how long units took, and where the time went. Times of records are whole seconds, and so are the widths of
 * their bins: else a bin would hold now one second, now two.
 */
#include "tools/report_page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "queue/limits.h"
#include "tools/html.h"

#define BINS 120
#define MIN_BINS 24
#define UNITS_A_BIN 4		/* of fewer, columns would show single units and not a rate */
#define TOP 14
#define BOTTOM 190
#define LEFT 56
#define RIGHT 990
#define HALF_RIGHT 490		/* of a chart that has half the page's width */
#define MAX_MARKS 200
#define TIME_BINS 36
#define PAD 8			/* between an axis and its labels */
#define ABOVE 20		/* room for marks' labels above a chart, where no column is */

/* ---- axes ---- */

void chart_init(struct chart *chart, const struct report *report, double left, double right)
{
	*chart = (struct chart){ .begin = floor(report->begin), .end = ceil(report->end), .left = left, .right = right };
	if (chart->end < chart->begin + 1)
		chart->end = chart->begin + 1;
}

double chart_x(const struct chart *chart, double time)
{
	double share = (time - chart->begin) / (chart->end - chart->begin);

	return chart->left + (chart->right - chart->left) * fmin(fmax(share, 0), 1);
}

/* A step between labels of time, at most eight of them. */
static double time_step(double span)
{
	static const double steps[] = { 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200 };
	double days = 86400;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (span / steps[i] <= 8)
			return steps[i];
	while (span / days > 8)
		days *= 2;
	return days;
}

void chart_time_axis(const struct chart *chart, double top, double bottom, struct buf *to)
{
	double span = chart->end - chart->begin, step = time_step(span), at;

	for (at = 0; at <= span; at += step) {
		double x = chart_x(chart, chart->begin + at);

		buf_addf(to, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, top, bottom);
		buf_addf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, bottom + 16, at > 0 && x > chart->right - 30 ? "end" : at > 0 ? "middle" : "start");
		if (at > 0)
			html_seconds(to, at);
		else
			buf_addch(to, '0');
		buf_adds(to, "</text>");
	}
}

/* The next of 1 2 5 10 20 50 … that is at least so much. */
static double round_up(double value)
{
	double power = pow(10, floor(log10(value)));
	static const double steps[] = { 1, 2, 5, 10 };
	size_t i;

	for (i = 0; i < 3; i++)
		if (steps[i] * power >= value * 0.9999)
			break;
	return steps[i] * power;
}

/* Lines and labels from 0 to at least `most`, which becomes the top. */
static double value_axis(double most, double right, const char *format, struct buf *to)
{
	double step = round_up((most > 0 ? most : 1) / 4), top = ceil((most > 0 ? most : 1) / step * 0.9999) * step, at;

	for (at = 0; at <= top * 1.0001; at += step) {
		double y = BOTTOM - (BOTTOM - TOP) * at / top;

		buf_addf(to, "<line class=\"grid\" x1=\"%d\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, right, y, y);
		buf_addf(to, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - PAD, y + 4);
		buf_addf(to, format, at);
		buf_adds(to, "</text>");
	}
	return top;
}

/* From `top`, which may be above 0, down to `bottom`. */
static void begin_svg(struct buf *to, int width, int top, double bottom, const char *label)
{
	buf_addf(to, "<svg viewBox=\"0 %d %d %.0f\" role=\"img\" aria-label=\"%s\">\n", top, width, bottom - top, label);
}

/* ---- throughput ---- */

struct bins {
	double width;			/* whole seconds */
	size_t count;
	uint64_t done[BINS], failed[BINS];
};

static void fill_bins(const struct report *report, const struct chart *chart, struct bins *bins)
{
	double span = chart->end - chart->begin, wanted = fmin(fmax((double)report->job_count / UNITS_A_BIN, MIN_BINS), BINS);
	size_t i, bin;

	memset(bins, 0, sizeof(*bins));
	bins->width = ceil(span / wanted);
	bins->count = (size_t)fmin(ceil(span / bins->width), BINS);
	for (i = 0; i < report->job_count; i++) {
		bin = (size_t)fmin((report->jobs[i].end - chart->begin) / bins->width, (double)(bins->count - 1));
		if (report->jobs[i].failed)
			bins->failed[bin]++;
		else
			bins->done[bin]++;
	}
}

static void add_columns(const struct chart *chart, const struct bins *bins, double top, double per, bool failed, struct buf *to)
{
	size_t i;

	buf_addf(to, "<path class=\"%s\" d=\"", failed ? "f" : "d");
	for (i = 0; i < bins->count; i++) {
		double from = chart_x(chart, chart->begin + (double)i * bins->width), till = chart_x(chart, chart->begin + (double)(i + 1) * bins->width);
		double gap = till - from > 4 ? 1 : till - from > 2 ? 0.5 : 0;
		double scale = (BOTTOM - TOP) / top * per / bins->width;
		double low = failed ? 0 : (double)bins->failed[i] * scale, height = (double)(failed ? bins->failed[i] : bins->done[i]) * scale;

		if (height > 0)
			buf_addf(to, "M%.1f %.1fh%.1fv%.1fh%.1fz", from, BOTTOM - low, till - from - gap, -height, -(till - from - gap));
	}
	buf_adds(to, "\"/>\n");
}

static void add_hits(const struct chart *chart, const struct bins *bins, struct buf *to)
{
	size_t i;

	for (i = 0; i < bins->count; i++) {
		double from = chart_x(chart, chart->begin + (double)i * bins->width), till = chart_x(chart, chart->begin + (double)(i + 1) * bins->width);

		buf_addf(to, "<rect class=\"hit\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>", from, TOP, till - from, BOTTOM - TOP);
		html_time(to, chart->begin + (double)i * bins->width);
		buf_adds(to, " UTC: ");
		html_count(to, bins->done[i]);
		buf_adds(to, " done");
		if (bins->failed[i]) {
			buf_adds(to, ", ");
			html_count(to, bins->failed[i]);
			buf_adds(to, " failed");
		}
		buf_adds(to, "</title></rect>");
	}
	buf_addch(to, '\n');
}

static void add_preemptions(const struct report *report, const struct chart *chart, struct buf *to)
{
	size_t i, marks = 0;

	for (i = 0; i < report->node_count && marks < MAX_MARKS; i++) {
		double x = chart_x(chart, report->nodes[i].beat);

		if (report->nodes[i].beat <= 0)
			continue;
		marks++;
		buf_addf(to, "<g><title>");
		html_text(to, report->nodes[i].name, strlen(report->nodes[i].name));
		buf_addf(to, " fell silent</title><line class=\"gone\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, TOP, BOTTOM);
		buf_addf(to, "<path class=\"f\" d=\"M%.1f %dl4.5 -8h-9z\"/></g>", x, TOP + 2);
	}
}

void report_throughput(const struct report *report, struct buf *to)
{
	struct chart chart;
	struct bins bins;
	double most = 0, per, top;
	size_t i;

	chart_init(&chart, report, LEFT, RIGHT);
	fill_bins(report, &chart, &bins);
	for (i = 0; i < bins.count; i++)
		most = fmax(most, (double)(bins.done[i] + bins.failed[i]) / bins.width);
	per = most >= 5 ? 1 : most * 60 >= 5 ? 60 : 3600;
	buf_addf(to, "<section id=\"throughput\"><h2>Throughput</h2><p>Units that ended %s, over the time since the first began.</p>\n",
		 per < 2 ? "a second" : per < 100 ? "a minute" : "an hour");
	begin_svg(to, CHART_WIDTH, 0, BOTTOM + 24, "throughput over time");
	chart_time_axis(&chart, TOP, BOTTOM, to);
	top = value_axis(most * per, RIGHT, "%.3g", to);
	add_columns(&chart, &bins, top, per, true, to);
	add_columns(&chart, &bins, top, per, false, to);
	add_hits(&chart, &bins, to);
	add_preemptions(report, &chart, to);
	buf_adds(to, "</svg></section>\n");
}

/* ---- the distribution of unit times ---- */

static int compare_doubles(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static double at_share(const double *walls, size_t count, double share)
{
	return walls[(size_t)((double)(count - 1) * share + 0.5)];
}

/* Times differ by orders of magnitude, so the bins grow by a factor where the range is wide. */
struct times {
	double low, high;
	bool by_factor;
	uint64_t bins[TIME_BINS];
};

static double time_x(const struct times *times, double wall)
{
	double share = times->by_factor ? log(fmax(wall, times->low) / times->low) / log(times->high / times->low) :
					  (wall - times->low) / (times->high - times->low);

	return LEFT + (HALF_RIGHT - LEFT) * fmin(fmax(share, 0), 1);
}

static double time_at(const struct times *times, double share)
{
	return times->by_factor ? times->low * pow(times->high / times->low, share) : times->low + (times->high - times->low) * share;
}

static void fill_times(const double *walls, size_t count, struct times *times)
{
	size_t i, bin;

	memset(times, 0, sizeof(*times));
	times->low = fmax(walls[0], 0.001);
	times->high = fmax(walls[count - 1], times->low * 1.1);
	times->by_factor = times->high / times->low > 20;
	if (!times->by_factor)
		times->low = times->high < times->low * 2 ? times->low * 0.9 : 0;
	for (i = 0; i < count; i++) {
		bin = (size_t)((time_x(times, walls[i]) - LEFT) / (HALF_RIGHT - LEFT) * TIME_BINS);
		times->bins[bin < TIME_BINS ? bin : TIME_BINS - 1]++;
	}
}

static void add_time_bins(const struct times *times, double top, struct buf *to)
{
	double width = (double)(HALF_RIGHT - LEFT) / TIME_BINS;
	size_t i;

	for (i = 0; i < TIME_BINS; i++) {
		double height = (double)times->bins[i] * (BOTTOM - TOP) / top;

		if (i % 6 == 0) {
			buf_addf(to, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">", LEFT + width * (double)i, BOTTOM + 16, i ? "middle" : "start");
			html_seconds(to, time_at(times, (double)i / TIME_BINS));
			buf_adds(to, "</text>");
		}
		if (!times->bins[i])
			continue;
		buf_addf(to, "<rect class=\"d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1.5\"><title>", LEFT + width * (double)i + 1,
			 BOTTOM - fmax(height, 1), width - 2, fmax(height, 1));
		html_count(to, times->bins[i]);
		buf_adds(to, " units of ");
		html_seconds(to, time_at(times, (double)i / TIME_BINS));
		buf_adds(to, " to ");
		html_seconds(to, time_at(times, (double)(i + 1) / TIME_BINS));
		buf_adds(to, "</title></rect>");
	}
}

static void add_quantile(const struct times *times, double wall, const char *name, double y, struct buf *to)
{
	double x = time_x(times, wall);
	bool left = x > HALF_RIGHT - 110;

	buf_addf(to, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%d\"/>", x, x, y - 10, BOTTOM);
	buf_addf(to, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s ", x + (left ? -5 : 5), y, left ? "end" : "start", name);
	html_seconds(to, wall);
	buf_adds(to, "</text>");
}

int report_times(const struct report *report, struct buf *to)
{
	double *walls = calloc(report->job_count + 1, sizeof(*walls)), most = 0;
	struct times times;
	size_t i, count = 0;

	if (!walls)
		return -ENOMEM;
	for (i = 0; i < report->job_count; i++)
		if (!report->jobs[i].failed && report->jobs[i].wall >= 0)
			walls[count++] = report->jobs[i].wall;
	buf_adds(to, "<section id=\"times\"><h2>How long units took</h2>");
	if (count == 0) {
		buf_adds(to, "<p>No unit that is done says how long it took.</p></section>\n");
		free(walls);
		return 0;
	}
	qsort(walls, count, sizeof(*walls), compare_doubles);
	fill_times(walls, count, &times);
	buf_addf(to, "<p>Done units by the time of their jobs%s.</p>\n", times.by_factor ? "; the scale is logarithmic" : "");
	for (i = 0; i < TIME_BINS; i++)
		most = fmax(most, (double)times.bins[i]);
	begin_svg(to, CHART_WIDTH / 2, -ABOVE, BOTTOM + 24, "distribution of unit times");
	most = value_axis(fmax(most, 4), HALF_RIGHT, "%.6g", to);
	add_time_bins(&times, most, to);
	add_quantile(&times, at_share(walls, count, 0.5), "median", TOP - 20, to);
	add_quantile(&times, at_share(walls, count, 0.95), "95 %", TOP - 4, to);
	buf_adds(to, "</svg></section>\n");
	free(walls);
	return 0;
}

/* ---- where the time went ---- */

struct part {
	const char *name, *class;
	double seconds;
};

static double add_block(const struct part *part, double sum, double left, struct buf *to)
{
	double width = part->seconds / sum * CHART_WIDTH / 2;

	if (part->seconds <= 0)
		return left;
	buf_addf(to, "<rect class=\"%s\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"24\"><title>%s ", part->class, left, width, part->name);
	html_seconds(to, part->seconds);
	buf_adds(to, "</title></rect>");
	return left + width;
}

static void add_row(const struct part *part, double sum, struct buf *to)
{
	if (part->seconds <= 0)
		return;
	buf_addf(to, "<tr><td><svg class=\"swatch\" viewBox=\"0 0 12 12\"><rect class=\"%s\" width=\"12\" height=\"12\" rx=\"3\"/></svg>%s</td>"
		 "<td class=\"n\">", part->class, part->name);
	html_seconds(to, part->seconds);
	buf_addf(to, "</td><td class=\"n\">%.1f %%</td></tr>\n", part->seconds / sum * 100);
}

static struct progress_spent spent_of(const struct report *report)
{
	const struct report_spent *from = &report->spent;

	return (struct progress_spent){
		.wall_s = from->wall, .user_s = from->user, .sys_s = from->sys, .spawn_s = from->spawn, .read_wait_s = from->read_wait,
		.write_wait_s = from->write_wait, .ready_s = from->ready, .claim_s = from->claim, .look_s = from->look, .turn_s = from->turn, .idle_s = from->idle,
		.tail_s = from->tail, .in_bytes = from->in_bytes,
		.units = (double)report->job_count,
	};
}

/* By the rules of `progress`, and with its sentence. */
void report_split(const struct report *report, struct buf *to)
{
	const struct progress_spent spent = spent_of(report);
	const char *advice = limits_advice(limits_of(&spent));
	bool told = spent.spawn_s + spent.read_wait_s + spent.write_wait_s > 0;
	struct limits_split split;

	limits_split(&spent, &split);
	const struct part parts[] = {
		{ "computing", "d", spent.user_s }, { "in the system", "s", spent.sys_s }, { "reading", "d2", split.seconds[LIMIT_READING] },
		{ "writing", "l", spent.write_wait_s }, { "starting processes", "p", split.seconds[LIMIT_STARTING] },
		{ "waiting for a processor", "g", split.seconds[LIMIT_CROWDED] }, { "claiming", "f", spent.claim_s },
		{ told ? "waiting for something else" : "waiting", "w", split.seconds[LIMIT_OTHER] },
		{ "no job: nothing to claim", "i", spent.idle_s }, { "no job: the last units ran alone", "i", spent.tail_s },
	};
	const size_t count = sizeof(parts) / sizeof(parts[0]);
	double sum = 0, left = 0;
	size_t i;

	for (i = 0; i < count; i++)
		sum += parts[i].seconds;
	buf_adds(to, "<section id=\"split\"><h2>Where the time went</h2>");
	if (sum <= 0) {
		buf_adds(to, "<p>No record says how long a job ran: claim-worker writes that.</p></section>\n");
		return;
	}
	buf_adds(to, "<p>Of the slots of all workers. A job on several cores computes longer than it runs.</p>\n");
	buf_addf(to, "<svg viewBox=\"0 0 %d 24\" role=\"img\" aria-label=\"split of time\">", CHART_WIDTH / 2);
	for (i = 0; i < count; i++)
		left = add_block(&parts[i], sum, left, to);
	buf_adds(to, "</svg>\n<table>");
	for (i = 0; i < count; i++)
		add_row(&parts[i], sum, to);
	buf_adds(to, "</table><p class=\"advice\">");
	html_text(to, advice, strlen(advice));
	buf_adds(to, "</p></section>\n");
}
