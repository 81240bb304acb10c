/*
 * tail: the last bytes of a stream: of a job's standard error, for its ticket.
 */
#ifndef CLAIMFS_WORKER_TAIL_H
#define CLAIMFS_WORKER_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define TAIL_BYTES 4096

struct tail {
	char bytes[TAIL_BYTES];
	uint64_t total;		/* all that ever went through */
};

void tail_reset(struct tail *tail);
void tail_add(struct tail *tail, const char *data, size_t len);

/* Appends the last TAIL_BYTES bytes; a line cut at the front is left out when there is another after it. */
void tail_text(const struct tail *tail, struct buf *to);

#endif
