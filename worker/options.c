/*
 * options: one table, from which the command line is parsed and --help is printed.
 */
#include "worker/options.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/cores.h"
#include "worker/batch.h"
#include "worker/job.h"

#define OPTIONS_MIN_MEMORY (1 << 20)

enum option_key {
	KEY_JOBS = 'j', KEY_VERBOSE = 'v', KEY_QUIET = 'q', KEY_HELP = 'h', KEY_VERSION = 'V',
	KEY_GRACE = 256, KEY_AHEAD, KEY_BATCH, KEY_BATCH_TIME, KEY_RESIDENT, KEY_TIMEOUT, KEY_RETRIES, KEY_MEMORY, KEY_NICE, KEY_LOAD,
	KEY_MEM_FREE, KEY_MAX_UNITS, KEY_MAX_TIME, KEY_WATCH, KEY_HALT, KEY_DRAIN_FILE, KEY_DRAIN_CMD, KEY_LOGS, KEY_DRY_RUN,
	KEY_CHECKPOINT, KEY_ORDER, KEY_SHUFFLE, KEY_HEDGE,
};

static const struct args_option table[] = {
	{ KEY_JOBS, "jobs", "N", "run N jobs at a time (all cores)" },
	{ KEY_BATCH, "batch", "N|auto", "give each process N units, as the word {in...}" },
	{ KEY_BATCH_TIME, "batch-time", "TIME", "the longest an automatic batch may take (10s)" },
	{ KEY_RESIDENT, "resident", NULL, "start the command once a slot; it reads a line a unit" },
	{ KEY_AHEAD, "ahead", "N|auto", "claim N units more than run, so that none is waited for (auto)" },
	{ KEY_TIMEOUT, "timeout", "TIME", "end a job that takes longer; its unit has failed" },
	{ KEY_RETRIES, "retries", "N", "try a unit N times more when its job fails (0)" },
	{ KEY_MEMORY, "memory", "SIZE", "what a job may use at most: by a cgroup, else each process by RLIMIT_AS" },
	{ KEY_NICE, "nice", "N", "run jobs at a niceness N higher" },
	{ KEY_LOAD, "load", "N", "start nothing while the load is N or more" },
	{ KEY_MEM_FREE, "mem-free", "SIZE", "start nothing while less memory is available" },
	{ KEY_MAX_UNITS, "max-units", "N", "end after N units" },
	{ KEY_MAX_TIME, "max-time", "TIME", "take nothing more after TIME, as on SIGTERM" },
	{ KEY_ORDER, "order", "HOW", "name|size|-size: claim units in this order, not as they come" },
	{ KEY_SHUFFLE, "shuffle", NULL, "claim units in a random order" },
	{ KEY_HEDGE, "hedge", NULL, "with nothing left to take, try units again that take far longer than the others" },
	{ KEY_WATCH, "watch", NULL, "stay for new inputs when all is done" },
	{ KEY_HALT, "halt", "WHEN", "soon|now,fail=N|N%: end when so many have failed" },
	{ KEY_GRACE, "grace", "TIME", "on SIGTERM let jobs end by themselves this long (25s)" },
	{ KEY_DRAIN_FILE, "drain-file", "FILE", "as SIGTERM, when FILE appears" },
	{ KEY_DRAIN_CMD, "drain-cmd", "COMMAND", "as SIGTERM, when the shell's COMMAND, which may wait or is run again, exits 0" },
	{ KEY_CHECKPOINT, "checkpoint-signal", "SIG", "on SIGTERM tell jobs by SIG; {out} is kept for the next attempt's CLAIM_RESUME" },
	{ KEY_LOGS, "logs", "DIR", "keep what jobs write in DIR, packed; `claimctl log --output' shows it" },
	{ KEY_DRY_RUN, "dry-run", NULL, "print what would be run, take nothing" },
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
	       "  {in...}       with --batch: the inputs of all units of the batch; {out} is a directory then\n"
	       "In its environment: CLAIM_IN CLAIM_OUT CLAIM_NAME CLAIM_ATTEMPT CLAIM_RESUME.\n\nOptions:\n");
	args_print_options(stdout, table);
	printf("\nExamples:\n"
	       "  claim-worker /mnt/disk/queue -- ./extract --from {in} --to {out}\n"
	       "  claim-worker -j 4 queue -- sh -c 'xz -9 < \"$CLAIM_IN\" > \"$CLAIM_OUT\"'\n"
	       "  claim-worker --batch auto queue -- mogrify -resize 50%% -path {out} {in...}\n\n"
	       "Exit status: 0 all well, 1 some units failed, 2 usage, 75 the mount is gone, 130 and 143 after SIGINT and SIGTERM.\n");
}

