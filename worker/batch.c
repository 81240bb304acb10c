/*
 * batch: a least-squares line through the runs, each weighted by 1/t²: what disturbs a run disturbs it in proportion to its length. So the short runs of
 * the beginning, which know best what starting costs, count as long as they are remembered.
 */
#include "worker/batch.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"

#define BATCH_FADE 0.98			/* of a run's weight with each later one */
#define BATCH_FADE_EACH 0.7		/* the same, of what a unit took lately */
#define BATCH_START_SHARE 0.03		/* aimed at, so that it stays below 5 % where runs differ much */
#define BATCH_SHORT 64			/* a run below a 64th of the longest: even if all of it were its units' time, eight times as many fit well */
#define BATCH_GROW_SHORT 8.0
#define BATCH_GROW 2.0
#define BATCH_MIN_SPREAD 1e-6		/* runs of one size only: no line goes through them */
#define BATCH_MIN_S 1e-6

void batch_size_init(struct batch_size *size, unsigned int fixed, int64_t longest_ns)
{
	memset(size, 0, sizeof(*size));
	size->fixed = fixed;
	size->longest_ns = longest_ns;
	size->now = fixed ? fixed : 1;
}

static void add_run(struct batch_size *size, double n, double t)
{
	double weight = 1 / (t * t);

	size->w = size->w * BATCH_FADE + weight;
	size->wn = size->wn * BATCH_FADE + weight * n;
	size->wt = size->wt * BATCH_FADE + weight * t;
	size->wnn = size->wnn * BATCH_FADE + weight * n * n;
	size->wnt = size->wnt * BATCH_FADE + weight * n * t;
	size->runs = size->runs * BATCH_FADE + 1;
}

struct estimate {
	double start, each;	/* seconds */
	double noise;		/* how far runs are from that, a part of them, in the mean */
};

/* False: with runs of one size the start can't be told from the rest. */
static bool estimate(const struct batch_size *size, struct estimate *ret)
{
	double spread = size->w * size->wnn - size->wn * size->wn, rest;

	if (spread <= BATCH_MIN_SPREAD * size->w * size->wnn)
		return false;
	ret->each = fmax((size->w * size->wnt - size->wn * size->wt) / spread, 0);
	ret->start = fmax((size->wnn * size->wt - size->wn * size->wnt) / spread, 0);
	rest = size->runs - 2 * ret->start * size->wt - 2 * ret->each * size->wnt + ret->start * ret->start * size->w +
	       2 * ret->start * ret->each * size->wn + ret->each * ret->each * size->wnn;
	ret->noise = sqrt(fmax(rest, 0) / size->runs);
	return true;
}

/* How many fit into the longest time, by what units take in the long run and took lately, with room for what may disturb them. */
static double fitting(struct batch_size *size, const struct estimate *by, double n, double t)
{
	double longest = (double)size->longest_ns / NS_PER_S / (1 + 2 * by->noise), each = fmax((t - by->start) / n, 0);

	size->lately = size->lately > 0 ? size->lately * BATCH_FADE_EACH + each * (1 - BATCH_FADE_EACH) : each;
	each = fmax(size->lately, by->each);
	return each > 0 ? fmax((longest - by->start) / each, 1) : BATCH_MAX;
}

/* An estimate reaches no further than this: up, and down. */
static double wanted(struct batch_size *size, double n, double t)
{
	double longest = (double)size->longest_ns / NS_PER_S, count = size->now * (t < longest / BATCH_SHORT ? BATCH_GROW_SHORT : BATCH_GROW);
	struct estimate by;

	if (estimate(size, &by)) {
		double least = size->now / BATCH_GROW;

		if (by.each > 0)
			count = fmax(fmin(by.start * (1 - BATCH_START_SHARE) / (BATCH_START_SHARE * by.each), count), least);
		count = fmin(count, fitting(size, &by, n, t));
	}
	return t > longest ? fmin(count, n * longest / t) : count;
}

void batch_size_ran(struct batch_size *size, unsigned int units, int64_t wall_ns)
{
	double t = fmax((double)wall_ns / NS_PER_S, BATCH_MIN_S), count;

	if (size->fixed || units == 0)
		return;
	add_run(size, units, t);
	if (units < size->now && wall_ns < size->longest_ns)
		return;		/* there were no more: it says nothing about larger ones */
	count = wanted(size, units, t);
	size->now = count < 1 ? 1 : count > BATCH_MAX ? BATCH_MAX : (unsigned int)(count + 0.5);
}
