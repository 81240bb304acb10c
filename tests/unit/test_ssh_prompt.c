/*
 * test_ssh_prompt: asking on a terminal (a pseudo-terminal, with a person in another thread) and through SSH_ASKPASS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "sftp/ssh_login.h"
#include "sftp/ssh_prompt.h"
#include "sftp/ssh_run.h"

struct person {
	pthread_t thread;
	int master;
	int slave;
	const char *types;
	char sees[1024];
	size_t seen;
};

/* Waits for the question, types, and then reads what is shown until the line end. */
static void *live(void *arg)
{
	struct person *person = arg;
	bool typed = false;

	while (person->seen < sizeof(person->sees) - 1) {
		struct pollfd fd = { .fd = person->master, .events = POLLIN };
		ssize_t got;

		if (poll(&fd, 1, 10000) <= 0)
			break;
		got = read(person->master, person->sees + person->seen, sizeof(person->sees) - 1 - person->seen);
		if (got <= 0)
			break;
		person->seen += (size_t)got;
		if (!typed && strstr(person->sees, "? ")) {
			typed = true;
			io_write_all(person->master, person->types, strlen(person->types));
		}
		if (typed && strchr(person->sees, '\n'))
			break;
	}
	return NULL;
}

static void sit_down(struct person *person, const char *types)
{
	memset(person, 0, sizeof(*person));
	person->types = types;
	person->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(person->master >= 0);
	assert_int_equal(grantpt(person->master) || unlockpt(person->master), 0);
	person->slave = open(ptsname(person->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(person->slave >= 0);
	assert_int_equal(pthread_create(&person->thread, NULL, live, person), 0);
}

static void stand_up(struct person *person)
{
	struct termios now;

	pthread_join(person->thread, NULL);
	assert_int_equal(tcgetattr(person->slave, &now), 0);
	assert_true((now.c_lflag & ECHO) && (now.c_lflag & ICANON) && (now.c_lflag & ISIG));
	close(person->slave);
	close(person->master);
}

static void asks_on_a_terminal(void **state)
{
	static const struct {
		const char *types;
		bool echo;
		int error;
		const char *answer;
	} cases[] = {
		{ "secret\n", false, 0, "secret" },
		{ "secret\r", false, 0, "secret" },
		{ "secreX\177t\n", false, 0, "secret" },
		{ "wrong\025secret\n", false, 0, "secret" },
		{ "\b\b\177\n", false, 0, "" },
		{ "yes\n", true, 0, "yes" },
		{ "sec\003", false, -EINTR, NULL },
		{ "\004", false, -EINTR, NULL },
		{ "secret\004", false, 0, "secret" },
	};

	(void)state;
	unsetenv("SSH_ASKPASS");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ssh_limit limit = { .deadline_ns = clock_now() + 10 * NS_PER_S, .cancel_fd = -1 };
		struct ssh_secret *secret = NULL;
		struct ssh_prompt *prompt;
		struct person person;

		sit_down(&person, cases[i].types);
		prompt = ssh_prompt_new(person.slave);
		assert_true(ssh_prompt_can_ask(prompt));
		assert_int_equal(ssh_prompt_ask(prompt, "Who goes there? ", cases[i].echo, &limit, &secret), cases[i].error);
		stand_up(&person);
		if (cases[i].answer)
			assert_string_equal(secret->text, cases[i].answer);
		else
			assert_null(secret);
		assert_int_equal(strstr(person.sees, cases[i].echo ? "yes" : "sec") != NULL, cases[i].echo);
		ssh_secret_free(secret);
		ssh_prompt_free(prompt);
	}
}

/* Cancelling ends the question, and the time asked is added to the deadline. */
static void can_be_cancelled(void **state)
{
	int64_t deadline = clock_now() + NS_PER_S;
	struct ssh_limit limit = { .deadline_ns = deadline, .cancel_fd = io_wake_new() };
	struct ssh_secret *secret = NULL;
	struct ssh_prompt *prompt;
	struct person person;

	(void)state;
	unsetenv("SSH_ASKPASS");
	sit_down(&person, "");
	prompt = ssh_prompt_new(person.slave);
	io_wake(limit.cancel_fd);
	assert_int_equal(ssh_prompt_ask(prompt, "Who? ", false, &limit, &secret), -ECANCELED);
	assert_true(limit.deadline_ns > deadline);
	stand_up(&person);
	ssh_prompt_detach(prompt);
	assert_false(ssh_prompt_can_ask(prompt));
	assert_int_equal(ssh_prompt_ask(prompt, "Who? ", false, &limit, &secret), -ENOTTY);
	close(limit.cancel_fd);
	ssh_prompt_free(prompt);
}

static void make_program(char *path, const char *text)
{
	int fd;

	strcpy(path, "/tmp/claimfs-askpass-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void asks_a_program(void **state)
{
	struct ssh_limit limit = { .deadline_ns = clock_now() + 10 * NS_PER_S, .cancel_fd = -1 };
	struct ssh_prompt *prompt = ssh_prompt_new(-1);
	struct ssh_secret *secret = NULL;
	char path[64];

	(void)state;
	make_program(path, "#!/bin/sh\necho \"answer to $1\"\necho more\n");
	setenv("SSH_ASKPASS", path, 1);
	assert_true(ssh_prompt_can_ask(prompt));
	assert_int_equal(ssh_prompt_ask(prompt, "you; $(touch /x)", false, &limit, &secret), 0);
	assert_string_equal(secret->text, "answer to you; $(touch /x)");
	ssh_secret_free(secret);
	unlink(path);

	make_program(path, "#!/bin/sh\nexit 1\n");
	setenv("SSH_ASKPASS", path, 1);
	assert_int_equal(ssh_prompt_ask(prompt, "you", false, &limit, &secret), -EINTR);
	unlink(path);
	assert_int_equal(ssh_prompt_ask(prompt, "you", false, &limit, &secret), -ENOTTY);

	make_program(path, "#!/bin/sh\nyes\n");
	setenv("SSH_ASKPASS", path, 1);
	assert_true(ssh_prompt_ask(prompt, "you", false, &limit, &secret) < 0);	/* endless output */
	setenv("SSH_ASKPASS_REQUIRE", "never", 1);
	assert_false(ssh_prompt_can_ask(prompt));
	unsetenv("SSH_ASKPASS_REQUIRE");
	ssh_prompt_forbid(prompt);
	assert_false(ssh_prompt_can_ask(prompt));
	unlink(path);
	unsetenv("SSH_ASKPASS");
	ssh_prompt_free(prompt);
}

/* SSH_ASKPASS_REQUIRE puts the program before the terminal: "prefer" only where it has a display. */
static void asks_a_program_first(void **state)
{
	static const struct {
		const char *require, *display, *expected;
	} cases[] = {
		{ "force", NULL, "program" }, { "prefer", ":0", "program" }, { "prefer", NULL, "person" }, { "never", ":0", "person" },
	};
	char path[64];

	(void)state;
	make_program(path, "#!/bin/sh\necho program\n");
	unsetenv("WAYLAND_DISPLAY");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ssh_limit limit = { .deadline_ns = clock_now() + 10 * NS_PER_S, .cancel_fd = -1 };
		struct ssh_secret *secret = NULL;
		struct ssh_prompt *prompt;
		struct person person;

		setenv("SSH_ASKPASS", path, 1);
		setenv("SSH_ASKPASS_REQUIRE", cases[i].require, 1);
		if (cases[i].display)
			setenv("DISPLAY", cases[i].display, 1);
		else
			unsetenv("DISPLAY");
		sit_down(&person, strcmp(cases[i].expected, "person") ? "" : "person\r");
		prompt = ssh_prompt_new(person.slave);
		assert_int_equal(ssh_prompt_ask(prompt, "Who? ", false, &limit, &secret), 0);
		assert_string_equal(secret->text, cases[i].expected);
		stand_up(&person);
		ssh_secret_free(secret);
		ssh_prompt_free(prompt);
	}
	unlink(path);
	unsetenv("SSH_ASKPASS");
	unsetenv("SSH_ASKPASS_REQUIRE");
	unsetenv("DISPLAY");
}

static void runs_programs(void **state)
{
	char *sleeper[] = { "sleep", "100", NULL };
	char *closer[] = { "sh", "-c", "exec >&- 2>&-; exec sleep 100", NULL };
	char *talker[] = { "sh", "-c", "echo out; echo err >&2; exit 3", NULL };
	char *killed[] = { "sh", "-c", "kill -9 $$", NULL };
	char *missing[] = { "/nonexistent/program", NULL };
	struct buf output = BUF_INIT;
	struct buf said = BUF_INIT;
	int64_t begun = clock_now();
	int status = -1;
	int cancel = io_wake_new();

	(void)state;
	assert_int_equal(ssh_run(talker, NULL, begun + 10 * NS_PER_S, -1, &output, &said, &status), 0);
	assert_string_equal(buf_text(&output), "out\n");
	assert_string_equal(buf_text(&said), "err\n");
	assert_int_equal(status, 3);
	assert_int_equal(ssh_run(killed, NULL, begun + 10 * NS_PER_S, -1, &output, NULL, &status), 0);
	assert_int_equal(status, 128 + 9);
	assert_int_equal(ssh_run(missing, NULL, begun + 10 * NS_PER_S, -1, &output, NULL, &status), -ENOENT);
	assert_int_equal(ssh_run(sleeper, NULL, clock_now() + NS_PER_S / 5, -1, &output, &said, &status), -ETIMEDOUT);
	assert_int_equal(ssh_run(closer, NULL, clock_now() + NS_PER_S / 5, -1, &output, &said, &status), -ETIMEDOUT);
	io_wake(cancel);
	assert_int_equal(ssh_run(sleeper, NULL, clock_now() + 50 * NS_PER_S, cancel, &output, &said, &status), -ECANCELED);
	assert_int_equal(ssh_run(closer, NULL, clock_now() + 50 * NS_PER_S, cancel, &output, &said, &status), -ECANCELED);
	assert_true(clock_now() - begun < 20 * NS_PER_S);
	close(cancel);
	buf_release(&output);
	buf_release(&said);
}

static void keeps_passwords(void **state)
{
	char *no_files[] = { NULL };
	struct ssh_limit limit = { .deadline_ns = clock_now() + 10 * NS_PER_S, .cancel_fd = -1 };
	struct ssh_login *login = ssh_login_new(-1, no_files, NULL);
	struct ssh_secret *secret = NULL;
	struct ssh_secret *typed = ssh_secret_new("typed", 5);

	(void)state;
	unsetenv("SSH_ASKPASS");
	assert_false(ssh_login_has_password(login));
	assert_int_equal(ssh_login_password(login, 0, "? ", &limit, &secret), -ENOTTY);
	ssh_login_remember(login, typed);
	assert_int_equal(ssh_login_password(login, 0, "? ", &limit, &secret), 0);
	assert_string_equal(secret->text, "typed");
	assert_int_equal(ssh_login_password(login, 1, "? ", &limit, &typed), -ENOTTY);	/* it was refused: ask anew */
	ssh_secret_free(secret);
	ssh_secret_free(typed);
	ssh_login_free(login);

	login = ssh_login_new(-1, no_files, "given");
	assert_int_equal(ssh_login_password(login, 0, "? ", &limit, &secret), 0);
	assert_string_equal(secret->text, "given");
	assert_int_equal(secret->len, 5);
	ssh_secret_free(secret);
	ssh_login_free(login);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_on_a_terminal),
		cmocka_unit_test(can_be_cancelled),
		cmocka_unit_test(asks_a_program),
		cmocka_unit_test(asks_a_program_first),
		cmocka_unit_test(runs_programs),
		cmocka_unit_test(keeps_passwords),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
