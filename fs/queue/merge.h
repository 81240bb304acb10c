/*
 * merge: the logs of nodes long gone become one, so that a queue that many short-lived nodes worked on has few of them.
 *
 *   tmp/merge-N ◀── LINK (this mount does it) ─▶ read the logs ─▶ write tmp/NODE/merge-M, fsync ─▶ LINK it to log/NODE.K
 *        ─▶ RENAME each log into tmp/NODE/, take in what it grew by meanwhile ─▶ remove them
 *
 * Whoever dies in the middle leaves whole logs: both the old ones and the merged one may be there for a while. Each line of it says where it stood
 * first, from=LOG:BEGIN:END, so no record is counted twice, however often it was merged. The link in tmp/ only keeps other mounts from doing
 * the same work; it is a name of this mount's heartbeat, so it is stale when the mount is.
 *
 * A node that comes back finds its log gone after its next append (own_log.c): the log was moved before it was looked at for the last time.
 */
#ifndef CLAIMFS_QUEUE_MERGE_H
#define CLAIMFS_QUEUE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "queue/layout.h"

#define MERGE_FROM 64			/* no fewer logs of nodes long gone are merged */
#define MERGE_LEASES 10			/* without a heartbeat: long gone */
#define MERGE_SMALL (4u << 20)		/* larger logs stay as they are: it is their number that costs */
#define MERGE_MAX (16u << 20)		/* bytes of a merged log, roughly */
#define MERGE_LOCK "merge-"		/* in tmp/ */

struct queue;

struct merge_origin {
	char log[LAYOUT_MAX_LOG + 1];
	size_t node_len;		/* NODE is so much of it */
	uint64_t begin, end;		/* of the line in it, its newline included */
};

/* What `from` in a record's values says. 0; -ENOENT: it isn't there; -EINVAL. */
int merge_origin(const char *values, struct merge_origin *ret_origin);

/* Appends the whole lines of `text`, which begins at `offset` of `log`, as lines of a merged log. How many bytes of it were whole lines, or -ENOMEM. */
int64_t merge_lines(const char *log, uint64_t offset, const char *text, size_t len, struct buf *to);

#endif
