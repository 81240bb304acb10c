/*
 * ssh_key_priv: between ssh_key.c (PEM, signing) and ssh_key_openssh.c (OpenSSH's format).
 */
#ifndef CLAIMFS_SFTP_SSH_KEY_PRIV_H
#define CLAIMFS_SFTP_SSH_KEY_PRIV_H

#include <openssl/evp.h>

#include "base/buf.h"

/* The decoded bytes between BEGIN and END OPENSSH PRIVATE KEY. 0; -EINVAL: there are none; -ENOMEM. */
int ssh_key_openssh_decode(const char *text, size_t len, struct buf *ret);
int ssh_key_openssh_peek(const struct buf *bytes, struct buf *ret_blob);
int ssh_key_openssh_read(const struct buf *bytes, const char *passphrase, size_t passphrase_len, EVP_PKEY **ret_key);

/* For buffers that held secrets. */
void ssh_key_wipe(struct buf *buf);

#endif
