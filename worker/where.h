/*
 * where: what a job stands in at this moment: a read, or a write, of a file that has not come back, or nothing that it waits for. Looked at many times a
 * second while jobs run, this says how long they wait for the disk, and for a processor, without being in their way (claimfs-queue(7): rwait, wwait,
 * ready).
 */
#ifndef CLAIMFS_WORKER_WHERE_H
#define CLAIMFS_WORKER_WHERE_H

#include <stdint.h>
#include <sys/types.h>

enum where { WHERE_ELSE, WHERE_READING, WHERE_WRITING, WHERE_READY };

/*
 * Of the process `pid` and its descendants, all their threads: WHERE_READY if one of them runs, else what most of those that wait for a file wait for.
 * Of more than 64 threads, some, taken at random. WHERE_ELSE also when /proc does not say.
 */
enum where where_is(pid_t pid);

/* From the text of /proc/PID/syscall; *ret_fd is the descriptor that it is about, -1: none. For the tests. */
enum where where_parse(const char *syscall, int *ret_fd);

#endif
