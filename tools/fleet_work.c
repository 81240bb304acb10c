/*
 * fleet_work: claimctl fleet run, push, mount, start, stop and logs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/fleet.h"

#define PROVIDER_MAX_BYTES (64u << 10)
#define INCOMING ".cache/claim-fleet"	/* where what is to be installed is put */

/* ---- run ---- */

/* Of records: see enum fleet_kind. */
static int run_record(const struct fleet *fleet, const struct fleet_options *options, const struct words *record)
{
	struct words words = WORDS_INIT;
	int status = COMMAND_FAILED;

	words_add(&words, "run");
	words_add_all(&words, record->word + 1);
	if (words_error(&words) == 0)
		status = fleet_call_shown(fleet, options, words.word, "run");
	words_release(&words);
	return status;
}

static int make_run_record(char **operands, const struct fleet_options *options, struct words *ret_record)
{
	struct buf identity = BUF_INIT;
	char limit[32];

	(void)operands;
	quote_words(&identity, options->rest.word);
	snprintf(limit, sizeof(limit), "%.9g", (double)options->timeout_ns / NS_PER_S);
	words_add(ret_record, buf_text(&identity));
	words_add(ret_record, limit);
	words_add_all(ret_record, options->rest.word);
	buf_release(&identity);
	return words_error(ret_record);
}

/* ---- push ---- */

/* A tar of files and directories (absolute paths), each under its base name, in a file without a name. A descriptor, or -1 after saying why. */
static int make_tar(char *const *paths)
{
	struct words argv = WORDS_INIT;
	struct buf name = BUF_INIT, err = BUF_INIT;
	char path[] = "/tmp/claimctl-push.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC), status;

	if (fd < 0) {
		log_error("push: can't make a file in /tmp: %s", log_strerror(errno));
		return -1;
	}
	words_add_all(&argv, (char *const[]){ "tar", "-cf", path, NULL });
	for (; *paths; paths++) {
		const char *base = strrchr(*paths, '/') + 1;

		words_add(&argv, "-C");
		words_add_len(&argv, *paths, (size_t)(base - *paths));
		buf_reset(&name);
		buf_addf(&name, "./%s", base);
		words_add(&argv, buf_text(&name));
	}
	status = words_error(&argv) || buf_error(&name) ? RUN_NOT_STARTED : run_one(argv.word, 0, NULL, &err);
	unlink(path);
	if (status != 0) {
		log_error("push: can't pack the files: %s", buf_text(&err));
		io_close(&fd);
	}
	words_release(&argv);
	buf_release(&name);
	buf_release(&err);
	return fd;
}

/* With `goes_on' another call follows where all is well, and reports. */
static int send_tar(const struct fleet *fleet, const struct fleet_options *options, const char *to, int fd, bool goes_on)
{
	char *const words[] = { "put", (char *)to, NULL };
	struct run run;
	size_t i;
	int status = COMMAND_FAILED;

	if (fleet_call(fleet, options, words, &run) < 0)
		return status;
	for (i = 0; i < run.count; i++)
		run.tasks[i].input_fd = fd;
	if (run_all(&run) == 0)
		status = goes_on && run_worst(&run) == 0 ? 0 : fleet_call_report(&run, options, "push");
	run_release(&run);
	return status;
}

static int install(const struct fleet *fleet, const struct fleet_options *options, const char *to, char *const *paths)
{
	struct words words = WORDS_INIT;
	int status = COMMAND_FAILED;

	words_add(&words, "install");
	words_add(&words, to);
	for (; *paths; paths++)
		words_add(&words, strrchr(*paths, '/') + 1);
	if (words_error(&words) == 0)
		status = fleet_call_shown(fleet, options, words.word, "push --install");
	words_release(&words);
	return status;
}

static int push_record(const struct fleet *fleet, const struct fleet_options *options, const struct words *record)
{
	bool installed = strcmp(record->word[2], "install") == 0;
	int status, fd = make_tar(record->word + 3);

	if (fd < 0)
		return COMMAND_FAILED;
	status = send_tar(fleet, options, record->word[1], fd, installed);
	io_close(&fd);
	if (status == 0 && installed)
		status = install(fleet, options, record->word[1], record->word + 3);
	return status;
}

