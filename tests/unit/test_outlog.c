/*
 * outlog: what is written is read back, and nothing that is not well formed does harm.
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
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/outlog.h"

struct room {
	char dir[64];
	struct buf out, err;
	int count;
	char how[64];
};

static int setup(void **state)
{
	struct room *room = calloc(1, sizeof(*room));

	assert_non_null(room);
	strcpy(room->dir, "/tmp/test-outlog-XXXXXX");
	assert_non_null(mkdtemp(room->dir));
	*state = room;
	return 0;
}

static int teardown(void **state)
{
	struct room *room = *state;
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", room->dir);
	assert_int_equal(system(command), 0);
	buf_release(&room->out);
	buf_release(&room->err);
	free(room);
	return 0;
}

static void read_back(int fd, struct buf *to)
{
	char data[4096];
	ssize_t len;

	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	while ((len = read(fd, data, sizeof(data))) > 0)
		buf_add(to, data, (size_t)len);
	close(fd);
}

static int copied(void *arg, const struct outlog_entry *entry)
{
	struct room *room = arg;
	char out[] = "/tmp/test-outlog-o-XXXXXX", err[] = "/tmp/test-outlog-e-XXXXXX";
	int out_fd = mkstemp(out), err_fd = mkstemp(err), error;

	unlink(out);
	unlink(err);
	error = outlog_copy(entry, out_fd, err_fd);
	read_back(out_fd, &room->out);
	read_back(err_fd, &room->err);
	snprintf(room->how, sizeof(room->how), "%s", entry->how);
	room->count++;
	return error;
}

static struct outlog *open_log(struct room *room, const char *name)
{
	struct outlog *log;

	assert_int_equal(outlog_new(room->dir, name, &log), 0);
	return log;
}

static void units_get_their_own_bytes(void **state)
{
	struct room *room = *state;
	struct outlog *log = open_log(room, "host.1.0");

	outlog_begin(log);
	outlog_add(log, OUTLOG_OUTPUT, "first\n", 6);
	outlog_unit(log, "a/1 x=y", 100, "done");
	outlog_begin(log);
	outlog_add(log, OUTLOG_OUTPUT, "se", 2);
	outlog_add(log, OUTLOG_ERROR, "o 3\nbad", 7);
	outlog_add(log, OUTLOG_OUTPUT, "cond\0\n", 6);
	outlog_unit(log, "a/2", 101, "failed");
	outlog_free(log);
	assert_int_equal(outlog_find(room->dir, "a/1 x=y", copied, room), 0);
	assert_int_equal(room->count, 1);
	assert_string_equal(buf_text(&room->out), "first\n");
	assert_int_equal(room->err.len, 0);
	buf_reset(&room->out);
	assert_int_equal(outlog_find(room->dir, "a/2", copied, room), 0);
	assert_int_equal(room->out.len, 8);
	assert_memory_equal(room->out.data, "second\0\n", 8);
	assert_string_equal(buf_text(&room->err), "o 3\nbad");
	assert_string_equal(room->how, "failed");
	assert_int_equal(outlog_find(room->dir, "a", copied, room), 0);
	assert_int_equal(room->count, 2);
}

static void a_second_writer_goes_on_where_the_first_ended(void **state)
{
	struct room *room = *state;
	struct outlog *log = open_log(room, "host.1.0");
	char *big = malloc(300000);
	int i;

	assert_non_null(big);
	memset(big, 'b', 300000);
	outlog_begin(log);
	outlog_add(log, OUTLOG_OUTPUT, big, 300000);
	outlog_unit(log, "big", 1, "done");
	assert_int_equal(outlog_flush(log), 0);
	outlog_free(log);
	log = open_log(room, "host.1.0");
	outlog_begin(log);
	for (i = 0; i < 1000; i++)
		outlog_add(log, OUTLOG_ERROR, big, 150);
	outlog_unit(log, "small", 2, "done");
	outlog_unit(log, "shared", 2, "done");
	outlog_free(log);
	free(big);
	assert_int_equal(outlog_find(room->dir, "big", copied, room), 0);
	assert_int_equal(room->out.len, 300000);
	assert_int_equal(outlog_find(room->dir, "small", copied, room), 0);
	assert_int_equal(room->err.len, 150000);
	assert_int_equal(outlog_find(room->dir, "shared", copied, room), 0);
	assert_int_equal(room->err.len, 300000);
}

/* Until its end is told, what a job has written goes to the end of the file; in a batch, for each of its units. */
static void a_job_that_runs_is_read_as_far_as_it_came(void **state)
{
	struct room *room = *state;
	struct outlog *log = open_log(room, "host.1.0");

	outlog_begin(log);
	outlog_add(log, OUTLOG_OUTPUT, "before\n", 7);
	outlog_unit(log, "a", 1, "done");
	outlog_begin(log);
	outlog_running(log, "a", 2);
	outlog_running(log, "b", 2);
	outlog_add(log, OUTLOG_OUTPUT, "so far\n", 7);
	assert_int_equal(outlog_flush(log), 0);
	assert_int_equal(outlog_find(room->dir, "b", copied, room), 0);
	assert_string_equal(buf_text(&room->out), "so far\n");
	assert_string_equal(room->how, "running");
	outlog_add(log, OUTLOG_ERROR, "more\n", 5);
	assert_int_equal(outlog_flush(log), 0);
	buf_reset(&room->out);
	assert_int_equal(outlog_find(room->dir, "a", copied, room), 0);
	assert_int_equal(room->count, 3);
	assert_string_equal(buf_text(&room->out), "before\nso far\n");
	assert_string_equal(buf_text(&room->err), "more\n");

	outlog_unit(log, "a", 3, "done");
	outlog_unit(log, "b", 3, "again");
	outlog_begin(log);
	outlog_add(log, OUTLOG_OUTPUT, "another's\n", 10);
	outlog_free(log);
	buf_reset(&room->out);
	assert_int_equal(outlog_find(room->dir, "b", copied, room), 0);
	assert_int_equal(room->count, 4);
	assert_string_equal(room->how, "again");
	assert_string_equal(buf_text(&room->out), "so far\n");
}

