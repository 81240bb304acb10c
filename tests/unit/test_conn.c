/*
 * conn: connections that are cut at every type of request, before and after it was carried out; peers that drop, delay, reorder, double,
 * invent and garble; peers that are not there; and an end at any moment. Each completion runs exactly once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/client.h"
#include "sftp/pool.h"
#include "tests/fake/rig.h"

#define WAITED(call) rig_waited(rig, call)
#define DONE sftp_wait_done, rig->wait
#define S rig->sftp, SFTP_CONTROL

static int set_up_with(void **state, int timeout_ms, int alive_ms)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	rig_put(rig, "a", "hello", 5);
	rig_connect(rig, 1, timeout_ms, alive_ms);
	*state = rig;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 20000, 0);
}

static int set_up_hasty(void **state)
{
	return set_up_with(state, 200, 0);
}

static int set_up_watchful(void **state)
{
	return set_up_with(state, 20000, 150);
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	rig_release(rig);
	free(rig);
	return 0;
}

/* ---- cut at every type ---- */

enum ask {
	ASK_LSTAT, ASK_STAT, ASK_SETSTAT, ASK_LSETSTAT, ASK_READLINK, ASK_REALPATH, ASK_STATVFS, ASK_FSTAT, ASK_FSETSTAT, ASK_FSYNC, ASK_READ,
	ASK_WRITE, ASK_OPEN, ASK_LIST, ASK_OPEN_NEW, ASK_SYMLINK, ASK_MKDIR, ASK_RMDIR, ASK_REMOVE, ASK_RENAME, ASK_POSIX_RENAME,
	ASK_HARDLINK, ASK_COUNT
};

static const struct {
	uint8_t type;
	bool idempotent;
	const char *name;
} asks[ASK_COUNT] = {
	[ASK_LSTAT] = { FXP_LSTAT, true, "lstat" },
	[ASK_STAT] = { FXP_STAT, true, "stat" },
	[ASK_SETSTAT] = { FXP_SETSTAT, true, "setstat" },
	[ASK_LSETSTAT] = { FXP_EXTENDED, true, "lsetstat" },
	[ASK_READLINK] = { FXP_READLINK, true, "readlink" },
	[ASK_REALPATH] = { FXP_REALPATH, true, "realpath" },
	[ASK_STATVFS] = { FXP_EXTENDED, true, "statvfs" },
	[ASK_FSTAT] = { FXP_FSTAT, true, "fstat" },
	[ASK_FSETSTAT] = { FXP_FSETSTAT, true, "fsetstat" },
	[ASK_FSYNC] = { FXP_EXTENDED, true, "fsync" },
	[ASK_READ] = { FXP_READ, true, "read" },
	[ASK_WRITE] = { FXP_WRITE, true, "write" },
	[ASK_OPEN] = { FXP_OPEN, true, "open" },
	[ASK_LIST] = { FXP_OPENDIR, true, "list" },
	[ASK_OPEN_NEW] = { FXP_OPEN, false, "open, exclusively" },
	[ASK_SYMLINK] = { FXP_SYMLINK, false, "symlink" },
	[ASK_MKDIR] = { FXP_MKDIR, false, "mkdir" },
	[ASK_RMDIR] = { FXP_RMDIR, false, "rmdir" },
	[ASK_REMOVE] = { FXP_REMOVE, false, "remove" },
	[ASK_RENAME] = { FXP_RENAME, false, "rename" },
	[ASK_POSIX_RENAME] = { FXP_EXTENDED, false, "posix-rename" },
	[ASK_HARDLINK] = { FXP_EXTENDED, false, "hardlink" },
};

static char sink[64];

static bool any_entry(void *arg, const struct sftp_name *name)
{
	(void)arg;
	(void)name;
	return true;
}

