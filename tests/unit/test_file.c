/*
 * test_file: open real files against an SFTP peer that answers, fails, loses answers and cuts connections.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/pool.h"
#include "tests/fake/rig.h"
#include "tree/errors.h"
#include "tree/file.h"
#include "tree/file_state.h"
#include "tree/real.h"

#define WAIT_NS (30 * NS_PER_S)
#define MIB (1024u * 1024)

/* ---- replies that wait ---- */

struct heard {
	struct reply reply;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int answers;
	int error;
	size_t count;		/* written */
	struct stat st;
	double ttl;
	struct node *node;
	struct tree_opened opened;
	uint8_t *data;
	size_t len;
};

static struct rig rig;
static struct tree *tree;

static struct heard *of(struct reply *reply)
{
	return container_of(reply, struct heard, reply);
}

static void answered(struct heard *to, int error)
{
	pthread_mutex_lock(&to->lock);
	to->answers++;
	to->error = error;
	pthread_cond_signal(&to->changed);
	pthread_mutex_unlock(&to->lock);
}

static void hear_error(struct reply *reply, int error)
{
	answered(of(reply), error);
}

static void hear_entry(struct reply *reply, const struct tree_entry *entry)
{
	of(reply)->node = entry->node;
	of(reply)->st = entry->st;
	of(reply)->ttl = entry->attr_ttl;
	answered(of(reply), 0);
}

static void hear_attr(struct reply *reply, const struct stat *st, double ttl)
{
	of(reply)->st = *st;
	of(reply)->ttl = ttl;
	answered(of(reply), 0);
}

static void hear_opened(struct reply *reply, const struct tree_opened *opened)
{
	of(reply)->opened = *opened;
	answered(of(reply), 0);
}

static void hear_created(struct reply *reply, const struct tree_entry *entry, const struct tree_opened *opened)
{
	of(reply)->node = entry->node;
	of(reply)->st = entry->st;
	of(reply)->opened = *opened;
	answered(of(reply), 0);
}

static void hear_data(struct reply *reply, const struct iovec *pieces, int count)
{
	struct heard *to = of(reply);
	int i;

	for (i = 0; i < count; i++) {
		to->data = realloc(to->data, to->len + pieces[i].iov_len + 1);
		memcpy(to->data + to->len, pieces[i].iov_base, pieces[i].iov_len);
		to->len += pieces[i].iov_len;
	}
	answered(to, 0);
}

static void hear_written(struct reply *reply, size_t count)
{
	of(reply)->count = count;
	answered(of(reply), 0);
}

static const struct reply_ops heard_ops = {
	.error = hear_error, .entry = hear_entry, .attr = hear_attr, .opened = hear_opened, .created = hear_created,
	.data = hear_data, .written = hear_written,
};

static struct heard *ask(void)
{
	struct heard *heard = calloc(1, sizeof(*heard));

	heard->reply.ops = &heard_ops;
	pthread_mutex_init(&heard->lock, NULL);
	clock_cond_init(&heard->changed);
	return heard;
}

static int wait_for(struct heard *heard)
{
	int64_t deadline = clock_now() + WAIT_NS;
	int error = 0;

	pthread_mutex_lock(&heard->lock);
	while (!heard->answers && !error)
		error = clock_cond_wait(&heard->changed, &heard->lock, deadline);
	assert_int_equal(heard->answers, 1);
	error = heard->error;
	pthread_mutex_unlock(&heard->lock);
	return error;
}

static bool is_answered(struct heard *heard)
{
	bool yes;

	pthread_mutex_lock(&heard->lock);
	yes = heard->answers;
	pthread_mutex_unlock(&heard->lock);
	return yes;
}

static void done_with(struct heard *heard)
{
	pthread_cond_destroy(&heard->changed);
	pthread_mutex_destroy(&heard->lock);
	free(heard->data);
	free(heard);
}

static int end(struct heard *heard)
{
	int error = wait_for(heard);

	done_with(heard);
	return error;
}

/* ---- shorthands ---- */

static struct node *look_up(const char *name)
{
	struct heard *heard = ask();
	struct node *node;

	real_ops.lookup(tree, tree->root, name, &heard->reply);
	assert_int_equal(wait_for(heard), 0);
	node = heard->node;
	done_with(heard);
	return node;
}

static void forget(struct node *node)
{
	node_forget(tree, node, 1);
}

static int open_node(struct node *node, int flags, struct handle **ret_handle, bool *ret_keep)
{
	struct heard *heard = ask();
	int error;

	real_ops.open(tree, node, flags, &heard->reply);
	error = wait_for(heard);
	if (!error)
		*ret_handle = heard->opened.handle;
	if (!error && ret_keep)
		*ret_keep = heard->opened.keep_cache;
	done_with(heard);
	return error;
}

