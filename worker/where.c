/*
 * where: /proc/PID/syscall names the call that a process sleeps in; the descriptor tells files from pipes and sockets.
 */
#include "worker/where.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define WHERE_DEEPEST 8		/* a job's shell, its script, its program … */

static const struct {
	long number;
	enum where where;
	bool has_fd;
} calls[] = {
	{ SYS_read, WHERE_READING, true }, { SYS_pread64, WHERE_READING, true }, { SYS_readv, WHERE_READING, true },
	{ SYS_preadv, WHERE_READING, true }, { SYS_getdents64, WHERE_READING, true }, { SYS_openat, WHERE_READING, false },
	{ SYS_statx, WHERE_READING, false }, { SYS_execve, WHERE_READING, false },
#ifdef SYS_open
	{ SYS_open, WHERE_READING, false }, { SYS_stat, WHERE_READING, false }, { SYS_lstat, WHERE_READING, false },
	{ SYS_rename, WHERE_WRITING, false }, { SYS_mkdir, WHERE_WRITING, false }, { SYS_unlink, WHERE_WRITING, false },
#endif
#ifdef SYS_newfstatat
	{ SYS_newfstatat, WHERE_READING, false },
#endif
	{ SYS_write, WHERE_WRITING, true }, { SYS_pwrite64, WHERE_WRITING, true }, { SYS_writev, WHERE_WRITING, true },
	{ SYS_pwritev, WHERE_WRITING, true }, { SYS_close, WHERE_WRITING, false }, { SYS_fsync, WHERE_WRITING, true },
	{ SYS_fdatasync, WHERE_WRITING, true }, { SYS_ftruncate, WHERE_WRITING, true }, { SYS_renameat2, WHERE_WRITING, false },
	{ SYS_mkdirat, WHERE_WRITING, false }, { SYS_unlinkat, WHERE_WRITING, false },
};

enum where where_parse(const char *syscall, int *ret_fd)
{
	char *end;
	long number = strtol(syscall, &end, 10);
	size_t i;

	*ret_fd = -1;
	if (strncmp(syscall, "running", 7) == 0)	/* or it would be, if a processor were free */
		return WHERE_READY;
	if (end != syscall && number == -1)	/* it sleeps in no call: a page of a file is on its way; one that is dead has no stack either */
		return strtoull(end, NULL, 16) ? WHERE_READING : WHERE_ELSE;
	for (i = 0; end != syscall && i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].number != number)
			continue;
		if (calls[i].has_fd)
			*ret_fd = (int)strtol(end, NULL, 16);
		return calls[i].where;
	}
	return WHERE_ELSE;
}

static bool read_proc(pid_t pid, const char *file, char text[256])
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = io_read_full(fd, text, 255);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

static pid_t newest_child(pid_t pid)
{
	char file[48], text[256];
	const char *last;

	snprintf(file, sizeof(file), "task/%d/children", (int)pid);
	if (!read_proc(pid, file, text))
		return 0;
	text[strlen(text) - 1] = '\0';		/* each is followed by a space */
	last = strrchr(text, ' ');
	return (pid_t)atoi(last ? last + 1 : text);
}

static bool is_file(pid_t pid, int fd)
{
	char path[64], target[2];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return readlink(path, target, sizeof(target)) > 0 && target[0] == '/';
}

enum where where_is(pid_t pid)
{
	char text[256];
	enum where where;
	pid_t child;
	int i, fd;

	for (i = 0; i < WHERE_DEEPEST && (child = newest_child(pid)) > 0; i++)
		pid = child;
	if (!read_proc(pid, "syscall", text))
		return WHERE_ELSE;
	where = where_parse(text, &fd);
	return fd >= 0 && !is_file(pid, fd) ? WHERE_ELSE : where;
}

int64_t where_cpu_ns(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		return 0;
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}
