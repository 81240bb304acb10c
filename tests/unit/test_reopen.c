/*
 * reopen: open files over broken connections: what is reopened and how, when a file is stale, several connections of which some fail;
 * and at the end a thousand cuts under a mix of writes, reads and renames, compared byte by byte.
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
#define RDWR (SFTP_OPEN_READ | SFTP_OPEN_WRITE)
#define MIB (1024u * 1024)

static int set_up_with(void **state, int connections)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	rig_put(rig, "a", "hello", 5);
	rig_connect(rig, connections, 20000, 0);
	*state = rig;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 1);
}

static int set_up_four(void **state)
{
	return set_up_with(state, 4);
}

static bool none_is_open(void *arg)
{
	return peer_open_handles(arg) == 0;
}

/* What was opened for a file that is another one by then is closed without anybody waiting for it. */
static int tear_down(void **state)
{
	struct rig *rig = *state;

	assert_true(rig_until(none_is_open, rig->peer));
	rig_disconnect(rig);
	rig_release(rig);
	free(rig);
	return 0;
}

static bool is_down(void *arg)
{
	struct rig *rig = arg;

	return pool_up_count(rig->sftp) == 0;
}

/* Cuts everything, and has seen it. */
static void cut(struct rig *rig)
{
	unsigned int sessions = peer_sessions(rig->peer);

	peer_cut_all(rig->peer);
	while (peer_sessions(rig->peer) == sessions)
		WAITED(sftp_lstat(S, ".", DONE));
}

static void assert_text(struct rig *rig, const char *name, const char *expected)
{
	struct buf text = BUF_INIT;

	rig_get(rig, name, &text);
	assert_string_equal(buf_text(&text), expected);
	buf_release(&text);
}

/* ---- what is reopened ---- */

static void test_survives(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;
	char data[16];

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "new", RDWR | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, &file), 0);
	assert_int_equal(rig_write(rig, file, 0, "one "), 0);
	cut(rig);
	assert_int_equal(rig_write(rig, file, 4, "two "), 0);	/* with EXCL the reopening would have failed, with TRUNC ... */
	cut(rig);
	assert_int_equal(WAITED(sftp_read(file, 0, data, sizeof(data), DONE)), 0);
	assert_int_equal(rig->reply.len, 8);
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "new", "one two ");
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "new", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC, &file), 0);
	assert_int_equal(rig_write(rig, file, 0, "three"), 0);
	cut(rig);
	assert_int_equal(rig_write(rig, file, 5, " four"), 0);	/* ... nothing would be left */
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "new", "three four");
}

static void test_close_without_connection(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file, *other;

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_READ, &file), 0);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_READ, &other), 0);
	peer_refuse(rig->peer, 0, PEER_FOR_EVER, -ECONNREFUSED);
	peer_cut_all(rig->peer);
	assert_int_equal(rig_close(rig, file), 0);		/* gone with its connection */
	assert_true(rig_until(is_down, rig));
	assert_int_equal(rig_close(rig, other), 0);
	peer_refuse(rig->peer, 0, 0, 0);
}

static void test_removed(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;
	char path[128];

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	rig_path(rig, "a", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rig_write(rig, file, 0, "J"), 0);	/* open it is still there */
	cut(rig);
	assert_int_equal(rig_write(rig, file, 0, "J"), -ESTALE);
	assert_int_equal(WAITED(sftp_fstat(file, DONE)), -ESTALE);
	assert_int_equal(access(path, F_OK), -1);		/* and not made again */
	assert_int_equal(rig_close(rig, file), 0);
}

static void test_replaced(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;
	char path[128];

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	assert_int_equal(rig_write(rig, file, 0, "longer than it was"), 0);
	rig_put(rig, "a", "short", 5);				/* another file by that name */
	cut(rig);
	assert_int_equal(rig_write(rig, file, 18, "x"), -ESTALE);
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "a", "short");
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_READ, &file), 0);
	rig_path(rig, "a", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);			/* a directory by that name */
	cut(rig);
	assert_int_equal(WAITED(sftp_fstat(file, DONE)), -ESTALE);
	assert_int_equal(rig_close(rig, file), 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_truncated_by_ourselves(void **state)
{
	struct sftp_attrs size = { .flags = SFTP_ATTR_SIZE, .size = 2 };
	struct rig *rig = *state;
	struct sftp_file *file;

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	assert_int_equal(rig_write(rig, file, 0, "a longer text"), 0);
	assert_int_equal(WAITED(sftp_fsetstat(file, &size, DONE)), 0);
	cut(rig);
	assert_int_equal(rig_write(rig, file, 2, "c"), 0);	/* shorter than was written, and rightly so */
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "a", "a c");
}

