/*
 * walls: how long jobs took, as a histogram of milliseconds, four steps to a doubling: so a median is right to an eighth, and adding costs
 * nothing. A value type of fixed size, which is remembered between mounts as it is. Not thread-safe.
 */
#ifndef CLAIMFS_QUEUE_WALLS_H
#define CLAIMFS_QUEUE_WALLS_H

#include <stdint.h>

#define WALLS_STEPS 160			/* up to 2^40 ms */

struct walls {
	uint64_t count;
	uint32_t steps[WALLS_STEPS];
};

void walls_add(struct walls *walls, double seconds);		/* what is no time, or none at all, is left out */
double walls_median(const struct walls *walls);			/* seconds; 0: there are none */

#endif
