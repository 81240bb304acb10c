/*
 * dry_run: prints the commands that would be run, for a shell to read.
 */
#ifndef CLAIMFS_WORKER_DRY_RUN_H
#define CLAIMFS_WORKER_DRY_RUN_H

struct place;
struct worker_options;

int dry_run(const struct worker_options *options, const struct place *place);	/* the exit status */

#endif