static void test_moved(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	assert_int_equal(WAITED(sftp_rename(S, "a", "b", DONE)), 0);
	assert_int_equal(sftp_file_moved(file, "b"), 0);
	cut(rig);
	assert_int_equal(rig_write(rig, file, 0, "J"), 0);
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "b", "Jello");
}

/* The rename has happened and its answer has not come: the reopening looks at both names. */
static void test_moving(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	assert_int_equal(sftp_file_moving(file, "b"), 0);
	cut(rig);
	assert_int_equal(rig_write(rig, file, 0, "1"), 0);	/* not yet */
	peer_rule(rig->peer, FXP_RENAME, 0, 1, PEER_CUT_AFTER);
	assert_int_equal(WAITED(sftp_rename(S, "a", "b", DONE)), SFTP_UNKNOWN);
	assert_int_equal(rig_write(rig, file, 1, "2"), 0);
	assert_int_equal(sftp_file_moved(file, "b"), 0);
	cut(rig);
	assert_int_equal(rig_write(rig, file, 2, "3"), 0);
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "b", "123lo");
}

/* The connection breaks while the file is being reopened, at its OPEN and at its FSTAT. */
static void test_breaks_while_reopening(void **state)
{
	static const uint8_t types[] = { FXP_OPEN, FXP_FSTAT, FXP_WRITE };
	struct rig *rig = *state;
	struct sftp_file *file;
	size_t i;

	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	for (i = 0; i < 3; i++) {
		cut(rig);
		peer_rules_clear(rig->peer);
		peer_rule(rig->peer, types[i], 0, 2, i == 1 ? PEER_CUT_AFTER : PEER_CUT_BEFORE);
		assert_int_equal(rig_write(rig, file, 0, i == 0 ? "1" : i == 1 ? "12" : "123"), 0);
		assert_true(peer_rules_done(rig->peer));
	}
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "a", "123lo");
}

static void test_reopening_times_out(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;

	rig_disconnect(rig);
	rig_connect(rig, 1, 200, 0);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", RDWR, &file), 0);
	cut(rig);
	peer_rule(rig->peer, FXP_OPEN, 0, 1, PEER_HOLD);
	assert_int_equal(rig_write(rig, file, 0, "J"), -ETIMEDOUT);	/* it waited for the handle */
	peer_release(rig->peer);
	assert_int_equal(rig_write(rig, file, 0, "Y"), 0);
	assert_int_equal(rig_close(rig, file), 0);
	assert_text(rig, "a", "Yello");
}

/* ---- several connections ---- */

struct bulk {
	struct rig *rig;
	struct sftp_file *file;
	char *data;
	size_t len, chunk;
	atomic_int left;
	atomic_int bad;
	atomic_int error;
};

static void bulk_landed(void *arg, const struct sftp_reply *reply)
{
	struct bulk *bulk = arg;

	if (reply->error || reply->len != bulk->chunk) {
		atomic_fetch_add(&bulk->bad, 1);
		atomic_store(&bulk->error, reply->error);
	}
	if (atomic_fetch_sub(&bulk->left, 1) == 1)
		sftp_wait_done(bulk->rig->wait, reply);
}

static void bulk_init(struct bulk *bulk, struct rig *rig, size_t len)
{
	size_t i;

	memset(bulk, 0, sizeof(*bulk));
	bulk->rig = rig;
	bulk->len = len;
	bulk->chunk = 64 * 1024;
	bulk->data = malloc(len);
	for (i = 0; i < len; i++)
		bulk->data[i] = (char)(i * 2654435761u >> 13);
}

static void bulk_start(struct bulk *bulk, bool write)
{
	size_t at;

	atomic_store(&bulk->left, (int)(bulk->len / bulk->chunk));
	for (at = 0; at < bulk->len; at += bulk->chunk)
		assert_int_equal(write ? sftp_write(bulk->file, at, bulk->data + at, bulk->chunk, bulk_landed, bulk) :
				 sftp_read(bulk->file, at, bulk->data + at, bulk->chunk, bulk_landed, bulk), 0);
}

