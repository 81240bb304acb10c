/*
 * doctor_look: measures this node: /proc, limits, and what doctor_link and doctor_cipher measure.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cores.h"
#include "base/io.h"
#include "tools/doctor.h"

#define MAX_PROC 65536

/* The number behind `name` in a file of /proc; < 0: there is none. */
static double proc_number(const char *path, const char *name)
{
	struct buf text = BUF_INIT;
	const char *at;
	double number = -1;

	if (io_read_file(path, MAX_PROC, &text) == 0) {
		at = strstr(buf_text(&text), name);
		if (at && text.len > 0)
			number = strtod(at + strlen(name), NULL);
	}
	buf_release(&text);
	return number;
}

static double limit_of(rlim_t limit)
{
	return limit == RLIM_INFINITY ? HUGE_VAL : (double)limit;
}

void doctor_look(const char *queue, bool transfer, struct doctor_node *ret_node)
{
	struct doctor_node node = { .cores = cores_count(), .rtt = -1, .files_soft = -1, .files_hard = -1 };
	struct rlimit files;
	double kib;

	node.slots = node.cores;	/* as many as claim-worker takes by itself */
	node.load = proc_number("/proc/loadavg", "");
	kib = proc_number("/proc/meminfo", "MemTotal:");
	node.memory_total = kib > 0 ? 1024 * kib : -1;
	kib = proc_number("/proc/meminfo", "MemAvailable:");
	node.memory_available = kib > 0 ? 1024 * kib : 0;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		node.files_soft = limit_of(files.rlim_cur);
		node.files_hard = limit_of(files.rlim_max);
	}
	doctor_look_link(queue, transfer, &node);
	doctor_look_cipher(&node);
	*ret_node = node;
}
