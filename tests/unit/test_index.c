/*
 * index: states from facts, counts, claims and their watching, order; and the logs it is fed from.
 */
#include "base/map.h"
#include "queue/index.h"
#include "queue/record.h"
#include "tests/fake/bench_queue.h"

static struct qconf conf;
static struct index index_;
static struct index_clock now = { .now_ns = 1000 * NS_PER_S, .server_ns = 5000 * NS_PER_S, .server_max_ns = 5001 * NS_PER_S, .lease_ns = 10 * NS_PER_S };

static int begin(void **state)
{
	(void)state;
	assert_int_equal(qconf_init(&conf), 0);
	assert_int_equal(index_init(&index_, &conf, 42), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	index_release(&index_);
	qconf_release(&conf);
	return 0;
}

static void list_files(struct index_dir *dir, const char *const *names, int64_t mtime)
{
	struct index_file file = { .mtime = mtime, .settled = true };

	index_dir_begin(&index_, dir);
	for (; *names; names++) {
		file.name = *names;
		assert_int_equal(index_dir_file(&index_, dir, &file, &now), 0);
	}
	index_dir_end(&index_, dir, 5000);
}

static struct index_dir *top(void)
{
	return index_find_dir(&index_, "");
}

static void claim_of(const char *name, uint32_t generation, uint32_t number, int64_t mtime)
{
	struct layout_claim claim = { layout_unit(name, false, 0, 0), generation, number };

	assert_int_equal(index_claim_put(&index_, &claim, mtime, &now), 0);
	index_update(&index_, units_find(&index_.units, &claim.unit), &now, 5000);
}

static void states_follow_from_facts(void **state)
{
	static const char *const names[] = { "x", NULL };
	struct index_chance chance;
	uint32_t x;

	(void)state;
	list_files(top(), names, 100);
	x = index_find(&index_, "x");
	assert_int_equal(units_at(&index_.units, x)->state, QUEUE_TODO);
	claim_of("x", 0, 1, 4999);
	assert_int_equal(units_at(&index_.units, x)->state, QUEUE_CLAIMS);
	index_chance(&index_, x, &now, &chance);
	assert_true(chance.live && !chance.claimable && chance.next == 2 && chance.attempts == 1);
	assert_true(index_mark(&index_, x, 0, UNIT_FAILED));
	index_update(&index_, x, &now, 5000);
	assert_int_equal(index_.counts[QUEUE_FAILED], 1);
	/* Done beats failed, and failed does not beat done. */
	assert_true(index_mark(&index_, x, 0, UNIT_DONE));
	index_update(&index_, x, &now, 5000);
	assert_int_equal(index_.counts[QUEUE_DONE], 1);
	assert_int_equal(index_.counts[QUEUE_FAILED], 0);
	assert_false(index_mark(&index_, x, 0, UNIT_FAILED));
	/* The highest generation wins; what is said of older ones is past. */
	assert_true(index_generation(&index_, x, 2));
	index_update(&index_, x, &now, 5000);
	assert_int_equal(index_.counts[QUEUE_TODO], 1);
	assert_false(index_mark(&index_, x, 1, UNIT_DONE));
	assert_false(index_generation(&index_, x, 1));
	assert_true(index_mark(&index_, x, 3, UNIT_DONE));
	assert_int_equal(units_at(&index_.units, x)->generation, 3);
}

static void facts_of_units_that_are_not_listed_yet_are_kept(void **state)
{
	static const char *const names[] = { "x", NULL }, *const none[] = { NULL };
	struct hash128 hash = layout_unit("x", false, 0, 0);
	uint32_t x = units_get(&index_.units, &hash);

	(void)state;
	index_mark(&index_, x, 0, UNIT_DONE);
	index_update(&index_, x, &now, 5000);
	assert_int_equal(index_.counts[QUEUE_DONE], 0);
	assert_int_equal(index_find(&index_, "x"), UNITS_NONE);
	list_files(top(), names, 100);
	assert_int_equal(index_.counts[QUEUE_DONE], 1);
	list_files(top(), none, 100);
	assert_int_equal(index_.counts[QUEUE_DONE], 0);
	list_files(top(), names, 100);
	assert_int_equal(index_.counts[QUEUE_DONE], 1);
	assert_int_equal(top()->count, 1);
}

static void list_claim(int64_t mtime, const struct index_clock *clock)
{
	struct layout_claim claim = { layout_unit("x", false, 0, 0), 0, 1 };

	index_claims_begin(&index_, clock->now_ns);
	assert_int_equal(index_claims_add(&index_, &claim, mtime, clock), 0);
	index_claims_end(&index_, clock);
}

static void claims_are_judged_by_time_and_watching(void **state)
{
	static const char *const names[] = { "x", NULL };
	struct index_clock later = now;
	struct index_chance chance;
	uint32_t x;

	(void)state;
	list_files(top(), names, 100);
	x = index_find(&index_, "x");
	claim_of("x", 0, 1, 4000);	/* old already when it was first seen */
	index_chance(&index_, x, &now, &chance);
	assert_true(chance.live);
	/* Time alone is not watching: it must be listed unchanged. */
	later.now_ns += 5 * NS_PER_S + 1;
	index_chance(&index_, x, &later, &chance);
	assert_true(chance.live);
	list_claim(4000, &later);
	index_chance(&index_, x, &later, &chance);
	assert_true(!chance.live && chance.claimable && chance.stale == 1 && chance.stale_mtime == 4000);
	/* Watched for long, but young by the server's time. */
	later.now_ns += 100 * NS_PER_S;
	list_claim(4000, &later);
	later.server_ns = 4010 * NS_PER_S;
	index_chance(&index_, x, &later, &chance);
	assert_true(chance.live);
	/* Without the server's time: a whole lease of watching. */
	later.server_ns = later.server_max_ns = INT64_MIN;
	list_claim(4001, &later);
	later.now_ns += 9 * NS_PER_S;
	list_claim(4001, &later);
	index_chance(&index_, x, &later, &chance);
	assert_true(chance.live);
	later.now_ns += 2 * NS_PER_S;
	list_claim(4001, &later);
	index_chance(&index_, x, &later, &chance);
	assert_false(chance.live);
}

static void free_and_lost_claims(void **state)
{
	static const char *const names[] = { "x", NULL };
	struct index_chance chance;
	uint32_t x;

	(void)state;
	list_files(top(), names, 100);
	x = index_find(&index_, "x");
	claim_of("x", 0, 1, INDEX_LOST_MTIME);
	claim_of("x", 0, 2, INDEX_FREE_MTIME);
	index_chance(&index_, x, &now, &chance);
	assert_true(chance.claimable && chance.next == 3 && chance.attempts == 1 && chance.stale == 0);
	/* A live one below a free one: somebody withdrew from it. */
	claim_of("x", 0, 1, 4999);
	index_chance(&index_, x, &now, &chance);
	assert_true(chance.live && !chance.claimable);
	claim_of("x", 0, 4, INDEX_FREE_MTIME);
	claim_of("x", 0, 1, INDEX_FREE_MTIME);
	index_chance(&index_, x, &now, &chance);
	assert_true(chance.gap && !chance.claimable);
}

static void claims_that_are_not_listed_any_more_are_gone(void **state)
{
	static const char *const names[] = { "x", "y", NULL };
	struct layout_claim x = { layout_unit("x", false, 0, 0), 0, 1 }, y = { layout_unit("y", false, 0, 0), 0, 1 };

	(void)state;
	list_files(top(), names, 100);
	index_claims_begin(&index_, now.now_ns);
	index_claims_add(&index_, &x, 4999, &now);
	index_claims_add(&index_, &y, 4999, &now);
	index_claims_end(&index_, &now);
	assert_int_equal(index_.counts[QUEUE_CLAIMS], 2);
	index_claims_begin(&index_, now.now_ns);
	index_claims_add(&index_, &y, 4999, &now);
	/* Made by this mount meanwhile: the listing need not show it, and what it shows of it may be old. */
	claim_of("x", 0, 1, INDEX_FREE_MTIME);
	index_claims_add(&index_, &x, 4999, &now);
	index_claims_end(&index_, &now);
	assert_int_equal(index_.counts[QUEUE_CLAIMS], 1);
	assert_int_equal(index_.counts[QUEUE_TODO], 1);
	index_claims_begin(&index_, now.now_ns);
	index_claims_end(&index_, &now);
	assert_int_equal(index_.counts[QUEUE_CLAIMS], 0);
}

static void counts_go_up_through_directories(void **state)
{
	static const char *const names[] = { "x", "y", NULL };
	struct index_dir *a, *b;
	uint32_t x;

	(void)state;
	index_dir_begin(&index_, top());
	a = index_dir_sub(&index_, top(), "a");
	index_dir_end(&index_, top(), 5000);
	b = index_dir_sub(&index_, a, "b");
	list_files(b, names, 100);
	assert_int_equal(top()->counts[QUEUE_TODO], 2);
	assert_int_equal(a->counts[QUEUE_TODO], 2);
	x = index_find(&index_, "a/b/x");
	assert_int_not_equal(x, UNITS_NONE);
	index_mark(&index_, x, 0, UNIT_DONE);
	index_update(&index_, x, &now, 4321);
	assert_int_equal(top()->counts[QUEUE_DONE], 1);
	assert_int_equal(top()->changed[QUEUE_DONE], 4321);
	/* The whole branch goes. */
	index_dir_begin(&index_, top());
	index_dir_end(&index_, top(), 5000);
	assert_int_equal(top()->counts[QUEUE_TODO] + top()->counts[QUEUE_DONE], 0);
	assert_null(index_find_dir(&index_, "a/b"));
	assert_int_equal(index_find(&index_, "a/b/x"), UNITS_NONE);
}

static void a_changed_input_takes_its_places(void **state)
{
	static const char *const names[] = { "x", "y", NULL };
	uint32_t old, new;

	(void)state;
	conf.key = QCONF_KEY_STAT;
	list_files(top(), names, 100);
	old = index_find(&index_, "x");
	index_mark(&index_, old, 0, UNIT_DONE);
	index_update(&index_, old, &now, 5000);
	list_files(top(), names, 200);
	new = index_find(&index_, "x");
	assert_int_not_equal(old, new);
	assert_int_equal(units_at(&index_.units, new)->state, QUEUE_TODO);
	assert_int_equal(top()->count, 2);
	assert_int_equal(index_.counts[QUEUE_DONE], 0);
	list_files(top(), names, 100);
	assert_int_equal(index_find(&index_, "x"), old);
	assert_int_equal(index_.counts[QUEUE_DONE], 1);
	assert_int_equal(top()->count, 2);
}

static void every_entry_is_shown_once_in_any_size(void **state)
{
	struct index_file file = { .mtime = 1, .settled = true };
	uint32_t entry, shown, count;
	char name[32];
	uint64_t cursor;
	uint8_t *seen;

	(void)state;
	index_dir_begin(&index_, top());
	for (count = 1; count <= 3000; count++) {
		snprintf(name, sizeof(name), "%u", count);
		file.name = name;
		assert_int_equal(index_dir_file(&index_, top(), &file, &now), 0);
		if (count > 200 && count % 97)
			continue;
		seen = calloc(count, 1);
		for (cursor = 0, shown = 0; (entry = index_order(&index_, top(), &cursor)) != UNITS_NONE; shown++) {
			assert_true(entry < count);
			assert_int_equal(seen[entry]++, 0);
		}
		assert_int_equal(shown, count);
		assert_int_equal(index_order(&index_, top(), &cursor), UNITS_NONE);
		free(seen);
	}
}

static void wild_cursors_end(void **state)
{
	static const char *const names[] = { "x", NULL };
	uint64_t cursor = UINT64_MAX;

	(void)state;
	list_files(top(), names, 1);
	assert_int_equal(index_order(&index_, top(), &cursor), UNITS_NONE);
	cursor = 1ULL << 40 | 0xffffffff;
	assert_int_equal(index_order(&index_, top(), &cursor), UNITS_NONE);
}

/* ---- logs ---- */

static void logs_are_read_by_whole_lines(void **state)
{
	struct bench *bench = bench_new("");
	struct hash128 x = layout_unit("x", false, 0, 0), y = layout_unit("y", false, 0, 0);
	struct record record = { .what = RECORD_DONE, .unit = x, .key = x, .attempt = 1, .time = 1700000000, .name = "x", .values = "status=0" };
	struct buf text = BUF_INIT, ticket = BUF_INIT;
	struct bench_mount *a;
	size_t whole;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	record_format(&record, &text);
	buf_adds(&text, "1 done torn 0 1\n");
	record = (struct record) { .what = RECORD_FAILED, .unit = y, .key = y, .attempt = 2, .time = 1700000001, .name = "y", .values = "status=7" };
	record_format(&record, &text);
	whole = text.len;
	mem_disk_write(bench->disk, ".claimfs/log/other.0000000a", text.data, whole - 5);
	a = bench_mount(bench);
	assert_true(bench_is(a, QUEUE_DONE, "x"));
	assert_true(bench_is(a, QUEUE_TODO, "y"));
	mem_disk_write(bench->disk, ".claimfs/log/other.0000000a", text.data, whole);
	assert_true(bench_is(a, QUEUE_FAILED, "y"));
	assert_int_equal(queue_ticket(a->queue, QUEUE_FAILED, "y", &ticket), 0);
	assert_non_null(strstr(ticket.data, "node: other.0000000a"));
	assert_non_null(strstr(ticket.data, "exit-status: 7"));
	/* Cut to nothing behind everybody's back: what was known stays known. */
	mem_disk_write(bench->disk, ".claimfs/log/other.0000000a", "", 0);
	assert_true(bench_is(a, QUEUE_DONE, "x"));
	buf_reset(&ticket);
	assert_int_equal(queue_ticket(a->queue, QUEUE_DONE, "x", &ticket), 0);
	buf_release(&text);
	buf_release(&ticket);
	bench_free(bench);
}

static void a_log_that_could_not_be_appended_is_appended_later(void **state)
{
	struct mem_fault faults[] = {
		{ .fault = MEM_LOSE_ANSWER, .kind = STORE_APPEND, .count = 1 },
		{ .fault = MEM_LOSE_REQUEST, .kind = STORE_APPEND, .count = 1 },
		{ .fault = MEM_FAIL, .kind = STORE_APPEND, .count = 2, .error = STORE_FAILURE },
	};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct bench *bench = bench_new("");
		struct buf ticket = BUF_INIT;
		struct bench_mount *a, *b;
		struct queue_entry entry;

		bench_input(bench, "x");
		bench_input(bench, "y");
		a = bench_mount(bench);
		mem_fault(a->store, &faults[i]);
		assert_int_equal(queue_claim(a->queue, "x"), 0);
		assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
		bench_pass(4);
		assert_int_equal(queue_claim(a->queue, "y"), 0);
		assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "y"), 0);
		bench_pass(1);
		b = bench_mount(bench);
		assert_int_equal(bench_count(b, QUEUE_DONE), 2);
		/* a still finds both records where they really stand. */
		assert_true(bench_is(a, QUEUE_DONE, "x"));
		assert_int_equal(queue_ticket(a->queue, QUEUE_DONE, "y", &ticket), 0);
		assert_non_null(strstr(ticket.data, "node: node-1."));
		assert_int_equal(queue_look(a->queue, QUEUE_DONE, "y", &entry), 0);
		assert_int_equal(entry.size, ticket.len);
		buf_reset(&ticket);
		assert_int_equal(queue_ticket(a->queue, QUEUE_DONE, "x", &ticket), 0);
		assert_non_null(strstr(ticket.data, "node: node-1."));
		buf_release(&ticket);
		bench_free(bench);
	}
}

