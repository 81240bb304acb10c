/*
 * fleet_ls: claimctl fleet ls: machines, what the provider says of them, and what their workers do.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/fleet.h"
#include "tools/json_text.h"

#define LS_LIMIT_NS (30 * NS_PER_S)

static const char *state_word(const struct fleet_machine *machine, const struct provider_entry *entry)
{
	if (!entry)
		return machine->stage == FLEET_UP ? "gone" : "missing";
	if (machine->stage == FLEET_UP && (strcmp(entry->state, "free") == 0 || strcmp(entry->state, "running") == 0))
		return "up";
	return strcmp(entry->state, "free") == 0 ? "starting" : entry->state;
}

static const struct run_task *task_of(const struct run *run, const char *name)
{
	size_t i;

	for (i = 0; i < run->count; i++)
		if (strcmp(run->tasks[i].name, name) == 0)
			return &run->tasks[i];
	return NULL;
}

/* The agent's lines "STATE<TAB>QUEUE", with commas between. */
static void describe_work(const struct run_task *task, struct buf *ret_text)
{
	const char *c;

	if (!task)
		return;
	if (task->status == RUN_SSH_FAILED || task->status == RUN_TIMED_OUT)
		buf_adds(ret_text, "does not answer");
	for (c = buf_text(&task->out); task->status == 0 && *c; c++) {
		if (*c == '\t')
			buf_addch(ret_text, ' ');
		else if (*c == '\n' && c[1])
			buf_adds(ret_text, ", ");
		else if (*c != '\n')
			buf_addch(ret_text, *c);
	}
}

static void print_table(const struct fleet *fleet, const struct fleet_options *options, const struct provider_list *list, const struct run *run)
{
	struct buf work = BUF_INIT;
	int name_width = 7, address_width = 7;
	size_t i;

	for (i = 0; i < fleet->count; i++)
		if ((int)strlen(fleet->machines[i].name) > name_width)
			name_width = (int)strlen(fleet->machines[i].name);
	for (i = 0; i < list->count; i++)
		if ((int)strlen(list->entries[i].address) > address_width)
			address_width = (int)strlen(list->entries[i].address);
	printf("%-*s  %-8s  %-*s  %s\n", name_width, "MACHINE", "STATE", address_width, "ADDRESS", "WORKER");
	for (i = 0; i < fleet->count; i++) {
		const struct fleet_machine *machine = &fleet->machines[i];
		const struct provider_entry *entry = provider_entry(list, machine->name);

		if (!fleet_meant(options, machine->name))
			continue;
		buf_reset(&work);
		describe_work(task_of(run, machine->name), &work);
		printf("%-*s  %-8s  %-*s  %s\n", name_width, machine->name, state_word(machine, entry), address_width,
		       entry && *entry->address ? entry->address : "-", work.len ? buf_text(&work) : "-");
	}
	buf_release(&work);
}

static cJSON *json_work(const struct run_task *task)
{
	cJSON *works = cJSON_CreateArray(), *work;
	char *text = strdup(task && task->status == 0 ? buf_text(&task->out) : ""), *line, *save = NULL, *tab;

	for (line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		tab = strchr(line, '\t');
		if (!tab)
			continue;
		*tab = '\0';
		work = cJSON_CreateObject();
		cJSON_AddStringToObject(work, "state", line);
		cJSON_AddStringToObject(work, "queue", tab + 1);
		cJSON_AddItemToArray(works, work);
	}
	free(text);
	return works;
}

static int print_json(const struct fleet *fleet, const struct fleet_options *options, const struct provider_list *list, const struct run *run)
{
	cJSON *root = cJSON_CreateObject(), *machines = cJSON_AddArrayToObject(root, "machines"), *one;
	size_t i;

	cJSON_AddStringToObject(root, "prefix", fleet->prefix);
	cJSON_AddStringToObject(root, "provider", fleet->provider);
	for (i = 0; i < fleet->count; i++) {
		const struct fleet_machine *machine = &fleet->machines[i];
		const struct provider_entry *entry = provider_entry(list, machine->name);
		const struct run_task *task = task_of(run, machine->name);

		if (!fleet_meant(options, machine->name))
			continue;
		one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "name", machine->name);
		cJSON_AddStringToObject(one, "state", state_word(machine, entry));
		cJSON_AddStringToObject(one, "address", entry ? entry->address : "");
		cJSON_AddBoolToObject(one, "answers", task && task->status == 0);
		cJSON_AddItemToObject(one, "workers", json_work(task));
		cJSON_AddItemToArray(machines, one);
	}
	return json_text_print(root, false) == 0 ? 0 : COMMAND_FAILED;
}

/* Machines that can be asked; none is no error here. */
static int ask(const struct fleet *fleet, const struct fleet_options *options, struct run *ret_run)
{
	char *const words[] = { "status", NULL };
	size_t i, count = 0;

	for (i = 0; i < fleet->count; i++)
		count += fleet->machines[i].ssh.count > 0 && fleet_meant(options, fleet->machines[i].name);
	if (count == 0)
		return run_init(ret_run, 0);
	if (fleet_call(fleet, options, words, ret_run) < 0)
		return -1;
	ret_run->limit_ns = LS_LIMIT_NS;
	return run_all(ret_run);
}

int fleet_ls(char **operands, void *target)
{
	const struct fleet_options *options = target;
	struct provider_list list = { 0 };
	struct run run = { 0 };
	struct fleet fleet;
	int status = COMMAND_FAILED;

	if (operands[0]) {
		log_error("ls: what is '%s'? --only NAME shows some machines alone", operands[0]);
		return COMMAND_USAGE;
	}
	if (fleet_open(options, "ls", &fleet) < 0)
		return status;
	if (provider_list(&fleet, &list) == 0 && ask(&fleet, options, &run) == 0) {
		status = 0;
		if (options->json)
			status = print_json(&fleet, options, &list, &run);
		else
			print_table(&fleet, options, &list, &run);
	}
	run_release(&run);
	provider_list_release(&list);
	fleet_release(&fleet);
	return status;
}
