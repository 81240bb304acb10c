/*
 * run: one process of a job: started without a shell, in a process group of its own, with nothing on its standard input; its standard
 * error comes through a pipe; measured when it ends.
 *
 * The process gets SIGKILL when the worker dies (PR_SET_PDEATHSIG), and its group by the warden (warden.h).
 */
#ifndef CLAIMFS_WORKER_RUN_H
#define CLAIMFS_WORKER_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct run_spec {
	const char *file;	/* where argv[0] was found; NULL: it is looked for along $PATH, a try of exec for each directory */
	char *const *argv;
	char *const *envp;
	int in_fd;		/* becomes standard input; -1: /dev/null */
	int out_fd;		/* becomes standard output; -1: the worker's own */
	int err_fd;		/* becomes standard error */
	int nice;		/* added to the worker's; 0: nothing */
	int64_t memory;		/* RLIMIT_AS, bytes; 0: as the worker's */
	const char *cgroup;	/* cgroup.procs of the group to run in; NULL: the worker's */
	_Atomic pid_t *group;	/* where to write the process's id before it runs; may be NULL */
};

struct run_result {
	int status;		/* as wait() says it */
	int64_t wall_ns;
	int64_t user_ns;
	int64_t sys_ns;
	int64_t max_rss;	/* bytes */
	/*
	 * By the process and all it waited for, from files and pipes; -1: not known. The mount can't tell it: what the page cache has, above all what
	 * was read ahead for this very job, never comes to the mount, and what does comes with the pid of whoever touched the page first.
	 */
	int64_t read_bytes;
	int64_t written_bytes;
	int64_t group_peak;	/* bytes of memory that all its processes and their files in memory had at most, by its cgroup; 0: not known */
	bool out_of_memory;	/* its cgroup was, and was killed */
	/* What run_reap() leaves alone: the slot's. */
	int64_t spawn_ns;	/* from the wish to start it to its exec; part of wall_ns */
	int64_t read_wait_ns;	/* of wall_ns, in calls that read files */
	int64_t write_wait_ns;
	int64_t ready_ns;	/* of wall_ns, it ran, or waited for a processor alone */
	int64_t claim_ns;	/* before it, the slot had nothing: a claim was on its way (gap.h) */
	int64_t look_ns;	/* likewise, the look at its input */
	int64_t turn_ns;	/* likewise, it waited for the worker, which started others */
	int64_t idle_ns;	/* likewise, and nothing could be claimed or was to be started */
	int64_t tail_ns;	/* beside the job: of other slots that stood empty, since nothing was left to claim */
};

/*
 * The new process's id, which is its group's too. -errno: of exec (-ENOENT, -EACCES, -ENOEXEC, -E2BIG …), or -EAGAIN, -ENOMEM when there
 * can't be one more process now.
 */
int run_start(const struct run_spec *spec);

/* A child that has ended and was not reaped yet: its id; 0: none. */
pid_t run_ended(void);

/* Reaps it. `started_ns` is clock_now() before run_start(). */
int run_reap(pid_t pid, int64_t started_ns, struct run_result *ret_result);

void run_signal_group(pid_t pid, int signal_number);

/* Where run_start() would find this command: looks along $PATH as it does. 0 with the caller's string, or -errno. */
int run_find(const char *command, char **ret_file);

/* Is it an error of this command, rather than of this moment? */
bool run_error_is_final(int error);

#endif
