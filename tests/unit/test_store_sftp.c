/* The queue's disk over SFTP, against a peer over a directory that cuts, drops and refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/fake/rig.h"
#include "tree/store_sftp.h"

static struct rig rig;
static struct store *store;

static void connect_plain(bool plain)
{
	char path[512];

	rig_init(&rig);
	rig_path(&rig, "q", path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
	peer_plain(rig.peer, plain);
	rig_connect(&rig, 2, 10000, 0);
	assert_int_equal(store_sftp_new(rig.sftp, NULL, "/q", &store), 0);
}

static int setup(void **state)
{
	(void)state;
	connect_plain(false);
	return 0;
}

static int setup_plain(void **state)
{
	(void)state;
	connect_plain(true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_sftp_free(store);
	rig_release(&rig);
	return 0;
}

static struct store_op run_one(struct store_op op)
{
	store_run(store, &op, 1);
	return op;
}

static int create(const char *path, const char *text)
{
	return run_one((struct store_op){ .kind = STORE_CREATE, .path = path, .input = text, .input_len = strlen(text) }).error;
}

static int look(const char *path)
{
	return run_one((struct store_op){ .kind = STORE_LSTAT, .path = path }).error;
}

static void assert_text(const char *path, const char *text)
{
	struct buf data = BUF_INIT;
	struct store_op op = run_one((struct store_op){ .kind = STORE_READ, .path = path, .max = 4096, .data = &data });

	assert_int_equal(op.error, 0);
	assert_string_equal(buf_text(&data), text);
	buf_release(&data);
}

/* "Link, then look" in one flight. */
static void test_flight_in_order(void **state)
{
	struct store_op ops[] = {
		{ .kind = STORE_LINK, .path = "beat", .path2 = "claim" }, { .kind = STORE_LSTAT, .path = "claim" },
		{ .kind = STORE_LINK, .path = "beat", .path2 = "claim" }, { .kind = STORE_REMOVE, .path = "claim" },
		{ .kind = STORE_LSTAT, .path = "claim" }, { .kind = STORE_LSTAT, .path = "" },
	};

	(void)state;
	assert_int_equal(create("beat", "host\n"), 0);
	store_run(store, ops, 6);
	assert_int_equal(ops[0].error, 0);
	assert_int_equal(ops[1].error, 0);
	assert_int_equal(ops[1].attrs.size, 5);
	assert_true(S_ISREG(ops[1].attrs.mode));
	assert_true(ops[1].attrs.mtime > 1600000000);
	assert_true(ops[1].sent_ns > 0 && ops[1].received_ns >= ops[1].sent_ns);
	assert_int_equal(ops[2].error, STORE_FAILURE);
	assert_int_equal(ops[3].error, 0);
	assert_int_equal(ops[4].error, -ENOENT);
	assert_int_equal(ops[5].error, 0);
	assert_true(S_ISDIR(ops[5].attrs.mode));
}

static int put(const char *path, const void *data, size_t len, uint32_t mode)
{
	return run_one((struct store_op){ .kind = STORE_PUT, .path = path, .input = data, .input_len = len, .mode = mode }).error;
}