static int make_push_record(char **operands, const struct fleet_options *options, struct words *ret_record)
{
	const char *to = options->to ? options->to : options->install ? INCOMING : ".";
	struct words paths = WORDS_INIT;
	struct buf identity = BUF_INIT;
	char *path;
	int error = 0;

	buf_adds(&identity, to);
	for (; !error && *operands; operands++) {
		path = realpath(*operands, NULL);
		if (!path || strcmp(path, "/") == 0) {
			error = path ? -EINVAL : -errno;
			log_error("push: can't read %s: %s", *operands, log_strerror(error));
		} else {
			words_add(&paths, path);
			buf_addf(&identity, " %s", path);
		}
		free(path);
	}
	words_add(ret_record, buf_text(&identity));
	words_add(ret_record, to);
	words_add(ret_record, options->install ? "install" : "");
	words_add_all(ret_record, paths.word);
	if (!error)
		error = words_error(&paths) ? words_error(&paths) : buf_error(&identity) ? buf_error(&identity) : words_error(ret_record);
	words_release(&paths);
	buf_release(&identity);
	return error;
}

/* ---- mount, start ---- */

static int mount_record(const struct fleet *fleet, const struct fleet_options *options, const struct words *record)
{
	struct words words = WORDS_INIT;
	int status = COMMAND_FAILED;

	words_add(&words, "mount");
	words_add_all(&words, record->word);
	if (words_error(&words) == 0)
		status = fleet_call_shown(fleet, options, words.word, "mount");
	words_release(&words);
	return status;
}

static int make_mount_record(char **operands, const struct fleet_options *options, struct words *ret_record)
{
	size_t i;

	words_add(ret_record, operands[0]);
	words_add(ret_record, operands[1]);
	for (i = 0; i < options->mount_options.count; i++) {
		words_add(ret_record, "-o");
		words_add(ret_record, options->mount_options.word[i]);
	}
	words_add_all(ret_record, options->rest.word);
	return words_error(ret_record);
}

static int read_provider(const struct fleet *fleet, struct buf *ret_text)
{
	struct buf path = BUF_INIT;
	int error = provider_find(fleet->provider, &path);

	if (!error) {
		error = io_read_file(buf_text(&path), PROVIDER_MAX_BYTES, ret_text);
		if (error)
			log_error("start: can't read %s: %s", buf_text(&path), log_strerror(error));
	}
	/* One that is no script can't go along: its machines get no notice. */
	if (!error && (ret_text->len < 2 || memcmp(ret_text->data, "#!", 2) != 0 || strlen(ret_text->data) != ret_text->len))
		buf_reset(ret_text);
	buf_release(&path);
	return error;
}

static int start_record(const struct fleet *fleet, const struct fleet_options *options, const struct words *record)
{
	struct buf command = BUF_INIT, provider = BUF_INIT;
	char *words[] = { "start", record->word[0], NULL, NULL, NULL };
	int status = COMMAND_FAILED;

	quote_words(&command, record->word + 1);
	if (read_provider(fleet, &provider) == 0 && buf_error(&command) == 0) {
		words[2] = (char *)buf_text(&command);
		words[3] = (char *)buf_text(&provider);
		status = fleet_call_shown(fleet, options, words, "start");
	}
	buf_release(&command);
	buf_release(&provider);
	return status;
}

static int make_work_record(char **operands, const struct fleet_options *options, struct words *ret_record)
{
	words_add(ret_record, operands[0]);
	words_add(ret_record, "claim-worker");
	words_add_all(ret_record, options->worker.word);
	words_add(ret_record, operands[0]);
	words_add(ret_record, "--");
	words_add_all(ret_record, options->rest.word);
	return words_error(ret_record);
}

/*
 * What push, mount, start and run --setup have in common: a record, kept so that `watch' does the same on machines that come later. What failed is not
 * kept, unless it was for want of a connection: such a machine may be about to be made anew.
 */
static const struct keeping {
	const char *verb;
	int (*make)(char **operands, const struct fleet_options *options, struct words *ret_record);
	int (*carry_out)(const struct fleet *fleet, const struct fleet_options *options, const struct words *record);
} keepings[FLEET_KINDS] = {
	[FLEET_PUSH] = { "push", make_push_record, push_record },
	[FLEET_RUN] = { "run", make_run_record, run_record },
	[FLEET_MOUNT] = { "mount", make_mount_record, mount_record },
	[FLEET_WORK] = { "start", make_work_record, start_record },
};

int fleet_restore(const struct fleet *fleet, const struct fleet_options *options)
{
	size_t kind, i;
	int status = 0;

	for (kind = 0; kind < FLEET_KINDS; kind++)
		for (i = 0; !status && i < fleet->records[kind].count; i++)
			status = keepings[kind].carry_out(fleet, options, &fleet->records[kind].list[i]);
	return status;
}

