/* key = content: units of the same bytes are one piece of work. */
#include "tests/fake/bench_queue.h"

static int done(struct bench_mount *mount, const char *name)
{
	return bench_end(mount, QUEUE_VERB_DONE, name);
}

/* Two inputs of the same bytes, units by now. */
static struct bench *bench_of_twins(void)
{
	struct bench *bench = bench_new("key = content\n");

	mem_disk_puts(bench->disk, "inputs/one", "same bytes");
	mem_disk_puts(bench->disk, "inputs/two", "same bytes");
	bench_pass(3);
	return bench;
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

/* What another mount has written to its log is seen at the next refresh after that. */
static bool is_claimed(void *arg)
{
	bench_pass(0.5);
	return bench_claim(arg, "one") == 0;
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
	assert_true(bench_until(is_claimed, b));
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
	struct bench *bench = bench_of_twins();
	struct bench_mount *a, *b;

	(void)state;
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
	struct bench *bench = bench_of_twins();
	struct bench_mount *a;
	struct buf names = BUF_INIT;
	struct queue_finish list[2];

	(void)state;
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

/* A piece about a megabyte, and no piece behind the end but where it falls on a boundary: it may have grown. */
static void no_more_is_read_than_there_is(void **state)
{
	static const struct { size_t size; int reads; } cases[] = { { 1, 1 }, { 1000000, 1 }, { 4 * 255 * 1024, 2 }, { 5000000, 5 }, { 9000000, 9 } };
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

/*
 * A unit that is done by its record has its claims swept: who looked before that links the same number again, and finds only a marker, which may be
 * another unit's. The records say; and whose output a duplicate gets.
 */
static void an_old_view_makes_no_work_of_what_is_done(void **state)
{
	struct bench *bench = bench_of_twins();
	struct buf names = BUF_INIT;
	struct bench_mount *a, *b;

	(void)state;
	a = bench_mount(bench);
	bench->ttl_ns = 1000 * NS_PER_S;
	b = bench_mount(bench);
	assert_true(bench_is(b, QUEUE_TODO, "one"));
	assert_int_equal(bench_claim(a, "one"), 0);
	bench_stage(bench, a, "one", "result");
	assert_int_equal(done(a, "one"), 0);
	bench_pass(0.5);
	assert_true(bench_is(b, QUEUE_TODO, "one"));
	assert_int_equal(queue_take(b->queue, NULL, 5, false, NULL, &names), 0);
	assert_true(bench_is(b, QUEUE_DONE, "one"));
	assert_true(bench_is(b, QUEUE_DONE, "two"));
	assert_true(bench_holds(bench, "outputs/two", "result"));
	buf_release(&names);
	bench_free(bench);
}

/* Inputs are hashed side by side: a batch costs a flight for the claims, one for the bytes, one for the markers. */
static void a_batch_is_hashed_in_one_trip(void **state)
{
	struct bench *bench = bench_new("key = content\n");
	struct buf names = BUF_INIT;
	struct bench_mount *mount;
	uint64_t before;

	(void)state;
	bench_inputs(bench, 65);
	bench->ttl_ns = 1000 * NS_PER_S;
	mount = bench_mount(bench);
	assert_int_equal(queue_take(mount->queue, NULL, 1, false, NULL, &names), 1);
	before = mem_flights_here();
	assert_int_equal(queue_take(mount->queue, NULL, 64, false, NULL, &names), 64);
	assert_int_equal(mem_flights_here() - before, 3);
	buf_release(&names);
	bench_free(bench);
}

/* ---- what is told of the bytes ---- */

struct told {
	struct buf bytes;		/* of all inputs, in the order in which they came */
	uint64_t next;			/* of the input that is being told */
	int refuse_from;		/* calls from this one on are refused */
	int calls;
	int ends;
};

static bool hear(void *arg, const char *input, uint64_t size, int64_t mtime, uint64_t offset, struct buf *bytes)
{
	struct told *told = arg;

	assert_true(strncmp(input, "inputs/", 7) == 0 && size && mtime);
	if (told->calls++ >= told->refuse_from)
		return false;
	assert_int_equal(offset, offset ? told->next : 0);
	told->next = offset + bytes->len;
	buf_add(&told->bytes, bytes->data, bytes->len);
	buf_release(bytes);
	return true;
}

static void hear_end(void *arg, const char *input)
{
	struct told *told = arg;

	assert_string_equal(input, "inputs/x");
	told->ends++;
}

static struct bench_mount *told_mount(struct bench *bench, struct told *told)
{
	bench->hashed = hear;
	bench->hashed_end = hear_end;
	bench->inputs_arg = told;
	return bench_mount(bench);
}

/* All of it, in order, once; and when the claim ends, that. */
static void bytes_are_offered(void **state)
{
	struct bench *bench = bench_new("key = content\n");
	struct told told = { .refuse_from = 1000 };
	struct bench_mount *mount;
	char *bytes = malloc(20000000);
	size_t i;

	(void)state;
	for (i = 0; i < 20000000; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(mem_disk_write(bench->disk, "inputs/x", bytes, 20000000), 0);
	mem_disk_set_mtime(bench->disk, "inputs/x", mem_disk_time(bench->disk) - 100);
	mount = told_mount(bench, &told);
	assert_int_equal(bench_claim(mount, "x"), 0);
	assert_int_equal(told.bytes.len, 20000000);
	assert_memory_equal(told.bytes.data, bytes, 20000000);
	assert_int_equal(told.ends, 0);
	assert_int_equal(done(mount, "x"), 0);
	assert_int_equal(told.ends, 1);
	buf_release(&told.bytes);
	free(bytes);
	bench_free(bench);
}

/* Refused once, no more of it is offered; and of a file that may change within the second of its mtime, nothing. */
static void bytes_are_not_pressed_on_anybody(void **state)
{
	static const struct { int refuse_from, age, calls; } cases[] = { { 0, 100, 1 }, { 2, 100, 3 }, { 1000, 0, 0 } };
	char *bytes = calloc(1, 5000000);
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct bench *bench = bench_new("key = content\n");
		struct told told = { .refuse_from = cases[i].refuse_from };
		struct bench_mount *mount;

		assert_int_equal(mem_disk_write(bench->disk, "inputs/x", bytes, 5000000), 0);
		mem_disk_set_mtime(bench->disk, "inputs/x", mem_disk_time(bench->disk) - cases[i].age);
		mount = told_mount(bench, &told);
		assert_int_equal(bench_claim(mount, "x"), 0);
		assert_int_equal(told.calls, cases[i].calls);
		assert_int_equal(bench_end(mount, QUEUE_VERB_RELEASE, "x"), 0);
		assert_int_equal(told.ends, cases[i].refuse_from && cases[i].calls);
		buf_release(&told.bytes);
		bench_free(bench);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_contents_are_done_once),
		cmocka_unit_test(a_content_is_hashed_once),
		cmocka_unit_test(a_redo_of_shared_contents_is_work),
		cmocka_unit_test(same_contents_committed_together_get_one_ok),
		cmocka_unit_test(no_more_is_read_than_there_is),
		cmocka_unit_test(an_old_view_makes_no_work_of_what_is_done),
		cmocka_unit_test(a_batch_is_hashed_in_one_trip),
		cmocka_unit_test(bytes_are_offered),
		cmocka_unit_test(bytes_are_not_pressed_on_anybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
