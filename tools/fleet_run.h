/*
 * fleet_run: runs many commands at once (ssh, providers), each for one machine. Their output is collected, or shown line by line with the
 * machine's name before it.
 *
 * One thread, one poll(2). A command is over when its process is (a pidfd says so): what ssh left behind, a ControlMaster say, may keep
 * the pipes open for ever.
 */
#ifndef CLAIMFS_TOOLS_FLEET_RUN_H
#define CLAIMFS_TOOLS_FLEET_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "tools/fleet_words.h"

#define RUN_TIMED_OUT 124	/* statuses as timeout(1) and shells give them */
#define RUN_NOT_STARTED 127
#define RUN_SSH_FAILED 255

struct run_task {
	const char *name;
	struct words argv;
	int input_fd;			/* read from its beginning, by several tasks at once; -1: /dev/null */
	int64_t not_before_ns;		/* on clock_now()'s clock */
	/* Filled: */
	int status;			/* the exit status, 128 + signal, or one of the above */
	struct buf out, err;		/* all of it, up to 1 MiB; with `show' the last lines of err alone */
	int step;			/* for whoever has `done' */
	/* Private: */
	enum { RUN_WAITING, RUN_RUNNING, RUN_OVER } state;
	pid_t pid;
	int pidfd, out_fd, err_fd;
	int64_t ends_ns;
	bool terminated;
	struct buf out_line, err_line;
};

struct run {
	struct run_task *tasks;
	size_t count;
	size_t at_once;			/* 0: RUN_AT_ONCE */
	int64_t limit_ns;		/* for each command; 0: none */
	bool show;			/* line by line, the name before each, instead of collecting it */
	bool colour;
	int name_width;
	/* When a command is over. True: run the task again, with what its argv and not_before_ns hold now. */
	bool (*done)(struct run *run, struct run_task *task);
	void *context;
};

#define RUN_AT_ONCE 64

/* Tasks for `count` commands, all empty. 0 or -ENOMEM. */
int run_init(struct run *run, size_t count);
void run_release(struct run *run);

/* 0 once all are over, or -errno when nothing could be done at all; how each went is in its status. */
int run_all(struct run *run);

/* The worst status of all. */
int run_worst(const struct run *run);

/* One command, collected: its status; `ret_out` and `ret_err` may be NULL. */
int run_one(char *const *argv, int64_t limit_ns, struct buf *ret_out, struct buf *ret_err);

/* The last line of a text that says something, without its end. */
void run_last_line(const struct buf *text, struct buf *ret_line);

#endif
