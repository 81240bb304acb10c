/* test_file: real files opened, read, truncated, renamed and removed, against an SFTP peer that fails, loses answers and cuts connections. */
#include <sys/stat.h>
#include <utime.h>

#include "tests/fake/files.h"

/* ---- making and opening ---- */

static void test_create_write_read(void **state)
{
	struct handle *handle = files_create("a");

	(void)state;
	assert_int_equal(files_write(handle, 0, "hello", 5), 0);
	files_expect_read(handle, 0, 4096, "hello", 5);
	assert_int_equal(files_write(handle, 5, " world", 6), 0);
	files_close(handle);
	files_expect_content("a", "hello world", 11);
}

static void test_create_is_one_round_trip(void **state)
{
	unsigned int before = peer_count(files.rig.peer, PEER_ANY);
	struct handle *handle = files_create("a");

	(void)state;
	assert_int_equal(peer_count(files.rig.peer, PEER_ANY) - before, 2);
	files_close(handle);
}

static void test_create_exclusive(void **state)
{
	struct handle *handle;

	(void)state;
	rig_put(&files.rig, "a", "old", 3);
	assert_int_equal(files_try_create("a", 0644, O_RDWR | O_CREAT | O_EXCL, &handle, NULL), -EEXIST);
	assert_int_equal(files_try_create("no/where", 0644, O_RDWR | O_CREAT, &handle, NULL), -ENOENT);
	files_expect_content("a", "old", 3);
}

