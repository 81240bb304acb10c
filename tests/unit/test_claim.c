/*
 * claim: the rules of claims in queue.md, one test each: who may claim, stale claims, withdrawing, dropped claims, verifying, damaged disks. What
 * became of LINKs without an answer is in test_heal.c, giving back in test_release.c.
 */
#include "tests/fake/bench_queue.h"

/* ---- who may claim ---- */

static void a_claimed_unit_is_busy_for_others(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_claim(b, "x"), -EBUSY);
	assert_int_equal(bench_claim(a, "x"), -EBUSY);
	assert_int_equal(bench_claim(a, "y"), -ENOENT);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	assert_int_equal(bench_take_one(b), 0);
	bench_free(bench);
}

static void a_race_that_the_view_did_not_show_is_lost_politely(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;
	struct buf names = BUF_INIT;

	(void)state;
	bench_inputs(bench, 3);
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(bench_count(b, QUEUE_TODO), 3);
	/* a takes all within b's ttl; b's first flight meets that. */
	assert_int_equal(queue_take(a->queue, NULL, 3, false, NULL, &names), 3);
	assert_int_equal(queue_take(b->queue, NULL, 3, false, NULL, &names), 0);
	buf_release(&names);
	bench_free(bench);
}

static void a_dead_nodes_claim_comes_back_after_the_lease(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_kill(a);
	bench_pass(BENCH_LEASE - 2);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(4);
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	assert_int_equal(bench_take_one(b), 1);
	assert_true(mem_disk_exists(bench->disk, bench_claim_path("x", 0, 2)));
	bench_free(bench);
}

static void a_live_nodes_claim_stays_for_many_leases(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(BENCH_LEASE * 3);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	assert_int_equal(bench_claim(b, "x"), -EBUSY);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

static void a_newcomer_watches_for_half_a_lease(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_kill(a);
	bench_pass(BENCH_LEASE * 2);
	b = bench_mount(bench);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(BENCH_LEASE / 2 + 1);
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	bench_free(bench);
}

static void a_server_clock_set_forward_steals_nothing(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_claim(b, "y"), 0);
	bench_pass(1);
	mem_disk_shift(bench->disk, 3600);
	/* b hears of the new time by its own heartbeat; a's next heartbeat comes within a third of the lease. */
	bench_pass(BENCH_LEASE);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	assert_int_equal(bench_claim(b, "x"), -EBUSY);
	bench_pass(BENCH_LEASE);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_free(bench);
}

static void an_mtime_in_the_future_is_watched_for_a_whole_lease(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;
	char path[LAYOUT_PATH];

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_claim(b, "y"), 0);
	bench_kill(a);
	snprintf(path, sizeof(path), "%s", bench_claim_path("x", 0, 1));
	mem_disk_set_mtime(bench->disk, path, mem_disk_time(bench->disk) + 100000);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(BENCH_LEASE - 1);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(2);
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	bench_free(bench);
}

/* ---- what the looks after the link say ---- */

struct between {
	struct bench *bench;
	void (*act)(struct bench *bench);
	const char *part;
	bool done;
};

/* Acts just before the first operation on a path that holds `part`. */
static void act_between(void *arg, const struct store_op *op)
{
	struct between *between = arg;

	if (between->done || op->kind != STORE_LINK || !op->path2 || !strstr(op->path2, between->part))
		return;
	between->done = true;
	between->act(between->bench);
}

static void touch_first_claim(struct bench *bench)
{
	mem_disk_set_mtime(bench->disk, bench_claim_path("x", 0, 1), mem_disk_time(bench->disk));
}

static bool second_claim_is_free(void *arg)
{
	struct bench *bench = arg;
	int64_t mtime;

	return !mem_disk_mtime(bench->disk, bench_claim_path("x", 0, 2), &mtime) && mtime == 1;
}

static void a_stale_claim_that_moved_makes_the_newcomer_withdraw(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct between between = { .bench = bench, .act = touch_first_claim, .part = "/claims/" };

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_kill(a);
	bench_pass(BENCH_LEASE + 3);
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	mem_set_hook(b->store, act_between, &between);
	assert_int_equal(bench_claim(b, "x"), -EBUSY);
	mem_set_hook(b->store, NULL, NULL);
	assert_true(between.done);
	assert_true(bench_until(second_claim_is_free, bench));
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_free(bench);
}

/* A mount that claims x and meets what `act` has made between its flights: the claim is dropped. */
static struct bench *dropped_by(void (*act)(struct bench *bench), struct bench_mount **ret_a)
{
	struct bench *bench = bench_new("");
	struct between between = { .bench = bench, .act = act, .part = "/claims/" };
	struct bench_mount *a;

