/*
 * trips: what taking and committing cost in round trips (queue.md: lost races cost none, `take N` is one for the batch, and so is each step of a commit).
 * Counted are the flights of the thread that asks; records and sweeps are the keeper's.
 */
#include "tests/fake/bench_queue.h"

#define UNITS 300

/* A mount that has its identity, and a view that stays good. */
static struct bench_mount *ready(struct bench *bench, int *ret_taken)
{
	struct buf names = BUF_INIT;
	struct bench_mount *mount;

	bench_inputs(bench, UNITS);
	bench->ttl_ns = 1000 * NS_PER_S;
	mount = bench_mount(bench);
	*ret_taken = queue_take(mount->queue, NULL, 1, false, NULL, &names);
	buf_release(&names);
	return mount;
}

/* Just before the LINK number `at` of a claim, from 0, somebody else makes that claim. */
struct rival {
	struct bench *bench;
	int at;
	int seen;
	int won;
};

static void be_first(void *arg, const struct store_op *op)
{
	struct rival *rival = arg;

	if (op->kind != STORE_LINK || !op->path2 || !strstr(op->path2, "/claims/") || rival->seen++ != rival->at)
		return;
	rival->won++;
	assert_int_equal(mem_disk_puts(rival->bench->disk, op->path2, "claimfs 1\nnode other.0000000a\nkind live\n"), 0);
}

static void a_batch_is_taken_in_one_trip(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct bench_mount *mount;
	uint64_t before;
	int taken;

	(void)state;
	mount = ready(bench, &taken);
	assert_int_equal(taken, 1);
	before = mem_flights_here();
	assert_int_equal(queue_take(mount->queue, NULL, 64, false, NULL, &names), 64);
	assert_int_equal(mem_flights_here() - before, 1);
	buf_release(&names);
	bench_free(bench);
}

/* How often names in failed/ and redo/, and these two themselves, were looked at; and a mark that somebody makes of the first unit just before its LINK. */
struct looks {
	struct bench *bench;
	void (*mark)(char path[LAYOUT_PATH], const struct layout_claim *claim);	/* NULL: none (any more) */
	char claim[LAYOUT_PATH];	/* which unit that was */
	int names, dirs;
};

static void mark_failed(char path[LAYOUT_PATH], const struct layout_claim *claim)
{
	layout_failed(path, &claim->unit, claim->generation);
}

static void mark_redone(char path[LAYOUT_PATH], const struct layout_claim *claim)
{
	layout_redo(path, &claim->unit, claim->generation + 1);
}

static void make_mark(struct looks *looks, const char *claim_path)
{
	const char *name = strrchr(claim_path, '/') + 1;
	struct layout_claim claim;
	char path[LAYOUT_PATH];

	assert_int_equal(layout_parse_claim(name, strlen(name), &claim), 0);
	snprintf(looks->claim, sizeof(looks->claim), "%s", claim_path);
	looks->mark(path, &claim);
	looks->mark = NULL;
	assert_int_equal(mem_disk_puts(looks->bench->disk, path, "somebody's"), 0);
}

static void count_looks(void *arg, const struct store_op *op)
{
	struct looks *looks = arg;

	if (op->kind == STORE_LINK && looks->mark && strstr(op->path2, "claims/"))
		make_mark(looks, op->path2);
	if (op->kind != STORE_LSTAT)
		return;
	looks->dirs += strcmp(op->path, LAYOUT_FAILED) == 0 || strcmp(op->path, LAYOUT_REDO) == 0;
	looks->names += strncmp(op->path, LAYOUT_FAILED "/", strlen(LAYOUT_FAILED "/")) == 0 ||
			strncmp(op->path, LAYOUT_REDO "/", strlen(LAYOUT_REDO "/")) == 0;
}

static bool is_gone(void *arg)
{
	struct looks *looks = arg;

	return !mem_disk_exists(looks->bench->disk, looks->claim);
}