static struct handle *open_it(const char *name, int flags)
{
	struct node *node = look_up(name);
	struct handle *handle;

	assert_int_equal(open_node(node, flags, &handle, NULL), 0);
	forget(node);
	return handle;
}

static int try_create(const char *name, mode_t mode, int flags, struct handle **ret_handle, struct stat *ret_st)
{
	struct heard *heard = ask();
	int error;

	real_ops.create(tree, tree->root, name, mode, flags, &heard->reply);
	error = wait_for(heard);
	if (!error) {
		*ret_handle = heard->opened.handle;
		if (ret_st)
			*ret_st = heard->st;
		forget(heard->node);
	}
	done_with(heard);
	return error;
}

static struct handle *create(const char *name)
{
	struct handle *handle;

	assert_int_equal(try_create(name, 0644, O_RDWR | O_CREAT, &handle, NULL), 0);
	return handle;
}

static struct heard *begin_write(struct handle *handle, uint64_t offset, const void *data, size_t len)
{
	struct heard *heard = ask();
	void *copy = malloc(len);

	memcpy(copy, data, len);
	handle->ops->write(handle, (off_t)offset, copy, len, &heard->reply);
	memset(copy, 0xee, len);	/* the data is valid during the call only */
	free(copy);
	return heard;
}

static int write_at(struct handle *handle, uint64_t offset, const void *data, size_t len)
{
	struct heard *heard = begin_write(handle, offset, data, len);
	int error = wait_for(heard);

	if (!error)
		assert_int_equal(heard->count, len);
	done_with(heard);
	return error;
}

static struct heard *begin_read(struct handle *handle, uint64_t offset, size_t len)
{
	struct heard *heard = ask();

	handle->ops->read(handle, (off_t)offset, len, &heard->reply);
	return heard;
}

static void expect_read(struct handle *handle, uint64_t offset, size_t len, const void *expected, size_t expected_len)
{
	struct heard *heard = begin_read(handle, offset, len);

	assert_int_equal(wait_for(heard), 0);
	assert_int_equal(heard->len, expected_len);
	if (expected_len)
		assert_memory_equal(heard->data, expected, expected_len);
	done_with(heard);
}

static bool rules_done(void *arg)
{
	(void)arg;
	return peer_rules_done(rig.peer);
}

static void release_held(void)
{
	assert_true(rig_until(rules_done, NULL));
	peer_release(rig.peer);
}

static int flush(struct handle *handle)
{
	struct heard *heard = ask();

	handle->ops->flush(handle, &heard->reply);
	return end(heard);
}

static int fsync_it(struct handle *handle)
{
	struct heard *heard = ask();

	handle->ops->fsync(handle, false, &heard->reply);
	return end(heard);
}

static void release(struct handle *handle)
{
	struct heard *heard = ask();

	handle->ops->release(handle, &heard->reply);
	assert_int_equal(end(heard), 0);
}

static void close_it(struct handle *handle)
{
	assert_int_equal(flush(handle), 0);
	release(handle);
}

static int get_attr(struct node *node, struct stat *ret_st, double *ret_ttl)
{
	struct heard *heard = ask();
	int error;

	real_ops.getattr(tree, node, NULL, &heard->reply);
	error = wait_for(heard);
	*ret_st = heard->st;
	if (ret_ttl)
		*ret_ttl = heard->ttl;
	done_with(heard);
	return error;
}

static struct heard *begin_truncate(struct node *node, off_t size)
{
	struct heard *heard = ask();
	struct stat st = { .st_size = size };

	real_ops.setattr(tree, node, NULL, &st, TREE_SET_SIZE, &heard->reply);
	return heard;
}

static void expect_content(const char *name, const void *data, size_t len)
{
	struct buf buf = BUF_INIT;

	rig_get(&rig, name, &buf);
	assert_int_equal(buf.len, len);
	if (len)
		assert_memory_equal(buf.data, data, len);
	buf_release(&buf);
}

static void pattern(uint8_t *data, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 24);
	}
}

/* ---- set up ---- */

static struct tree_options options;
static int connections;

static int start(void)
{
	rig_init(&rig);
	rig_connect(&rig, connections, 15000, 0);
	return tree_new(rig.sftp, "/", &options, &tree);
}

static int set_up(void **state)
{
	(void)state;
	options = (struct tree_options){
		.attr_ttl = 1, .entry_ttl = 1, .no_queues = true, .contain_symlinks = true, .readahead = 2 * MIB, .write_buffer = 4 * MIB,
	};
	connections = 3;
	return start();
}

