/*
 * fleet_json: what verbs of `claimctl fleet' print with --json: an object of all machines, and how each went.
 */
#include <cjson/cJSON.h>
#include <stdio.h>

#include "tools/command.h"
#include "tools/fleet.h"
#include "tools/json_text.h"

static void add_machine(cJSON *machines, const char *name, int status, const struct buf *out, const struct buf *err)
{
	cJSON *machine = cJSON_CreateObject();

	cJSON_AddStringToObject(machine, "name", name);
	cJSON_AddNumberToObject(machine, "status", status);
	json_text_add_output(machine, "stdout", out);
	json_text_add_output(machine, "stderr", err);
	cJSON_AddItemToArray(machines, machine);
}

/* `machines' goes with it. The exit status: COMMAND_FAILED when it can't be printed. */
static int print(cJSON *machines, int status)
{
	cJSON *root = cJSON_CreateObject();

	cJSON_AddItemToObject(root, "machines", machines);
	cJSON_AddNumberToObject(root, "status", status);
	return json_text_print(root, false) == 0 && fflush(stdout) == 0 ? status : COMMAND_FAILED;
}

int fleet_json_run(const struct run *run)
{
	cJSON *machines = cJSON_CreateArray();
	size_t i;

	for (i = 0; i < run->count; i++)
		add_machine(machines, run->tasks[i].name, run->tasks[i].status, &run->tasks[i].out, &run->tasks[i].err);
	return print(machines, run_worst(run));
}

int fleet_json_made(const struct fleet *fleet, int status)
{
	const struct buf nothing = BUF_INIT;
	cJSON *machines = cJSON_CreateArray();
	size_t i;

	for (i = 0; i < fleet->count; i++)
		add_machine(machines, fleet->machines[i].name, fleet->machines[i].stage == FLEET_UP ? 0 : COMMAND_FAILED, &nothing,
			    &fleet->machines[i].why);
	return print(machines, status);
}
