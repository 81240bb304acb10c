/*
 * job_batch: one process for many units. The word {in...} of the command becomes their inputs, {out} a directory of this machine, where the
 * command leaves an output for each, under one of these names: its path below stage/, that path's base name, the unit's name, the base name
 * of that. (No two units of a batch share a base name.) What is found goes to the mount with the line that ends the unit when it is a small file, or is
 * copied to stage/, behind the next batch's back.
 *
 *   exit 0   units with an output are done; if none has any, the command writes elsewhere, and all are; else the others go alone
 *   other    units with a whole output are done, the others go alone; one that was alone has failed
 *   stopped  units with a whole output are done, the others are given back
 *
 * Of a command that failed or was stopped every output counts as whole but empty ones and the last it wrote.
 */
#include "worker/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "worker/batch_dir.h"
#include "worker/expand.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/slot.h"

static int batch_check(const struct worker_options *options, struct buf *why)
{
	static const char *const single[] = { "{in}", "{name}", "{}", "{.}", "{/}", "{//}", "{/.}" };
	bool has_inputs = false;
	size_t i, j;

	for (i = 0; options->command[i]; i++) {
		has_inputs |= strcmp(options->command[i], EXPAND_INPUTS) == 0;
		for (j = 0; j < sizeof(single) / sizeof(single[0]); j++) {
			if (!strstr(options->command[i], single[j]))
				continue;
			buf_addf(why, "%s stands for one unit, and --batch gives the command many: use " EXPAND_INPUTS, single[j]);
			return -EINVAL;
		}
	}
	if (!has_inputs)
		buf_adds(why, "with --batch the command needs the word " EXPAND_INPUTS " (by itself), where the inputs go");
	return has_inputs ? 0 : -EINVAL;
}

static char **list_inputs(const struct slot *slot)
{
	char **inputs = calloc(slot->count + 1, sizeof(*inputs));
	struct list *position;
	size_t i = 0;

	if (inputs)
		list_for_each(position, &slot->units)
			inputs[i++] = list_entry(position, struct unit, link)->in;
	return inputs;
}

static int batch_start(struct slot *slot)
{
	struct pool *pool = slot->pool;
	char **inputs = list_inputs(slot), **argv = NULL, **envp = NULL;
	struct expand_unit words = { .inputs = inputs, .job = slot->job, .queue = pool->place->queue };
	struct list *position;
	int error = inputs ? batch_dir_new(&slot->dir) : -ENOMEM;

	if (!error) {
		words.out = batch_dir_path(slot->dir);
		list_for_each(position, &slot->units) {
			error = batch_dir_prepare(slot->dir, list_entry(position, struct unit, link));
			if (error)
				break;
		}
	}
	if (!error)
		error = expand_command(pool->options->command, &words, &argv);
	if (!error)
		error = expand_environment(pool->environment, &words, &envp);
	if (!error)
		error = slot_spawn(slot, argv, envp, -1, -1);
	if (error) {
		batch_dir_unref(slot->dir);
		slot->dir = NULL;
	}
	free(inputs);
	expand_free(argv);
	expand_free(envp);
	return error;
}

/* ---- the end ---- */

struct tally {
	unsigned int found;
	struct timespec newest;
};

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Looks for every unit's output. */
static void find_outputs(struct slot *slot, struct tally *tally)
{
	struct list *position;

	memset(tally, 0, sizeof(*tally));
	list_for_each(position, &slot->units) {
		struct unit *unit = list_entry(position, struct unit, link);

		if (!batch_dir_find(slot->dir, unit))
			continue;
		tally->found++;
		if (is_later(&unit->staged_time, &tally->newest))
			tally->newest = unit->staged_time;
	}
}

static bool is_done(const struct unit *unit, bool good, const struct tally *tally)
{
	if (good)
		return unit->staged || tally->found == 0;
	return unit->staged && unit->staged_bytes > 0 && is_later(&tally->newest, &unit->staged_time);
}

static struct run_result share_of(const struct run_result *whole, unsigned int count)
{
	struct run_result share = *whole;

	share.wall_ns /= count;
	share.user_ns /= count;
	share.sys_ns /= count;
	share.spawn_ns /= count;
	share.read_wait_ns /= count;
	share.write_wait_ns /= count;
	share.ready_ns /= count;
	share.claim_ns /= count;
	share.look_ns /= count;
	share.turn_ns /= count;
	share.idle_ns /= count;
	share.tail_ns /= count;
	if (share.read_bytes > 0)
		share.read_bytes /= count;
	if (share.written_bytes > 0)
		share.written_bytes /= count;
	return share;
}

static void settle_one(struct slot *slot, struct unit *unit, const struct run_result *share, bool good, const struct tally *tally,
		       unsigned int count)
{
	bool done = is_done(unit, good, tally);

	unit->wall_ns = share->wall_ns;
	if (slot_end_overtaken(slot, unit))
		return;
	slot_log_unit(slot, unit, done ? "done" : slot->reason == SLOT_STOPPED ? "released" : count > 1 ? "again" : "failed");
	if (done) {
		struct run_result own = *share;

		own.status = 0;		/* whatever became of the others */
		report_values(unit, &own, NULL, false);
		settle_unit(slot->pool, unit, UNIT_DONE);
	} else if (slot->reason == SLOT_STOPPED) {
		unit_forget_staged(unit);
		settle_unit(slot->pool, unit, UNIT_RELEASED);
	} else if (count > 1) {
		unit_forget_staged(unit);
		unit->alone = true;
		supply_push_back(slot->pool, unit);
	} else {
		report_values(unit, share, &slot->tail, slot->reason == SLOT_TIMED_OUT);
		supply_failed(slot->pool, unit);
	}
}

static void batch_ended(struct slot *slot)
{
	bool good = slot->reason == SLOT_BY_ITSELF && WIFEXITED(slot->result.status) && WEXITSTATUS(slot->result.status) == 0;
	unsigned int count = slot->count;
	struct run_result share = share_of(&slot->result, count);
	struct tally tally;
	struct unit *unit;

	find_outputs(slot, &tally);
	if (slot->reason == SLOT_BY_ITSELF) {
		supply_job_took(slot->pool, share.wall_ns, count);
		if (good)
			batch_size_ran(&slot->pool->batch, count, slot->result.wall_ns);
	}
	while ((unit = slot_take_unit(slot)))
		settle_one(slot, unit, &share, good, &tally, count);
	batch_dir_unref(slot->dir);
	slot->dir = NULL;
}

static void batch_release(struct slot *slot)
{
	batch_dir_unref(slot->dir);
	slot->dir = NULL;
}

const struct job_kind job_batch = {
	.check = batch_check,
	.start = batch_start,
	.ended = batch_ended,
	.release = batch_release,
	.batches = true,
};
