/* What a mount remembers of a queue, over a real local database: what is taken up again, what is not asked for again, what is not believed. */
#include "tests/fake/bench_queue.h"

#include <dirent.h>

#include "tree/keep_db.h"

#define CACHE_TEMPLATE "/tmp/claimfs-remember-XXXXXX"

static char cache[sizeof(CACHE_TEMPLATE)];

static int make_cache(void **state)
{
	(void)state;
	strcpy(cache, CACHE_TEMPLATE);
	return mkdtemp(cache) ? 0 : -1;
}

static int remove_cache(void **state)
{
	char path[600];
	struct dirent *entry;
	DIR *dir = opendir(cache);

	(void)state;
	while (dir && (entry = readdir(dir)) != NULL) {
		static const char *const files[] = { "data.mdb", "lock", NULL };

		if (entry->d_name[0] == '.')
			continue;
		for (int i = 0; files[i]; i++) {
			snprintf(path, sizeof(path), "%s/%s/%s", cache, entry->d_name, files[i]);
			unlink(path);
		}
		snprintf(path, sizeof(path), "%s/%s", cache, entry->d_name);
		rmdir(path);
	}
	if (dir)
		closedir(dir);
	return rmdir(cache);
}

static void open_keep(struct bench *bench)
{
	assert_int_equal(keep_db_open(cache, "test", "/queue", &bench->keep), 0);
}

/* Ends the newest mount, as an unmount does. */
static void end_mount(struct bench *bench)
{
	struct bench_mount *mount = &bench->mounts[bench->count - 1];

	queue_close(mount->queue, NS_PER_S);
	mount->queue = NULL;
	if (bench->keep)
		bench->keep->ops->free(bench->keep);
	bench->keep = NULL;
}

static uint32_t count_of(struct bench_mount *mount, enum queue_state state)
{
	struct buf text = BUF_INIT;
	static const char *const names[QUEUE_STATES] = { "\"todo\":", "\"claimed\":", "\"done\":", "\"failed\":" };
	const char *at;
	uint32_t count;

	assert_int_equal(queue_progress(mount->queue, true, &text), 0);
	at = strstr(buf_text(&text), names[state]);
	assert_non_null(at);
	count = (uint32_t)strtoul(at + strlen(names[state]), NULL, 10);
	buf_release(&text);
	return count;
}

static void finish(struct bench_mount *mount, enum queue_verb verb, const char *name)
{
	struct queue_finish end = { .verb = verb, .name = name };

	assert_int_equal(queue_claim(mount->queue, name), 0);
	queue_finish(mount->queue, &end, 1);
	assert_int_equal(end.error, 0);
}

static struct bench *worked_on(const char *conf)
{
	struct bench *bench = bench_new(conf);
	struct bench_mount *mount;

	bench_inputs(bench, 10);
	bench_input(bench, "sub/deep/x");
	open_keep(bench);
	mount = bench_mount(bench);
	finish(mount, QUEUE_VERB_DONE, "u00001");
	finish(mount, QUEUE_VERB_DONE, "sub/deep/x");
	finish(mount, QUEUE_VERB_FAIL, "u00002");
	end_mount(bench);
	return bench;
}

static void states_are_taken_up(void **state)
{
	struct bench *bench = worked_on("");
	struct bench_mount *mount;
	struct buf text = BUF_INIT;

	(void)state;
	open_keep(bench);
	mount = bench_mount(bench);
	assert_int_equal(count_of(mount, QUEUE_TODO), 8);
	assert_int_equal(count_of(mount, QUEUE_DONE), 2);
	assert_int_equal(count_of(mount, QUEUE_FAILED), 1);
	assert_int_equal(queue_progress(mount->queue, true, &text), 0);
	assert_non_null(strstr(buf_text(&text), "\"done\":2,\"failed\":1,\"lost\":0"));	/* its node's tallies */
	buf_reset(&text);
	assert_int_equal(queue_ticket(mount->queue, QUEUE_DONE, "sub/deep/x", &text), 0);
	assert_non_null(strstr(buf_text(&text), "node: "));
	buf_release(&text);
	end_mount(bench);
	bench_free(bench);
}

