/*
 * ssh_child: when the ssh program must do what libssh2 can't, and its command line.
 */
#ifndef CLAIMFS_SFTP_SSH_CHILD_H
#define CLAIMFS_SFTP_SSH_CHILD_H

#include <stdbool.h>

#include "base/buf.h"
#include "sftp/sshconf.h"

struct ssh_child_words {
	const char *command;		/* words as in a shell, without expansions; NULL: "ssh" */
	const struct sshconf *conf;	/* what ssh makes of the query, or NULL: it wasn't asked */
	const struct sshconf_query *query;	/* the same host, port, -F and -o as `ssh -G` was given */
	const char *sftp_server;	/* a subsystem's name, or with a slash a command */
	bool batch;			/* nobody can be asked */
	bool own_connection;		/* not through a shared one (ControlPath) */
	const char *cipher;		/* this one first, before ssh's own order; NULL: as configured */
};

/* The arguments, ends with NULL; free with sshconf_strings_free. 0, -EINVAL with a line in `why`, -ENOMEM. */
int ssh_child_argv(const struct ssh_child_words *words, char ***ret_argv, struct buf *why);

/* A command with ssh's options to accept an unknown host key by hand: quoted for a shell. */
void ssh_child_accept_command(const struct sshconf_query *query, struct buf *to);

/*
 * What of the configuration libssh2 can't do, in a few words; false: nothing is known to be in the way. With a password that was given, which a
 * child can't be, only what nothing works without.
 */
bool ssh_child_needed(const struct sshconf *conf, bool password_given, struct buf *reason);

#endif
