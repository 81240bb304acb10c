/* memory: whichever allocation of a buffer fails while a unit is claimed or committed, it is an error for that call: the unit is done once, whole, later. */
#include "tests/fake/bench_queue.h"

#include "base/fault.h"

#define TRIES 8
#define GENERATIONS TRIES		/* a retry of a failed unit is a new one */
#define LAPSE (BENCH_LEASE + 2)		/* seconds until what was claimed for nothing is free again */

struct scene {
	struct bench *bench;
	struct bench_mount *a;
	struct bench_mount *b;
};

/* One of the calls that the nth allocation is to fail in. */
struct call {
	const char *conf;
	int (*run)(struct scene *scene);
	bool claimed;		/* x is held before it */
};

static int claim_x(struct scene *scene)
{
	return bench_claim(scene->a, "x");
}

static int take_one(struct scene *scene)
{
	struct buf names = BUF_INIT;
	int taken;

	usleep(1500);		/* older than the view may be */
	taken = queue_take(scene->a->queue, NULL, 1, false, NULL, &names);
	buf_release(&names);
	return taken == 1 ? 0 : taken < 0 ? taken : -ENOENT;
}

static int put_x(struct scene *scene)
{
	const struct queue_output output = { .data = "result", .len = 6, .mode = 0644 };
	struct queue_finish finish = { .verb = QUEUE_VERB_DONE, .name = "x", .output = &output };

	queue_finish(scene->a->queue, &finish, 1);
	return finish.error;
}

static int fail_x(struct scene *scene)
{
	return bench_end(scene->a, QUEUE_VERB_FAIL, "x");
}

/* What a worker does that got an error: it tries again, and claims anew what is no longer its own. True: x is done. */
static bool done_at_last(struct scene *scene)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		int error = put_x(scene);

		if (error == 0 || error == -EEXIST || bench_is(scene->a, QUEUE_DONE, "x"))
			return true;
		bench_pass(i ? LAPSE : 0.5);
		if (queue_retry(scene->a->queue, "x") < 0)
			bench_pass(0.25);
		bench_claim(scene->a, "x");
	}
	return false;
}

static bool no_claim_is_left(void *arg)
{
	struct bench *bench = arg;
	uint32_t generation, number;

	bench_pass(0.25);
	for (generation = 0; generation < GENERATIONS; generation++)
		for (number = 1; number <= TRIES; number++)
			if (mem_disk_exists(bench->disk, bench_claim_path("x", generation, number)))
				return false;
	return true;
}

static int markers(struct bench *bench)
{
	uint32_t generation;
	int count = 0;

	for (generation = 0; generation < GENERATIONS; generation++)
		count += mem_disk_exists(bench->disk, bench_marker_path("x", generation));
	return count;
}

/* Was there an nth allocation? */
static bool failing(const struct call *call, int nth)
{
	struct scene scene = { .bench = bench_new(call->conf) };
	char fault[32];
	int error;

	bench_input(scene.bench, "x");
	scene.a = bench_mount(scene.bench);
	scene.b = bench_mount(scene.bench);
	if (call->claimed)
		assert_int_equal(claim_x(&scene), 0);
	snprintf(fault, sizeof(fault), "buf-memory:%d:1", nth);
	assert_int_equal(fault_set(fault), 0);
	error = call->run(&scene);
	fault_set(NULL);
	if (!done_at_last(&scene))
		fail_msg("after the allocation %d failed (%d) x is never done", nth, error);
	if (!bench_holds(scene.bench, "out/x", "result"))
		fail_msg("after the allocation %d failed (%d) x is done without its output", nth, error);
	assert_int_equal(markers(scene.bench), 1);
	assert_true(bench_comes_to_be(scene.b, QUEUE_DONE, "x"));
	assert_true(bench_until(no_claim_is_left, scene.bench));
	bench_free(scene.bench);
	return error != 0;
}

/* The first ones: after that many nothing of the call is left to fail. */
static void each(const struct call *call)
{
	int nth, errors = 0;

	for (nth = 0; nth < 40; nth++)
		errors += failing(call, nth);
	assert_in_range(errors, 1, 40);
}

static void claims(void **state)
{
	const struct call call = { "output = out/{}\n", claim_x, false };

	(void)state;
	each(&call);
}

static void takes(void **state)
{
	const struct call call = { "output = out/{}\n", take_one, false };

	(void)state;
	each(&call);
}

static void commits(void **state)
{
	const struct call call = { "output = out/{}\n", put_x, true };

	(void)state;
	each(&call);
}

static void failures(void **state)
{
	const struct call call = { "output = out/{}\n", fail_x, true };

	(void)state;
	each(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims), cmocka_unit_test(takes), cmocka_unit_test(commits), cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
