/*
 * ssh_key: a user's private key: OpenSSH's own format (PROTOCOL.key), PEM and PKCS#8; RSA, ECDSA, Ed25519; with and
 * without a passphrase. It signs by OpenSSL, so that RSA keys sign with SHA-2, which libssh2 1.10 can't.
 */
#ifndef CLAIMFS_SFTP_SSH_KEY_H
#define CLAIMFS_SFTP_SSH_KEY_H

#include <stddef.h>

#include "base/buf.h"

struct ssh_key;

/*
 * Reads a private key from the bytes of its file. `passphrase` NULL: none is known.
 * 0; -ENOKEY: it needs a passphrase; -EKEYREJECTED: not that one; -EOPNOTSUPP: a kind that isn't for us (FIDO, DSA,
 * a cipher we lack); -EINVAL: not a private key; -ENOMEM.
 */
int ssh_key_read(const char *text, size_t len, const char *passphrase, size_t passphrase_len, struct ssh_key **ret_key);
void ssh_key_free(struct ssh_key *key);

/* The public key as it goes over the wire; belongs to the key. */
const struct buf *ssh_key_blob(const struct ssh_key *key);

/*
 * Signs by `algorithm`: ssh-ed25519, ecdsa-sha2-*, rsa-sha2-512, rsa-sha2-256, ssh-rsa. Appends the signature
 * without the algorithm's name around it. 0, -EINVAL: not this key's, -ENOMEM. Thread-safe: the key isn't changed.
 */
int ssh_key_sign(const struct ssh_key *key, const char *algorithm, const void *data, size_t len, struct buf *ret_signature);

/*
 * The public key of a private key's file without its passphrase (only OpenSSH's format shows it), or of a "type
 * base64 comment" line. 0, -EINVAL, -ENOMEM.
 */
int ssh_key_peek(const char *text, size_t len, struct buf *ret_blob);

#endif
