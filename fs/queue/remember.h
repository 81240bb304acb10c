/*
 * remember: writes what a mount knows of a queue into its keep, and takes it up again at the next mount: the input directories with their
 * units and states, and how far each node's log was read. From there on a refresh costs what has changed since.
 *
 *   whole             "no" while it is being written, else the settings it was learned under
 *   l NODE            how far its log was read, its tallies, and by which number records name it
 *   t                 the sums that progress shows
 *   d DIR             a directory: mtime of its last listing, path
 *   u DIR CHUNK       units of it: fixed part, then the name, each
 *   k CHUNK           key = content: KEY and generation, and the unit that was done under it
 *   h CHUNK           key = content: a unit, and the hash of its bytes, each
 *
 * Numbers are in the machine's own byte order: the keep never leaves it. To change the format, change REMEMBER_FORMAT.
 */
#ifndef CLAIMFS_QUEUE_REMEMBER_H
#define CLAIMFS_QUEUE_REMEMBER_H

#define REMEMBER_FORMAT "claimfs queue 3"

struct queue;

/* Before anything else is learned. 0: nothing was remembered, or all of it was taken in; -errno: the memory is not to be trusted, and parts of it
 * may have been taken in: the queue must forget all. -ESTALE: logs that it was learned from are not there any more, nor known to have been
 * merged: what they said must be learned anew, but the inputs are good. */
int remember_load(struct queue *queue);
int remember_load_inputs(struct queue *queue);

/*
 * The state as it is now, in steps that hold the lock for moments; what has not changed since the last time is not written. 0; -ETIMEDOUT: the
 * queue is being closed, and that must not take long; -errno. After an error nothing is remembered until the next save. Used by one
 * thread at a time.
 */
int remember_save(struct queue *queue);

/* The last one before the queue is closed, if it is needed and can be had soon. */
void remember_close(struct queue *queue);

#endif
