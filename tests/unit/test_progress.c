/* progress: no line is wider than 80 columns, and the JSON is JSON, whatever nodes call themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "queue/progress.h"

static struct progress sample(void)
{
	return (struct progress){ .queue = "photos", .now = 1700000000, .todo = 60, .claimed = 10, .done = 25, .failed = 5, .rate_minute = 2,
				  .rate_overall = 1, .eta_s = 35 };
}

static void assert_narrow(const char *text)
{
	size_t columns = 0;

	for (; *text; text++) {
		if (*text == '\n') {
			assert_true(columns <= 80);
			columns = 0;
		} else if (((unsigned char)*text & 0xc0) != 0x80) {
			columns++;
		}
	}
	assert_int_equal(columns, 0);
}

static void test_text(void **state)
{
	struct progress_node nodes[30];
	struct progress progress = sample();
	char names[30][300];
	struct buf text = BUF_INIT;
	const char *bar;
	size_t i;

	(void)state;
	memset(nodes, 0, sizeof(nodes));
	for (i = 0; i < 30; i++) {
		snprintf(names[i], sizeof(names[i]), "node-%zu.%s", i, i == 3 ? "\xff\n\x1b[2J" : i == 4 ? "h\xc3\xb6st" : "1");
		if (i == 5) {
			memset(names[i], 'n', sizeof(names[i]) - 1);
			names[i][sizeof(names[i]) - 1] = '\0';
		}
		nodes[i] = (struct progress_node){ .name = names[i], .state = i < 6 ? PROGRESS_LIVE : PROGRESS_GONE, .heartbeat_age_s = (int64_t)(i * i * i * i * i),
						   .last_seen = PROGRESS_UNKNOWN, .done = i == 7 ? 9999999999u : 1 };
	}
	progress.nodes = nodes;
	progress.node_count = 30;
	progress.has_spent = true;
	progress.spent = nodes[2].spent = (struct progress_spent){ .wall_s = 100, .user_s = 10, .read_wait_s = 80, .units = 3, .in_bytes = 9e9 };
	assert_int_equal(progress_text(&progress, &text), 0);
	assert_narrow(text.data);
	assert_non_null(strstr(text.data, "25 of 100 done\n"));
	assert_non_null(strstr(text.data, " 25.0 %\n"));
	assert_non_null(strstr(text.data, "todo 60  claimed 10  done 25  failed 5\n"));
	assert_non_null(strstr(text.data, "ETA 35 s\n"));
	assert_non_null(strstr(text.data, "\n5 failed: failed/ says why; mend it, then `claimctl retry QUEUE --all'\n"));
	assert_null(strstr(text.data, "nobody works"));
	assert_non_null(strstr(text.data, "\n computing 10% reading 80% other 10%\nlimited by reading inputs: "));
	assert_non_null(strstr(text.data, " limited by reading, 100 s of jobs:\n computing 10% reading 80% other 10%\n"));
	assert_null(strchr(text.data, '\x1b'));
	assert_non_null(strstr(text.data, "(more that are gone)"));
	assert_non_null(strstr(text.data, "node-15.1"));
	assert_null(strstr(text.data, "node-16.1"));
	bar = strchr(text.data, '[');
	assert_int_equal(strcspn(bar, "]"), 69);
	assert_int_equal(strspn(bar + 1, "#"), 17);
	/* All the parts there are. */
	buf_reset(&text);
	progress.claimed = progress.failed = 0;
	progress.spent = (struct progress_spent){ .wall_s = 600, .user_s = 100, .read_wait_s = 100, .write_wait_s = 100, .spawn_s = 100, .ready_s = 200,
						  .claim_s = 100, .idle_s = 100, .units = 3 };
	assert_int_equal(progress_text(&progress, &text), 0);
	assert_narrow(text.data);
	assert_non_null(strstr(text.data, "\n computing 12% reading 12% writing 12% starting 12% crowded 12%"));
	assert_non_null(strstr(text.data, " other 12%\n"));
	assert_null(strstr(text.data, "failed: "));
	assert_non_null(strstr(text.data, "\nnobody works on it now: start `claim-worker QUEUE -- COMMAND'\n"));
	buf_release(&text);
}

