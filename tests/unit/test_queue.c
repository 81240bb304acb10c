/*
 * queue: the engine as a whole over a disk in memory: the view, taking and waiting, several mounts at once, and a mount that dies at every
 * step.
 */
#include <pthread.h>

#include "base/map.h"
#include "queue/inner.h"
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

static void note_taken(void *arg, const char *input, const struct store_attrs *attrs, int64_t asked_ns)
{
	assert_true(asked_ns > 0 && asked_ns <= clock_now());
	buf_addf(arg, "%s %d\n", input, (int)attrs->size);
}

/* Inputs of what a session takes are told, as the names are, and of what the mount takes for itself none. */
static void what_a_session_took_is_told(void **state)
{
	struct bench *bench = bench_new("input = ../in\n");
	struct buf names = BUF_INIT, told = BUF_INIT, expected = BUF_INIT;
	struct bench_mount *mount;
	const char *name;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		char path[32];

		snprintf(path, sizeof(path), "../in/d/u%d", i);
		assert_int_equal(mem_disk_puts(bench->disk, path, "12345"), 0);
	}
	bench->taken = note_taken;
	bench->inputs_arg = &told;
	mount = bench_mount(bench);
	assert_int_equal(queue_take(mount->queue, NULL, 1, false, NULL, &names), 1);
	assert_int_equal(told.len, 0);
	buf_reset(&names);
	assert_int_equal(queue_take(mount->queue, (struct ctl *)&told, 9, false, NULL, &names), 4);
	for (name = names.data; name < names.data + names.len; name += strlen(name) + 1)
		buf_addf(&expected, "../in/%s 5\n", name);
	assert_string_equal(buf_text(&told), expected.data);
	buf_release(&names);
	buf_release(&told);
	buf_release(&expected);
	bench_free(bench);
}

/* ---- the view ---- */

static void a_mount_that_only_looks_leaves_no_trace(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT, text = BUF_INIT;
	struct bench_mount *a;

	(void)state;
	bench_inputs(bench, 10);
	a = bench_mount(bench);
	assert_int_equal(bench_count(a, QUEUE_TODO), 10);
	assert_int_equal(queue_progress(a->queue, false, &text), 0);
	assert_int_equal(mem_disk_list(bench->disk, ".claimfs/nodes", &names), 0);
	assert_int_equal(mem_disk_list(bench->disk, ".claimfs/log", &names), 0);
	assert_int_equal(mem_disk_list(bench->disk, ".claimfs/tmp", &names), 0);
	assert_int_equal(mem_disk_list(bench->disk, ".claimfs/claims", &names), 0);
	buf_release(&names);
	buf_release(&text);
	bench_free(bench);
}

/* Whoever wrote it: one line must not make nonsense of the sums of all. */
static void values_out_of_this_world_are_left_out_of_sums(void **state)
{
	struct bench *bench = bench_new("");
	struct buf text = BUF_INIT;
	struct bench_mount *a;

	(void)state;
	bench_inputs(bench, 1);
	mem_disk_puts(bench->disk, ".claimfs/log/other.00000001",
		      "1 done 8e359311f4815236e9f8f0fe3dd676d1 0 1000 1 - x wall=1e300 user=inf sys=nan in=1e300 spawn=2\n"
		      "1 done 8e359311f4815236e9f8f0fe3dd676d2 0 1000 1 - y wall=3 out=5 idle=-7 wall=9 out=9\n");
	a = bench_mount(bench);
	assert_int_equal(queue_progress(a->queue, true, &text), 0);
	assert_non_null(strstr(buf_text(&text), "\"time_spent\":{\"wall\":3,\"user\":0,\"sys\":0,\"in\":0,\"out\":5,\"units\":2,"));
	buf_release(&text);
	bench_free(bench);
}

/* Sizes are known of every unit; where the time went is known once a job has said it. */
static void sizes_alone_say_nothing_of_time(void **state)
{
	struct bench *bench = bench_new("");
	struct buf text = BUF_INIT;
	struct bench_mount *a;

	(void)state;
	bench_inputs(bench, 1);
	a = bench_mount(bench);
	assert_int_equal(bench_claim(a, "u00000"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "u00000"), 0);
	assert_int_equal(queue_progress(a->queue, true, &text), 0);
	assert_non_null(strstr(buf_text(&text), "\"time_spent\":null"));
	buf_release(&text);
	bench_free(bench);
}

struct sizes {
	struct bench_mount *mount;
	enum queue_state state;
	int count;
};

