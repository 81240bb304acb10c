/*
 * channel_ssh2_auth: logging in (RFC 4252): which methods, in which order; password and keyboard-interactive (RFC 4256).
 *
 * libssh2 hides a partial success: it looks like a refusal. So when one is possible the server is asked again what
 * it accepts.
 */
#include "sftp/channel_ssh2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sftp/ssh_wire.h"

#define DEFAULT_ORDER "publickey,keyboard-interactive,password"
#define ROUNDS 8		/* of partial successes */

/* ---- what the server accepts ---- */

/* 1: logged in without any method; 0: `methods` is filled; else -errno with a line in s->why. */
static int list_methods(struct ssh2_auth *auth, struct buf *methods)
{
	struct ssh2 *s = auth->s;
	const char *user = auth->conf->user;
	const char *list;

	while (!(list = libssh2_userauth_list(s->session, user, (unsigned int)strlen(user)))) {
		int rc = libssh2_session_last_errno(s->session);
		int error;

		if (libssh2_userauth_authenticated(s->session))
			return 1;
		if (rc != LIBSSH2_ERROR_EAGAIN)
			return ssh2_login_failed(s, rc, 0);
		error = ssh2_wait(s);
		if (error)
			return ssh2_login_failed(s, 0, error);
	}
	buf_reset(methods);
	buf_adds(methods, list);
	return buf_error(methods);
}

bool ssh2_methods_changed(struct ssh2_auth *auth)
{
	size_t before_why = auth->s->why->len;
	struct buf now = BUF_INIT;
	bool changed = false;

	if (!list_methods(auth, &now) && strcmp(buf_text(&now), buf_text(&auth->methods))) {
		struct buf before = auth->methods;

		auth->methods = now;
		now = before;
		changed = true;
	}
	buf_truncate(auth->s->why, before_why);	/* if that failed, the next call will fail too and say so */
	buf_release(&now);
	return changed;
}

/* ---- passwords ---- */

static void forget_answer(struct ssh2_auth *auth)
{
	ssh_secret_free(auth->answer);
	auth->answer = NULL;
}

static void tried(struct ssh2_auth *auth, const char *what)
{
	buf_addf(&auth->tried, "%s%s", auth->tried.len ? ", " : "", what);
}

static void keep_answer(struct ssh2_auth *auth)
{
	if (auth->answer && libssh2_userauth_authenticated(auth->s->session))
		ssh_login_remember(auth->login, auth->answer);
}

/* After a try that failed: 0 the server wants other methods now; -EACCES go on; else the end. */
static int after_refusal(struct ssh2_auth *auth, int rc)
{
	if (auth->ask_error == -ECANCELED || auth->ask_error == -ETIMEDOUT || auth->ask_error == -ENOMEM)
		return ssh2_login_failed(auth->s, rc, auth->ask_error);
	if (rc == LIBSSH2_ERROR_PASSWORD_EXPIRED) {
		buf_addf(auth->s->why, "the password of %s on %s has expired: log in with ssh and change it", auth->conf->user,
			 auth->conf->hostname);
		return -EPERM;
	}
	if (rc != LIBSSH2_ERROR_AUTHENTICATION_FAILED || ssh2_is_gone(auth->s))
		return ssh2_login_failed(auth->s, rc, 0);
	return ssh2_methods_changed(auth) ? 0 : -EACCES;
}

static int may_ask(struct ssh2_auth *auth, const char *method)
{
	if (auth->s->unsafe) {
		buf_addf(&auth->notes, "; %s is off because the host key has changed", method);
		return 0;
	}
	if (!ssh_login_has_password(auth->login) && !ssh_prompt_can_ask(ssh_login_prompt(auth->login))) {
		buf_addf(&auth->notes, "; %s needs a terminal, SSH_ASKPASS or -o password_stdin", method);
		return 0;
	}
	return 1;
}

