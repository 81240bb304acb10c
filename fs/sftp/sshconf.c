/*
 * sshconf: the answer of `ssh -G`, "name value" lines with lower-case names, into a struct; and what they leave open, filled in.
 */
#include "sftp/sshconf_priv.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/ssh_run.h"

#define SSHCONF_MAX_BYTES (1024 * 1024)
#define SSHCONF_RUN_NS (30 * NS_PER_S)

/* ---- the host spec ---- */

static const char *host_part(const char *spec)
{
	const char *at = strrchr(spec, '@');

	return at ? at + 1 : spec;
}

char *sshconf_host_of(const char *spec)
{
	const char *host = host_part(spec);
	size_t len = strlen(host);

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
		return strndup(host + 1, len - 2);
	return strdup(host);
}

int sshconf_check_host(const char *spec, struct buf *why)
{
	const char *host = host_part(spec);

	if (!*host) {
		buf_addf(why, "'%s' names no host: write [user@]host:[directory]", spec);
		return -EINVAL;
	}
	if (*spec == '-' || *host == '-') {
		buf_addf(why, "'%s': a host that begins with '-' is refused: ssh would take it for an option", spec);
		return -EINVAL;
	}
	for (const char *at = spec; *at; at++) {
		if ((unsigned char)*at > ' ' && *at != 0x7f)
			continue;
		buf_adds(why, "the host's name contains white space or control characters");
		return -EINVAL;
	}
	return 0;
}

/* ---- the whole ---- */

/* In place; names that can't be expanded are left out. */
static int expand_list(const struct sshconf *conf, char **list)
{
	size_t kept = 0;
	int failed = 0;

	for (size_t i = 0; list[i]; i++) {
		struct buf name = BUF_INIT;
		char *expanded = NULL;
		int error = failed ? failed : sshconf_expand(conf, list[i], &name);

		if (!error)
			expanded = buf_detach(&name);
		if (error == -EINVAL)
			log_warn("ssh_config: '%s' has a token or variable that isn't known here; the file is left out", list[i]);
		else if (!expanded)
			failed = -ENOMEM;
		buf_release(&name);
		free(list[i]);
		list[i] = NULL;
		if (expanded)
			list[kept++] = expanded;
	}
	return failed;
}

/* IdentityAgent: "none", "SSH_AUTH_SOCK", "$NAME", or a path with tokens. */
static int resolve_agent(struct sshconf *conf)
{
	struct buf name = BUF_INIT;
	const char *value = conf->identityagent;
	int error = 0;

	if (!value || !strcmp(value, "none"))
		return 0;
	if (!strcmp(value, "SSH_AUTH_SOCK"))
		buf_adds(&name, "");
	else if (value[0] == '$' && value[1] != '{')
		buf_adds(&name, getenv(value + 1) ? getenv(value + 1) : "none");
	else
		error = sshconf_expand(conf, value, &name);
	if (!error)
		error = buf_error(&name);
	if (error == -EINVAL) {
		log_warn("ssh_config: IdentityAgent '%s' has a token that isn't known here; no agent is used", value);
		buf_reset(&name);
		buf_adds(&name, "none");
		error = buf_error(&name);
	}
	if (!error) {
		free(conf->identityagent);
		conf->identityagent = name.len ? buf_detach(&name) : NULL;
	}
	buf_release(&name);
	return error;
}

/* One that can't be expanded is as good as none. */
static int expand_control_path(struct sshconf *conf)
{
	struct buf name = BUF_INIT;
	int error = conf->controlpath ? sshconf_expand(conf, conf->controlpath, &name) : -EINVAL;

	free(conf->controlpath);
	conf->controlpath = error ? NULL : buf_detach(&name);
	buf_release(&name);
	return error == -ENOMEM ? error : 0;
}

static int fill_missing(struct sshconf *conf, const char *spec)
{
	static const char *const identities[] = { "~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519" };
	const char *at = strrchr(spec, '@');
	char ***lists[] = {
		&conf->identityfiles, &conf->certificatefiles, &conf->userknownhosts, &conf->globalknownhosts, &conf->setenv,
		&conf->sendenv,
	};
	int error = 0;

	free(conf->host);
	conf->host = sshconf_host_of(spec);
	if (!conf->hostname)
		conf->hostname = sshconf_host_of(spec);
	if (!conf->user && at)
		conf->user = strndup(spec, (size_t)(at - spec));
	if (!conf->user) {
		struct passwd *me = getpwuid(geteuid());

		conf->user = strdup(me ? me->pw_name : "root");
	}
	for (size_t i = 0; !error && i < sizeof(lists) / sizeof(lists[0]); i++)
		error = *lists[i] ? 0 : sshconf_strings_add(lists[i], NULL, 0);
	for (size_t i = 0; !error && !conf->from_ssh && i < sizeof(identities) / sizeof(identities[0]); i++)
		error = sshconf_strings_add(&conf->identityfiles, identities[i], strlen(identities[i]));
	if (!error && !conf->from_ssh) {
		static const char *const defaults[][2] = {
			{ "userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2" },
			{ "globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2" },
		};

		for (size_t i = 0; !error && i < sizeof(defaults) / sizeof(defaults[0]); i++)
			error = sshconf_apply(conf, defaults[i][0], strlen(defaults[i][0]), defaults[i][1], strlen(defaults[i][1]));
	}
	return error ? error : conf->host && conf->hostname && conf->user ? 0 : -ENOMEM;
}

