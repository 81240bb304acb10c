/*
 * memory: see memory.h. What a kernel does not have (memory.peak before 5.19, cgroup.kill before 5.14, swap) is done without.
 */
#include "worker/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/list.h"

#define LEAVE_ROUNDS 50			/* for what was killed to be gone */
#define LEAVE_STEP_NS (10 * NS_PER_MS)

struct left {				/* a group that could not be removed yet */
	struct list link;
	struct buf dir;
};

struct memory {
	struct buf dir;			/* our own group */
	struct buf worker;		/* where this process is now */
	int64_t limit;
	struct buf *jobs;		/* by slot; empty: none */
	unsigned int slots;
	unsigned int serial;
	struct list left;
};

/* ---- groups that end ---- */

static void remove_left(struct memory *memory)
{
	struct list *position, *next;

	list_for_each_safe(position, next, &memory->left) {
		struct left *left = list_entry(position, struct left, link);

		if (rmdir(buf_text(&left->dir)) < 0 && errno != ENOENT)
			continue;
		list_remove(&left->link);
		buf_release(&left->dir);
		free(left);
	}
}

/* Processes that were killed stay in their group for a moment. */
static void remove_group(struct memory *memory, struct buf *dir)
{
	struct left *left;

	remove_left(memory);
	if (rmdir(buf_text(dir)) < 0) {
		left = calloc(1, sizeof(*left));
		if (left) {
			left->dir = *dir;
			*dir = (struct buf)BUF_INIT;
			list_append(&memory->left, &left->link);
		}
	}
	buf_reset(dir);
}

/* ---- jobs ---- */

int memory_begin(struct memory *memory, unsigned int slot, struct buf *ret_procs)
{
	struct buf *dir = &memory->jobs[slot];
	char limit[32];

	snprintf(limit, sizeof(limit), "%" PRId64, memory->limit);
	buf_addf(dir, "%s/job-%d-%u-%u", buf_text(&memory->dir), (int)getpid(), slot, ++memory->serial);
	buf_addf(ret_procs, "%s/cgroup.procs", buf_text(dir));
	if (buf_error(dir) || buf_error(ret_procs) || mkdir(buf_text(dir), 0755) < 0) {
		buf_reset(dir);
		return -EAGAIN;
	}
	if (cgroup_write(buf_text(dir), "memory.max", limit) < 0) {
		remove_group(memory, dir);
		return -EAGAIN;
	}
	cgroup_write(buf_text(dir), "memory.swap.max", "0");
	cgroup_write(buf_text(dir), "memory.oom.group", "1");
	return 0;
}

void memory_end(struct memory *memory, unsigned int slot, struct run_result *result)
{
	struct buf *dir = &memory->jobs[slot];
	int64_t peak;

	if (dir->len == 0)
		return;
	peak = cgroup_number(buf_text(dir), "memory.peak", "");
	result->group_peak = peak > 0 ? peak : 0;
	result->out_of_memory = cgroup_number(buf_text(dir), "memory.events", "oom_kill") > 0;
	cgroup_write(buf_text(dir), "cgroup.kill", "1");
	remove_group(memory, dir);
}

/* ---- life ---- */

static int divide(struct memory *memory)
{
	int error = mkdir(buf_text(&memory->worker), 0755) < 0 && errno != EEXIST ? -errno : 0;

	if (!error)
		error = cgroup_write(buf_text(&memory->worker), "cgroup.procs", "0");
	if (!error)
		error = cgroup_write(buf_text(&memory->dir), "cgroup.subtree_control", "+memory");
	return error;
}

static void join(struct memory *memory)
{
	cgroup_write(buf_text(&memory->dir), "cgroup.subtree_control", "-memory");
	cgroup_write(buf_text(&memory->dir), "cgroup.procs", "0");
	rmdir(buf_text(&memory->worker));
}

static void release(struct memory *memory)
{
	struct list *link;
	unsigned int i;

	while ((link = list_pop(&memory->left))) {
		buf_release(&list_entry(link, struct left, link)->dir);
		free(list_entry(link, struct left, link));
	}
	for (i = 0; memory->jobs && i < memory->slots; i++)
		buf_release(&memory->jobs[i]);
	free(memory->jobs);
	buf_release(&memory->dir);
	buf_release(&memory->worker);
	free(memory);
}

int memory_new(const char *root, const char *self, int64_t limit, unsigned int slots, struct memory **ret_memory)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	int error;

	if (!memory)
		return -ENOMEM;
	list_init(&memory->left);
	memory->limit = limit;
	memory->slots = slots;
	memory->jobs = calloc(slots, sizeof(*memory->jobs));
	error = memory->jobs ? cgroup_own(root, self, &memory->dir) : -ENOMEM;
	if (!error) {
		buf_addf(&memory->worker, "%s/worker", buf_text(&memory->dir));
		error = buf_error(&memory->worker);
	}
	if (!error) {
		error = divide(memory);
		if (error)
			join(memory);
	}
	if (error)
		release(memory);
	else
		*ret_memory = memory;
	return error;
}

void memory_free(struct memory *memory)
{
	const struct timespec step = { .tv_nsec = LEAVE_STEP_NS };
	int round;

	if (!memory)
		return;
	remove_left(memory);
	for (round = 0; round < LEAVE_ROUNDS && !list_empty(&memory->left); round++) {
		nanosleep(&step, NULL);
		remove_left(memory);
	}
	join(memory);
	release(memory);
}
