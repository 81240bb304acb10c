/* One mount's listing of the inputs, taken in by others: what is believed of it, what is not, and who waits for whom. */
#include "tests/fake/bench_queue.h"

#include "queue/share.h"

static uint32_t todo(struct bench_mount *mount)
{
	struct buf text = BUF_INIT;
	const char *at;
	uint32_t count;

	assert_int_equal(queue_progress(mount->queue, true, &text), 0);
	at = strstr(buf_text(&text), "\"todo\":");
	assert_non_null(at);
	count = (uint32_t)strtoul(at + 7, NULL, 10);
	buf_release(&text);
	return count;
}

static void set_old(struct bench *bench, const char *dir, int64_t age)
{
	mem_disk_set_mtime(bench->disk, dir, mem_disk_time(bench->disk) - age);
}

static bool is_shared(void *arg)
{
	return mem_disk_exists(((struct bench *)arg)->disk, SHARE_PATH) && !mem_disk_exists(((struct bench *)arg)->disk, SHARE_LOCK_PATH);
}

/* Ten inputs, and two directories of three; listed by a first mount, which has written it down. */
static struct bench *listed(const char *conf)
{
	struct bench *bench = bench_new(conf);

	bench->share_from = 5;
	bench_inputs(bench, 10);
	for (int i = 0; i < 3; i++) {
		char name[40];

		snprintf(name, sizeof(name), "a b/x%%%d", i);
		bench_input(bench, name);
		snprintf(name, sizeof(name), "c/d/y%d", i);
		bench_input(bench, name);
	}
	set_old(bench, "inputs", 90);
	set_old(bench, "inputs/a b", 80);
	set_old(bench, "inputs/c", 70);
	set_old(bench, "inputs/c/d", 60);
	assert_int_equal(todo(bench_mount(bench)), 16);
	assert_true(bench_until(is_shared, bench));
	return bench;
}

/* An input goes away and nothing tells of it: only who lists the directory itself knows. */
static void remove_in_secret(struct bench *bench, const char *dir, const char *name)
{
	char path[100];
	int64_t mtime;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mem_disk_mtime(bench->disk, dir, &mtime), 0);
	assert_int_equal(mem_disk_remove(bench->disk, path), 0);
	mem_disk_set_mtime(bench->disk, dir, mtime);
}

static void one_listing_serves_all(void **state)
{
	struct bench *bench = listed("");
	struct bench_mount *mount;
	struct queue_entry entry;

	(void)state;
	remove_in_secret(bench, "inputs", "u00003");
	remove_in_secret(bench, "inputs/a b", "x%1");
	remove_in_secret(bench, "inputs/c/d", "y2");
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 16);
	assert_int_equal(queue_look(mount->queue, QUEUE_TODO, "a b/x%1", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_TICKET);
	/* What decides is asked of the disk: the claim finds it gone, and its directory is listed. */
	assert_int_equal(queue_claim(mount->queue, "a b/x%1"), -EBUSY);
	assert_int_equal(todo(mount), 15);
	assert_int_equal(queue_claim(mount->queue, "c/d/y1"), 0);
	bench_free(bench);
}

static void what_changed_since_is_listed(void **state)
{
	struct bench *bench = listed("");
	struct bench_mount *mount;
	struct queue_entry entry;

	(void)state;
	remove_in_secret(bench, "inputs/c/d", "y2");
	bench_input(bench, "a b/new");
	bench_input(bench, "e/new");
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 18);
	assert_int_equal(queue_look(mount->queue, QUEUE_TODO, "e/new", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_TICKET);
	assert_int_equal(queue_look(mount->queue, QUEUE_TODO, "c/d/y2", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_TICKET);	/* that one was taken from there */
	bench_free(bench);
}

static void states_do_not_come_from_it(void **state)
{
	struct bench *bench = listed("");
	struct bench_mount *mount = &bench->mounts[0];
	struct queue_finish finish = { .verb = QUEUE_VERB_DONE, .name = "u00001" };

	(void)state;
	assert_int_equal(queue_claim(mount->queue, "u00001"), 0);
	queue_finish(mount->queue, &finish, 1);
	assert_int_equal(finish.error, 0);
	assert_int_equal(queue_claim(mount->queue, "u00002"), 0);
	queue_close(mount->queue, NS_PER_S);
	mount->queue = NULL;
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 15);
	assert_int_equal(queue_claim(mount->queue, "u00001"), -ENOENT);
	bench_free(bench);
}