static int set_up_small_buffer(void **state)
{
	(void)state;
	set_up(state);
	tree->files->max_queued = 100000;
	return 0;
}

static int set_up_sync(void **state)
{
	(void)state;
	set_up(state);
	tree->options.sync_writes = true;
	return 0;
}

static int set_up_one_connection(void **state)
{
	set_up(state);
	tree_stop(tree);
	rig_disconnect(&rig);
	tree_free(tree);
	rig_release(&rig);
	connections = 1;
	return start();
}

static bool all_closed(void *arg)
{
	(void)arg;
	return peer_open_handles(rig.peer) == 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_true(rig_until(all_closed, NULL));	/* every handle was closed on the server */
	assert_int_equal(tree->files->queued, 0);
	assert_int_equal(atomic_load(&tree->files->ahead), 0);
	assert_int_equal(tree->names.count, 0);
	tree_stop(tree);
	rig_disconnect(&rig);
	tree_free(tree);
	rig_release(&rig);
	return 0;
}

/* ---- making and opening ---- */

static void test_create_write_read(void **state)
{
	struct handle *handle = create("a");

	(void)state;
	assert_int_equal(write_at(handle, 0, "hello", 5), 0);
	expect_read(handle, 0, 4096, "hello", 5);
	assert_int_equal(write_at(handle, 5, " world", 6), 0);
	close_it(handle);
	expect_content("a", "hello world", 11);
}

static void test_create_is_one_round_trip(void **state)
{
	unsigned int before = peer_count(rig.peer, PEER_ANY);
	struct handle *handle = create("a");

	(void)state;
	assert_int_equal(peer_count(rig.peer, PEER_ANY) - before, 2);
	close_it(handle);
}

static void test_create_exclusive(void **state)
{
	struct handle *handle;

	(void)state;
	rig_put(&rig, "a", "old", 3);
	assert_int_equal(try_create("a", 0644, O_RDWR | O_CREAT | O_EXCL, &handle, NULL), -EEXIST);
	assert_int_equal(try_create("no/where", 0644, O_RDWR | O_CREAT, &handle, NULL), -ENOENT);
	expect_content("a", "old", 3);
}

