/*
 * ssh_bcrypt: bcrypt_pbkdf, the key derivation of passphrase-protected OpenSSH private keys (PROTOCOL.key; Provos
 * and Mazières, "A Future-Adaptable Password Scheme", with SHA-512 around it as in OpenBSD). OpenSSL doesn't have it
 * and libssh2 doesn't export its own.
 */
#ifndef CLAIMFS_SFTP_SSH_BCRYPT_H
#define CLAIMFS_SFTP_SSH_BCRYPT_H

#include <stddef.h>
#include <stdint.h>

#define SSH_BCRYPT_MAX_ROUNDS 4096	/* ssh-keygen's default is 16 (24 since 9.8); a file may not keep us busy for hours */

/* Fills key[0 .. key_len). 0; -EINVAL: empty or absurd arguments; -ENOMEM. */
int ssh_bcrypt_pbkdf(const void *passphrase, size_t passphrase_len, const void *salt, size_t salt_len, unsigned int rounds,
		     uint8_t *key, size_t key_len);

#endif