/* Every byte of it flipped, and cut at every byte: nothing but what is there is ever shown. */
static void damage_is_never_believed(void **state)
{
	struct bench *bench = listed("");
	struct buf whole = BUF_INIT;
	size_t i;

	(void)state;
	assert_int_equal(mem_disk_read(bench->disk, SHARE_PATH, &whole), 0);
	assert_true(whole.len > 200);
	for (i = 0; i < 2 * whole.len; i += 3) {
		struct bench_mount *mount;

		if (i < whole.len) {
			whole.data[i] ^= 1;
			mem_disk_write(bench->disk, SHARE_PATH, whole.data, whole.len);
			whole.data[i] ^= 1;
		} else {
			mem_disk_write(bench->disk, SHARE_PATH, whole.data, i - whole.len);
		}
		mount = bench_mount(bench);
		assert_int_equal(todo(mount), 16);
		queue_close(mount->queue, NS_PER_S);
		mem_unmount(mount->store);
		bench->count--;
	}
	buf_release(&whole);
	bench_free(bench);
}

static void lies_in_it_are_refused(void **state)
{
	static const char *const heads[] = {
		"claimfs-inputs 2 0 inputs\n", "claimfs-inputs 1 1 inputs\n", "claimfs-inputs 1 0 other\n", "claimfs-inputs 1 0 inputs\nd 1\n",
		"claimfs-inputs 1 0 inputs\nd 5 1 a\n-\n1 x\n", "claimfs-inputs 1 0 inputs\n-\n1 x\n",
		"claimfs-inputs 1 0 inputs\nd %lld 2 \nd %lld 1 ../up\n-\n1 x\n/ ..\n1 y\n", "claimfs-inputs 1 0 inputs\nd %lld 1 \n-\n1 a/b\n",
		"claimfs-inputs 1 0 inputs\nd %lld 1 \n-\nx\n", "claimfs-inputs 1 0 inputs\nd %lld 9 \n-\n1 a\n1 a\n", NULL,
	};
	struct bench *bench = listed("");
	int64_t mtime;

	(void)state;
	assert_int_equal(mem_disk_mtime(bench->disk, "inputs", &mtime), 0);
	for (int i = 0; heads[i]; i++) {
		char lines[300], hex[HASH_HEX_LEN + 1], text[400];
		struct bench_mount *mount;
		struct hash128 hash;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
		snprintf(lines, sizeof(lines), heads[i], (long long)mtime, (long long)mtime);
#pragma GCC diagnostic pop
		hash = hash128_of(lines, strlen(lines));
		hash128_hex(&hash, hex);
		snprintf(text, sizeof(text), "b %zu %s\n%s", strlen(lines), hex, lines);
		assert_int_equal(mem_disk_puts(bench->disk, SHARE_PATH, text), 0);
		mount = bench_mount(bench);
		assert_int_equal(todo(mount), 16);
		queue_close(mount->queue, NS_PER_S);
		mem_unmount(mount->store);
		bench->count--;
	}
	bench_free(bench);
}

static void changed_inputs_are_not_old_news(void **state)
{
	struct bench *bench = listed("key = stat\n");
	struct bench_mount *mount;

	(void)state;
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 16);
	assert_int_equal(queue_claim(mount->queue, "u00001"), 0);	/* UNIT is that of its size and mtime */
	/* In place, so no directory tells; after a minute the listing is not taken any more. */
	assert_int_equal(mem_disk_puts(bench->disk, "inputs/u00004", "changed"), 0);
	set_old(bench, "inputs/u00004", 50);
	set_old(bench, SHARE_PATH, 61);
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 15);	/* the claim above */
	assert_int_equal(queue_claim(mount->queue, "u00004"), 0);
	bench_free(bench);
}

/* ---- who lists ---- */

/* What is there is taken before anything is listed, however few that would be. */
static void later_ones_list_nothing(void **state)
{
	struct bench *bench = listed("");
	struct bench_mount *mount;

	(void)state;
	bench->share_from = 1000;
	mount = bench_mount(bench);
	mem_slow_listings(mount->store, "inputs/", 1);
	assert_int_equal(todo(mount), 16);
	assert_int_equal(mem_slowed(mount->store), 0);
	bench_free(bench);
}

