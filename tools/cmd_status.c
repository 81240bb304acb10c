/*
 * claimctl status: prints what `progress` shows.
 */
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/site.h"

#define STATUS_MAX_BYTES (64u << 20)

enum { KEY_JSON = 256 };

struct status {
	bool json;
};

static struct status status_options;

static const struct args_option table[] = {
	{ KEY_JSON, "json", NULL, "for programs: what progress.json holds" },
	{ 0, NULL, NULL, NULL },
};

static int status_set(void *target, int key, const char *value, struct buf *why)
{
	struct status *options = target;

	(void)value;
	(void)why;
	options->json = key == KEY_JSON;
	return 0;
}

static int print_progress(const char *queue, bool json)
{
	struct buf path = BUF_INIT, text = BUF_INIT;
	int error;

	buf_addf(&path, "%s/%s", queue, json ? "progress.json" : "progress");
	error = buf_error(&path);
	if (!error)
		error = io_read_file(buf_text(&path), STATUS_MAX_BYTES, &text);
	if (!error && text.len > 0)
		error = io_write_all(STDOUT_FILENO, text.data, text.len);
	if (error)
		log_error("status: can't show %s: %s", buf_text(&path), log_strerror(error));
	buf_release(&path);
	buf_release(&text);
	return error;
}

static int status_run(char **operands, void *target)
{
	const struct status *options = target;
	struct site site;
	int error = 0;

	for (; !error && *operands; operands++) {
		error = site_open("status", *operands, &site);
		if (error)
			break;
		error = print_progress(*operands, options->json);
		site_release(&site);
	}
	return error ? COMMAND_FAILED : 0;
}

const struct command cmd_status = {
	.name = "status",
	.summary = "how far a queue is, and who works on it",
	.usage = "status [--json] QUEUE...",
	.description = "Prints what `cat QUEUE/progress' shows.\n",
	.examples = "  claimctl status /mnt/disk/queue\n"
		    "  watch claimctl status /mnt/disk/queue\n"
		    "  claimctl status --json /mnt/disk/queue | jq .units.done\n",
	.options = table,
	.set = status_set,
	.run = status_run,
	.target = &status_options,
};