/* As when its worker is killed while it writes. */
static void a_job_that_runs_may_have_a_last_frame_that_is_cut_off(void **state)
{
	static const char *const frames[] = { "o 3\nabc", "o 4\nabc", "o 3\nabco 12", "o 3\nabco 12\n" };
	struct room *room = *state;
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		snprintf(path, sizeof(path), "%s/x.out", room->dir);
		assert_int_equal(io_write_file(path, frames[i], strlen(frames[i]), 0600), 0);
		snprintf(path, sizeof(path), "%s/x.idx", room->dir);
		assert_int_equal(io_write_file(path, "1 u 0 0 1 running\n", 18, 0600), 0);
		buf_reset(&room->out);
		assert_int_equal(outlog_find(room->dir, "u", copied, room), 0);
		assert_string_equal(buf_text(&room->out), "abc");
	}
}

static void broken_indexes_are_passed_over(void **state)
{
	static const char index[] =
		"2 u 0 6 1 done\n" "1 u 6 0 1 done\n" "1 u 0 -6 1 done\n" "1 u 0 6 1\n" "1 u 0 6 1 done more\n" "1 %zz 0 6 1 done\n" "\n"
		"1 u 0 99999999999999999999 1 done\n" "garbage\n" "1 u 0 6 1 do";
	struct room *room = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/x.idx", room->dir);
	assert_int_equal(io_write_file(path, index, sizeof(index) - 1, 0600), 0);
	assert_int_equal(outlog_find(room->dir, "u", copied, room), 0);
	assert_int_equal(room->count, 0);
	assert_int_equal(outlog_find("/nonexistent", "u", copied, room), -ENOENT);
}

static void broken_frames_are_refused(void **state)
{
	static const char *const frames[] = { "x 3\nabc", "o 4\nabc", "o 3abc", "o -1\nabc", "o 18446744073709551615\nabc", "o  \n", "o 3\nab" };
	struct room *room = *state;
	char path[128], line[64];
	size_t i;

	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		snprintf(path, sizeof(path), "%s/x.out", room->dir);
		assert_int_equal(io_write_file(path, frames[i], strlen(frames[i]), 0600), 0);
		snprintf(line, sizeof(line), "1 u 0 %zu 1 done\n", strlen(frames[i]) + (i == 6));
		snprintf(path, sizeof(path), "%s/x.idx", room->dir);
		assert_int_equal(io_write_file(path, line, strlen(line), 0600), 0);
		assert_int_equal(outlog_find(room->dir, "u", copied, room), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(units_get_their_own_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_writer_goes_on_where_the_first_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_that_runs_is_read_as_far_as_it_came, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_that_runs_may_have_a_last_frame_that_is_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_indexes_are_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_frames_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
