/*
 * claimctl fleet: machines that work on a queue, from a laptop. The table of its verbs and their options; each verb is in fleet_*.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/fleet.h"

#define MACHINES_MAX 10000

enum {
	KEY_PREFIX = 256, KEY_PROVIDER, KEY_TYPE, KEY_IMAGE, KEY_ZONE, KEY_SPOT, KEY_USER, KEY_HOSTS_FILE, KEY_TIMEOUT, KEY_ONLY, KEY_TO,
	KEY_INSTALL, KEY_SETUP, KEY_INTERVAL, KEY_JSON, KEY_YES,
};

static struct fleet_options fleet_options = { .lines = 20 };

#define OPTION_PREFIX { KEY_PREFIX, "prefix", "P", "which fleet (the only one there is)" }
#define OPTION_ONLY { KEY_ONLY, "only", "NAME", "these machines alone: names or patterns, with commas or given again" }
#define OPTION_JSON { KEY_JSON, "json", NULL, "for programs: each machine's exit status, standard output and error" }
#define OPTIONS_END { 0, NULL, NULL, NULL }

static const struct args_option up_table[] = {
	{ 'n', NULL, "N", "this many machines; those that are there count" },
	{ KEY_PREFIX, "prefix", "P", "names are P-000, P-001 ... (claim)" },
	{ KEY_PROVIDER, "provider", "NAME", "gcloud, aws, hosts, or one of your own (gcloud)" },
	{ KEY_TYPE, "type", "T", "the kind of machine, in the provider's words" },
	{ KEY_IMAGE, "image", "I", "what they boot" },
	{ KEY_ZONE, "zone", "Z", "where" },
	{ KEY_SPOT, "spot", NULL, "cheap ones, that may be taken away" },
	{ KEY_USER, "user", "NAME", "log in as this user" },
	{ 'H', "hosts", "A,B,C", "machines that are there already" },
	{ KEY_HOSTS_FILE, "hosts-file", "FILE", "the same, a line each: NAME [SSH-ARGUMENT...]" },
	{ KEY_TIMEOUT, "timeout", "TIME", "how long to wait for ssh (300s)" },
	{ KEY_JSON, "json", NULL, "for programs: who is up, and why others are not" },
	OPTIONS_END,
};
static const struct args_option ls_table[] = { OPTION_PREFIX, OPTION_ONLY, { KEY_JSON, "json", NULL, "for programs" }, OPTIONS_END };
static const struct args_option run_table[] = {
	OPTION_PREFIX, OPTION_ONLY, { KEY_TIMEOUT, "timeout", "TIME", "end it after this time, on each machine" },
	{ KEY_SETUP, "setup", NULL, "if it succeeds: machines that `watch' makes later run it too" },
	OPTION_JSON, OPTIONS_END,
};
static const struct args_option push_table[] = {
	OPTION_PREFIX, OPTION_ONLY,
	{ KEY_INSTALL, "install", NULL, "install them: packages with apt, programs into ~/.local/bin" },
	{ KEY_TO, "to", "DIR", "put them there (the home directory)" },
	OPTION_JSON,
	OPTIONS_END,
};
static const struct args_option mount_table[] = {
	OPTION_PREFIX, OPTION_ONLY, { 'o', NULL, "OPTIONS", "of claimfs; others of its options go behind --" },
	OPTION_JSON, OPTIONS_END,
};
static const struct args_option plain_table[] = { OPTION_PREFIX, OPTION_ONLY, OPTION_JSON, OPTIONS_END };
static const struct args_option logs_table[] = {
	OPTION_PREFIX, OPTION_ONLY,
	{ 'n', NULL, "N", "so many lines of each (20)" },
	{ 'f', "follow", NULL, "and what comes later" },
	OPTION_JSON,
	OPTIONS_END,
};
static const struct args_option watch_table[] = {
	OPTION_PREFIX,
	{ KEY_INTERVAL, "interval", "TIME", "how often to look (15s)" },
	{ KEY_TIMEOUT, "timeout", "TIME", "how long to wait for a new machine (300s)" },
	OPTIONS_END,
};
static const struct args_option no_table[] = { OPTIONS_END };
static const struct args_option down_table[] = { OPTION_PREFIX, OPTION_ONLY, { KEY_YES, "yes", NULL, "don't ask" }, OPTION_JSON, OPTIONS_END };

static int set_only(struct fleet_options *options, const char *value)
{
	const char *comma;

	for (;; value = comma + 1) {
		comma = strchrnul(value, ',');
		words_add_len(&options->only, value, (size_t)(comma - value));
		if (!*comma)
			break;
	}
	return words_error(&options->only);
}

static int set_number(int64_t *field, const char *value, struct buf *why)
{
	if (conf_parse_number(value, 1, MACHINES_MAX, field) == 0)
		return 0;
	buf_addf(why, "a number from 1 to %d", MACHINES_MAX);
	return -EINVAL;
}

static int set_time(int64_t *field, const char *value, struct buf *why)
{
	if (conf_parse_duration(value, field) == 0 && *field > 0)
		return 0;
	buf_adds(why, "a time, as 90, 90s, 2m, 1h");
	return -EINVAL;
}

static int set_value(struct fleet_options *options, int key, const char *value, struct buf *why)
{
	switch (key) {
	case KEY_PREFIX: options->prefix = value; return 0;
	case KEY_PROVIDER: options->provider = value; return 0;
	case KEY_TYPE: options->settings[SETTING_TYPE] = value; return 0;
	case KEY_IMAGE: options->settings[SETTING_IMAGE] = value; return 0;
	case KEY_ZONE: options->settings[SETTING_ZONE] = value; return 0;
	case KEY_SPOT: options->settings[SETTING_SPOT] = "1"; return 0;
	case KEY_USER: options->settings[SETTING_USER] = value; return 0;
	case 'H': options->settings[SETTING_HOSTS] = value; return 0;
	case KEY_HOSTS_FILE: options->settings[SETTING_HOSTS_FILE] = value; return 0;
	case KEY_ONLY: return set_only(options, value);
	case KEY_TO: options->to = value; return 0;
	case KEY_TIMEOUT: return set_time(&options->timeout_ns, value, why);
	case KEY_INTERVAL: return set_time(&options->interval_ns, value, why);
	default: return -EINVAL;
	}
}

static int fleet_set_option(void *target, int key, const char *value, struct buf *why)
{
	struct fleet_options *options = target;

	switch (key) {
	case 'o':
		words_add(&options->mount_options, value);
		return words_error(&options->mount_options);
	case KEY_INSTALL: options->install = true; return 0;
	case KEY_SETUP: options->setup = true; return 0;
	case 'f': options->follow = true; return 0;
	case KEY_JSON: options->json = true; return 0;
	case KEY_YES: options->yes = true; return 0;
	default: return set_value(options, key, value, why);
	}
}

static int up_set_option(void *target, int key, const char *value, struct buf *why)
{
	struct fleet_options *options = target;

	return key == 'n' ? set_number(&options->count, value, why) : fleet_set_option(target, key, value, why);
}

static int logs_set_option(void *target, int key, const char *value, struct buf *why)
{
	struct fleet_options *options = target;

	return key == 'n' ? set_number(&options->lines, value, why) : fleet_set_option(target, key, value, why);
}

static const struct command verbs[] = {
	{
		.name = "up", .summary = "make machines, and wait until ssh answers",
		.usage = "fleet up -n N [OPTIONS] [-- PROVIDER-ARGUMENTS]",
		.description = "Makes N machines side by side. Asked again, it makes up what is missing, with the options of the first time.\n",
		.examples = "  claimctl fleet up -n 20 --type e2-highcpu-8 --zone europe-west1-b --spot\n"
			    "  claimctl fleet up -n 3 --provider aws --type c7a.2xlarge --spot -- --key-name mine\n"
			    "  claimctl fleet up -H ann@m1,ann@m2,ann@m3\n",
		.options = up_table, .set = up_set_option, .run = fleet_up, .operands_optional = true,
	},
	{
		.name = "ls", .summary = "machines, and what their workers do",
		.usage = "fleet ls [OPTIONS]",
		.description = "Shows each machine: what the provider says of it, its address, and its workers.\n",
		.examples = "  claimctl fleet ls\n  claimctl fleet ls --json | jq -r '.machines[].name'\n",
		.options = ls_table, .set = fleet_set_option, .run = fleet_ls, .operands_optional = true,
	},
	{
		.name = "run", .summary = "run a command on all machines at once",
		.usage = "fleet run [OPTIONS] -- COMMAND [ARGUMENTS]",
		.description = "Runs COMMAND in the home directory of each machine, without a shell: each argument arrives as it was given. Lines of output\n"
			       "stand behind the machine's name. It is done once, on the machines that are there; with --setup those that come later do\n"
			       "it too.\n",
		.exit_status = "the worst of all machines, 124 for one that took too long, 255 for one that could not be reached; 2 usage",
		.examples = "  claimctl fleet run -- nproc\n  claimctl fleet run --only 'claim-00*' --timeout 1m -- sh -c 'df -h | tail -1'\n"
			    "  claimctl fleet run --setup -- sudo apt-get install -y imagemagick\n"
			    "  claimctl fleet run --json -- nproc | jq '[.machines[].stdout | tonumber] | add'\n",
		.options = run_table, .set = fleet_set_option, .run = fleet_exec, .operands_optional = true,
	},
	{
		.name = "push", .summary = "copy files to all machines, install them",
		.usage = "fleet push [OPTIONS] FILE...",
		.description = "Copies files and directories to each machine; machines that `watch' makes later get them too.\n",
		.examples = "  claimctl fleet push --install claimfs_0.1.0_amd64.deb\n  claimctl fleet push --to jobs extract.py model.bin\n",
		.options = push_table, .set = fleet_set_option, .run = fleet_push,
	},
	{
		.name = "mount", .summary = "mount the disk on all machines",
		.usage = "fleet mount [OPTIONS] HOST:DIR MOUNTPOINT [-- OPTIONS of claimfs]",
		.description = "Mounts with claimfs, where it isn't mounted yet. A relative MOUNTPOINT is in the home directory.\n",
		.examples = "  claimctl fleet mount ann@storage:/data disk\n",
		.options = mount_table, .set = fleet_set_option, .run = fleet_mount,
	},
	{
		.name = "start", .summary = "start a worker on all machines",
		.usage = "fleet start [--prefix P] [--only NAME] [--json] QUEUE [OPTIONS of claim-worker] -- COMMAND [ARGUMENTS]",
		.description = "Starts claim-worker where it isn't running yet. It survives the end of the connection, and drains when the cloud gives notice.\n",
		.examples = "  claimctl fleet start disk/run1 -j 4 --retries 1 -- ./extract {in} {out}\n",
		.options = plain_table, .set = fleet_set_option, .run = fleet_start,
	},
	{
		.name = "stop", .summary = "drain the workers",
		.usage = "fleet stop [OPTIONS] [QUEUE]",
		.description = "Lets jobs end as on SIGTERM (claim-worker --grace), gives the rest back, and waits for that.\n",
		.examples = "  claimctl fleet stop\n",
		.options = plain_table, .set = fleet_set_option, .run = fleet_stop, .operands_optional = true,
	},
	{
		.name = "logs", .summary = "what the workers wrote",
		.usage = "fleet logs [OPTIONS] [QUEUE]",
		.description = "Shows the end of the workers' standard output and error.\n",
		.examples = "  claimctl fleet logs -n 100 --only claim-003\n  claimctl fleet logs -f\n",
		.options = logs_table, .set = logs_set_option, .run = fleet_logs, .operands_optional = true,
	},
	{
		.name = "watch", .summary = "make preempted machines anew until the work is done",
		.usage = "fleet watch [OPTIONS]",
		.description = "Makes machines that are gone anew, pushes, runs (--setup), mounts and starts there what was asked for, and says what it\n"
			       "did. Ends when all workers have ended because every unit is done or failed.\n",
		.exit_status = "0 all work is done, or the fleet was taken down, 1 some units failed, or it could not watch, 2 usage",
		.examples = "  claimctl fleet watch && claimctl fleet down --yes\n",
		.options = watch_table, .set = fleet_set_option, .run = fleet_watch, .operands_optional = true,
	},
	{
		.name = "down", .summary = "delete the machines that `up' made",
		.usage = "fleet down [OPTIONS]",
		.description = "Deletes machines of the fleet, and no others, after asking.\n",
		.examples = "  claimctl fleet down\n  claimctl fleet down --yes --only claim-007\n",
		.options = down_table, .set = fleet_set_option, .run = fleet_down, .operands_optional = true,
	},
	{
		.name = "preempted", .summary = "on a machine: wait until the cloud takes it away",
		.usage = "fleet preempted PROVIDER",
		.description = "Waits until PROVIDER's cloud (gcloud, aws) announces that it takes this machine away, and says how much time is left. `start'\n"
			       "does that by itself; this is for workers that were started otherwise.\n",
		.exit_status = "0 it was announced, 1 this is no such machine, or nobody announces it, 2 usage",
		.examples = "  claimctl fleet preempted gcloud && sync\n"
			    "  claim-worker --drain-cmd 'claimctl fleet preempted aws' disk/run1 -- ./extract {in} {out}\n",
		.options = no_table, .set = fleet_set_option, .run = fleet_preempted,
	},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_verbs(FILE *out)
{
	size_t i;

	fprintf(out, "Usage: claimctl fleet VERB [OPTIONS] [ARGUMENTS]\n\nVerbs:\n");
	for (i = 0; i < VERBS; i++)
		fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
	fprintf(out, "\n`claimctl fleet VERB --help' says more; see claimctl-fleet(1).\n\nExamples:\n"
		"  claimctl fleet up -n 3 --type e2-highcpu-8 --zone europe-west1-b --spot\n"
		"  claimctl fleet push --install claimfs_0.1.0_amd64.deb\n"
		"  claimctl fleet mount ann@storage:/data disk\n"
		"  claimctl fleet start disk/run1 -- ./extract {in} {out}\n"
		"  claimctl fleet watch && claimctl fleet down\n"
		"\nExit status: " COMMAND_EXIT_STATUS "; that of `run' is the worst of all machines.\n");
}

static const struct command *find_verb(const char *name)
{
	const char *names[VERBS + 1], *nearest;
	size_t i;

	for (i = 0; i < VERBS; i++) {
		names[i] = verbs[i].name;
		if (strcmp(names[i], name) == 0)
			return &verbs[i];
	}
	names[i] = NULL;
	nearest = args_nearest(name, names);
	log_error("fleet: there is no verb '%s'%s%s%s (claimctl fleet --help)", name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
		  nearest ? "'?" : "");
	return NULL;
}

/* Behind QUEUE, claim-worker's own options follow. How many arguments are ours. */
static int own_arguments(const struct command *verb, int argc, char **argv)
{
	struct fleet_options ignored = { 0 };
	struct buf why = BUF_INIT;
	int i, first, own = argc;

	if (verb->run == fleet_start && args_parse(argc, argv, verb->options, verb->set, &ignored, &first, &why) == 0 && first < argc) {
		for (i = first + 1; i < argc; i++)
			words_add(&fleet_options.worker, argv[i]);
		own = first + 1;
	}
	words_release(&ignored.only);
	buf_release(&why);
	return own;
}

