/*
 * ssh_identity: the keys a user may log in with, as files: what is public of them, and the private key once it was needed.
 * A key that was unlocked once stays in memory for reconnects (the key itself; its passphrase is forgotten).
 *
 * Thread-safe: several connections log in at the same time.
 */
#ifndef CLAIMFS_SFTP_SSH_IDENTITY_H
#define CLAIMFS_SFTP_SSH_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "sftp/ssh_key.h"
#include "sftp/ssh_prompt.h"

struct ssh_identities;

/* `files` ends with NULL. Reads nothing yet. NULL: out of memory. */
struct ssh_identities *ssh_identities_new(char *const *files);
void ssh_identities_free(struct ssh_identities *identities);
size_t ssh_identities_count(const struct ssh_identities *identities);
const char *ssh_identity_path(const struct ssh_identities *identities, size_t index);

/*
 * The public key of identity `index`, without asking anybody where that can be done: from the private key's file, or
 * from FILE.pub. 0; -ENOENT: no such file; -ENOKEY: only the passphrase would tell; -EOPNOTSUPP, -EINVAL, -EACCES; -ENOMEM.
 */
int ssh_identity_blob(struct ssh_identities *identities, size_t index, struct buf *ret_blob);

/*
 * The private key, asking for its passphrase (three times at most) if it has one. It belongs to the identities.
 * 0; -ENOTTY: it needs a passphrase and there is nobody to ask; -EKEYREJECTED: wrong three times; -EINTR: the person
 * gave up; as above.
 */
int ssh_identity_key(struct ssh_identities *identities, size_t index, struct ssh_prompt *prompt, struct ssh_limit *limit,
		     const struct ssh_key **ret_key);

#endif
