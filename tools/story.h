/*
 * story: what the nodes' logs say happened in a queue, in order of time. Records that stand there more than once are told once.
 */
#ifndef CLAIMFS_TOOLS_STORY_H
#define CLAIMFS_TOOLS_STORY_H

#include <stddef.h>

#include "base/buf.h"
#include "queue/record.h"

struct story_event {
	const char *node;		/* whose record it is; the same pointer in all events of a node of this story */
	const struct record *record;	/* with its name and values */
};

struct story;

/* Reads .claimfs/log of the queue at `dir`. With units (ends with NULL; may be NULL or empty: all) only what is about them. 0, or -errno
 * with what could not be read in `why`. */
int story_read(const char *dir, char *const *units, struct story **ret_story, struct buf *why);
void story_free(struct story *story);

size_t story_count(const struct story *story);
void story_event(const struct story *story, size_t index, struct story_event *ret_event);

#endif