static void test_empty(void **state)
{
	struct progress progress = { .rate_minute = -1, .rate_overall = -1, .eta_s = PROGRESS_UNKNOWN };
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(progress_text(&progress, &text), 0);
	assert_narrow(text.data);
	assert_non_null(strstr(text.data, "0 of 0 done\n"));
	assert_non_null(strstr(text.data, "ETA -\n"));
	assert_non_null(strstr(text.data, "no units: put files where"));
	buf_reset(&text);
	progress.unsettled = 1;
	assert_int_equal(progress_text(&progress, &text), 0);
	assert_null(strstr(text.data, "no units"));
	buf_release(&text);
}

static void test_eta(void **state)
{
	struct progress progress = sample();

	(void)state;
	assert_int_equal(progress_eta(&progress), 35);
	progress.rate_minute = 0;
	assert_int_equal(progress_eta(&progress), 70);
	progress.rate_overall = -1;
	assert_int_equal(progress_eta(&progress), PROGRESS_UNKNOWN);
	progress.rate_overall = 1e-300;
	assert_int_equal(progress_eta(&progress), PROGRESS_UNKNOWN);
	progress.todo = progress.claimed = 0;
	assert_int_equal(progress_eta(&progress), 0);
}

/* Never says 100 % before it is so. */
static void test_almost(void **state)
{
	struct progress progress = { .done = 999999, .todo = 1, .rate_minute = -1, .rate_overall = -1, .eta_s = -1 };
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(progress_text(&progress, &text), 0);
	assert_non_null(strstr(text.data, " 99.9 %"));
	buf_reset(&text);
	progress.todo = 0;
	assert_int_equal(progress_text(&progress, &text), 0);
	assert_non_null(strstr(text.data, "100.0 %"));
	buf_release(&text);
}

static double number(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	assert_true(cJSON_IsNumber(item));
	return item->valuedouble;
}

static void test_json(void **state)
{
	static const char *const warnings[] = { "the disk is \"full\"\n", NULL };
	struct progress_node node = { .name = "bad\xff\xc3(\xed\xa0\x80", .host = NULL, .state = PROGRESS_STALE, .heartbeat_age_s = PROGRESS_UNKNOWN,
				      .last_seen = 1699999999, .held = 3 };
	struct progress progress = sample();
	struct buf text = BUF_INIT;
	const cJSON *item;
	cJSON *root;

	(void)state;
	progress.nodes = &node;
	progress.node_count = 1;
	progress.warnings = warnings;
	progress.has_spent = true;
	progress.spent = (struct progress_spent){ .wall_s = 10, .take_s = PROGRESS_UNKNOWN };
	assert_int_equal(progress_json(&progress, &text), 0);
	assert_int_equal(text.data[text.len - 1], '\n');
	root = cJSON_Parse(text.data);
	assert_non_null(root);
	item = cJSON_GetObjectItemCaseSensitive(root, "units");
	assert_true(number(item, "total") == 100 && number(item, "done") == 25 && number(item, "todo") == 60);
	assert_true(number(cJSON_GetObjectItemCaseSensitive(root, "rate"), "last_minute") == 2);
	assert_true(number(root, "eta") == 35);
	item = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(root, "nodes"), 0);
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(item, "name")->valuestring, "bad%FF%C3(%ED%A0%80");
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(item, "state")->valuestring, "stale");
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item, "host")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item, "heartbeat_age")));
	item = cJSON_GetObjectItemCaseSensitive(root, "this_mount");
	assert_int_equal(cJSON_GetObjectItemCaseSensitive(item, "claims_lost")->valueint, 0);
	item = cJSON_GetObjectItemCaseSensitive(root, "time_spent");
	assert_true(number(item, "wall") == 10 && cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item, "take")));
	assert_true(number(cJSON_GetObjectItemCaseSensitive(root, "split"), "other") == 10);
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "limit")->valuestring, "other");
	assert_non_null(strstr(cJSON_GetObjectItemCaseSensitive(root, "advice")->valuestring, "more slots"));
	item = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(root, "warnings"), 0);
	assert_string_equal(item->valuestring, "the disk is \"full\"%0A");
	cJSON_Delete(root);
	buf_release(&text);
}

/*
 * What programs out there rely on, by path and type; claimfs-queue(7) has the same list. Of a format none of it may go or change: a change here
 * means another format.
 */
