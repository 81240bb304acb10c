/*
 * ssh_run: posix_spawn, two pipes and a poll loop. posix_spawn because other threads run: between a fork and an exec
 * hardly anything is allowed.
 */
#include "sftp/ssh_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

struct run {
	pid_t pid;
	int output[2];		/* pipes: [0] is ours */
	int said[2];
};

static int spawn(struct run *run, char *const *argv, char *const *envp, bool want_said)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return -error;
	}
	/* A daemon's threads block signals; the child must not inherit that, nor SIGPIPE ignored. */
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, run->output[1], STDOUT_FILENO);
	if (!error && want_said)
		error = posix_spawn_file_actions_adddup2(&actions, run->said[1], STDERR_FILENO);
	if (!error)
		error = posix_spawnp(&run->pid, argv[0], &actions, &attributes, argv, envp ? envp : environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

/* Takes what is there; closes *fd at the end of file. */
static int take(int *fd, struct buf *to)
{
	char chunk[4096];
	ssize_t got = read(*fd, chunk, sizeof(chunk));

	if (got < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (got == 0) {
		io_close(fd);
		return 0;
	}
	buf_add(to, chunk, (size_t)got);
	return buf_error(to);
}

static int collect(struct run *run, int64_t deadline_ns, int cancel_fd, struct buf *output, struct buf *said)
{
	int error = 0;

	while (!error && (run->output[0] >= 0 || run->said[0] >= 0)) {
		struct pollfd fds[3] = {
			{ .fd = run->output[0], .events = POLLIN },
			{ .fd = run->said[0], .events = POLLIN },
			{ .fd = cancel_fd, .events = POLLIN },
		};
		int64_t left = deadline_ns - clock_now();
		struct timespec timeout = clock_timespec(left > 0 ? left : 0);

		if (left <= 0)
			return -ETIMEDOUT;
		if (ppoll(fds, 3, &timeout, NULL) < 0) {
			error = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (fds[2].revents)
			return -ECANCELED;
		if (fds[0].revents)
			error = take(&run->output[0], output);
		if (!error && fds[1].revents)
			error = take(&run->said[0], said);
	}
	return error;
}

/* The child has closed its output; it may live on, but not for ever. */
static int await_exit(pid_t pid, int64_t deadline_ns, int cancel_fd)
{
	struct pollfd fds[2] = {
		{ .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
	};
	int error = 0;
	int ready = 0;

	while (fds[0].fd >= 0 && !error && ready <= 0) {
		int64_t left = deadline_ns - clock_now();
		struct timespec timeout = clock_timespec(left > 0 ? left : 0);

		ready = ppoll(fds, 2, &timeout, NULL);
		if (ready == 0)
			error = -ETIMEDOUT;
		else if (ready < 0 && errno != EINTR)
			error = -errno;
		else if (ready > 0 && fds[1].revents)
			error = -ECANCELED;
	}
	io_close(&fds[0].fd);
	return error;
}

int ssh_run(char *const *argv, char *const *envp, int64_t deadline_ns, int cancel_fd, struct buf *output, struct buf *said,
	    int *ret_status)
{
	struct run run = { .pid = -1, .output = { -1, -1 }, .said = { -1, -1 } };
	int status = 0;
	int error = 0;

	if (pipe2(run.output, O_CLOEXEC) || (said && pipe2(run.said, O_CLOEXEC)))
		error = -errno;
	if (!error)
		error = spawn(&run, argv, envp, said);
	io_close(&run.output[1]);
	io_close(&run.said[1]);
	if (!error) {
		error = collect(&run, deadline_ns, cancel_fd, output, said);
		if (!error)
			error = await_exit(run.pid, deadline_ns, cancel_fd);
		if (error)
			kill(run.pid, SIGKILL);
		while (waitpid(run.pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	io_close(&run.output[0]);
	io_close(&run.said[0]);
	if (!error)
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return error;
}