static bool check_size(void *arg, const char *name, const struct queue_entry *entry, uint64_t next)
{
	struct sizes *sizes = arg;
	struct buf text = BUF_INIT;

	(void)next;
	assert_int_equal(queue_ticket(sizes->mount->queue, sizes->state, name, &text), 0);
	assert_int_equal(entry->size, text.len);
	sizes->count++;
	buf_release(&text);
	return true;
}

static void tickets_have_the_size_that_is_listed(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct bench_mount *a, *b;
	struct queue_finish finish;
	const char *name;
	uint64_t cursor;
	int i, which, s;

	(void)state;
	bench_inputs(bench, 40);
	bench_input(bench, "strange %\n name");
	a = bench_mount(bench);
	b = bench_mount(bench);
	assert_int_equal(queue_take(a->queue, NULL, 30, false, NULL, &names), 30);
	for (i = 0, name = names.data; i < 20; i++, name += strlen(name) + 1) {
		finish = (struct queue_finish) { .verb = i % 2 ? QUEUE_VERB_DONE : QUEUE_VERB_FAIL, .name = name };
		finish.values = i % 3 ? "status=1 wall=2.5 stderr=a%0Ab" : NULL;
		queue_finish(a->queue, &finish, 1);
		assert_int_equal(finish.error, 0);
	}
	bench_pass(0.5);
	for (which = 0; which < 2; which++)
		for (s = 0; s < QUEUE_STATES; s++) {
			struct sizes sizes = { which ? b : a, (enum queue_state)s, 0 };

			cursor = 0;
			usleep(1500);
			assert_int_equal(queue_list(sizes.mount->queue, sizes.state, "", &cursor, true, clock_now(), check_size, &sizes), 0);
			assert_int_equal(sizes.count, s == QUEUE_TODO ? 11 : 10);
		}
	buf_release(&names);
	bench_free(bench);
}

static void nested_inputs_show_directories_with_something_in_them(void **state)
{
	struct bench *bench = bench_new("");
	struct queue_entry entry;
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "d/one");
	bench_input(bench, "d/e/two");
	mem_disk_mkdirs(bench->disk, "inputs/empty");
	a = bench_mount(bench);
	assert_int_equal(bench_count(a, QUEUE_TODO), 1);
	assert_int_equal(bench_count(a, QUEUE_DONE), 0);
	assert_int_equal(queue_look(a->queue, QUEUE_DONE, "d/e", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_DIR);
	assert_int_equal(queue_claim(a->queue, "d/e/two"), 0);
	assert_int_equal(bench_end(a, QUEUE_VERB_DONE, "d/e/two"), 0);
	assert_int_equal(bench_count(a, QUEUE_DONE), 1);
	assert_true(bench_is(a, QUEUE_DONE, "d/e/two"));
	bench_free(bench);
}

static void inputs_come_and_go(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *a;

	(void)state;
	bench_input(bench, "one");
	bench_pass(5);
	a = bench_mount(bench);
	assert_int_equal(bench_count(a, QUEUE_TODO), 1);
	bench_input(bench, "two");
	bench_input(bench, "skipped.part");
	bench_input(bench, ".hidden");
	bench_input(bench, "d/three");
	assert_int_equal(bench_count(a, QUEUE_TODO), 3);
	mem_disk_remove(bench->disk, "inputs/one");
	assert_int_equal(bench_count(a, QUEUE_TODO), 2);
	/* Within the same second as the listing before. */
	bench_input(bench, "one");
	assert_int_equal(bench_count(a, QUEUE_TODO), 3);
	mem_disk_remove(bench->disk, "inputs/d/three");
	mem_disk_remove(bench->disk, "inputs/d");
	assert_int_equal(bench_count(a, QUEUE_TODO), 2);
	bench_free(bench);
}

/* Quick to list: every second. All mounts together are not to list more than a fiftieth of the time, but each does once a minute. */
static void how_often_inputs_are_listed_again(void **state)
{
	(void)state;
	assert_int_equal(scan_relist_after(0, 0), NS_PER_S);
	assert_int_equal(scan_relist_after(20 * NS_PER_MS, 1), NS_PER_S);
	assert_int_equal(scan_relist_after(100 * NS_PER_MS, 1), 5 * NS_PER_S);
	assert_int_equal(scan_relist_after(100 * NS_PER_MS, 4), 20 * NS_PER_S);
	assert_int_equal(scan_relist_after(100 * NS_PER_MS, 1000), 60 * NS_PER_S);
	assert_int_equal(scan_relist_after(INT64_MAX, UINT32_MAX), 60 * NS_PER_S);
}

