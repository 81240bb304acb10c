/*
 * memory: --memory by the kernel: a cgroup for each process of a slot and all it starts, where this process may make such (base/cgroup.h). Elsewhere
 * run.h limits each process by RLIMIT_AS.
 *
 *   own cgroup/worker               the worker and its warden: a group with groups below it may have no processes
 *   own cgroup/job-PID-SLOT-SERIAL  memory.max, no swap, killed as a whole when it is out of memory
 */
#ifndef CLAIMFS_WORKER_MEMORY_H
#define CLAIMFS_WORKER_MEMORY_H

#include <stdint.h>

#include "base/buf.h"
#include "worker/run.h"

struct memory;

/*
 * Moves this process into a group of its own: call it before anything is forked. `limit` in bytes. 0, or -errno as of cgroup_own(): nothing has
 * changed.
 */
int memory_new(const char *root, const char *self, int64_t limit, unsigned int slots, struct memory **ret_memory);
void memory_free(struct memory *memory);	/* when nothing forked is left: it moves back; NULL is fine */

/* Makes a group for the next process of a slot. *ret_procs: the file in which it is to write itself (run_spec.cgroup). 0 or -EAGAIN. */
int memory_begin(struct memory *memory, unsigned int slot, struct buf *ret_procs);

/* Ends what is still in the slot's group, and the group; fills in the result's group_peak and out_of_memory. */
void memory_end(struct memory *memory, unsigned int slot, struct run_result *result);

#endif