static int try_password(struct ssh2_auth *auth)
{
	const char *user = auth->conf->user;
	struct buf question = BUF_INIT;
	int error = -EACCES;

	if (!may_ask(auth, "password"))
		return -EACCES;
	buf_addf(&question, "%s@%s's password: ", user, auth->conf->host);
	for (int i = 0; error == -EACCES && i < auth->conf->numberofpasswordprompts; i++) {
		int rc = 0;

		auth->ask_error = ssh_login_password(auth->login, i, buf_text(&question), &auth->s->limit, &auth->answer);
		if (auth->ask_error) {
			error = after_refusal(auth, LIBSSH2_ERROR_AUTHENTICATION_FAILED);
			break;
		}
		if (i == 0)
			tried(auth, "password");
		SSH2_WAIT(auth->s, rc, error, libssh2_userauth_password_ex(auth->s->session, user, (unsigned int)strlen(user),
									    auth->answer->text, (unsigned int)auth->answer->len, NULL));
		if (error)
			error = ssh2_login_failed(auth->s, rc, error);
		else if (rc)
			error = after_refusal(auth, rc);
		keep_answer(auth);
		forget_answer(auth);
	}
	buf_release(&question);
	return error;
}

/* ---- keyboard-interactive ---- */

/* The server's texts go to a terminal: no control characters. */
static void add_plain(struct buf *to, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= ' ' && text[i] != 0x7f)
			buf_addch(to, text[i]);
}

static int answer_prompt(struct ssh2_auth *auth, const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompt, const char *question,
			 struct ssh_secret **ret_secret)
{
	if (!prompt->echo && auth->prompts == 0)
		return ssh_login_password(auth->login, auth->attempt, question, &auth->s->limit, ret_secret);
	return ssh_prompt_ask(ssh_login_prompt(auth->login), question, prompt->echo, &auth->s->limit, ret_secret);
}

static void answer_prompts(const char *name, int name_len, const char *instruction, int instruction_len, int num_prompts,
			   const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts, LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses, void **abstract)
{
	struct ssh2 *s = *abstract;
	struct ssh2_auth *auth = s->auth;

	(void)name;
	(void)name_len;
	for (int i = 0; i < num_prompts && !auth->ask_error; i++) {
		struct buf question = BUF_INIT;
		struct ssh_secret *secret = NULL;

		if (i == 0 && instruction_len > 0) {
			add_plain(&question, instruction, (size_t)instruction_len);
			buf_addch(&question, '\n');
		}
		buf_addf(&question, "(%s@%s) ", auth->conf->user, auth->conf->host);
		add_plain(&question, (const char *)prompts[i].text, prompts[i].length);
		auth->ask_error = answer_prompt(auth, &prompts[i], buf_text(&question), &secret);
		buf_release(&question);
		if (auth->ask_error)
			break;
		responses[i].text = strdup(secret->text);	/* libssh2 frees it */
		responses[i].length = responses[i].text ? (unsigned int)secret->len : 0;
		/* Only a lone password is worth keeping: a second question is a one-time code. */
		forget_answer(auth);
		if (!prompts[i].echo && auth->prompts == 0)
			auth->answer = secret;
		else
			ssh_secret_free(secret);
		auth->prompts++;
	}
}

static int try_keyboard(struct ssh2_auth *auth)
{
	const char *user = auth->conf->user;
	int error = -EACCES;

	if (!may_ask(auth, "keyboard-interactive"))
		return -EACCES;
	tried(auth, "keyboard-interactive");
	auth->ask_error = 0;
	for (int i = 0; error == -EACCES && !auth->ask_error && i < auth->conf->numberofpasswordprompts; i++) {
		int rc = 0;

		auth->attempt = i;
		auth->prompts = 0;
		SSH2_WAIT(auth->s, rc, error, libssh2_userauth_keyboard_interactive_ex(auth->s->session, user, (unsigned int)strlen(user),
											answer_prompts));
		if (error)
			error = ssh2_login_failed(auth->s, rc, error);
		else if (rc)
			error = after_refusal(auth, rc);
		keep_answer(auth);
		forget_answer(auth);
	}
	return error;
}

/* ---- the order ---- */