static void young_inputs_settle_first(void **state)
{
	struct bench *bench = bench_new("settle = 4s\n");
	struct bench_mount *a;
	struct buf names = BUF_INIT;

	(void)state;
	a = bench_mount(bench);
	mem_disk_puts(bench->disk, "inputs/x", "part");
	assert_int_equal(bench_count(a, QUEUE_TODO), 0);
	bench_pass(6);
	assert_int_equal(bench_count(a, QUEUE_TODO), 1);
	assert_int_equal(queue_take(a->queue, NULL, 1, false, NULL, &names), 1);
	buf_release(&names);
	bench_free(bench);
}

struct half {
	struct map seen;
	int left;
	uint64_t next;
};

static bool take_some(void *arg, const char *name, const struct queue_entry *entry, uint64_t next)
{
	struct half *half = arg;

	(void)entry;
	if (half->left-- == 0)
		return false;
	assert_null(map_get_str(&half->seen, name));
	map_set_str(&half->seen, name, half, NULL);
	half->next = next;
	return true;
}

static void cursors_hold_while_units_come_and_go(void **state)
{
	struct bench *bench = bench_new("");
	struct half half = { .seen = MAP_INIT };
	struct bench_mount *a;
	uint64_t cursor = 0;
	char name[32];
	int i;

	(void)state;
	bench_inputs(bench, 500);
	a = bench_mount(bench);
	for (i = 0; i < 20; i++) {
		half.left = 40;
		assert_int_equal(queue_list(a->queue, QUEUE_TODO, "", &cursor, false, clock_now(), take_some, &half), 0);
		if (half.left >= 0)
			break;
		assert_int_equal(cursor, half.next);
		snprintf(name, sizeof(name), "u%05d", 1000 + i * 100);
		bench_input(bench, name);
		usleep(1500);
		bench_count(a, QUEUE_TODO);
	}
	for (i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "u%05d", i);
		assert_non_null(map_get_str(&half.seen, name));
	}
	map_release(&half.seen);
	bench_free(bench);
}

static bool keep_first(void *arg, const char *name, const struct queue_entry *entry, uint64_t next)
{
	(void)entry;
	(void)next;
	snprintf(arg, 64, "%s", name);
	return false;
}

static void every_mount_shows_another_order(void **state)
{
	struct bench *bench = bench_new("");
	char first[3][64];
	uint64_t cursor;
	int i;

	(void)state;
	bench_inputs(bench, 1000);
	for (i = 0; i < 3; i++) {
		cursor = 0;
		queue_list(bench_mount(bench)->queue, QUEUE_TODO, "", &cursor, false, clock_now(), keep_first, first[i]);
	}
	assert_true(strcmp(first[0], first[1]) != 0 || strcmp(first[1], first[2]) != 0);
	bench_free(bench);
}

/* ---- taking ---- */

/* A long claims/ is not listed for each take; what is shown, and that none is left, is as new as ever. */
static void takes_rest_from_a_long_listing(void **state)
{
	struct bench *bench = bench_new("");
	struct buf names = BUF_INIT;
	struct bench_mount *mount;
	int64_t began;
	char name[16];
	int i;

	(void)state;
	bench_inputs(bench, 20);
	mount = bench_mount(bench);
	mem_slow_listings(mount->store, LAYOUT_CLAIMS, 20000);
	assert_int_equal(queue_take(mount->queue, NULL, 1, false, NULL, &names), 1);
	began = clock_now();
	for (i = 1; i < 20; i++)
		assert_int_equal(queue_take(mount->queue, NULL, 1, false, NULL, &names), 1);
	/* The first, and what 20 times 20 ms allow; besides, stale claims are watched for. */
	assert_in_range(mem_slowed(mount->store), 1, 3 + (clock_now() - began) / (400 * NS_PER_MS));
	bench_input(bench, "new");
	assert_true(bench_is(mount, QUEUE_TODO, "new"));
	assert_int_equal(queue_take(mount->queue, NULL, 2, false, NULL, &names), 1);
	/* On a busy machine the listing may have taken much longer, and rests as much longer; not every time. */
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "newer-%d", i);
		bench_input(bench, name);
		if (queue_take(mount->queue, NULL, 1, false, NULL, &names) == 1)
			break;
		assert_true(bench_is(mount, QUEUE_TODO, name));
		assert_int_equal(queue_take(mount->queue, NULL, 1, false, NULL, &names), 1);
	}
	assert_true(i < 8);
	buf_release(&names);
	bench_free(bench);
}