static int finish(struct sshconf *conf, const char *spec)
{
	int error = fill_missing(conf, spec);

	if (!error)
		error = resolve_agent(conf);
	if (!error)
		error = expand_control_path(conf);
	if (!error)
		error = expand_list(conf, conf->identityfiles);
	if (!error)
		error = expand_list(conf, conf->certificatefiles);
	if (!error)
		error = expand_list(conf, conf->userknownhosts);
	if (!error)
		error = expand_list(conf, conf->globalknownhosts);
	if (!error && (conf->port < 1 || conf->port > 65535))
		error = -EINVAL;
	return error;
}

int sshconf_parse(const char *spec, const char *text, size_t len, struct sshconf *ret_conf)
{
	const char *end = text + len;
	int error = 0;

	ret_conf->from_ssh = true;
	while (!error && text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		const char *space = memchr(text, ' ', (size_t)(line_end - text));

		if (space)
			error = sshconf_apply(ret_conf, text, (size_t)(space - text), space + 1, (size_t)(line_end - space - 1));
		text = newline ? newline + 1 : end;
	}
	return error ? error : finish(ret_conf, spec);
}

static int make_argv(const struct sshconf_query *query, char ***ret_argv)
{
	struct buf port = BUF_INIT;
	char **argv = NULL;
	/* As for the session that is meant: Match looks at it, and with nothing to run ssh refuses ForkAfterAuthentication. */
	const char *fixed[] = { query->ssh_program ? query->ssh_program : "ssh", "-G", "-oRemoteCommand=none", "-s" };
	int error = 0;

#define ADD(text) (error = error ? error : sshconf_strings_add(&argv, (text), strlen(text)))
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		ADD(fixed[i]);
	if (query->config_file) {
		ADD("-F");
		ADD(query->config_file);
	}
	for (size_t i = 0; query->ssh_args && query->ssh_args[i]; i++) {
		ADD("-o");
		ADD(query->ssh_args[i]);
	}
	if (query->port) {
		buf_addf(&port, "%d", query->port);
		ADD("-p");
		ADD(buf_text(&port));
	}
	ADD("--");
	ADD(query->host);
	ADD("sftp");
#undef ADD
	if (!error)
		error = buf_error(&port);
	buf_release(&port);
	if (error) {
		sshconf_strings_free(argv);
		return error;
	}
	*ret_argv = argv;
	return 0;
}

/* The last line of `len` bytes, without its end; *ret_len is 0 when there is none. */
static const char *last_line(const char *text, size_t len, size_t *ret_len)
{
	size_t from;

	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	for (from = len; from && text[from - 1] != '\n'; from--)
		;
	*ret_len = len - from;
	return text + from;
}

/*
 * ssh's last line says it best: "command-line: line 0: Bad configuration option: foo". Of a file it is the one before: "FILE: line 3: …", then
 * "FILE: terminating, 1 bad configuration options".
 */
static void explain(const struct buf *said, int status, struct buf *why)
{
	static const char summary[] = ": terminating, ";
	const char *text = buf_text(said);
	size_t len, before_len;
	const char *line = last_line(text, strlen(text), &len);
	const char *before = last_line(text, (size_t)(line - text), &before_len);

	if (before_len && memmem(line, len, summary, strlen(summary))) {
		line = before;
		len = before_len;
	}
	if (len)
		buf_addf(why, "ssh doesn't accept these settings: %.*s", (int)len, line);
	else
		buf_addf(why, "`ssh -G` failed (status %d); run it by hand to see why", status);
}

int sshconf_load(const struct sshconf_query *query, struct sshconf *ret_conf, struct buf *why)
{
	struct buf output = BUF_INIT;
	struct buf said = BUF_INIT;
	char **argv = NULL;
	int error = make_argv(query, &argv);
	int status = 0;

	output.max = said.max = SSHCONF_MAX_BYTES;
	if (!error)
		error = ssh_run(argv, NULL, clock_now() + SSHCONF_RUN_NS, -1, &output, &said, &status);
	if (error == -ENOENT) {
		log_info("there is no ssh program here: using ssh's built-in defaults for %s, and no ssh_config", query->host);
		error = finish(ret_conf, query->host);
		if (!error && query->port)
			ret_conf->port = query->port;
	} else if (error) {
		buf_addf(why, "can't run `ssh -G` to read ssh's configuration: %s", log_strerror(error));
	} else if (status) {
		explain(&said, status, why);
		error = -EINVAL;
	} else {
		error = sshconf_parse(query->host, buf_text(&output), output.len, ret_conf);
		if (error)
			buf_addf(why, "can't make sense of what `ssh -G` says of %s: %s", query->host, log_strerror(error));
	}
	sshconf_strings_free(argv);
	buf_release(&output);
	buf_release(&said);
	return error;
}
