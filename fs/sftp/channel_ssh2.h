/*
 * channel_ssh2: a channel through libssh2: TCP, handshake, host key, login, then the sftp subsystem as raw bytes.
 *
 * Only the files channel_ssh2*.c include libssh2. Everything is non-blocking underneath; opening waits with poll.
 */
#ifndef CLAIMFS_SFTP_CHANNEL_SSH2_H
#define CLAIMFS_SFTP_CHANNEL_SSH2_H

#include <stdint.h>

#include "base/buf.h"
#include "sftp/channel.h"
#include "sftp/ssh_login.h"
#include "sftp/sshconf.h"

/* What to open; all of it belongs to the caller and must last while channel_ssh2_open runs. */
struct ssh2_target {
	const struct sshconf *conf;
	struct ssh_login *login;
	const char *sftp_server;	/* a subsystem's name, or with a slash a command */
	const char *accept_command;	/* for the message about an unknown host key */
};

/* libssh2 counts these; not thread-safe: call them where no thread uses libssh2 yet, or any more. 0 or -ENOMEM. */
int channel_ssh2_init(void);
void channel_ssh2_exit(void);
const char *channel_ssh2_version(void);

/*
 * 0; -EOPNOTSUPP: libssh2 can't do what this host needs and the ssh program may: `why` is the reason, in a few
 * words; else as channel_maker's open.
 */
int channel_ssh2_open(const struct ssh2_target *target, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel,
		      struct buf *why);

#endif
