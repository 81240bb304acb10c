/*
 * patience: says every few seconds, on standard error, what is still waited for and how far it is, while its owner does nothing else. Who starts
 * workers sees that this one lives (tools/fleet-agent).
 */
#ifndef CLAIMFS_WORKER_PATIENCE_H
#define CLAIMFS_WORKER_PATIENCE_H

#include <stdatomic.h>
#include <stddef.h>

struct patience;

/* `what`, "listing X", and `count`, of units so far, must stay until the end. NULL where there can be none: nothing is said then. Makes a thread. */
struct patience *patience_begin(const char *what, const atomic_size_t *count);
void patience_end(struct patience *patience);	/* NULL is fine */

#endif
