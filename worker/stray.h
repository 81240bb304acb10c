/*
 * stray: processes that a job left behind. A job's own group is killed when the job ends; what has left the group (setsid, a shell's
 * job control) is known by CLAIM_JOB in its environment.
 */
#ifndef CLAIMFS_WORKER_STRAY_H
#define CLAIMFS_WORKER_STRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* CLAIM_JOB of the job number `serial` of worker `worker`: "WORKER-PID.SERIAL". */
#define STRAY_JOB_MAX 48
void stray_job_name(pid_t worker, unsigned long long serial, char ret_name[STRAY_JOB_MAX]);
void stray_worker_name(pid_t worker, char ret_name[STRAY_JOB_MAX]);	/* "WORKER-PID.": of all its jobs */

/* Does the process's environment, as it was at its exec, say CLAIM_JOB=job; a job that ends in "." stands for all that begin so. */
bool stray_is_of(pid_t pid, const char *job);

/* Kills every process of any parent that is of `job`; again and again until none is left or `rounds` have passed. */
void stray_kill_all(const char *job, int rounds);

#endif