/* Another node made it between the kernel's look and the create. */
static void test_create_finds_a_file(void **state)
{
	struct handle *handle;
	struct stat st;

	(void)state;
	rig_put(&rig, "a", "old", 3);
	rig_put(&rig, "b", "old", 3);
	assert_int_equal(try_create("a", 0600, O_RDWR | O_CREAT, &handle, &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_mode & 0777, 0644);
	expect_read(handle, 0, 100, "old", 3);
	close_it(handle);
	assert_int_equal(try_create("b", 0600, O_WRONLY | O_CREAT | O_TRUNC, &handle, &st), 0);
	close_it(handle);
	expect_content("b", "", 0);
}

static void test_create_answer_lost(void **state)
{
	struct handle *handle;

	(void)state;
	peer_rule(rig.peer, FXP_OPEN, 0, 1, PEER_CUT_AFTER);
	assert_int_equal(try_create("a", 0644, O_RDWR | O_CREAT, &handle, NULL), 0);
	close_it(handle);
	expect_content("a", "", 0);
	peer_rule(rig.peer, FXP_OPEN, 0, 1, PEER_CUT_AFTER);
	assert_int_equal(try_create("b", 0644, O_RDWR | O_CREAT | O_EXCL, &handle, NULL), -EEXIST);
	peer_rule(rig.peer, FXP_OPEN, 0, 1, PEER_CUT_BEFORE);
	assert_int_equal(try_create("c", 0644, O_RDWR | O_CREAT | O_EXCL, &handle, NULL), 0);
	close_it(handle);
}

static void test_create_mode(void **state)
{
	mode_t old = umask(077);	/* the peer is of this process: it is the server's */
	struct handle *handle;
	struct stat st;

	(void)state;
	assert_int_equal(try_create("a", 0664, O_RDWR | O_CREAT, &handle, &st), 0);
	umask(old);
	assert_int_equal(st.st_mode & 07777, 0664);
	close_it(handle);
	assert_int_equal(try_create("b", 0444, O_RDWR | O_CREAT | O_EXCL, &handle, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(write_at(handle, 0, "x", 1), 0);
	close_it(handle);
	expect_content("b", "x", 1);
}

static void test_open_errors(void **state)
{
	struct handle *handle;
	struct node *node;
	char path[200];

	(void)state;
	rig_put(&rig, "a", "text", 4);
	node = look_up("a");
	rig_path(&rig, "a", path, sizeof(path));
	unlink(path);
	assert_int_equal(open_node(node, O_RDONLY, &handle, NULL), -ESTALE);	/* the kernel looks again */
	mkdir(path, 0700);
	assert_int_equal(open_node(node, O_RDWR, &handle, NULL), -EISDIR);
	forget(node);
}

static void test_small_file_comes_with_its_opening(void **state)
{
	struct handle *handle;
	struct node *node;
	unsigned int before;

	(void)state;
	rig_put(&rig, "a", "small", 5);
	node = look_up("a");
	before = peer_count(rig.peer, PEER_ANY);
	assert_int_equal(open_node(node, O_RDONLY, &handle, NULL), 0);
	expect_read(handle, 0, 4096, "small", 5);
	assert_int_equal(peer_count(rig.peer, PEER_ANY) - before, 3);	/* OPEN, LSTAT, READ */
	release(handle);
	forget(node);
}

/* ---- the page cache ---- */

static void set_mtime(const char *name, time_t mtime)
{
	struct utimbuf times = { .actime = mtime, .modtime = mtime };
	char path[200];

	rig_path(&rig, name, path, sizeof(path));
	assert_int_equal(utime(path, &times), 0);
}

static bool kept(struct node *node)
{
	struct handle *handle;
	bool keep;

	assert_int_equal(open_node(node, O_RDONLY, &handle, &keep), 0);
	release(handle);
	return keep;
}

static void test_keep_cache(void **state)
{
	struct handle *handle;
	struct node *node;

	(void)state;
	rig_put(&rig, "a", "12345", 5);
	set_mtime("a", 1000000);
	node = look_up("a");
	assert_false(kept(node));
	handle = create("b");		/* the server's clock is seen */
	close_it(handle);
	kept(node);			/* perhaps: it depends on whether reading it had changed its atime */
	assert_true(kept(node));
	assert_true(kept(node));
	set_mtime("a", 1000001);
	assert_false(kept(node));
	assert_true(kept(node));
	rig_put(&rig, "a", "123456", 6);
	set_mtime("a", 1000001);
	assert_false(kept(node));
	assert_int_equal(open_node(node, O_WRONLY, &handle, NULL), 0);
	assert_int_equal(write_at(handle, 0, "x", 1), 0);
	close_it(handle);
	set_mtime("a", 1000001);
	assert_false(kept(node));
	forget(node);
}

static void test_fresh_files_are_not_kept(void **state)
{
	struct handle *handle = create("a");
	struct node *node;

	(void)state;
	assert_int_equal(write_at(handle, 0, "x", 1), 0);
	close_it(handle);
	node = look_up("a");
	assert_false(kept(node));
	assert_false(kept(node));	/* it may have been written again within that second */
	forget(node);
}

/* ---- reading ---- */

static void test_read_everything(void **state)
{
	size_t size = 5 * MIB + 12345, at;
	uint8_t *data = malloc(size);
	struct handle *handle;

	(void)state;
	pattern(data, size, 1);
	rig_put(&rig, "a", data, size);
	handle = open_it("a", O_RDONLY);
	for (at = 0; at < size; at += 131072)
		expect_read(handle, at, 131072, data + at, size - at < 131072 ? size - at : 131072);
	expect_read(handle, size, 4096, NULL, 0);
	expect_read(handle, size + 100000, 4096, NULL, 0);
	expect_read(handle, 777, 3 * 65536, data + 777, 3 * 65536);
	assert_true(peer_count(rig.peer, FXP_READ) < 60);
	release(handle);
	free(data);
}

static void test_reads_at_once(void **state)
{
	static const unsigned int order[] = { 1, 0, 2, 5, 3, 4, 7, 6 };
	size_t size = 8 * 131072;
	uint8_t *data = malloc(size);
	struct heard *heard[8];
	struct handle *handle;
	unsigned int i;

	(void)state;
	pattern(data, size, 2);
	rig_put(&rig, "a", data, size);
	handle = open_it("a", O_RDONLY);
	peer_reverse(rig.peer, true);
	for (i = 0; i < 8; i++)
		heard[i] = begin_read(handle, order[i] * 131072ul, 131072);
	for (i = 0; i < 8; i++) {
		assert_int_equal(wait_for(heard[i]), 0);
		assert_int_equal(heard[i]->len, 131072);
		assert_memory_equal(heard[i]->data, data + order[i] * 131072ul, 131072);
		done_with(heard[i]);
	}
	release(handle);
	free(data);
}

static void test_read_errors(void **state)
{
	struct heard *heard;
	struct handle *handle;

	(void)state;
	rig_put(&rig, "a", "text", 4);
	peer_rule(rig.peer, FXP_READ, 0, 1, PEER_FAIL);
	handle = open_it("a", O_RDONLY);
	heard = begin_read(handle, 0, 4096);
	/* Either the read that waits for it gets the error of the block fetched ahead, or it asks again. */
	if (wait_for(heard))
		assert_int_equal(heard->error, -EIO);
	done_with(heard);
	expect_read(handle, 0, 4096, "text", 4);
	assert_int_equal(write_at(handle, 0, "x", 1), -EBADF);
	release(handle);
	handle = open_it("a", O_WRONLY);
	assert_int_equal(end(begin_read(handle, 0, 10)), -EBADF);
	close_it(handle);
}

static void test_release_with_reads_under_way(void **state)
{
	uint8_t *data = calloc(1, 3 * MIB);
	struct handle *handle;
	struct heard *heard;

	(void)state;
	rig_put(&rig, "a", data, 3 * MIB);
	handle = open_it("a", O_RDONLY);
	heard = begin_read(handle, 0, 131072);
	release(handle);
	assert_int_equal(end(heard), 0);
	free(data);
}

/* ---- writing ---- */

static void test_large_write(void **state)
{
	size_t size = 6 * MIB + 1234, at;
	uint8_t *data = malloc(size);
	struct handle *handle = create("a");

	(void)state;
	pattern(data, size, 3);
	for (at = 0; at < size; at += 100000)
		assert_int_equal(write_at(handle, at, data + at, size - at < 100000 ? size - at : 100000), 0);
	close_it(handle);
	expect_content("a", data, size);
	free(data);
}

static void test_reads_see_queued_writes(void **state)
{
	struct handle *writer = create("a"), *reader = open_it("a", O_RDONLY);
	struct stat st = { .st_mode = S_IFREG };
	struct node *node = look_up("a");
	double ttl;

	(void)state;
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	assert_int_equal(write_at(writer, 0, "one", 3), 0);
	assert_int_equal(write_at(writer, 10000, "two", 3), 0);
	assert_true(file_overlay(tree, node, &(struct sftp_attrs) { .asked_ns = clock_now() }, &st));
	assert_int_equal(st.st_size, 10003);
	release_held();
	expect_read(reader, 10000, 100, "two", 3);
	expect_read(reader, 0, 4, "one", 4);
	close_it(writer);
	assert_int_equal(get_attr(node, &st, &ttl), 0);
	assert_int_equal(st.st_size, 10003);
	assert_true(ttl > 0);
	release(reader);
	forget(node);
}

static bool has_data_connection(void *arg)
{
	(void)arg;
	return pool_up_count(rig.sftp) > 1;
}

/* Bulk makes the engine open one. */
static void await_data_connection(void)
{
	uint8_t *data = calloc(1, 2 * MIB);
	struct handle *handle = create("bulk");

	assert_int_equal(write_at(handle, 0, data, 2 * MIB), 0);
	close_it(handle);
	assert_true(rig_until(has_data_connection, NULL));
	free(data);
}

/* What lies between the server's end of the file and a write that is still queued is a hole. */
static void test_hole_before_a_queued_write(void **state)
{
	static const uint8_t zeroes[200];
	struct handle *writer, *reader;
	struct heard *heard;

	(void)state;
	await_data_connection();
	writer = create("a");
	assert_int_equal(write_at(writer, 0, "abc", 3), 0);
	assert_int_equal(flush(writer), 0);
	reader = open_it("a", O_RDONLY);
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);	/* holds up the writer's connection, not the reader's */
	assert_int_equal(write_at(writer, 100000, "x", 1), 0);
	heard = begin_read(reader, 1000, 200);
	assert_int_equal(wait_for(heard), 0);
	assert_int_equal(heard->len, 200);
	assert_memory_equal(heard->data, zeroes, 200);
	done_with(heard);
	release_held();
	assert_int_equal(flush(writer), 0);
	expect_read(reader, 2, 3, "c\0\0", 3);
	close_it(writer);
	release(reader);
}

static void test_prefetched_block_is_dropped_by_writes(void **state)
{
	struct handle *reader, *writer;

	(void)state;
	rig_put(&rig, "a", "old text", 8);
	reader = open_it("a", O_RDONLY);	/* "old text" is on its way, or here */
	writer = open_it("a", O_WRONLY);
	assert_int_equal(write_at(writer, 0, "new", 3), 0);
	expect_read(reader, 0, 4096, "new text", 8);
	assert_int_equal(write_at(writer, 8, "!", 1), 0);
	expect_read(reader, 0, 4096, "new text!", 9);
	close_it(writer);
	release(reader);
}

static void test_write_buffer_parks_programs(void **state)
{
	static uint8_t data[60000];
	struct handle *handle = create("a");
	struct heard *heard[4];
	int i;

	(void)state;
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	for (i = 0; i < 4; i++)
		heard[i] = begin_write(handle, (uint64_t)i * sizeof(data), data, sizeof(data));
	assert_int_equal(wait_for(heard[0]), 0);
	assert_false(is_answered(heard[1]) && is_answered(heard[2]));
	assert_false(is_answered(heard[3]));
	release_held();
	for (i = 0; i < 4; i++)
		assert_int_equal(end(heard[i]), 0);
	close_it(handle);
}

static void test_error_is_told_once_to_each_handle(void **state)
{
	struct handle *one = create("a"), *two = open_it("a", O_WRONLY);

	(void)state;
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	assert_int_equal(write_at(one, 0, "x", 1), 0);
	assert_int_equal(flush(one), -EIO);
	assert_int_equal(flush(one), 0);
	assert_int_equal(fsync_it(two), -EIO);
	assert_int_equal(write_at(two, 0, "y", 1), 0);
	close_it(two);
	close_it(one);
	expect_content("a", "y", 1);
}

static void test_error_at_the_next_write(void **state)
{
	struct handle *handle = create("a");
	int64_t deadline = clock_now() + WAIT_NS;
	int error = 0;

	(void)state;
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	while (!error && clock_now() < deadline)
		error = write_at(handle, 0, "x", 1);
	assert_int_equal(error, -EIO);
	close_it(handle);
}

static void test_sync_writes(void **state)
{
	struct handle *handle = create("a");

	(void)state;
	assert_int_equal(write_at(handle, 0, "abc", 3), 0);
	expect_content("a", "abc", 3);
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	assert_int_equal(write_at(handle, 0, "x", 1), -EIO);
	assert_int_equal(write_at(handle, 1, "y", 1), 0);
	expect_content("a", "ayc", 3);
	close_it(handle);
}

static void test_fsync(void **state)
{
	struct handle *handle = create("a");

	(void)state;
	assert_int_equal(write_at(handle, 0, "abc", 3), 0);
	assert_int_equal(fsync_it(handle), 0);
	expect_content("a", "abc", 3);
	close_it(handle);
}

/* ---- truncation ---- */

static void test_truncate_keeps_its_place(void **state)
{
	struct handle *handle = create("a");
	struct node *node = look_up("a");
	struct heard *cut;
	struct stat st = { .st_mode = S_IFREG, .st_size = 10 };

	(void)state;
	peer_rule(rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	assert_int_equal(write_at(handle, 0, "0123456789", 10), 0);
	cut = begin_truncate(node, 4);
	assert_int_equal(write_at(handle, 6, "x", 1), 0);
	assert_true(file_overlay(tree, node, &(struct sftp_attrs) { .asked_ns = clock_now() }, &st));
	assert_int_equal(st.st_size, 7);
	assert_false(is_answered(cut));
	release_held();
	assert_int_equal(wait_for(cut), 0);
	done_with(cut);
	expect_read(handle, 0, 100, "0123\0\0x", 7);
	close_it(handle);
	expect_content("a", "0123\0\0x", 7);
	forget(node);
}

static void test_truncate_without_a_writer(void **state)
{
	struct handle *reader;
	struct node *node;

	(void)state;
	rig_put(&rig, "a", "0123456789", 10);
	reader = open_it("a", O_RDONLY);
	node = look_up("a");
	assert_int_equal(end(begin_truncate(node, 3)), 0);
	expect_read(reader, 0, 4096, "012", 3);
	assert_int_equal(end(begin_truncate(node, 6)), 0);
	expect_read(reader, 0, 4096, "012\0\0\0", 6);
	release(reader);
	forget(node);
}

static void test_open_truncating(void **state)
{
	struct handle *one = create("a"), *two;
	struct node *node = look_up("a");
	struct stat st;

	(void)state;
	assert_int_equal(write_at(one, 0, "0123456789", 10), 0);
	assert_int_equal(open_node(node, O_RDWR | O_TRUNC, &two, NULL), 0);
	assert_int_equal(get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(write_at(two, 0, "ab", 2), 0);
	expect_read(one, 0, 100, "ab", 2);
	close_it(one);
	close_it(two);
	expect_content("a", "ab", 2);
	forget(node);
}

/* cp -p, tar: times are set while writes are queued, and must be what they were set to. */
static void test_times_after_writes(void **state)
{
	struct handle *handle = create("a");
	struct stat st = { .st_mtime = 1234567, .st_atime = 7654321 };
	struct node *node = look_up("a");
	struct heard *heard = ask();

	(void)state;
	assert_int_equal(write_at(handle, 0, "text", 4), 0);
	real_ops.setattr(tree, node, handle, &st, TREE_SET_MTIME | TREE_SET_ATIME, &heard->reply);
	assert_int_equal(wait_for(heard), 0);
	assert_int_equal(heard->st.st_mtime, 1234567);
	assert_int_equal(heard->st.st_size, 4);
	done_with(heard);
	close_it(handle);
	assert_int_equal(get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_mtime, 1234567);
	assert_int_equal(st.st_atime, 7654321);
	forget(node);
}

static void test_fallocate(void **state)
{
	struct handle *handle = create("a");
	struct heard *heard = ask();

	(void)state;
	assert_int_equal(write_at(handle, 0, "abc", 3), 0);
	handle->ops->fallocate(handle, 0, 0, 6, &heard->reply);
	assert_int_equal(end(heard), 0);
	expect_read(handle, 0, 10, "abc\0\0\0", 6);
	heard = ask();
	handle->ops->fallocate(handle, 0, 0, 6, &heard->reply);
	assert_int_equal(end(heard), -EOPNOTSUPP);
	heard = ask();
	handle->ops->fallocate(handle, 1, 0, 6, &heard->reply);
	assert_int_equal(end(heard), -EOPNOTSUPP);
	close_it(handle);
}

/* ---- without a name, or with another ---- */

static void test_unlinked(void **state)
{
	struct handle *handle = create("a");
	struct node *node = look_up("a");
	struct heard *heard = ask();
	struct stat st;

	(void)state;
	real_ops.unlink(tree, tree->root, "a", &heard->reply);
	assert_int_equal(end(heard), 0);
	assert_int_equal(write_at(handle, 0, "text", 4), 0);
	expect_read(handle, 0, 10, "text", 4);
	assert_int_equal(end(begin_truncate(node, 2)), 0);
	assert_int_equal(get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_size, 2);
	close_it(handle);
	forget(node);
}

static void test_renamed_and_reopened(void **state)
{
	struct handle *handle = create("a");
	struct heard *heard = ask();

	(void)state;
	assert_int_equal(write_at(handle, 0, "one", 3), 0);
	real_ops.rename(tree, tree->root, "a", tree->root, "b", 0, &heard->reply);
	assert_int_equal(end(heard), 0);
	peer_cut_all(rig.peer);
	assert_int_equal(write_at(handle, 3, "two", 3), 0);
	close_it(handle);
	expect_content("b", "onetwo", 6);
}

/* ---- appending ---- */

static void test_append(void **state)
{
	struct handle *one, *two;

	(void)state;
	rig_put(&rig, "a", "head ", 5);
	one = open_it("a", O_WRONLY | O_APPEND);
	two = open_it("a", O_RDWR | O_APPEND);
	assert_int_equal(write_at(one, 5, "one ", 4), 0);
	assert_int_equal(write_at(two, 5, "two ", 4), 0);	/* as if it knew of nothing */
	expect_read(two, 0, 100, "head one two ", 13);
	rig_put(&rig, "b", "x", 1);
	close_it(one);
	close_it(two);
}

static void test_append_answer_lost(void **state)
{
	struct handle *handle;
	char text[400] = "head ";
	int i;

	(void)state;
	rig_put(&rig, "a", "head ", 5);
	handle = open_it("a", O_WRONLY | O_APPEND);
	for (i = 0; i < 30; i++) {
		peer_rule(rig.peer, FXP_WRITE, 0, 1, i % 3 ? PEER_CUT_AFTER : PEER_CUT_BEFORE);
		assert_int_equal(write_at(handle, 0, "again ", 6), 0);
		assert_int_equal(flush(handle), 0);
		strcat(text, "again ");
	}
	release(handle);
	expect_content("a", text, strlen(text));
}

/* ---- copying ---- */

static void test_copy(void **state)
{
	size_t size = MIB + 100;
	uint8_t *data = malloc(size);
	struct handle *from = create("a"), *to = create("b");
	struct heard *heard = ask();
	int error;

	(void)state;
	pattern(data, size, 4);
	assert_int_equal(write_at(from, 0, data, size), 0);
	from->ops->copy(from, 0, to, 0, 10 * MIB, &heard->reply);
	error = wait_for(heard);
	if (sftp_features(rig.sftp) & SFTP_HAS_COPY_DATA) {
		assert_int_equal(error, 0);
		assert_int_equal(heard->count, size);
		expect_read(to, 0, 4096, data, 4096);
	} else {
		assert_int_equal(error, -EOPNOTSUPP);
	}
	done_with(heard);
	heard = ask();
	from->ops->copy(from, 0, from, 2 * MIB, 100, &heard->reply);
	assert_int_equal(end(heard), -EOPNOTSUPP);
	close_it(from);
	close_it(to);
	free(data);
}

/* ---- everything at random, with cut connections ---- */

#define MODEL_MAX (700u * 1024)

static uint8_t model[MODEL_MAX + MIB];
static size_t model_size;
static uint32_t seed;

static uint32_t pick(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 7) % below;
}

static void random_write(struct handle *handle)
{
	static uint8_t data[300 * 1024];
	size_t offset = pick(MODEL_MAX), len = 1 + pick(pick(4) ? 5000 : sizeof(data) - 1);

	pattern(data, len, seed);
	assert_int_equal(write_at(handle, offset, data, len), 0);
	if (offset > model_size)
		memset(model + model_size, 0, offset - model_size);
	memcpy(model + offset, data, len);
	if (offset + len > model_size)
		model_size = offset + len;
}

static void random_read(struct handle *handle)
{
	size_t offset = pick(MODEL_MAX), len = 1 + pick(300 * 1024), there = 0;

	if (offset < model_size)
		there = model_size - offset < len ? model_size - offset : len;
	expect_read(handle, offset, len, model + offset, there);
}

static void random_truncate(struct node *node)
{
	size_t size = pick(MODEL_MAX);

	assert_int_equal(end(begin_truncate(node, (off_t)size)), 0);
	if (size > model_size)
		memset(model + model_size, 0, size - model_size);
	model_size = size;
}

static void random_stat(struct node *node)
{
	struct stat st;

	assert_int_equal(get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_size, model_size);
}

static void run_model(uint32_t first_seed, int steps, bool cuts)
{
	struct handle *handles[2] = { create("model"), open_it("model", O_RDWR) };
	struct node *node = look_up("model");
	int i, which;

	seed = first_seed;
	model_size = 0;
	for (i = 0; i < steps; i++) {
		which = (int)pick(2);
		switch (pick(16)) {
		case 0:
			random_truncate(node);
			break;
		case 1:
			random_stat(node);
			break;
		case 2:
			close_it(handles[which]);
			assert_int_equal(open_node(node, O_RDWR, &handles[which], NULL), 0);
			break;
		case 3:
			if (cuts && !pick(3))
				peer_cut_all(rig.peer);
			else
				assert_int_equal(fsync_it(handles[which]), 0);
			break;
		case 4: case 5: case 6: case 7: case 8:
			random_read(handles[which]);
			break;
		default:
			random_write(handles[which]);
		}
	}
	close_it(handles[0]);
	close_it(handles[1]);
	expect_content("model", model, model_size);
	forget(node);
}

static void test_model(void **state)
{
	(void)state;
	run_model(1, 3000, false);
}

static void test_model_reversed(void **state)
{
	(void)state;
	peer_reverse(rig.peer, true);
	run_model(2, 1500, false);
}

static void test_model_with_cuts(void **state)
{
	(void)state;
	run_model(3, 1500, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_WITH(name, set) cmocka_unit_test_setup_teardown(name, set, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_write_read), TEST(test_create_is_one_round_trip), TEST(test_create_exclusive), TEST(test_create_finds_a_file),
		TEST(test_create_answer_lost), TEST(test_create_mode), TEST(test_open_errors), TEST(test_small_file_comes_with_its_opening),
		TEST(test_keep_cache), TEST(test_fresh_files_are_not_kept),
		TEST(test_read_everything), TEST_WITH(test_read_everything, set_up_one_connection), TEST(test_reads_at_once), TEST(test_read_errors),
		TEST(test_release_with_reads_under_way),
		TEST(test_large_write), TEST_WITH(test_large_write, set_up_one_connection), TEST_WITH(test_large_write, set_up_small_buffer),
		TEST(test_reads_see_queued_writes), TEST(test_hole_before_a_queued_write), TEST(test_prefetched_block_is_dropped_by_writes),
		TEST_WITH(test_write_buffer_parks_programs, set_up_small_buffer), TEST(test_error_is_told_once_to_each_handle),
		TEST(test_error_at_the_next_write), TEST_WITH(test_sync_writes, set_up_sync), TEST(test_fsync),
		TEST(test_truncate_keeps_its_place), TEST(test_truncate_without_a_writer), TEST(test_open_truncating),
		TEST(test_times_after_writes), TEST(test_fallocate), TEST(test_unlinked), TEST(test_renamed_and_reopened),
		TEST(test_append), TEST(test_append_answer_lost), TEST(test_copy),
		TEST(test_model), TEST_WITH(test_model, set_up_one_connection), TEST(test_model_reversed), TEST(test_model_with_cuts),
	};

	log_open("test_file", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
