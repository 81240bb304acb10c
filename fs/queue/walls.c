/*
 * walls: the step of a time is the place of the highest bit of its milliseconds, and the two bits after it.
 */
#include "queue/walls.h"

#define BITS 2				/* after the highest one */
#define PER_DOUBLING (1u << BITS)
#define MAX_MS ((1ULL << (WALLS_STEPS / PER_DOUBLING)) - 1)

static unsigned int step_of(uint64_t ms)
{
	unsigned int high = 63 - (unsigned int)__builtin_clzll(ms), rest;

	rest = (unsigned int)(high >= BITS ? ms >> (high - BITS) : ms << (BITS - high)) & (PER_DOUBLING - 1);
	return high * PER_DOUBLING + rest;
}

void walls_add(struct walls *walls, double seconds)
{
	double ms = seconds * 1000;
	uint64_t whole;
	uint32_t *step;

	if (!(ms > 0))
		return;
	whole = ms < 1 ? 1 : ms < (double)MAX_MS ? (uint64_t)ms : MAX_MS;
	step = &walls->steps[step_of(whole)];
	if (*step == UINT32_MAX)
		return;
	(*step)++;
	walls->count++;
}

/* The middle of the step that the middle one stands in. */
double walls_median(const struct walls *walls)
{
	uint64_t below = 0;
	unsigned int step;

	if (walls->count == 0)
		return 0;
	for (step = 0; step < WALLS_STEPS - 1; step++) {
		below += walls->steps[step];
		if (below * 2 >= walls->count)
			break;
	}
	return (double)(1ULL << step / PER_DOUBLING) * (1 + (step % PER_DOUBLING + 0.5) / PER_DOUBLING) / 1000;
}
