/*
 * change: one change of the tree on the server, by path, with its meaning found out.
 *
 *   send (with an LSTAT of the result behind it, in one flight)
 *     ├─ done, or an error that says what it means ─▶ done
 *     └─ "failure" (SFTP v3 has no EEXIST, ENOTEMPTY, ENOSPC …), or the answer never came
 *          └─▶ look: LSTAT of the names, STATVFS, in one flight ─▶ errors.c says: it happened | this errno | not yet: send again
 *
 * Which looks mean what is in errors.c alone.
 */
#ifndef CLAIMFS_TREE_CHANGE_H
#define CLAIMFS_TREE_CHANGE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "sftp/client.h"
#include "tree/errors.h"
#include "tree/flight.h"

struct change {
	struct sftp *sftp;
	enum change_kind kind;
	struct buf path;		/* what is made or removed; the source of a rename or link */
	struct buf path2;		/* the new name of a rename or link; the target's text of a symlink */
	uint32_t mode;			/* mkdir */
	void (*done)(struct change *change, int error);
	struct sftp_attrs attrs;	/* of what was made (mkdir, symlink, link); flags 0: not known */
	/* its own */
	struct flight flight;
	int error;			/* why it is looked at */
	bool uncertain;			/* an answer was lost: it may have happened */
	int tries;
};

void change_init(struct change *change, struct sftp *sftp, enum change_kind kind);
void change_release(struct change *change);

/* Sends it. `done` is called once, with 0 or -errno, on an I/O thread or within this call. */
void change_run(struct change *change, void (*done)(struct change *change, int error));

/*
 * For requests sent by others (an exclusive create, a write): what did -EREMOTEIO or SFTP_UNKNOWN mean? `done` gets 0 (it happened), -errno, or
 * -EAGAIN (it did not happen: ask again). `kind`, `path` and `uncertain` are set.
 */
void change_explain(struct change *change, int error, void (*done)(struct change *change, int error));

#endif
