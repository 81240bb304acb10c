/*
 * release: giving claims back (queue.md, "Release, withdraw, lose"), lost attempts, and disks with few links an inode.
 */
#include "tests/fake/bench_queue.h"

/* ---- giving back ---- */

static void a_released_claim_is_free_at_once_and_does_not_count(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("attempts = 1\n", &a, &b);
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(bench_claim(a, "x"), 0);
		assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), 0);
		assert_true(bench_is(a, QUEUE_TODO, "x"));
		assert_int_equal(bench_claim(b, "x"), 0);
		assert_int_equal(bench_end(b, QUEUE_VERB_RELEASE, "x"), 0);
	}
	assert_true(mem_disk_exists(bench->disk, bench_claim_path("x", 0, 6)));
	bench_free(bench);
}

static bool retried(void *arg)
{
	int error = queue_retry(((struct bench_mount *)arg)->queue, "x");

	assert_true(!error || error == -EBUSY);
	return !error;
}

static void lost_attempts_count_and_set_the_unit_aside(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("attempts = 2\n", &a, &b);
	struct buf ticket = BUF_INIT;

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_LOSE, "x"), 0);
	assert_int_equal(bench_claim(b, "x"), 0);
	assert_int_equal(bench_end(b, QUEUE_VERB_LOSE, "x"), 0);
	assert_true(bench_is(a, QUEUE_TODO, "x"));
	assert_int_equal(bench_take_one(a), 0);
	assert_true(bench_is(a, QUEUE_FAILED, "x"));
	assert_int_equal(queue_ticket(a->queue, QUEUE_FAILED, "x", &ticket), 0);
	assert_non_null(strstr(ticket.data, "2 attempts were lost"));
	bench_pass(0.5);
	assert_true(bench_is(b, QUEUE_FAILED, "x"));
	buf_reset(&ticket);
	assert_int_equal(queue_ticket(b->queue, QUEUE_FAILED, "x", &ticket), 0);
	assert_non_null(strstr(ticket.data, "2 attempts were lost"));
	/* Retry: a new generation, attempts start again. On a busy machine the other mount may not have let go of it yet. */
	assert_true(bench_until(retried, b));
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	assert_int_equal(bench_claim(b, "x"), 0);
	assert_true(mem_disk_exists(bench->disk, bench_claim_path("x", 1, 1)));
	buf_release(&ticket);
	bench_free(bench);
}

static void dead_nodes_attempts_count(void **state)
{
	struct bench_mount *a, *b, *c;
	struct bench *bench = bench_two("attempts = 2\n", &a, &b);

	(void)state;
	c = bench_mount(bench);
	assert_true(bench_is(c, QUEUE_TODO, "x"));
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_kill(a);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(BENCH_LEASE + 3);
	assert_int_equal(bench_claim(b, "x"), 0);
	bench_kill(b);
	assert_true(bench_is(c, QUEUE_CLAIMS, "x"));
	bench_pass(BENCH_LEASE + 3);
	assert_int_equal(bench_take_one(c), 0);
	assert_true(bench_is(c, QUEUE_FAILED, "x"));
	bench_free(bench);
}

static void a_release_without_an_answer_is_repeated(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct mem_fault fault = { .fault = MEM_LOSE_REQUEST, .kind = STORE_RENAME, .part = "/claims/", .count = 3 };

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	mem_fault(a->store, &fault);
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), 0);
	bench_pass(BENCH_LEASE);
	assert_true(bench_until(bench_x_is_free, bench));
	assert_int_equal(bench_claim(b, "x"), 0);
	bench_free(bench);
}

static void a_late_release_does_not_touch_the_next_claim(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct mem_fault fault = { .fault = MEM_LATE, .kind = STORE_RENAME, .part = "/claims/", .count = 1 };
	int64_t mtime = 0;

	(void)state;
	assert_int_equal(bench_claim(a, "x"), 0);
	mem_fault(a->store, &fault);
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), 0);
	bench_pass(2);
	assert_true(bench_until(bench_x_is_free, bench));
	assert_int_equal(bench_claim(b, "x"), 0);
	mem_do_late(a->store);
	assert_int_equal(mem_disk_mtime(bench->disk, bench_claim_path("x", 0, 2), &mtime), 0);
	assert_true(mtime > 1);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

