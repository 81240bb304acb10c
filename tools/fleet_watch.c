/*
 * fleet_watch: claimctl fleet watch: keeps a fleet alive until its work is done.
 *
 * Each round takes the fleet's lock, reads its state anew, looks, mends and lets go, so that other claimctls may change the fleet between
 * two rounds. A machine that the provider still lists but that doesn't answer is left alone: it may be this laptop that is offline.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/fleet.h"

#define WATCH_INTERVAL_NS (15 * NS_PER_S)
#define WATCH_ASK_LIMIT_NS (60 * NS_PER_S)

enum round_result { ROUND_GO_ON, ROUND_ALL_ENDED, ROUND_NO_FLEET, ROUND_FAILED };

struct watch {
	const struct fleet_options *options;
	struct words silent;		/* machines whose silence was told */
	bool list_failed;		/* and told */
	bool units_failed;		/* some worker ended with 1 */
};

static void say(const char *name, const char *what)
{
	char stamp[16];
	time_t now = (time_t)(clock_wall() / NS_PER_S);
	struct tm local;

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%H:%M:%S", &local);
	printf("%s  %s: %s\n", stamp, name, what);
	fflush(stdout);
}

static bool has_word(const struct words *words, const char *word)
{
	size_t i;

	for (i = 0; i < words->count; i++)
		if (strcmp(words->word[i], word) == 0)
			return true;
	return false;
}

static void restore(const struct fleet *fleet, const struct words *names)
{
	struct fleet_options only = { .only = *names };

	if (names->count > 0)
		fleet_restore(fleet, &only);
}

/* ---- machines ---- */

static int make_anew(struct watch *watch, struct fleet *fleet, const struct provider_list *list)
{
	struct words names = WORDS_INIT, up = WORDS_INIT;
	int64_t limit = watch->options->timeout_ns ? watch->options->timeout_ns : FLEET_MAKE_LIMIT_NS;
	size_t i;

	for (i = 0; i < fleet->count; i++) {
		const struct fleet_machine *machine = &fleet->machines[i];

		if (machine->stage == FLEET_UP && provider_entry_exists(provider_entry(list, machine->name)))
			continue;
		say(machine->name, machine->stage == FLEET_UP ? "is gone: making it anew" : "is missing: making it");
		words_add(&names, machine->name);
	}
	if (names.count > 0)
		fleet_make(fleet, list, 0, limit, false);
	for (i = 0; i < names.count; i++)
		if (fleet_find(fleet, names.word[i])->stage == FLEET_UP)
			words_add(&up, names.word[i]);
	restore(fleet, &up);
	words_release(&names);
	words_release(&up);
	return 0;
}

/* ---- workers ---- */

enum work_state { WORK_RUNS, WORK_ENDED, WORK_BROKEN };

/* A worker ends with 0 or 1 when every unit is done or failed; with anything else it was ended. */
static enum work_state judge(struct watch *watch, const char *state)
{
	if (strcmp(state, "running") == 0)
		return WORK_RUNS;
	if (strcmp(state, "ended 1") == 0)
		watch->units_failed = true;
	return strcmp(state, "ended 0") == 0 || strcmp(state, "ended 1") == 0 ? WORK_ENDED : WORK_BROKEN;
}

static enum work_state look_up(struct watch *watch, const char *text, const char *queue)
{
	size_t len = strlen(queue);
	const char *end, *tab;
	char state[32];

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		tab = memchr(text, '\t', (size_t)(end - text));
		if (!tab || (size_t)(end - tab - 1) != len || memcmp(tab + 1, queue, len) != 0)
			continue;
		snprintf(state, sizeof(state), "%.*s", (int)(tab - text), text);
		return judge(watch, state);
	}
	return WORK_BROKEN;
}

/* Of all the works of a machine the one most in need. */
static enum work_state look_at(struct watch *watch, const struct fleet *fleet, const struct run_task *task)
{
	enum work_state worst = WORK_ENDED, state;
	size_t i;

	for (i = 0; i < fleet->records[FLEET_WORK].count; i++) {
		state = look_up(watch, buf_text(&task->out), fleet->records[FLEET_WORK].list[i].word[0]);
		if (state == WORK_BROKEN || (state == WORK_RUNS && worst == WORK_ENDED))
			worst = state;
	}
	return worst;
}

static void note_silence(struct watch *watch, const struct run_task *task)
{
	if (!has_word(&watch->silent, task->name)) {
		say(task->name, "does not answer");
		words_add(&watch->silent, task->name);
	}
}

