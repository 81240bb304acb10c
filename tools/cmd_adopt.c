/*
 * claimctl adopt: marks units done whose outputs exist already, for people who come with a half-finished run of their own scripts.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/command.h"
#include "tools/json_text.h"
#include "tools/names.h"
#include "tools/site.h"

enum { KEY_NEWER = 256, KEY_EMPTY, KEY_DRY_RUN, KEY_JSON };

struct adopt {
	bool newer;
	bool empty;
	bool dry_run;
	bool list;
	bool json;
	/* of the run */
	const struct site *site;
	atomic_size_t adopted, missing, empty_ones, older;
};

static struct adopt adopt_options;

static const struct args_option table[] = {
	{ KEY_NEWER, "newer", NULL, "only outputs that are not older than their inputs" },
	{ KEY_EMPTY, "empty", NULL, "take empty files and directories for outputs too" },
	{ KEY_DRY_RUN, "dry-run", NULL, "say what would be done, do nothing" },
	{ KEY_JSON, "json", NULL, "for programs: an object a line, the counts in the last" },
	{ 'v', "verbose", NULL, "a line a unit" },
	{ 0, NULL, NULL, NULL },
};

static int adopt_set(void *target, int key, const char *value, struct buf *why)
{
	struct adopt *adopt = target;

	(void)value;
	(void)why;
	adopt->newer |= key == KEY_NEWER;
	adopt->empty |= key == KEY_EMPTY;
	adopt->dry_run |= key == KEY_DRY_RUN;
	adopt->json |= key == KEY_JSON;
	adopt->list |= key == 'v';
	return 0;
}

