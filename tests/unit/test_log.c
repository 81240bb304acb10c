/* log: what reaches standard error, caught in a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

static int64_t fake_now = NS_PER_S;

static int64_t fake_source(void)
{
	return fake_now;
}

struct capture {
	int saved;
	int pipe[2];
};

static void capture_begin(struct capture *capture)
{
	capture->saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(capture->pipe), 0);
	assert_int_equal(io_set_nonblock(capture->pipe[0], true), 0);
	assert_int_equal(dup2(capture->pipe[1], STDERR_FILENO), STDERR_FILENO);
}

/* What was written, up to its end; never more than a pipe holds in these tests. */
static const char *capture_end(struct capture *capture, char text[16384])
{
	ssize_t len;

	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	close(capture->pipe[1]);
	len = read(capture->pipe[0], text, 16383);
	close(capture->pipe[0]);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void test_levels(void **state)
{
	struct capture capture;
	char text[16384];

	(void)state;
	log_open("prog", LOG_LEVEL_WARN);
	capture_begin(&capture);
	log_error("no %s", "way");
	log_warn("careful");
	log_info("hidden");
	log_debug("hidden");
	log_set_level(LOG_LEVEL_DEBUG);
	log_info("seen\n");
	log_debug("seen");
	assert_string_equal(capture_end(&capture, text), "prog: no way\nprog: warning: careful\nprog: seen\nprog: debug: seen\n");
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
}

static void test_one_printable_line(void **state)
{
	struct capture capture;
	char text[16384];

	(void)state;
	log_open("prog", LOG_LEVEL_INFO);
	capture_begin(&capture);
	log_error("name '%s'", "a\nb\x1b[31m\x7f \xc3\xa9");
	assert_string_equal(capture_end(&capture, text), "prog: name 'a%0Ab%1B[31m%7F \xc3\xa9'\n");
}

static void test_long_messages_are_cut(void **state)
{
	struct capture capture;
	char text[16384], name[6000];
	size_t len;

	(void)state;
	memset(name, '\t', sizeof(name) - 2);
	name[sizeof(name) - 2] = '.';
	name[sizeof(name) - 1] = '\0';
	capture_begin(&capture);
	log_error("%s", name);
	len = strlen(capture_end(&capture, text));
	assert_in_range(len, 1000, 4200);
	assert_int_equal(text[len - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
}

static void test_errno_survives(void **state)
{
	struct capture capture;
	char text[16384];

	(void)state;
	capture_begin(&capture);
	errno = ESTALE;
	log_error("%s", log_strerror(-ENOENT));
	assert_int_equal(errno, ESTALE);
	assert_string_equal(capture_end(&capture, text), "prog: No such file or directory\n");
	assert_string_equal(log_strerror(EACCES), log_strerror(-EACCES));
}

static void test_limited(void **state)
{
	long long last = 0;

	(void)state;
	clock_set_source(fake_source);
	assert_true(log_allowed(&last));
	assert_false(log_allowed(&last));
	fake_now += LOG_LIMITED_S * NS_PER_S - 1;
	assert_false(log_allowed(&last));
	fake_now += 1;
	assert_true(log_allowed(&last));
	assert_false(log_allowed(&last));
	clock_set_source(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_one_printable_line),
		cmocka_unit_test(test_long_messages_are_cut),
		cmocka_unit_test(test_errno_survives),
		cmocka_unit_test(test_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
