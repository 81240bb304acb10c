/* test_file_write: queued writes, what sees them and what waits for them; and everything at random against a model, with cut connections. */
#include "sftp/pool.h"
#include "tests/fake/files.h"

/* ---- writing ---- */

static void test_large_write(void **state)
{
	size_t size = 6 * MIB + 1234, at;
	uint8_t *data = malloc(size);
	struct handle *handle = files_create("a");

	(void)state;
	files_pattern(data, size, 3);
	for (at = 0; at < size; at += 100000)
		assert_int_equal(files_write(handle, at, data + at, size - at < 100000 ? size - at : 100000), 0);
	files_close(handle);
	files_expect_content("a", data, size);
	free(data);
}

static void test_reads_see_queued_writes(void **state)
{
	struct handle *writer = files_create("a"), *reader = files_open("a", O_RDONLY);
	struct stat st = { .st_mode = S_IFREG };
	struct node *node = files_look_up("a");
	double ttl;

	(void)state;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	assert_int_equal(files_write(writer, 0, "one", 3), 0);
	assert_int_equal(files_write(writer, 10000, "two", 3), 0);
	assert_true(file_overlay(files.tree, node, &(struct sftp_attrs) { .asked_ns = clock_now() }, &st));
	assert_int_equal(st.st_size, 10003);
	files_release_held();
	files_expect_read(reader, 10000, 100, "two", 3);
	files_expect_read(reader, 0, 4, "one", 4);
	files_close(writer);
	assert_int_equal(files_get_attr(node, &st, &ttl), 0);
	assert_int_equal(st.st_size, 10003);
	assert_true(ttl > 0);
	files_release(reader);
	files_forget(node);
}

static bool has_data_connection(void *arg)
{
	(void)arg;
	return pool_up_count(files.rig.sftp) > 1;
}

/* Bulk makes the engine open one. */
static void await_data_connection(void)
{
	uint8_t *data = calloc(1, 2 * MIB);
	struct handle *handle = files_create("bulk");

	assert_int_equal(files_write(handle, 0, data, 2 * MIB), 0);
	files_close(handle);
	assert_true(rig_until(has_data_connection, NULL));
	free(data);
}

/* What lies between the server's end of the file and a write that is still queued is a hole. */
static void test_hole_before_a_queued_write(void **state)
{
	static const uint8_t zeroes[200];
	struct handle *writer, *reader;
	struct awaited *heard;

	(void)state;
	writer = files_create("a");	/* on the control connection even when the server seems far, as it does to a busy machine: there is no other yet */
	await_data_connection();
	assert_int_equal(files_write(writer, 0, "abc", 3), 0);
	assert_int_equal(files_flush(writer), 0);
	reader = files_open("a", O_RDONLY);
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);	/* holds up the writer's connection, not the reader's */
	assert_int_equal(files_write(writer, 100000, "x", 1), 0);
	heard = files_begin_read(reader, 1000, 200);
	assert_int_equal(awaited_wait(heard), 0);
	assert_int_equal(heard->text.len, 200);
	assert_memory_equal(heard->text.data, zeroes, 200);
	files_done_with(heard);
	files_release_held();
	assert_int_equal(files_flush(writer), 0);
	files_expect_read(reader, 2, 3, "c\0\0", 3);
	files_close(writer);
	files_release(reader);
}

static struct awaited *begin_unlink(const char *name)
{
	struct awaited *heard = files_ask();

	real_ops.unlink(files.tree, files.tree->root, name, &heard->reply);
	return heard;
}

static struct awaited *begin_replacement(const char *name)
{
	struct awaited *heard = files_ask();

	real_ops.rename(files.tree, files.tree->root, "other", files.tree->root, name, 0, &heard->reply);
	return heard;
}

