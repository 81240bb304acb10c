/*
 * commit: the rules of finishing in queue.md, one test each: publishing, the deciding link and its unanswered ones, lost claims, contents,
 * changed inputs, generations, sweeping.
 */
#include "queue/record.h"
#include "tests/fake/bench_queue.h"

static int done(struct bench_mount *mount, const char *name)
{
	return bench_end(mount, QUEUE_VERB_DONE, name);
}

/* A mount that holds x. */
static struct bench *with_x(struct bench_mount **ret_mount, const char *conf)
{
	struct bench *bench = bench_new(conf);

	bench_input(bench, "x");
	*ret_mount = bench_mount(bench);
	assert_int_equal(bench_claim(*ret_mount, "x"), 0);
	return bench;
}

/* ---- publishing ---- */

static void outputs_go_below_directories_that_are_made(void **state)
{
	struct bench *bench = bench_new("output = out/{.}.npy\n");
	struct bench_mount *a;
	struct buf path = BUF_INIT;

	(void)state;
	bench_input(bench, "d/e/x.jpg");
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "d/e/x.jpg"), 0);
	assert_int_equal(queue_stage(a->queue, "", true, &path), QUEUE_DIR);
	assert_int_equal(queue_stage(a->queue, "d/e", true, &path), QUEUE_DIR);
	assert_int_equal(queue_stage(a->queue, "d/e/y.npy", true, &path), QUEUE_NOTHING);
	bench_stage(bench, a, "d/e/x.npy", "1");
	assert_int_equal(done(a, "d/e/x.jpg"), 0);
	assert_true(bench_holds(bench, "out/d/e/x.npy", "1"));
	assert_int_equal(queue_stage(a->queue, "d/e", true, &path), QUEUE_NOTHING);
	buf_release(&path);
	bench_free(bench);
}

