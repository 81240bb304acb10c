/*
 * children: /proc/self/task/TID/children.
 */
#include "base/children.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

#define CHILDREN_MAX_BYTES (4u << 20)

int children_kill(bool (*spare)(void *arg, pid_t pid), void *arg)
{
	struct buf text = BUF_INIT;
	char path[64], *at, *end;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (io_read_file(path, CHILDREN_MAX_BYTES, &text) == 0 && text.len > 0) {
		for (at = text.data; ; at = end) {
			pid_t pid = (pid_t)strtol(at, &end, 10);

			if (end == at)
				break;
			if (pid > 1 && !(spare && spare(arg, pid)) && kill(pid, SIGKILL) == 0)
				count++;
		}
	}
	buf_release(&text);
	return count;
}
