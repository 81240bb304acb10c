/* doctor: made-up queues and nodes, of which everybody knows what is in their way. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/doctor.h"

static const struct doctor_node well = {
	.cores = 8, .slots = 8, .load = 7.5, .memory_total = 32e9, .memory_available = 20e9, .files_soft = 1024, .files_hard = 4096, .has_stats = true,
	.connections = 4, .connections_up = 2, .rtt = 0.02, .transferred = true, .write_rate = 50e6, .read_rate = 80e6, .aes_rate = 3e9,
	.chacha_rate = 1e9, .clock_known = true, .clock_offset = -1,
};

static const struct finding *find(const struct findings *findings, const char *name)
{
	size_t i;

	for (i = 0; i < findings->count; i++)
		if (strcmp(findings->list[i].name, name) == 0)
			return &findings->list[i];
	return NULL;
}

static void assert_says(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("no '%s' in: %s", part, text ? text : "(nothing)");
}

/* That one warning, with these words in its advice. */
static void assert_node(const struct doctor_node *node, const char *limit, const char *name, const char *advice)
{
	struct findings findings = { 0 };

	doctor_node(node, limit, &findings);
	assert_false(findings.failed);
	assert_int_equal(findings_warnings(&findings), name ? 1 : 0);
	if (name) {
		assert_non_null(find(&findings, name));
		assert_says(find(&findings, name)->advice, advice);
	}
	findings_release(&findings);
}

static void nodes(void **state)
{
	struct findings findings = { 0 };
	struct doctor_node node = well;

	(void)state;
	assert_node(&node, "computing", NULL, NULL);
	assert_node(&node, "latency", "latency", "--ahead");
	node.rtt = 0.2;
	assert_node(&node, "computing", "latency", "nearer disk");
	node = well, node.files_soft = 100;
	assert_node(&node, "", "open files", "ulimit -n 128");
	node.files_hard = 100;
	assert_node(&node, "", "open files", "LimitNOFILE");
	node.files_soft = HUGE_VAL;
	assert_node(&node, "", NULL, NULL);
	node = well, node.load = 40;
	assert_node(&node, "", "cores", "fewer slots");
	node = well, node.memory_available = 1e9;
	assert_node(&node, "", "memory", "--mem-free");
	node = well, node.group_error = -EACCES;
	assert_node(&node, "", NULL, NULL);
	doctor_node(&node, "", &findings);
	assert_says(find(&findings, "--memory")->text, "each process by itself, here and now: the cgroup is not delegated");
	findings_release(&findings);
	node = well, node.connections_up = 0;
	assert_node(&node, "", "connection", "not reached");
	node = well, node.reconnects = 7;
	assert_node(&node, "", "connection", "line is bad");
	node = well, node.read_rate = 2.5e9;
	assert_node(&node, "", "cipher", "connections=");
	node = well, node.aes_rate = 1e8;
	assert_node(&node, "", "cipher", "chacha20-poly1305@openssh.com");
	node.local = true;
	assert_node(&node, "", NULL, NULL);
	node = well, node.transfer_error = -ENOSPC;
	assert_node(&node, "", "link rate", "space");
	node = well, node.transferred = false;
	assert_node(&node, "", NULL, NULL);
	node = well, node.clock_offset = -4000;
	assert_node(&node, "", "clock", "NTP");
}

/* ---- queues, as progress.json has them ---- */

static struct findings examine(const char *json)
{
	struct findings findings = { 0 };
	struct progress_facts facts;

	assert_int_equal(progress_parse(json, strlen(json), &facts), 0);
	doctor_queue(&facts, &well, &findings);
	assert_false(findings.failed);
	progress_release(&facts);
	return findings;
}

static void a_queue_that_nobody_has_seen(void **state)
{
	struct findings findings = examine("{\"format\":1,\"units\":{\"total\":5,\"todo\":5},\"nodes\":[],\"time_spent\":null,\"split\":null,\"limit\":\"unknown\"}");

	(void)state;
	assert_int_equal(findings_warnings(&findings), 0);
	assert_says(find(&findings, "limit")->text, "nothing has run yet");
	findings_release(&findings);
	findings = examine("{\"format\":1}");	/* as little as a mount may say */
	assert_int_equal(findings_warnings(&findings), 0);
	findings_release(&findings);
}

static void a_queue_that_nobody_works_on(void **state)
{
	struct findings findings = examine("{\"format\":1,\"units\":{\"total\":40,\"todo\":36,\"claimed\":0,\"done\":4},\"eta\":54,"
		"\"nodes\":[{\"name\":\"a\",\"state\":\"live\",\"held\":0,\"done\":4}]}");

	(void)state;
	assert_int_equal(findings_warnings(&findings), 1);
	assert_says(find(&findings, "nodes")->text, "0 of 1 work now");
	assert_says(find(&findings, "nodes")->advice, "claim-worker QUEUE");
	assert_null(strstr(find(&findings, "units")->text, "through in"));
	findings_release(&findings);
}

