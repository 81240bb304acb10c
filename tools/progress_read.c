/*
 * progress_read: a value that is missing or of another type is one that is not known; nothing else is taken on trust.
 */
#include "tools/progress_read.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "tools/json_read.h"

#define MAX_BYTES (64u << 20)
#define FORMAT 1

static const char *text_of(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(item) ? item->valuestring : "";
}

static int rank(const char *state)
{
	return strcmp(state, "live") == 0 ? 0 : strcmp(state, "stale") == 0 ? 1 : 2;
}

static int compare_rows(const void *left, const void *right)
{
	const struct progress_row *a = left, *b = right;

	if (rank(a->state) != rank(b->state))
		return rank(a->state) - rank(b->state);
	return strcmp(a->name, b->name);
}

static int read_nodes(const cJSON *root, double now, struct progress_facts *facts)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "nodes"), *node;
	struct progress_row *row;
	double seen;

	facts->nodes = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*facts->nodes));
	if (!facts->nodes)
		return -ENOMEM;
	cJSON_ArrayForEach(node, list) {
		row = &facts->nodes[facts->node_count++];
		*row = (struct progress_row){ .name = text_of(node, "name"), .state = text_of(node, "state"), .age = json_number(node, "heartbeat_age"),
					      .held = json_count(node, "held"), .done = json_count(node, "done"), .failed = json_count(node, "failed"),
					      .lost = json_count(node, "lost"), .limit = text_of(node, "limit") };
		seen = json_number(node, "last_seen");
		if (row->age < 0 && seen >= 0 && seen <= now)
			row->age = now - seen;
	}
	qsort(facts->nodes, facts->node_count, sizeof(*facts->nodes), compare_rows);
	return 0;
}

static void read_units(const cJSON *root, struct progress_facts *facts)
{
	const cJSON *units = cJSON_GetObjectItemCaseSensitive(root, "units"), *rate = cJSON_GetObjectItemCaseSensitive(root, "rate");

	facts->total = json_count(units, "total");
	facts->todo = json_count(units, "todo");
	facts->claimed = json_count(units, "claimed");
	facts->done = json_count(units, "done");
	facts->failed = json_count(units, "failed");
	facts->unsettled = json_count(units, "unsettled");
	facts->rate_minute = json_number(rate, "last_minute");
	facts->rate_overall = json_number(rate, "overall");
	facts->eta = json_number(root, "eta");
}

/* `split` says it best; an older mount has no more than the times of jobs. */
static void read_parts(const cJSON *root, struct progress_facts *facts)
{
	const cJSON *split = cJSON_GetObjectItemCaseSensitive(root, "split"), *spent = cJSON_GetObjectItemCaseSensitive(root, "time_spent");
	const cJSON *advice = cJSON_GetObjectItemCaseSensitive(root, "advice");
	double computing = json_count(spent, "user") + json_count(spent, "sys");
	const char *name;
	size_t i, count = 0;

	facts->advice = cJSON_IsString(advice) ? advice->valuestring : NULL;
	for (i = 0; split && i < LIMITS_PARTS; i++) {
		name = limits_name(limits_parts[i]);
		if (json_count(split, name) > 0)
			facts->parts[count++] = (struct progress_part){ name, json_count(split, name) };
	}
	if (split || !spent)
		return;
	facts->parts[0] = (struct progress_part){ limits_name(LIMIT_COMPUTING), computing };
	facts->parts[1] = (struct progress_part){ "waiting", json_count(spent, "wall") > computing ? json_count(spent, "wall") - computing : 0 };
}

static void read_sums(const cJSON *root, struct progress_facts *facts)
{
	const cJSON *spent = cJSON_GetObjectItemCaseSensitive(root, "time_spent"), *mount = cJSON_GetObjectItemCaseSensitive(root, "this_mount");
	const cJSON *hedges = cJSON_GetObjectItemCaseSensitive(root, "hedges");

	facts->time = json_number(root, "time");
	facts->measured = json_count(spent, "units");
	facts->wall = json_number(spent, "wall");
	facts->in_bytes = json_number(spent, "in");
	facts->out_bytes = json_number(spent, "out");
	facts->claims_tried = json_count(mount, "claims_tried");
	facts->claims_lost = json_count(mount, "claims_lost");
	facts->hedges_won = json_count(hedges, "won");
	facts->hedges_lost = json_count(hedges, "lost");
	facts->wasted = json_count(hedges, "wasted");
}

static void read_warnings(const cJSON *root, struct progress_facts *facts)
{
	const cJSON *warning;
	size_t count = 0;

	cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(root, "warnings"))
		if (cJSON_IsString(warning) && count < PROGRESS_WARNINGS)
			facts->warnings[count++] = warning->valuestring;
}

int progress_parse(const char *text, size_t len, struct progress_facts *ret_facts)
{
	cJSON *root = cJSON_ParseWithLength(text, len);
	struct progress_facts facts = { .root = root };
	int error;

	if (json_number(root, "format") != FORMAT) {
		cJSON_Delete(root);
		return -EINVAL;
	}
	facts.queue = text_of(root, "queue");
	read_units(root, &facts);
	read_parts(root, &facts);
	read_sums(root, &facts);
	read_warnings(root, &facts);
	facts.limit = text_of(root, "limit");
	error = read_nodes(root, facts.time, &facts);
	if (error)
		progress_release(&facts);
	else
		*ret_facts = facts;
	return error;
}

int progress_read(const char *queue, struct progress_facts *ret_facts)
{
	struct buf path = BUF_INIT, text = BUF_INIT;
	int error;

	buf_addf(&path, "%s/progress.json", queue);
	error = buf_error(&path) ? buf_error(&path) : io_read_file(buf_text(&path), MAX_BYTES, &text);
	if (!error)
		error = progress_parse(buf_text(&text), text.len, ret_facts);
	buf_release(&path);
	buf_release(&text);
	return error;
}

void progress_release(struct progress_facts *facts)
{
	cJSON_Delete(facts->root);
	free(facts->nodes);
	*facts = (struct progress_facts){ 0 };
}
