/*
 * hedge: second attempts beside live claims (claimfs-queue(7), "Hedge"): who may make one, that one commit counts, and that nothing is left.
 */
#include "queue/walls.h"
#include "tests/fake/bench_queue.h"

static int hedge(struct bench_mount *mount, const char *name)
{
	struct buf names = BUF_INIT;
	int count;

	usleep(1500);
	count = queue_hedge_for(mount->queue, NULL, name, &names);
	if (count == 1 && name)
		assert_string_equal(names.data, name);
	buf_release(&names);
	return count;
}

static int end(struct bench_mount *mount, enum queue_verb verb, const char *name, const char *values)
{
	struct queue_finish finish = { .verb = verb, .name = name, .values = values };

	queue_finish(mount->queue, &finish, 1);
	return finish.error;
}

/* x, claimed by the first of two mounts. */
static struct bench *with_x(struct bench_mount **ret_a, struct bench_mount **ret_b, const char *conf)
{
	struct bench *bench = bench_two(conf, ret_a, ret_b);

	assert_int_equal(bench_claim(*ret_a, "x"), 0);
	return bench;
}

static bool no_claims(void *arg)
{
	struct bench *bench = arg;
	uint32_t number;

	for (number = 0; number < 4; number++)
		if (mem_disk_exists(bench->disk, bench_claim_path("x", 0, number)))
			return false;
	return true;
}

static void only_what_another_mount_works_on_and_once(void **state)
{
	struct bench_mount *a, *b, *c;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	bench_input(bench, "y");
	c = bench_mount(bench);
	assert_int_equal(hedge(b, "y"), -ENOENT);
	assert_int_equal(hedge(b, "z"), -ENOENT);
	assert_int_equal(hedge(a, "x"), -EBUSY);
	assert_true(bench_is(c, QUEUE_CLAIMS, "x"));
	assert_int_equal(hedge(b, "x"), 1);
	assert_int_equal(queue_attempt(b->queue, "x"), 2);
	/* c's view may be older than b's link: the link itself is exclusive. */
	assert_int_equal(hedge(c, "x"), -EBUSY);
	assert_int_equal(hedge(b, "x"), -EBUSY);
	/* Given back it stays used, and the unit is as it was. */
	assert_int_equal(bench_end(b, QUEUE_VERB_RELEASE, "x"), 0);
	assert_int_equal(hedge(c, "x"), -EBUSY);
	assert_int_equal(hedge(b, "x"), -EBUSY);
	assert_true(bench_is(c, QUEUE_CLAIMS, "x"));
	/* a has to have seen it, to sweep it. */
	assert_true(bench_is(a, QUEUE_CLAIMS, "x"));
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_until(no_claims, bench));
	bench_free(bench);
}

static void the_first_commit_wins_and_nothing_is_left(void **state)
{
	int hedge_first;

	(void)state;
	for (hedge_first = 0; hedge_first < 2; hedge_first++) {
		struct bench_mount *a, *b, *first, *second;
		struct bench *bench = with_x(&a, &b, "");

		first = hedge_first ? b : a;
		second = hedge_first ? a : b;
		bench_stage(bench, a, "x", "of a");
		assert_int_equal(hedge(b, "x"), 1);
		bench_stage(bench, b, "x", "of b");
		assert_int_equal(bench_end(second, QUEUE_VERB_CHECK, "x"), 0);
		/* So long that the first attempt looks for a second one. */
		bench_pass(6);
		assert_int_equal(bench_end(first, QUEUE_VERB_DONE, "x"), 0);
		/* The late one's output does not replace what is there. */
		assert_int_equal(bench_end(second, QUEUE_VERB_DONE, "x"), -EEXIST);
		assert_true(bench_holds(bench, "outputs/x", hedge_first ? "of b" : "of a"));
		assert_true(bench_comes_to_be(a, QUEUE_DONE, "x") && bench_comes_to_be(b, QUEUE_DONE, "x"));
		assert_true(bench_until(no_claims, bench));
		bench_free(bench);
	}
}