static void assert_mode(const char *name, mode_t mode)
{
	char path[512], full[600];
	struct stat st;

	snprintf(full, sizeof(full), "q/%s", name);
	rig_path(&rig, full, path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

/* A new file with its bytes and its mode, whatever the server's umask is. */
static void test_put(void **state)
{
	char path[512], *large = calloc(1, 300000);
	mode_t before = umask(077);
	struct stat st;

	(void)state;
	assert_non_null(large);
	assert_int_equal(put("a", "text", 4, 0664), 0);
	assert_text("a", "text");
	assert_int_equal(put("a", "other", 5, 0664), STORE_FAILURE);
	assert_text("a", "text");
	assert_int_equal(put("none/a", "x", 1, 0644), -ENOENT);
	assert_int_equal(put("large", large, 300000, 0750), 0);
	umask(before);
	assert_mode("a", 0664);
	assert_mode("large", 0750);
	rig_path(&rig, "q/large", path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 300000);
	assert_int_equal(put("empty", "", 0, 0600), 0);
	assert_text("empty", "");
	free(large);
}

/* Bits that the server's umask was seen to leave are neither looked at nor set again; others are. */
static void test_put_modes(void **state)
{
	mode_t before = umask(022);
	unsigned int looks;

	(void)state;
	assert_int_equal(put("a", "text", 4, 0644), 0);
	looks = peer_count(rig.peer, FXP_FSTAT);
	assert_int_equal(put("b", "text", 4, 0644), 0);
	assert_int_equal(put("c", "text", 4, 0600), 0);
	assert_int_equal(peer_count(rig.peer, FXP_FSTAT), looks);
	assert_int_equal(peer_count(rig.peer, FXP_FSETSTAT), 0);
	assert_int_equal(put("d", "text", 4, 0664), 0);
	umask(before);
	assert_int_equal(peer_count(rig.peer, FXP_FSETSTAT), 1);
	assert_mode("a", 0644);
	assert_mode("c", 0600);
	assert_mode("d", 0664);
}

/* Written, but whether for good can't be known. */
static void test_put_without_fsync(void **state)
{
	(void)state;
	assert_int_equal(put("a", "text", 4, 0644), -EOPNOTSUPP);
	assert_text("a", "text");
}

static void test_each_kind(void **state)
{
	struct store_op op;

	(void)state;
	assert_int_equal(run_one((struct store_op){ .kind = STORE_MKDIR, .path = "d" }).error, 0);
	assert_int_equal(create("d/a", "text"), 0);
	assert_int_equal(create("d/a", "other"), STORE_FAILURE);
	assert_text("d/a", "text");
	assert_int_equal(create("d/empty", ""), 0);
	assert_text("d/empty", "");
	assert_int_equal(run_one((struct store_op){ .kind = STORE_UTIME, .path = "d/a", .mtime = 1 }).error, 0);
	op = run_one((struct store_op){ .kind = STORE_LSTAT, .path = "d/a" });
	assert_int_equal(op.attrs.mtime, 1);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_FSYNC, .path = "d/a" }).error, 0);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_FSYNC, .path = "d" }).error, 0);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_FSYNC, .path = "none" }).error, -ENOENT);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_RENAME, .path = "d/a", .path2 = "d/empty" }).error, 0);
	assert_text("d/empty", "text");
	assert_int_equal(run_one((struct store_op){ .kind = STORE_RMDIR, .path = "d" }).error, STORE_FAILURE);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_REMOVE, .path = "d/empty" }).error, 0);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_RMDIR, .path = "d" }).error, 0);
	assert_int_equal(look("d"), -ENOENT);
}

static void test_reading(void **state)
{
	const size_t size = 3000000;
	struct buf data = BUF_INIT;
	char *bytes = malloc(size);
	struct store_op op = { .kind = STORE_READ, .path = "big", .max = SIZE_MAX, .data = &data };
	size_t i;

	(void)state;
	assert_non_null(bytes);
	for (i = 0; i < size; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	rig_put(&rig, "q/big", bytes, size);
	store_run(store, &op, 1);
	assert_int_equal(op.error, 0);
	assert_int_equal(data.len, size);
	assert_memory_equal(data.data, bytes, size);
	assert_int_equal(op.attrs.size, size);
	buf_reset(&data);
	op.offset = size - 100000;
	op.max = 70000;
	store_run(store, &op, 1);
	assert_int_equal(data.len, 70000);
	assert_memory_equal(data.data, bytes + op.offset, 70000);
	buf_reset(&data);
	op.offset = size - 10;
	op.max = 50;
	store_run(store, &op, 1);
	assert_int_equal(data.len, 10);
	buf_reset(&data);
	op.offset = size + 10;
	store_run(store, &op, 1);
	assert_int_equal(op.error, 0);
	assert_int_equal(data.len, 0);
	op.max = 1000000;
	store_run(store, &op, 1);
	assert_int_equal(op.error, 0);
	assert_int_equal(data.len, 0);
	buf_release(&data);
	free(bytes);
}

static void check_copy(void)
{
	char bytes[600000];
	struct buf data = BUF_INIT;
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 13 + i / 255);
	rig_put(&rig, "q/from", bytes, sizeof(bytes));
	assert_int_equal(run_one((struct store_op){ .kind = STORE_COPY, .path = "from", .path2 = "to" }).error, 0);
	rig_get(&rig, "q/to", &data);
	assert_int_equal(data.len, sizeof(bytes));
	assert_memory_equal(data.data, bytes, sizeof(bytes));
	assert_int_equal(run_one((struct store_op){ .kind = STORE_COPY, .path = "from", .path2 = "to" }).error, STORE_FAILURE);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_COPY, .path = "none", .path2 = "to2" }).error, -ENOENT);
	assert_int_equal(look("to2"), -ENOENT);
	buf_release(&data);
}

