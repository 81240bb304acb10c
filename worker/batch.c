/*
 * batch: a least-squares line through the runs.
 */
#include "worker/batch.h"

#include <string.h>

#include "base/clock.h"

#define BATCH_FADE 0.9			/* of a run's weight with each later one */
#define BATCH_START_SHARE 0.05
#define BATCH_TRY_RUNS 8
#define BATCH_SHORT 64			/* a run below a 64th of the longest: even if all of it were its units' time, eight times as many fit well */
#define BATCH_GROW_SHORT 8.0
#define BATCH_GROW 2.0
#define BATCH_MIN_SPREAD 1e-9		/* runs of one size only: no line goes through them */

void batch_size_init(struct batch_size *size, unsigned int fixed, int64_t longest_ns)
{
	memset(size, 0, sizeof(*size));
	size->fixed = fixed;
	size->longest_ns = longest_ns;
	size->now = fixed ? fixed : 1;
}

static void add_run(struct batch_size *size, double n, double t)
{
	size->w = size->w * BATCH_FADE + 1;
	size->n = size->n * BATCH_FADE + n;
	size->t = size->t * BATCH_FADE + t;
	size->nn = size->nn * BATCH_FADE + n * n;
	size->nt = size->nt * BATCH_FADE + n * t;
}

/* Seconds to start, and a unit. With runs of one size the start can't be told from the rest: all is start, so that the batch grows. */
static void estimate(const struct batch_size *size, double *ret_start, double *ret_unit)
{
	double spread = size->w * size->nn - size->n * size->n;
	double unit = spread > BATCH_MIN_SPREAD * size->w * size->w ? (size->w * size->nt - size->n * size->t) / spread : 0;
	double start;

	if (unit < 0)
		unit = 0;
	start = (size->t - unit * size->n) / size->w;
	*ret_start = start > 0 ? start : 0;
	*ret_unit = unit;
}

/* An estimate reaches no further than this: up, and down, where noise can make all of a run seem its units'. */
static double wanted(const struct batch_size *size, int64_t wall_ns)
{
	const double longest = (double)size->longest_ns / NS_PER_S, least = size->now / BATCH_GROW;
	double start, unit, count = size->now * (wall_ns < size->longest_ns / BATCH_SHORT ? BATCH_GROW_SHORT : BATCH_GROW);

	estimate(size, &start, &unit);
	if (unit > 0) {
		double enough = start * (1 - BATCH_START_SHARE) / (BATCH_START_SHARE * unit);
		double fits = (longest - start) / unit;

		count = enough < count ? enough : count;
		count = count < least ? least : count;
		count = fits < count ? fits : count;
	} else if (start > longest) {
		count = size->now;
	}
	return count;
}

void batch_size_ran(struct batch_size *size, unsigned int units, int64_t wall_ns)
{
	double count;

	if (size->fixed || units == 0)
		return;
	add_run(size, units, (double)wall_ns / NS_PER_S);
	if (units < size->now && wall_ns < size->longest_ns)
		return;		/* there were no more: it says nothing about larger ones */
	count = wanted(size, wall_ns);
	if (++size->runs % BATCH_TRY_RUNS == 0 && wall_ns < size->longest_ns / 2)
		count = size->now * BATCH_GROW;
	size->now = count < 1 ? 1 : count > BATCH_MAX ? BATCH_MAX : (unsigned int)(count + 0.5);
}

