/*
 * claimctl fsck: checks the store of a queue, its markers and its logs against each other, and repairs. See tools/fsck.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/command.h"
#include "tools/fsck.h"
#include "tools/site.h"

enum { KEY_DRY_RUN = 256, KEY_JSON, KEY_REDO_MISSING, KEY_NO_OUTPUTS };

static struct fsck_options fsck_options;

static const struct args_option table[] = {
	{ 'n', "dry-run", NULL, "say what would be done, do nothing" },
	{ KEY_JSON, "json", NULL, "for programs: an object a line, the counts in the last" },
	{ KEY_REDO_MISSING, "redo-missing", NULL, "have units done again whose output or marker is missing" },
	{ KEY_NO_OUTPUTS, "no-outputs", NULL, "don't look for outputs: the jobs leave none there" },
	{ 0, NULL, NULL, NULL },
};

static int fsck_set(void *target, int key, const char *value, struct buf *why)
{
	struct fsck_options *options = target;

	(void)value;
	(void)why;
	options->dry_run |= key == 'n' || key == KEY_DRY_RUN;
	options->json |= key == KEY_JSON;
	options->redo_missing |= key == KEY_REDO_MISSING;
	options->no_outputs |= key == KEY_NO_OUTPUTS;
	return 0;
}

static void release(struct fsck *fsck)
{
	size_t i;

	for (i = 0; i < fsck->unit_count; i++)
		free(fsck->units[i].name);
	free(fsck->units);
	free(fsck->markers);
	free(fsck->claims);
	free(fsck->nodes);
	map_release(&fsck->unit_by_hash);
	map_release(&fsck->marker_by_key);
	map_release(&fsck->live);
	map_release(&fsck->recorded_names);
}

/* 0: all was looked at, whatever was found. */
static int check(struct fsck *fsck)
{
	size_t i, inputs = 0, done = 0, failed = 0;
	int error = fsck_read_time(fsck);

	if (!error)
		error = fsck_read_store(fsck);
	if (!error)
		error = fsck_read_logs(fsck);
	if (!error)
		error = fsck_read_inputs(fsck);
	if (!error)
		error = fsck_check(fsck);
	fsck_mend_end(fsck);
	for (i = 0; i < fsck->unit_count; i++) {
		const struct fsck_unit *unit = &fsck->units[i];

		inputs += unit->name != NULL;
		if (!unit->name)
			continue;
		done += unit->marker == unit->generation + 1;
		failed += unit->failed == unit->generation + 1 && unit->marker != unit->generation + 1;
	}
	if (!error)
		fsck_report_end(fsck, inputs, done, failed);
	return error;
}

static int read_conf(struct fsck *fsck)
{
	struct buf why = BUF_INIT;
	int error = site_read_conf(fsck->dir, &fsck->conf, &why);

	if (!error) {
		error = qconf_check(&fsck->conf, &why);
		if (error)
			qconf_release(&fsck->conf);
	}
	if (error == -ENOENT && why.len == 0)
		log_error("fsck: %s is no queue: `claimctl init %s' makes one", fsck->dir, fsck->dir);
	else if (error)
		fsck_report(fsck, FSCK_CONF, FSCK_PROBLEM, 0, QCONF_PATH, NULL, why.len ? buf_text(&why) : log_strerror(error));
	buf_release(&why);
	return error;
}

static int fsck_run(char **operands, void *target)
{
	struct fsck fsck = { .options = target, .dir = operands[0], .fd = -1 };
	int error;

	if (operands[1]) {
		log_error("fsck: one queue at a time, not '%s' as well", operands[1]);
		return COMMAND_USAGE;
	}
	if (read_conf(&fsck) < 0)
		return COMMAND_FAILED;
	fsck.fd = open(fsck.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	error = fsck.fd < 0 ? -errno : check(&fsck);
	if (error)
		log_error("fsck: %s was not checked to its end: %s", fsck.dir, log_strerror(error));
	if (fsck.fd >= 0)
		close(fsck.fd);
	qconf_release(&fsck.conf);
	release(&fsck);
	return error || fsck.counts[FSCK_MENDED] || fsck.counts[FSCK_PROBLEM] || fsck.counts[FSCK_FAILED] ? COMMAND_FAILED : 0;
}

const struct command cmd_fsck = {
	.name = "fsck",
	.summary = "check a queue's store, and repair it",
	.usage = "fsck [OPTIONS] QUEUE",
	.description = "Checks what lies in QUEUE/.claimfs, on a mount or on the storage host's own disk, and mends what may be mended\n"
		       "while the queue is in use: markers that no log tells of are recorded, gaps in claims and generations filled, claims of generations that are over\n"
		       "and what nodes long gone have left removed. A line for each finding, counts at the end.\n",
	.exit_status = "0 clean, 1 something was found, mended or not, 2 usage",
	.examples = "  claimctl fsck --dry-run /mnt/disk/queue\n"
		    "  claimctl fsck --redo-missing /mnt/disk/queue\n"
		    "  claimctl fsck --json /mnt/disk/queue | jq -r 'select(.kind == \"output\") | .unit'\n",
	.options = table,
	.set = fsck_set,
	.run = fsck_run,
	.target = &fsck_options,
};