/* Another node made it between the kernel's look and the create. */
static void test_create_finds_a_file(void **state)
{
	struct handle *handle;
	struct stat st;

	(void)state;
	rig_put(&files.rig, "a", "old", 3);
	rig_put(&files.rig, "b", "old", 3);
	assert_int_equal(files_try_create("a", 0600, O_RDWR | O_CREAT, &handle, &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_mode & 0777, 0644);
	files_expect_read(handle, 0, 100, "old", 3);
	files_close(handle);
	assert_int_equal(files_try_create("b", 0600, O_WRONLY | O_CREAT | O_TRUNC, &handle, &st), 0);
	files_close(handle);
	files_expect_content("b", "", 0);
}

static void test_create_answer_lost(void **state)
{
	struct handle *handle;

	(void)state;
	peer_rule(files.rig.peer, FXP_OPEN, 0, 1, PEER_CUT_AFTER);
	assert_int_equal(files_try_create("a", 0644, O_RDWR | O_CREAT, &handle, NULL), 0);
	files_close(handle);
	files_expect_content("a", "", 0);
	peer_rule(files.rig.peer, FXP_OPEN, 0, 1, PEER_CUT_AFTER);
	assert_int_equal(files_try_create("b", 0644, O_RDWR | O_CREAT | O_EXCL, &handle, NULL), -EEXIST);
	peer_rule(files.rig.peer, FXP_OPEN, 0, 1, PEER_CUT_BEFORE);
	assert_int_equal(files_try_create("c", 0644, O_RDWR | O_CREAT | O_EXCL, &handle, NULL), 0);
	files_close(handle);
}

static void test_create_mode(void **state)
{
	mode_t old = umask(077);	/* the peer is of this process: it is the server's */
	struct handle *handle;
	struct stat st;

	(void)state;
	assert_int_equal(files_try_create("a", 0664, O_RDWR | O_CREAT, &handle, &st), 0);
	umask(old);
	assert_int_equal(st.st_mode & 07777, 0664);
	files_close(handle);
	assert_int_equal(files_try_create("b", 0444, O_RDWR | O_CREAT | O_EXCL, &handle, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(files_write(handle, 0, "x", 1), 0);
	files_close(handle);
	files_expect_content("b", "x", 1);
}

static void test_open_errors(void **state)
{
	struct handle *handle;
	struct node *node;
	char path[200];

	(void)state;
	rig_put(&files.rig, "a", "text", 4);
	node = files_look_up("a");
	rig_path(&files.rig, "a", path, sizeof(path));
	unlink(path);
	assert_int_equal(files_open_node(node, O_RDONLY, &handle, NULL), -ESTALE);	/* the kernel looks again */
	mkdir(path, 0700);
	assert_int_equal(files_open_node(node, O_RDWR, &handle, NULL), -EISDIR);
	files_forget(node);
}

static void test_small_file_comes_with_its_opening(void **state)
{
	struct handle *handle;
	struct node *node;
	unsigned int before;

	(void)state;
	rig_put(&files.rig, "a", "small", 5);
	node = files_look_up("a");
	before = peer_count(files.rig.peer, PEER_ANY);
	assert_int_equal(files_open_node(node, O_RDONLY, &handle, NULL), 0);
	files_expect_read(handle, 0, 4096, "small", 5);
	assert_int_equal(peer_count(files.rig.peer, PEER_ANY) - before, 3);	/* OPEN, LSTAT, READ */
	files_release(handle);
	files_forget(node);
}

/* ---- the page cache ---- */

static void set_mtime(const char *name, time_t mtime)
{
	struct utimbuf times = { .actime = mtime, .modtime = mtime };
	char path[200];

	rig_path(&files.rig, name, path, sizeof(path));
	assert_int_equal(utime(path, &times), 0);
}

static bool kept(struct node *node)
{
	struct handle *handle;
	bool keep;

	assert_int_equal(files_open_node(node, O_RDONLY, &handle, &keep), 0);
	files_release(handle);
	return keep;
}

static void test_keep_cache(void **state)
{
	struct handle *handle;
	struct node *node;

	(void)state;
	rig_put(&files.rig, "a", "12345", 5);
	set_mtime("a", 1000000);
	node = files_look_up("a");
	assert_false(kept(node));
	handle = files_create("b");		/* the server's clock is seen */
	files_close(handle);
	kept(node);			/* perhaps: it depends on whether reading it had changed its atime */
	assert_true(kept(node));
	assert_true(kept(node));
	set_mtime("a", 1000001);
	assert_false(kept(node));
	assert_true(kept(node));
	rig_put(&files.rig, "a", "123456", 6);
	set_mtime("a", 1000001);
	assert_false(kept(node));
	assert_int_equal(files_open_node(node, O_WRONLY, &handle, NULL), 0);
	assert_int_equal(files_write(handle, 0, "x", 1), 0);
	files_close(handle);
	set_mtime("a", 1000001);
	assert_false(kept(node));
	files_forget(node);
}

static void test_fresh_files_are_not_kept(void **state)
{
	struct handle *handle = files_create("a");
	struct node *node;

	(void)state;
	assert_int_equal(files_write(handle, 0, "x", 1), 0);
	files_close(handle);
	node = files_look_up("a");
	assert_false(kept(node));
	assert_false(kept(node));	/* it may have been written again within that second */
	files_forget(node);
}

/* ---- reading ---- */

static void test_read_everything(void **state)
{
	size_t size = 5 * MIB + 12345, at;
	uint8_t *data = malloc(size);
	struct handle *handle;

	(void)state;
	files_pattern(data, size, 1);
	rig_put(&files.rig, "a", data, size);
	handle = files_open("a", O_RDONLY);
	for (at = 0; at < size; at += 131072)
		files_expect_read(handle, at, 131072, data + at, size - at < 131072 ? size - at : 131072);
	files_expect_read(handle, size, 4096, NULL, 0);
	files_expect_read(handle, size + 100000, 4096, NULL, 0);
	files_expect_read(handle, 777, 3 * 65536, data + 777, 3 * 65536);
	assert_true(peer_count(files.rig.peer, FXP_READ) < 60);
	files_release(handle);
	free(data);
}

static void test_reads_at_once(void **state)
{
	static const unsigned int order[] = { 1, 0, 2, 5, 3, 4, 7, 6 };
	size_t size = 8 * 131072;
	uint8_t *data = malloc(size);
	struct awaited *heard[8];
	struct handle *handle;
	unsigned int i;

	(void)state;
	files_pattern(data, size, 2);
	rig_put(&files.rig, "a", data, size);
	handle = files_open("a", O_RDONLY);
	peer_reverse(files.rig.peer, true);
	for (i = 0; i < 8; i++)
		heard[i] = files_begin_read(handle, order[i] * 131072ul, 131072);
	for (i = 0; i < 8; i++) {
		assert_int_equal(awaited_wait(heard[i]), 0);
		assert_int_equal(heard[i]->text.len, 131072);
		assert_memory_equal(heard[i]->text.data, data + order[i] * 131072ul, 131072);
		files_done_with(heard[i]);
	}
	files_release(handle);
	free(data);
}

/* Reads on in steps until the file ends: how many bytes, each as it should be. */
static size_t read_on(struct handle *handle, size_t at, const uint8_t *data)
{
	struct awaited *heard;
	size_t len;

	do {
		heard = files_begin_read(handle, at, 131072);
		assert_int_equal(awaited_wait(heard), 0);
		len = heard->text.len;
		assert_true(len <= 131072);
		assert_memory_equal(heard->text.data, data + at, len);
		files_done_with(heard);
		at += len;
	} while (len);
	return at;
}

/* As another node would, in place: the open file is the same one. */
static void make_long(const char *name, const uint8_t *data, size_t size)
{
	char path[512];
	int fd;

	rig_path(&files.rig, name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/* Another node makes the file shorter, then longer, while it is read and bytes of it are fetched ahead. */
static void test_size_changes_under_a_read(void **state)
{
	size_t size = 4 * MIB, less = 2 * MIB + 5, at;
	uint8_t *data = malloc(size);
	struct handle *handle;

	(void)state;
	files_pattern(data, size, 3);
	rig_put(&files.rig, "a", data, 3 * MIB);
	handle = files_open("a", O_RDONLY);
	for (at = 0; at < MIB; at += 131072)
		files_expect_read(handle, at, 131072, data + at, 131072);
	make_long("a", data, less);
	at = read_on(handle, at, data);
	assert_in_range(at, less, 3 * MIB);	/* what was fetched before may be shown still */
	make_long("a", data, size);
	files_forget(files_look_up("a"));	/* the kernel asks when its attributes are too old */
	assert_int_equal(read_on(handle, at, data), size);
	make_long("a", data, 0);
	files_expect_read(handle, size, 4096, NULL, 0);
	files_release(handle);
	free(data);
}

static void test_read_errors(void **state)
{
	struct awaited *heard;
	struct handle *handle;

	(void)state;
	rig_put(&files.rig, "a", "text", 4);
	peer_rule(files.rig.peer, FXP_READ, 0, 1, PEER_FAIL);
	handle = files_open("a", O_RDONLY);
	heard = files_begin_read(handle, 0, 4096);
	/* Either the read that waits for it gets the error of the block fetched ahead, or it asks again. */
	if (awaited_wait(heard))
		assert_int_equal(heard->error, -EIO);
	files_done_with(heard);
	files_expect_read(handle, 0, 4096, "text", 4);
	assert_int_equal(files_write(handle, 0, "x", 1), -EBADF);
	files_release(handle);
	handle = files_open("a", O_WRONLY);
	assert_int_equal(files_end(files_begin_read(handle, 0, 10)), -EBADF);
	files_close(handle);
}

static void test_release_with_reads_under_way(void **state)
{
	uint8_t *data = calloc(1, 3 * MIB);
	struct handle *handle;
	struct awaited *heard;

	(void)state;
	rig_put(&files.rig, "a", data, 3 * MIB);
	handle = files_open("a", O_RDONLY);
	heard = files_begin_read(handle, 0, 131072);
	files_release(handle);
	assert_int_equal(files_end(heard), 0);
	free(data);
}

/* ---- truncation ---- */

static void test_truncate_keeps_its_place(void **state)
{
	struct handle *handle = files_create("a");
	struct node *node = files_look_up("a");
	struct awaited *cut;
	struct stat st = { .st_mode = S_IFREG, .st_size = 10 };

	(void)state;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	assert_int_equal(files_write(handle, 0, "0123456789", 10), 0);
	cut = files_begin_truncate(node, 4);
	assert_int_equal(files_write(handle, 6, "x", 1), 0);
	assert_true(file_overlay(files.tree, node, &(struct sftp_attrs) { .asked_ns = clock_now() }, &st));
	assert_int_equal(st.st_size, 7);
	assert_false(awaited_came(cut));
	files_release_held();
	assert_int_equal(awaited_wait(cut), 0);
	files_done_with(cut);
	files_expect_read(handle, 0, 100, "0123\0\0x", 7);
	files_close(handle);
	files_expect_content("a", "0123\0\0x", 7);
	files_forget(node);
}

static void test_truncate_without_a_writer(void **state)
{
	struct handle *reader;
	struct node *node;

	(void)state;
	rig_put(&files.rig, "a", "0123456789", 10);
	reader = files_open("a", O_RDONLY);
	node = files_look_up("a");
	assert_int_equal(files_end(files_begin_truncate(node, 3)), 0);
	files_expect_read(reader, 0, 4096, "012", 3);
	assert_int_equal(files_end(files_begin_truncate(node, 6)), 0);
	files_expect_read(reader, 0, 4096, "012\0\0\0", 6);
	files_release(reader);
	files_forget(node);
}

static void test_open_truncating(void **state)
{
	struct handle *one = files_create("a"), *two;
	struct node *node = files_look_up("a");
	struct stat st;

	(void)state;
	assert_int_equal(files_write(one, 0, "0123456789", 10), 0);
	assert_int_equal(files_open_node(node, O_RDWR | O_TRUNC, &two, NULL), 0);
	assert_int_equal(files_get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(files_write(two, 0, "ab", 2), 0);
	files_expect_read(one, 0, 100, "ab", 2);
	files_close(one);
	files_close(two);
	files_expect_content("a", "ab", 2);
	files_forget(node);
}

/* cp -p, tar: times are set while writes are queued, and must be what they were set to. */
static void test_times_after_writes(void **state)
{
	struct handle *handle = files_create("a");
	struct stat st = { .st_mtime = 1234567, .st_atime = 7654321 };
	struct node *node = files_look_up("a");
	struct awaited *heard = files_ask();

	(void)state;
	assert_int_equal(files_write(handle, 0, "text", 4), 0);
	real_ops.setattr(files.tree, node, handle, &st, TREE_SET_MTIME | TREE_SET_ATIME, &heard->reply);
	assert_int_equal(awaited_wait(heard), 0);
	assert_int_equal(heard->st.st_mtime, 1234567);
	assert_int_equal(heard->st.st_size, 4);
	files_done_with(heard);
	files_close(handle);
	assert_int_equal(files_get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_mtime, 1234567);
	assert_int_equal(st.st_atime, 7654321);
	files_forget(node);
}

static void test_fallocate(void **state)
{
	struct handle *handle = files_create("a");
	struct awaited *heard = files_ask();

	(void)state;
	assert_int_equal(files_write(handle, 0, "abc", 3), 0);
	handle->ops->fallocate(handle, 0, 0, 6, &heard->reply);
	assert_int_equal(files_end(heard), 0);
	files_expect_read(handle, 0, 10, "abc\0\0\0", 6);
	heard = files_ask();
	handle->ops->fallocate(handle, 0, 0, 6, &heard->reply);
	assert_int_equal(files_end(heard), -EOPNOTSUPP);
	heard = files_ask();
	handle->ops->fallocate(handle, 1, 0, 6, &heard->reply);
	assert_int_equal(files_end(heard), -EOPNOTSUPP);
	heard = files_ask();
	handle->ops->fallocate(handle, 0, INT64_MAX, 1, &heard->reply);
	assert_int_equal(files_end(heard), -EFBIG);
	files_close(handle);
	handle = files_open("a", O_WRONLY | O_APPEND);
	heard = files_ask();
	handle->ops->fallocate(handle, 0, 0, 10, &heard->reply);
	assert_int_equal(files_end(heard), -EOPNOTSUPP);
	files_close(handle);
	files_expect_content("a", "abc\0\0\0", 6);
}

/* Between our look and what we do about it. */
static void test_fallocate_cuts_nothing_off(void **state)
{
	struct awaited *heard = files_ask();
	struct handle *handle;
	char path[256];
	FILE *file;

	(void)state;
	rig_put(&files.rig, "a", "abc", 3);
	handle = files_open("a", O_WRONLY);
	peer_rule(files.rig.peer, FXP_FSTAT, 0, 1, PEER_HOLD);
	handle->ops->fallocate(handle, 0, 0, 6, &heard->reply);
	files_await_rules();
	rig_path(&files.rig, "a", path, sizeof(path));
	file = fopen(path, "a");
	assert_non_null(file);
	assert_true(fputs(" and more of it", file) >= 0);
	assert_int_equal(fclose(file), 0);
	files_release_held();
	assert_int_equal(files_end(heard), 0);
	files_close(handle);
	files_expect_content("a", "abc a\0d more of it", 18);
}

/* What a create finds where a moment ago was nothing: the kernel takes regular files alone, and would not give the handle back. */
static void test_create_opens_another_kind(void **state)
{
	struct handle *handle;
	char path[256];

	(void)state;
	rig_path(&files.rig, "fifo", path, sizeof(path));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(files_try_create("fifo", 0600, O_RDWR | O_CREAT, &handle, NULL), -EIO);
}

/* ---- without a name, or with another ---- */

static void test_unlinked(void **state)
{
	struct handle *handle = files_create("a");
	struct node *node = files_look_up("a");
	struct awaited *heard = files_ask();
	struct stat st;

	(void)state;
	real_ops.unlink(files.tree, files.tree->root, "a", &heard->reply);
	assert_int_equal(files_end(heard), 0);
	assert_int_equal(files_write(handle, 0, "text", 4), 0);
	files_expect_read(handle, 0, 10, "text", 4);
	assert_int_equal(files_end(files_begin_truncate(node, 2)), 0);
	assert_int_equal(files_get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_size, 2);
	assert_int_equal(st.st_nlink, 0);
	files_close(handle);
	files_forget(node);
}

static void test_renamed_and_reopened(void **state)
{
	struct handle *handle = files_create("a");
	struct awaited *heard = files_ask();

	(void)state;
	assert_int_equal(files_write(handle, 0, "one", 3), 0);
	real_ops.rename(files.tree, files.tree->root, "a", files.tree->root, "b", 0, &heard->reply);
	assert_int_equal(files_end(heard), 0);
	peer_cut_all(files.rig.peer);
	assert_int_equal(files_write(handle, 3, "two", 3), 0);
	files_close(handle);
	files_expect_content("b", "onetwo", 6);
}

static bool is_plain(void *arg)
{
	(void)arg;
	return !sftp_features(files.rig.sftp);
}

/* workaround=rename: the file that was to be replaced is still there, and still open. */
static void test_rename_by_removing_fails(void **state)
{
	struct awaited *heard = files_ask();
	struct handle *handle;

	(void)state;
	files.tree->options.rename_by_removing = true;
	peer_plain(files.rig.peer, true);
	peer_cut_all(files.rig.peer);
	assert_true(rig_until(is_plain, NULL));
	rig_put(&files.rig, "a", "source", 6);
	rig_put(&files.rig, "b", "target", 6);
	handle = files_open("b", O_RDWR);
	peer_rule(files.rig.peer, FXP_REMOVE, 0, 1, PEER_FAIL);
	real_ops.rename(files.tree, files.tree->root, "a", files.tree->root, "b", 0, &heard->reply);
	assert_true(files_end(heard) < 0);
	peer_cut_all(files.rig.peer);
	assert_int_equal(files_write(handle, 0, "T", 1), 0);
	files_close(handle);
	files_expect_content("b", "Target", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES_TEST(test_create_write_read), FILES_TEST(test_create_is_one_round_trip), FILES_TEST(test_create_exclusive),
		FILES_TEST(test_create_finds_a_file), FILES_TEST(test_create_answer_lost), FILES_TEST(test_create_mode),
		FILES_TEST(test_open_errors), FILES_TEST(test_small_file_comes_with_its_opening), FILES_TEST(test_keep_cache),
		FILES_TEST(test_fresh_files_are_not_kept), FILES_TEST(test_read_everything),
		FILES_TEST_WITH(test_read_everything, files_set_up_one_connection), FILES_TEST(test_reads_at_once),
		FILES_TEST(test_size_changes_under_a_read), FILES_TEST(test_read_errors), FILES_TEST(test_release_with_reads_under_way), FILES_TEST(test_truncate_keeps_its_place),
		FILES_TEST(test_truncate_without_a_writer), FILES_TEST(test_open_truncating), FILES_TEST(test_times_after_writes),
		FILES_TEST(test_fallocate), FILES_TEST(test_fallocate_cuts_nothing_off), FILES_TEST(test_create_opens_another_kind),
		FILES_TEST(test_unlinked), FILES_TEST(test_renamed_and_reopened), FILES_TEST(test_rename_by_removing_fails),
	};

	log_open("test_file", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