static void what_changed_meanwhile_is_seen(void **state)
{
	struct bench *bench = worked_on("");
	struct bench_mount *other, *mount;
	struct queue_entry entry;

	(void)state;
	other = bench_mount(bench);
	finish(other, QUEUE_VERB_DONE, "u00003");
	assert_int_equal(queue_redo(other->queue, "u00001"), 0);
	assert_int_equal(mem_disk_remove(bench->disk, "inputs/u00004"), 0);
	bench_input(bench, "later");
	mem_disk_set_mtime(bench->disk, "inputs", mem_disk_time(bench->disk) - 3);
	queue_close(other->queue, NS_PER_S);
	other->queue = NULL;
	open_keep(bench);
	mount = bench_mount(bench);
	assert_int_equal(count_of(mount, QUEUE_TODO), 8);	/* 8, less u00003 and u00004, and u00001 and later */
	assert_int_equal(count_of(mount, QUEUE_DONE), 2);
	assert_int_equal(queue_look(mount->queue, QUEUE_TODO, "u00004", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_NOTHING);
	assert_int_equal(queue_look(mount->queue, QUEUE_TODO, "later", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_TICKET);
	assert_int_equal(queue_look(mount->queue, QUEUE_TODO, "u00001", &entry), 0);
	assert_int_equal(entry.kind, QUEUE_TICKET);
	end_mount(bench);
	bench_free(bench);
}

static void another_queue_in_its_place_is_learned_anew(void **state)
{
	struct bench *bench = worked_on(""), *second = bench_new("");
	struct bench_mount *mount;

	(void)state;
	bench_free(bench);
	clock_set_source(bench_now);
	bench_inputs(second, 5);
	open_keep(second);
	mount = bench_mount(second);
	assert_int_equal(count_of(mount, QUEUE_TODO), 5);
	assert_int_equal(count_of(mount, QUEUE_DONE), 0);
	end_mount(second);
	bench_free(second);
}

static void other_settings_are_learned_anew(void **state)
{
	struct bench *bench = worked_on("");
	struct bench_mount *mount;

	(void)state;
	assert_int_equal(mem_disk_puts(bench->disk, ".claimfs/queue.conf", "format = 1\nlease = 6s\nsettle = 0s\nkey = stat\n"), 0);
	open_keep(bench);
	mount = bench_mount(bench);
	assert_int_equal(count_of(mount, QUEUE_DONE), 0);
	assert_int_equal(count_of(mount, QUEUE_TODO), 11);
	end_mount(bench);
	bench_free(bench);
}

static void an_unfinished_memory_is_not_believed(void **state)
{
	struct bench *bench = worked_on("");
	struct bench_mount *mount;

	(void)state;
	open_keep(bench);
	assert_int_equal(bench->keep->ops->begin(bench->keep), 0);
	assert_int_equal(bench->keep->ops->put(bench->keep, "whole", "no", 2), 0);
	assert_int_equal(bench->keep->ops->put(bench->keep, "u0000000000000000", "junk", 4), 0);
	assert_int_equal(bench->keep->ops->commit(bench->keep), 0);
	mount = bench_mount(bench);
	assert_int_equal(count_of(mount, QUEUE_DONE), 2);
	end_mount(bench);
	bench_free(bench);
}

static void junk_in_it_is_forgotten(void **state)
{
	static const char *const keys[] = { "u0000000000000000", "d00000001", "lnode", "t", "u0000000f00000000", NULL };
	struct bench_mount *mount;
	struct bench *bench;

	(void)state;
	for (int i = 0; keys[i]; i++) {
		bench = worked_on("");
		open_keep(bench);
		assert_int_equal(bench->keep->ops->begin(bench->keep), 0);
		assert_int_equal(bench->keep->ops->put(bench->keep, keys[i], "\377\377junkjunkjunkjunkjunkjunkjunkjunkjunkjunkjunkjunk", 50), 0);
		assert_int_equal(bench->keep->ops->commit(bench->keep), 0);
		mount = bench_mount(bench);
		assert_int_equal(count_of(mount, QUEUE_TODO), 8);
		assert_int_equal(count_of(mount, QUEUE_DONE), 2);
		end_mount(bench);
		bench_free(bench);
	}
}

static void content_keys_are_taken_up(void **state)
{
	struct bench *bench = worked_on("key = content\n");
	struct bench_mount *mount;
	struct buf names = BUF_INIT;

	(void)state;
	assert_int_equal(mem_disk_puts(bench->disk, "inputs/copy", "u00001"), 0);
	mem_disk_set_mtime(bench->disk, "inputs/copy", mem_disk_time(bench->disk) - 100);
	open_keep(bench);
	mount = bench_mount(bench);
	assert_int_equal(queue_claim(mount->queue, "copy"), -ENOENT);	/* done by its content, at the claim */
	assert_int_equal(count_of(mount, QUEUE_DONE), 3);
	buf_release(&names);
	end_mount(bench);
	bench_free(bench);
}

/* Of units that are not done: no record tells it. */
static void hashes_of_contents_are_taken_up(void **state)
{
	struct mem_fault unread = { .fault = MEM_FAIL, .kind = STORE_READ, .part = "inputs/", .error = -EACCES, .count = 1000000 };
	struct bench *bench = bench_new("key = content\n");
	struct bench_mount *mount;

	(void)state;
	bench_input(bench, "x");
	bench_input(bench, "y");
	open_keep(bench);
	mount = bench_mount(bench);
	finish(mount, QUEUE_VERB_RELEASE, "x");
	end_mount(bench);
	open_keep(bench);
	mount = bench_mount(bench);
	mem_fault(mount->store, &unread);
	assert_int_equal(queue_claim(mount->queue, "x"), 0);
	assert_int_equal(queue_claim(mount->queue, "y"), -EACCES);
	end_mount(bench);
	bench_free(bench);
}

/* ---- how long it takes ---- */

/* A keep in front of the real one, whose disk takes `seconds` for each piece of units. */
struct slow_keep {
	struct keep keep;
	struct keep *real;
	double seconds;
	atomic_uint puts;		/* of units */
};

static struct slow_keep *slow(struct keep *keep)
{
	return (struct slow_keep *)keep;
}

static int slow_walk(struct keep *keep, const char *prefix, keep_each *each, void *arg)
{
	return slow(keep)->real->ops->walk(slow(keep)->real, prefix, each, arg);
}

static int slow_begin(struct keep *keep)
{
	return slow(keep)->real->ops->begin(slow(keep)->real);
}

static int slow_put(struct keep *keep, const char *key, const void *value, size_t len)
{
	if (key[0] == 'u') {
		bench_jump(slow(keep)->seconds);
		slow(keep)->puts++;
	}
	return slow(keep)->real->ops->put(slow(keep)->real, key, value, len);
}

static int slow_clear(struct keep *keep)
{
	return slow(keep)->real->ops->clear(slow(keep)->real);
}

static int slow_commit(struct keep *keep)
{
	return slow(keep)->real->ops->commit(slow(keep)->real);
}

static void slow_abort(struct keep *keep)
{
	slow(keep)->real->ops->abort(slow(keep)->real);
}

static void slow_free(struct keep *keep)
{
	slow(keep)->real->ops->free(slow(keep)->real);
}

static struct slow_keep *open_slow_keep(struct bench *bench, double seconds)
{
	static const struct keep_ops ops = {
		.walk = slow_walk, .begin = slow_begin, .put = slow_put, .clear = slow_clear, .commit = slow_commit, .abort = slow_abort,
		.free = slow_free,
	};
	static struct slow_keep keep;

	open_keep(bench);
	keep = (struct slow_keep) { .keep = { .ops = &ops }, .real = bench->keep, .seconds = seconds };
	bench->keep = &keep.keep;
	return &keep;
}

/* Five directories, a piece each. */
static struct bench *five_dirs(void)
{
	struct bench *bench = bench_new("");
	char name[16];
	int i;

	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "d%d/x", i);
		bench_input(bench, name);
	}
	return bench;
}