/* Only then its bytes are free again: the removal goes by another connection than the CLOSE, and may overtake it. */
static void expect_close_awaited(int flags, struct awaited *(*begin_removal)(const char *name), uint8_t request, const char *last)
{
	unsigned int before = peer_count(files.rig.peer, request);
	struct handle *handle;
	struct awaited *heard;

	rig_put(&files.rig, "a", "text", 4);
	rig_put(&files.rig, "other", "other", 5);
	handle = files_open("a", flags);
	peer_rule(files.rig.peer, FXP_CLOSE, 0, 1, PEER_HOLD);
	files_release(handle);
	heard = begin_removal("a");
	files_forget(files_look_up(last));	/* behind it, on its connection */
	assert_int_equal(peer_count(files.rig.peer, request), before + 1);
	assert_false(awaited_came(heard));
	files_release_held();
	assert_int_equal(files_end(heard), 0);
}

static void test_removal_waits_for_closes(void **state)
{
	(void)state;
	await_data_connection();
	expect_close_awaited(O_WRONLY, begin_unlink, FXP_REMOVE, "bulk");
	expect_close_awaited(O_RDONLY, begin_unlink, FXP_REMOVE, "bulk");
	expect_close_awaited(O_WRONLY, begin_replacement, FXP_EXTENDED, "a");
}

static void test_prefetched_block_is_dropped_by_writes(void **state)
{
	struct handle *reader, *writer;

	(void)state;
	rig_put(&files.rig, "a", "old text", 8);
	reader = files_open("a", O_RDONLY);	/* "old text" is on its way, or here */
	writer = files_open("a", O_WRONLY);
	assert_int_equal(files_write(writer, 0, "new", 3), 0);
	files_expect_read(reader, 0, 4096, "new text", 8);
	assert_int_equal(files_write(writer, 8, "!", 1), 0);
	files_expect_read(reader, 0, 4096, "new text!", 9);
	files_close(writer);
	files_release(reader);
}

static void test_write_buffer_parks_programs(void **state)
{
	static uint8_t data[60000];
	struct handle *handle = files_create("a");
	struct awaited *heard[4];
	int i;

	(void)state;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	for (i = 0; i < 4; i++)
		heard[i] = files_begin_write(handle, (uint64_t)i * sizeof(data), data, sizeof(data));
	assert_int_equal(awaited_wait(heard[0]), 0);
	assert_false(awaited_came(heard[1]) && awaited_came(heard[2]));
	assert_false(awaited_came(heard[3]));
	files_release_held();
	for (i = 0; i < 4; i++)
		assert_int_equal(files_end(heard[i]), 0);
	files_close(handle);
}

/* A byte here and a byte there: what is kept of each is far more than a byte. */
static void test_write_buffer_counts_what_small_writes_cost(void **state)
{
	struct handle *handle = files_create("a");
	static struct awaited *heard[1000];
	int i;

	(void)state;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	for (i = 0; i < 1000; i++)
		heard[i] = files_begin_write(handle, (uint64_t)i * 10000, "x", 1);
	assert_true(awaited_came(heard[100]));
	assert_false(awaited_came(heard[999]));
	files_release_held();
	for (i = 0; i < 1000; i++)
		assert_int_equal(files_end(heard[i]), 0);
	files_close(handle);
}

static void test_error_is_told_once_to_each_handle(void **state)
{
	struct handle *one = files_create("a"), *two = files_open("a", O_WRONLY);

	(void)state;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	assert_int_equal(files_write(one, 0, "x", 1), 0);
	assert_int_equal(files_flush(one), -EIO);
	assert_int_equal(files_flush(one), 0);
	assert_int_equal(files_fsync(two), -EIO);
	assert_int_equal(files_write(two, 0, "y", 1), 0);
	files_close(two);
	files_close(one);
	files_expect_content("a", "y", 1);
}

/* A program that was killed while it waited for a close hears nothing any more. */
static void test_error_is_not_told_to_nobody(void **state)
{
	struct handle *handle = files_create("a");
	struct awaited *nobody = files_ask();

	(void)state;
	nobody->abandoned = true;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	assert_int_equal(files_write(handle, 0, "x", 1), 0);
	handle->ops->flush(handle, &nobody->reply);
	assert_int_equal(files_end(nobody), -EINTR);
	assert_int_equal(files_flush(handle), -EIO);
	files_close(handle);
}

