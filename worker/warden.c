/*
 * warden: waits on a pipe whose other end only the worker holds. The table of groups is shared memory, so that setting one costs nothing.
 */
#include "worker/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/stray.h"

#define WARDEN_ROUNDS 20

struct warden {
	_Atomic pid_t *groups;		/* shared with the warden */
	size_t bytes;
	pid_t pid;
	int pipe_fd;
};

/* Signals are for the worker to answer: a terminal's ^C comes to all its processes. */
static void __attribute__((noreturn)) warden_run(_Atomic pid_t *groups, unsigned int count, int fd, pid_t worker)
{
	char job[STRAY_JOB_MAX], byte;
	sigset_t all;
	unsigned int i, left = 0;
	ssize_t said;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "claim-warden");
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	while ((said = read(fd, &byte, 1)) < 0 && errno == EINTR)
		;
	for (i = 0; i < count; i++) {
		pid_t group = atomic_load(&groups[i]);

		if (group <= 1)
			continue;
		kill(-group, SIGKILL);
		left++;
	}
	if (left > 0 || said <= 0) {		/* or it was killed, and maybe while it ended what a job had left */
		stray_worker_name(worker, job);
		stray_kill_all(job, WARDEN_ROUNDS);
	}
	_exit(0);
}

int warden_new(unsigned int slots, struct warden **ret_warden)
{
	struct warden *warden = calloc(1, sizeof(*warden));
	int pipe_fds[2] = { -1, -1 }, error;
	unsigned int groups = slots + 1;
	pid_t worker = getpid();

	if (!warden)
		return -ENOMEM;
	warden->bytes = groups * sizeof(*warden->groups);
	warden->groups = mmap(NULL, warden->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (warden->groups == MAP_FAILED || pipe2(pipe_fds, O_CLOEXEC) < 0)
		goto fail;
	warden->pid = fork();
	if (warden->pid < 0)
		goto fail;
	if (warden->pid == 0) {
		close(pipe_fds[1]);
		warden_run(warden->groups, groups, pipe_fds[0], worker);
	}
	close(pipe_fds[0]);
	warden->pipe_fd = pipe_fds[1];
	*ret_warden = warden;
	return 0;
fail:
	error = -errno;
	io_close(&pipe_fds[0]);
	io_close(&pipe_fds[1]);
	if (warden->groups != MAP_FAILED)
		munmap(warden->groups, warden->bytes);
	free(warden);
	return error;
}

_Atomic pid_t *warden_group(struct warden *warden, unsigned int slot)
{
	return &warden->groups[slot];
}

pid_t warden_pid(const struct warden *warden)
{
	return warden->pid;
}

void warden_free(struct warden *warden)
{
	if (!warden)
		return;
	io_write_all(warden->pipe_fd, "", 1);
	close(warden->pipe_fd);
	while (waitpid(warden->pid, NULL, 0) < 0 && errno == EINTR)
		;
	munmap(warden->groups, warden->bytes);
	free(warden);
}
