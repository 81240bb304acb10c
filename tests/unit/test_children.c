/* test_children: which of a process's children are killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/children.h"

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static bool is_this(void *arg, pid_t pid)
{
	return *(pid_t *)arg == pid;
}

static void assert_killed(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void all_but_the_spared_are_killed(void **state)
{
	pid_t one = sleeper(), spared = sleeper(), two = sleeper();

	(void)state;
	assert_int_equal(children_kill(is_this, &spared), 2);
	assert_killed(one);
	assert_killed(two);
	assert_int_equal(waitpid(spared, NULL, WNOHANG), 0);
	assert_int_equal(children_kill(NULL, NULL), 1);
	assert_killed(spared);
	assert_int_equal(children_kill(NULL, NULL), 0);
}

/* A subreaper's: what a child left behind. */
static void orphans_are_children(void **state)
{
	int pipe_fds[2];
	pid_t child, orphan = 0;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	if (child == 0) {
		orphan = sleeper();
		_exit(write(pipe_fds[1], &orphan, sizeof(orphan)) != sizeof(orphan));
	}
	assert_int_equal(read(pipe_fds[0], &orphan, sizeof(orphan)), sizeof(orphan));
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(children_kill(NULL, NULL), 1);
	assert_killed(orphan);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_but_the_spared_are_killed),
		cmocka_unit_test(orphans_are_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
