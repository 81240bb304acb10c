/*
 * memo_guard: runs a command so that nothing of it outlives claimctl, kill -9 of that included: who asks next would run it a second time beside it.
 *
 *   claimctl ──▶ guard (a fork of it, to which the command's orphans come) ──▶ the command
 *      └─ ends, however: the guard gets a signal, and kills all that is below it
 *
 * The command stays in claimctl's process group and session, so that a terminal is its too.
 */
#ifndef CLAIMFS_TOOLS_MEMO_GUARD_H
#define CLAIMFS_TOOLS_MEMO_GUARD_H

#include <stdint.h>

/*
 * Runs it with its standard output in `out_fd`. SIGTERM, SIGINT and SIGHUP that come meanwhile are the command's; they, and SIGCHLD, stay blocked
 * afterwards. `beat` is called every beat_ns nanoseconds and at the start. 0 and what wait() says of the command, or -errno: it was not run, or (-ECHILD)
 * the guard was killed.
 */
int memo_guard_run(char **command, int out_fd, int64_t beat_ns, void (*beat)(const void *arg), const void *arg, int *ret_status);

#endif
