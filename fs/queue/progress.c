/*
 * progress: shows the facts of a queue to people and to programs. The JSON's names are documented in progress.h.
 */
#include "queue/progress.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pct.h"
#include "base/utf8.h"
#include "queue/limits.h"

#define BAR_COLUMNS 68
#define NODE_COLUMNS 28
#define LINE_COLUMNS 79
#define MAX_GONE 10		/* lines of nodes that are gone; preemptible nodes come and go by the thousand */
#define MAX_ETA_S (1000LL * 365 * 86400)

static uint64_t progress_total(const struct progress *progress)
{
	return progress->todo + progress->claimed + progress->done + progress->failed;
}

int64_t progress_eta(const struct progress *progress)
{
	double rate = progress->rate_minute > 0 ? progress->rate_minute : progress->rate_overall;
	double seconds;

	if (progress->todo + progress->claimed == 0)
		return 0;
	if (!(rate > 0))
		return PROGRESS_UNKNOWN;
	seconds = (double)(progress->todo + progress->claimed) / rate;
	if (!(seconds < (double)MAX_ETA_S))
		return PROGRESS_UNKNOWN;
	return (int64_t)seconds + (seconds > (double)(int64_t)seconds);
}

/* ---- names ---- */

/* As pct_encode, and bytes that are not UTF-8 as %XX too. */
static void add_name(struct buf *to, const char *name)
{
	size_t len = strlen(name), i, step;

	for (i = 0; i < len; i += step) {
		step = utf8_sequence(name + i, len - i);
		if (step > 0) {
			pct_encode(to, name + i, step);
			continue;
		}
		buf_addf(to, "%%%02X", (unsigned char)name[i]);
		step = 1;
	}
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Moves `count` characters on from `text`. */
static const char *utf8_skip(const char *text, size_t count)
{
	while (count > 0 && *text != '\0') {
		text++;
		while (is_continuation(*text))
			text++;
		count--;
	}
	return text;
}

static size_t utf8_columns(const char *text)
{
	size_t columns = 0;

	for (; *text != '\0'; text++)
		columns += !is_continuation(*text);
	return columns;
}

/* In exactly `columns` columns; a longer name loses its middle, because its end (the incarnation) tells nodes of a host apart. */
static void add_name_padded(struct buf *to, const char *name, size_t columns)
{
	struct buf encoded = BUF_INIT;
	const char *text, *head_end;
	size_t have, head = columns - columns / 3 - 1;

	add_name(&encoded, name);
	text = buf_text(&encoded);
	have = utf8_columns(text);
	if (have > columns) {
		head_end = utf8_skip(text, head);
		buf_add(to, text, (size_t)(head_end - text));
		buf_addch(to, '~');
		buf_adds(to, utf8_skip(text, have - (columns - head - 1)));
	} else {
		buf_adds(to, text);
		buf_addf(to, "%*s", (int)(columns - have), "");
	}
	buf_release(&encoded);
}

/* ---- text ---- */

/* At most four columns: 59s 59m 47h 999d. */
static void format_age(int64_t seconds, char ret_text[16])
{
	if (seconds < 0)
		snprintf(ret_text, 16, "-");
	else if (seconds < 100)
		snprintf(ret_text, 16, "%ds", (int)seconds);
	else if (seconds < 100 * 60)
		snprintf(ret_text, 16, "%dm", (int)(seconds / 60));
	else if (seconds < 100 * 3600)
		snprintf(ret_text, 16, "%dh", (int)(seconds / 3600));
	else
		snprintf(ret_text, 16, "%dd", (int)(seconds / 86400 < 99999 ? seconds / 86400 : 99999));
}

static void add_duration(struct buf *to, int64_t seconds)
{
	if (seconds < 60)
		buf_addf(to, "%" PRId64 " s", seconds);
	else if (seconds < 3600)
		buf_addf(to, "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
	else if (seconds < 2 * 86400)
		buf_addf(to, "%" PRId64 " h %" PRId64 " min", seconds / 3600, seconds % 3600 / 60);
	else
		buf_addf(to, "%" PRId64 " d %" PRId64 " h", seconds / 86400, seconds % 86400 / 3600);
}

/* Done #, failed x, claimed >, todo . ; the ends of the parts are rounded, so that the whole always fills the bar. */
static void add_bar(const struct progress *progress, struct buf *to)
{
	const uint64_t counts[] = { progress->done, progress->failed, progress->claimed, progress->todo };
	const char signs[] = "#x>.";
	double total = (double)progress_total(progress), sum = 0;
	int part, column = 0;

	buf_addch(to, '[');
	for (part = 0; part < 4; part++) {
		sum += (double)counts[part];
		while (total > 0 && column < BAR_COLUMNS && column < (int)(sum / total * BAR_COLUMNS + 0.5)) {
			buf_addch(to, signs[part]);
			column++;
		}
	}
	buf_addf(to, "%*s]", BAR_COLUMNS - column, "");
	/* Rounded down: 100 % is said when it is. */
	buf_addf(to, " %5.1f %%\n", total > 0 ? (double)(int)((double)progress->done / total * 1000) / 10 : 0.0);
}

static void add_rate(struct buf *to, double rate, const char *of)
{
	if (rate < 0)
		buf_addf(to, "- (%s)", of);
	else if (rate < 1)
		buf_addf(to, "%.1f/min (%s)", rate * 60, of);
	else
		buf_addf(to, "%.1f/s (%s)", rate, of);
}

static void add_head(const struct progress *progress, struct buf *to)
{
	if (progress->queue && progress->queue[0] != '\0') {
		add_name(to, progress->queue);
		buf_adds(to, ": ");
	}
	buf_addf(to, "%" PRIu64 " of %" PRIu64 " done\n", progress->done, progress_total(progress));
	add_bar(progress, to);
	buf_addf(to, "todo %" PRIu64 "  claimed %" PRIu64 "  done %" PRIu64 "  failed %" PRIu64, progress->todo,
		 progress->claimed, progress->done, progress->failed);
	if (progress->unsettled > 0)
		buf_addf(to, "  not settled yet %" PRIu64, progress->unsettled);
	buf_adds(to, "\nrate ");
	add_rate(to, progress->rate_minute, "last minute");
	buf_adds(to, "  ");
	add_rate(to, progress->rate_overall, "overall");
	buf_adds(to, "  ETA ");
	if (progress->eta_s < 0)
		buf_adds(to, "-");
	else
		add_duration(to, progress->eta_s);
	buf_addch(to, '\n');
}

/* Who has a deadline needs to know what will not happen by itself. */
static void add_to_do(const struct progress *progress, struct buf *to)
{
	if (progress->failed > 0)
		buf_addf(to, "%" PRIu64 " failed: failed/ says why; mend it, then `claimctl retry QUEUE --all'\n", progress->failed);
	if (progress->todo > 0 && progress->claimed == 0 && progress->node_count > 0)
		buf_adds(to, "nobody works on it now: start `claim-worker QUEUE -- COMMAND'\n");
	if (progress_total(progress) == 0 && progress->unsettled == 0)
		buf_adds(to, "no units: put files where `input' in .claimfs/queue.conf says\n");
}

static const char *state_name(enum progress_state state)
{
	static const char *const names[] = { [PROGRESS_LIVE] = "live", [PROGRESS_STALE] = "stale", [PROGRESS_GONE] = "gone" };

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : "gone";
}

static int64_t node_age(const struct progress *progress, const struct progress_node *node)
{
	if (node->heartbeat_age_s >= 0)
		return node->heartbeat_age_s;
	if (node->last_seen < 0 || node->last_seen > progress->now)
		return PROGRESS_UNKNOWN;
	return progress->now - node->last_seen;
}

static void add_node(const struct progress *progress, const struct progress_node *node, struct buf *to)
{
	char age[16];

	format_age(node_age(progress, node), age);
	add_name_padded(to, node->name, NODE_COLUMNS);
	buf_addf(to, " %-5s %5s %7" PRIu64 " %10" PRIu64 " %8" PRIu64 " %8" PRIu64 "\n", state_name(node->state), age, node->held,
		 node->done, node->failed, node->lost);
}

/* Those that work first, then the first few that are gone, then the rest of these in one line. */
static void add_nodes(const struct progress *progress, struct buf *to)
{
	struct progress_node rest = { .name = "(more that are gone)", .state = PROGRESS_GONE, .heartbeat_age_s = PROGRESS_UNKNOWN,
				      .last_seen = PROGRESS_UNKNOWN };
	const struct progress_node *node, *end = progress->nodes + progress->node_count;
	size_t gone = 0;

	if (progress->node_count == 0)
		return;
	buf_addf(to, "\n%-*s %-5s %5s %7s %10s %8s %8s\n", NODE_COLUMNS, "NODE", "STATE", "BEAT", "HELD", "DONE", "FAILED", "LOST");
	for (node = progress->nodes; node < end; node++)
		if (node->state != PROGRESS_GONE)
			add_node(progress, node, to);
	for (node = progress->nodes; node < end; node++) {
		if (node->state != PROGRESS_GONE)
			continue;
		if (gone++ < MAX_GONE) {
			add_node(progress, node, to);
			continue;
		}
		rest.held += node->held;
		rest.done += node->done;
		rest.failed += node->failed;
		rest.lost += node->lost;
	}
	if (gone > MAX_GONE)
		add_node(progress, &rest, to);
}

/* The shares of what there is, a line or two. */
static void add_split(const struct progress_spent *spent, struct buf *to)
{
	struct limits_split split;
	size_t i, line = to->len;
	char part[32];
	double share;

	limits_split(spent, &split);
	for (i = 0; i < LIMITS_PARTS; i++) {
		share = split.total > 0 ? split.seconds[limits_parts[i]] / split.total : 0;
		if (share < 0.005)
			continue;
		snprintf(part, sizeof(part), " %s %.0f%%", limits_name(limits_parts[i]), 100 * share);
		if (to->len - line + strlen(part) > LINE_COLUMNS) {
			buf_addch(to, '\n');
			line = to->len;
		}
		buf_adds(to, part);
	}
	buf_addch(to, '\n');
}

/* Broken at a space when it is wider than the screen. */
static void add_advice(const char *advice, struct buf *to)
{
	const char *cut = advice + strlen(advice);

	if (cut - advice > LINE_COLUMNS) {
		for (cut = advice + LINE_COLUMNS; *cut != ' '; cut--)
			;
		buf_add(to, advice, (size_t)(cut - advice));
		buf_addch(to, '\n');
		advice = cut + 1;
	}
	buf_adds(to, advice);
	buf_addch(to, '\n');
}

/* Of the nodes that work: where each one's time goes. */
static void add_node_splits(const struct progress *progress, struct buf *to)
{
	const struct progress_node *node, *end = progress->nodes + progress->node_count;

	for (node = progress->nodes; node < end; node++) {
		enum limit limit = limits_of(&node->spent);

		if (node->state != PROGRESS_LIVE || limit == LIMIT_UNKNOWN)
			continue;
		add_name_padded(to, node->name, NODE_COLUMNS);
		buf_addf(to, " limited by %s, %.0f s of jobs:\n", limits_name(limit), node->spent.wall_s);
		add_split(&node->spent, to);
	}
}

static void add_hedges(const struct progress_hedges *hedges, struct buf *to)
{
	if (hedges->won + hedges->lost > 0 || hedges->wasted_s >= 1)
		buf_addf(to, "second attempts %" PRIu64 ", %" PRIu64 " came first; %.0f s of work in vain\n", hedges->won + hedges->lost,
			 hedges->won, hedges->wasted_s);
}

static void add_spent(const struct progress *progress, struct buf *to)
{
	const struct progress_spent *spent = &progress->spent;

	if (!progress->has_spent || spent->wall_s + spent->in_bytes + spent->out_bytes <= 0)
		return;
	buf_addf(to, "\njobs ran %.0f s, read %.0f MB, wrote %.0f MB; slots:\n", spent->wall_s, spent->in_bytes / 1e6, spent->out_bytes / 1e6);
	add_split(spent, to);
	add_hedges(&progress->hedges, to);
	add_advice(limits_advice(limits_of(spent)), to);
	add_node_splits(progress, to);
}

int progress_text(const struct progress *progress, struct buf *to)
{
	const char *const *warning;

	add_head(progress, to);
	add_to_do(progress, to);
	add_nodes(progress, to);
	add_spent(progress, to);
	for (warning = progress->warnings; warning && *warning; warning++) {
		buf_adds(to, warning == progress->warnings ? "\n! " : "! ");
		add_name(to, *warning);
		buf_addch(to, '\n');
	}
	return buf_error(to);
}

/* ---- JSON ---- */

/* Adds `item` as the value of `name`; remembers in *ok that memory ran out. */
static void json_put(cJSON *object, const char *name, cJSON *item, bool *ok)
{
	if (item && cJSON_AddItemToObject(object, name, item))
		return;
	cJSON_Delete(item);
	*ok = false;
}

static void json_number(cJSON *object, const char *name, double number, bool *ok)
{
	json_put(object, name, cJSON_CreateNumber(number), ok);
}

/* Negative and not finite: null. */
static void json_known(cJSON *object, const char *name, double number, bool *ok)
{
	json_put(object, name, number >= 0 && isfinite(number) ? cJSON_CreateNumber(number) : cJSON_CreateNull(), ok);
}

static cJSON *json_text(const char *text)
{
	struct buf encoded = BUF_INIT;
	cJSON *item = NULL;

	if (!text)
		return cJSON_CreateNull();
	add_name(&encoded, text);
	if (buf_error(&encoded) == 0)
		item = cJSON_CreateString(buf_text(&encoded));
	buf_release(&encoded);
	return item;
}

/* A new object in `parent`; NULL and *ok false when memory ran out. */
static cJSON *json_object(cJSON *parent, const char *name, bool *ok)
{
	cJSON *object = cJSON_AddObjectToObject(parent, name);

	if (!object)
		*ok = false;
	return object;
}

static void json_units(const struct progress *progress, cJSON *root, bool *ok)
{
	cJSON *units = json_object(root, "units", ok);
	cJSON *rate = json_object(root, "rate", ok);

	if (!units || !rate)
		return;
	json_number(units, "total", (double)progress_total(progress), ok);
	json_number(units, "todo", (double)progress->todo, ok);
	json_number(units, "claimed", (double)progress->claimed, ok);
	json_number(units, "done", (double)progress->done, ok);
	json_number(units, "failed", (double)progress->failed, ok);
	json_number(units, "unsettled", (double)progress->unsettled, ok);
	json_known(rate, "last_minute", progress->rate_minute, ok);
	json_known(rate, "overall", progress->rate_overall, ok);
	json_known(root, "eta", (double)progress->eta_s, ok);
}

static void json_split(const struct progress_spent *spent, cJSON *parent, bool *ok)
{
	cJSON *object = json_object(parent, "split", ok);
	struct limits_split split;
	size_t i;

	if (!object)
		return;
	limits_split(spent, &split);
	for (i = 0; i < LIMITS_PARTS; i++)
		json_number(object, limits_name(limits_parts[i]), split.seconds[limits_parts[i]], ok);
	json_put(parent, "limit", cJSON_CreateString(limits_name(limits_of(spent))), ok);
}

static void json_node(const struct progress_node *node, cJSON *nodes, bool *ok)
{
	cJSON *object = cJSON_CreateObject();

	if (!object || !cJSON_AddItemToArray(nodes, object)) {
		cJSON_Delete(object);
		*ok = false;
		return;
	}
	json_put(object, "name", json_text(node->name), ok);
	json_put(object, "host", json_text(node->host), ok);
	json_put(object, "state", cJSON_CreateString(state_name(node->state)), ok);
	json_known(object, "heartbeat_age", (double)node->heartbeat_age_s, ok);
	json_number(object, "held", (double)node->held, ok);
	json_number(object, "done", (double)node->done, ok);
	json_number(object, "failed", (double)node->failed, ok);
	json_number(object, "lost", (double)node->lost, ok);
	json_known(object, "last_seen", (double)node->last_seen, ok);
	json_split(&node->spent, object, ok);
}

static void json_spent(const struct progress *progress, cJSON *root, bool *ok)
{
	const struct progress_spent *spent = &progress->spent;
	cJSON *object;

	if (!progress->has_spent) {
		json_put(root, "time_spent", cJSON_CreateNull(), ok);
		return;
	}
	object = json_object(root, "time_spent", ok);
	if (!object)
		return;
	json_known(object, "wall", spent->wall_s, ok);
	json_known(object, "user", spent->user_s, ok);
	json_known(object, "sys", spent->sys_s, ok);
	json_known(object, "in", spent->in_bytes, ok);
	json_known(object, "out", spent->out_bytes, ok);
	json_known(object, "units", spent->units, ok);
	json_known(object, "take", spent->take_s, ok);
	json_known(object, "commit", spent->commit_s, ok);
}

static void json_hedges(const struct progress_hedges *hedges, cJSON *root, bool *ok)
{
	cJSON *object = json_object(root, "hedges", ok);

	if (!object)
		return;
	json_number(object, "won", (double)hedges->won, ok);
	json_number(object, "lost", (double)hedges->lost, ok);
	json_number(object, "wasted", hedges->wasted_s, ok);
}

static void json_this_mount(const struct progress *progress, cJSON *root, bool *ok)
{
	cJSON *object = json_object(root, "this_mount", ok);

	if (!object)
		return;
	json_number(object, "claims_tried", (double)progress->claims_tried, ok);
	json_number(object, "claims_lost", (double)progress->claims_lost, ok);
	json_number(object, "refresh", progress->refresh_s, ok);
}

static bool json_fill(const struct progress *progress, cJSON *root)
{
	const char *const *warning;
	cJSON *nodes, *warnings, *text;
	bool ok = true;
	size_t i;

	json_number(root, "format", 1, &ok);
	json_put(root, "queue", json_text(progress->queue ? progress->queue : ""), &ok);
	json_number(root, "time", (double)progress->now, &ok);
	json_units(progress, root, &ok);
	nodes = cJSON_AddArrayToObject(root, "nodes");
	for (i = 0; nodes && i < progress->node_count; i++)
		json_node(&progress->nodes[i], nodes, &ok);
	json_spent(progress, root, &ok);
	json_split(&progress->spent, root, &ok);
	json_put(root, "advice", cJSON_CreateString(limits_advice(limits_of(&progress->spent))), &ok);
	json_hedges(&progress->hedges, root, &ok);
	json_this_mount(progress, root, &ok);
	warnings = cJSON_AddArrayToObject(root, "warnings");
	for (warning = progress->warnings; warnings && warning && *warning; warning++) {
		text = json_text(*warning);
		if (!text || !cJSON_AddItemToArray(warnings, text)) {
			cJSON_Delete(text);
			ok = false;
		}
	}
	return ok && nodes && warnings;
}

int progress_json(const struct progress *progress, struct buf *to)
{
	cJSON *root = cJSON_CreateObject();
	char *text = NULL;

	if (root && json_fill(progress, root))
		text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	if (!text)
		return -ENOMEM;
	buf_adds(to, text);
	buf_addch(to, '\n');
	cJSON_free(text);
	return buf_error(to);
}
