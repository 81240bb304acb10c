/*
 * options: claim-worker's command line.
 */
#ifndef CLAIMFS_WORKER_OPTIONS_H
#define CLAIMFS_WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* What the program ends with, besides 0 and 128 + the signal that ended it. */
#define WORKER_EXIT_FAILED 1		/* units failed */
#define WORKER_EXIT_USAGE 2
#define WORKER_EXIT_AGAIN 75		/* EX_TEMPFAIL: the mount is gone, or this machine lacks something; worth another try */

#define OPTIONS_MAX_SLOTS 4096
#define OPTIONS_AHEAD_AUTO (-1)
#define OPTIONS_BATCH_NONE (-1)
#define OPTIONS_BATCH_AUTO 0

enum halt_when { HALT_NEVER, HALT_SOON, HALT_NOW };

enum order_how { ORDER_AS_TAKEN, ORDER_NAME, ORDER_SIZE, ORDER_LARGEST, ORDER_SHUFFLED };

struct worker_options {
	const char *queue;
	char *const *command;		/* ends with NULL */
	char *command_file;		/* where its first word was found (run.h); NULL: not looked for, it changes with the unit */
	int64_t slots;
	int64_t ahead;			/* units claimed beyond what runs; OPTIONS_AHEAD_AUTO */
	int64_t grace_ns;		/* after SIGTERM */
	int64_t batch;			/* units a process; OPTIONS_BATCH_* */
	int64_t batch_time_ns;		/* the longest an automatic batch may take */
	bool resident;
	int64_t timeout_ns;		/* of a job; 0: none */
	int64_t retries;		/* of a job that failed */
	int64_t memory;			/* bytes a job may have; 0: no limit */
	int64_t nice;
	double load;			/* start nothing at this load and more; 0: no limit */
	int64_t mem_free;		/* start nothing with less available; bytes */
	int64_t max_units;		/* 0: no limit */
	int64_t max_time_ns;		/* 0: no limit */
	bool watch;			/* stay for new inputs */
	bool hedge;			/* second attempts at units that take far longer than the others */
	enum order_how order;		/* ORDER_SHUFFLED with --shuffle, in the end */
	bool shuffle;
	enum halt_when halt;
	int64_t halt_count;		/* failed units; 0: see halt_percent */
	int64_t halt_percent;
	const char *drain_file;
	const char *drain_command;
	int checkpoint_signal;		/* 0: none */
	const char *logs;		/* directory; NULL: none are kept */
	bool dry_run;
	bool verbose;
	bool quiet;			/* no bar on a terminal either */
	bool help;
	bool version;
};

/* 0, or -EINVAL with one line in `why`. With help or version nothing else is checked. */
int options_parse(int argc, char **argv, struct worker_options *ret_options, struct buf *why);
void options_print_help(void);

/* What holds without any option, but for slots. */
void options_defaults(struct worker_options *options);

#endif
