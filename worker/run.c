/*
 * run: vfork and exec, wait4, and /proc/PID/io. vfork because posix_spawn can't set PR_SET_PDEATHSIG, and fork's cost grows with the
 * worker's memory. Between vfork and exec the child runs on our memory: it calls only what is safe there, and tells the error of
 * exec through it.
 */
#include "worker/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/keyed.h"

struct start {
	const struct run_spec *spec;
	int null_fd;
	pid_t parent;
	volatile int error;
};

static void restore_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int limit_memory(int64_t bytes)
{
	struct rlimit limit;

	if (bytes <= 0)
		return 0;
	limit.rlim_cur = limit.rlim_max = (rlim_t)bytes;
	return setrlimit(RLIMIT_AS, &limit);
}

static int enter_group(const char *procs)
{
	int fd, error;

	if (!procs)
		return 0;
	fd = open(procs, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	error = write(fd, "0", 1) == 1 ? 0 : -errno;
	close(fd);
	return error;
}

/* In the child. Comes back only when exec failed. */
static int become(const struct start *start)
{
	const struct run_spec *spec = start->spec;
	int error;

	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (spec->group)		/* before anybody can know of it but the warden */
		atomic_store(spec->group, getpid());
	if (getppid() != start->parent)		/* died before we asked to be told */
		_exit(127);
	if (dup2(spec->in_fd >= 0 ? spec->in_fd : start->null_fd, STDIN_FILENO) < 0 ||
	    (spec->out_fd >= 0 && dup2(spec->out_fd, STDOUT_FILENO) < 0) || dup2(spec->err_fd, STDERR_FILENO) < 0)
		return -errno;
	if (spec->nice) {
		errno = 0;
		if (nice(spec->nice) == -1 && errno)
			return -errno;
	}
	if (limit_memory(spec->memory) < 0)
		return -errno;
	error = enter_group(spec->cgroup);
	if (error)
		return error;
	restore_signals();
	if (spec->file)
		execve(spec->file, spec->argv, spec->envp);	/* gone, or for a shell: the long way */
	execvpe(spec->argv[0], spec->argv, spec->envp);
	return -errno;
}

static pid_t __attribute__((noinline)) start_child(struct start *start)
{
	pid_t pid = vfork();

	if (pid == 0) {
		start->error = become(start);
		_exit(127);
	}
	return pid;
}

int run_start(const struct run_spec *spec)
{
	struct start start = { .spec = spec, .null_fd = -1, .parent = getpid() };
	pid_t pid;
	int error;

	if (spec->in_fd < 0) {
		start.null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (start.null_fd < 0)
			return -errno;
	}
	pid = start_child(&start);
	error = pid < 0 ? -errno : start.error;
	io_close(&start.null_fd);
	if (error && spec->group)
		atomic_store(spec->group, 0);
	if (error && pid > 0)
		waitpid(pid, NULL, 0);
	return error ? error : pid;
}

pid_t run_ended(void)
{
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return 0;
	return info.si_pid;
}

/* The dead process still has its /proc entry until it is reaped; what it waited for is counted in. */
static void read_io(pid_t pid, struct run_result *result)
{
	char path[48], text[512];
	ssize_t len;
	int fd;

	result->read_bytes = result->written_bytes = -1;
	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = io_read_full(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return;
	text[len] = '\0';
	result->read_bytes = keyed_number(text, "rchar");
	result->written_bytes = keyed_number(text, "wchar");
}

static int64_t timeval_ns(struct timeval time)
{
	return time.tv_sec * NS_PER_S + time.tv_usec * NS_PER_US;
}

int run_reap(pid_t pid, int64_t started_ns, struct run_result *ret_result)
{
	struct run_result result = { 0 };
	struct rusage usage;

	read_io(pid, &result);
	if (wait4(pid, &result.status, WNOHANG, &usage) != pid)
		return -ECHILD;
	result.wall_ns = clock_now() - started_ns;
	result.user_ns = timeval_ns(usage.ru_utime);
	result.sys_ns = timeval_ns(usage.ru_stime);
	result.max_rss = (int64_t)usage.ru_maxrss * 1024;
	*ret_result = result;
	return 0;
}

void run_signal_group(pid_t pid, int signal_number)
{
	if (pid > 1)
		kill(-pid, signal_number);
}

bool run_error_is_final(int error)
{
	return error != -EAGAIN && error != -ENOMEM && error != -EMFILE && error != -ENFILE && error != -ETXTBSY;
}

static int try_file(const char *path, char **ret_file)
{
	if (access(path, X_OK) < 0)
		return -errno;
	*ret_file = strdup(path);
	return *ret_file ? 0 : -ENOMEM;
}

int run_find(const char *command, char **ret_file)
{
	const char *path = getenv("PATH");
	int error = -ENOENT;

	if (strchr(command, '/'))
		return try_file(command, ret_file);
	for (path = path ? path : "/bin:/usr/bin"; error && path; path = strchr(path, ':'), path = path ? path + 1 : NULL) {
		size_t len = strcspn(path, ":");
		struct buf file = BUF_INIT;

		buf_addf(&file, "%.*s/%s", len ? (int)len : 1, len ? path : ".", command);
		error = buf_error(&file) ? buf_error(&file) : try_file(buf_text(&file), ret_file);
		buf_release(&file);
	}
	return error;
}
