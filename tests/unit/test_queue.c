/*
 * queue: the engine as a whole over a disk in memory.
 */
#include <pthread.h>

#include "tests/fake/bench_queue.h"

static void a_unit_goes_from_todo_to_done(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *mount;
	struct buf names = BUF_INIT, ticket = BUF_INIT;

	(void)state;
	bench_input(bench, "a.txt");
	mount = bench_mount(bench);
	assert_true(bench_is(mount, QUEUE_TODO, "a.txt"));
	assert_int_equal(queue_take(mount->queue, NULL, 4, false, NULL, &names), 1);
	assert_string_equal(names.data, "a.txt");
	assert_true(bench_is(mount, QUEUE_CLAIMS, "a.txt"));
	assert_false(bench_is(mount, QUEUE_TODO, "a.txt"));
	bench_stage(bench, mount, "a.txt", "result");
	assert_int_equal(bench_end(mount, QUEUE_VERB_DONE, "a.txt"), 0);
	assert_true(bench_is(mount, QUEUE_DONE, "a.txt"));
	assert_true(bench_holds(bench, "outputs/a.txt", "result"));
	assert_true(mem_disk_exists(bench->disk, bench_marker_path("a.txt", 0)));
	assert_int_equal(queue_ticket(mount->queue, QUEUE_DONE, "a.txt", &ticket), 0);
	assert_non_null(strstr(ticket.data, "state: done"));
	assert_non_null(strstr(ticket.data, "node: node-1."));
	assert_int_equal(queue_take(mount->queue, NULL, 1, false, NULL, &names), 0);
	buf_release(&names);
	buf_release(&ticket);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_goes_from_todo_to_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