static void test_error_at_the_next_write(void **state)
{
	struct handle *handle = files_create("a");
	int64_t deadline = clock_now() + 20 * NS_PER_S;
	int error = 0;

	(void)state;
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	while (!error && clock_now() < deadline)
		error = files_write(handle, 0, "x", 1);
	assert_int_equal(error, -EIO);
	files_close(handle);
}

static void test_sync_writes(void **state)
{
	struct handle *handle = files_create("a");

	(void)state;
	assert_int_equal(files_write(handle, 0, "abc", 3), 0);
	files_expect_content("a", "abc", 3);
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_FAIL);
	assert_int_equal(files_write(handle, 0, "x", 1), -EIO);
	assert_int_equal(files_write(handle, 1, "y", 1), 0);
	files_expect_content("a", "ayc", 3);
	files_close(handle);
}

static void test_fsync(void **state)
{
	struct handle *handle = files_create("a");

	(void)state;
	assert_int_equal(files_write(handle, 0, "abc", 3), 0);
	assert_int_equal(files_fsync(handle), 0);
	files_expect_content("a", "abc", 3);
	files_close(handle);
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

	files_pattern(data, len, seed);
	assert_int_equal(files_write(handle, offset, data, len), 0);
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
	files_expect_read(handle, offset, len, model + offset, there);
}

static void random_truncate(struct node *node)
{
	size_t size = pick(MODEL_MAX);

	assert_int_equal(files_end(files_begin_truncate(node, (off_t)size)), 0);
	if (size > model_size)
		memset(model + model_size, 0, size - model_size);
	model_size = size;
}

static void random_stat(struct node *node)
{
	struct stat st;

	assert_int_equal(files_get_attr(node, &st, NULL), 0);
	assert_int_equal(st.st_size, model_size);
}

static void run_model(uint32_t first_seed, int steps, bool cuts)
{
	struct handle *handles[2] = { files_create("model"), files_open("model", O_RDWR) };
	struct node *node = files_look_up("model");
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
			files_close(handles[which]);
			assert_int_equal(files_open_node(node, O_RDWR, &handles[which], NULL), 0);
			break;
		case 3:
			if (cuts && !pick(3))
				peer_cut_all(files.rig.peer);
			else
				assert_int_equal(files_fsync(handles[which]), 0);
			break;
		case 4: case 5: case 6: case 7: case 8:
			random_read(handles[which]);
			break;
		default:
			random_write(handles[which]);
		}
	}
	files_close(handles[0]);
	files_close(handles[1]);
	files_expect_content("model", model, model_size);
	files_forget(node);
}

static void test_model(void **state)
{
	(void)state;
	run_model(1, 3000, false);
}

static void test_model_reversed(void **state)
{
	(void)state;
	peer_reverse(files.rig.peer, true);
	run_model(2, 1500, false);
}

static void test_model_with_cuts(void **state)
{
	(void)state;
	run_model(3, 1500, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES_TEST(test_large_write), FILES_TEST_WITH(test_large_write, files_set_up_one_connection),
		FILES_TEST_WITH(test_large_write, files_set_up_small_buffer), FILES_TEST(test_reads_see_queued_writes),
		FILES_TEST(test_removal_waits_for_closes),
		FILES_TEST(test_hole_before_a_queued_write), FILES_TEST(test_prefetched_block_is_dropped_by_writes),
		FILES_TEST_WITH(test_write_buffer_parks_programs, files_set_up_small_buffer),
		FILES_TEST_WITH(test_write_buffer_counts_what_small_writes_cost, files_set_up_small_buffer),
		FILES_TEST(test_error_is_told_once_to_each_handle), FILES_TEST(test_error_is_not_told_to_nobody),
		FILES_TEST(test_error_at_the_next_write),
		FILES_TEST_WITH(test_sync_writes, files_set_up_sync), FILES_TEST(test_fsync), FILES_TEST(test_model),
		FILES_TEST_WITH(test_model, files_set_up_one_connection), FILES_TEST(test_model_reversed), FILES_TEST(test_model_with_cuts),
	};

	log_open("test_file_write", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