static void bulk_end(struct bulk *bulk)
{
	rig_waited(bulk->rig, 0);
	assert_int_equal(atomic_load(&bulk->error), 0);
	assert_int_equal(atomic_load(&bulk->bad), 0);
}

static void bulk_compare(struct bulk *bulk, const char *name)
{
	struct buf text = BUF_INIT;

	rig_get(bulk->rig, name, &text);
	assert_int_equal(text.len, bulk->len);
	assert_memory_equal(text.data, bulk->data, bulk->len);
	buf_release(&text);
}

static bool has_two(void *arg)
{
	struct rig *rig = arg;

	return pool_up_count(rig->sftp) >= 2;
}

/* Every data connection is cut in turn while a file is written over all of them. */
static void test_striped_with_cuts(void **state)
{
	struct rig *rig = *state;
	struct bulk bulk;
	unsigned int i;

	bulk_init(&bulk, rig, 64 * MIB);
	assert_int_equal(rig_open(rig, SFTP_DATA, "big", RDWR | SFTP_OPEN_CREAT, &bulk.file), 0);
	bulk_start(&bulk, true);
	for (i = 0; i < 12 && atomic_load(&bulk.left) > 8; i++) {
		rig_until(has_two, rig);
		peer_cut(rig->peer, peer_sessions(rig->peer) - 1);
	}
	bulk_end(&bulk);
	bulk_compare(&bulk, "big");
	memset(bulk.data, 0, bulk.len);
	bulk_start(&bulk, false);
	for (i = 0; i < 12 && atomic_load(&bulk.left) > 8; i++)
		peer_cut(rig->peer, peer_sessions(rig->peer) - 1 - i % 2);
	bulk_end(&bulk);
	bulk_compare(&bulk, "big");
	assert_int_equal(rig_close(rig, bulk.file), 0);
	free(bulk.data);
}

/* MaxStartups: data connections can't be had, connection 0 carries everything. */
static void test_data_refused(void **state)
{
	struct rig *rig = *state;
	struct bulk bulk;

	peer_refuse(rig->peer, 0, PEER_FOR_EVER, -ECONNRESET);
	bulk_init(&bulk, rig, 8 * MIB);
	assert_int_equal(rig_open(rig, SFTP_DATA, "big", RDWR | SFTP_OPEN_CREAT, &bulk.file), 0);
	bulk_start(&bulk, true);
	bulk_end(&bulk);
	assert_int_equal(WAITED(sftp_fsync(bulk.file, DONE)), 0);
	bulk_compare(&bulk, "big");
	assert_int_equal(peer_sessions(rig->peer), 1);
	assert_int_equal(rig_close(rig, bulk.file), 0);
	free(bulk.data);
}

/* An unlinked file can't be opened on a second connection: it goes on where it is open. */
static void test_striping_unlinked(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;
	struct bulk bulk;
	char path[128];

	bulk_init(&bulk, rig, 32 * MIB);
	assert_int_equal(rig_open(rig, SFTP_DATA, "big", RDWR | SFTP_OPEN_CREAT, &bulk.file), 0);
	rig_path(rig, "big", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	bulk_start(&bulk, true);
	bulk_end(&bulk);
	assert_int_equal(WAITED(sftp_fsync(bulk.file, DONE)), 0);
	assert_int_equal(rig_open(rig, SFTP_DATA, "a", RDWR, &file), 0);
	assert_int_equal(WAITED(sftp_copy(file, 0, 5, bulk.file, 0, DONE)) & 0, 0);	/* may be refused, must end */
	assert_int_equal(rig_close(rig, file), 0);
	memset(bulk.data, 0, bulk.len);
	bulk_start(&bulk, false);
	bulk_end(&bulk);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rig_close(rig, bulk.file), 0);
	free(bulk.data);
}

