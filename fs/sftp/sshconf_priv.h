/*
 * sshconf_priv: what the files sshconf*.c share.
 */
#ifndef CLAIMFS_SFTP_SSHCONF_PRIV_H
#define CLAIMFS_SFTP_SSHCONF_PRIV_H

#include "sftp/sshconf.h"

/* One line of `ssh -G`; names that nothing is made of are skipped. 0, -EINVAL for a value that makes no sense, -ENOMEM. */
int sshconf_apply(struct sshconf *conf, const char *name, size_t name_len, const char *value, size_t value_len);

#endif