static int ask_name(struct rig *rig, enum ask ask)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_TIMES, .atime = 5, .mtime = 6 };

	switch (ask) {
	case ASK_LSTAT:
		return WAITED(sftp_lstat(S, "a", DONE));
	case ASK_STAT:
		return WAITED(sftp_stat(S, "a", DONE));
	case ASK_SETSTAT:
		return WAITED(sftp_setstat(S, "a", &attrs, false, DONE));
	case ASK_LSETSTAT:
		return WAITED(sftp_setstat(S, "a", &attrs, true, DONE));
	case ASK_READLINK:
		return WAITED(sftp_readlink(S, "link", DONE));
	case ASK_REALPATH:
		return WAITED(sftp_realpath(S, "a", DONE));
	case ASK_STATVFS:
		return WAITED(sftp_statvfs(S, "a", DONE));
	case ASK_LIST:
		return WAITED(sftp_list(S, ".", any_entry, NULL, DONE));
	case ASK_SYMLINK:
		return WAITED(sftp_symlink(S, "x", "new", DONE));
	case ASK_MKDIR:
		return WAITED(sftp_mkdir(S, "new", 0700, DONE));
	case ASK_RMDIR:
		return WAITED(sftp_rmdir(S, "dir", DONE));
	case ASK_REMOVE:
		return WAITED(sftp_remove(S, "a", DONE));
	case ASK_RENAME:
		return WAITED(sftp_rename(S, "a", "new", DONE));
	case ASK_POSIX_RENAME:
		return WAITED(sftp_posix_rename(S, "a", "new", DONE));
	default:
		return WAITED(sftp_hardlink(S, "a", "new", DONE));
	}
}

static int ask(struct rig *rig, enum ask what, struct sftp_file *file)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_TIMES, .atime = 5, .mtime = 6 };
	struct sftp_file *other;
	int error;

	switch (what) {
	case ASK_FSTAT:
		return WAITED(sftp_fstat(file, DONE));
	case ASK_FSETSTAT:
		return WAITED(sftp_fsetstat(file, &attrs, DONE));
	case ASK_FSYNC:
		return WAITED(sftp_fsync(file, DONE));
	case ASK_READ:
		return WAITED(sftp_read(file, 0, sink, sizeof(sink), DONE));
	case ASK_WRITE:
		return rig_write(rig, file, 0, "HELLO");
	case ASK_OPEN: case ASK_OPEN_NEW:
		error = rig_open(rig, SFTP_CONTROL, what == ASK_OPEN ? "a" : "new", what == ASK_OPEN ? SFTP_OPEN_READ :
				 SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, &other);
		if (!error)
			rig_close(rig, other);
		return error;
	default:
		return ask_name(rig, what);
	}
}

/* Everything as it was before the next one. */
static void restore(struct rig *rig)
{
	char path[128], link[128];

	rig_path(rig, "new", path, sizeof(path));
	remove(path);
	rig_put(rig, "a", "hello", 5);
	rig_path(rig, "dir", path, sizeof(path));
	mkdir(path, 0700);
	rig_path(rig, "link", link, sizeof(link));
	if (symlink("t", link))
		assert_int_equal(errno, EEXIST);
}

static void cut_each(struct rig *rig, enum peer_action action)
{
	struct sftp_file *file;
	int what, error;

	for (what = 0; what < ASK_COUNT; what++) {
		restore(rig);
		assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_READ | SFTP_OPEN_WRITE, &file), 0);
		peer_rules_clear(rig->peer);
		peer_rule(rig->peer, asks[what].type, 0, 1, action);
		error = ask(rig, (enum ask)what, file);
		if (error != (asks[what].idempotent ? 0 : SFTP_UNKNOWN))
			fail_msg("%s: %d", asks[what].name, error);
		assert_true(peer_rules_done(rig->peer));
		assert_int_equal(WAITED(sftp_lstat(S, ".", DONE)), 0);		/* it goes on */
		assert_int_equal(rig_close(rig, file), 0);
	}
	assert_true(peer_sessions(rig->peer) > ASK_COUNT);
}

static void test_cut_before(void **state)
{
	cut_each(*state, PEER_CUT_BEFORE);
}

static void test_cut_after(void **state)
{
	cut_each(*state, PEER_CUT_AFTER);
}

static void test_cut_while_listing(void **state)
{
	struct rig *rig = *state;

	peer_rule(rig->peer, FXP_READDIR, 0, 1, PEER_CUT_BEFORE);	/* nothing was delivered: begun again unseen */
	assert_int_equal(WAITED(sftp_list(S, ".", any_entry, NULL, DONE)), 0);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);		/* READDIRs beyond the end are behind us */
	peer_rule(rig->peer, FXP_READDIR, 1, 1, PEER_CUT_BEFORE);
	assert_int_equal(WAITED(sftp_list(S, ".", any_entry, NULL, DONE)), SFTP_UNKNOWN);
}

