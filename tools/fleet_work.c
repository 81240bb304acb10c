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

int fleet_exec(char **operands, void *target)
{
	const struct fleet_options *options = target;
	struct words words = WORDS_INIT;
	struct fleet fleet;
	char limit[32];
	int status = COMMAND_FAILED;

	if (operands[0] || options->rest.count == 0) {
		log_error("run: run WHAT? claimctl fleet run [OPTIONS] -- COMMAND [ARGUMENTS]");
		return COMMAND_USAGE;
	}
	if (fleet_open(options, "run", &fleet) < 0)
		return status;
	snprintf(limit, sizeof(limit), "%.9g", (double)options->timeout_ns / NS_PER_S);
	words_add(&words, "run");
	words_add(&words, limit);
	words_add_all(&words, options->rest.word);
	if (words_error(&words) == 0)
		status = fleet_call_shown(&fleet, options, words.word, "run");
	words_release(&words);
	fleet_release(&fleet);
	return status;
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

/* A record of the state: see struct fleet. */
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

int fleet_restore(const struct fleet *fleet, const struct fleet_options *options)
{
	size_t i;
	int status = 0;

	for (i = 0; !status && i < fleet->push_count; i++)
		status = push_record(fleet, options, &fleet->pushes[i]);
	for (i = 0; !status && i < fleet->mount_count; i++)
		status = mount_record(fleet, options, &fleet->mounts[i]);
	for (i = 0; !status && i < fleet->work_count; i++)
		status = start_record(fleet, options, &fleet->works[i]);
	return status;
}

/*
 * What push, mount and start have in common: a record, kept so that `watch' does the same on machines that come later. What failed is not kept,
 * unless it was for want of a connection: such a machine may be about to be made anew.
 */
struct keeping {
	const char *verb;
	int (*make)(char **operands, const struct fleet_options *options, struct words *ret_record);
	int (*carry_out)(const struct fleet *fleet, const struct fleet_options *options, const struct words *record);
	size_t key;
};

static struct words **records_of(struct fleet *fleet, const struct keeping *keeping, size_t **ret_count)
{
	if (keeping->carry_out == push_record) {
		*ret_count = &fleet->push_count;
		return &fleet->pushes;
	}
	if (keeping->carry_out == mount_record) {
		*ret_count = &fleet->mount_count;
		return &fleet->mounts;
	}
	*ret_count = &fleet->work_count;
	return &fleet->works;
}

static int keep_and_do(const struct keeping *keeping, char **operands, const struct fleet_options *options)
{
	struct words record = WORDS_INIT, kept = WORDS_INIT, **records;
	struct fleet fleet;
	size_t *count;
	int lock, status = COMMAND_FAILED;

	if (keeping->make(operands, options, &record) < 0) {
		words_release(&record);
		return status;
	}
	if (fleet_open_locked(options, keeping->verb, &fleet, &lock) < 0) {
		words_release(&record);
		return status;
	}
	words_add_all(&kept, record.word);
	records = records_of(&fleet, keeping, &count);
	if (words_error(&kept) == 0) {
		status = keeping->carry_out(&fleet, options, &record);
		if ((status == 0 || status == RUN_SSH_FAILED) &&
		    (fleet_put_record(records, count, keeping->key, &kept) < 0 || fleet_save(&fleet) < 0))
			status = COMMAND_FAILED;
	}
	words_release(&kept);
	words_release(&record);
	fleet_release(&fleet);
	io_close(&lock);
	return status;
}

int fleet_push(char **operands, void *target)
{
	static const struct keeping keeping = { "push", make_push_record, push_record, 0 };

	return keep_and_do(&keeping, operands, target);
}

int fleet_mount(char **operands, void *target)
{
	static const struct keeping keeping = { "mount", make_mount_record, mount_record, 1 };

	if (!operands[1] || operands[2]) {
		log_error("mount: claimctl fleet mount HOST:DIR MOUNTPOINT [-o OPTION]");
		return COMMAND_USAGE;
	}
	return keep_and_do(&keeping, operands, target);
}

int fleet_start(char **operands, void *target)
{
	static const struct keeping keeping = { "start", make_work_record, start_record, 0 };
	const struct fleet_options *options = target;

	if (options->rest.count == 0) {
		log_error("start: start WHAT? claimctl fleet start QUEUE [OPTIONS of claim-worker] -- COMMAND [ARGUMENTS]");
		return COMMAND_USAGE;
	}
	return keep_and_do(&keeping, operands, target);
}

/* ---- stop, logs ---- */

/* Only where all machines stop it is forgotten: else `watch' would start again what was to stay. */
static int forget_work(struct fleet *fleet, const char *queue)
{
	size_t i = 0;

	while (i < fleet->work_count) {
		if (!queue || strcmp(fleet->works[i].word[0], queue) == 0)
			fleet_drop_record(fleet->works, &fleet->work_count, i);
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