/* Two looks stand for two of each unit once failed/ and redo/ have been at rest for some seconds, and only as long as they are. */
static void marks_are_looked_at_all_at_once(void **state)
{
	static const struct {
		void (*mark)(char path[LAYOUT_PATH], const struct layout_claim *claim);
		int rest, names, dirs, trips;
		bool clients;		/* the disk has other clients than the host */
	} cases[] = {
		{ NULL, 5, 0, 2, 1, false },
		{ NULL, 0, 2 * 64, 0, 1, false },		/* what was listed in this second may have changed since */
		{ NULL, 5, 2 * 64, 0, 1, true },
		{ mark_failed, 5, 2 * 64 + 2, 2, 3, false },	/* all claims, a look at each, and another unit in the place of the one that is dropped */
		{ mark_redone, 5, 2 * 64 + 2, 2, 3, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench *bench = bench_new("");
		struct looks looks = { .bench = bench, .mark = cases[i].mark };
		struct buf names = BUF_INIT;
		struct bench_mount *mount;
		uint64_t before;
		int taken;

		bench->one_host = !cases[i].clients;
		bench_pass(cases[i].rest);
		mount = ready(bench, &taken);
		assert_int_equal(taken, 1);
		mem_set_hook(mount->store, count_looks, &looks);
		before = mem_flights_here();
		assert_int_equal(queue_take(mount->queue, NULL, 64, false, NULL, &names), 64);
		assert_int_equal(mem_flights_here() - before, cases[i].trips);
		mem_set_hook(mount->store, NULL, NULL);
		assert_int_equal(looks.names, cases[i].names);
		assert_int_equal(looks.dirs, cases[i].dirs);
		assert_true(!cases[i].mark || bench_until(is_gone, &looks));
		buf_release(&names);
		bench_free(bench);
	}
}

static void a_lost_race_costs_no_trip_of_its_own(void **state)
{
	static const struct { int count, at; } cases[] = { { 64, 0 }, { 64, 10 }, { 64, 63 }, { 1, 0 } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench *bench = bench_new("");
		struct rival rival = { .bench = bench, .at = cases[i].at };
		struct buf names = BUF_INIT;
		struct bench_mount *mount;
		uint64_t before;
		int taken;

		mount = ready(bench, &taken);
		mem_set_hook(mount->store, be_first, &rival);
		before = mem_flights_here();
		assert_int_equal(queue_take(mount->queue, NULL, cases[i].count, false, NULL, &names), cases[i].count);
		/* The batch, and the one that takes the place of the lost. */
		assert_int_equal(mem_flights_here() - before, 2);
		assert_int_equal(rival.won, 1);
		mem_set_hook(mount->store, NULL, NULL);
		buf_release(&names);
		bench_free(bench);
	}
}

/* Who asks for this very unit is told whether somebody holds it: that is looked at. */
static void a_unit_by_name_is_looked_at(void **state)
{
	struct bench *bench = bench_new("");
	struct rival rival = { .bench = bench };
	struct bench_mount *mount;
	int taken;

	(void)state;
	bench_input(bench, "x");
	mount = ready(bench, &taken);
	mem_set_hook(mount->store, be_first, &rival);
	assert_int_equal(queue_claim(mount->queue, queue_attempt(mount->queue, "x") ? "u00001" : "x"), -EBUSY);
	mem_set_hook(mount->store, NULL, NULL);
	/* On a disk that allows no more links from the file in use, it is not held. */
	mem_disk_set_link_limit(bench->disk, 3);
	assert_int_equal(queue_claim(mount->queue, queue_attempt(mount->queue, "u00002") ? "u00003" : "u00002"), 0);
	assert_int_equal(queue_claim(mount->queue, queue_attempt(mount->queue, "u00004") ? "u00005" : "u00004"), 0);
	bench_free(bench);
}

static void a_batch_is_committed_in_a_trip_a_step(void **state)
{
	struct bench *bench = bench_new("");
	struct queue_finish list[64];
	struct buf names = BUF_INIT;
	struct bench_mount *mount;
	const char *name;
	uint64_t before;
	char dir[32];
	int taken, staged;
	size_t i;

	(void)state;
	mount = ready(bench, &taken);
	/* Of a new queue: the link, the look why it failed, the directories of the markers, and the link again. */
	for (staged = -1; staged < 2; staged++) {
		buf_reset(&names);
		assert_int_equal(queue_take(mount->queue, NULL, 64, false, NULL, &names), 64);
		for (name = names.data, i = 0; i < 64; i++, name += strlen(name) + 1) {
			list[i] = (struct queue_finish) { .verb = QUEUE_VERB_DONE, .name = name };
			if (staged == 1)
				bench_stage(bench, mount, name, "out");
		}
		before = mem_flights_here();
		queue_finish(mount->queue, list, 64);
		/* fsync, rename and the deciding link, each behind the answers of the one before; the link alone where nothing is staged. */
		assert_int_equal(mem_flights_here() - before, staged < 0 ? 4 : staged ? 3 : 1);
		for (i = 0; i < 256; i++) {
			snprintf(dir, sizeof(dir), ".claimfs/done/%02zx", i);
			mem_disk_mkdirs(bench->disk, dir);
		}
		for (i = 0; i < 64; i++)
			assert_int_equal(list[i].error, 0);
	}
	buf_release(&names);
	bench_free(bench);
}

static bool ignore_entry(void *arg, const char *name, const struct queue_entry *entry, uint64_t next_cursor)
{
	(void)arg;
	(void)name;
	(void)entry;
	(void)next_cursor;
	return true;
}

static uint64_t trips_of_list(struct bench_mount *mount, int64_t asked_ns)
{
	uint64_t before = mem_flights_here(), cursor = 0;

	assert_int_equal(queue_list(mount->queue, QUEUE_TODO, "", &cursor, false, asked_ns, ignore_entry, NULL), 0);
	return mem_flights_here() - before;
}

/* Where nothing changed, claims/ and log/ are read while all else is looked at; what has changed is listed besides, and log/ after it. */
static void a_view_is_refreshed_in_one_trip(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *mount;
	int64_t asked_ns;
	int taken;

	(void)state;
	mount = ready(bench, &taken);
	bench_pass(10);		/* until what is listed is older than the seconds of its times */
	trips_of_list(mount, INT64_MAX);
	assert_int_equal(trips_of_list(mount, INT64_MAX), 1);
	bench_input(bench, "new");
	bench_pass(1);		/* the directory was listed just now, and rests */
	assert_int_equal(trips_of_list(mount, INT64_MAX), 3);
	/* One that was begun since somebody asked is what he asked for. */
	asked_ns = clock_now();
	assert_true(trips_of_list(mount, INT64_MAX) > 0);
	assert_int_equal(trips_of_list(mount, asked_ns + 1000 * NS_PER_S), 0);
	bench_free(bench);
}

static uint64_t trips_of_progress(struct bench_mount *mount)
{
	uint64_t before = mem_flights_here();
	struct buf text = BUF_INIT;

	assert_int_equal(queue_progress(mount->queue, false, &text), 0);
	buf_release(&text);
	return mem_flights_here() - before;
}

/* Heartbeats are read while the view is refreshed. */
static void progress_costs_no_trip_besides_the_view(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *mount;

	(void)state;
	bench_inputs(bench, 3);
	mount = bench_mount(bench);
	trips_of_progress(mount);
	bench_pass(10);
	trips_of_progress(mount);
	bench_pass(1);
	assert_int_equal(trips_of_progress(mount), 1);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_taken_in_one_trip),
		cmocka_unit_test(marks_are_looked_at_all_at_once),
		cmocka_unit_test(a_lost_race_costs_no_trip_of_its_own),
		cmocka_unit_test(a_unit_by_name_is_looked_at),
		cmocka_unit_test(a_batch_is_committed_in_a_trip_a_step),
		cmocka_unit_test(a_view_is_refreshed_in_one_trip),
		cmocka_unit_test(progress_costs_no_trip_besides_the_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