static bool x_is_done(void *arg)
{
	return bench_is(arg, QUEUE_DONE, "x");
}

static void markers_without_a_record_are_found(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "x");
	mem_disk_puts(bench->disk, bench_marker_path("x", 0), "claimfs 1\nnode other.0000000a\nkind live\n");
	a = bench_mount(bench);
	bench_is(a, QUEUE_TODO, "x");
	assert_true(bench_until(x_is_done, a));
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(states_follow_from_facts, begin, end),
		cmocka_unit_test_setup_teardown(facts_of_units_that_are_not_listed_yet_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(claims_are_judged_by_time_and_watching, begin, end),
		cmocka_unit_test_setup_teardown(free_and_lost_claims, begin, end),
		cmocka_unit_test_setup_teardown(claims_that_are_not_listed_any_more_are_gone, begin, end),
		cmocka_unit_test_setup_teardown(counts_go_up_through_directories, begin, end),
		cmocka_unit_test_setup_teardown(a_changed_input_takes_its_places, begin, end),
		cmocka_unit_test_setup_teardown(every_entry_is_shown_once_in_any_size, begin, end),
		cmocka_unit_test_setup_teardown(wild_cursors_end, begin, end),
		cmocka_unit_test(logs_are_read_by_whole_lines),
		cmocka_unit_test(a_log_that_could_not_be_appended_is_appended_later),
		cmocka_unit_test(markers_without_a_record_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