static void a_check_ends_what_is_done_elsewhere(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");
	struct queue_finish check = { .verb = QUEUE_VERB_CHECK, .name = "x" };
	struct buf path = BUF_INIT;

	(void)state;
	bench_stage(bench, a, "x", "half");
	assert_int_equal(hedge(b, "x"), 1);
	assert_int_equal(bench_end(a, QUEUE_VERB_CHECK, "x"), 0);
	assert_int_equal(bench_end(b, QUEUE_VERB_CHECK, "x"), 0);
	bench_stage(bench, b, "x", "whole");
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	queue_finish(a->queue, &check, 1);
	assert_int_equal(check.error, -EEXIST);
	assert_memory_equal(check.node, "node-2.", 7);
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_NOTHING);
	assert_int_equal(bench_end(a, QUEUE_VERB_CHECK, "x"), -EACCES);
	assert_true(bench_holds(bench, "outputs/x", "whole"));
	buf_release(&path);
	bench_free(bench);
}

static void giving_back_what_is_done_makes_no_name_anew(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	assert_int_equal(hedge(b, "x"), 1);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_until(no_claims, bench));
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), -EEXIST);
	bench_pass(1);
	assert_true(no_claims(bench));
	bench_free(bench);
}

static void a_hedge_that_fails_sets_nothing_aside(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	assert_int_equal(hedge(b, "x"), 1);
	assert_int_equal(end(b, QUEUE_VERB_FAIL, "x", "status=1 stderr=no"), 0);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

static void a_hedge_outlives_the_failure_of_the_other(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	assert_int_equal(hedge(b, "x"), 1);
	assert_int_equal(bench_end(a, QUEUE_VERB_FAIL, "x"), 0);
	assert_true(bench_is(b, QUEUE_FAILED, "x"));
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_comes_to_be(a, QUEUE_DONE, "x"));
	bench_free(bench);
}

static void a_dead_hedger_stops_nobody_and_is_swept(void **state)
{
	struct bench_mount *a, *b, *c;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	c = bench_mount(bench);
	assert_int_equal(hedge(b, "x"), 1);
	bench_kill(b);
	bench_pass(BENCH_LEASE + 3);
	assert_true(bench_is(c, QUEUE_CLAIMS, "x"));
	assert_int_equal(hedge(c, "x"), -EBUSY);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_until(no_claims, bench));
	bench_free(bench);
}

static void the_others_death_gives_the_unit_to_the_next(void **state)
{
	struct bench_mount *a, *b, *c;
	struct bench *bench = with_x(&a, &b, "attempts = 2\n");

	(void)state;
	c = bench_mount(bench);
	assert_true(bench_is(c, QUEUE_CLAIMS, "x"));
	assert_int_equal(hedge(b, "x"), 1);
	bench_kill(a);
	bench_pass(BENCH_LEASE + 3);
	/* A hedge is no lost attempt, yet numbers rise. */
	assert_true(bench_is(c, QUEUE_TODO, "x"));
	assert_int_equal(queue_claim(c->queue, "x"), 0);
	assert_int_equal(queue_attempt(c->queue, "x"), 3);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_int_equal(bench_end(c, QUEUE_VERB_CHECK, "x"), -EEXIST);
	assert_true(bench_until(no_claims, bench));
	bench_free(bench);
}

/* Its name can't be another's: who slept through a lease still has it. */
static void a_lapse_costs_a_hedge_nothing(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	assert_int_equal(hedge(b, "x"), 1);
	bench_stage(bench, b, "x", "whole");
	mem_cut(b->store, 0);
	bench_pass(BENCH_LEASE + 3);
	mem_uncut(b->store);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x", "whole"));
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), -EEXIST);
	bench_free(bench);
}

static void a_redo_ends_both(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	assert_int_equal(hedge(b, "x"), 1);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_until(no_claims, bench));
	usleep(1500);
	assert_int_equal(queue_redo(b->queue, "x"), 0);
	assert_int_equal(queue_claim(b->queue, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "x"), -EEXIST);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	bench_free(bench);
}