static int keep(struct fleet *fleet, enum fleet_kind kind, const struct words *record)
{
	struct words kept = WORDS_INIT;
	int error;

	words_add_all(&kept, record->word);
	error = words_error(&kept);
	if (!error)
		error = fleet_put_record(fleet, kind, &kept);
	if (!error)
		error = fleet_save(fleet);
	words_release(&kept);
	return error;
}

static int keep_and_do(enum fleet_kind kind, char **operands, const struct fleet_options *options)
{
	struct words record = WORDS_INIT;
	struct fleet fleet;
	int lock, status = COMMAND_FAILED;

	if (keepings[kind].make(operands, options, &record) == 0 && fleet_open_locked(options, keepings[kind].verb, &fleet, &lock) == 0) {
		status = keepings[kind].carry_out(&fleet, options, &record);
		if ((status == 0 || status == RUN_SSH_FAILED) && keep(&fleet, kind, &record) < 0)
			status = COMMAND_FAILED;
		fleet_release(&fleet);
		io_close(&lock);
	}
	words_release(&record);
	return status;
}

/* Done once, and not while others wait for the fleet's lock. */
static int run_once(const struct fleet_options *options)
{
	struct words record = WORDS_INIT;
	struct fleet fleet;
	int status = COMMAND_FAILED;

	if (make_run_record(NULL, options, &record) == 0 && fleet_open(options, "run", &fleet) == 0) {
		status = run_record(&fleet, options, &record);
		fleet_release(&fleet);
	}
	words_release(&record);
	return status;
}

int fleet_exec(char **operands, void *target)
{
	const struct fleet_options *options = target;

	if (operands[0] || options->rest.count == 0) {
		log_error("run: run WHAT? claimctl fleet run [OPTIONS] -- COMMAND [ARGUMENTS]");
		return COMMAND_USAGE;
	}
	return options->setup ? keep_and_do(FLEET_RUN, operands, options) : run_once(options);
}

int fleet_push(char **operands, void *target)
{
	return keep_and_do(FLEET_PUSH, operands, target);
}

int fleet_mount(char **operands, void *target)
{
	if (!operands[1] || operands[2]) {
		log_error("mount: claimctl fleet mount HOST:DIR MOUNTPOINT [-o OPTION]");
		return COMMAND_USAGE;
	}
	return keep_and_do(FLEET_MOUNT, operands, target);
}

int fleet_start(char **operands, void *target)
{
	const struct fleet_options *options = target;

	if (options->rest.count == 0) {
		log_error("start: start WHAT? claimctl fleet start QUEUE [OPTIONS of claim-worker] -- COMMAND [ARGUMENTS]");
		return COMMAND_USAGE;
	}
	return keep_and_do(FLEET_WORK, operands, target);
}

/* ---- stop, logs ---- */

/* Only where all machines stop it is forgotten: else `watch' would start again what was to stay. */
static int forget_work(struct fleet *fleet, const char *queue)
{
	const struct fleet_records *works = &fleet->records[FLEET_WORK];
	size_t i = 0;

	while (i < works->count) {
		if (!queue || strcmp(works->list[i].word[0], queue) == 0)
			fleet_drop_record(fleet, FLEET_WORK, i);
		else
			i++;
	}
	return fleet_save(fleet);
}

int fleet_stop(char **operands, void *target)
{
	const struct fleet_options *options = target;
	char *words[] = { "stop", operands[0], NULL };
	struct fleet fleet;
	int lock, status = COMMAND_FAILED;

	if (fleet_open_locked(options, "stop", &fleet, &lock) < 0)
		return status;
	if (options->only.count > 0 || forget_work(&fleet, operands[0]) == 0)
		status = fleet_call_shown(&fleet, options, words, "stop");
	fleet_release(&fleet);
	io_close(&lock);
	return status;
}

int fleet_logs(char **operands, void *target)
{
	const struct fleet_options *options = target;
	struct fleet fleet;
	char lines[32];
	char *words[] = { "logs", lines, options->follow ? "yes" : "no", operands[0], NULL };
	int status;

	if (options->json && options->follow) {
		log_error("logs: --json is printed when all have ended, and -f has no end");
		return COMMAND_USAGE;
	}
	snprintf(lines, sizeof(lines), "%lld", (long long)options->lines);
	if (fleet_open(options, "logs", &fleet) < 0)
		return COMMAND_FAILED;
	status = fleet_call_shown(&fleet, options, words, "logs");
	fleet_release(&fleet);
	return status;
}
