/* channel_pipe: children that serve, talk, vanish, hang and are not there; and channel_fd. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/channel.h"
#include "sftp/client.h"

static struct channel *open_channel(char *const *argv, int *ret_error, struct buf *why)
{
	struct pipe_maker maker;
	struct channel *channel = NULL;

	pipe_maker_init(&maker, argv);
	*ret_error = maker.maker.open(&maker.maker, clock_now() + 10 * NS_PER_S, -1, &channel, why);
	return channel;
}

static struct channel *open_shell(char *script)
{
	char *argv[] = { "sh", "-c", script, NULL };
	struct buf why = BUF_INIT;
	struct channel *channel;
	int error;

	channel = open_channel(argv, &error, &why);
	assert_int_equal(error, 0);
	buf_release(&why);
	return channel;
}

/* One read, waited for. */
static ssize_t read_some(struct channel *channel, char *data, size_t len)
{
	struct pollfd fds[CHANNEL_MAX_FDS];
	ssize_t n;

	while ((n = channel->ops->read(channel, data, len)) == -EAGAIN) {
		int count = channel->ops->poll_fds(channel, false, fds);

		assert_true(count > 0 && count <= CHANNEL_MAX_FDS);
		assert_true(poll(fds, (nfds_t)count, 20000) > 0);
	}
	return n;
}

static void test_echo(void **state)
{
	struct channel *channel = open_shell("exec cat");
	char data[16];

	(void)state;
	assert_int_equal(channel->ops->read(channel, data, sizeof(data)), -EAGAIN);
	assert_int_equal(channel->ops->write(channel, "hello", 5), 5);
	assert_int_equal(read_some(channel, data, sizeof(data)), 5);
	assert_memory_equal(data, "hello", 5);
	channel->ops->free(channel);
}

static void test_push_back(void **state)
{
	struct channel *channel = open_shell("exec sleep 60");
	static char data[256 * 1024];
	size_t sent = 0;
	ssize_t n;

	(void)state;
	while ((n = channel->ops->write(channel, data, sizeof(data))) > 0)
		sent += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_true(sent > 0);
	channel->ops->free(channel);	/* sleep does not end at end of file: SIGTERM ends it */
}

static void test_reason(void **state)
{
	struct channel *channel = open_shell("echo first >&2; printf 'no\\033[31m way' >&2; exit 3");
	char c;

	(void)state;
	assert_int_equal(read_some(channel, &c, 1), 0);
	assert_string_equal(channel->ops->reason(channel), "no?[31m way");
	assert_int_equal(read_some(channel, &c, 1), 0);
	channel->ops->free(channel);
}

/* Not a broken session but its end, with the reason it gave. */
static void test_end_with_bytes_unread(void **state)
{
	struct channel *channel = open_shell("read line; echo had enough >&2; exit 3");
	char c;

	(void)state;
	assert_int_equal(channel->ops->write(channel, "enough\nthis nobody reads", 24), 24);
	assert_int_equal(read_some(channel, &c, 1), 0);
	assert_string_equal(channel->ops->reason(channel), "had enough");
	channel->ops->free(channel);
}

static void test_much_talk(void **state)
{
	struct channel *channel = open_shell("i=0; while [ $i -lt 3000 ]; do echo a line that nobody needs to read >&2; i=$((i+1)); done; echo done");
	char data[8];

	(void)state;
	assert_int_equal(read_some(channel, data, sizeof(data)), 5);	/* a full standard error would have stopped it */
	channel->ops->free(channel);
}

static void test_final_errors(void **state)
{
	struct channel *channel = open_shell("echo 'me@host: Permission denied (publickey).' >&2; exit 255");
	char c;

	(void)state;
	assert_int_equal(read_some(channel, &c, 1), -EACCES);
	channel->ops->free(channel);
	channel = open_shell("echo 'Host key verification failed.' >&2; exit 255");
	assert_int_equal(read_some(channel, &c, 1), -EACCES);
	channel->ops->free(channel);
	channel = open_shell("echo 'connect to host h port 22: Connection refused' >&2; exit 255");
	assert_int_equal(read_some(channel, &c, 1), 0);
	channel->ops->free(channel);
}

static void test_missing(void **state)
{
	char *argv[] = { "/nonexistent/sftp-server", NULL };
	struct buf why = BUF_INIT;
	int error;

	(void)state;
	assert_null(open_channel(argv, &error, &why));
	assert_int_equal(error, -ENOENT);
	assert_non_null(strstr(buf_text(&why), "/nonexistent/sftp-server"));
	assert_non_null(strstr(buf_text(&why), "openssh-sftp-server"));
	buf_release(&why);
}

