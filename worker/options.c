/*
 * options: one table, from which the command line is parsed and --help is printed.
 */
#include "worker/options.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/conf.h"

enum option_key {
	KEY_JOBS = 'j', KEY_VERBOSE = 'v', KEY_QUIET = 'q', KEY_HELP = 'h', KEY_VERSION = 'V',
	KEY_GRACE = 256, KEY_AHEAD,
};

static const struct args_option table[] = {
	{ KEY_JOBS, "jobs", "N", "run N units at a time (all cores)" },
	{ KEY_AHEAD, "ahead", "N|auto", "claim N units more than run, so that none is waited for (auto)" },
	{ KEY_GRACE, "grace", "TIME", "on SIGTERM let jobs end by themselves this long (25s)" },
	{ KEY_VERBOSE, "verbose", NULL, "a line a unit, and what jobs write to standard error" },
	{ KEY_QUIET, "quiet", NULL, "no bar on a terminal" },
	{ KEY_HELP, "help", NULL, "print this" },
	{ KEY_VERSION, "version", NULL, "print the version" },
	{ 0, NULL, NULL, NULL },
};

void options_print_help(void)
{
	printf("Usage: claim-worker [OPTIONS] QUEUE -- COMMAND [ARGUMENTS]\n"
	       "Takes units of QUEUE, a directory in a mount of claimfs, and runs COMMAND for each, without a shell.\n\n"
	       "Words of COMMAND that are replaced:\n"
	       "  {in} {out}    paths of the input and of the output until it is published\n"
	       "  {name} {}     the unit's name; {.} {/} {//} {/.} as in GNU Parallel\n"
	       "In its environment: CLAIM_IN CLAIM_OUT CLAIM_NAME CLAIM_ATTEMPT.\n\nOptions:\n");
	args_print_options(stdout, table);
	printf("\nExamples:\n"
	       "  claim-worker /mnt/disk/queue -- ./extract --from {in} --to {out}\n"
	       "  claim-worker -j 4 queue -- sh -c 'xz -9 < \"$CLAIM_IN\" > \"$CLAIM_OUT\"'\n\n"
	       "Exit status: 0 all well, 1 some units failed or the mount is gone, 2 usage, 130 and 143 after SIGINT and SIGTERM.\n");
}

static int set_number(const char *value, int64_t min, int64_t max, int64_t *ret, struct buf *why)
{
	if (conf_parse_number(value, min, max, ret) == 0)
		return 0;
	buf_addf(why, "a number from %lld to %lld is wanted, not '%s'", (long long)min, (long long)max, value);
	return -EINVAL;
}

static int set_duration(const char *value, int64_t *ret, struct buf *why)
{
	if (conf_parse_duration(value, ret) == 0 && *ret >= 0)
		return 0;
	buf_addf(why, "a time such as 25s, 2m or 500ms is wanted, not '%s'", value);
	return -EINVAL;
}

static int set_option(void *target, int key, const char *value, struct buf *why)
{
	struct worker_options *options = target;

	switch (key) {
	case KEY_JOBS:
		return set_number(value, 1, OPTIONS_MAX_SLOTS, &options->slots, why);
	case KEY_AHEAD:
		options->ahead = OPTIONS_AHEAD_AUTO;
		return strcmp(value, "auto") == 0 ? 0 : set_number(value, 0, 100000, &options->ahead, why);
	case KEY_GRACE:
		return set_duration(value, &options->grace_ns, why);
	case KEY_VERBOSE:
		options->verbose = true;
		return 0;
	case KEY_QUIET:
		options->quiet = true;
		return 0;
	case KEY_HELP:
		options->help = true;
		return 0;
	case KEY_VERSION:
		options->version = true;
		return 0;
	}
	return -EINVAL;
}

/* Those this process may run on: in a container or under taskset they are fewer than the machine's. */
static int64_t count_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
	return sysconf(_SC_NPROCESSORS_ONLN) > 0 ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
}

int options_parse(int argc, char **argv, struct worker_options *ret_options, struct buf *why)
{
	struct worker_options options = { .ahead = OPTIONS_AHEAD_AUTO, .grace_ns = 25 * NS_PER_S };
	int first, error;

	error = args_parse(argc, argv, table, set_option, &options, &first, why);
	if (error)
		return error;
	if (options.help || options.version)
		goto out;
	if (first >= argc) {
		buf_adds(why, "which queue? Usage: claim-worker [OPTIONS] QUEUE -- COMMAND [ARGUMENTS]");
		return -EINVAL;
	}
	options.queue = argv[first++];
	if (first < argc && strcmp(argv[first], "--") == 0)
		first++;
	if (first >= argc) {
		buf_adds(why, "which command? Usage: claim-worker [OPTIONS] QUEUE -- COMMAND [ARGUMENTS]");
		return -EINVAL;
	}
	options.command = argv + first;
	if (options.slots == 0)
		options.slots = count_cores();
out:
	*ret_options = options;
	return 0;
}
