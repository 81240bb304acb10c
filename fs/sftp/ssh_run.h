/*
 * ssh_run: runs a small helper program (ssh -G, SSH_ASKPASS) without a shell and takes what it says.
 */
#ifndef CLAIMFS_SFTP_SSH_RUN_H
#define CLAIMFS_SFTP_SSH_RUN_H

#include <stdint.h>

#include "base/buf.h"

/*
 * Runs argv[0] (looked up in PATH) with standard input from /dev/null, waits for it until `deadline_ns` (clock_now)
 * or until `cancel_fd` (-1: none) becomes readable, and then kills it. `envp` NULL: the environment as it is. Output
 * goes to `output` and, when not NULL, standard error to `said` (else it is inherited). 0 and its exit status (128 +
 * signal when killed) in *ret_status; -ENOENT: no such program; -ETIMEDOUT, -ECANCELED, other -errno. Safe with
 * other threads running.
 */
int ssh_run(char *const *argv, char *const *envp, int64_t deadline_ns, int cancel_fd, struct buf *output, struct buf *said,
	    int *ret_status);

#endif
