/*
 * share: one mount's listing of the inputs, for all that come after it, so that of a fleet that starts only one node lists a million of them.
 *
 *   .claimfs/listing    whole at any time: written in tmp/, renamed over the old one
 *   .claimfs/tmp/list-inputs   somebody is at it: others wait for that one, but not for long
 *
 * A mount looks for it, and for another that is at it, with its first look at the inputs, and again when it has listed SHARE_FROM of them, and so knows
 * that there are many: if nobody is at it then, it goes on for all. A directory is taken from there only if its mtime is now what it was then, and only those are written
 * whose listing can have missed nothing (refresh_is_clean). So it is a cache as the local one is: nothing is wrong when it is old, gone or torn,
 * a claim looks at its input in any case, and a wrong entry ends with a listing of that directory.
 *
 *   b LEN HASH\n              a block: LEN bytes of whole lines follow, HASH is their XXH3-128
 *   claimfs-inputs 1 KEY INPUT\n    KEY as in queue.conf; INPUT percent-encoded
 *   d MTIME COUNT PATH\n      each directory, parents first; COUNT entries
 *   -\n
 *   CHANGED NAME\n            their entries, one directory after the other: an input, since when it is in its state (UNIT NAME unless KEY is name)
 *   / NAME\n                  a sub-directory
 *
 * Format 1. To change it: raise the number; readers take no other, and list by themselves.
 */
#ifndef CLAIMFS_QUEUE_SHARE_H
#define CLAIMFS_QUEUE_SHARE_H

#include <stdbool.h>

#include "base/clock.h"
#include "queue/layout.h"

#define SHARE_PATH LAYOUT_DIR "/listing"
#define SHARE_LOCK "list-"			/* in tmp/ */
#define SHARE_LOCK_PATH LAYOUT_TMP "/" SHARE_LOCK "inputs"
#define SHARE_FROM 10000			/* inputs: fewer are listed sooner than asked for */
#define SHARE_WAIT_NS (60 * NS_PER_S)		/* for one that is at it */
#define SHARE_AGE_NS (60 * NS_PER_S)		/* with key = stat and content, where a changed input shows in no directory's mtime */
#define SHARE_BLOCK (512u * 1024)		/* bytes, roughly */

struct queue;

/*
 * For the refresh, which is one thread's; it may be in the middle of a listing. True: another has listed the inputs, or is at it, and share_take() is
 * worth it. False: this mount is at it from now on (queue->sharing) and must write or give up, or nobody can be.
 */
bool share_offered(struct queue *queue);

/*
 * For the refresh likewise: takes in the directories that another's listing shows as they are now. On return they are not `dirty`;
 * new ones that it named and does not show have the mtime INT64_MIN. It may have waited for another mount; if nobody is at it, this mount
 * is from now on (queue->sharing) and must write or give up.
 */
void share_take(struct queue *queue);

/* For the keeper: writes what is known for others (`good`), and ends being at it. */
void share_end(struct queue *queue, bool good);

#endif
