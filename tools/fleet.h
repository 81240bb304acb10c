/*
 * fleet: what the verbs of `claimctl fleet' share. See claimctl-fleet(1).
 *
 * A verb is one function with the command's usual face (tools/command.h). Machines are reached in one way only: fleet_call_*, which runs
 * the agent (tools/fleet-agent, sent along with each call) over plain ssh with the arguments the provider gave.
 */
#ifndef CLAIMFS_TOOLS_FLEET_H
#define CLAIMFS_TOOLS_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tools/fleet_run.h"
#include "tools/fleet_state.h"
#include "tools/fleet_words.h"

/* What the command line says. Settings stand in the state file by their names, and in the provider's environment as CLAIM_FLEET_NAME. */
enum fleet_setting_id { SETTING_TYPE, SETTING_IMAGE, SETTING_ZONE, SETTING_SPOT, SETTING_USER, SETTING_HOSTS, SETTING_HOSTS_FILE, SETTINGS };

struct fleet_options {
	const char *prefix;
	const char *provider;
	const char *settings[SETTINGS];	/* NULL: not given */
	struct words only;
	struct words rest;		/* what stood behind "--" */
	bool has_rest;
	struct words worker;		/* start: claim-worker's options */
	struct words mount_options;
	const char *to;
	int64_t count;			/* -n; 0: not given */
	int64_t timeout_ns;		/* 0: not given */
	int64_t interval_ns;		/* 0: not given */
	int64_t lines;
	bool install;
	bool setup;			/* run: on machines that come later too */
	bool follow;
	bool json;
	bool yes;
};

/* ---- which fleet, which machines ---- */

/*
 * The fleet that was asked for: --prefix, $CLAIM_FLEET, or the only one there is. Loads it and gives its settings to the environment, for
 * the provider. 0, or -errno after saying why.
 */
int fleet_open(const struct fleet_options *options, const char *verb, struct fleet *ret);

/* The same, for changing it: *ret_lock is to be closed after the last fleet_save(). */
int fleet_open_locked(const struct fleet_options *options, const char *verb, struct fleet *ret, int *ret_lock);

/* The name --prefix and its stand-ins say, or `otherwise` where there is no fleet. 0 or -errno after saying why. */
int fleet_which(const struct fleet_options *options, const char *verb, const char *otherwise, struct buf *ret_prefix);
void fleet_export(const struct fleet *fleet);

/* Is this machine meant (--only)? */
bool fleet_meant(const struct fleet_options *options, const char *name);

/* ---- providers ---- */

#define PROVIDER_LIMIT_NS (600 * NS_PER_S)
#define FLEET_MAKE_LIMIT_NS (300 * NS_PER_S)
#define FLEET_CALL_LIMIT_NS (120 * NS_PER_S)

/* What `list' said of one machine. */
struct provider_entry {
	char *name;
	char *state;		/* starting, running, stopping, stopped, free */
	char *address;
};

struct provider_list {
	struct provider_entry *entries;
	size_t count;
};

/* The executable of a provider, by name or path. 0, or -ENOENT after saying where it was looked for. */
int provider_find(const char *name, struct buf *ret_path);
int provider_list(const struct fleet *fleet, struct provider_list *ret_list);	/* 0 or -EIO after saying why */
int provider_parse_list(const char *text, struct provider_list *ret_list);	/* 0, -EINVAL, -ENOMEM */
void provider_list_release(struct provider_list *list);
const struct provider_entry *provider_entry(const struct provider_list *list, const char *name);
bool provider_entry_exists(const struct provider_entry *entry);	/* and is not on its way out */
bool provider_entry_is(const struct provider_entry *entry, const char *state);

/* Words to run a verb with, into a task's argv. */
int provider_words(const struct fleet *fleet, const char *verb, struct words *ret_argv);

/* A file beside claimctl: libexec/claimctl/NAME, of the installation or of the build. 0 or -ENOENT. */
int fleet_helper(const char *name, struct buf *ret_path);

/* ---- calls ---- */

/* ssh's command line for words of the agent on that machine. 0 or -errno after saying why. */
int fleet_call_words(const struct words *ssh, const char *agent, char *const *words, struct words *ret_argv);
int fleet_agent_text(struct buf *ret_text);	/* 0 or -errno after saying why */

/*
 * Readies a call of the agent on all machines that are meant and up. Then set what else is wanted (show, input_fd, limit), run_all(),
 * fleet_call_report(), run_release(). 0, or -errno after saying why (no machine at all: -ENOENT).
 */
int fleet_call(const struct fleet *fleet, const struct fleet_options *options, char *const *words, struct run *ret_run);

/* The same in one go, and fleet_call_report(). The worst exit status. */
int fleet_call_shown(const struct fleet *fleet, const struct fleet_options *options, char *const *words, const char *what);

/*
 * How it went: a table of who failed at `what`, on standard error, or with --json all machines, on standard output. The worst exit status.
 */
int fleet_call_report(const struct run *run, const struct fleet_options *options, const char *what);

/* ---- --json ---- */

/* Each machine's status, standard output and standard error. The worst status, or COMMAND_FAILED where it can't be printed. */
int fleet_json_run(const struct run *run);
/* The same of machines that were to be made: why one was not stands as its standard error. `status`, or COMMAND_FAILED. */
int fleet_json_made(const struct fleet *fleet, int status);

/* ---- verbs and their parts ---- */

/*
 * Makes what is missing of `want` machines (0: as many as there are, made anew where gone) and waits for ssh; unless `quiet` it says how it
 * goes. Machines that failed have a `why`. How many are not up.
 */
int fleet_make(struct fleet *fleet, const struct provider_list *list, size_t want, int64_t limit_ns, bool quiet);

/* Pushes, runs, mounts and starts again what the state says, on machines that are meant. The worst exit status. */
int fleet_restore(const struct fleet *fleet, const struct fleet_options *options);

extern const char *const fleet_setting_names[SETTINGS];

int fleet_up(char **operands, void *target);
int fleet_ls(char **operands, void *target);
int fleet_exec(char **operands, void *target);
int fleet_push(char **operands, void *target);
int fleet_mount(char **operands, void *target);
int fleet_start(char **operands, void *target);
int fleet_stop(char **operands, void *target);
int fleet_logs(char **operands, void *target);
int fleet_watch(char **operands, void *target);
int fleet_down(char **operands, void *target);
int fleet_preempted(char **operands, void *target);

#endif
