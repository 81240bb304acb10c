/*
 * ssh_child: the command line of `ssh -s host sftp`.
 */
#include "sftp/ssh_child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/quote.h"

/* ---- splitting ---- */

/* One word from *at, with ' " and \ as in a shell. 1: there is one; 0: the end; -EINVAL: a quote without its end. */
static int split_word(const char **at, struct buf *word)
{
	char quote = 0;

	*at += strspn(*at, " \t\n");
	if (!**at)
		return 0;
	for (; **at && (quote || !strchr(" \t\n", **at)); (*at)++) {
		char c = **at;

		if (quote && c == quote)
			quote = 0;
		else if (!quote && (c == '\'' || c == '"'))
			quote = c;
		else if (c == '\\' && quote != '\'' && (*at)[1])
			buf_addch(word, *++*at);
		else
			buf_addch(word, c);
	}
	return quote ? -EINVAL : 1;
}

static int split_command(const char *command, char ***argv, struct buf *why)
{
	int more;

	do {
		struct buf word = BUF_INIT;
		int error = 0;

		more = split_word(&command, &word);
		if (more > 0)
			error = buf_error(&word) ? buf_error(&word) : sshconf_strings_add(argv, buf_text(&word), word.len);
		buf_release(&word);
		if (error)
			return error;
	} while (more > 0);
	if (more < 0)
		buf_adds(why, "-o ssh_command: a quote has no end");
	else if (!*argv)
		buf_adds(why, "-o ssh_command is empty");
	return *argv ? more : -EINVAL;
}

/* ---- the command line ---- */

static int add(char ***argv, const char *text)
{
	return sshconf_strings_add(argv, text, strlen(text));
}

static int add_settings(char ***argv, const struct sshconf_query *query)
{
	struct buf port = BUF_INIT;
	int error = 0;

	if (query->config_file) {
		error = add(argv, "-F");
		if (!error)
			error = add(argv, query->config_file);
	}
	for (size_t i = 0; !error && query->ssh_args && query->ssh_args[i]; i++) {
		error = add(argv, "-o");
		if (!error)
			error = add(argv, query->ssh_args[i]);
	}
	if (!error && query->port) {
		buf_addf(&port, "-p%d", query->port);
		error = buf_error(&port) ? buf_error(&port) : add(argv, buf_text(&port));
	}
	buf_release(&port);
	return error;
}

static int add_cipher(char ***argv, const char *cipher)
{
	struct buf word = BUF_INIT;
	int error;

	buf_addf(&word, "-oCiphers=^%s", cipher);
	error = buf_error(&word) ? buf_error(&word) : add(argv, buf_text(&word));
	buf_release(&word);
	return error;
}

/* First of all, because ssh takes the first value it is given: no X11, agent, ports, terminal or commands of the user's. */
static const char *const forced[] = {
	"-x", "-a", "-T", "-oForwardAgent=no", "-oForwardX11=no", "-oClearAllForwardings=yes", "-oPermitLocalCommand=no",
	"-oRemoteCommand=none", NULL,
};

/* What would part the child from its pipes; only settings that this ssh told of, because an older one refuses the others. */
static int add_undone(char ***argv, const struct sshconf *conf, bool command)
{
	int error = 0;

	if (!conf)
		return 0;
	if (conf->forkafterauthentication)
		error = add(argv, "-oForkAfterAuthentication=no");
	if (!error && conf->stdinnull)
		error = add(argv, "-oStdinNull=no");
	if (!error && conf->sessiontype && command)
		error = add(argv, "-oSessionType=default");
	return error;
}

int ssh_child_argv(const struct ssh_child_words *words, char ***ret_argv, struct buf *why)
{
	bool command = strchr(words->sftp_server, '/');
	char **argv = NULL;
	int error = split_command(words->command ? words->command : "ssh", &argv, why);

	for (size_t i = 0; !error && forced[i]; i++)
		error = add(&argv, forced[i]);
	if (!error)
		error = add_undone(&argv, words->conf, command);
	if (!error && words->batch)
		error = add(&argv, "-oBatchMode=yes");
	if (!error && words->own_connection)
		error = add(&argv, "-oControlPath=none");
	if (!error && words->cipher)
		error = add_cipher(&argv, words->cipher);
	if (!error)
		error = add_settings(&argv, words->query);
	if (!error && !command)
		error = add(&argv, "-s");
	if (!error)
		error = add(&argv, "--");
	if (!error)
		error = add(&argv, words->query->host);
	if (!error)
		error = add(&argv, words->sftp_server);
	if (error) {
		sshconf_strings_free(argv);
		return error;
	}
	*ret_argv = argv;
	return 0;
}

/* ---- for people ---- */

static void add_quoted(struct buf *to, const char *word)
{
	buf_addch(to, ' ');
	quote_for_people(to, word);
}

void ssh_child_accept_command(const struct sshconf_query *query, struct buf *to)
{
	buf_adds(to, "ssh");
	if (query->config_file) {
		buf_adds(to, " -F");
		add_quoted(to, query->config_file);
	}
	for (size_t i = 0; query->ssh_args && query->ssh_args[i]; i++) {
		/* The point is to be asked. */
		if (!strncasecmp(query->ssh_args[i], "StrictHostKeyChecking", 21) || !strncasecmp(query->ssh_args[i], "BatchMode", 9))
			continue;
		buf_adds(to, " -o");
		add_quoted(to, query->ssh_args[i]);
	}
	if (query->port)
		buf_addf(to, " -p %d", query->port);
	buf_adds(to, " -o StrictHostKeyChecking=ask");
	add_quoted(to, query->host);
	buf_adds(to, " exit");
}

/* ---- the decision ---- */

static bool has_certificate(const struct sshconf *conf)
{
	for (size_t i = 0; conf->certificatefiles[i]; i++)
		if (!access(conf->certificatefiles[i], R_OK))
			return true;
	for (size_t i = 0; conf->identityfiles[i]; i++) {
		struct buf name = BUF_INIT;
		bool found;

		/* ssh takes it by itself when it lies beside the key. */
		buf_addf(&name, "%s-cert.pub", conf->identityfiles[i]);
		found = !buf_error(&name) && !access(buf_text(&name), R_OK);
		buf_release(&name);
		if (found)
			return true;
	}
	return false;
}

bool ssh_child_needed(const struct sshconf *conf, bool password_given, struct buf *reason)
{
	if (conf->proxyjump)
		buf_addf(reason, "ProxyJump (%s)", conf->proxyjump);
	else if (conf->proxycommand)
		buf_adds(reason, "ProxyCommand");
	else if (conf->pkcs11provider)
		buf_adds(reason, "PKCS11Provider");
	else if (conf->bindinterface)
		buf_adds(reason, "BindInterface");
	else if (conf->revokedhostkeys)
		buf_adds(reason, "RevokedHostKeys");
	else if (conf->knownhostscommand)
		buf_adds(reason, "KnownHostsCommand");
	else if (conf->verifyhostkeydns)
		buf_adds(reason, "VerifyHostKeyDNS");
	else if (has_certificate(conf))
		buf_adds(reason, "the key has a certificate");
	else if (conf->gssapiauthentication && !conf->pubkeyauthentication && !conf->passwordauthentication &&
		 !conf->kbdinteractiveauthentication)
		buf_adds(reason, "GSSAPI is the only way to log in that is configured");
	else if (conf->rekeylimit && !password_given)
		buf_adds(reason, "RekeyLimit");
	else
		return false;
	return true;
}
