/*
 * change: removes tickets of the units named, or of all in a directory.
 */
#include "tools/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/command.h"
#include "tools/names.h"
#include "tools/site.h"

enum { KEY_ALL = 256 };

const struct args_option change_options[] = {
	{ KEY_ALL, "all", NULL, "every unit there, instead of names" },
	{ 0, NULL, NULL, NULL },
};

int change_set(void *target, int key, const char *value, struct buf *why)
{
	struct change *change = target;

	(void)value;
	(void)why;
	change->all = key == KEY_ALL;
	return 0;
}

struct change_task {
	const struct change *change;
	const char *queue;
};

static void complain(const struct change *change, const char *name, int error)
{
	const char *why = log_strerror(error);

	if (error == -ENOENT)
		why = change->missing;
	else if (error == -EBUSY)
		why = "it is being worked on";
	else if (error == -EACCES && strcmp(change->dir, "claims") == 0)
		why = "another mount holds it: release it there, or end that mount";
	log_error("%s: %s: %s", change->command, name, why);
}

static int change_one(void *arg, const char *name)
{
	const struct change_task *task = arg;
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s/%s/%s", task->queue, task->change->dir, name);
	error = buf_error(&path);
	if (!error && unlink(buf_text(&path)) < 0)
		error = -errno;
	buf_release(&path);
	if (error == -ENOENT && task->change->all)
		return 0;	/* it ended by itself since it was listed */
	if (error == -EACCES && task->change->all)
		return 0;	/* another mount's claim */
	if (error)
		complain(task->change, name, error);
	return error;
}

static int list_all(const struct change *change, const char *queue, struct names *names)
{
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s/%s", queue, change->dir);
	error = buf_error(&path);
	if (!error)
		error = names_walk(names, buf_text(&path), false, 0);
	if (error)
		log_error("%s: can't list %s: %s", change->command, buf_text(&path), log_strerror(error));
	buf_release(&path);
	return error;
}

static int list_named(const struct change *change, char **operands, struct names *names)
{
	int error = 0;

	for (; !error && *operands; operands++)
		error = names_add(names, *operands);
	if (error)
		log_error("%s: %s", change->command, log_strerror(error));
	return error;
}

int change_run(char **operands, void *target)
{
	const struct change *change = target;
	struct names names = NAMES_INIT;
	struct change_task task = { change, operands[0] };
	struct site site;
	size_t bad;
	int error;

	if (change->all ? !!operands[1] : !operands[1]) {
		log_error("%s: name the units, or say --all", change->command);
		return COMMAND_USAGE;
	}
	if (site_open(change->command, operands[0], &site) < 0)
		return COMMAND_FAILED;
	error = change->all ? list_all(change, operands[0], &names) : list_named(change, operands + 1, &names);
	if (!error) {
		bad = names_each(&names, change_one, &task);
		printf("%zu unit%s %s\n", names.count - bad, names.count - bad == 1 ? "" : "s", change->did);
		error = bad ? -EIO : 0;
	}
	names_release(&names);
	site_release(&site);
	return error ? COMMAND_FAILED : 0;
}
