/*
 * remember_kept: the values that a mount keeps of a queue, as remember.h lists them. Not for others than remember_save.c and remember_load.c.
 */
#ifndef CLAIMFS_QUEUE_REMEMBER_KEPT_H
#define CLAIMFS_QUEUE_REMEMBER_KEPT_H

#include <stdint.h>

#include "queue/inner.h"

#define REMEMBER_WHOLE "whole"
#define REMEMBER_KEY (CONTENT_MAP_KEY + sizeof(struct hash128))	/* bytes of one of "k": KEY.G, and the unit that was done under it */

struct kept_log {
	uint64_t consumed;
	uint64_t done, failed, lost;
	int64_t last_record;
	struct progress_spent spent;
	uint32_t id;		/* as in unit->record */
	uint32_t gone;		/* it was merged into another: no longer to be looked for */
};

struct kept_sums {
	int64_t first_done, last_done;
	struct progress_spent spent;
	uint64_t has_spent;
	struct progress_hedges hedges;
	struct walls walls;
};

struct kept_dir {		/* the path follows */
	int64_t mtime;
	uint32_t parent;
	uint32_t pad;
};

/* What must be as it was for the memory to be good: the value of "whole". */
static inline void remember_settings(const struct queue *queue, struct buf *ret)
{
	buf_addf(ret, "%d %s", queue->conf.key, queue->conf.input);
}

#endif
