/*
 * fleet_json: what verbs of `claimctl fleet' print with --json: an object of all machines, and how each went.
 */
#include <cjson/cJSON.h>
#include <stdio.h>

#include "base/utf8.h"
#include "tools/command.h"
#include "tools/fleet.h"

/* A string of JSON is of characters: for a byte that is part of none stands U+FFFD. */
static void add_text(cJSON *object, const char *name, const struct buf *bytes)
{
	struct buf text = BUF_INIT;
	size_t i, step;

	for (i = 0; i < bytes->len; i += step ? step : 1) {
		step = bytes->data[i] ? utf8_sequence(bytes->data + i, bytes->len - i) : 0;
		if (step)
			buf_add(&text, bytes->data + i, step);
		else
			buf_adds(&text, "\xef\xbf\xbd");
	}
	cJSON_AddStringToObject(object, name, buf_text(&text));
	buf_release(&text);
}

static void add_machine(cJSON *machines, const char *name, int status, const struct buf *out, const struct buf *err)
{
	cJSON *machine = cJSON_CreateObject();

	cJSON_AddStringToObject(machine, "name", name);
	cJSON_AddNumberToObject(machine, "status", status);
	add_text(machine, "stdout", out);
	add_text(machine, "stderr", err);
	cJSON_AddItemToArray(machines, machine);
}

/* `machines' goes with it. The exit status: COMMAND_FAILED when it can't be printed. */
static int print(cJSON *machines, int status)
{
	cJSON *root = cJSON_CreateObject();
	char *text;
	bool printed;

	cJSON_AddItemToObject(root, "machines", machines);
	cJSON_AddNumberToObject(root, "status", status);
	text = cJSON_Print(root);
	printed = text && puts(text) >= 0 && fflush(stdout) == 0;
	cJSON_free(text);
	cJSON_Delete(root);
	return printed ? status : COMMAND_FAILED;
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