struct listing {
	struct rig *rig;
	int entries;
	int restarts;
};

static bool count_entry(void *arg, const struct sftp_name *name)
{
	(void)name;
	((struct listing *)arg)->entries++;
	return true;
}

static void count_restart(void *arg)
{
	struct listing *listing = arg;

	listing->restarts++;
	listing->entries = 0;
}

static void listed(void *arg, const struct sftp_reply *reply)
{
	sftp_wait_done(((struct listing *)arg)->rig->wait, reply);
}

static void test_list_restart(void **state)
{
	struct listing listing = { .rig = *state };
	struct rig *rig = *state;
	char name[16];
	int i;

	for (i = 0; i < 249; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		rig_put(rig, name, "", 0);
	}
	peer_rule(rig->peer, FXP_READDIR, 2, 1, PEER_CUT_AFTER);
	peer_rule(rig->peer, FXP_READDIR, 1, 1, PEER_CUT_BEFORE);
	assert_int_equal(WAITED(sftp_list(S, ".", count_entry, count_restart, listed, &listing)), 0);
	assert_int_equal(listing.entries, 250);
	assert_int_equal(listing.restarts, 2);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
	listing.restarts = 0;
	peer_rule(rig->peer, FXP_READDIR, 1, PEER_FOR_EVER, PEER_CUT_AFTER);
	assert_int_equal(WAITED(sftp_list(S, ".", count_entry, count_restart, listed, &listing)), SFTP_UNKNOWN);	/* not for ever */
	assert_true(peer_sessions(rig->peer) > 20);
}

struct there {
	struct rig *rig;
	const char *name;
};

static bool is_there(void *arg)
{
	struct there *there = arg;
	char path[128];

	rig_path(there->rig, there->name, path, sizeof(path));
	return !access(path, F_OK);
}

/* An old server process does it long after the connection has gone: unknown is what it must be. */
static void test_late(void **state)
{
	struct there there = { *state, "d" };
	struct rig *rig = *state;

	peer_rule(rig->peer, FXP_MKDIR, 0, 1, PEER_LATE);
	assert_int_equal(WAITED(sftp_mkdir(S, "d", 0700, DONE)), SFTP_UNKNOWN);
	assert_int_equal(WAITED(sftp_lstat(S, "d", DONE)), -ENOENT);
	peer_release(rig->peer);
	assert_true(rig_until(is_there, &there));
	assert_int_equal(WAITED(sftp_lstat(S, "d", DONE)), 0);
}

/* ---- answers that are not what they should be ---- */

static void test_strange_answers(void **state)
{
	static const enum peer_action harmless[] = { PEER_TWICE, PEER_STRANGER };
	static const enum peer_action wrong[] = { PEER_WRONG_TYPE, PEER_TRUNCATED };
	static const enum peer_action torn[] = { PEER_HUGE, PEER_GARBAGE };
	struct rig *rig = *state;
	size_t i;

	for (i = 0; i < 2; i++) {
		peer_rules_clear(rig->peer);
		peer_rule(rig->peer, FXP_LSTAT, 0, 1, harmless[i]);
		assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
		assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
		assert_int_equal(peer_sessions(rig->peer), 1);
	}
	for (i = 0; i < 2; i++) {
		peer_rules_clear(rig->peer);
		peer_rule(rig->peer, FXP_LSTAT, 0, 1, wrong[i]);
		assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), -EPROTO);	/* not asked again: it would answer so again */
		assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
		assert_int_equal(peer_sessions(rig->peer), 2 + i);
	}
	for (i = 0; i < 2; i++) {
		peer_rules_clear(rig->peer);
		peer_rule(rig->peer, FXP_LSTAT, 0, 1, torn[i]);
		assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);	/* nobody's answer: the request is asked again */
		assert_int_equal(peer_sessions(rig->peer), 4 + i);
	}
}