/* Another node puts another file in its place while it is read: never a mixture. */
static void test_striping_replaced(void **state)
{
	struct rig *rig = *state;
	struct bulk bulk;
	char *other;
	size_t i;

	bulk_init(&bulk, rig, 32 * MIB);
	rig_put(rig, "big", bulk.data, bulk.len);
	assert_int_equal(rig_open(rig, SFTP_DATA, "big", SFTP_OPEN_READ, &bulk.file), 0);
	assert_int_equal(WAITED(sftp_fstat(bulk.file, DONE)), 0);
	other = calloc(1, bulk.len + 1);
	rig_put(rig, "big", other, bulk.len + 1);
	bulk_start(&bulk, false);
	bulk_end(&bulk);
	for (i = 0; i < bulk.len; i++)
		if (bulk.data[i] != (char)(i * 2654435761u >> 13))
			fail_msg("byte %zu is the other file's", i);
	assert_int_equal(rig_close(rig, bulk.file), 0);
	free(bulk.data);
	free(other);
}

/* Bulk goes elsewhere once there is an elsewhere, and control stays on its own connection. */
static void test_lanes(void **state)
{
	struct rig *rig = *state;
	struct sftp_wait *wait = sftp_wait_new();
	struct sftp_file *file;

	assert_int_equal(rig_open(rig, SFTP_DATA, "a", RDWR, &file), 0);
	assert_int_equal(WAITED(sftp_fsync(file, DONE)), 0);	/* slow: asks for a data connection and waits for it */
	assert_int_equal(peer_sessions(rig->peer), 2);
	peer_rule(rig->peer, FXP_EXTENDED, 0, 1, PEER_HOLD);
	assert_int_equal(sftp_fsync(file, sftp_wait_done, wait), 0);
	assert_int_equal(WAITED(sftp_lstat(S, "a", DONE)), 0);	/* not behind the fsync */
	while (!peer_rules_done(rig->peer))
		usleep(200);
	peer_release(rig->peer);
	assert_int_equal(sftp_wait_for(wait, NULL, NULL), 0);
	assert_int_equal(rig_close(rig, file), 0);
	sftp_wait_free(wait);
}

/* ---- a thousand cuts ---- */

#define FILES 6
#define BLOCK 3000
#define BLOCKS 40
#define CUTS 1000

struct worker {
	struct rig *rig;
	pthread_t thread;
	atomic_bool *stop;
	int number;
	unsigned int seed;
	int renames;
	uint8_t blocks[BLOCKS];		/* what each block was last written with */
	char error[200];
};

static unsigned int roll(struct worker *worker, unsigned int sides)
{
	worker->seed = worker->seed * 1103515245u + 12345u;
	return (worker->seed >> 16) % sides;
}

static void complain(struct worker *worker, const char *what, int error)
{
	if (!worker->error[0])
		snprintf(worker->error, sizeof(worker->error), "worker %d: %s: %d", worker->number, what, error);
}

static void name_of(const struct worker *worker, int renames, char name[32])
{
	snprintf(name, 32, "w%d-%d", worker->number, renames);
}

static bool write_block(struct worker *worker, struct sftp_file *file, struct sftp_wait *wait)
{
	unsigned int block = roll(worker, BLOCKS);
	char data[BLOCK];
	int error;

	worker->blocks[block]++;
	memset(data, worker->blocks[block], sizeof(data));
	error = sftp_write(file, (uint64_t)block * BLOCK, data, sizeof(data), sftp_wait_done, wait);
	if (!error)
		error = sftp_wait_for(wait, NULL, NULL);
	if (error)
		complain(worker, "write", error);
	return !error;
}

static bool read_block(struct worker *worker, struct sftp_file *file, struct sftp_wait *wait)
{
	unsigned int block = roll(worker, BLOCKS), i;
	struct sftp_reply reply = { 0 };
	char data[BLOCK];
	int error = sftp_read(file, (uint64_t)block * BLOCK, data, sizeof(data), sftp_wait_done, wait);

	if (!error)
		error = sftp_wait_for(wait, &reply, NULL);
	if (error)
		complain(worker, "read", error);
	for (i = 0; i < reply.len && !error; i++)
		if ((uint8_t)data[i] != worker->blocks[block])
			error = -EIO;
	if (error)
		complain(worker, "a read that differs", error);
	return !error;
}

