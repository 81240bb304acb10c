/*
 * resume: what an unfinished attempt left in {out}, kept for the next one on whichever node (--checkpoint-signal).
 *
 *   stage/X ──keep──▶ .claimfs/tmp/resume/UNIT.G ──find──▶ CLAIM_RESUME       UNIT.G as the claim's ticket says: a redo or a retry
 *   begins another generation, which gets nothing of this one's
 *
 * All of it through the mount, on a thread aside, while the unit is claimed here.
 */
#ifndef CLAIMFS_WORKER_RESUME_H
#define CLAIMFS_WORKER_RESUME_H

#include "base/buf.h"

struct unit;

/* Sets unit->resume if the ticket can be read, and unit->resumable if something is there. */
void resume_find(struct unit *unit);

/* Moves what is staged there, over what was there. 0: also when nothing is staged; what was there stays then. -errno. */
int resume_keep(struct unit *unit);

/* The unit is done or set aside. */
void resume_drop(struct unit *unit);

/* "…claim: UNIT.G.N…", a ticket's text: UNIT.G is appended. 0, -ENOENT (no such line), -EBADMSG (no such name), -ENOMEM. */
int resume_name(const char *ticket, struct buf *ret_name);

#endif
