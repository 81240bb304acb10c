/*
 * fleet_up: claimctl fleet up and down.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/fleet.h"

#define DEFAULT_PREFIX "claim"
#define DEFAULT_PROVIDER "gcloud"

const char *const fleet_setting_names[SETTINGS] = {
	[SETTING_TYPE] = "TYPE", [SETTING_IMAGE] = "IMAGE", [SETTING_ZONE] = "ZONE",	[SETTING_SPOT] = "SPOT",
	[SETTING_USER] = "USER", [SETTING_HOSTS] = "HOSTS", [SETTING_HOSTS_FILE] = "HOSTS_FILE",
};

/* ---- up ---- */

static int set_provider(struct fleet *fleet, const struct fleet_options *options)
{
	bool hosts = options->settings[SETTING_HOSTS] || options->settings[SETTING_HOSTS_FILE];
	const char *name = options->provider ? options->provider : hosts ? "hosts" : fleet->provider ? fleet->provider : DEFAULT_PROVIDER;
	struct buf path = BUF_INIT;
	char *provider;
	int error = provider_find(name, &path);

	provider = error ? NULL : strdup(strchr(name, '/') ? buf_text(&path) : name);
	buf_release(&path);
	if (error)
		return error;
	if (!provider)
		return -ENOMEM;
	if (fleet->provider && fleet->count > 0 && strcmp(fleet->provider, provider) != 0) {
		log_error("up: the machines of '%s' are of the provider %s; another --prefix makes another fleet", fleet->prefix, fleet->provider);
		free(provider);
		return -EINVAL;
	}
	free(fleet->provider);
	fleet->provider = provider;
	return 0;
}

/* A file's path as it is seen from elsewhere. */
static int set_path(struct fleet *fleet, const char *name, const char *value)
{
	char *path = realpath(value, NULL);
	int error;

	if (!path) {
		error = -errno;
		log_error("up: can't read %s: %s", value, log_strerror(error));
		return error;
	}
	error = fleet_set(fleet, name, path);
	free(path);
	return error;
}

static int take_options(struct fleet *fleet, const struct fleet_options *options)
{
	size_t i;
	int error = set_provider(fleet, options);

	for (i = 0; !error && i < SETTINGS; i++) {
		if (!options->settings[i])
			continue;
		if (i == SETTING_HOSTS_FILE)
			error = set_path(fleet, fleet_setting_names[i], options->settings[i]);
		else
			error = fleet_set(fleet, fleet_setting_names[i], options->settings[i]);
		/* The two say the same: the later one is meant. */
		if (!error && (i == SETTING_HOSTS || i == SETTING_HOSTS_FILE))
			error = fleet_set(fleet, fleet_setting_names[i == SETTING_HOSTS ? SETTING_HOSTS_FILE : SETTING_HOSTS], "");
	}
	if (!error && options->has_rest) {
		words_release(&fleet->extra);
		words_add_all(&fleet->extra, options->rest.word);
		error = words_error(&fleet->extra);
	}
	return error;
}

/* -n, or as many as there are, or as there are for the taking. 0 after saying that it is missing. */
static size_t how_many(const struct fleet *fleet, const struct fleet_options *options, const struct provider_list *list)
{
	size_t i, count = 0;

	if (options->count > 0)
		return (size_t)options->count;
	if (fleet->count > 0)
		return fleet->count;
	for (i = 0; i < list->count; i++)
		count += provider_entry_is(&list->entries[i], "free");
	if (count == 0)
		log_error("up: how many machines? -n N");
	return count;
}

static int make_machines(struct fleet *fleet, const struct fleet_options *options)
{
	struct provider_list list;
	size_t want;
	int missing = 1;

	if (provider_list(fleet, &list) < 0)
		return COMMAND_FAILED;
	want = how_many(fleet, options, &list);
	if (want > 0 && want < fleet->count)
		log_info("up: there are %zu machines already; claimctl fleet down --only NAME takes some down", fleet->count);
	if (want > 0) {
		missing = fleet_make(fleet, &list, want, options->timeout_ns ? options->timeout_ns : FLEET_MAKE_LIMIT_NS, options->json);
		if (options->json)
			missing = fleet_json_made(fleet, missing ? COMMAND_FAILED : 0);
		else
			printf("%zu of %zu machines are up\n", fleet->count - (size_t)missing, fleet->count);
	}
	provider_list_release(&list);
	return missing ? COMMAND_FAILED : 0;
}

