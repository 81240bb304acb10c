/*
 * gap: what a slot that stood empty before a job waited for: its unit's claim, the look at its input, the worker, which starts one job after another,
 * or nothing that could be helped (claimfs-queue(7): claim, look, turn, idle).
 */
#ifndef CLAIMFS_WORKER_GAP_H
#define CLAIMFS_WORKER_GAP_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/run.h"

struct gap {			/* clock_now()'s nanoseconds */
	int64_t free_ns;	/* the slot had nothing to do from here */
	int64_t started_ns;	/* … to here */
	int64_t asked_ns;	/* the take was sent; before claimed_ns */
	int64_t claimed_ns;	/* it was answered */
	int64_t ready_ns;	/* the unit could be started; not before claimed_ns */
	int64_t look_ns;	/* what a look at an input takes on this disk; 0: not known */
	bool again;		/* until ready_ns the unit was not to be started: its job had failed (--retries) */
	bool held;		/* later the machine was short (--load, --mem-free) */
};

/* A slot that has waited so long for a claim waited for units, not for the network: `look_ns` as below. */
bool gap_is_starved(int64_t waited_ns, int64_t look_ns);

/* Sets claim_ns, look_ns, turn_ns and idle_ns, which are the whole gap. */
void gap_split(const struct gap *gap, struct run_result *to);

#endif