struct method {
	const char *name;
	size_t enabled;		/* where sshconf says so */
	int (*try)(struct ssh2_auth *auth);
};

static const struct method methods[] = {
	{ "publickey", offsetof(struct sshconf, pubkeyauthentication), ssh2_try_publickey },
	{ "keyboard-interactive", offsetof(struct sshconf, kbdinteractiveauthentication), try_keyboard },
	{ "password", offsetof(struct sshconf, passwordauthentication), try_password },
};

static const struct method *find_method(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strlen(methods[i].name) == len && !memcmp(methods[i].name, name, len))
			return &methods[i];
	return NULL;
}

/*
 * Tries the methods the server accepts now, in our order. 0: logged in, or the server wants others; -EACCES: all were
 * refused; else the end.
 */
static int try_methods(struct ssh2_auth *auth)
{
	const char *at = auth->conf->preferredauthentications ? auth->conf->preferredauthentications : DEFAULT_ORDER;
	int error = -EACCES;

	while (error == -EACCES && *at) {
		size_t len = strcspn(at, ",");
		const struct method *method = find_method(at, len);

		if (method && *((const bool *)(const void *)((const char *)auth->conf + method->enabled)) &&
		    sshconf_list_has(buf_text(&auth->methods), method->name)) {
			auth->method_allowed = true;
			error = method->try(auth);
		}
		at += len + (at[len] == ',');
	}
	return error;
}

static int refused(struct ssh2_auth *auth)
{
	const struct sshconf *conf = auth->conf;
	struct buf *why = auth->s->why;
	const char *nothing = auth->method_allowed ? "nothing, there was no key to try" :
			      "nothing, since PreferredAuthentications and the settings of each method (PubkeyAuthentication and others) allow none of these";

	if (!auth->needs_ssh && conf->controlpath && !access(conf->controlpath, F_OK))
		auth->needs_ssh = "a shared connection (ControlPath)";
	if (!auth->needs_ssh && conf->gssapiauthentication && sshconf_list_has(buf_text(&auth->methods), "gssapi-with-mic"))
		auth->needs_ssh = "GSSAPI";
	if (!auth->needs_ssh && conf->hostbasedauthentication && sshconf_list_has(buf_text(&auth->methods), "hostbased"))
		auth->needs_ssh = "HostbasedAuthentication";
	/* A password that was given is what was meant, and ssh would not have it. */
	if (auth->needs_ssh && !ssh_login_has_password(auth->login)) {
		buf_addf(why, "no other key was taken and %s may be", auth->needs_ssh);
		return -EOPNOTSUPP;
	}
	buf_addf(why, "%s refuses to let %s in: it accepts %s; tried: %s%s", conf->hostname, conf->user, buf_text(&auth->methods),
		 auth->tried.len ? buf_text(&auth->tried) : nothing, buf_text(&auth->notes));
	buf_addf(why, ". Check the user's name and put a key there with: ssh-copy-id -p %d %s@%s", conf->port, conf->user, conf->host);
	return -EACCES;
}

static int log_in(struct ssh2_auth *auth)
{
	int error = list_methods(auth, &auth->methods);

	for (int round = 0; !error && round < ROUNDS; round++) {
		error = try_methods(auth);
		if (libssh2_userauth_authenticated(auth->s->session))
			return 0;
		if (error == -EACCES)
			return refused(auth);
	}
	if (error > 0)
		return 0;
	if (!error) {
		buf_addf(auth->s->why, "%s wants ever more proofs of who %s is", auth->conf->hostname, auth->conf->user);
		error = -EACCES;
	}
	return error;
}

int ssh2_authenticate(struct ssh2 *s)
{
	struct ssh2_auth auth = { .s = s, .conf = s->target->conf, .login = s->target->login };
	int error;

	s->auth = &auth;
	error = log_in(&auth);
	s->auth = NULL;
	ssh2_keys_free(auth.keys);
	forget_answer(&auth);
	buf_release(&auth.methods);
	buf_release(&auth.tried);
	buf_release(&auth.notes);
	return error;
}
