/* test_file_copy: copy_file_range on the server, with connections that are cut and a source that changes. */
#include "tests/fake/files.h"

/* A piece that is copied in one part, and one that is copied in two. */
static void check_copy(const char *from_name, const char *to_name, size_t size)
{
	uint8_t *data = malloc(size);
	struct handle *from = files_create(from_name), *to = files_create(to_name);
	struct awaited *heard = files_ask();
	size_t at;
	int error;

	files_pattern(data, size, 4);
	assert_int_equal(files_write(from, 0, data, size), 0);
	from->ops->copy(from, 0, to, 0, 64 * MIB, &heard->reply);
	error = awaited_wait(heard);
	if (sftp_features(files.rig.sftp) & SFTP_HAS_COPY_DATA) {
		assert_int_equal(error, 0);
		assert_int_equal(heard->count, size);
		for (at = 0; at < size; at += MIB)
			files_expect_read(to, (off_t)at, 4096, data + at, size - at < 4096 ? size - at : 4096);
	} else {
		assert_int_equal(error, -EOPNOTSUPP);
	}
	files_done_with(heard);
	heard = files_ask();
	from->ops->copy(from, 0, from, (off_t)(2 * size), 100, &heard->reply);
	assert_int_equal(files_end(heard), -EOPNOTSUPP);
	files_close(from);
	files_close(to);
	free(data);
}

static void test_copy(void **state)
{
	(void)state;
	check_copy("a", "b", MIB + 100);
	check_copy("c", "d", 17 * MIB + 4097);
}

static int begin_and_end_copy(struct handle *from, off_t from_offset, struct handle *to, off_t to_offset, size_t len, size_t *ret_count)
{
	struct awaited *heard = files_ask();
	int error;

	from->ops->copy(from, from_offset, to, to_offset, len, &heard->reply);
	error = awaited_wait(heard);
	*ret_count = heard->count;
	files_done_with(heard);
	return error;
}

/* Every request of a copy with its connection cut, before it is carried out and before it is answered, and again and again. */
static void check_cuts(size_t size)
{
	static const struct {
		uint8_t type;
		enum peer_action action;
		unsigned int times;
	} cuts[] = {
		{ FXP_FSTAT, PEER_CUT_BEFORE, 1 }, { FXP_FSTAT, PEER_CUT_AFTER, 1 }, { FXP_FSTAT, PEER_CUT_AFTER, 4 },
		{ FXP_EXTENDED, PEER_CUT_BEFORE, 1 }, { FXP_EXTENDED, PEER_CUT_AFTER, 1 }, { FXP_EXTENDED, PEER_CUT_BEFORE, 4 },
		{ FXP_EXTENDED, PEER_CUT_AFTER, 4 }, { FXP_OPEN, PEER_CUT_BEFORE, 1 }, { FXP_OPEN, PEER_CUT_AFTER, 2 },
	};
	uint8_t *data = malloc(size), *expected = malloc(size + 1000);
	struct handle *from, *to;
	unsigned int i;
	size_t count;

	files_pattern(data, size, 5);
	rig_put(&files.rig, "a", data, size);
	files_pattern(expected, 1000, 6);
	memcpy(expected + 1000, data + 500, size - 500);
	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		rig_put(&files.rig, "b", expected, 1000);
		from = files_open("a", O_RDONLY);
		to = files_open("b", O_RDWR);
		if (cuts[i].type == FXP_OPEN)	/* of the reopening */
			peer_cut_all(files.rig.peer);
		peer_rule(files.rig.peer, cuts[i].type, 0, cuts[i].times, cuts[i].action);
		assert_int_equal(begin_and_end_copy(from, 500, to, 1000, 10 * MIB, &count), 0);
		assert_int_equal(count, size - 500);
		assert_true(peer_rules_done(files.rig.peer));
		peer_rules_clear(files.rig.peer);
		files_close(to);
		files_release(from);
		files_expect_content("b", expected, size + 500);
	}
	free(data);
	free(expected);
}

static void test_copy_cut(void **state)
{
	(void)state;
	check_cuts(200000);
	check_cuts(9 * MIB);		/* in two parts */
}

static bool has_looked(void *arg)
{
	(void)arg;
	return peer_count(files.rig.peer, FXP_FSTAT) > 0;
}

/* Another node cuts the source after this one has asked how long it is. */
static void test_copy_of_what_becomes_shorter(void **state)
{
	struct handle *from, *to;
	struct awaited *heard = files_ask();
	char path[200];

	(void)state;
	rig_put(&files.rig, "a", "0123456789", 10);
	from = files_open("a", O_RDONLY);
	to = files_create("b");
	peer_rule(files.rig.peer, FXP_FSTAT, 0, 1, PEER_HOLD);
	from->ops->copy(from, 0, to, 0, 100, &heard->reply);
	assert_true(rig_until(has_looked, NULL));
	rig_path(&files.rig, "a", path, sizeof(path));
	assert_int_equal(truncate(path, 4), 0);
	peer_release(files.rig.peer);
	assert_int_equal(awaited_wait(heard), 0);
	assert_int_equal(heard->count, 4);
	files_done_with(heard);
	files_close(from);
	files_close(to);
	files_expect_content("b", "0123", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES_TEST(test_copy), FILES_TEST(test_copy_cut), FILES_TEST(test_copy_of_what_becomes_shorter),
	};

	log_open("test_file_copy", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
