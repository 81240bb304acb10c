/*
 * fleet_make: makes the machines of a fleet that are missing, side by side, and waits until ssh answers on each.
 *
 * Each machine goes through the steps below; a step is one command, and what follows depends on whether it succeeded:
 *
 *	              succeeded        failed
 *	make          ask              given up
 *	ask           try              ask again, a little later
 *	try           up               ask again (its address may be new by then)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tools/fleet.h"

#define MAKE_PAUSE_NS NS_PER_S

enum make_step { STEP_MAKE, STEP_ASK, STEP_TRY, STEP_UP, STEP_GIVEN_UP };

struct make {
	struct fleet *fleet;
	struct buf agent;
	int64_t began_ns, ends_ns;
	int failed;
	bool quiet;
};

static void say(const struct run *run, const char *name, const char *what)
{
	const struct make *make = run->context;

	if (make->quiet)
		return;
	printf("%-*s  %s\n", run->name_width, name, what);
	fflush(stdout);
}

/* ---- steps: what is run, and what follows ---- */

static int words_make(struct make *make, struct fleet_machine *machine, struct words *argv)
{
	int error = provider_words(make->fleet, "up", argv);

	words_add(argv, machine->name);
	words_add_all(argv, make->fleet->extra.word);
	return error ? error : words_error(argv);
}

static int words_ask(struct make *make, struct fleet_machine *machine, struct words *argv)
{
	int error = provider_words(make->fleet, "ssh-args", argv);

	words_add(argv, machine->name);
	return error ? error : words_error(argv);
}

static int words_try(struct make *make, struct fleet_machine *machine, struct words *argv)
{
	char *const nothing[] = { "run", "0", "true", NULL };

	return fleet_call_words(&machine->ssh, buf_text(&make->agent), nothing, argv);
}

static enum make_step after_make(struct make *make, struct fleet_machine *machine, const struct run *run, const struct run_task *task)
{
	(void)make;
	(void)machine;
	if (task->status != 0)
		return STEP_GIVEN_UP;
	say(run, task->name, "made; waiting for ssh");
	return STEP_ASK;
}

/* A line a word. */
static enum make_step after_ask(struct make *make, struct fleet_machine *machine, const struct run *run, const struct run_task *task)
{
	const char *line = buf_text(&task->out), *end;

	(void)make;
	(void)run;
	if (task->status != 0 || !*line)
		return STEP_ASK;
	words_release(&machine->ssh);
	for (; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		words_add_len(&machine->ssh, line, (size_t)(end - line));
	}
	return words_error(&machine->ssh) ? STEP_GIVEN_UP : STEP_TRY;
}

static enum make_step after_try(struct make *make, struct fleet_machine *machine, const struct run *run, const struct run_task *task)
{
	char text[64];

	if (task->status != 0)
		return STEP_ASK;
	machine->stage = FLEET_UP;
	snprintf(text, sizeof(text), "up (%.0f s)", (double)(clock_now() - make->began_ns) / NS_PER_S);
	say(run, task->name, text);
	return fleet_save(make->fleet) < 0 ? STEP_GIVEN_UP : STEP_UP;
}

static const struct {
	int (*words)(struct make *make, struct fleet_machine *machine, struct words *argv);
	enum make_step (*after)(struct make *make, struct fleet_machine *machine, const struct run *run, const struct run_task *task);
} steps[] = {
	[STEP_MAKE] = { words_make, after_make },
	[STEP_ASK] = { words_ask, after_ask },
	[STEP_TRY] = { words_try, after_try },
};

static bool give_up(struct make *make, const struct run *run, const struct run_task *task, const char *what)
{
	struct buf *why = &fleet_find(make->fleet, task->name)->why;

	buf_reset(why);
	buf_adds(why, what);
	run_last_line(&task->err, why);
	say(run, task->name, buf_text(why));
	make->failed++;
	return false;
}