	bench_input(bench, "x");
	a = bench_mount(bench);
	assert_true(bench_is(a, QUEUE_TODO, "x"));
	mem_set_hook(a->store, act_between, &between);
	assert_int_equal(bench_claim(a, "x"), -ENOENT);
	mem_set_hook(a->store, NULL, NULL);
	*ret_a = a;
	return bench;
}

static void make_marker(struct bench *bench)
{
	char marker[LAYOUT_PATH];

	snprintf(marker, sizeof(marker), "%s", bench_marker_path("x", 0));
	assert_int_equal(mem_disk_puts(bench->disk, marker, "claimfs 1\nnode other.0000000a\nkind live\n"), 0);
}

static bool first_claim_is_swept(void *arg)
{
	struct bench *bench = arg;

	return !mem_disk_exists(bench->disk, bench_claim_path("x", 0, 1));
}

static void a_marker_that_was_there_drops_the_claim(void **state)
{
	struct bench_mount *a;
	struct bench *bench = dropped_by(make_marker, &a);
	struct buf ticket = BUF_INIT;

	(void)state;
	assert_true(bench_is(a, QUEUE_DONE, "x"));
	assert_int_equal(queue_ticket(a->queue, QUEUE_DONE, "x", &ticket), 0);
	/* The claim is swept, by whoever made it. */
	assert_true(bench_until(first_claim_is_swept, bench));
	buf_release(&ticket);
	bench_free(bench);
}

static void make_failed(struct bench *bench)
{
	struct hash128 unit = layout_unit("x", false, 0, 0);
	char path[LAYOUT_PATH];

	layout_failed(path, &unit, 0);
	assert_int_equal(mem_disk_puts(bench->disk, path, "somebody's words"), 0);
}

static void a_failed_mark_drops_the_claim(void **state)
{
	struct bench_mount *a;
	struct bench *bench = dropped_by(make_failed, &a);

	(void)state;
	assert_true(bench_is(a, QUEUE_FAILED, "x"));
	bench_free(bench);
}

static void make_redo(struct bench *bench)
{
	struct hash128 unit = layout_unit("x", false, 0, 0);
	char path[LAYOUT_PATH];

	layout_redo(path, &unit, 1);
	assert_int_equal(mem_disk_puts(bench->disk, path, ""), 0);
}

static void a_newer_generation_drops_the_claim(void **state)
{
	struct bench_mount *a;
	struct bench *bench = dropped_by(make_redo, &a);

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_true(mem_disk_exists(bench->disk, bench_claim_path("x", 1, 1)));
	bench_free(bench);
}

static void numbers_with_a_gap_are_left_alone(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "x");
	/* claims/x.0.2 is free, and number 1 is missing: a torn listing looks like that. */
	mem_disk_puts(bench->disk, bench_claim_path("x", 0, 2), "claimfs 1\nnode other.0000000a\nkind free\n");
	mem_disk_set_mtime(bench->disk, bench_claim_path("x", 0, 2), 1);
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "x"), -EBUSY);
	assert_int_equal(bench_take_one(a), 0);
	bench_free(bench);
}

static void many_candidates_cost_one_flight(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct bench_mount *a;
	uint64_t before;

	(void)state;
	bench_inputs(bench, 100);
	a = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 1, false, NULL, &names), 1);
	bench_pass(1);	/* the check of old markers is through */
	usleep(200000);
	assert_int_equal(bench_count(a, QUEUE_TODO), 99);
	queue_progress(a->queue, false, &names);
	before = mem_flights_here();	/* the keeper's are its own affair */
	assert_int_equal(queue_take(a->queue, NULL, 64, false, NULL, &names), 64);
	/* One flight, and a refresh if the view was older than its millisecond: claims/, inputs, marks, log/. */
	assert_true(mem_flights_here() - before <= 12);
	assert_int_equal(mem_count(a->store, STORE_LINK), 65);
	buf_release(&names);
	bench_free(bench);
}

static void advance_past_a_third(void *arg)
{
	(void)arg;
	bench_jump(BENCH_LEASE / 3.0 + 0.5);
}

static void slow_answers_are_verified(void **state)
{
	struct bench *bench = bench_new("");
	struct mem_fault fault = { .fault = MEM_SLOW, .kind = STORE_LINK, .part = "/claims/", .count = 1, .advance = advance_past_a_third };
	struct bench_mount *a;
	uint64_t before;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "y"), 0);
	before = mem_count(a->store, STORE_READ);
	mem_fault(a->store, &fault);
	assert_int_equal(bench_claim(a, "x"), 0);
	/* The owner was read. */
	assert_true(mem_count(a->store, STORE_READ) > before);
	bench_free(bench);
}

