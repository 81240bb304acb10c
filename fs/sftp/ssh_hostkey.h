/*
 * ssh_hostkey: whether to trust a server: its key against known_hosts, and what StrictHostKeyChecking says to do
 * (ssh_config(5)).
 */
#ifndef CLAIMFS_SFTP_SSH_HOSTKEY_H
#define CLAIMFS_SFTP_SSH_HOSTKEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "sftp/known_hosts.h"
#include "sftp/ssh_prompt.h"
#include "sftp/sshconf.h"

struct ssh_hostkeys {
	const struct sshconf *conf;
	struct buf name;		/* how known_hosts calls the host */
	struct known_hosts known;
};

/* Reads the known hosts. `ret` begins as zeros; `conf` must outlive it. 0 or -ENOMEM. */
int ssh_hostkeys_load(const struct sshconf *conf, struct ssh_hostkeys *ret);
void ssh_hostkeys_release(struct ssh_hostkeys *keys);

/*
 * The host key algorithms to offer, those of known keys first, as a comma list. `supported` (ends with NULL) are the
 * library's. 0; -EOPNOTSUPP with the reason in `why`: the keys that are known of this host can't be checked with these.
 */
int ssh_hostkeys_order(const struct ssh_hostkeys *keys, const char *const *supported, struct buf *ret_list, struct buf *why);

/* The peer the key came from. */
struct ssh_hostkey_peer {
	const char *address;		/* as a number, or "" */
	bool local;			/* on this machine */
	const char *accept_command;	/* what a person types to look at the key and accept it */
};

/*
 * Trusts the key, asks, adds it to the user's file, or refuses: 0; -EACCES with one line in `why`; -ECANCELED, -ENOMEM.
 * *ret_unsafe: the key is not the known one and StrictHostKeyChecking is no: no password may be sent.
 */
int ssh_hostkeys_verify(const struct ssh_hostkeys *keys, const void *blob, size_t len, const struct ssh_hostkey_peer *peer,
			struct ssh_prompt *prompt, struct ssh_limit *limit, bool *ret_unsafe, struct buf *why);

#endif
