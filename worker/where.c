/*
 * where: /proc/PID/task/TID/syscall names the call that a thread sleeps in; the descriptor tells files from pipes and sockets.
 */
#include "worker/where.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define WHERE_DEEPEST 8		/* a job's shell, its script, its program … */
#define WHERE_MOST 64		/* threads that one look is at: of more, some */

struct tally {
	unsigned int left;	/* threads that may still be looked at */
	unsigned int count[4];	/* of threads, by enum where */
};

static const struct {
	long number;
	enum where where;
	bool has_fd;
} calls[] = {
	{ SYS_read, WHERE_READING, true }, { SYS_pread64, WHERE_READING, true }, { SYS_readv, WHERE_READING, true },
	{ SYS_preadv, WHERE_READING, true }, { SYS_getdents64, WHERE_READING, true }, { SYS_openat, WHERE_READING, false },
	{ SYS_statx, WHERE_READING, false }, { SYS_execve, WHERE_READING, false }, { SYS_preadv2, WHERE_READING, true },
	{ SYS_faccessat, WHERE_READING, false }, { SYS_faccessat2, WHERE_READING, false }, { SYS_readlinkat, WHERE_READING, false },
	{ SYS_getxattr, WHERE_READING, false }, { SYS_lgetxattr, WHERE_READING, false },
#ifdef SYS_open
	{ SYS_open, WHERE_READING, false }, { SYS_access, WHERE_READING, false }, { SYS_stat, WHERE_READING, false }, { SYS_lstat, WHERE_READING, false },
	{ SYS_rename, WHERE_WRITING, false }, { SYS_mkdir, WHERE_WRITING, false }, { SYS_unlink, WHERE_WRITING, false },
#endif
#ifdef SYS_newfstatat
	{ SYS_newfstatat, WHERE_READING, false },
#endif
	{ SYS_write, WHERE_WRITING, true }, { SYS_pwrite64, WHERE_WRITING, true }, { SYS_writev, WHERE_WRITING, true },
	{ SYS_pwritev, WHERE_WRITING, true }, { SYS_close, WHERE_WRITING, false }, { SYS_fsync, WHERE_WRITING, true },
	{ SYS_fdatasync, WHERE_WRITING, true }, { SYS_ftruncate, WHERE_WRITING, true }, { SYS_renameat2, WHERE_WRITING, false },
	{ SYS_mkdirat, WHERE_WRITING, false }, { SYS_unlinkat, WHERE_WRITING, false }, { SYS_pwritev2, WHERE_WRITING, true },
	/* What is copied within a disk never comes here to be read. */
	{ SYS_copy_file_range, WHERE_WRITING, true }, { SYS_sendfile, WHERE_WRITING, true }, { SYS_fallocate, WHERE_WRITING, true },
	{ SYS_sync_file_range, WHERE_WRITING, true }, { SYS_syncfs, WHERE_WRITING, true }, { SYS_sync, WHERE_WRITING, false },
	{ SYS_msync, WHERE_WRITING, false }, { SYS_linkat, WHERE_WRITING, false }, { SYS_symlinkat, WHERE_WRITING, false },
	{ SYS_utimensat, WHERE_WRITING, false },
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

static bool read_proc(pid_t pid, pid_t thread, const char *file, char text[256])
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)thread, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = io_read_full(fd, text, 255);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

static bool is_file(pid_t pid, int fd)
{
	char path[64], target[2];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return readlink(path, target, sizeof(target)) > 0 && target[0] == '/';
}

static enum where where_thread(pid_t pid, pid_t thread)
{
	enum where where;
	char text[256];
	int fd;

	if (!read_proc(pid, thread, "syscall", text))
		return WHERE_ELSE;
	where = where_parse(text, &fd);
	return fd >= 0 && !is_file(pid, fd) ? WHERE_ELSE : where;
}

static void add_process(pid_t pid, int depth, struct tally *tally);

/* Of very many, those that fit in the text: each is followed by a space. */
static void add_children(pid_t pid, pid_t thread, int depth, struct tally *tally)
{
	char text[256], *at = text, *end;

	if (depth == WHERE_DEEPEST || !read_proc(pid, thread, "children", text))
		return;
	for (; tally->left > 0 && (end = strchr(at, ' ')); at = end + 1)
		add_process((pid_t)atoi(at), depth + 1, tally);
}

/* So that, of more threads than may be looked at, others are the next time. */
static void skip_some(DIR *tasks, unsigned int left)
{
	struct stat st;
	uint64_t threads, skip;

	if (fstat(dirfd(tasks), &st) < 0 || st.st_nlink <= 2 + left)	/* each thread is a directory in it */
		return;
	threads = st.st_nlink - 2;
	for (skip = clock_random() % (threads - left + 1); skip > 0; skip--)
		readdir(tasks);
}

static void add_process(pid_t pid, int depth, struct tally *tally)
{
	struct dirent *entry;
	char path[32];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return;
	skip_some(tasks, tally->left);
	while (tally->left > 0 && tally->count[WHERE_READY] == 0 && (entry = readdir(tasks))) {
		pid_t thread = (pid_t)atoi(entry->d_name);

		if (thread <= 0)
			continue;
		tally->left--;
		tally->count[where_thread(pid, thread)]++;
		add_children(pid, thread, depth, tally);
	}
	closedir(tasks);
}

enum where where_is(pid_t pid)
{
	struct tally tally = { .left = WHERE_MOST };

	add_process(pid, 0, &tally);
	if (tally.count[WHERE_READY] > 0)
		return WHERE_READY;
	if (tally.count[WHERE_READING] + tally.count[WHERE_WRITING] == 0)
		return WHERE_ELSE;
	return tally.count[WHERE_READING] >= tally.count[WHERE_WRITING] ? WHERE_READING : WHERE_WRITING;
}