static void a_directory_replaces_what_was_there(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");

	(void)state;
	mem_disk_puts(bench->disk, "outputs/x/old", "old");
	bench_stage(bench, a, "x/sub/new", "new");
	assert_int_equal(done(a, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x/sub/new", "new"));
	assert_false(mem_disk_exists(bench->disk, "outputs/x/old"));
	bench_free(bench);
}

static void a_file_replaces_a_directory_and_the_other_way_round(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");

	(void)state;
	mem_disk_puts(bench->disk, "outputs/x/old", "old");
	bench_stage(bench, a, "x", "file");
	assert_int_equal(done(a, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x", "file"));
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x", "file"));
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_stage(bench, a, "x/part", "dir");
	assert_int_equal(done(a, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x/part", "dir"));
	bench_free(bench);
}

static void what_is_staged_goes_away_with_the_claim(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct buf path = BUF_INIT;

	(void)state;
	bench_stage(bench, a, "x/y/z", "part");
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_TICKET);
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), 0);
	bench_pass(1);
	assert_false(mem_disk_exists(bench->disk, path.data));
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_NOTHING);
	buf_release(&path);
	bench_free(bench);
}

/* What is only looked for was never made: no end of it looks. */
static void a_look_at_what_was_never_made_costs_nothing(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct buf path = BUF_INIT;
	uint64_t fsyncs = mem_count(a->store, STORE_FSYNC);

	(void)state;
	assert_int_equal(queue_stage(a->queue, "x", false, &path), QUEUE_NOTHING);
	assert_int_equal(queue_stage(a->queue, "", false, &path), QUEUE_DIR);
	assert_int_equal(done(a, "x"), 0);
	assert_int_equal(mem_count(a->store, STORE_FSYNC), fsyncs);
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_stage(bench, a, "x", "made");
	assert_int_equal(queue_stage(a->queue, "x", false, &path), QUEUE_TICKET);
	assert_int_equal(done(a, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x", "made"));
	buf_release(&path);
	bench_free(bench);
}

struct late {
	struct bench *bench;
	const char *path;
};

static void write_before_the_marker(void *arg, const struct store_op *op)
{
	const struct late *late = arg;

	if (op->kind == STORE_LINK && op->path2 && strstr(op->path2, "/done/"))
		assert_int_equal(mem_disk_puts(late->bench->disk, late->path, "late"), 0);
}

/* A second file made under the name of the unit, by a job that goes on behind its back, is swept; where there was but one, nobody looks. */
static void what_was_made_twice_is_swept_behind_its_commit(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct late late = { .bench = bench };
	struct buf path = BUF_INIT;
	int i;

	(void)state;
	bench_stage(bench, a, "x", "first");
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_TICKET);
	late.path = path.data;
	mem_set_hook(a->store, write_before_the_marker, &late);
	assert_int_equal(done(a, "x"), 0);
	mem_set_hook(a->store, NULL, NULL);
	for (i = 0; i < 20 && mem_disk_exists(bench->disk, path.data); i++)
		bench_pass(1);
	assert_false(mem_disk_exists(bench->disk, path.data));
	assert_true(bench_holds(bench, "outputs/x", "first"));
	buf_release(&path);
	bench_free(bench);
}

static void two_units_of_one_output_are_not_held_together(void **state)
{
	struct bench *bench = bench_new("output = out/{.}\n");
	struct bench_mount *a;
	struct buf names = BUF_INIT;

	(void)state;
	bench_input(bench, "x.1");
	bench_input(bench, "x.2");
	a = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 2, false, NULL, &names), 1);
	assert_int_equal(bench_claim(a, names.data[2] == '1' ? "x.2" : "x.1"), -EBUSY);
	assert_int_equal(done(a, names.data), 0);
	buf_reset(&names);
	usleep(1500);
	assert_int_equal(queue_take(a->queue, NULL, 2, false, NULL, &names), 1);
	buf_release(&names);
	bench_free(bench);
}

static void a_failed_fsync_or_rename_leaves_the_claim(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct mem_fault fsync = { .fault = MEM_FAIL, .kind = STORE_FSYNC, .error = -ENOSPC, .count = 1 };
	struct mem_fault rename = { .fault = MEM_FAIL, .kind = STORE_RENAME, .error = STORE_FAILURE, .count = 1, .part = "outputs" };

	(void)state;
	bench_stage(bench, a, "x", "1");
	mem_fault(a->store, &fsync);
	assert_int_equal(done(a, "x"), -ENOSPC);
	assert_true(bench_is(a, QUEUE_CLAIMS, "x"));
	mem_clear_faults(a->store);
	mem_fault(a->store, &rename);
	assert_int_equal(done(a, "x"), -EIO);
	assert_false(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	assert_int_equal(done(a, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x", "1"));
	bench_free(bench);
}

static void a_rename_without_an_answer(void **state)
{
	struct mem_fault lost[] = {
		{ .fault = MEM_LOSE_ANSWER, .kind = STORE_RENAME, .part = "outputs", .count = 1 },
		{ .fault = MEM_LOSE_REQUEST, .kind = STORE_RENAME, .part = "outputs", .count = 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct bench_mount *a;
		struct bench *bench = with_x(&a, "");

		bench_stage(bench, a, "x", "1");
		mem_fault(a->store, &lost[i]);
		assert_int_equal(done(a, "x"), 0);
		assert_true(bench_holds(bench, "outputs/x", "1"));
		bench_free(bench);
	}
}

static void durable_fsyncs_directories_around_the_link(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "durable = yes\n");
	struct mem_fault fault = { .fault = MEM_FAIL, .kind = STORE_FSYNC, .part = "outputs", .error = -EIO, .count = 1 };
	uint64_t before = mem_count(a->store, STORE_FSYNC);

	(void)state;
	bench_stage(bench, a, "x", "1");
	mem_fault(a->store, &fault);
	assert_int_equal(done(a, "x"), -EIO);
	assert_false(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	mem_clear_faults(a->store);
	assert_int_equal(done(a, "x"), 0);
	assert_true(mem_count(a->store, STORE_FSYNC) >= before + 4);
	bench_free(bench);
}

/* ---- outputs that come with the line ---- */

static int put(struct bench_mount *mount, const char *name, const char *text)
{
	const struct queue_output output = { .data = text, .len = strlen(text), .mode = 0644 };
	struct queue_finish finish = { .verb = QUEUE_VERB_DONE, .name = name, .output = &output };

	queue_finish(mount->queue, &finish, 1);
	return finish.error;
}

/* Published as what is staged is, and in its place; nothing of either stays below tmp/. */
static void an_output_comes_with_the_line(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct buf path = BUF_INIT;

	(void)state;
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_TICKET);
	assert_int_equal(mem_disk_puts(bench->disk, path.data, "staged"), 0);
	assert_int_equal(put(a, "x", "put"), 0);
	assert_true(bench_holds(bench, "outputs/x", "put"));
	assert_true(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	bench_pass(1);
	assert_false(mem_disk_exists(bench->disk, path.data));
	assert_int_equal(put(a, "x", "again"), -EACCES);
	assert_true(bench_holds(bench, "outputs/x", "put"));
	buf_release(&path);
	bench_free(bench);
}

/* Whatever became of what was not answered, even late: no name is used twice. */
static void a_put_without_an_answer(void **state)
{
	struct mem_fault faults[] = {
		{ .fault = MEM_LOSE_ANSWER, .kind = STORE_PUT, .count = 1 },
		{ .fault = MEM_LOSE_REQUEST, .kind = STORE_PUT, .count = 2 },
		{ .fault = MEM_LATE, .kind = STORE_PUT, .count = 1 },
		{ .fault = MEM_LOSE_ANSWER, .kind = STORE_RENAME, .part = "outputs", .count = 1 },
		{ .fault = MEM_LOSE_REQUEST, .kind = STORE_RENAME, .part = "outputs", .count = 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct bench_mount *a;
		struct bench *bench = with_x(&a, "");

		mem_fault(a->store, &faults[i]);
		assert_int_equal(put(a, "x", "put"), 0);
		mem_do_late(a->store);
		assert_true(bench_holds(bench, "outputs/x", "put"));
		bench_free(bench);
	}
}

static void a_put_that_fails_leaves_the_claim(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct mem_fault full = { .fault = MEM_FAIL, .kind = STORE_PUT, .error = -ENOSPC, .count = 1 };
	struct mem_fault never = { .fault = MEM_LOSE_REQUEST, .kind = STORE_PUT, .count = 3 };
	struct mem_fault gone = { .fault = MEM_FAIL, .kind = STORE_PUT, .error = -ENOENT, .count = 1 };

	(void)state;
	mem_fault(a->store, &full);
	assert_int_equal(put(a, "x", "1"), -ENOSPC);
	mem_fault(a->store, &never);
	assert_int_equal(put(a, "x", "1"), -EIO);
	mem_fault(a->store, &gone);
	assert_int_equal(put(a, "x", "1"), -EIO);
	assert_true(bench_is(a, QUEUE_CLAIMS, "x"));
	assert_false(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	assert_int_equal(put(a, "x", "2"), 0);
	assert_true(bench_holds(bench, "outputs/x", "2"));
	bench_free(bench);
}

/* A directory that is in the way goes to tmp/ first, and what stood for the put is swept when it can't be published. */
static void a_put_replaces_a_directory_or_is_swept(void **state)
{
	struct mem_fault rename = { .fault = MEM_FAIL, .kind = STORE_RENAME, .error = STORE_FAILURE, .count = 1, .part = "outputs" };
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	uint64_t removed;

	(void)state;
	mem_disk_puts(bench->disk, "outputs/x/old", "old");
	assert_int_equal(put(a, "x", "file"), 0);
	assert_true(bench_holds(bench, "outputs/x", "file"));
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	mem_disk_puts(bench->disk, "outputs/x", "other");
	mem_fault(a->store, &rename);
	bench_pass(1);
	removed = mem_count(a->store, STORE_REMOVE);
	assert_int_equal(put(a, "x", "late"), -EIO);
	bench_pass(1);
	assert_int_equal(mem_count(a->store, STORE_REMOVE) - removed, 1);
	bench_free(bench);
}

/* ---- the deciding link ---- */

static void unanswered_commits(void **state)
{
	struct mem_fault faults[] = {
		{ .fault = MEM_LOSE_ANSWER, .kind = STORE_LINK, .part = "/done/", .count = 1 },
		{ .fault = MEM_LOSE_REQUEST, .kind = STORE_LINK, .part = "/done/", .count = 1 },
		{ .fault = MEM_LATE, .kind = STORE_LINK, .part = "/done/", .count = 1 },
		{ .fault = MEM_LOSE_ANSWER, .kind = STORE_LINK, .part = "/done/", .count = 2 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct bench_mount *a, *b;
		struct bench *bench = with_x(&a, "");

		b = bench_mount(bench);
		mem_fault(a->store, &faults[i]);
		assert_int_equal(done(a, "x"), 0);
		mem_do_late(a->store);
		assert_int_equal(done(a, "x"), -EACCES);
		assert_true(bench_comes_to_be(b, QUEUE_DONE, "x"));
		bench_free(bench);
	}
}

static void a_commit_without_any_answer_is_told_later(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct mem_fault link = { .fault = MEM_LATE, .kind = STORE_LINK, .part = "/done/", .count = 1 };
	struct mem_fault look = { .fault = MEM_LOSE_REQUEST, .kind = STORE_READ, .part = "/done/", .count = 100 };

	(void)state;
	mem_fault(a->store, &link);
	mem_fault(a->store, &look);
	assert_int_equal(done(a, "x"), -ETIMEDOUT);
	assert_true(bench_is(a, QUEUE_CLAIMS, "x"));
	mem_clear_faults(a->store);
	mem_do_late(a->store);
	assert_int_equal(done(a, "x"), 0);
	bench_free(bench);
}

static void somebody_elses_marker_is_already(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct queue_finish finish = { .verb = QUEUE_VERB_DONE, .name = "x" };

	(void)state;
	mem_disk_puts(bench->disk, bench_marker_path("x", 0), "claimfs 1\nnode other.0000000a\nkind live\n");
	queue_finish(a->queue, &finish, 1);
	assert_int_equal(finish.error, -EEXIST);
	assert_string_equal(finish.node, "other.0000000a");
	assert_true(bench_is(a, QUEUE_DONE, "x"));
	bench_free(bench);
}

static void a_missing_claim_is_lost_and_never_linked(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");

	(void)state;
	assert_int_equal(mem_disk_remove(bench->disk, bench_claim_path("x", 0, 1)), 0);
	assert_int_equal(done(a, "x"), -ESTALE);
	assert_false(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	bench_free(bench);
}

static void a_stolen_claim_is_estale(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, "");
	int64_t mtime = -1;

	(void)state;
	b = bench_mount(bench);
	bench_stage(bench, a, "x", "late");
	assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
	mem_cut(a->store, 0);
	bench_pass(BENCH_LEASE + 3);
	assert_int_equal(bench_claim(b, "x"), 0);
	mem_uncut(a->store);
	bench_stage(bench, b, "x", "good");
	assert_int_equal(done(a, "x"), -ESTALE);
	assert_false(mem_disk_exists(bench->disk, "outputs/x"));
	/* The claim that was a's is given up as lost, so that nothing hangs on its heartbeat. */
	bench_pass(1);
	assert_int_equal(mem_disk_mtime(bench->disk, bench_claim_path("x", 0, 1), &mtime), 0);
	assert_int_equal(mtime, 0);
	assert_int_equal(done(b, "x"), 0);
	assert_true(bench_holds(bench, "outputs/x", "good"));
	bench_free(bench);
}

/* Promise 1: a done unit has one `ok`, and all others hear `already`, those included that were silent when it was taken from them. */
static void a_lapsed_holder_of_what_another_did_is_already(void **state)
{
	int swept;

	(void)state;
	for (swept = 0; swept < 2; swept++) {
		struct bench_mount *a, *b;
		struct bench *bench = with_x(&a, "");
		struct queue_finish finish = { .verb = QUEUE_VERB_DONE, .name = "x" };

		b = bench_mount(bench);
		bench_stage(bench, a, "x", "late");
		assert_true(bench_is(b, QUEUE_CLAIMS, "x"));
		mem_cut(a->store, 0);
		bench_pass(BENCH_LEASE + 3);
		assert_int_equal(bench_claim(b, "x"), 0);
		if (!swept)
			mem_fault(b->store, &(struct mem_fault) { .fault = MEM_FAIL, .kind = STORE_REMOVE, .part = "/claims/", .count = 9,
				.error = STORE_FAILURE });
		bench_stage(bench, b, "x", "good");
		assert_int_equal(done(b, "x"), 0);
		bench_pass(1);
		assert_int_equal(mem_disk_exists(bench->disk, bench_claim_path("x", 0, 1)), !swept);
		mem_uncut(a->store);
		queue_finish(a->queue, &finish, 1);
		assert_int_equal(finish.error, -EEXIST);
		assert_non_null(strstr(finish.node, "node-2"));
		assert_true(bench_holds(bench, "outputs/x", "good"));
		assert_true(bench_is(a, QUEUE_DONE, "x"));
		bench_free(bench);
	}
}

static void a_lapse_that_nobody_used_is_verified(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, "");

	(void)state;
	b = bench_mount(bench);
	mem_cut(a->store, 0);
	bench_pass(BENCH_LEASE + 3);
	mem_uncut(a->store);
	bench_pass(1);
	assert_int_equal(done(a, "x"), 0);
	assert_true(bench_comes_to_be(b, QUEUE_DONE, "x"));
	bench_free(bench);
}

/* Each thing that must be absent, alone: after a lapse it ends the claim, and nothing is published. A marker says `already`. */
static void each_look_of_verifying_counts(void **state)
{
	struct hash128 unit = layout_unit("x", false, 0, 0);
	char paths[4][LAYOUT_PATH];
	size_t i;

	(void)state;
	layout_claim(paths[0], &(struct layout_claim) { unit, 0, 2 });
	layout_marker(paths[1], &unit, 0);
	layout_failed(paths[2], &unit, 0);
	layout_redo(paths[3], &unit, 1);
	for (i = 0; i < 4; i++) {
		struct bench_mount *a;
		struct bench *bench = with_x(&a, "");

		bench_stage(bench, a, "x", "late");
		mem_cut(a->store, 0);
		bench_jump(BENCH_LEASE + 1);
		assert_int_equal(mem_disk_puts(bench->disk, paths[i], "claimfs 1\nnode other.00000001\nkind live\n"), 0);
		mem_uncut(a->store);
		assert_int_equal(done(a, "x"), i == 1 ? -EEXIST : -ESTALE);
		assert_false(mem_disk_exists(bench->disk, "outputs/x"));
		bench_free(bench);
	}
}

static void a_claim_with_another_owner_inside_is_not_verified(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");

	(void)state;
	mem_cut(a->store, 0);
	bench_jump(BENCH_LEASE + 1);
	assert_int_equal(mem_disk_remove(bench->disk, bench_claim_path("x", 0, 1)), 0);
	assert_int_equal(mem_disk_puts(bench->disk, bench_claim_path("x", 0, 1), "claimfs 1\nnode other.00000001\nkind live\n"), 0);
	mem_uncut(a->store);
	assert_int_equal(done(a, "x"), -ESTALE);
	bench_free(bench);
}

static void a_heartbeat_file_that_is_gone_loses_its_claims(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct mem_fault gone = { .fault = MEM_FAIL, .kind = STORE_WRITE, .error = -ENOENT, .count = 1 };

	(void)state;
	mem_fault(a->store, &gone);
	bench_pass(BENCH_LEASE / 2.0);
	assert_int_equal(done(a, "x"), -ESTALE);
	bench_pass(BENCH_LEASE + 2);
	/* A new incarnation claims on. */
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(done(a, "x"), 0);
	bench_free(bench);
}

static void a_swept_stage_is_no_empty_output(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct buf path = BUF_INIT;
	char *slash;

	(void)state;
	bench_stage(bench, a, "x", "1");
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_TICKET);
	mem_disk_remove(bench->disk, path.data);
	slash = strrchr(path.data, '/');
	*slash = '\0';
	assert_int_equal(mem_disk_remove(bench->disk, path.data), 0);
	assert_int_equal(done(a, "x"), -ESTALE);
	assert_false(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	buf_release(&path);
	bench_free(bench);
}

/* ---- sizes in the record ---- */

/* Finishes x, or fails it, with `values`; what its ticket says of sizes. */
static void finish_is_told(struct bench_mount *mount, struct queue_finish finish, const char *in, const char *out)
{
	struct buf ticket = BUF_INIT;

	finish.name = "x";
	queue_finish(mount->queue, &finish, 1);
	assert_int_equal(finish.error, 0);
	assert_int_equal(queue_ticket(mount->queue, finish.verb == QUEUE_VERB_FAIL ? QUEUE_FAILED : QUEUE_DONE, "x", &ticket), 0);
	assert_true(in ? strstr(ticket.data, in) != NULL : strstr(ticket.data, "bytes-in:") == NULL);
	assert_true(out ? strstr(ticket.data, out) != NULL : strstr(ticket.data, "bytes-out:") == NULL);
	buf_release(&ticket);
}

static void sizes_are_told_by_the_disk(void **state)
{
	static const char data[] = "1234567";
	static const struct queue_output output = { data, 7, 0644 };
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	char long_values[RECORD_MAX_VALUES + 1] = "a=";

	(void)state;
	bench_stage(bench, a, "x", "12345");
	finish_is_told(a, (struct queue_finish) { .verb = QUEUE_VERB_DONE, .values = "status=0" }, "bytes-in: 1 bytes\n", "bytes-out: 5 bytes\n");
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	finish_is_told(a, (struct queue_finish) { .verb = QUEUE_VERB_DONE, .output = &output }, "bytes-in: 1 bytes\n", "bytes-out: 7 bytes\n");
	/* What the line says itself stands; a directory's size is nobody's to guess; where nothing is staged there is no size. */
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_stage(bench, a, "x/part", "12345");
	finish_is_told(a, (struct queue_finish) { .verb = QUEUE_VERB_DONE, .values = "out=9 in=8" }, "bytes-in: 8 bytes\n", "bytes-out: 9 bytes\n");
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	bench_stage(bench, a, "x/part", "12345");
	finish_is_told(a, (struct queue_finish) { .verb = QUEUE_VERB_DONE }, "bytes-in: 1 bytes\n", NULL);
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	memset(long_values + 2, 'b', RECORD_MAX_VALUES - 2);
	finish_is_told(a, (struct queue_finish) { .verb = QUEUE_VERB_DONE, .values = long_values }, NULL, NULL);
	assert_int_equal(queue_redo(a->queue, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	finish_is_told(a, (struct queue_finish) { .verb = QUEUE_VERB_FAIL, .values = "status=3" }, "bytes-in: 1 bytes\n", NULL);
	bench_free(bench);
}

/* ---- failing, generations, marking ---- */

static void failing_says_why(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, "");
	struct queue_finish finish = { .verb = QUEUE_VERB_FAIL, .name = "x", .values = "status=3 stderr=no%20such%20thing%0A" };
	struct buf ticket = BUF_INIT;
	struct queue_entry entry;

	(void)state;
	queue_finish(a->queue, &finish, 1);
	assert_int_equal(finish.error, 0);
	bench_pass(0.5);
	b = bench_mount(bench);
	assert_true(bench_is(b, QUEUE_FAILED, "x"));
	assert_int_equal(queue_ticket(b->queue, QUEUE_FAILED, "x", &ticket), 0);
	assert_non_null(strstr(ticket.data, "exit-status: 3\n"));
	assert_non_null(strstr(ticket.data, "  no such thing\n"));
	assert_int_equal(queue_look(b->queue, QUEUE_FAILED, "x", &entry), 0);
	assert_int_equal(entry.size, ticket.len);
	buf_release(&ticket);
	bench_free(bench);
}

static void a_redo_is_a_new_generation_and_needs_no_removal(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, "");

	(void)state;
	b = bench_mount(bench);
	assert_int_equal(queue_redo(a->queue, "x"), -EBUSY);
	assert_int_equal(done(a, "x"), 0);
	bench_pass(0.5);
	assert_int_equal(queue_redo(b->queue, "x"), 0);
	assert_true(mem_disk_exists(bench->disk, bench_marker_path("x", 0)));
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	assert_true(bench_is(a, QUEUE_TODO, "x"));
	assert_int_equal(queue_redo(a->queue, "x"), -ENOENT);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(done(a, "x"), 0);
	assert_true(mem_disk_exists(bench->disk, bench_marker_path("x", 1)));
	bench_free(bench);
}

static void marking_done_without_work(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a, *b;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(bench_claim(b, "y"), 0);
	assert_int_equal(queue_mark_done(a->queue, "x"), 0);
	assert_int_equal(queue_mark_done(a->queue, "x"), -EEXIST);
	assert_int_equal(queue_mark_done(a->queue, "y"), -EBUSY);
	assert_int_equal(queue_mark_done(a->queue, "z"), -ENOENT);
	bench_free(bench);
}

/* ---- keys ---- */

static void a_changed_input_drops_the_work(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "key = stat\n");

	(void)state;
	bench_stage(bench, a, "x", "of the old one");
	mem_disk_puts(bench->disk, "inputs/x", "another");
	mem_disk_set_mtime(bench->disk, "inputs/x", mem_disk_time(bench->disk) - 50);
	assert_int_equal(done(a, "x"), -EAGAIN);
	assert_false(mem_disk_exists(bench->disk, "outputs/x"));
	bench_pass(0.5);
	assert_true(bench_is(a, QUEUE_TODO, "x"));
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(done(a, "x"), 0);
	bench_free(bench);
}

static void an_input_that_changed_is_work_again(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, "key = stat\n");

	(void)state;
	assert_int_equal(done(a, "x"), 0);
	mem_disk_puts(bench->disk, "inputs/x", "another");
	mem_disk_set_mtime(bench->disk, "inputs/x", mem_disk_time(bench->disk) - 50);
	b = bench_mount(bench);
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	assert_false(bench_is(b, QUEUE_DONE, "x"));
	bench_pass(2);		/* few inputs: all are listed again within a second */
	assert_true(bench_is(a, QUEUE_TODO, "x"));
	bench_free(bench);
}

/* ---- sweeping and batches ---- */

static void finished_claims_are_swept(void **state)
{
	struct bench_mount *a;
	struct bench *bench = with_x(&a, "");
	struct buf names = BUF_INIT;

	(void)state;
	assert_int_equal(bench_end(a, QUEUE_VERB_LOSE, "x"), 0);
	assert_int_equal(bench_claim(a, "x"), 0);
	assert_int_equal(done(a, "x"), 0);
	bench_pass(1);
	assert_int_equal(mem_disk_list(bench->disk, ".claimfs/claims", &names), 0);
	buf_release(&names);
	bench_free(bench);
}

static void a_long_dead_nodes_stage_is_swept(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = with_x(&a, "");
	struct buf path = BUF_INIT;

	(void)state;
	bench_input(bench, "y");
	bench_stage(bench, a, "x", "1");
	assert_int_equal(queue_stage(a->queue, "x", true, &path), QUEUE_TICKET);
	bench_kill(a);
	b = bench_mount(bench);
	assert_int_equal(bench_claim(b, "y"), 0);
	assert_int_equal(done(b, "y"), 0);
	assert_true(mem_disk_exists(bench->disk, path.data));
	bench_pass(BENCH_LEASE * 20);
	assert_true(bench_is(b, QUEUE_TODO, "x"));
	bench_pass(BENCH_LEASE * 10);
	assert_false(mem_disk_exists(bench->disk, path.data));
	buf_release(&path);
	bench_free(bench);
}

static void a_batch_commits_in_one_flight(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct queue_finish list[64];
	struct bench_mount *a;
	const char *name;
	uint64_t before;
	int i = 0;

	(void)state;
	bench_inputs(bench, 64);
	for (i = 0; i < 256; i++) {
		char dir[32];

		snprintf(dir, sizeof(dir), ".claimfs/done/%02x", i);
		mem_disk_mkdirs(bench->disk, dir);
	}
	a = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 64, false, NULL, &names), 64);
	for (i = 0, name = names.data; i < 64; i++, name += strlen(name) + 1)
		list[i] = (struct queue_finish) { .verb = QUEUE_VERB_DONE, .name = name };
	/* Let the keeper come to rest, so that only the commit is counted. */
	bench_pass(1);
	usleep(100000);
	before = mem_count(a->store, STORE_LINK);
	queue_finish(a->queue, list, 64);
	assert_int_equal(mem_count(a->store, STORE_LINK) - before, 64);
	assert_int_equal(mem_count(a->store, STORE_FSYNC), 0);
	assert_int_equal(mem_count(a->store, STORE_RENAME), 0);
	for (i = 0; i < 64; i++)
		assert_int_equal(list[i].error, 0);
	assert_int_equal(bench_count(a, QUEUE_DONE), 64);
	buf_release(&names);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outputs_go_below_directories_that_are_made),
		cmocka_unit_test(a_directory_replaces_what_was_there),
		cmocka_unit_test(a_file_replaces_a_directory_and_the_other_way_round),
		cmocka_unit_test(what_is_staged_goes_away_with_the_claim),
		cmocka_unit_test(a_look_at_what_was_never_made_costs_nothing),
		cmocka_unit_test(what_was_made_twice_is_swept_behind_its_commit),
		cmocka_unit_test(two_units_of_one_output_are_not_held_together),
		cmocka_unit_test(a_failed_fsync_or_rename_leaves_the_claim),
		cmocka_unit_test(a_rename_without_an_answer),
		cmocka_unit_test(durable_fsyncs_directories_around_the_link),
		cmocka_unit_test(an_output_comes_with_the_line),
		cmocka_unit_test(a_put_without_an_answer),
		cmocka_unit_test(a_put_that_fails_leaves_the_claim),
		cmocka_unit_test(a_put_replaces_a_directory_or_is_swept),
		cmocka_unit_test(unanswered_commits),
		cmocka_unit_test(a_commit_without_any_answer_is_told_later),
		cmocka_unit_test(somebody_elses_marker_is_already),
		cmocka_unit_test(a_missing_claim_is_lost_and_never_linked),
		cmocka_unit_test(a_stolen_claim_is_estale),
		cmocka_unit_test(a_lapsed_holder_of_what_another_did_is_already),
		cmocka_unit_test(a_lapse_that_nobody_used_is_verified),
		cmocka_unit_test(each_look_of_verifying_counts),
		cmocka_unit_test(a_claim_with_another_owner_inside_is_not_verified),
		cmocka_unit_test(a_heartbeat_file_that_is_gone_loses_its_claims),
		cmocka_unit_test(a_swept_stage_is_no_empty_output),
		cmocka_unit_test(sizes_are_told_by_the_disk),
		cmocka_unit_test(failing_says_why),
		cmocka_unit_test(a_redo_is_a_new_generation_and_needs_no_removal),
		cmocka_unit_test(marking_done_without_work),
		cmocka_unit_test(a_changed_input_drops_the_work),
		cmocka_unit_test(an_input_that_changed_is_work_again),
		cmocka_unit_test(finished_claims_are_swept),
		cmocka_unit_test(a_long_dead_nodes_stage_is_swept),
		cmocka_unit_test(a_batch_commits_in_one_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
