/*
 * heal: LINKs of claims without an answer (queue.md, "Heal"), and claims that come when their generation is over ("Sweep").
 */
#include "tests/fake/bench_queue.h"

/* ---- LINKs without an answer ---- */

static void a_link_without_an_answer_that_happened_is_found_and_kept(void **state)
{
	struct bench *bench = bench_new("");
	struct mem_fault fault = { .fault = MEM_LOSE_ANSWER, .kind = STORE_LINK, .part = "/claims/", .count = 1 };
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "x");
	a = bench_mount(bench);
	mem_fault(a->store, &fault);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

static void a_link_that_comes_late_is_healed(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct mem_fault fault = { .fault = MEM_LATE, .kind = STORE_LINK, .part = "/claims/", .count = 1 };

	(void)state;
	mem_fault(a->store, &fault);
	assert_int_equal(bench_claim(a, "x"), -EIO);
	assert_false(mem_disk_exists(bench->disk, bench_claim_path("x", 0, 1)));
	assert_int_equal(mem_do_late(a->store), 1);
	bench_pass(BENCH_LEASE);
	assert_true(bench_until(bench_x_is_free, bench));
	assert_int_equal(bench_claim(b, "x"), 0);
	assert_true(mem_disk_exists(bench->disk, bench_claim_path("x", 0, 2)));
	bench_free(bench);
}

static bool is_lost(void *arg)
{
	int64_t mtime = -1;

	return mem_disk_mtime(((struct bench *)arg)->disk, bench_claim_path("x", 0, 1), &mtime) == 0 && mtime == 0;
}

/* After a lapse others may have counted it: it is no release then. */
static void a_link_that_comes_after_a_lapse_is_lost(void **state)
{
	struct bench *bench = bench_new("");
	struct mem_fault fault = { .fault = MEM_LATE, .kind = STORE_LINK, .part = "/claims/", .count = 1 };
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "x");
	a = bench_mount(bench);
	mem_fault(a->store, &fault);
	assert_int_equal(bench_claim(a, "x"), -EIO);
	mem_cut(a->store, 0);
	bench_pass(BENCH_LEASE + 1);
	mem_uncut(a->store);
	assert_int_equal(mem_do_late(a->store), 1);
	bench_pass(BENCH_LEASE);
	assert_true(bench_until(is_lost, bench));
	bench_free(bench);
}

static void a_late_link_that_was_claimed_again_is_not_healed_away(void **state)
{
	struct bench *bench = bench_new("");
	struct mem_fault fault = { .fault = MEM_LATE, .kind = STORE_LINK, .part = "/claims/", .count = 1 };
	struct bench_mount *a;
	int64_t mtime = 0;

	(void)state;
	bench_input(bench, "x");
	a = bench_mount(bench);
	mem_fault(a->store, &fault);
	assert_int_equal(bench_claim(a, "x"), -EIO);
	assert_int_equal(bench_claim(a, "x"), 0);
	mem_do_late(a->store);
	bench_pass(BENCH_LEASE * 2);
	assert_int_equal(mem_disk_mtime(bench->disk, bench_claim_path("x", 0, 1), &mtime), 0);
	assert_true(mtime > 1);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

/* Nobody can tell whether it was made: neither the LINK nor the look behind it is answered. */
static void a_link_that_nobody_could_look_for_is_healed(void **state)
{
	struct bench *bench = bench_new("");
	struct mem_fault fault = { .fault = MEM_LATE, .kind = STORE_LINK, .part = "/claims/", .count = 1 };
	struct mem_fault stat = { .fault = MEM_LOSE_REQUEST, .kind = STORE_LSTAT, .part = "/claims/", .count = 1 };
	struct mem_fault read = { .fault = MEM_LOSE_REQUEST, .kind = STORE_READ, .part = "/claims/", .count = 1 };
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "x");
	a = bench_mount(bench);
	mem_fault(a->store, &fault);
	mem_fault(a->store, &stat);
	mem_fault(a->store, &read);
	assert_true(bench_claim(a, "x") < 0);
	assert_int_equal(mem_do_late(a->store), 1);
	bench_pass(BENCH_LEASE);
	assert_true(bench_until(bench_x_is_free, bench));
	bench_free(bench);
}

