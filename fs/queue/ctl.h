/*
 * ctl: one session of a queue's `ctl` file. Commands are lines, each answered by exactly one line, in order (claimfs-queue(7)):
 *
 *   take [N] [wait] [attempt]
 *                        names separated by tabs, or end of file: one read of 0 bytes in the place of the answer, like a
 *                        terminal's; the session goes on after it
 *   claim NAME           ok N (which attempt it is) | error EBUSY … | error ENOENT …
 *   hedge [NAME]         ok N NAME | error EBUSY … | error ENOENT …
 *   check NAME           ok (it is still the session's, and nobody has done it) | already NODE | error ERRNO text: then it is not any more
 *   done NAME [k=v …]    ok | already NODE | error ERRNO text
 *   put BYTES MODE NAME [k=v …]
 *                        as done, with the unit's output, a file: BYTES bytes behind the line's newline, and its permission bits in octal
 *   fail NAME [k=v …]    ok | …
 *   release NAME         ok | …
 *
 * A session has a thread of its own, which runs the commands that are there one after another; `done` and `put` lines that were written together
 * are committed together, and so are fail and release. Claims taken through a session belong to it; they may be finished through any
 * session or by mv. When the session closes, commands that were written are still carried out (but for take, claim and hedge); then what it still holds is given
 * back: as lost attempts, or, when the answer that named them was never read, as if never taken.
 */
#ifndef CLAIMFS_QUEUE_CTL_H
#define CLAIMFS_QUEUE_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct queue;
struct ctl;

#define CTL_MAX_LINE 65536
#define CTL_MAX_PENDING (64 << 20)	/* bytes of commands and answers that nobody has taken yet */

/* `notify` is called on the session's thread, without locks, whenever ctl_read() may say something new. It must not block, and must not call
 * ctl_close(). */
typedef void ctl_notify(void *arg);

int ctl_open(struct queue *queue, ctl_notify *notify, void *arg, struct ctl **ret_ctl);

/* Takes the bytes in, whole or in part lines. `len`, or -errno, and nothing is taken: -EMSGSIZE for a line over CTL_MAX_LINE or an output over CTL_MAX_PUT, -EINVAL
 * for a put without a good count (what follows can't be told from lines), -ENOMEM (also over CTL_MAX_PENDING). */
ssize_t ctl_write(struct ctl *ctl, const void *data, size_t len);

/* Answer bytes that are there, up to `len`; 0 for an end of file, once; -EAGAIN when answers are still to come. With no command
 * unanswered at all: 0, so that `cat ctl` ends. */
ssize_t ctl_read(struct ctl *ctl, void *data, size_t len);
bool ctl_readable(struct ctl *ctl);	/* ctl_read would not say -EAGAIN */

/*
 * No more commands; unblocks a waiting take; the thread gives back what is held (with `lose`; without, that is left to queue_close(), which
 * does not count attempts: for the end of the mount) and frees the session. Does not wait for the disk. After this `notify` is never called; `closed` (may be
 * NULL) is called once, on the session's thread, when it has done with the queue.
 */
typedef void ctl_closed(void *arg);
void ctl_close(struct ctl *ctl, bool lose, ctl_closed *closed, void *arg);

#endif