static void a_full_disk_claims_nothing_and_loses_nothing(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "x");
	a = bench_mount(bench);
	mem_disk_set_full(bench->disk, true);
	assert_true(bench_claim(a, "x") < 0);
	mem_disk_set_full(bench->disk, false);
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_free(bench);
}

static void missing_directories_are_made(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a;
	const char *dirs[] = { "claims", "failed", "redo", "log", "nodes", "tmp", "done" };
	char path[64];
	size_t i;

	(void)state;
	bench_input(bench, "x");
	for (i = 0; i < 7; i++) {
		snprintf(path, sizeof(path), ".claimfs/%s", dirs[i]);
		assert_int_equal(mem_disk_remove(bench->disk, path), 0);
	}
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_FAIL, "x"), 0);
	assert_int_equal(queue_retry(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

/* ---- whatever lies there ---- */

static void garbage_on_the_disk_is_left_alone(void **state)
{
	static const char *const names[] = {
		".claimfs/claims/hello", ".claimfs/claims/..0.1", ".claimfs/claims/0123456789abcdef0123456789abcdef.0.1.2",
		".claimfs/claims/0123456789abcdef0123456789abcdef.00.1", ".claimfs/claims/0123456789ABCDEF0123456789abcdef.0.1",
		".claimfs/claims/0123456789abcdef0123456789abcdef.4294967296.1", ".claimfs/claims/0123456789abcdef0123456789abcdef.0.0",
		".claimfs/failed/x", ".claimfs/redo/0123456789abcdef0123456789abcdef", ".claimfs/log/no-node", ".claimfs/nodes/x.free.lost.1",
		".claimfs/log/evil.00000001", ".claimfs/nodes/evil.00000001", ".claimfs/done/zz/x",
	};
	struct bench *bench = bench_new("");
	struct bench_mount *a;
	struct buf text = BUF_INIT;
	char line[70000];
	size_t i;

	(void)state;
	bench_input(bench, "x");
	memset(line, 'y', sizeof(line));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		mem_disk_write(bench->disk, names[i], line, sizeof(line));
	buf_add(&text, line, sizeof(line));
	buf_adds(&text, "\n1 done zz\n\n\x01\xff\n1 done 0123456789abcdef0123456789abcdef 0 1 1 - a/../b\n");
	mem_disk_write(bench->disk, ".claimfs/log/evil.00000001", text.data, text.len);
	/* A live claim whose owner is no text of ours. */
	mem_disk_write(bench->disk, bench_claim_path("y", 0, 1), line, sizeof(line));
	bench_input(bench, "y");
	a = bench_mount(bench);
	assert_int_equal(bench_count(a, QUEUE_TODO), 1);
	assert_int_equal(bench_count(a, QUEUE_CLAIMS), 1);
	buf_reset(&text);
	assert_int_equal(queue_ticket(a->queue, QUEUE_CLAIMS, "y", &text), 0);
	assert_int_equal(queue_progress(a->queue, true, &text), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	buf_release(&text);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_claimed_unit_is_busy_for_others),
		cmocka_unit_test(a_race_that_the_view_did_not_show_is_lost_politely),
		cmocka_unit_test(a_dead_nodes_claim_comes_back_after_the_lease),
		cmocka_unit_test(a_live_nodes_claim_stays_for_many_leases),
		cmocka_unit_test(a_newcomer_watches_for_half_a_lease),
		cmocka_unit_test(a_server_clock_set_forward_steals_nothing),
		cmocka_unit_test(an_mtime_in_the_future_is_watched_for_a_whole_lease),
		cmocka_unit_test(a_stale_claim_that_moved_makes_the_newcomer_withdraw),
		cmocka_unit_test(a_marker_that_was_there_drops_the_claim),
		cmocka_unit_test(a_failed_mark_drops_the_claim),
		cmocka_unit_test(a_newer_generation_drops_the_claim),
		cmocka_unit_test(numbers_with_a_gap_are_left_alone),
		cmocka_unit_test(many_candidates_cost_one_flight),
		cmocka_unit_test(slow_answers_are_verified),
		cmocka_unit_test(a_full_disk_claims_nothing_and_loses_nothing),
		cmocka_unit_test(missing_directories_are_made),
		cmocka_unit_test(garbage_on_the_disk_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
