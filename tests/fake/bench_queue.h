/*
 * bench_queue: what the tests of the queue share: a disk in memory with a queue on it, mounts of it, and a clock that tests move.
 *
 * The clock stands still but for bench_pass(), which moves it in small steps and gives the threads of all mounts time to notice, so that
 * heartbeats come as they would. To be included by one test.
 */
#ifndef CLAIMFS_TESTS_FAKE_BENCH_QUEUE_H
#define CLAIMFS_TESTS_FAKE_BENCH_QUEUE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/layout.h"
#include "queue/queue.h"
#include "tests/fake/store_mem.h"

#define BENCH_LEASE 6			/* seconds, as in bench_conf */

static _Atomic int64_t bench_offset;	/* added to the real clock */

static inline int64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec + atomic_load(&bench_offset);
}

struct bench_mount {
	struct store *store;
	struct queue *queue;
};

struct bench {
	struct mem_disk *disk;
	struct bench_mount mounts[8];
	size_t count;
	char host[32];
	int64_t link_limit;
	int64_t share_from;
	int64_t ttl_ns;		/* of views; 0: a millisecond */
	bool one_host;
	struct keep *keep;	/* for the mounts made next */
	void (*taken)(void *arg, const char *input, const struct store_attrs *attrs, int64_t asked_ns);	/* likewise */
	bool (*hashed)(void *arg, const char *input, uint64_t size, int64_t mtime, uint64_t offset, struct buf *bytes);
	void (*hashed_end)(void *arg, const char *input);
	void *inputs_arg;
};

static inline struct bench *bench_new(const char *conf)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	char text[512];

	log_open("test", getenv("TEST_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	clock_set_source(bench_now);
	bench->disk = mem_disk_new();
	snprintf(text, sizeof(text), "format = 1\nlease = %ds\n%s%s", BENCH_LEASE, strstr(conf, "settle") ? "" : "settle = 0s\n", conf);
	assert_int_equal(mem_disk_puts(bench->disk, ".claimfs/queue.conf", text), 0);
	mem_disk_mkdirs(bench->disk, "inputs");
	mem_disk_mkdirs(bench->disk, ".claimfs/claims");
	mem_disk_mkdirs(bench->disk, ".claimfs/failed");
	mem_disk_mkdirs(bench->disk, ".claimfs/redo");
	mem_disk_mkdirs(bench->disk, ".claimfs/log");
	mem_disk_mkdirs(bench->disk, ".claimfs/nodes");
	mem_disk_mkdirs(bench->disk, ".claimfs/tmp");
	mem_disk_mkdirs(bench->disk, ".claimfs/done");
	return bench;
}

static inline void bench_input(struct bench *bench, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "inputs/%s", name);
	assert_int_equal(mem_disk_puts(bench->disk, path, name), 0);
	/* Old enough that its directory's listing is no race. */
	mem_disk_set_mtime(bench->disk, path, mem_disk_time(bench->disk) - 100);
}

static inline void bench_inputs(struct bench *bench, int count)
{
	char name[32];
	int i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "u%05d", i);
		bench_input(bench, name);
	}
}

static inline struct bench_mount *bench_mount(struct bench *bench)
{
	struct bench_mount *mount = &bench->mounts[bench->count++];
	struct queue_options options = {
		.host = bench->host, .pid = (int)bench->count, .ttl_ns = bench->ttl_ns ? bench->ttl_ns : NS_PER_MS, .seed = bench->count * 7919,
		.one_host = bench->one_host, .link_limit = bench->link_limit, .keep = bench->keep, .share_from = bench->share_from, .taken = bench->taken,
		.hashed = bench->hashed, .hashed_end = bench->hashed_end, .inputs_arg = bench->inputs_arg,
	};
	struct buf why = BUF_INIT;

	snprintf(bench->host, sizeof(bench->host), "node-%zu", bench->count);
	mount->store = mem_mount(bench->disk);
	if (queue_open(mount->store, &options, &mount->queue, &why) < 0)
		fail_msg("%s", buf_text(&why));
	buf_release(&why);
	return mount;
}

/* With one input, x, and two mounts. */
static inline struct bench *bench_two(const char *conf, struct bench_mount **ret_a, struct bench_mount **ret_b)
{
	struct bench *bench = bench_new(conf);

	bench_input(bench, "x");
	*ret_a = bench_mount(bench);
	*ret_b = bench_mount(bench);
	return bench;
}

static inline void bench_free(struct bench *bench)
{
	size_t i;

	for (i = 0; i < bench->count; i++) {
		if (mem_is_cut(bench->mounts[i].store))		/* dead: nobody waits until it could say goodbye */
			mem_cancel(bench->mounts[i].store);
		if (bench->mounts[i].queue)
			queue_close(bench->mounts[i].queue, NS_PER_S);
		mem_unmount(bench->mounts[i].store);
	}
	mem_disk_free(bench->disk);
	free(bench);
}