static void test_copy(void **state)
{
	(void)state;
	check_copy();
}

static void test_files(void **state)
{
	struct store_file *file, *log;
	struct buf data = BUF_INIT;
	struct store_op op;

	(void)state;
	assert_int_equal(store_open(store, "none", O_RDWR, &file), -ENOENT);
	assert_int_equal(store_open(store, "beat", O_RDWR | O_CREAT | O_EXCL, &file), 0);
	assert_int_equal(store_open(store, "beat", O_RDWR | O_CREAT | O_EXCL, &log), STORE_FAILURE);
	op = run_one((struct store_op){ .kind = STORE_WRITE, .file = file, .input = "hello", .input_len = 5, .offset = 2 });
	assert_int_equal(op.error, 0);
	op = run_one((struct store_op){ .kind = STORE_FSTAT, .file = file });
	assert_int_equal(op.error, 0);
	assert_int_equal(op.attrs.size, 7);
	store_close(store, file);
	assert_int_equal(store_open(store, "log", O_WRONLY | O_APPEND | O_CREAT, &log), 0);
	op = run_one((struct store_op){ .kind = STORE_APPEND, .file = log, .input = "one\n", .input_len = 4 });
	assert_int_equal(op.error, 0);
	op = run_one((struct store_op){ .kind = STORE_APPEND, .file = log, .input = "two\n", .input_len = 4 });
	assert_int_equal(op.error, 0);
	store_close(store, log);
	rig_get(&rig, "q/log", &data);
	assert_string_equal(buf_text(&data), "one\ntwo\n");
	buf_release(&data);
}

/* ---- listings ---- */

struct listing {
	size_t count;
	size_t stop_at;
	pthread_t thread;
	uint64_t sum;
};

static bool count_entry(void *arg, const struct store_name *name)
{
	struct listing *listing = arg;

	assert_true(pthread_equal(pthread_self(), listing->thread));
	assert_int_equal(strlen(name->name), name->len);
	assert_true(S_ISREG(name->attrs.mode));
	listing->sum += strtoul(name->name + 1, NULL, 10);
	return ++listing->count != listing->stop_at;
}

static void make_files(const char *dir, int count)
{
	char name[32];
	int i;

	assert_int_equal(run_one((struct store_op){ .kind = STORE_MKDIR, .path = dir }).error, 0);
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "q/%s/f%d", dir, i);
		rig_put(&rig, name, "", 0);
	}
}

static void test_listing(void **state)
{
	struct listing listing = { .thread = pthread_self() };

	(void)state;
	make_files("d", 3000);
	assert_int_equal(store_list(store, "d", count_entry, &listing), 0);
	assert_int_equal(listing.count, 3000);
	assert_int_equal(listing.sum, 3000 * 2999 / 2);
	listing.count = 0;
	listing.stop_at = 7;
	assert_int_equal(store_list(store, "d", count_entry, &listing), 0);
	assert_int_equal(listing.count, 7);
	assert_int_equal(store_list(store, "none", count_entry, &listing), -ENOENT);
	peer_rule(rig.peer, FXP_READDIR, 1, 1, PEER_CUT_BEFORE);
	listing.stop_at = 0;
	assert_true(store_list(store, "d", count_entry, &listing) < 0);
	assert_int_equal(store_list(store, "d", count_entry, &listing), 0);
}

static bool nothing_open(void *arg)
{
	return peer_open_handles(arg) == 0;
}

/* Begun, a flight, ended; and one that is given up leaves nothing open. */
static void test_listing_begun(void **state)
{
	struct listing listing = { .thread = pthread_self() };
	struct store_listing first, none, unwanted;

	(void)state;
	make_files("d", 1);
	store_list_begin(store, "d", NULL, &first);
	store_list_begin(store, "none", &first, &none);
	store_list_begin(store, "d", &first, &unwanted);
	assert_int_equal(look("d"), 0);
	assert_int_equal(store_list_end(store, &first, count_entry, &listing), 0);
	assert_int_equal(listing.count, 1);
	assert_int_equal(store_list_end(store, &none, count_entry, &listing), -ENOENT);
	assert_int_equal(store_list_end(store, &unwanted, NULL, NULL), 0);
	assert_int_equal(listing.count, 1);
	assert_true(rig_until(nothing_open, rig.peer));
}

static bool rules_done(void *arg)
{
	return peer_rules_done(arg);
}

