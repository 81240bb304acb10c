/*
 * batch_dir: the directory a batch, or a resident command, writes its outputs to, on this machine (TMPDIR). Units whose outputs are still to be read from it hold
 * it; the last one removes it.
 */
#ifndef CLAIMFS_WORKER_BATCH_DIR_H
#define CLAIMFS_WORKER_BATCH_DIR_H

#include <stdbool.h>

struct batch_dir;
struct buf;
struct unit;

int batch_dir_new(struct batch_dir **ret_dir);		/* with one reference. 0 or -errno */
void batch_dir_ref(struct batch_dir *dir);
void batch_dir_unref(struct batch_dir *dir);		/* NULL is fine */
const char *batch_dir_path(const struct batch_dir *dir);

/* Makes the directories above where the unit's output may be written. 0 or -errno. */
int batch_dir_prepare(struct batch_dir *dir, const struct unit *unit);

/* Where the unit's output goes by its full name, its path below stage/. */
void batch_dir_out(const struct batch_dir *dir, const struct unit *unit, struct buf *ret_path);

/* Sets unit->staged, its size and time, if its output is there; the unit then holds the directory. */
bool batch_dir_find(struct batch_dir *dir, struct unit *unit);
bool batch_dir_find_out(struct batch_dir *dir, struct unit *unit);	/* the same, by its full name alone */

#endif