static void an_end_is_not_held_up_by_a_slow_disk(void **state)
{
	struct bench *bench = five_dirs();
	struct slow_keep *keep = open_slow_keep(bench, 1.1);
	struct bench_mount *mount = bench_mount(bench);

	(void)state;
	finish(mount, QUEUE_VERB_DONE, "d0/x");
	end_mount(bench);
	assert_in_range(keep->puts, 1, 4);
	/* The half of it is not believed. */
	open_keep(bench);
	mount = bench_mount(bench);
	assert_int_equal(count_of(mount, QUEUE_TODO), 4);
	assert_int_equal(count_of(mount, QUEUE_DONE), 1);
	end_mount(bench);
	bench_free(bench);
}

static bool is_saved(void *arg)
{
	struct slow_keep *keep = arg;

	bench_pass(1);
	return keep->puts >= 6;
}

/* A save while the mount lived took long: the end does not try, and what was done since is read from the logs. */
static void an_end_leaves_a_memory_that_takes_long_as_it_is(void **state)
{
	struct bench *bench = five_dirs();
	struct slow_keep *keep = open_slow_keep(bench, 1.1);
	struct bench_mount *mount = bench_mount(bench);
	unsigned int puts;

	(void)state;
	finish(mount, QUEUE_VERB_DONE, "d0/x");
	/* Old enough that their listings are no race. */
	bench_pass(4);
	assert_int_equal(count_of(mount, QUEUE_TODO), 4);
	assert_true(bench_until(is_saved, keep));
	bench_pass(1);
	puts = keep->puts;
	finish(mount, QUEUE_VERB_DONE, "d1/x");
	end_mount(bench);
	assert_int_equal(keep->puts, puts);
	open_keep(bench);
	mount = bench_mount(bench);
	mem_slow_listings(mount->store, "inputs/d4", 1);
	assert_int_equal(count_of(mount, QUEUE_TODO), 3);
	assert_int_equal(count_of(mount, QUEUE_DONE), 2);
	assert_int_equal(mem_slowed(mount->store), 0);	/* the inputs were remembered */
	end_mount(bench);
	bench_free(bench);
}

