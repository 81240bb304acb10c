/*
 * place: the queue as the worker finds it: a directory seen through a mount of claimfs.
 */
#ifndef CLAIMFS_WORKER_PLACE_H
#define CLAIMFS_WORKER_PLACE_H

#include "base/buf.h"
#include "base/qconf.h"

struct place {
	char *queue;		/* absolute, without symbolic links */
	char *input;		/* absolute: the directory of the inputs */
	struct qconf conf;
};

/* 0, or -errno with one line in `why` that says what to do. */
int place_open(const char *path, struct place *ret_place, struct buf *why);
void place_release(struct place *place);

void place_ctl(const struct place *place, struct buf *ret_path);
int place_in(const struct place *place, const char *name, struct buf *ret_path);	/* 0 or -errno */
int place_out(const struct place *place, const char *name, struct buf *ret_path);	/* of the staged output; 0 or -errno */

/* What a person should do about an errno that any look at the mount gave; NULL: nothing special. */
const char *place_advice(int error);

#endif