/* ---- which one takes far longer ---- */

static void by_the_times_of_the_others(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;
	char name[16];
	int i;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		bench_input(bench, name);
	}
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(bench_count(b, QUEUE_TODO), 7);
	assert_int_equal(queue_claim(a->queue, "x"), 0);
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	bench_pass(2);
	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		assert_int_equal(queue_claim(a->queue, name), 0);
		if (i == 4)
			break;
		assert_int_equal(end(a, QUEUE_VERB_DONE, name, "wall=5.0"), 0);
	}
	/* Something is left to take; then, the times of too few are known. */
	bench_pass(16);
	assert_int_equal(hedge(b, NULL), -ENOENT);
	assert_int_equal(queue_claim(a->queue, "y"), 0);
	assert_true(bench_is(b, QUEUE_CLAIMS, "y"));
	assert_int_equal(hedge(b, NULL), -ENOENT);
	assert_int_equal(end(a, QUEUE_VERB_DONE, "u4", "wall=9.0"), 0);
	assert_true(bench_comes_to_be(b, QUEUE_DONE, "u4"));
	assert_int_equal(hedge(b, NULL), 1);
	assert_int_equal(queue_attempt(b->queue, "x"), 2);
	/* y has been there for a moment only. */
	assert_int_equal(hedge(b, NULL), -ENOENT);
	bench_free(bench);
}

/* The record of it comes with the log. */
static bool wasted_four(void *mount)
{
	static const char counts[] = "\"hedges\":{\"won\":1,\"lost\":0,\"wasted\":";
	struct buf text = BUF_INIT;
	const char *wasted;
	bool four;

	assert_int_equal(queue_progress(((struct bench_mount *)mount)->queue, true, &text), 0);
	wasted = strstr(text.data, counts);
	four = wasted && strtod(wasted + strlen(counts), NULL) >= 4;
	buf_release(&text);
	return four;
}

static void progress_counts_them(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, &b, "");

	(void)state;
	assert_int_equal(hedge(b, "x"), 1);
	bench_pass(4);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_CHECK, "x"), -EEXIST);
	assert_true(bench_until(wasted_four, a));
	bench_free(bench);
}

static void medians(void **state)
{
	struct walls walls = { 0 };
	int i;

	(void)state;
	assert_true(walls_median(&walls) == 0);
	walls_add(&walls, 0);
	walls_add(&walls, -1);
	assert_int_equal(walls.count, 0);
	for (i = 0; i < 100; i++)
		walls_add(&walls, 10);
	for (i = 0; i < 99; i++)
		walls_add(&walls, 1e30);
	assert_true(walls_median(&walls) > 8.75 && walls_median(&walls) < 11.25);
	walls_add(&walls, 1e30);
	walls_add(&walls, 1e-9);
	walls_add(&walls, 3e-3);
	assert_true(walls_median(&walls) > 8.75 && walls_median(&walls) < 11.25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_another_mount_works_on_and_once),
		cmocka_unit_test(the_first_commit_wins_and_nothing_is_left),
		cmocka_unit_test(a_check_ends_what_is_done_elsewhere),
		cmocka_unit_test(giving_back_what_is_done_makes_no_name_anew),
		cmocka_unit_test(a_hedge_that_fails_sets_nothing_aside),
		cmocka_unit_test(a_hedge_outlives_the_failure_of_the_other),
		cmocka_unit_test(a_dead_hedger_stops_nobody_and_is_swept),
		cmocka_unit_test(the_others_death_gives_the_unit_to_the_next),
		cmocka_unit_test(a_lapse_costs_a_hedge_nothing),
		cmocka_unit_test(a_redo_ends_both),
		cmocka_unit_test(by_the_times_of_the_others),
		cmocka_unit_test(progress_counts_them),
		cmocka_unit_test(medians),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