/* ---- values ---- */

static int set_number(const char *value, int64_t min, int64_t max, int64_t *ret, struct buf *why)
{
	if (conf_parse_number(value, min, max, ret) == 0)
		return 0;
	buf_addf(why, "a number from %lld to %lld is wanted, not '%s'", (long long)min, (long long)max, value);
	return -EINVAL;
}

static int set_auto(const char *value, int64_t automatic, int64_t min, int64_t max, int64_t *ret, struct buf *why)
{
	if (strcmp(value, "auto") == 0) {
		*ret = automatic;
		return 0;
	}
	if (conf_parse_number(value, min, max, ret) == 0)
		return 0;
	buf_addf(why, "auto or a number from %lld to %lld is wanted, not '%s'", (long long)min, (long long)max, value);
	return -EINVAL;
}

/* An empty one is a variable that is not set: no file would ever appear, and no command is one that says yes. */
static int set_text(const char *value, const char *what, const char **ret, struct buf *why)
{
	if (value[0] == '\0') {
		buf_addf(why, "%s is wanted, not ''", what);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int set_duration(const char *value, bool may_be_none, int64_t *ret, struct buf *why)
{
	if (conf_parse_duration(value, ret) == 0 && (*ret > 0 || (may_be_none && *ret == 0)))
		return 0;
	buf_addf(why, "a time such as 25s, 2m or 500ms is wanted, not '%s'", value);
	return -EINVAL;
}

/* A number without its unit, 800 for 800M, would be so many bytes, in which no job can run. */
static int set_size(const char *value, int64_t *ret, struct buf *why)
{
	if (conf_parse_size(value, ret) == 0 && *ret >= OPTIONS_MIN_MEMORY)
		return 0;
	buf_addf(why, "a size such as 800M or 4G is wanted, at least 1M, not '%s'", value);
	return -EINVAL;
}

static int set_load(const char *value, double *ret, struct buf *why)
{
	char *end;

	*ret = strtod(value, &end);
	if (end != value && *end == '\0' && isfinite(*ret) && *ret > 0)
		return 0;
	buf_addf(why, "a load such as 4 or 7.5 is wanted, not '%s'", value);
	return -EINVAL;
}

/* USR1, SIGUSR1 or 10. None that the worker needs for itself, or that can't be caught. */
static int set_signal(const char *value, int *ret, struct buf *why)
{
	static const int refused[] = { SIGKILL, SIGSTOP, SIGTERM, SIGCHLD, SIGCONT };
	const char *name = strncasecmp(value, "SIG", 3) == 0 ? value + 3 : value, *abbreviation;
	int64_t number = 0;
	size_t i;
	int at;

	if (conf_parse_number(value, 1, SIGRTMAX, &number) < 0)
		number = 0;
	for (at = 1; number == 0 && at < NSIG; at++) {
		abbreviation = sigabbrev_np(at);
		if (abbreviation && strcasecmp(abbreviation, name) == 0)
			number = at;
	}
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (number == refused[i])
			number = 0;
	if (number > 0) {
		*ret = (int)number;
		return 0;
	}
	buf_addf(why, "a signal that a job can catch is wanted, such as USR1, USR2 or INT, not '%s'", value);
	return -EINVAL;
}

/* soon,fail=3  now,fail=10% */
static int set_halt(struct worker_options *options, const char *value, struct buf *why)
{
	const char *rest = NULL;
	char number[16];
	size_t len;

	if (strncmp(value, "soon,fail=", 10) == 0) {
		options->halt = HALT_SOON;
		rest = value + 10;
	} else if (strncmp(value, "now,fail=", 9) == 0) {
		options->halt = HALT_NOW;
		rest = value + 9;
	}
	len = rest ? strlen(rest) : 0;
	if (len > 0 && len < sizeof(number)) {
		bool percent = rest[len - 1] == '%';

		memcpy(number, rest, len + 1);
		number[percent ? len - 1 : len] = '\0';
		options->halt_count = options->halt_percent = 0;
		if (conf_parse_number(number, 1, percent ? 100 : INT64_MAX, percent ? &options->halt_percent : &options->halt_count) == 0)
			return 0;
	}
	buf_addf(why, "soon,fail=N or now,fail=N is wanted, N a number of units or so many %%, not '%s'", value);
	return -EINVAL;
}

static int set_order(const char *value, enum order_how *ret, struct buf *why)
{
	static const char *const words[] = { [ORDER_NAME] = "name", [ORDER_SIZE] = "size", [ORDER_LARGEST] = "-size" };
	size_t i;

	for (i = ORDER_NAME; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(value, words[i]) == 0) {
			*ret = (enum order_how)i;
			return 0;
		}
	}
	buf_addf(why, "name, size or -size (the largest first) is wanted, not '%s'", value);
	return -EINVAL;
}

static int set_limit(struct worker_options *options, int key, const char *value, struct buf *why)
{
	switch (key) {
	case KEY_TIMEOUT:
		return set_duration(value, false, &options->timeout_ns, why);
	case KEY_RETRIES:
		return set_number(value, 0, 1000000, &options->retries, why);
	case KEY_MEMORY:
		return set_size(value, &options->memory, why);
	case KEY_NICE:
		return set_number(value, 0, 39, &options->nice, why);
	case KEY_LOAD:
		return set_load(value, &options->load, why);
	case KEY_MEM_FREE:
		return set_size(value, &options->mem_free, why);
	case KEY_MAX_UNITS:
		return set_number(value, 1, INT64_MAX, &options->max_units, why);
	case KEY_MAX_TIME:
		return set_duration(value, false, &options->max_time_ns, why);
	case KEY_HALT:
		return set_halt(options, value, why);
	}
	return -EINVAL;
}

static void set_flag(struct worker_options *options, int key)
{
	options->shuffle |= key == KEY_SHUFFLE;
	options->resident |= key == KEY_RESIDENT;
	options->watch |= key == KEY_WATCH;
	options->hedge |= key == KEY_HEDGE;
	options->dry_run |= key == KEY_DRY_RUN;
	options->verbose |= key == KEY_VERBOSE;
	options->quiet |= key == KEY_QUIET;
	options->help |= key == KEY_HELP;
	options->version |= key == KEY_VERSION;
}

static int set_option(void *target, int key, const char *value, struct buf *why)
{
	struct worker_options *options = target;

	if (!value) {
		set_flag(options, key);
		return 0;
	}
	switch (key) {
	case KEY_JOBS:
		return set_number(value, 1, OPTIONS_MAX_SLOTS, &options->slots, why);
	case KEY_AHEAD:
		return set_auto(value, OPTIONS_AHEAD_AUTO, 0, 100000, &options->ahead, why);
	case KEY_BATCH:
		return set_auto(value, OPTIONS_BATCH_AUTO, 1, BATCH_MAX, &options->batch, why);
	case KEY_BATCH_TIME:
		return set_duration(value, false, &options->batch_time_ns, why);
	case KEY_GRACE:
		return set_duration(value, true, &options->grace_ns, why);
	case KEY_ORDER:
		return set_order(value, &options->order, why);
	case KEY_CHECKPOINT:
		return set_signal(value, &options->checkpoint_signal, why);
	case KEY_LOGS:
		return set_text(value, "a directory", &options->logs, why);
	case KEY_DRAIN_FILE:
		return set_text(value, "a file", &options->drain_file, why);
	case KEY_DRAIN_CMD:
		return set_text(value, "a command", &options->drain_command, why);
	default:
		return set_limit(options, key, value, why);
	}
}

/* ---- the whole ---- */

void options_defaults(struct worker_options *options)
{
	*options = (struct worker_options){
		.ahead = OPTIONS_AHEAD_AUTO,
		.grace_ns = 25 * NS_PER_S,
		.batch = OPTIONS_BATCH_NONE,
		.batch_time_ns = 10 * NS_PER_S,
	};
}

static int check(const struct worker_options *options, struct buf *why)
{
	if (options->resident && options->batch != OPTIONS_BATCH_NONE) {
		buf_adds(why, "--resident and --batch can't be had together: a resident command gets one unit after another");
		return -EINVAL;
	}
	if (options->order != ORDER_AS_TAKEN && options->shuffle) {
		buf_adds(why, "--order and --shuffle are two orders: leave one of them out");
		return -EINVAL;
	}
	if ((options->order != ORDER_AS_TAKEN || options->shuffle) && options->batch != OPTIONS_BATCH_NONE) {
		buf_adds(why, "--order and --shuffle claim one unit after another, --batch many at once: leave one of them out");
		return -EINVAL;
	}
	if (options->checkpoint_signal && (options->resident || options->batch != OPTIONS_BATCH_NONE)) {
		buf_adds(why, "--checkpoint-signal is for commands that get one unit each: leave --batch and --resident out");
		return -EINVAL;
	}
	if (options->drain_file && options->drain_command) {
		buf_adds(why, "--drain-file and --drain-cmd can't be had together: leave one of them out (a command may look for a file)");
		return -EINVAL;
	}
	return job_kind_of(options)->check(options, why);
}

/* Did "--" end the options, and no other comes behind what would be the queue then (`-- -odd-name -- COMMAND')? */
static bool queue_is_missing(int argc, char **argv, int first)
{
	return first > 1 && strcmp(argv[first - 1], "--") == 0 && (first + 1 >= argc || strcmp(argv[first + 1], "--") != 0);
}

int options_parse(int argc, char **argv, struct worker_options *ret_options, struct buf *why)
{
	static const char usage[] = "Usage: claim-worker [OPTIONS] QUEUE -- COMMAND [ARGUMENTS]";
	struct worker_options options;
	int first, error;

	options_defaults(&options);
	error = args_parse(argc, argv, table, set_option, &options, &first, why);
	if (error)
		return error;
	if (options.help || options.version)
		goto out;
	if (first >= argc || queue_is_missing(argc, argv, first)) {
		buf_adds(why, "which queue? ");
		if (first < argc && first > 3 && argv[first - 2][0] != '-')
			buf_addf(why, "'%s' was taken for the value of %s. ", argv[first - 2], argv[first - 3]);
		buf_adds(why, usage);
		return -EINVAL;
	}
	options.queue = argv[first++];
	if (first < argc && strcmp(argv[first], "--") == 0)
		first++;
	if (first >= argc) {
		buf_addf(why, "which command? %s", usage);
		return -EINVAL;
	}
	options.command = argv + first;
	if (options.slots == 0)
		options.slots = cores_count();
	error = check(&options, why);
	if (error)
		return error;
	if (options.shuffle)
		options.order = ORDER_SHUFFLED;
out:
	*ret_options = options;
	return 0;
}