static bool next_step(struct run *run, struct run_task *task)
{
	struct make *make = run->context;
	struct fleet_machine *machine = fleet_find(make->fleet, task->name);
	enum make_step step = steps[task->step].after(make, machine, run, task);

	if (step == STEP_UP)
		return false;
	if (step == STEP_GIVEN_UP)
		return give_up(make, run, task, "failed: ");
	if (task->status != 0 && clock_now() > make->ends_ns)
		return give_up(make, run, task, "does not answer: ");
	task->not_before_ns = task->status != 0 ? clock_now() + MAKE_PAUSE_NS : 0;
	task->step = (int)step;
	words_release(&task->argv);
	return steps[step].words(make, machine, &task->argv) == 0 || give_up(make, run, task, "failed: ");
}

/* ---- which machines ---- */

/* The next name: of a machine that is there for the taking, else the lowest number nobody has. */
static int add_machine(struct fleet *fleet, const struct provider_list *list)
{
	char name[80];
	size_t i;

	for (i = 0; i < list->count; i++)
		if (provider_entry_is(&list->entries[i], "free") && !fleet_find(fleet, list->entries[i].name))
			return fleet_add(fleet, list->entries[i].name) ? 0 : -ENOMEM;
	for (i = 0;; i++) {
		snprintf(name, sizeof(name), "%s-%03zu", fleet->prefix, i);
		if (!fleet_find(fleet, name) && !provider_entry(list, name))
			return fleet_add(fleet, name) ? 0 : -ENOMEM;
	}
}

/* How many of the fleet's machines have to be seen to; those are set back to MAKING. */
static size_t mark_missing(struct fleet *fleet, const struct provider_list *list)
{
	size_t i, count = 0;

	for (i = 0; i < fleet->count; i++) {
		if (fleet->machines[i].stage == FLEET_UP && provider_entry_exists(provider_entry(list, fleet->machines[i].name)))
			continue;
		fleet->machines[i].stage = FLEET_MAKING;
		words_release(&fleet->machines[i].ssh);
		count++;
	}
	return count;
}

/* Machines that are there but didn't answer when they were last waited for are only asked. */
static int fill_tasks(struct make *make, const struct provider_list *list, struct run *run)
{
	const struct provider_entry *entry;
	struct fleet_machine *machine;
	size_t i, n = 0;
	int error = 0;

	for (i = 0; !error && i < make->fleet->count; i++) {
		machine = &make->fleet->machines[i];
		if (machine->stage == FLEET_UP)
			continue;
		entry = provider_entry(list, machine->name);
		run->tasks[n].name = machine->name;
		run->tasks[n].step = provider_entry_exists(entry) && !provider_entry_is(entry, "free") ? STEP_ASK : STEP_MAKE;
		if ((int)strlen(machine->name) > run->name_width)
			run->name_width = (int)strlen(machine->name);
		error = steps[run->tasks[n].step].words(make, machine, &run->tasks[n].argv);
		n++;
	}
	return error;
}

int fleet_make(struct fleet *fleet, const struct provider_list *list, size_t want, int64_t limit_ns, bool quiet)
{
	struct make make = { .fleet = fleet, .began_ns = clock_now(), .quiet = quiet };
	struct run run = { 0 };
	size_t missing;
	int error = 0;

	make.ends_ns = make.began_ns + limit_ns;
	while (!error && fleet->count < want)
		error = add_machine(fleet, list);
	missing = mark_missing(fleet, list);
	if (missing == 0)
		return 0;
	if (!error)
		error = fleet_save(fleet);	/* before anything is made */
	if (!error)
		error = fleet_agent_text(&make.agent);
	if (!error)
		error = run_init(&run, missing);
	if (!error)
		error = fill_tasks(&make, list, &run);
	if (!error) {
		run.limit_ns = PROVIDER_LIMIT_NS;
		run.done = next_step;
		run.context = &make;
		error = run_all(&run);
	}
	if (error)
		log_error("fleet: can't make the machines: %s", log_strerror(error));
	run_release(&run);
	buf_release(&make.agent);
	return error ? (int)missing : make.failed;
}