static void test_reads(void **state)
{
	struct rig *rig = *state;
	char data[1000], back[1000];
	struct sftp_file *file;
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)i;
	rig_put(rig, "f", data, sizeof(data));
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "f", SFTP_OPEN_READ, &file), 0);
	peer_rule(rig->peer, FXP_READ, 0, 30, PEER_SHORT);
	assert_int_equal(WAITED(sftp_read(file, 0, back, sizeof(back), DONE)), 0);
	assert_int_equal(rig->reply.len, sizeof(data));
	assert_memory_equal(data, back, sizeof(data));
	peer_rules_clear(rig->peer);
	peer_rule(rig->peer, FXP_READ, 0, 1, PEER_SHORT);
	peer_rule(rig->peer, FXP_READ, 0, 1, PEER_CUT_AFTER);	/* the second half of a short read */
	memset(back, 0, sizeof(back));
	assert_int_equal(WAITED(sftp_read(file, 0, back, sizeof(back), DONE)), 0);
	assert_memory_equal(data, back, sizeof(data));
	peer_rules_clear(rig->peer);
	back[100] = 'q';
	peer_rule(rig->peer, FXP_READ, 0, 1, PEER_OVERLONG);
	assert_int_equal(WAITED(sftp_read(file, 0, back, 100, DONE)), -EPROTO);
	assert_int_equal(back[100], 'q');
	assert_int_equal(WAITED(sftp_read(file, 0, back, 100, DONE)), 0);
	assert_int_equal(rig_close(rig, file), 0);
}

static void test_reverse(void **state)
{
	struct sftp_wait *waits[100];
	struct rig *rig = *state;
	struct sftp_reply reply;
	char name[16];
	int i;

	peer_reverse(rig->peer, true);
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		rig_put(rig, name, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", (size_t)i);
	}
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		waits[i] = sftp_wait_new();
		assert_int_equal(sftp_lstat(S, name, sftp_wait_done, waits[i]), 0);
	}
	for (i = 0; i < 100; i++) {
		assert_int_equal(sftp_wait_for(waits[i], &reply, NULL), 0);
		assert_int_equal(reply.attrs.size, i);
		sftp_wait_free(waits[i]);
	}
}

static void test_lies(void **state)
{
	struct listing listing = { .rig = *state };
	struct rig *rig = *state;

	peer_lies(rig->peer, true);
	assert_int_equal(WAITED(sftp_list(S, ".", count_entry, NULL, listed, &listing)), 0);
	assert_int_equal(listing.entries, 1);		/* "a": ".", "..", "", "a/b", "/etc" and "x\0y" are dropped */
}

static void test_lists_without_end(void **state)
{
	static const struct {
		enum peer_listing how;
		int error;
	} without_end[] = { { PEER_LISTS_NOTHING, -EPROTO }, { PEER_LISTS_DOTS, -EPROTO }, { PEER_LISTS_ON, -EOVERFLOW } };
	struct rig *rig = *state;
	unsigned int i;

	rig->sftp->options.max_listing = 1u << 20;
	for (i = 0; i < 3; i++) {
		struct listing listing = { .rig = rig };

		peer_lists(rig->peer, without_end[i].how);
		assert_int_equal(WAITED(sftp_list(S, ".", count_entry, NULL, listed, &listing)), without_end[i].error);
		assert_true(listing.entries < 20000);
	}
	peer_lists(rig->peer, PEER_LISTS_TRULY);
	assert_int_equal(WAITED(sftp_lstat(S, ".", DONE)), 0);
}

/* ---- answers that don't come ---- */

static void test_dropped(void **state)
{
	struct rig *rig = *state;
	int64_t before = clock_now();

	peer_rule(rig->peer, FXP_LSTAT, 0, 1, PEER_DROP);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), -ETIMEDOUT);
	assert_true(clock_now() - before >= 200 * NS_PER_MS);
	assert_true(clock_now() - before < 5 * NS_PER_S);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
	assert_int_equal(peer_sessions(rig->peer), 1);
}

static bool no_handles(void *arg)
{
	return peer_open_handles(arg) == 0;
}

/* The late answer to an open that was given up brings a handle, which must be closed. */
static void test_late_open(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;

	peer_rule(rig->peer, FXP_OPEN, 0, 1, PEER_HOLD);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_READ, &file), -ETIMEDOUT);
	peer_release(rig->peer);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
	assert_true(rig_until(no_handles, rig->peer));
	assert_int_equal(peer_count(rig->peer, FXP_CLOSE), 1);
}

