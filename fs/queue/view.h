/*
 * view: what the files of the engine share of it.
 */
#ifndef CLAIMFS_QUEUE_VIEW_H
#define CLAIMFS_QUEUE_VIEW_H

#include <stddef.h>
#include <stdint.h>

struct queue;

/* Fetches what the tickets of these units need from the disk: owners of claims, texts of failed units. What can't be had is left out. */
void view_prepare(struct queue *queue, const uint32_t *units, size_t count);

#endif