/* What may still come is told by the listings; it costs no request of its own, and no listing once it can't come any more. */
static void waiting_for_a_late_link_costs_nothing_and_ends(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct mem_fault fault = { .fault = MEM_LOSE_REQUEST, .kind = STORE_LINK, .part = "/claims/", .count = 1 };
	uint64_t reads;
	int64_t began;

	(void)state;
	mem_fault(a->store, &fault);
	assert_int_equal(bench_claim(a, "x"), -EIO);
	/* The check of old markers is through. */
	bench_pass(BENCH_LEASE);
	reads = mem_count(a->store, STORE_READ);
	mem_slow_listings(a->store, ".claimfs/claims", 1);
	began = bench_now();
	bench_pass(BENCH_LEASE * 2);
	assert_int_equal(mem_count(a->store, STORE_READ), reads);
	assert_in_range(mem_slowed(a->store), 4, 2 + (bench_now() - began) / (BENCH_LEASE * NS_PER_S / 4));
	/* Long after, rarely. */
	bench_jump(BENCH_LEASE * 60);
	bench_pass(1);
	mem_slow_listings(a->store, ".claimfs/claims", 1);
	bench_pass(BENCH_LEASE * 2);
	assert_int_equal(mem_slowed(a->store), 0);
	bench_jump(BENCH_LEASE * 8);
	bench_pass(1);
	assert_int_equal(mem_slowed(a->store), 1);
	/* Somebody claims under that name: it can't come any more. */
	assert_int_equal(bench_claim(b, "x"), 0);
	bench_jump(BENCH_LEASE * 10);
	bench_pass(1);
	mem_slow_listings(a->store, ".claimfs/claims", 1);
	bench_jump(BENCH_LEASE * 11);
	bench_pass(1);
	assert_int_equal(mem_slowed(a->store), 0);
	bench_free(bench);
}

static int done(struct bench_mount *mount, const char *name)
{
	return bench_end(mount, QUEUE_VERB_DONE, name);
}

/* A claim that was moved to another heartbeat file, for want of links, by a RENAME that comes after it was given back. */
static void a_late_rename_is_healed(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct mem_fault move = { .fault = MEM_LATE, .kind = STORE_RENAME, .part = "/claims/", .count = 1 };
	struct mem_fault marker = { .fault = MEM_FAIL, .kind = STORE_LINK, .part = "/done/", .error = STORE_FAILURE, .count = 9 };
	struct mem_fault remove = { .fault = MEM_FAIL, .kind = STORE_REMOVE, .part = "/tmp/", .error = STORE_FAILURE, .count = 9 };

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	mem_fault(a->store, &marker);
	mem_fault(a->store, &move);
	mem_fault(a->store, &remove);
	assert_int_equal(done(a, "x"), -EIO);
	mem_clear_faults(a->store);
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), 0);
	assert_true(bench_until(bench_x_is_free, bench));
	assert_int_equal(mem_do_late(a->store), 1);
	assert_false(bench_x_is_free(bench));
	bench_pass(BENCH_LEASE);
	assert_true(bench_until(bench_x_is_free, bench));
	assert_int_equal(bench_claim(b, "x"), 0);
	bench_free(bench);
}

/* ---- when the generation is over ---- */

/* It comes when everything about the unit is done and swept: whoever uses the queue sees it in the listings, and removes it. */
static void a_link_that_comes_after_the_sweep_is_removed(void **state)
{
	static const char *const confs[] = { "", "key = content\n" };
	size_t i;
	int leases;

	(void)state;
	for (i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
		struct bench *bench = bench_new(confs[i]);
		struct mem_fault fault = { .fault = MEM_LATE, .kind = STORE_LINK, .part = "/claims/", .count = 1 };
		struct bench_mount *a, *b;
		struct buf names = BUF_INIT;

		bench_input(bench, "x");
		bench_input(bench, "y");
		a = bench_mount(bench);
		b = bench_mount(bench);
		assert_int_equal(bench_claim(b, "y"), 0);
		assert_int_equal(done(b, "y"), 0);
		mem_fault(a->store, &fault);
		assert_true(bench_claim(a, "x") < 0);
		assert_int_equal(bench_claim(b, "x"), 0);
		assert_int_equal(done(b, "x"), 0);
		bench_pass(1);
		assert_int_equal(mem_disk_list(bench->disk, ".claimfs/claims", &names), 0);
		assert_int_equal(mem_do_late(a->store), 1);
		assert_int_equal(mem_disk_list(bench->disk, ".claimfs/claims", &names), 1);
		bench_kill(a);
		/* Not at once: whoever ended the generation may be about to. */
		bench_pass(0.5);
		assert_true(bench_is(b, QUEUE_DONE, "x"));
		assert_int_equal(mem_disk_list(bench->disk, ".claimfs/claims", &names), 1);
		for (leases = 0; leases < 24 && mem_disk_list(bench->disk, ".claimfs/claims", &names) > 0; leases++) {
			assert_true(bench_is(b, QUEUE_DONE, "x"));
			bench_pass(BENCH_LEASE);
		}
		assert_int_equal(mem_disk_list(bench->disk, ".claimfs/claims", &names), 0);
		assert_true(bench_is(b, QUEUE_DONE, "x"));
		buf_release(&names);
		bench_free(bench);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_without_an_answer_that_happened_is_found_and_kept),
		cmocka_unit_test(a_link_that_comes_late_is_healed),
		cmocka_unit_test(a_link_that_comes_after_a_lapse_is_lost),
		cmocka_unit_test(a_late_link_that_was_claimed_again_is_not_healed_away),
		cmocka_unit_test(a_link_that_nobody_could_look_for_is_healed),
		cmocka_unit_test(waiting_for_a_late_link_costs_nothing_and_ends),
		cmocka_unit_test(a_late_rename_is_healed),
		cmocka_unit_test(a_link_that_comes_after_the_sweep_is_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
