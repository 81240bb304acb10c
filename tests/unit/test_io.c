/* io: short counts, limits, replacing a file, wake-ups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define BIG (3 << 20)

static char dir[] = "/tmp/test_io.XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) && !chdir(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return chdir("/") || rmdir(dir);
}

static void *write_pipe(void *arg)
{
	int fd = *(int *)arg;
	char *data = malloc(BIG);
	int error;

	memset(data, 'w', BIG);
	error = io_write_all(fd, data, BIG);
	free(data);
	close(fd);
	return (void *)(intptr_t)error;
}

/* Far more than a pipe holds, through a descriptor that does not block: neither side may stop early. */
static void test_pipe_takes_and_gives_all(void **state)
{
	char *data = malloc(BIG + 1);
	pthread_t thread;
	void *result;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(io_set_nonblock(fds[0], true), 0);
	assert_int_equal(io_set_nonblock(fds[1], true), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_pipe, &fds[1]), 0);
	assert_int_equal(io_read_full(fds[0], data, BIG + 1), BIG);
	pthread_join(thread, &result);
	assert_null(result);
	assert_int_equal(data[0], 'w');
	assert_int_equal(data[BIG - 1], 'w');
	close(fds[0]);
	free(data);
}

static void test_errors_are_negative(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(io_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(io_read_full(-1, &byte, 1), -EBADF);
	assert_int_equal(io_set_nonblock(-1, true), -EBADF);
	assert_int_equal(io_set_cloexec(-1), -EBADF);
}

static void test_reads_files_of_any_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 300000 };
	char *data = malloc(300000);

	(void)state;
	memset(data, 'f', 300000);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct buf buf = BUF_INIT;

		buf_adds(&buf, "head");
		assert_int_equal(io_write_file("file", data, sizes[i], 0644), 0);
		assert_int_equal(io_read_file("file", sizes[i], &buf), 0);
		assert_int_equal(buf.len, sizes[i] + 4);
		assert_memory_equal(buf.data + 4, data, sizes[i]);
		if (sizes[i])
			assert_int_equal(io_read_file("file", sizes[i] - 1, &buf), -EFBIG);
		assert_int_equal(buf.len, sizes[i] + 4);	/* untouched on error */
		buf_release(&buf);
	}
	assert_int_equal(unlink("file"), 0);
	free(data);
}

static void test_reads_what_lies_about_its_size(void **state)
{
	struct buf buf = BUF_INIT;

	(void)state;
	assert_int_equal(io_read_file("/proc/self/status", 1 << 20, &buf), 0);
	assert_true(buf.len > 100);
	assert_int_equal(io_read_file("absent", 10, &buf), -ENOENT);
	assert_int_equal(io_read_file(".", 10, &buf), -EISDIR);
	buf_release(&buf);
}

static int count_entries(void)
{
	DIR *here = opendir(".");
	int count = 0;

	while (readdir(here))
		count++;
	closedir(here);
	return count - 2;
}

static void test_write_file_replaces_whole_or_not_at_all(void **state)
{
	struct buf buf = BUF_INIT;
	struct stat st;

	(void)state;
	umask(022);
	assert_int_equal(io_write_file("f", "old", 3, 0600), 0);
	assert_int_equal(io_write_file("f", "newer", 5, 0640), 0);
	assert_int_equal(io_read_file("f", 100, &buf), 0);
	assert_string_equal(buf_text(&buf), "newer");
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(mkdir("d", 0755), 0);
	assert_int_equal(io_write_file("d", "x", 1, 0644), -EISDIR);
	assert_int_equal(io_write_file("no/f", "x", 1, 0644), -ENOENT);
	assert_int_equal(count_entries(), 2);		/* no temporary file stays */
	assert_int_equal(rmdir("d"), 0);
	assert_int_equal(unlink("f"), 0);
	buf_release(&buf);
}

static void test_mkdirs(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(io_mkdirs("a//b/c/", 0755), 0);
	assert_int_equal(stat("a/b/c", &st), 0);
	assert_int_equal(io_mkdirs("a/b", 0755), 0);
	assert_int_equal(io_mkdirs("/", 0755), 0);
	assert_int_equal(io_mkdirs("", 0755), -ENOENT);
	assert_int_equal(io_write_file("a/file", "", 0, 0644), 0);
	assert_int_equal(io_mkdirs("a/file", 0755), -ENOTDIR);
	assert_int_equal(io_mkdirs("a/file/x", 0755), -ENOTDIR);
	assert_int_equal(unlink("a/file") | rmdir("a/b/c") | rmdir("a/b") | rmdir("a"), 0);
}

static void test_close_keeps_errno(void **state)
{
	int fd = open("/dev/null", O_RDONLY), copy = fd;

	(void)state;
	errno = EXDEV;
	io_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	io_close(&fd);
}

static int readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0);
}

static void test_wake(void **state)
{
	int fd = io_wake_new();

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(readable(fd), 0);
	io_wake_clear(fd);		/* does not block */
	io_wake(fd);
	io_wake(fd);
	assert_int_equal(readable(fd), 1);
	io_wake_clear(fd);
	assert_int_equal(readable(fd), 0);
	io_close(&fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe_takes_and_gives_all),
		cmocka_unit_test(test_errors_are_negative),
		cmocka_unit_test(test_reads_files_of_any_size),
		cmocka_unit_test(test_reads_what_lies_about_its_size),
		cmocka_unit_test(test_write_file_replaces_whole_or_not_at_all),
		cmocka_unit_test(test_mkdirs),
		cmocka_unit_test(test_close_keeps_errno),
		cmocka_unit_test(test_wake),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