/* What came before the last of the names that it was to follow is asked for again. The first listing goes over another connection, and is held there. */
static void test_listing_after(void **state)
{
	struct listing listing = { .thread = pthread_self() };
	struct store_listing first, second;
	unsigned int opened;

	(void)state;
	make_files("c", 1);
	make_files(".claimfs", 0);
	make_files(".claimfs/log", 2);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_FSYNC, .path = "c" }).error, 0);
	peer_rule(rig.peer, FXP_READDIR, 0, 1, PEER_HOLD);
	store_list_begin(store, "c", NULL, &first);
	assert_true(rig_until(rules_done, rig.peer));
	opened = peer_count(rig.peer, FXP_OPENDIR);
	store_list_begin(store, ".claimfs/log", &first, &second);
	/* Whatever was asked for on that connection before is answered by now. */
	assert_int_equal(store_list(store, ".claimfs/log", count_entry, &listing), 0);
	rig_put(&rig, "q/.claimfs/log/f100", "", 0);
	peer_release(rig.peer);
	listing.sum = 0;
	assert_int_equal(store_list_end(store, &first, count_entry, &listing), 0);
	assert_int_equal(store_list_end(store, &second, count_entry, &listing), 0);
	assert_int_equal(listing.sum, 0 + 0 + 1 + 100);
	assert_int_equal(peer_count(rig.peer, FXP_OPENDIR), opened + 3);
}

/* ---- broken connections ---- */

static void test_lost_answers(void **state)
{
	struct store_op ops[] = {
		{ .kind = STORE_LINK, .path = "beat", .path2 = "claim" }, { .kind = STORE_LSTAT, .path = "claim" },
	};

	(void)state;
	assert_int_equal(create("beat", "host\n"), 0);
	peer_rule(rig.peer, FXP_EXTENDED, 0, 1, PEER_CUT_AFTER);
	store_run(store, ops, 2);
	assert_int_equal(ops[0].error, STORE_UNKNOWN);
	assert_int_equal(ops[1].error, 0);	/* looked again on the new connection */
	peer_rule(rig.peer, FXP_REMOVE, 0, 1, PEER_CUT_BEFORE);
	assert_int_equal(run_one((struct store_op){ .kind = STORE_REMOVE, .path = "claim" }).error, STORE_UNKNOWN);
	assert_int_equal(look("claim"), 0);
	peer_rule(rig.peer, FXP_OPEN, 0, 1, PEER_CUT_AFTER);
	assert_int_equal(create("new", "x"), STORE_UNKNOWN);
	peer_rule(rig.peer, FXP_READ, 0, 1, PEER_CUT_BEFORE);
	assert_text("beat", "host\n");
}

static void *run_dropped(void *arg)
{
	struct store_op *ops = arg;

	store_run(store, ops, 2);
	return NULL;
}

/* The end of the mount: the thread that waits is let go, the answers come later or never. */
static void test_cancel(void **state)
{
	struct store_op ops[] = {
		{ .kind = STORE_LINK, .path = "beat", .path2 = "claim" }, { .kind = STORE_READ, .path = "beat", .max = 100 },
	};
	struct store_file *file;
	pthread_t thread;

	(void)state;
	assert_int_equal(create("beat", "host\n"), 0);
	peer_rule(rig.peer, FXP_EXTENDED, 0, 1, PEER_HOLD);
	assert_false(store_cancelled(store));
	assert_int_equal(pthread_create(&thread, NULL, run_dropped, ops), 0);
	assert_true(rig_until(rules_done, rig.peer));
	store_sftp_cancel(store);
	pthread_join(thread, NULL);
	assert_int_equal(ops[0].error, STORE_UNKNOWN);
	assert_int_equal(ops[1].error, -ENOTCONN);
	assert_true(store_cancelled(store));
	assert_int_equal(look("beat"), -ENOTCONN);
	assert_int_equal(store_open(store, "beat", O_RDWR, &file), -ENOTCONN);
	assert_int_equal(store_list(store, "", count_entry, NULL), -ENOTCONN);
	store_sftp_free(store);		/* before the answers */
	store = NULL;
	peer_release(rig.peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flight_in_order), TEST(test_each_kind), TEST(test_put), TEST(test_put_modes),
		cmocka_unit_test_setup_teardown(test_put_without_fsync, setup_plain, teardown), TEST(test_reading), TEST(test_copy),
		cmocka_unit_test_setup_teardown(test_copy, setup_plain, teardown), TEST(test_files), TEST(test_listing),
		TEST(test_listing_begun), TEST(test_listing_after),
		TEST(test_lost_answers), TEST(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
