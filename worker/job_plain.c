/*
 * job_plain: one process a unit. Its exit status is the unit's fate.
 */
#include "worker/job.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "worker/expand.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/slot.h"

const struct job_kind *job_kind_of(const struct worker_options *options)
{
	if (options->resident)
		return &job_resident;
	return options->batch >= 0 ? &job_batch : &job_plain;
}

static int plain_check(const struct worker_options *options, struct buf *why)
{
	int i;

	for (i = 0; options->command[i]; i++) {
		if (strcmp(options->command[i], EXPAND_INPUTS) != 0)
			continue;
		buf_adds(why, "the word " EXPAND_INPUTS " stands for many inputs: add --batch auto");
		return -EINVAL;
	}
	return 0;
}

static int plain_start(struct slot *slot)
{
	struct pool *pool = slot->pool;
	const struct unit *unit = slot_first(slot);
	const struct expand_unit words = {
		.name = unit->name, .in = unit->in, .out = unit->out, .job = slot->job, .queue = pool->place->queue,
		.attempt = unit->attempt, .resume = unit->resumable ? unit->resume : NULL,
	};
	char **argv = NULL, **envp = NULL;
	int error;

	error = expand_command(pool->options->command, &words, &argv);
	if (!error)
		error = expand_environment(pool->environment, &words, &envp);
	if (!error)
		error = slot_spawn(slot, argv, envp, -1, -1);
	expand_free(argv);
	expand_free(envp);
	return error;
}

/* A job that ends after its checkpoint signal without success, by that signal maybe, has not failed: it is unfinished. */
static bool is_unfinished(const struct slot *slot, bool good)
{
	return slot->reason == SLOT_STOPPED || (slot->reason == SLOT_BY_ITSELF && slot->checkpointed && !good);
}

static void plain_ended(struct slot *slot)
{
	struct unit *unit = slot_take_unit(slot);
	bool good = slot->reason == SLOT_BY_ITSELF && WIFEXITED(slot->result.status) && WEXITSTATUS(slot->result.status) == 0;
	bool unfinished = is_unfinished(slot, good);

	unit->wall_ns = slot->result.wall_ns;
	if (slot_end_overtaken(slot, unit))
		return;
	unit->keep = unfinished && slot->checkpointed;
	slot_log_unit(slot, unit, unfinished ? "released" : good ? "done" : "failed");
	if (unfinished) {
		settle_unit(slot->pool, unit, UNIT_RELEASED);
		return;
	}
	report_values(unit, &slot->result, good ? NULL : &slot->tail, slot->reason == SLOT_TIMED_OUT);
	supply_job_took(slot->pool, slot->result.wall_ns, 1);
	if (good)
		settle_unit(slot->pool, unit, UNIT_DONE);
	else
		supply_failed(slot->pool, unit);
}

const struct job_kind job_plain = {
	.check = plain_check,
	.start = plain_start,
	.ended = plain_ended,
};
