/*
 * doctor_look: measures this node: load, memory, limits, and what doctor_link and doctor_cipher measure.
 */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cgroup.h"
#include "base/cores.h"
#include "base/meminfo.h"
#include "tools/doctor.h"

static double limit_of(rlim_t limit)
{
	return limit == RLIM_INFINITY ? HUGE_VAL : (double)limit;
}

void doctor_look(const char *queue, bool transfer, struct doctor_node *ret_node)
{
	struct doctor_node node = { .cores = cores_count(), .rtt = -1, .files_soft = -1, .files_hard = -1 };
	struct buf group = BUF_INIT;
	struct rlimit files;

	node.slots = node.cores;	/* as many as claim-worker takes by itself */
	if (getloadavg(&node.load, 1) != 1)
		node.load = -1;
	node.memory_total = (double)meminfo_bytes("MemTotal");
	node.memory_available = (double)meminfo_bytes("MemAvailable");
	node.group_error = cgroup_own(CGROUP_ROOT, CGROUP_SELF, &group);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		node.files_soft = limit_of(files.rlim_cur);
		node.files_hard = limit_of(files.rlim_max);
	}
	doctor_look_link(queue, transfer, &node);
	doctor_look_cipher(&node);
	buf_release(&group);
	*ret_node = node;
}
