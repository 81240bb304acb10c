/*
 * report_page: a report as one page: HTML with its style and inline SVG, no script, nothing fetched. Each chart is a function in report_charts.c
 * or report_lanes.c; the size of the page does not grow with the number of units.
 */
#ifndef CLAIMFS_TOOLS_REPORT_PAGE_H
#define CLAIMFS_TOOLS_REPORT_PAGE_H

#include "base/buf.h"
#include "tools/report.h"

struct report_options {
	const char *queue;		/* what to call it */
	double price;			/* of a node an hour, in whatever currency; < 0: not said */
	double total;			/* units there are; < 0: not known */
	double todo;			/* of these to do and under way */
};

/* Appends the page. 0 or -ENOMEM. */
int report_page(const struct report *report, const struct report_options *options, struct buf *to);

/* ---- the parts, each appended as a whole element ---- */

#define CHART_WIDTH 1000

struct chart {				/* where times stand in a drawing */
	double begin, end;		/* seconds */
	double left, right;		/* x */
};

/* The chart's span, never empty. */
void chart_init(struct chart *chart, const struct report *report, double left, double right);
double chart_x(const struct chart *chart, double time);
/* Lines and labels of time since the begin, the labels below `bottom`. */
void chart_time_axis(const struct chart *chart, double top, double bottom, struct buf *to);

void report_throughput(const struct report *report, struct buf *to);
int report_times(const struct report *report, struct buf *to);		/* the distribution; 0 or -ENOMEM */
void report_split(const struct report *report, struct buf *to);
int report_lanes(const struct report *report, struct buf *to);		/* 0 or -ENOMEM */

extern const char report_style[];

#endif
