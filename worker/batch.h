/*
 * batch: how many units one process gets.
 *
 * A process with n units takes a + b·n: starting up, and b a unit. Both are estimated from the runs so far, recent ones counting more. The batch is as
 * large as it must be for a to be under 5 % of it, and no longer than the time it may take, with room for as much as runs differ; it at most doubles from
 * one run to the next (grows eightfold while runs are far shorter than that), and at most halves where it need not, since an estimate reaches no further.
 */
#ifndef CLAIMFS_WORKER_BATCH_H
#define CLAIMFS_WORKER_BATCH_H

#include <stdint.h>

#define BATCH_MAX 4096

struct batch_size {
	unsigned int fixed;		/* --batch N; 0: auto */
	int64_t longest_ns;		/* --batch-time */
	unsigned int now;		/* the answer */
	/* Sums over runs with weights that fade: of 1; and of 1, n, t, n², n·t, each by 1/t²; t in seconds. */
	double runs, w, wn, wt, wnn, wnt;
	double lately;			/* what a unit took, in the last few runs */
};

void batch_size_init(struct batch_size *size, unsigned int fixed, int64_t longest_ns);
void batch_size_ran(struct batch_size *size, unsigned int units, int64_t wall_ns);

#endif
