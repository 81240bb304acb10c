/*
 * options: claim-worker's command line.
 */
#ifndef CLAIMFS_WORKER_OPTIONS_H
#define CLAIMFS_WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define OPTIONS_MAX_SLOTS 4096
#define OPTIONS_AHEAD_AUTO (-1)

struct worker_options {
	const char *queue;
	char *const *command;		/* ends with NULL */
	int64_t slots;
	int64_t ahead;			/* units claimed beyond what runs; OPTIONS_AHEAD_AUTO */
	int64_t grace_ns;		/* after SIGTERM */
	bool verbose;
	bool quiet;			/* no bar on a terminal either */
	bool help;
	bool version;
};

/* 0, or -EINVAL with one line in `why`. With help or version nothing else is checked. */
int options_parse(int argc, char **argv, struct worker_options *ret_options, struct buf *why);
void options_print_help(void);

#endif