static void nothing_is_in_the_way_of_what_is_finished(void **state)
{
	struct findings findings = examine("{\"format\":1,\"units\":{\"total\":4,\"todo\":0,\"claimed\":0,\"done\":4},"
		"\"nodes\":[{\"name\":\"a\",\"state\":\"live\",\"held\":0,\"done\":4}],\"time_spent\":{\"wall\":0.02,\"units\":4},"
		"\"split\":{\"starting\":0.0012,\"other\":0.02},\"limit\":\"starting\",\"advice\":\"use --batch auto\"}");

	(void)state;
	assert_int_equal(findings_warnings(&findings), 0);
	assert_says(find(&findings, "limit")->text, "starting takes 0.3 ms a unit; if there is more of the like: use --batch auto");
	findings_release(&findings);
}

static void a_queue_that_waits_for_round_trips(void **state)
{
	struct findings findings = examine("{\"format\":1,\"time\":100,\"units\":{\"total\":300,\"todo\":100,\"done\":198,\"failed\":2},"
		"\"nodes\":[{\"name\":\"a\",\"state\":\"live\",\"held\":5,\"limit\":\"latency\",\"done\":150},{\"name\":\"b\",\"state\":\"live\",\"limit\":\"computing\",\"done\":48},"
		"{\"name\":\"c\",\"state\":\"stale\",\"held\":3,\"heartbeat_age\":75}],"
		"\"time_spent\":{\"wall\":20,\"user\":1,\"sys\":1,\"in\":2000000,\"out\":0,\"units\":200},"
		"\"split\":{\"computing\":2,\"reading\":16,\"other\":2},\"limit\":\"latency\",\"advice\":\"raise --ahead\","
		"\"hedges\":{\"won\":2,\"lost\":1,\"wasted\":75.5},"
		"\"this_mount\":{\"claims_tried\":1000,\"claims_lost\":400},\"warnings\":[\"one\",\"two\"]}");

	(void)state;
	assert_says(find(&findings, "limit")->advice, "raise --ahead");
	assert_says(find(&findings, "limit")->text, "80%");
	assert_says(find(&findings, "limit")->text, "4.0 round trips a unit");	/* 16 s / 200 units / 20 ms */
	assert_says(find(&findings, "a unit")->text, "runs 100 ms, computes 10 ms, reads 10 kB");
	assert_says(find(&findings, "node")->text, "b is another case: computing");
	assert_says(find(&findings, "silent")->text, "c has 3 claims and was silent for 1 min 15 s");
	assert_says(find(&findings, "failed")->text, "2 units failed");
	assert_says(find(&findings, "races")->text, "400 of 1000");
	assert_null(find(&findings, "nodes")->advice);
	assert_says(find(&findings, "hedges")->text, "3 second attempts, 2 came first; 1 min 1");
	assert_null(find(&findings, "hedges")->advice);
	assert_int_equal(findings_warnings(&findings), 6);	/* limit, silent, failed, races, two of the mount */
	findings_release(&findings);
}

static void idle_slots_are_in_the_way_while_units_are_left(void **state)
{
	static const char json[] = "{\"format\":1,\"units\":{\"total\":9,\"todo\":0,\"claimed\":%c,\"done\":9},\"nodes\":[],\"time_spent\":{\"wall\":1,\"units\":9},"
				   "\"split\":{\"computing\":1,\"idle\":9},\"limit\":\"idle\",\"advice\":\"fewer slots\"}";
	char text[sizeof(json)], *at;
	struct findings findings;
	int claimed;

	(void)state;
	for (claimed = 0; claimed <= 1; claimed++) {
		strcpy(text, json);
		at = strstr(text, "%c");
		at[0] = ' ';
		at[1] = (char)('0' + claimed);
		findings = examine(text);
		assert_int_equal(findings_warnings(&findings), claimed);
		assert_says(find(&findings, "limit")->text, "idle, 90%");
		findings_release(&findings);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes), cmocka_unit_test(a_queue_that_nobody_works_on), cmocka_unit_test(nothing_is_in_the_way_of_what_is_finished),
		cmocka_unit_test(a_queue_that_nobody_has_seen), cmocka_unit_test(a_queue_that_waits_for_round_trips),
		cmocka_unit_test(idle_slots_are_in_the_way_while_units_are_left),
	};

	return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