static bool is_empty(const char *path, const struct stat *st)
{
	struct dirent *entry;
	bool empty = true;
	DIR *dir;

	if (!S_ISDIR(st->st_mode))
		return st->st_size == 0;
	dir = opendir(path);
	while (dir && empty && (entry = readdir(dir)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (dir)
		closedir(dir);
	return empty;
}

static bool is_older(const struct adopt *adopt, const char *name, const struct stat *output)
{
	struct buf path = BUF_INIT;
	struct stat input;
	bool older;

	buf_addf(&path, "%s/%s/%s", adopt->site->dir, adopt->site->conf.input, name);
	older = buf_error(&path) || stat(buf_text(&path), &input) < 0 || output->st_mtim.tv_sec < input.st_mtim.tv_sec;
	buf_release(&path);
	return older;
}

/* Is there an output that counts? */
static bool has_output(struct adopt *adopt, const char *name, int *ret_error)
{
	struct buf path = BUF_INIT;
	struct stat st;
	bool has = false;
	int error;

	*ret_error = 0;
	buf_addf(&path, "%s/", adopt->site->dir);
	error = qconf_output(&adopt->site->conf, name, &path);
	if (!error && lstat(buf_text(&path), &st) < 0)
		error = -errno;
	if (error == -ENOENT || error == -ENOTDIR) {
		atomic_fetch_add(&adopt->missing, 1);
	} else if (error) {
		*ret_error = error;
	} else if (!adopt->empty && is_empty(buf_text(&path), &st)) {
		atomic_fetch_add(&adopt->empty_ones, 1);
	} else if (adopt->newer && is_older(adopt, name, &st)) {
		atomic_fetch_add(&adopt->older, 1);
	} else {
		has = true;
	}
	buf_release(&path);
	return has;
}

static int mark_done(const struct adopt *adopt, const char *name)
{
	struct buf path = BUF_INIT;
	int fd, error;

	buf_addf(&path, "%s/done/%s", adopt->site->dir, name);
	error = buf_error(&path);
	if (!error) {
		fd = open(buf_text(&path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		error = fd < 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
	}
	buf_release(&path);
	return error;
}

static void tell_unit(const struct adopt *adopt, const char *name)
{
	const char *outcome = adopt->dry_run ? "would adopt" : "adopted";
	cJSON *object;

	if (!adopt->json) {
		log_info("%s %s", outcome, name);
		return;
	}
	object = cJSON_CreateObject();
	json_text_add(object, "unit", name);
	cJSON_AddStringToObject(object, "outcome", outcome);
	(void)json_text_print(object, true);
}

static int adopt_one(void *arg, const char *name)
{
	struct adopt *adopt = arg;
	int error;

	if (!has_output(adopt, name, &error)) {
		if (error)
			log_error("adopt: can't look at the output of %s: %s", name, log_strerror(error));
		return error;
	}
	error = adopt->dry_run ? 0 : mark_done(adopt, name);
	if (error == -EEXIST || error == -EBUSY)
		return 0;	/* done or taken by somebody since it was listed */
	if (error) {
		log_error("adopt: can't mark %s as done: %s", name, log_strerror(error));
		return error;
	}
	atomic_fetch_add(&adopt->adopted, 1);
	if (adopt->list)
		tell_unit(adopt, name);
	return 0;
}

static void print_counts(const struct adopt *adopt, size_t bad)
{
	printf("%zu unit%s %s, %zu without output", adopt->adopted, adopt->adopted == 1 ? "" : "s",
	       adopt->dry_run ? "would be marked done" : "marked done", adopt->missing);
	if (adopt->empty_ones)
		printf(", %zu with an empty one (--empty takes these)", adopt->empty_ones);
	if (adopt->older)
		printf(", %zu with one older than the input", adopt->older);
	if (bad)
		printf(", %zu could not be done", bad);
	printf("\n");
}

static void print_json(const struct adopt *adopt, size_t bad)
{
	cJSON *object = cJSON_CreateObject();

	json_text_add(object, "queue", adopt->site->dir);
	cJSON_AddBoolToObject(object, "dry_run", adopt->dry_run);
	cJSON_AddNumberToObject(object, "adopted", (double)adopt->adopted);
	cJSON_AddNumberToObject(object, "without_output", (double)adopt->missing);
	cJSON_AddNumberToObject(object, "empty", (double)adopt->empty_ones);
	cJSON_AddNumberToObject(object, "older", (double)adopt->older);
	cJSON_AddNumberToObject(object, "not_done", (double)bad);
	(void)json_text_print(object, true);
}

static int adopt_run(char **operands, void *target)
{
	struct adopt *adopt = target;
	struct names names = NAMES_INIT;
	struct buf path = BUF_INIT;
	struct site site;
	size_t bad = 0;
	int error;

	if (operands[1]) {
		log_error("adopt: one queue at a time, not '%s' as well", operands[1]);
		return COMMAND_USAGE;
	}
	if (site_open("adopt", operands[0], &site) < 0)
		return COMMAND_FAILED;
	adopt->site = &site;
	buf_addf(&path, "%s/todo", operands[0]);
	error = buf_error(&path);
	if (!error)
		error = names_walk(&names, buf_text(&path), false, 0);
	if (error) {
		log_error("adopt: can't list %s: %s", buf_text(&path), log_strerror(error));
	} else {
		bad = names_each(&names, adopt_one, adopt);
		if (adopt->json)
			print_json(adopt, bad);
		else
			print_counts(adopt, bad);
	}
	names_release(&names);
	buf_release(&path);
	site_release(&site);
	return error || bad ? COMMAND_FAILED : 0;
}

const struct command cmd_adopt = {
	.name = "adopt",
	.summary = "mark units done whose outputs exist already",
	.usage = "adopt [OPTIONS] QUEUE",
	.description = "For every unit in todo/ whose output is there already, and not empty, makes its done marker, as `: > done/UNIT' does: the\n"
		       "outputs of an earlier run, or of scripts that knew nothing of this queue, need not be made again.\n",
	.examples = "  claimctl adopt --dry-run -v /mnt/disk/queue\n"
		    "  claimctl adopt --newer /mnt/disk/queue\n"
		    "  claimctl adopt --json /mnt/disk/queue | jq .adopted\n",
	.options = table,
	.set = adopt_set,
	.run = adopt_run,
	.target = &adopt_options,
};
