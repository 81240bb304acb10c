/* memo_guard: see memo_guard.h. */
#include "tools/memo_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/children.h"
#include "base/clock.h"
#include "base/io.h"

#define ORPHANED SIGUSR1	/* the guard's, when claimctl has ended */

struct outcome {
	int error;		/* it could not be started */
	int status;
};

static int spawn(char **command, int out_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int error;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	error = -posix_spawnp(ret_pid, command[0], &actions, &attr, command, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return error;
}

static void block_signals(sigset_t *ret_signals)
{
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGCHLD);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGINT);
	sigaddset(ret_signals, SIGHUP);
	sigprocmask(SIG_BLOCK, ret_signals, NULL);
}

/* ---- the guard ---- */

/* What is below a killed process comes to the guard when that is reaped. */
static void __attribute__((noreturn)) kill_all(void)
{
	while (children_kill(NULL, NULL) > 0)
		while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
			;
	_exit(1);
}

/* True: the command has ended. Its orphans are reaped by the way. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = status;
		ended = true;
	}
	return ended;
}

static void __attribute__((noreturn)) guard(char **command, int out_fd, int to_fd, pid_t claimctl, sigset_t *signals)
{
	struct outcome outcome = { 0 };
	pid_t pid = -1;

	sigaddset(signals, ORPHANED);
	sigprocmask(SIG_BLOCK, signals, NULL);
	prctl(PR_SET_NAME, "memo-guard");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, ORPHANED);
	if (getppid() != claimctl)
		_exit(1);
	outcome.error = spawn(command, out_fd, &pid);
	while (!outcome.error && !reap(pid, &outcome.status)) {
		int number = sigwaitinfo(signals, NULL);

		if (getppid() != claimctl)
			kill_all();
		if (number > 0 && number != SIGCHLD && number != ORPHANED)
			kill(pid, number);
	}
	io_write_all(to_fd, &outcome, sizeof(outcome));
	_exit(0);
}

/* ---- claimctl ---- */

static void wait_for(pid_t pid, const sigset_t *signals, int64_t beat_ns, void (*beat)(const void *arg), const void *arg)
{
	const struct timespec pause = clock_timespec(beat_ns);

	while (waitpid(pid, NULL, WNOHANG) != pid) {
		int number = sigtimedwait(signals, NULL, &pause);

		if (number > 0 && number != SIGCHLD)
			kill(pid, number);
		beat(arg);
	}
}

int memo_guard_run(char **command, int out_fd, int64_t beat_ns, void (*beat)(const void *arg), const void *arg, int *ret_status)
{
	struct outcome outcome = { -ECHILD, 0 };
	pid_t claimctl = getpid(), pid;
	int pipe_fds[2], error;
	sigset_t signals;

	block_signals(&signals);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		guard(command, out_fd, pipe_fds[1], claimctl, &signals);
	error = pid < 0 ? -errno : 0;
	io_close(&pipe_fds[1]);
	if (!error) {
		wait_for(pid, &signals, beat_ns, beat, arg);
		if (io_read_full(pipe_fds[0], &outcome, sizeof(outcome)) != (ssize_t)sizeof(outcome))
			outcome.error = -ECHILD;
		error = outcome.error;
	}
	io_close(&pipe_fds[0]);
	*ret_status = outcome.status;
	return error;
}
