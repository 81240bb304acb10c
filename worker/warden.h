/*
 * warden: a tiny process that outlives the worker by a moment: when the worker dies, however it dies (kill -9 included), the warden
 * kills the jobs it left: their groups, and what carries their CLAIM_JOB.
 */
#ifndef CLAIMFS_WORKER_WARDEN_H
#define CLAIMFS_WORKER_WARDEN_H

#include <sys/types.h>

struct warden;

/* Forks; call before any thread and any descriptor that must not stay open. Has one group more than slots, for --drain-cmd. 0 or -errno. */
int warden_new(unsigned int slots, struct warden **ret_warden);
_Atomic pid_t *warden_group(struct warden *warden, unsigned int slot);	/* the process group that runs there; 0: none */
pid_t warden_pid(const struct warden *warden);
void warden_free(struct warden *warden);	/* it looks a last time and ends; NULL is fine */

#endif