struct waiter {
	struct bench_mount *mount;
	_Atomic bool cancel;
	_Atomic int taken;
	_Atomic bool ended;
};

static void *wait_for_one(void *arg)
{
	struct waiter *waiter = arg;
	struct buf names = BUF_INIT;

	waiter->taken = queue_take(waiter->mount->queue, NULL, 1, true, (const bool *)&waiter->cancel, &names);
	waiter->ended = true;
	buf_release(&names);
	return NULL;
}

static bool has_ended(void *arg)
{
	return ((struct waiter *)arg)->ended;
}

static void a_waiting_take(void **state)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("", &a, &b);
	struct waiter waiter = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(queue_claim(a->queue, "x"), 0);
	/* Ended from outside. */
	waiter.mount = b;
	pthread_create(&thread, NULL, wait_for_one, &waiter);
	usleep(50000);
	assert_false(waiter.ended);
	waiter.cancel = true;
	queue_wake(b->queue);
	assert_true(bench_until(has_ended, &waiter));
	pthread_join(thread, NULL);
	assert_int_equal(waiter.taken, -EINTR);
	/* A unit comes back. */
	waiter = (struct waiter) { .mount = b };
	pthread_create(&thread, NULL, wait_for_one, &waiter);
	usleep(20000);
	assert_int_equal(bench_end(a, QUEUE_VERB_RELEASE, "x"), 0);
	assert_true(bench_until(has_ended, &waiter));
	pthread_join(thread, NULL);
	assert_int_equal(waiter.taken, 1);
	/* Everything is done. */
	waiter = (struct waiter) { .mount = a };
	pthread_create(&thread, NULL, wait_for_one, &waiter);
	usleep(20000);
	assert_int_equal(bench_end(b, QUEUE_VERB_DONE, "x"), 0);
	assert_true(bench_until(has_ended, &waiter));
	pthread_join(thread, NULL);
	assert_int_equal(waiter.taken, 0);
	bench_free(bench);
}

/* ---- many at once ---- */

#define RACERS 4
#define RACE_UNITS 1500

struct racer {
	struct bench *bench;
	struct bench_mount *mount;
	int oks, alreadies, others;
	unsigned int seed;
};

static void race_one(struct racer *racer, const char *name)
{
	struct queue_finish finish = { .name = name, .verb = QUEUE_VERB_DONE };
	unsigned int dice = (unsigned int)rand_r(&racer->seed) % 16;
	struct buf path = BUF_INIT;

	if (dice == 0)
		finish.verb = QUEUE_VERB_RELEASE;
	else if (dice < 8 && queue_stage(racer->mount->queue, name, true, &path) == QUEUE_TICKET)
		mem_disk_puts(racer->bench->disk, path.data, name);
	queue_finish(racer->mount->queue, &finish, 1);
	if (finish.verb == QUEUE_VERB_DONE && finish.error == 0)
		racer->oks++;
	else if (finish.error == -EEXIST)
		racer->alreadies++;
	else if (finish.error)
		racer->others++;
	buf_release(&path);
}

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct buf names = BUF_INIT;
	const char *name;
	int taken;

	for (;;) {
		buf_reset(&names);
		taken = queue_take(racer->mount->queue, NULL, 1 + rand_r(&racer->seed) % 20, true, NULL, &names);
		if (taken <= 0)
			break;
		for (name = names.data; name < names.data + names.len; name += strlen(name) + 1)
			race_one(racer, name);
	}
	assert_int_equal(taken, 0);
	buf_release(&names);
	return NULL;
}

static void run_race(const char *conf, int64_t link_limit)
{
	struct bench *bench = bench_new(conf);
	struct racer racers[RACERS * 2] = { 0 };
	pthread_t threads[RACERS * 2];
	int i, oks = 0, others = 0;

	bench->link_limit = link_limit;
	bench_inputs(bench, RACE_UNITS);
	for (i = 0; i < RACERS; i++)
		bench_mount(bench);
	/* Two threads a mount. */
	for (i = 0; i < RACERS * 2; i++) {
		racers[i] = (struct racer) { .bench = bench, .mount = &bench->mounts[i % RACERS], .seed = (unsigned int)i + 1 };
		pthread_create(&threads[i], NULL, race, &racers[i]);
	}
	for (i = 0; i < RACERS * 2; i++) {
		pthread_join(threads[i], NULL);
		oks += racers[i].oks;
		others += racers[i].others;
	}
	assert_int_equal(others, 0);
	assert_int_equal(oks, RACE_UNITS);
	for (i = 0; i < RACERS; i++)
		assert_int_equal(bench_count(&bench->mounts[i], QUEUE_DONE), RACE_UNITS);
	bench_free(bench);
}