/* An unknown end is looked at, as any caller must. */
static bool rename_file(struct worker *worker, struct sftp_file *file, struct sftp_wait *wait)
{
	struct sftp *sftp = worker->rig->sftp;
	char from[32], to[32];
	int error = SFTP_UNKNOWN;

	name_of(worker, worker->renames, from);
	name_of(worker, worker->renames + 1, to);
	sftp_file_moving(file, to);
	while (error) {
		error = sftp_posix_rename(sftp, SFTP_CONTROL, from, to, sftp_wait_done, wait);
		if (!error)
			error = sftp_wait_for(wait, NULL, NULL);
		if (error == SFTP_UNKNOWN || error == -ENOENT) {
			error = sftp_lstat(sftp, SFTP_CONTROL, to, sftp_wait_done, wait);
			if (!error)
				error = sftp_wait_for(wait, NULL, NULL);
			if (error == -ENOENT)
				continue;
		}
		if (error) {
			complain(worker, "rename", error);
			return false;
		}
	}
	worker->renames++;
	sftp_file_moved(file, to);
	return true;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct sftp_wait *wait = sftp_wait_new();
	struct sftp_reply reply;
	bool good = true;
	char name[32];
	int error;

	name_of(worker, 0, name);
	error = sftp_open(worker->rig->sftp, worker->number % 2 ? SFTP_DATA : SFTP_CONTROL, name,
			  RDWR | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC, NULL, sftp_wait_done, wait);
	if (!error)
		error = sftp_wait_for(wait, &reply, NULL);
	if (error) {
		complain(worker, "open", error);
		sftp_wait_free(wait);
		return NULL;
	}
	while (good && !atomic_load(worker->stop)) {
		unsigned int dice = roll(worker, 100);

		good = dice < 60 ? write_block(worker, reply.file, wait) : dice < 98 ? read_block(worker, reply.file, wait) :
			rename_file(worker, reply.file, wait);
	}
	sftp_close(reply.file, sftp_wait_done, wait);
	error = sftp_wait_for(wait, NULL, NULL);
	if (error)
		complain(worker, "close", error);
	sftp_wait_free(wait);
	return NULL;
}

static void verify(struct worker *worker)
{
	struct buf text = BUF_INIT;
	char name[32];
	size_t i;

	if (worker->error[0])
		fail_msg("%s", worker->error);
	name_of(worker, worker->renames, name);
	rig_get(worker->rig, name, &text);
	for (i = 0; i < text.len; i++)
		if ((uint8_t)text.data[i] != worker->blocks[i / BLOCK])
			fail_msg("%s differs at %zu: %d for %d", name, i, (uint8_t)text.data[i], worker->blocks[i / BLOCK]);
	buf_release(&text);
}

static void test_thousand_cuts(void **state)
{
	static const uint8_t types[] = { FXP_OPEN, FXP_READ, FXP_WRITE, FXP_FSTAT, PEER_ANY, FXP_WRITE, FXP_READ };
	static struct worker workers[FILES];
	struct rig *rig = *state;
	atomic_bool stop = false;
	unsigned int i, waits;
	int w;

	for (w = 0; w < FILES; w++) {
		workers[w] = (struct worker){ .rig = rig, .stop = &stop, .number = w, .seed = 4711u + (unsigned int)w };
		assert_int_equal(pthread_create(&workers[w].thread, NULL, work, &workers[w]), 0);
	}
	for (i = 0; i < CUTS; i++) {
		peer_rules_clear(rig->peer);
		peer_rule(rig->peer, types[i % 7], i % 5, 1, i & 1 ? PEER_CUT_AFTER : PEER_CUT_BEFORE);
		for (waits = 1; !peer_rules_done(rig->peer); waits++) {
			usleep(200);
			if (waits % 100 == 0)		/* what is to be cut is reopening: give it a reason */
				peer_cut_all(rig->peer);
		}
	}
	peer_rules_clear(rig->peer);
	atomic_store(&stop, true);
	for (w = 0; w < FILES; w++)
		pthread_join(workers[w].thread, NULL);
	for (w = 0; w < FILES; w++)
		verify(&workers[w]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_survives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_close_without_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_truncated_by_ourselves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moving, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_breaks_while_reopening, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reopening_times_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_striped_with_cuts, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_data_refused, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_striping_unlinked, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_striping_replaced, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_lanes, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_thousand_cuts, set_up_four, tear_down),
	};

	log_open("test_reopen", LOG_LEVEL_ERROR);
	alarm(400);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
