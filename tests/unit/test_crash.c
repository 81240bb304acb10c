/* crash: what a program says when a signal ends it, and that the signal ends it all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"

static char said[4096];

/* Runs it in a process that watches: the signal that ended it, and what it said in `said`. */
static int signal_of(void (*end)(void))
{
	const struct rlimit no_core = { 0 };
	int fds[2], status;
	pid_t child;
	ssize_t len;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		dup2(fds[1], STDERR_FILENO);
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGSEGV, SIG_DFL);	/* cmocka's, or a sanitizer's */
		signal(SIGABRT, SIG_DFL);
		log_open("test", LOG_LEVEL_INFO);
		crash_watch();
		end();
		_exit(0);
	}
	close(fds[1]);
	len = io_read_full(fds[0], said, sizeof(said) - 1);
	assert_true(len >= 0);
	said[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static bool says(const char *begin)
{
	return !strncmp(said, begin, strlen(begin)) && strchr(said, '\n') == said + strlen(said) - 1;
}

static void fault(void)
{
	volatile uintptr_t nowhere = 0x10;

	*(volatile int *)nowhere = 1;
}

static void *fault_in_thread(void *arg)
{
	fault();
	return arg;
}

static void other_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, fault_in_thread, NULL);
	pthread_join(thread, NULL);
}

static int deeper(volatile char *above, unsigned int more)
{
	volatile char here[4096];

	here[0] = *above;
	return more ? deeper(here, more - 1) + here[0] : 0;
}

static void overflow(void)
{
	char top = 0;

	deeper(&top, UINT32_MAX);
}

static void stray(void)
{
	raise(SIGUSR1);
}

static void handled_later(void)
{
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
}

static void test_faults(void **state)
{
	(void)state;
	assert_int_equal(signal_of(fault), SIGSEGV);
	assert_true(says("test: ended by SIGSEGV at address 0x10, thread "));
	assert_non_null(strstr(said, " test_crash+0x"));
	assert_int_equal(signal_of(other_thread), SIGSEGV);
	assert_true(says("test: ended by SIGSEGV at address 0x10, thread "));
	assert_non_null(strstr(said, " libc.so.6+0x"));
}

static void test_overflow(void **state)
{
	(void)state;
	assert_int_equal(signal_of(overflow), SIGSEGV);
	assert_true(says("test: ended by SIGSEGV at address 0x"));
}

static void test_signals(void **state)
{
	(void)state;
	assert_int_equal(signal_of(abort), SIGABRT);
	assert_true(says("test: ended by SIGABRT, thread "));
	assert_int_equal(signal_of(stray), SIGUSR1);
	assert_true(says("test: ended by SIGUSR1, thread "));
	assert_int_equal(signal_of(handled_later), 0);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