static void note_answers(struct watch *watch, const struct run *run)
{
	struct words still = WORDS_INIT;
	size_t i;

	for (i = 0; i < run->count; i++) {
		if (!has_word(&watch->silent, run->tasks[i].name))
			continue;
		if (run->tasks[i].status != 0)
			words_add(&still, run->tasks[i].name);
		else
			say(run->tasks[i].name, "answers again");
	}
	words_release(&watch->silent);
	watch->silent = still;
}

static enum round_result see_to_work(struct watch *watch, const struct fleet *fleet, const struct run *run)
{
	enum round_result result = fleet->records[FLEET_WORK].count > 0 ? ROUND_ALL_ENDED : ROUND_GO_ON;
	struct words broken = WORDS_INIT;
	enum work_state state;
	size_t i;

	watch->units_failed = false;
	note_answers(watch, run);
	for (i = 0; i < run->count; i++) {
		const struct run_task *task = &run->tasks[i];

		state = task->status == 0 ? look_at(watch, fleet, task) : WORK_RUNS;
		if (task->status != 0)
			note_silence(watch, task);
		if (state == WORK_BROKEN) {
			say(task->name, "its worker is not running: starting it again");
			words_add(&broken, task->name);
		}
		if (state != WORK_ENDED)
			result = ROUND_GO_ON;
	}
	restore(fleet, &broken);
	words_release(&broken);
	return result;
}

static enum round_result look_at_workers(struct watch *watch, const struct fleet *fleet)
{
	char *const words[] = { "status", NULL };
	const struct fleet_options all = { 0 };
	enum round_result result = ROUND_FAILED;
	struct run run;
	size_t i, up = 0;

	for (i = 0; i < fleet->count; i++)
		up += fleet->machines[i].stage == FLEET_UP;
	if (up == 0)
		return ROUND_GO_ON;
	if (fleet_call(fleet, &all, words, &run) < 0)
		return result;
	run.limit_ns = WATCH_ASK_LIMIT_NS;
	if (run_all(&run) == 0)
		result = see_to_work(watch, fleet, &run);
	run_release(&run);
	return up < fleet->count && result == ROUND_ALL_ENDED ? ROUND_GO_ON : result;
}

/* ---- rounds ---- */

static enum round_result look(struct watch *watch, struct fleet *fleet)
{
	struct provider_list list;

	if (provider_list(fleet, &list) < 0) {
		if (!watch->list_failed)
			say(fleet->prefix, "the provider can't be asked; trying again");
		watch->list_failed = true;
		return ROUND_GO_ON;
	}
	watch->list_failed = false;
	make_anew(watch, fleet, &list);
	provider_list_release(&list);
	return look_at_workers(watch, fleet);
}

static enum round_result one_round(struct watch *watch, const char *prefix)
{
	struct buf why = BUF_INIT;
	enum round_result result = ROUND_FAILED;
	struct fleet fleet;
	int error, lock = fleet_lock(prefix);

	if (lock < 0) {
		log_error("watch: can't lock the fleet's state: %s", log_strerror(lock));
		return result;
	}
	error = fleet_load(prefix, &fleet, &why);
	if (error == -ENOENT) {
		result = ROUND_NO_FLEET;
	} else if (error) {
		log_error("watch: %s", buf_text(&why));
	} else {
		fleet_export(&fleet);
		result = look(watch, &fleet);
		fleet_release(&fleet);
	}
	io_close(&lock);
	buf_release(&why);
	return result;
}

static int watch_prefix(struct watch *watch, const char *prefix)
{
	const struct timespec pause = clock_timespec(watch->options->interval_ns ? watch->options->interval_ns : WATCH_INTERVAL_NS);
	enum round_result result;

	while ((result = one_round(watch, prefix)) == ROUND_GO_ON)
		nanosleep(&pause, NULL);
	if (result == ROUND_NO_FLEET)
		say(prefix, "the fleet is down");
	if (result == ROUND_ALL_ENDED)
		say(prefix, watch->units_failed ? "all work has ended; some units failed" : "all work is done");
	if (result == ROUND_FAILED || (result == ROUND_ALL_ENDED && watch->units_failed))
		return COMMAND_FAILED;
	return 0;
}

int fleet_watch(char **operands, void *target)
{
	struct watch watch = { .options = target };
	struct buf prefix = BUF_INIT;
	struct fleet fleet;
	int status = COMMAND_FAILED;

	if (operands[0]) {
		log_error("watch: what is '%s'? It takes no names", operands[0]);
		return COMMAND_USAGE;
	}
	/* That there is such a fleet is asked once; when it goes later, that is an end like others. */
	if (fleet_open(watch.options, "watch", &fleet) == 0) {
		buf_adds(&prefix, fleet.prefix);
		fleet_release(&fleet);
		if (buf_error(&prefix) == 0)
			status = watch_prefix(&watch, buf_text(&prefix));
	}
	words_release(&watch.silent);
	buf_release(&prefix);
	return status;
}