static void closing_frees_all_claims(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;
	struct buf names = BUF_INIT;

	(void)state;
	bench_inputs(bench, 20);
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 20, false, NULL, &names), 20);
	assert_int_equal(bench_count(b, QUEUE_CLAIMS), 20);
	queue_close(a->queue, NS_PER_S);
	a->queue = NULL;
	assert_int_equal(bench_count(b, QUEUE_TODO), 20);
	assert_int_equal(queue_take(b->queue, NULL, 20, false, NULL, &names), 20);
	buf_release(&names);
	bench_free(bench);
}

/* The disk answers no more: the end waits for it as long as it may, and no longer. The claims become free with the lease. */
static void closing_a_dead_disk_ends_in_time(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;
	struct buf names = BUF_INIT;
	int64_t begin, took;

	(void)state;
	bench_inputs(bench, 3);
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 3, false, NULL, &names), 3);
	bench_kill(a);
	begin = clock_now();
	queue_close(a->queue, NS_PER_S / 2);
	a->queue = NULL;
	took = clock_now() - begin;
	assert_in_range(took, NS_PER_S / 2, 20 * NS_PER_S);
	assert_int_equal(bench_count(b, QUEUE_CLAIMS), 3);
	bench_pass(BENCH_LEASE * 2);
	assert_int_equal(bench_count(b, QUEUE_TODO), 3);
	buf_release(&names);
	bench_free(bench);
}

/* ---- limits ---- */

static void a_disk_with_few_links_an_inode_is_enough(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct bench_mount *a;
	const char *name;
	int taken, done = 0;

	(void)state;
	bench_inputs(bench, 60);
	a = bench_mount(bench);
	mem_disk_set_link_limit(bench->disk, 5);
	while (done < 60) {
		buf_reset(&names);
		usleep(1500);
		taken = queue_take(a->queue, NULL, 16, false, NULL, &names);
		assert_true(taken > 0);
		for (name = names.data; name < names.data + names.len; name += strlen(name) + 1, done++)
			assert_int_equal(bench_end(a, QUEUE_VERB_DONE, name), 0);
	}
	assert_int_equal(done, 60);
	assert_int_equal(bench_count(a, QUEUE_DONE), 60);
	buf_release(&names);
	bench_free(bench);
}

static void releases_on_a_disk_with_few_links(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct bench_mount *a;
	const char *name;
	int i;

	(void)state;
	bench_inputs(bench, 12);
	a = bench_mount(bench);
	mem_disk_set_link_limit(bench->disk, 5);
	for (i = 0; i < 3; i++) {
		buf_reset(&names);
		usleep(1500);
		assert_int_equal(queue_take(a->queue, NULL, 12, false, NULL, &names), 12);
		for (name = names.data; name < names.data + names.len; name += strlen(name) + 1)
			assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, name), 0);
		bench_pass(1);
		assert_int_equal(bench_count(a, QUEUE_TODO), 12);
	}
	buf_release(&names);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_released_claim_is_free_at_once_and_does_not_count),
		cmocka_unit_test(lost_attempts_count_and_set_the_unit_aside),
		cmocka_unit_test(dead_nodes_attempts_count),
		cmocka_unit_test(a_release_without_an_answer_is_repeated),
		cmocka_unit_test(a_late_release_does_not_touch_the_next_claim),
		cmocka_unit_test(closing_frees_all_claims),
		cmocka_unit_test(closing_a_dead_disk_ends_in_time),
		cmocka_unit_test(a_disk_with_few_links_an_inode_is_enough),
		cmocka_unit_test(releases_on_a_disk_with_few_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
