/*
 * ssh_login: what one needs to log in, shared by all connections to a server: whom to ask, the user's keys, the
 * password once it is known. Thread-safe.
 */
#ifndef CLAIMFS_SFTP_SSH_LOGIN_H
#define CLAIMFS_SFTP_SSH_LOGIN_H

#include <stdbool.h>

#include "sftp/ssh_identity.h"
#include "sftp/ssh_prompt.h"

struct ssh_login;

/* `password` (password_stdin) is copied; NULL: none. `identity_files` ends with NULL. NULL: out of memory. */
struct ssh_login *ssh_login_new(int tty_fd, char *const *identity_files, const char *password);
void ssh_login_free(struct ssh_login *login);

struct ssh_prompt *ssh_login_prompt(struct ssh_login *login);
struct ssh_identities *ssh_login_identities(struct ssh_login *login);

/*
 * A password to try: for attempt 0 the known one if there is one, else what a person answers. The copy is the caller's.
 * 0; -ENOTTY: none is known and there is nobody to ask (also when the one from password_stdin was refused); -EINTR;
 * -ECANCELED; -ENOMEM.
 */
int ssh_login_password(struct ssh_login *login, int attempt, const char *question, struct ssh_limit *limit,
		       struct ssh_secret **ret_password);
bool ssh_login_has_password(struct ssh_login *login);

/* The server took it: reconnects use it. */
void ssh_login_remember(struct ssh_login *login, const struct ssh_secret *password);

#endif
