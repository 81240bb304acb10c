/*
 * ssh_login: keys, password and prompt of one server.
 */
#include "sftp/ssh_login.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct ssh_login {
	struct ssh_prompt *prompt;
	struct ssh_identities *identities;
	pthread_mutex_t lock;
	struct ssh_secret *password;	/* guarded by lock */
	bool given;			/* it came from password_stdin: nobody is asked for another */
};

struct ssh_login *ssh_login_new(int tty_fd, char *const *identity_files, const char *password)
{
	struct ssh_login *login = calloc(1, sizeof(*login));

	if (!login)
		return NULL;
	pthread_mutex_init(&login->lock, NULL);
	login->prompt = ssh_prompt_new(tty_fd);
	login->identities = ssh_identities_new(identity_files);
	login->given = password;
	login->password = password ? ssh_secret_new(password, strlen(password)) : NULL;
	if (!login->prompt || !login->identities || (password && !login->password)) {
		ssh_login_free(login);
		return NULL;
	}
	return login;
}

void ssh_login_free(struct ssh_login *login)
{
	if (!login)
		return;
	ssh_prompt_free(login->prompt);
	ssh_identities_free(login->identities);
	ssh_secret_free(login->password);
	pthread_mutex_destroy(&login->lock);
	free(login);
}

struct ssh_prompt *ssh_login_prompt(struct ssh_login *login)
{
	return login->prompt;
}

struct ssh_identities *ssh_login_identities(struct ssh_login *login)
{
	return login->identities;
}

bool ssh_login_has_password(struct ssh_login *login)
{
	bool has;

	pthread_mutex_lock(&login->lock);
	has = login->password;
	pthread_mutex_unlock(&login->lock);
	return has;
}

int ssh_login_password(struct ssh_login *login, int attempt, const char *question, struct ssh_limit *limit,
		       struct ssh_secret **ret_password)
{
	struct ssh_secret *copy = NULL;
	bool known = false;

	pthread_mutex_lock(&login->lock);
	if (login->password && attempt == 0) {
		known = true;
		copy = ssh_secret_new(login->password->text, login->password->len);
	}
	pthread_mutex_unlock(&login->lock);
	if (known) {
		*ret_password = copy;
		return copy ? 0 : -ENOMEM;
	}
	if (login->given)
		return -ENOTTY;
	return ssh_prompt_ask(login->prompt, question, false, limit, ret_password);
}

void ssh_login_remember(struct ssh_login *login, const struct ssh_secret *password)
{
	struct ssh_secret *copy = ssh_secret_new(password->text, password->len);

	if (!copy)
		return;		/* it will be asked for again */
	pthread_mutex_lock(&login->lock);
	ssh_secret_free(login->password);
	login->password = copy;
	pthread_mutex_unlock(&login->lock);
}