/* Moves the clock by `seconds`, a quarter second a step, each long enough for the heartbeat threads to beat. */
static inline void bench_pass(double seconds)
{
	double passed;

	for (passed = 0; passed < seconds; passed += 0.25) {
		atomic_fetch_add(&bench_offset, NS_PER_S / 4);
		usleep(12000);
	}
}

/* The same at once: what a mount that slept sees. */
static inline void bench_jump(double seconds)
{
	atomic_fetch_add(&bench_offset, (int64_t)(seconds * NS_PER_S));
}

/* A node dies: nothing of it reaches the disk any more. */
static inline void bench_kill(struct bench_mount *mount)
{
	mem_cut(mount->store, 0);
}

/* Waits, at most five real seconds, until `done` holds. */
static inline bool bench_until(bool (*done)(void *arg), void *arg)
{
	int i;

	for (i = 0; i < 500; i++) {
		if (done(arg))
			return true;
		usleep(10000);
	}
	return false;
}

/* ---- short words for tests ---- */

static inline int bench_end(struct bench_mount *mount, enum queue_verb verb, const char *name)
{
	struct queue_finish finish = { .verb = verb, .name = name };

	queue_finish(mount->queue, &finish, 1);
	return finish.error;
}

static inline int bench_claim(struct bench_mount *mount, const char *name)
{
	usleep(1500);		/* older than the view may be */
	return queue_claim(mount->queue, name);
}

static inline int bench_take_one(struct bench_mount *mount)
{
	struct buf names = BUF_INIT;
	int taken;

	usleep(1500);
	taken = queue_take(mount->queue, NULL, 1, false, NULL, &names);
	buf_release(&names);
	return taken;
}

static inline bool bench_is(struct bench_mount *mount, enum queue_state state, const char *name)
{
	struct queue_entry entry = { .kind = QUEUE_NOTHING };

	usleep(1500);		/* older than the view may be */
	assert_int_equal(queue_look(mount->queue, state, name, &entry), 0);
	return entry.kind == QUEUE_TICKET;
}

struct bench_expected {
	struct bench_mount *mount;
	enum queue_state state;
	const char *name;
};

static inline bool bench_is_expected(void *arg)
{
	const struct bench_expected *expected = arg;

	return bench_is(expected->mount, expected->state, expected->name);
}

/* What another mount did: its records are on their way when its answer is there. */
static inline bool bench_comes_to_be(struct bench_mount *mount, enum queue_state state, const char *name)
{
	struct bench_expected expected = { mount, state, name };

	return bench_until(bench_is_expected, &expected);
}

struct bench_counter {
	int count;
};

static inline bool bench_count_entry(void *arg, const char *name, const struct queue_entry *entry, uint64_t next)
{
	(void)name;
	(void)entry;
	(void)next;
	((struct bench_counter *)arg)->count++;
	return true;
}

static inline int bench_count(struct bench_mount *mount, enum queue_state state)
{
	struct bench_counter counter = { 0 };
	uint64_t cursor = 0;

	usleep(1500);
	assert_int_equal(queue_list(mount->queue, state, "", &cursor, true, clock_now(), bench_count_entry, &counter), 0);
	return counter.count;
}

/* Path of claims/UNIT.G.N of an input, for key = name. */
static inline const char *bench_claim_path(const char *name, uint32_t generation, uint32_t number)
{
	static char path[LAYOUT_PATH];
	struct layout_claim claim = { layout_unit(name, false, 0, 0), generation, number };

	layout_claim(path, &claim);
	return path;
}

static inline const char *bench_marker_path(const char *name, uint32_t generation)
{
	static char path[LAYOUT_PATH];
	struct hash128 key = layout_unit(name, false, 0, 0);

	layout_marker(path, &key, generation);
	return path;
}

/* Puts an output into the stage of a held unit, as the tree would. */
static inline void bench_stage(struct bench *bench, struct bench_mount *mount, const char *stage, const char *text)
{
	struct buf path = BUF_INIT;

	assert_int_equal(queue_stage(mount->queue, stage, true, &path), QUEUE_TICKET);
	assert_int_equal(mem_disk_puts(bench->disk, path.data, text), 0);
	buf_release(&path);
}

static inline bool bench_holds(struct bench *bench, const char *path, const char *text)
{
	struct buf data = BUF_INIT;
	bool same;

	same = mem_disk_read(bench->disk, path, &data) == 0 && strcmp(buf_text(&data), text) == 0;
	buf_release(&data);
	return same;
}

/* Is the first claim of x given back? `arg` is the bench. */
static inline bool bench_x_is_free(void *arg)
{
	int64_t mtime = 99;

	mem_disk_mtime(((struct bench *)arg)->disk, bench_claim_path("x", 0, 1), &mtime);
	return mtime == 1;
}

#endif
