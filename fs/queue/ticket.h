/*
 * ticket: the text of an entry of todo/, claims/, done/ or failed/: `name: value` lines about one unit, for people and for grep.
 *
 *   unit state input | attempt node pid claim since | key | exit-status signal wall cpu peak-memory bytes-in bytes-out | stderr
 *
 * A field that is not known has no line. Names and values are percent-encoded as in ctl (pct_encode), so a line is a field; lines of standard error
 * come last, each after two spaces.
 *
 * The size is computed without making the text: `ls -l done` asks for a million of them.
 */
#ifndef CLAIMFS_QUEUE_TICKET_H
#define CLAIMFS_QUEUE_TICKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "queue/queue.h"

#define TICKET_MAX_STDERR 4096		/* more than the last so many bytes of it are left out */

struct ticket {
	enum queue_state state;
	const char *unit;		/* the name */
	const char *input;		/* path of the input, relative to the queue */
	uint32_t attempt;		/* 0: none yet */
	const char *node;		/* NULL: nobody */
	int64_t pid;			/* 0: not known */
	const char *claim;		/* claimed: UNIT.G.N, its file in .claimfs/claims; NULL: not known */
	int64_t since;			/* the last change of state, the server's seconds; 0: not known */
	const char *key;		/* hex digits; NULL: not known */
	/* done and failed: */
	const char *values;		/* as in the record: status signal wall user sys maxrss in out stderr; NULL: none */
	const char *why;		/* failed without a job's values ("3 attempts were lost"); NULL: none */
};

size_t ticket_size(const struct ticket *ticket);
int ticket_format(const struct ticket *ticket, struct buf *to);	/* appends; 0 or -ENOMEM */

const char *queue_state_name(enum queue_state state);	/* todo claimed done failed */

#endif
