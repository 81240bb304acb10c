/*
 * background: see background.h. One byte through the pipe means "ready"; its end without one, that the new process ended, and its exit status is told.
 */
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

/* The old process: nothing of it may run at exit (buffers, handlers) that the new one will run as well. */
static void wait_for_verdict(int fd, pid_t child)
{
	int status;
	char byte;

	if (io_read_full(fd, &byte, 1) == 1)
		_exit(0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		log_error("ended by signal %d before it was mounted", WTERMSIG(status));
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
}

int background_begin(struct background *background)
{
	int fds[2];
	pid_t child;

	background->pipe = -1;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	child = fork();
	if (child < 0) {
		int error = -errno;

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (child) {
		close(fds[1]);
		wait_for_verdict(fds[0], child);
	}
	close(fds[0]);
	background->pipe = fds[1];
	return 0;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/"))
		log_debug("cannot change to /");
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

void background_ready(struct background *background)
{
	if (background->pipe < 0)
		return;
	log_to_syslog();
	leave_terminal();
	if (io_write_all(background->pipe, "", 1))
		log_debug("nobody waits");
	io_close(&background->pipe);
}
