/*
 * ssh_prompt: asking a person: passphrases, passwords, whether a host key is right. On the terminal, or through the
 * program SSH_ASKPASS names (ssh(1), ENVIRONMENT). And secrets: kept in locked memory, wiped when freed.
 *
 * Thread-safe; one question at a time.
 */
#ifndef CLAIMFS_SFTP_SSH_PROMPT_H
#define CLAIMFS_SFTP_SSH_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "sftp/ssh_tcp.h"

/* A password or passphrase; text is NUL-terminated. */
struct ssh_secret {
	char *text;
	size_t len;
};

struct ssh_secret *ssh_secret_new(const char *text, size_t len);	/* NULL: out of memory */
void ssh_secret_free(struct ssh_secret *secret);			/* NULL is fine */

struct ssh_prompt;

/*
 * `tty_fd` is the terminal, open for reading and writing, and stays the caller's until detach or free; -1: there is
 * none. NULL: out of memory.
 */
struct ssh_prompt *ssh_prompt_new(int tty_fd);
void ssh_prompt_free(struct ssh_prompt *prompt);

/*
 * From now on nobody sits at the terminal (the daemon went to the background): it is not used any more. SSH_ASKPASS
 * still is.
 */
void ssh_prompt_detach(struct ssh_prompt *prompt);

/* BatchMode: nobody is asked anything, SSH_ASKPASS included. */
void ssh_prompt_forbid(struct ssh_prompt *prompt);

bool ssh_prompt_can_ask(struct ssh_prompt *prompt);

/*
 * Asks. The time a person takes is added to the limit's deadline. 0 (the answer may be empty); -ENOTTY: there is
 * nobody to ask; -EINTR: the person gave up; -ECANCELED; -ENOMEM; other -errno.
 */
int ssh_prompt_ask(struct ssh_prompt *prompt, const char *question, bool echo, struct ssh_limit *limit, struct ssh_secret **ret_answer);

#endif
