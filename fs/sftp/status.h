/*
 * status: SSH_FX_* of an answer, and what was asked, as -errno. The only place that does so.
 *
 * What OpenSSH's server makes of errno (errno_to_portable in sftp-server.c), and what it becomes here:
 *
 *   0                                   OK                 0
 *   ENOENT ENOTDIR EBADF ELOOP          NO_SUCH_FILE       -ENOENT (on an open handle -EBADF)
 *   EPERM EACCES EFAULT                 PERMISSION_DENIED  -EACCES
 *   ENAMETOOLONG EINVAL                 BAD_MESSAGE        -EINVAL, or -ENAMETOOLONG when a name asked for is longer than 255 bytes
 *   ENOSYS                              OP_UNSUPPORTED     -EOPNOTSUPP
 *   every other                         FAILURE            -EREMOTEIO: EEXIST, ENOTEMPTY, EISDIR, EXDEV, ENOSPC, EDQUOT, EROFS, EIO …
 *
 * -EREMOTEIO says "it failed, look why": tree/errors.c does; it equals queue/store.h's STORE_FAILURE.
 */
#ifndef CLAIMFS_SFTP_STATUS_H
#define CLAIMFS_SFTP_STATUS_H

#include <stdint.h>

struct request;

int status_error(uint32_t status, const struct request *request);

#endif
