/*
 * stray: /proc/PID/environ.
 */
#include "worker/stray.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

#define STRAY_MAX_ENVIRON (4u << 20)
#define STRAY_VARIABLE "CLAIM_JOB="

void stray_job_name(pid_t worker, unsigned long long serial, char ret_name[STRAY_JOB_MAX])
{
	snprintf(ret_name, STRAY_JOB_MAX, "%d.%llu", (int)worker, serial);
}

void stray_worker_name(pid_t worker, char ret_name[STRAY_JOB_MAX])
{
	snprintf(ret_name, STRAY_JOB_MAX, "%d.", (int)worker);
}

static bool says_job(const char *text, size_t len, const char *job)
{
	const size_t skip = strlen(STRAY_VARIABLE), want = strlen(job);
	const char *at, *end = text + len;

	for (at = text; at < end; at += strnlen(at, (size_t)(end - at)) + 1) {
		size_t left = (size_t)(end - at);

		if (left < skip + want || memcmp(at, STRAY_VARIABLE, skip) != 0)
			continue;
		if (memcmp(at + skip, job, want) != 0)
			return false;
		return job[want - 1] == '.' || left == skip + want || at[skip + want] == '\0';
	}
	return false;
}

bool stray_is_of(pid_t pid, const char *job)
{
	struct buf text = BUF_INIT;
	char path[48];
	bool is;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	is = io_read_file(path, STRAY_MAX_ENVIRON, &text) == 0 && text.len > 0 && says_job(text.data, text.len, job);
	buf_release(&text);
	return is;
}

static int kill_round(const char *job)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	if (!proc)
		return 0;
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 1 && pid != getpid() && stray_is_of(pid, job) && kill(pid, SIGKILL) == 0)
			count++;
	}
	closedir(proc);
	return count;
}

void stray_kill_all(const char *job, int rounds)
{
	while (rounds-- > 0 && kill_round(job) > 0)
		;
}