/* A directory that went away, with all that was in it. */
static void what_is_gone_is_forgotten(void **state)
{
	struct bench *bench = worked_on("");
	struct bench_mount *mount;
	int round;

	(void)state;
	for (round = 0; round < 2; round++) {
		open_keep(bench);
		mount = bench_mount(bench);
		if (round == 0) {
			assert_int_equal(mem_disk_remove(bench->disk, "inputs/sub/deep/x"), 0);
			assert_int_equal(mem_disk_remove(bench->disk, "inputs/sub/deep"), 0);
			assert_int_equal(mem_disk_remove(bench->disk, "inputs/sub"), 0);
		}
		assert_int_equal(count_of(mount, QUEUE_DONE), 1);
		assert_int_equal(count_of(mount, QUEUE_TODO), 8);
		end_mount(bench);
	}
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(states_are_taken_up, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(what_changed_meanwhile_is_seen, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(another_queue_in_its_place_is_learned_anew, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(other_settings_are_learned_anew, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(an_unfinished_memory_is_not_believed, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(junk_in_it_is_forgotten, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(content_keys_are_taken_up, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(an_end_is_not_held_up_by_a_slow_disk, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(an_end_leaves_a_memory_that_takes_long_as_it_is, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(what_is_gone_is_forgotten, make_cache, remove_cache),
		cmocka_unit_test_setup_teardown(hashes_of_contents_are_taken_up, make_cache, remove_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
