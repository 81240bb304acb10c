/*
 * claimctl doctor: what limits a queue's work and what to do about it, at length, and whether this node is fit for it.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/doctor.h"
#include "tools/json_text.h"
#include "tools/site.h"

#define MAX_SLOTS 4096
#define FORMAT 1

enum { KEY_JSON = 256, KEY_NO_TRANSFER };

struct doctor_words {
	bool json, no_transfer;
	int64_t slots;			/* 0: as many as cores */
};

static struct doctor_words doctor_words;

static const struct args_option table[] = {
	{ 'j', "slots", "N", "judge this node for so many slots (its cores)" },
	{ KEY_JSON, "json", NULL, "for programs" },
	{ KEY_NO_TRANSFER, "no-transfer", NULL, "write no file to measure the link's rate" },
	{ 0, NULL, NULL, NULL },
};

static int doctor_set(void *target, int key, const char *value, struct buf *why)
{
	struct doctor_words *words = target;

	words->json |= key == KEY_JSON;
	words->no_transfer |= key == KEY_NO_TRANSFER;
	if (key == 'j' && conf_parse_number(value, 1, MAX_SLOTS, &words->slots) < 0) {
		buf_addf(why, "a number from 1 to %d", MAX_SLOTS);
		return -EINVAL;
	}
	return 0;
}

/* ---- for people ---- */

static void print_text(const char *queue, const struct findings *findings)
{
	static const struct { const char *section, *title; } titles[] = {
		{ "queue", "the queue" }, { "time", "where the slots' time goes" }, { "node", "this node" },
	};
	size_t section, i, warnings = findings_warnings(findings);

	for (section = 0; section < sizeof(titles) / sizeof(titles[0]); section++) {
		printf("%s%s\n", section ? "\n" : "", titles[section].title);
		for (i = 0; i < findings->count; i++) {
			const struct finding *finding = &findings->list[i];

			if (strcmp(finding->section, titles[section].section))
				continue;
			printf("  %-8s %-11s %s", finding->advice ? "warning" : "ok", finding->name, finding->text);
			if (finding->advice)
				printf("; to do: %s", finding->advice);
			printf("\n");
		}
	}
	if (warnings)
		printf("\n%s: %zu %s in the way\n", queue, warnings, warnings == 1 ? "thing is" : "things are");
	else
		printf("\n%s: nothing is in the way\n", queue);
}

/* ---- for programs ---- */

static void add_known(cJSON *object, const char *name, double number)
{
	if (number >= 0 && isfinite(number))
		cJSON_AddNumberToObject(object, name, number);
	else
		cJSON_AddNullToObject(object, name);
}

static void add_node(cJSON *root, const struct doctor_node *node)
{
	cJSON *object = cJSON_AddObjectToObject(root, "node");
	bool measured = node->transferred && !node->transfer_error;

	add_known(object, "cores", node->cores);
	add_known(object, "slots", node->slots);
	add_known(object, "load", node->load);
	add_known(object, "memory_total", node->memory_total);
	add_known(object, "memory_available", node->memory_available);
	cJSON_AddStringToObject(object, "memory_limit", node->group_error ? "process" : "cgroup");
	add_known(object, "open_files", node->files_soft);
	add_known(object, "rtt_s", node->rtt);
	add_known(object, "write_rate", measured ? node->write_rate : -1);
	add_known(object, "read_rate", measured ? node->read_rate : -1);
	add_known(object, "aes_rate", node->aes_rate);
	add_known(object, "chacha_rate", node->chacha_rate);
}

static int print_json(const char *queue, const char *limit, const struct findings *findings, const struct doctor_node *node)
{
	cJSON *root = cJSON_CreateObject(), *list, *object;
	size_t i;

	cJSON_AddNumberToObject(root, "format", FORMAT);
	json_text_add(root, "queue", queue);
	cJSON_AddStringToObject(root, "limit", limit);
	cJSON_AddNumberToObject(root, "warnings", (double)findings_warnings(findings));
	list = cJSON_AddArrayToObject(root, "findings");
	for (i = 0; i < findings->count; i++) {
		object = cJSON_CreateObject();
		cJSON_AddStringToObject(object, "section", findings->list[i].section);
		cJSON_AddStringToObject(object, "name", findings->list[i].name);
		cJSON_AddBoolToObject(object, "ok", findings->list[i].advice == NULL);
		json_text_add(object, "text", findings->list[i].text);
		if (findings->list[i].advice)
			cJSON_AddStringToObject(object, "advice", findings->list[i].advice);
		else
			cJSON_AddNullToObject(object, "advice");
		cJSON_AddItemToArray(list, object);
	}
	add_node(root, node);
	return json_text_print(root, false);
}

/* ---- the whole ---- */

static double wall_seconds(void)
{
	return (double)(clock_wall() / NS_PER_S);
}

static int examine(const char *queue, const struct doctor_words *words)
{
	struct progress_facts facts;
	struct findings findings = { 0 };
	struct doctor_node node;
	double before = wall_seconds(), after;
	int error, status;

	error = progress_read(queue, &facts);
	if (error) {
		log_error("doctor: can't read %s/progress.json: %s", queue, log_strerror(error));
		return COMMAND_FAILED;
	}
	after = wall_seconds();
	doctor_look(queue, !words->no_transfer, &node);
	node.clock_known = facts.time > 0;
	node.clock_offset = facts.time < before ? before - facts.time : facts.time > after ? after - facts.time : 0;	/* a far queue is slow to read */
	if (words->slots > 0)
		node.slots = (double)words->slots;
	doctor_queue(&facts, &node, &findings);
	doctor_node(&node, facts.limit, &findings);
	error = findings.failed ? -ENOMEM : 0;
	if (!error && words->json)
		error = print_json(queue, facts.limit, &findings, &node);
	else if (!error)
		print_text(queue, &findings);
	if (!error && fflush(stdout))
		error = -errno;
	if (error)
		log_error("doctor: can't say what was found: %s", log_strerror(error));
	status = error || findings_warnings(&findings) ? COMMAND_FAILED : 0;
	findings_release(&findings);
	progress_release(&facts);
	return status;
}

static int doctor_run(char **operands, void *target)
{
	struct site site;
	int status = 0;

	for (; *operands; operands++) {
		if (site_open("doctor", *operands, &site))
			return COMMAND_FAILED;
		site_release(&site);
		if (examine(*operands, target))
			status = COMMAND_FAILED;
	}
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "what limits the work and what to do, and whether this node is fit",
	.usage = "doctor [-j N] [--json] [--no-transfer] QUEUE...",
	.description = "Says what holds the work up, with the figures and what to do about it, and checks this node: the link to the server (a file of a\n"
		       "few MB goes there and back, for about two seconds, and does not stay), latency, encryption, cores, memory, open files, clock.\n"
		       "A finding a line, \"ok\" or \"warning\".\n",
	.exit_status = "0 nothing is in the way, 1 something is, 2 usage",
	.examples = "  claimctl doctor /mnt/disk/queue\n"
		    "  claimctl doctor -j 64 --no-transfer /mnt/disk/queue\n"
		    "  claimctl doctor --json /mnt/disk/queue | jq -r '.findings[] | select(.ok | not) | .advice'\n",
	.options = table,
	.set = doctor_set,
	.run = doctor_run,
	.target = &doctor_words,
};
