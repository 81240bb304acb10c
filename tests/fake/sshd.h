/*
 * sshd: for unit tests: a real OpenSSH server of a test's own on loopback, with keys and configuration in a
 * directory of its own.
 */
#ifndef CLAIMFS_TESTS_FAKE_SSHD_H
#define CLAIMFS_TESTS_FAKE_SSHD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

struct sshd {
	char dir[64];
	int port;
	pid_t pid;		/* 0: not running */
	bool has_password;	/* its own /etc/shadow is mounted over the machine's, for it alone */
};

bool sshd_installed(void);

/* Makes the directory, host_ed25519, and the user's key `user` with authorized_keys. Aborts on failure. */
void sshd_init(struct sshd *sshd);

/*
 * Starts it with one of the host keys host_ed25519, host_rsa, host_ecdsa (several: separated by spaces), made where it is not there
 * yet, and more lines of configuration. Aborts when it doesn't come up.
 */
void sshd_start(struct sshd *sshd, const char *host_keys, const char *extra);
/*
 * Gives the user running the test a password, for servers started from now on. False: that can't be done here (it
 * needs root and a mount namespace).
 */
bool sshd_set_password(struct sshd *sshd, const char *password);
void sshd_stop(struct sshd *sshd);
void sshd_release(struct sshd *sshd);	/* stops it, removes the directory */

/* Runs a shell command in the directory ("ssh-keygen …"); aborts when it fails. */
void sshd_run(const struct sshd *sshd, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sshd_write(const struct sshd *sshd, const char *name, const char *text);
void sshd_path(const struct sshd *sshd, const char *name, struct buf *ret);	/* DIR/NAME */

/* The line of known_hosts for a host key of its. */
void sshd_known(const struct sshd *sshd, const char *host_key, struct buf *ret);

#endif