static int fleet_main(int argc, char **argv)
{
	const struct command *verb;
	struct command own;
	int head;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_verbs(argc < 2 ? stderr : stdout);
		return argc < 2 ? COMMAND_USAGE : 0;
	}
	verb = find_verb(argv[1]);
	if (!verb)
		return COMMAND_USAGE;
	for (head = 2; head < argc && strcmp(argv[head], "--") != 0; head++)
		;
	if (head < argc) {
		fleet_options.has_rest = true;
		words_add_all(&fleet_options.rest, argv + head + 1);
	}
	head = 1 + own_arguments(verb, head - 1, argv + 1);
	if (words_error(&fleet_options.rest) || words_error(&fleet_options.worker))
		return COMMAND_FAILED;
	own = *verb;
	own.target = &fleet_options;
	return command_main(&own, head - 1, argv + 1);
}

const struct command cmd_fleet = {
	.name = "fleet",
	.summary = "machines that work on a queue: make, use, watch, delete them",
	.usage = "fleet VERB [OPTIONS] [ARGUMENTS]",
	.description = "Verbs: up ls run push mount start stop logs watch down preempted. `claimctl fleet --help' lists them.\n",
	.examples = "  claimctl fleet up -n 3 --type e2-highcpu-8 --zone europe-west1-b --spot\n",
	.main = fleet_main,
};