/* Who is the first does not list again what it had listed before it looked for another. */
static void the_first_lists_once(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *mount;

	(void)state;
	bench->share_from = 5;
	bench_inputs(bench, 10);
	set_old(bench, "inputs", 90);
	mount = bench_mount(bench);
	mem_slow_listings(mount->store, "inputs/.", 1);
	assert_int_equal(todo(mount), 10);
	assert_int_equal(mem_slowed(mount->store), 1);
	assert_true(bench_until(is_shared, bench));
	bench_free(bench);
}

struct looker {
	struct bench_mount *mount;
	pthread_t thread;
	uint32_t todo;
	_Atomic bool ended;
};

static void *look(void *arg)
{
	struct looker *looker = arg;

	looker->todo = todo(looker->mount);
	looker->ended = true;
	return NULL;
}

static bool looked_for_it(void *arg)
{
	struct looker *looker = arg;

	return mem_count(looker->mount->store, STORE_CREATE) > 1 && mem_count(looker->mount->store, STORE_LSTAT) > 12;
}

static void others_wait_for_the_one_that_lists(void **state)
{
	struct bench *bench = listed("");
	struct looker looker = { .todo = 0 };
	struct buf whole = BUF_INIT;

	(void)state;
	assert_int_equal(mem_disk_read(bench->disk, SHARE_PATH, &whole), 0);
	assert_int_equal(mem_disk_remove(bench->disk, SHARE_PATH), 0);
	assert_int_equal(mem_disk_puts(bench->disk, SHARE_LOCK_PATH, ""), 0);
	remove_in_secret(bench, "inputs", "u00003");
	looker.mount = bench_mount(bench);
	assert_int_equal(pthread_create(&looker.thread, NULL, look, &looker), 0);
	assert_true(bench_until(looked_for_it, &looker));
	assert_false(looker.ended);
	assert_int_equal(mem_disk_write(bench->disk, SHARE_PATH, whole.data, whole.len), 0);
	assert_int_equal(mem_disk_remove(bench->disk, SHARE_LOCK_PATH), 0);
	pthread_join(looker.thread, NULL);
	assert_int_equal(looker.todo, 16);	/* the one that is gone is in the listing */
	buf_release(&whole);
	bench_free(bench);
}

static void one_that_died_is_not_waited_for(void **state)
{
	struct bench *bench = listed("");

	(void)state;
	assert_int_equal(mem_disk_remove(bench->disk, SHARE_PATH), 0);
	assert_int_equal(mem_disk_puts(bench->disk, SHARE_LOCK_PATH, ""), 0);
	set_old(bench, SHARE_LOCK_PATH, SHARE_WAIT_NS / NS_PER_S + 2);
	assert_int_equal(todo(bench_mount(bench)), 16);
	assert_true(bench_until(is_shared, bench));
	bench_free(bench);
}

static void a_listing_that_may_lack_something_is_not_shared(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *mount;

	(void)state;
	bench->share_from = 5;
	bench_inputs(bench, 10);	/* this very second */
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 10);
	queue_close(mount->queue, NS_PER_S);
	mount->queue = NULL;
	assert_false(mem_disk_exists(bench->disk, SHARE_PATH));
	assert_false(mem_disk_exists(bench->disk, SHARE_LOCK_PATH));
	bench_free(bench);
}

static void few_inputs_are_nobody_elses_business(void **state)
{
	struct bench *bench = bench_new("");
	struct bench_mount *mount;

	(void)state;
	bench_inputs(bench, 10);
	set_old(bench, "inputs", 90);
	mount = bench_mount(bench);
	assert_int_equal(todo(mount), 10);
	queue_close(mount->queue, NS_PER_S);
	mount->queue = NULL;
	assert_false(mem_disk_exists(bench->disk, SHARE_PATH));
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_listing_serves_all),
		cmocka_unit_test(what_changed_since_is_listed),
		cmocka_unit_test(states_do_not_come_from_it),
		cmocka_unit_test(damage_is_never_believed),
		cmocka_unit_test(lies_in_it_are_refused),
		cmocka_unit_test(changed_inputs_are_not_old_news),
		cmocka_unit_test(later_ones_list_nothing),
		cmocka_unit_test(the_first_lists_once),
		cmocka_unit_test(others_wait_for_the_one_that_lists),
		cmocka_unit_test(one_that_died_is_not_waited_for),
		cmocka_unit_test(a_listing_that_may_lack_something_is_not_shared),
		cmocka_unit_test(few_inputs_are_nobody_elses_business),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
