/* key = content: units of the same bytes are one piece of work. */
#include "tests/fake/bench_queue.h"

static int done(struct bench_mount *mount, const char *name)
{
	return bench_end(mount, QUEUE_VERB_DONE, name);
}

static void same_contents_are_done_once(void **state)
{
	struct bench *bench = bench_new("key = content\n");
	struct bench_mount *a, *b;
	struct buf names = BUF_INIT;

	(void)state;
	mem_disk_puts(bench->disk, "inputs/one", "same bytes");
	mem_disk_puts(bench->disk, "inputs/two", "same bytes");
	mem_disk_puts(bench->disk, "inputs/three", "other bytes");
	bench_pass(3);
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "one"), 0);
	bench_stage(bench, a, "one", "result");
	assert_int_equal(done(a, "one"), 0);
	bench_pass(0.5);
	b = bench_mount(bench);
	assert_int_equal(queue_take(b->queue, NULL, 5, false, NULL, &names), 1);
	assert_string_equal(names.data, "three");
	assert_true(bench_is(b, QUEUE_DONE, "two"));
	assert_true(bench_holds(bench, "outputs/two", "result"));
	bench_pass(0.5);
	assert_true(bench_is(a, QUEUE_DONE, "two"));
	buf_release(&names);
	bench_free(bench);
}

/* A hash is computed once for a name, size and mtime, by whoever comes first. */
static void a_content_is_hashed_once(void **state)
{
	struct bench *bench = bench_new("key = content\n");
	struct bench_mount *a, *b;
	struct mem_fault unread = { .fault = MEM_FAIL, .kind = STORE_READ, .part = "inputs/", .error = -EACCES, .count = 1000000 };

	(void)state;
	mem_disk_puts(bench->disk, "inputs/one", "some bytes");
	bench_pass(3);
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(bench_claim(a, "one"), 0);
	mem_fault(a->store, &unread);
	mem_fault(b->store, &unread);
	/* Remembered here … */
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "one"), 0);
	bench_pass(0.5);
	assert_int_equal(bench_claim(a, "one"), 0);
	/* … and, through the log, there. */
	assert_int_equal(bench_end(a, QUEUE_VERB_LOSE, "one"), 0);
	bench_pass(0.5);
	assert_int_equal(bench_claim(b, "one"), 0);
	assert_int_equal(done(b, "one"), 0);
	/* Other bytes are another unit. */
	mem_disk_puts(bench->disk, "inputs/one", "other bytes");
	mem_disk_set_mtime(bench->disk, "inputs", mem_disk_time(bench->disk) + 1);
	bench_pass(3);
	assert_int_equal(bench_claim(b, "one"), -EACCES);
	mem_clear_faults(b->store);
	bench_pass(0.5);
	assert_int_equal(bench_claim(b, "one"), 0);
	bench_free(bench);
}

/* The next generation of the one may be done under the key that they share, long before the other is asked for again. */
static void a_redo_of_shared_contents_is_work(void **state)
{
	struct bench *bench = bench_new("key = content\n");
	struct bench_mount *a, *b;

	(void)state;
	mem_disk_puts(bench->disk, "inputs/one", "same bytes");
	mem_disk_puts(bench->disk, "inputs/two", "same bytes");
	bench_pass(3);
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "one"), 0);
	assert_int_equal(done(a, "one"), 0);
	assert_int_equal(bench_claim(a, "two"), -ENOENT);		/* done by its content */
	assert_int_equal(queue_redo(a->queue, "one"), 0);
	assert_int_equal(bench_claim(a, "one"), 0);
	assert_int_equal(done(a, "one"), 0);
	bench_pass(0.5);
	b = bench_mount(bench);
	assert_int_equal(queue_redo(b->queue, "two"), 0);
	bench_pass(0.5);
	assert_int_equal(bench_claim(a, "two"), 0);
	assert_int_equal(done(a, "two"), 0);
	assert_true(bench_is(a, QUEUE_DONE, "one"));
	bench_free(bench);
}

static void same_contents_committed_together_get_one_ok(void **state)
{
	struct bench *bench = bench_new("key = content\n");
	struct bench_mount *a;
	struct buf names = BUF_INIT;
	struct queue_finish list[2];

	(void)state;
	mem_disk_puts(bench->disk, "inputs/one", "same bytes");
	mem_disk_puts(bench->disk, "inputs/two", "same bytes");
	bench_pass(3);
	a = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 5, false, NULL, &names), 2);
	list[0] = (struct queue_finish) { .verb = QUEUE_VERB_DONE, .name = "one" };
	list[1] = (struct queue_finish) { .verb = QUEUE_VERB_DONE, .name = "two" };
	queue_finish(a->queue, list, 2);
	assert_true((list[0].error == 0) != (list[1].error == 0));
	assert_true(list[0].error == -EEXIST || list[1].error == -EEXIST);
	assert_true(bench_is(a, QUEUE_DONE, "one"));
	assert_true(bench_is(a, QUEUE_DONE, "two"));
	buf_release(&names);
	bench_free(bench);
}

static void count_reads(void *arg, const struct store_op *op)
{
	if (op->kind == STORE_READ && strncmp(op->path, "inputs/", 7) == 0)
		++*(int *)arg;
}

/* A piece a megabyte, and no piece behind the end but where it falls on a boundary: it may have grown. */
static void no_more_is_read_than_there_is(void **state)
{
	static const struct { size_t size; int reads; } cases[] = { { 1, 1 }, { 1000000, 1 }, { 1 << 20, 2 }, { 5000000, 5 }, { 9000000, 9 } };
	struct bench *bench = bench_new("key = content\n");
	struct bench_mount *mount;
	char *bytes = calloc(1, 9000000);
	size_t i;
	int reads;

	(void)state;
	for (i = 0; i < 5; i++) {
		char path[32];

		snprintf(path, sizeof(path), "inputs/x%zu", i);
		assert_int_equal(mem_disk_write(bench->disk, path, bytes, cases[i].size), 0);
		mem_disk_set_mtime(bench->disk, path, mem_disk_time(bench->disk) - 100);
	}
	mount = bench_mount(bench);
	for (i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "x%zu", i);
		reads = 0;
		mem_set_hook(mount->store, count_reads, &reads);
		assert_int_equal(bench_claim(mount, name), 0);
		mem_set_hook(mount->store, NULL, NULL);
		assert_int_equal(reads, cases[i].reads);
	}
	free(bytes);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_contents_are_done_once),
		cmocka_unit_test(a_content_is_hashed_once),
		cmocka_unit_test(a_redo_of_shared_contents_is_work),
		cmocka_unit_test(same_contents_committed_together_get_one_ok),
		cmocka_unit_test(no_more_is_read_than_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
