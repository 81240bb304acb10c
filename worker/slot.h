/*
 * slot: one place where a job runs. A const table of state × event says what happens (slot.c); what a job is, one process a unit,
 * one for many, or one that stays, is said by its kind (job.h).
 */
#ifndef CLAIMFS_WORKER_SLOT_H
#define CLAIMFS_WORKER_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/loop.h"
#include "worker/run.h"
#include "worker/stray.h"
#include "worker/tail.h"
#include "worker/unit.h"

struct pool;
struct resident;
struct batch_dir;
struct outlog;

enum slot_state {
	SLOT_IDLE,	/* no process */
	SLOT_WAITING,	/* a resident process without a unit */
	SLOT_RUNNING,	/* a process with units */
	SLOT_ENDING,	/* asked to end (SIGTERM, or end of file for a resident) */
	SLOT_KILLED,	/* told to (SIGKILL) */
	SLOT_STATES
};

enum slot_event {
	SLOT_GIVE,	/* slot->units are to be worked on */
	SLOT_ANSWER,	/* a resident is through with its unit */
	SLOT_EXIT,	/* the process has ended: slot->result */
	SLOT_TIMER,
	SLOT_CHECKPOINT,/* the worker ends soon: the job is to leave in {out} what another attempt can go on from */
	SLOT_OVERTAKEN,	/* another attempt has done its unit: the job is asked to end */
	SLOT_STOP,	/* the worker ends: the job is asked to */
	SLOT_KILL,	/* the worker ends now */
	SLOT_EVENTS
};

enum slot_reason { SLOT_BY_ITSELF, SLOT_TIMED_OUT, SLOT_STOPPED, SLOT_MISBEHAVED, SLOT_IN_VAIN };

struct slot {
	struct pool *pool;
	unsigned int index;
	enum slot_state state;
	enum slot_reason reason;	/* why it was asked to end */
	bool checkpointed;		/* its job got --checkpoint-signal */
	struct list units;		/* being worked on */
	unsigned int count;
	int error;			/* of SLOT_GIVE: nothing was started, the units are still here */
	pid_t pid;
	char job[STRAY_JOB_MAX];
	int64_t started_ns;		/* of the process; for a resident, of the unit */
	struct run_result result;
	int64_t free_ns;		/* since when it had nothing to do */
	struct run_result times;	/* only what run_reap() leaves alone, of what runs */
	struct loop_fd err_watch;	/* the read end of its standard error */
	struct loop_fd out_watch;	/* of its standard output, with --logs */
	struct outlog *log;		/* with --logs */
	int64_t logged_ns;		/* when what its job wrote was last put there; 0: not yet while it runs */
	struct tail tail;
	struct buf line;		/* with -v: what it wrote since the last newline */
	struct loop_timer timer;
	struct batch_dir *dir;		/* job_batch, job_resident: where it writes outputs; NULL: nowhere here */
	struct resident *resident;	/* job_resident: its pipes */
	bool unasked;			/* job_resident: more was said than asked for: no unit for this process any more */
};

int slot_init(struct slot *slot, struct pool *pool, unsigned int index);	/* 0 or -errno: of --logs */
void slot_release(struct slot *slot);

/* Can it be given units? */
bool slot_is_free(const struct slot *slot);
/* The same, asked when units are there: a process that stays has said nothing since its last answer. */
bool slot_is_fit(struct slot *slot);

/* Takes the units over. 0, or -errno when nothing was started: `units` has them again. */
int slot_give(struct slot *slot, struct list *units);
void slot_event(struct slot *slot, enum slot_event event);

/* ---- for the kinds of jobs ---- */

/* A look at where its job stands, `since_ns` after the one before. */
void slot_sample(struct slot *slot, int64_t since_ns);

/* With --logs: what a job that runs long has written by now can be read there. */
void slot_log_running(struct slot *slot);

/* Starts a process; its standard error is read and shown from now on. 0 or -errno. */
int slot_spawn(struct slot *slot, char *const *argv, char *const *envp, int in_fd, int out_fd);

/* With --logs: what the job wrote so far is about this unit too, which ended so. */
void slot_log_unit(struct slot *slot, const struct unit *unit, const char *how);

/* True: another attempt has done this unit, whose job has ended; nothing is left to do with it. */
bool slot_end_overtaken(struct slot *slot, struct unit *unit);

struct unit *slot_first(const struct slot *slot);
/* The units leave the slot, one after another; NULL: none is left. */
struct unit *slot_take_unit(struct slot *slot);

#endif