static void mounts_that_race_do_each_unit_once(void **state)
{
	(void)state;
	run_race("", 0);
}

static void mounts_that_race_with_few_links(void **state)
{
	(void)state;
	run_race("", 50);
}

/* ---- a mount that dies at every step ---- */

static void die_at(int step)
{
	struct bench_mount *a, *b;
	struct bench *bench = bench_two("attempts = 5\n", &a, &b);
	struct buf names = BUF_INIT;
	int taken, error = -1, second = -1;

	assert_true(bench_is(b, QUEUE_TODO, "x"));
	assert_true(bench_is(a, QUEUE_TODO, "x"));
	mem_cut(a->store, step);
	taken = queue_take(a->queue, NULL, 1, false, NULL, &names);
	if (taken == 1) {
		struct buf path = BUF_INIT;

		if (queue_stage(a->queue, "x", true, &path) == QUEUE_TICKET)
			mem_disk_puts(bench->disk, path.data, "whole");
		buf_release(&path);
		error = bench_end(a, QUEUE_VERB_DONE, "x");
	}
	mem_cut(a->store, 0);
	/* Another node finds it done, or does it. */
	bench_is(b, QUEUE_TODO, "x");
	bench_pass(BENCH_LEASE * 2);
	buf_reset(&names);
	bench_is(b, QUEUE_TODO, "x");
	if (queue_take(b->queue, NULL, 1, false, NULL, &names) == 1) {
		bench_stage(bench, b, "x", "whole");
		second = bench_end(b, QUEUE_VERB_DONE, "x");
	}
	assert_true(bench_is(b, QUEUE_DONE, "x"));
	assert_true(bench_holds(bench, "outputs/x", "whole"));
	/* At most one ok; and who was told ok is not done over. */
	assert_false(error == 0 && second == 0);
	buf_release(&names);
	bench_free(bench);
}

static void a_node_that_dies_at_any_step_loses_nothing(void **state)
{
	int step;

	(void)state;
	for (step = 0; step < 45; step++)
		die_at(step);
}

static bool four_were_listed(void *arg)
{
	return mem_slowed(((struct bench_mount *)arg)->store) >= 4;
}

/* Markers without a record are looked for in one directory of done/ after another, with a rest of ten times as long as listing one took, and longer in a
 * large fleet, so that all of it together does not keep the host busy. */
static void the_check_of_markers_rests(void **state)
{
	static const int fleets[] = { 0, 17 };
	size_t i;
	int node;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct bench *bench = bench_new("");
		struct bench_mount *mount;
		char path[64];

		for (node = 0; node < fleets[i]; node++) {
			snprintf(path, sizeof(path), LAYOUT_LOG "/other-%d.0000000a", node);
			assert_int_equal(mem_disk_puts(bench->disk, path, ""), 0);
		}
		bench_input(bench, "x");
		mount = bench_mount(bench);
		mem_slow_listings(mount->store, LAYOUT_DONE "/", 20000);
		assert_true(bench_is(mount, QUEUE_TODO, "x"));
		assert_true(bench_until(four_were_listed, mount));
		assert_true(mem_slowed_gap(mount->store) >= 20 * NS_PER_MS * (1 + 10 * (1 + fleets[i] / 8)));
		bench_free(bench);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_goes_from_todo_to_done),
		cmocka_unit_test(what_a_session_took_is_told),
		cmocka_unit_test(a_mount_that_only_looks_leaves_no_trace),
		cmocka_unit_test(values_out_of_this_world_are_left_out_of_sums),
		cmocka_unit_test(sizes_alone_say_nothing_of_time),
		cmocka_unit_test(tickets_have_the_size_that_is_listed),
		cmocka_unit_test(nested_inputs_show_directories_with_something_in_them),
		cmocka_unit_test(inputs_come_and_go),
		cmocka_unit_test(how_often_inputs_are_listed_again),
		cmocka_unit_test(young_inputs_settle_first),
		cmocka_unit_test(cursors_hold_while_units_come_and_go),
		cmocka_unit_test(every_mount_shows_another_order),
		cmocka_unit_test(takes_rest_from_a_long_listing),
		cmocka_unit_test(a_waiting_take),
		cmocka_unit_test(mounts_that_race_do_each_unit_once),
		cmocka_unit_test(mounts_that_race_with_few_links),
		cmocka_unit_test(a_node_that_dies_at_any_step_loses_nothing),
		cmocka_unit_test(the_check_of_markers_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