static void test_dead_peer(void **state)
{
	struct rig *rig = *state;
	struct sftp_wait *wait = sftp_wait_new();

	peer_stall(rig->peer, true);
	assert_int_equal(sftp_lstat(S, "a", sftp_wait_done, wait), 0);
	assert_int_equal(sftp_mkdir(S, "d", 0700, DONE), 0);
	assert_int_equal(WAITED(0), SFTP_UNKNOWN);		/* the connection was given up */
	peer_stall(rig->peer, false);
	assert_int_equal(sftp_wait_for(wait, NULL, NULL), 0);
	assert_true(peer_sessions(rig->peer) >= 2);
	sftp_wait_free(wait);
}

struct at_least {
	struct rig *rig;
	unsigned int sessions;
};

static bool has_sessions(void *arg)
{
	struct at_least *wanted = arg;

	return peer_sessions(wanted->rig->peer) >= wanted->sessions;
}

/* Nobody asks anything: the probe notices. */
static void test_dead_idle_peer(void **state)
{
	struct at_least two = { *state, 2 };
	struct rig *rig = *state;

	peer_stall(rig->peer, true);
	assert_true(rig_until(has_sessions, &two));
	peer_stall(rig->peer, false);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
}

static void test_idle_peer_lives(void **state)
{
	struct rig *rig = *state;
	int64_t end = clock_now() + 600 * NS_PER_MS;

	while (clock_now() < end)
		usleep(10000);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);
	assert_int_equal(peer_sessions(rig->peer), 1);
	assert_true(peer_count(rig->peer, FXP_LSTAT) > 3);
}

/* ---- no connection ---- */

static void test_waits_for_connection(void **state)
{
	struct rig *rig = *state;
	struct sftp_wait *wait = sftp_wait_new();

	peer_refuse(rig->peer, 0, 3, -ECONNREFUSED);
	peer_cut_all(rig->peer);
	peer_rule(rig->peer, FXP_LSTAT, 0, 1, PEER_CUT_BEFORE);		/* whichever session it meets */
	assert_int_equal(sftp_lstat(S, "a", sftp_wait_done, wait), 0);
	assert_int_equal(sftp_wait_for(wait, NULL, NULL), 0);
	peer_refuse(rig->peer, 0, 3, -ECONNREFUSED);
	peer_cut_all(rig->peer);
	while (WAITED(sftp_lstat(S, "b", DONE)) != -ENOENT)
		;
	assert_int_equal(WAITED(sftp_mkdir(S, "d", 0700, DONE)), 0);	/* never sent before: not unknown */
	sftp_wait_free(wait);
}

static void test_times_out_without_connection(void **state)
{
	struct rig *rig = *state;
	int64_t before;

	peer_refuse(rig->peer, 0, PEER_FOR_EVER, -ECONNREFUSED);
	peer_cut_all(rig->peer);
	WAITED(sftp_mkdir(S, "d1", 0700, DONE));
	before = clock_now();
	assert_int_equal(WAITED(sftp_mkdir(S, "d2", 0700, DONE)), -ETIMEDOUT);
	assert_true(clock_now() - before >= 200 * NS_PER_MS);
	assert_true(clock_now() - before < 2 * NS_PER_S);
	peer_refuse(rig->peer, 0, 0, 0);
	while (WAITED(sftp_lstat(S, "a", DONE)) == -ETIMEDOUT)
		;
	assert_int_equal(rig->reply.error, 0);
}

static void test_connect_fails(void **state)
{
	struct sftp_options options = { .connections = 2, .timeout_ns = 150 * NS_PER_MS };
	struct rig *rig = *state;
	struct buf why = BUF_INIT;
	struct sftp *sftp;

	peer_refuse(rig->peer, 0, PEER_FOR_EVER, -EACCES);
	assert_int_equal(sftp_connect(peer_maker(rig->peer), &options, &sftp, &why), -EACCES);
	assert_string_equal(buf_text(&why), "the peer of the tests refuses");
	buf_reset(&why);
	peer_refuse(rig->peer, 0, PEER_FOR_EVER, -ECONNREFUSED);
	assert_int_equal(sftp_connect(peer_maker(rig->peer), &options, &sftp, &why), -ECONNREFUSED);
	buf_reset(&why);
	peer_refuse(rig->peer, 0, PEER_FOR_EVER, -ECONNRESET);
	assert_int_equal(sftp_connect(peer_maker(rig->peer), &options, &sftp, &why), -ETIMEDOUT);
	assert_string_equal(buf_text(&why), "the peer of the tests refuses");
	peer_refuse(rig->peer, 0, 1, -ECONNRESET);
	options.timeout_ns = 20 * NS_PER_S;
	assert_int_equal(sftp_connect(peer_maker(rig->peer), &options, &sftp, &why), 0);
	sftp_free(sftp);
	peer_stall(rig->peer, true);
	options.timeout_ns = 100 * NS_PER_MS;
	assert_int_equal(sftp_connect(peer_maker(rig->peer), &options, &sftp, &why), -ETIMEDOUT);
	peer_stall(rig->peer, false);
	buf_release(&why);
}