static const struct {
	const char *path;
	int type;
	bool nullable;
} pinned[] = {
	{ "format", cJSON_Number, false }, { "queue", cJSON_String, false }, { "time", cJSON_Number, false },
	{ "units.total", cJSON_Number, false }, { "units.todo", cJSON_Number, false }, { "units.claimed", cJSON_Number, false },
	{ "units.done", cJSON_Number, false }, { "units.failed", cJSON_Number, false }, { "units.unsettled", cJSON_Number, false },
	{ "rate.last_minute", cJSON_Number, true }, { "rate.overall", cJSON_Number, true }, { "eta", cJSON_Number, true },
	{ "nodes", cJSON_Array, false }, { "nodes.name", cJSON_String, false }, { "nodes.host", cJSON_String, true },
	{ "nodes.state", cJSON_String, false }, { "nodes.heartbeat_age", cJSON_Number, true }, { "nodes.held", cJSON_Number, false },
	{ "nodes.done", cJSON_Number, false }, { "nodes.failed", cJSON_Number, false }, { "nodes.lost", cJSON_Number, false },
	{ "nodes.last_seen", cJSON_Number, true }, { "time_spent", cJSON_Object, true }, { "time_spent.wall", cJSON_Number, true },
	{ "time_spent.user", cJSON_Number, true }, { "time_spent.sys", cJSON_Number, true }, { "time_spent.in", cJSON_Number, true },
	{ "time_spent.out", cJSON_Number, true }, { "time_spent.take", cJSON_Number, true }, { "time_spent.commit", cJSON_Number, true },
	{ "split", cJSON_Object, false }, { "split.computing", cJSON_Number, false }, { "split.reading", cJSON_Number, false },
	{ "split.writing", cJSON_Number, false }, { "split.starting", cJSON_Number, false }, { "split.claiming", cJSON_Number, false },
	{ "split.idle", cJSON_Number, false }, { "split.other", cJSON_Number, false }, { "limit", cJSON_String, false },
	{ "advice", cJSON_String, false }, { "nodes.split.computing", cJSON_Number, false }, { "nodes.limit", cJSON_String, false },
	{ "this_mount.claims_tried", cJSON_Number, false }, { "this_mount.claims_lost", cJSON_Number, false },
	{ "this_mount.refresh", cJSON_Number, false }, { "warnings", cJSON_Array, false },
};

/* NULL: it is not there, or what it lies in is null. */
static const cJSON *at_path(const cJSON *item, const char *path, bool *ret_in_null)
{
	char name[64];
	size_t len;

	for (*ret_in_null = false; item; path += len + 1) {
		len = strcspn(path, ".");
		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		item = cJSON_GetObjectItemCaseSensitive(cJSON_IsArray(item) ? cJSON_GetArrayItem(item, 0) : item, name);
		if (path[len] == '\0')
			return item;
		*ret_in_null = cJSON_IsNull(item);
	}
	return NULL;
}

static void assert_pinned(const struct progress *progress, bool known)
{
	struct buf text = BUF_INIT;
	const cJSON *item;
	bool in_null;
	cJSON *root;
	size_t i;

	assert_int_equal(progress_json(progress, &text), 0);
	root = cJSON_Parse(text.data);
	for (i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++) {
		item = at_path(root, pinned[i].path, &in_null);
		if (in_null && !known)
			continue;
		if (!item || !(item->type == pinned[i].type || (pinned[i].nullable && !known && cJSON_IsNull(item))))
			fail_msg("%s is %s", pinned[i].path, item ? "of another type" : "gone");
	}
	assert_true(number(root, "format") == 1);
	cJSON_Delete(root);
	buf_release(&text);
}

static void test_names_and_types_stay(void **state)
{
	struct progress_node node = { .name = "a", .host = "h", .heartbeat_age_s = 1, .last_seen = 2 };
	struct progress progress = sample();

	(void)state;
	progress.nodes = &node;
	progress.node_count = 1;
	progress.has_spent = true;
	assert_pinned(&progress, true);
	node = (struct progress_node){ .name = "a", .heartbeat_age_s = PROGRESS_UNKNOWN, .last_seen = PROGRESS_UNKNOWN };
	progress.has_spent = false;
	progress.rate_minute = progress.rate_overall = -1;
	progress.eta_s = PROGRESS_UNKNOWN;
	assert_pinned(&progress, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_empty), cmocka_unit_test(test_eta), cmocka_unit_test(test_almost),
		cmocka_unit_test(test_json), cmocka_unit_test(test_names_and_types_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
