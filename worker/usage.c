/* usage: /proc/PID/stat, status and clear_refs, and the process's clock, which is finer. */
#include "worker/usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/keyed.h"

#define USAGE_MAX_FILE 16384

int64_t usage_cpu_ns(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		return 0;
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static int read_file(pid_t pid, const char *name, struct buf *ret_text)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return io_read_file(path, USAGE_MAX_FILE, ret_text);
}

/* The name of the command, in parentheses, may hold anything: what is behind the last one counts. */
int64_t usage_children_cpu_ns(pid_t pid)
{
	struct buf text = BUF_INIT;
	long long user = 0, sys = 0, ticks = sysconf(_SC_CLK_TCK);
	const char *at = NULL;

	if (read_file(pid, "stat", &text) == 0)
		at = strrchr(buf_text(&text), ')');
	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lld %lld", &user, &sys) != 2)
		user = sys = 0;
	buf_release(&text);
	return (user + sys) * (NS_PER_S / ticks);
}

bool usage_reset_peak(pid_t pid)
{
	char path[48];
	bool is_reset;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_reset = write(fd, "5", 1) == 1;
	close(fd);
	return is_reset;
}

int64_t usage_peak(pid_t pid)
{
	struct buf text = BUF_INIT;
	int64_t kib = -1;

	if (read_file(pid, "status", &text) == 0)
		kib = keyed_number(buf_text(&text), "VmHWM");
	buf_release(&text);
	return kib < 0 ? -1 : kib * 1024;
}