/* ---- the end ---- */

struct tally {
	struct sftp *sftp;
	atomic_int calls;
	atomic_int not_connected;
};

static void tally(void *arg, const struct sftp_reply *reply)
{
	struct tally *tally = arg;

	atomic_fetch_add(&tally->calls, 1);
	atomic_fetch_add(&tally->not_connected, reply->error == -ENOTCONN);
}

static void test_free_with_requests(void **state)
{
	struct rig *rig = *state;
	struct tally counts = { .sftp = rig->sftp };
	struct sftp_file *file;
	int64_t before;
	int i;

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_READ, &file), 0);
	peer_stall(rig->peer, true);
	for (i = 0; i < 500; i++)
		assert_int_equal(sftp_mkdir(S, "d", 0700, tally, &counts), 0);
	assert_int_equal(sftp_list(S, ".", any_entry, NULL, tally, &counts), 0);
	assert_int_equal(sftp_open(S, "a", SFTP_OPEN_READ, NULL, tally, &counts), 0);
	assert_int_equal(sftp_close(file, tally, &counts), 0);
	before = clock_now();
	rig_disconnect(rig);
	assert_true(clock_now() - before < 2 * NS_PER_S);
	assert_int_equal(atomic_load(&counts.calls), 503);
	assert_int_equal(atomic_load(&counts.not_connected), 502);	/* a handle that is gone is closed well */
	peer_stall(rig->peer, false);
}

static void again(void *arg, const struct sftp_reply *reply)
{
	struct tally *counts = arg;

	atomic_fetch_add(&counts->calls, 1);
	if (reply->error != -ENOTCONN)
		assert_int_equal(sftp_lstat(counts->sftp, SFTP_CONTROL, "a", again, counts), 0);
	else
		atomic_fetch_add(&counts->not_connected, 1);
}

/* At any moment, under load, with breaks: whatever is asked is answered, and the last answer is -ENOTCONN. */
static void test_free_at_any_moment(void **state)
{
	struct rig *rig = *state;
	unsigned int round;
	int i;

	for (round = 0; round < 60; round++) {
		struct tally counts = { .sftp = rig->sftp };

		if (round % 3 == 1)
			peer_rule(rig->peer, FXP_LSTAT, round, 1, PEER_CUT_AFTER);
		for (i = 0; i < 32; i++)
			assert_int_equal(sftp_lstat(S, "a", again, &counts), 0);
		usleep(round * 37 % 2000);
		if (round % 3 == 2)
			peer_cut_all(rig->peer);
		rig_disconnect(rig);
		assert_int_equal(atomic_load(&counts.not_connected), 32);
		peer_rules_clear(rig->peer);
		rig_connect(rig, 1 + (int)(round % 3), 20000, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cut_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_after, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_late, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_while_listing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_list_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strange_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reverse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lists_without_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dropped, set_up_hasty, tear_down),
		cmocka_unit_test_setup_teardown(test_late_open, set_up_hasty, tear_down),
		cmocka_unit_test_setup_teardown(test_dead_peer, set_up_watchful, tear_down),
		cmocka_unit_test_setup_teardown(test_dead_idle_peer, set_up_watchful, tear_down),
		cmocka_unit_test_setup_teardown(test_idle_peer_lives, set_up_watchful, tear_down),
		cmocka_unit_test_setup_teardown(test_waits_for_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_times_out_without_connection, set_up_hasty, tear_down),
		cmocka_unit_test_setup_teardown(test_connect_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_free_with_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_free_at_any_moment, set_up, tear_down),
	};

	log_open("test_conn", LOG_LEVEL_ERROR);
	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
