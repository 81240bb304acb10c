/*
 * ssh: makes channels to a host, by whichever way it takes:
 *
 *   directport=N           plain TCP, no SSH
 *   ssh_command=…          a child process
 *   what `ssh -G` says     libssh2; or the ssh program as a child where libssh2 can't do it, with one line of log
 *                          that says why
 *
 * The step to the child is taken once and then kept for all further connections of this maker.
 */
#ifndef CLAIMFS_SFTP_SSH_H
#define CLAIMFS_SFTP_SSH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "sftp/channel.h"

/* All strings belong to the caller and are copied. NULL: not given. */
struct ssh_options {
	const char *host;		/* [user@]host, IPv6 with or without brackets */
	int port;			/* 0: what ssh_config says */
	const char *config_file;	/* -F */
	char *const *ssh_args;		/* "Name=value" each for ssh's -o; ends with NULL */
	const char *ssh_command;
	const char *sftp_server;	/* subsystem, or with a slash a command; NULL: "sftp" */
	int direct_port;		/* 0: no */
	const char *password;		/* from password_stdin; kept in locked memory */
	bool ask;			/* questions may be asked on /dev/tty (until ssh_maker_detach) */
};

struct ssh_maker;

/*
 * Asks `ssh -G`; connects nowhere. Call it once there is no other thread (libssh2's counters), after the fork into
 * the background if the terminal is still there: /dev/tty is opened here. 0, or -EINVAL, -ENOMEM with one line in `why`.
 */
int ssh_maker_new(const struct ssh_options *options, struct ssh_maker **ret_maker, struct buf *why);

/* After the last of its channels is freed. NULL is fine. */
void ssh_maker_free(struct ssh_maker *maker);

/* For sftp_connect; belongs to the maker. Its open is thread-safe. */
struct channel_maker *ssh_maker_channel(struct ssh_maker *maker);

/*
 * For the connections that carry data alone: the ssh program as a child, which moves two to three times the bytes a second that libssh2 does
 * (its ciphers have both the hardware's AES and no MAC beside it, and run on a core of their own). Where that child cannot log in by itself (a
 * password was typed, there is no ssh program) it is what ssh_maker_channel() gives. Belongs to the maker; open is thread-safe.
 */
struct channel_maker *ssh_maker_data(struct ssh_maker *maker);

/* Why the ssh program is used instead of libssh2, or NULL: it isn't. The text lasts as long as the maker. Thread-safe. */
const char *ssh_maker_fallback(struct ssh_maker *maker);

/* ServerAliveInterval times ServerAliveCountMax of ssh_config, in ns; 0: not set. */
int64_t ssh_maker_alive_ns(const struct ssh_maker *maker);

/*
 * The daemon leaves its terminal: nobody there is asked any more. Keys that were unlocked stay known for reconnects,
 * and so does a password that was taken (in locked memory); a one-time code can't be, so such a server carries one
 * connection. SSH_ASKPASS is still used. Thread-safe.
 */
void ssh_maker_detach(struct ssh_maker *maker);

#endif