/* It ignores what a terminal sends; it gets default SIGTERM and SIGPIPE, an empty mask, and none of our descriptors. */
static int inherited_fds(void)
{
	int fd, flags, count = 0;

	for (fd = 3; fd < 1024; fd++) {
		flags = fcntl(fd, F_GETFD);
		count += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return count;
}

static void test_surroundings(void **state)
{
	struct channel *channel = open_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l");
	char text[256] = "", count[16];
	size_t len = 0;
	ssize_t n;
	char *line;

	(void)state;
	while ((n = read_some(channel, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	line = strstr(text, "SigBlk:");
	assert_non_null(line);
	assert_int_equal(strtoull(line + 7, NULL, 16), 0);
	line = strstr(text, "SigIgn:");
	assert_non_null(line);
	assert_int_equal(strtoull(line + 7, NULL, 16) & 7, 1 << (SIGHUP - 1) | 1 << (SIGINT - 1) | 1 << (SIGQUIT - 1));
	assert_int_equal(strtoull(line + 7, NULL, 16) & (1 << (SIGPIPE - 1) | 1 << (SIGTERM - 1)), 0);
	snprintf(count, sizeof(count), "\n%d\n", 4 + inherited_fds());	/* 0, 1, 2 and the directory itself; what the test was given */
	assert_non_null(strstr(text, count));
	channel->ops->free(channel);
}

static void test_stubborn(void **state)
{
	struct channel *channel = open_shell("trap '' TERM; echo ready; while :; do sleep 1; done");
	int64_t before;
	char data[8];

	(void)state;
	assert_int_equal(read_some(channel, data, sizeof(data)), 6);
	before = clock_now();
	channel->ops->free(channel);
	assert_true(clock_now() - before < 5 * NS_PER_S);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);	/* reaped */
	assert_int_equal(errno, ECHILD);
}

static void test_not_sftp(void **state)
{
	char *argv[] = { "sh", "-c", "echo Welcome to this machine; exec cat", NULL };
	struct sftp_options options = { .connections = 1, .timeout_ns = 400 * NS_PER_MS };
	struct buf why = BUF_INIT;
	struct pipe_maker maker;
	struct sftp *sftp;

	(void)state;
	pipe_maker_init(&maker, argv);
	assert_true(sftp_connect(&maker.maker, &options, &sftp, &why) < 0);
	assert_non_null(strstr(buf_text(&why), "login shell"));
	buf_release(&why);
}

/* However early it ends, its last words decide whether trying again is of use. */
static void test_denied(void **state)
{
	char *argv[] = { "sh", "-c", "echo 'Permission denied (publickey).' >&2; exit 255", NULL };
	struct sftp_options options = { .connections = 1, .timeout_ns = 20 * NS_PER_S };
	struct buf why = BUF_INIT;
	struct pipe_maker maker;
	struct sftp *sftp;
	int i;

	(void)state;
	pipe_maker_init(&maker, argv);
	for (i = 0; i < 20; i++) {
		assert_int_equal(sftp_connect(&maker.maker, &options, &sftp, &why), -EACCES);
		assert_non_null(strstr(buf_text(&why), "Permission denied"));
		buf_reset(&why);
	}
	buf_release(&why);
}

static void test_fd(void **state)
{
	struct channel *channel;
	char data[8];
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	channel = channel_from_fd(ends[0]);
	assert_non_null(channel);
	assert_int_equal(channel->ops->read(channel, data, sizeof(data)), -EAGAIN);
	assert_int_equal(channel->ops->write(channel, "abc", 3), 3);
	assert_int_equal(read(ends[1], data, sizeof(data)), 3);
	close(ends[1]);
	assert_int_equal(read_some(channel, data, sizeof(data)), 0);
	assert_int_equal(channel->ops->write(channel, "abc", 3), -EPIPE);	/* and no signal */
	channel->ops->free(channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo), cmocka_unit_test(test_push_back), cmocka_unit_test(test_reason), cmocka_unit_test(test_end_with_bytes_unread),
		cmocka_unit_test(test_much_talk), cmocka_unit_test(test_final_errors), cmocka_unit_test(test_missing),
		cmocka_unit_test(test_surroundings), cmocka_unit_test(test_stubborn), cmocka_unit_test(test_not_sftp),
		cmocka_unit_test(test_denied), cmocka_unit_test(test_fd),
	};

	log_open("test_channel_pipe", LOG_LEVEL_ERROR);
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