static int load_or_new(const char *prefix, struct fleet *ret)
{
	struct buf why = BUF_INIT;
	int error = fleet_load(prefix, ret, &why);

	if (error == -ENOENT)
		error = fleet_init(ret, prefix);
	else if (error)
		log_error("up: %s", buf_text(&why));
	buf_release(&why);
	return error;
}

int fleet_up(char **operands, void *target)
{
	const struct fleet_options *options = target;
	struct buf prefix = BUF_INIT;
	struct fleet fleet;
	int lock = -1, status = COMMAND_FAILED;

	if (operands[0]) {
		log_error("up: what is '%s'? Arguments for the provider go behind --", operands[0]);
		return COMMAND_USAGE;
	}
	if (fleet_which(options, "up", DEFAULT_PREFIX, &prefix) < 0)
		goto out;
	lock = fleet_lock(buf_text(&prefix));
	if (lock < 0) {
		log_error("up: can't lock the fleet's state: %s", log_strerror(lock));
		goto out;
	}
	if (load_or_new(buf_text(&prefix), &fleet) < 0)
		goto out;
	if (take_options(&fleet, options) == 0) {
		fleet_export(&fleet);
		status = make_machines(&fleet, options);
	}
	fleet_release(&fleet);
out:
	if (lock >= 0)
		io_close(&lock);
	buf_release(&prefix);
	return status;
}

/* ---- down ---- */

static bool confirmed(const struct fleet *fleet, const struct fleet_options *options, size_t count)
{
	char answer[16];
	size_t i;

	if (options->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		log_error("down: --yes is needed where nobody can be asked");
		return false;
	}
	fprintf(stderr, "These %zu machines will be deleted:", count);
	for (i = 0; i < fleet->count; i++)
		if (fleet_meant(options, fleet->machines[i].name))
			fprintf(stderr, " %s", fleet->machines[i].name);
	fprintf(stderr, "\nDelete them? [y/N] ");
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool after_down(struct run *run, struct run_task *task)
{
	if (task->status == 0)
		printf("%-*s  down\n", run->name_width, task->name);
	fflush(stdout);
	return false;
}

static int fill_down(const struct fleet *fleet, const struct fleet_options *options, struct run *run)
{
	size_t i, n = 0;
	int error = 0;

	for (i = 0; !error && i < fleet->count; i++) {
		const char *name = fleet->machines[i].name;

		if (!fleet_meant(options, name))
			continue;
		run->tasks[n].name = name;
		if ((int)strlen(name) > run->name_width)
			run->name_width = (int)strlen(name);
		error = provider_words(fleet, "down", &run->tasks[n].argv);
		words_add(&run->tasks[n].argv, name);
		if (!error)
			error = words_error(&run->tasks[n].argv);
		n++;
	}
	return error;
}

static int forget_down(struct fleet *fleet, const struct run *run)
{
	struct words gone = WORDS_INIT;
	size_t i;
	int error;

	/* Names of tasks are the machines' own, which go. */
	for (i = 0; i < run->count; i++)
		if (run->tasks[i].status == 0)
			words_add(&gone, run->tasks[i].name);
	for (i = 0; i < gone.count; i++)
		fleet_forget(fleet, gone.word[i]);
	error = words_error(&gone) ? words_error(&gone) : fleet_save(fleet);
	words_release(&gone);
	return error;
}

static int take_down(struct fleet *fleet, const struct fleet_options *options, size_t count)
{
	struct run run;
	int status = COMMAND_FAILED;

	if (run_init(&run, count) < 0)
		return status;
	run.limit_ns = PROVIDER_LIMIT_NS;
	run.done = options->json ? NULL : after_down;
	if (fill_down(fleet, options, &run) == 0 && run_all(&run) == 0) {
		status = fleet_call_report(&run, options, "down") ? COMMAND_FAILED : 0;
		if (forget_down(fleet, &run) < 0)
			status = COMMAND_FAILED;
	}
	run_release(&run);
	return status;
}

int fleet_down(char **operands, void *target)
{
	const struct fleet_options *options = target;
	struct fleet fleet;
	size_t i, count = 0;
	int lock, status = COMMAND_FAILED;

	if (operands[0]) {
		log_error("down: what is '%s'? --only NAME takes down a part of a fleet", operands[0]);
		return COMMAND_USAGE;
	}
	if (fleet_open_locked(options, "down", &fleet, &lock) < 0)
		return COMMAND_FAILED;
	for (i = 0; i < fleet.count; i++)
		count += fleet_meant(options, fleet.machines[i].name);
	if (count == 0)
		log_error("down: no machine has such a name");
	else if (confirmed(&fleet, options, count))
		status = take_down(&fleet, options, count);
	fleet_release(&fleet);
	io_close(&lock);
	return status;
}
