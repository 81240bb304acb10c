/*
 * channel_ssh2_priv: what the files channel_ssh2*.c share.
 */
#ifndef CLAIMFS_SFTP_CHANNEL_SSH2_PRIV_H
#define CLAIMFS_SFTP_CHANNEL_SSH2_PRIV_H

#include <libssh2.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "sftp/channel.h"
#include "sftp/channel_ssh2.h"
#include "sftp/ssh_hostkey.h"
#include "sftp/ssh_login.h"
#include "sftp/ssh_tcp.h"

#define SSH2_REASON_MAX 256

/* A call that stopped in the middle of a packet must go on before any other call that sends. */
enum ssh2_unfinished { SSH2_NOTHING, SSH2_READ, SSH2_WRITE };

struct ssh2 {
	struct channel channel;		/* first */
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *pipe;
	int fd;
	int ready_fd;			/* always readable: polled when libssh2 may hold bytes the socket doesn't show */
	enum ssh2_unfinished unfinished;
	size_t write_len;		/* > 0: bytes of the write that got EAGAIN, to be offered again */
	bool look;			/* read again before sleeping */
	unsigned int idle_reads;	/* since the error stream was looked at */
	unsigned int empty_reads;	/* reads of 0 in a row without an end */
	int broken;			/* -errno once it is */
	bool goodbye;			/* the server said it disconnects; why is in `reason` */
	char reason[SSH2_REASON_MAX];

	/* While opening: */
	const struct ssh2_target *target;
	struct ssh_limit limit;
	struct buf *why;
	struct ssh2_auth *auth;		/* for libssh2's call-backs */
	bool unsafe;			/* the host key isn't the known one: no passwords */
};

/*
 * Repeats a call of libssh2 until it isn't EAGAIN, waiting for the socket in between; `rc` is its result. When
 * waiting failed, `rc` is EAGAIN and `error` is -ETIMEDOUT, -ECANCELED …, else 0.
 */
#define SSH2_WAIT(s, rc, error, call) \
	do { \
		(error) = 0; \
		while (((rc) = (int)(call)) == LIBSSH2_ERROR_EAGAIN && !((error) = ssh2_wait(s))) \
			; \
	} while (0)

int ssh2_wait(struct ssh2 *s);

/* Foreign text, made harmless, as the reason. */
void ssh2_set_reason(struct ssh2 *s, const char *text, size_t len);

/*
 * libssh2's last error as text, never NULL; and an errno for a code of libssh2's (never -EACCES and the like: those are
 * decided where one knows).
 */
const char *ssh2_error_text(struct ssh2 *s);
int ssh2_errno(int code);

/* "can't WHAT HOST: …" for a call that failed: `error` from waiting, else libssh2's `rc`. Returns -errno. */
int ssh2_fail(struct ssh2 *s, const char *what, int rc, int error);
/* libssh2 makes other errors of a connection that ended during the login: has it? */
bool ssh2_is_gone(struct ssh2 *s);
/* The same while logging in: -EACCES where the server had enough of us. */
int ssh2_login_failed(struct ssh2 *s, int rc, int error);

/* channel_ssh2_algs.c: tells the session which algorithms to offer. 0, -EOPNOTSUPP with the reason in `why`, -ENOMEM. */
int ssh2_set_algorithms(struct ssh2 *s, const struct ssh_hostkeys *keys);

/* libssh2 signs RSA with SHA-2 by itself (1.11 and later). */
bool ssh2_has_rsa_sha2(void);

/* ---- logging in ---- */

/* One attempt to log in. */
struct ssh2_auth {
	struct ssh2 *s;
	const struct sshconf *conf;
	struct ssh_login *login;
	struct buf methods;		/* what the server accepts now: "publickey,password" */
	struct buf tried;		/* for the message: "publickey (/home/joe/.ssh/id_rsa), password" */
	struct buf notes;		/* for the message: keys that could not be used, and why */
	bool method_allowed;		/* one that the server accepts is allowed by ssh_config too */
	const char *needs_ssh;		/* something libssh2 can't do might have helped: what; or NULL */
	struct ssh2_keys *keys;		/* those to offer; channel_ssh2_pubkey.c */
	bool signed_once;		/* the server asked for a signature: it may have taken it as a part of what it wants */
	int prompts;			/* keyboard-interactive: questions answered in this try */
	int attempt;			/* keyboard-interactive, password: which try */
	int ask_error;			/* why a question could not be answered */
	struct ssh_secret *answer;	/* the password of this try */
};

/* channel_ssh2_auth.c: logs in. 0; -EACCES; -EOPNOTSUPP: the ssh program may be able to; … with the reason in s->why. */
int ssh2_authenticate(struct ssh2 *s);

/*
 * One method each. 0: logged in, or the server wants other methods now (the caller asks); -EACCES: refused, try
 * another method; anything else ends it, with a line in s->why.
 */
int ssh2_try_publickey(struct ssh2_auth *auth);		/* channel_ssh2_pubkey.c */
void ssh2_keys_free(struct ssh2_keys *keys);

/* Was the last refusal a partial success? Asks the server what it accepts now. True: auth->methods is other than before. */
bool ssh2_methods_changed(struct ssh2_auth *auth);

/* channel_ssh2.c */
extern const struct channel_ops ssh2_channel_ops;
void ssh2_free(struct ssh2 *s);

#endif
