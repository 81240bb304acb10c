/*
 * sshconf: the answer of `ssh -G`, "name value" lines with lower-case names, into a struct; by a table of names.
 */
#include "sftp/sshconf.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "sftp/ssh_run.h"

#define SSHCONF_MAX_BYTES (1024 * 1024)
#define SSHCONF_RUN_NS (30 * NS_PER_S)

struct setting {
	const char *name;
	int (*set)(struct sshconf *conf, const struct setting *setting, const char *value);
	size_t offset;
};

/* ---- lists of strings ---- */

static size_t strings_count(char *const *list)
{
	size_t count = 0;

	while (list && list[count])
		count++;
	return count;
}

int sshconf_strings_add(char ***list, const char *text, size_t len)
{
	size_t count = strings_count(*list);
	char **grown = realloc(*list, (count + 2) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[count] = NULL;
	grown[count + 1] = NULL;
	if (!text)
		return 0;
	grown[count] = strndup(text, len);
	return grown[count] ? 0 : -ENOMEM;
}

void sshconf_strings_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

bool sshconf_list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list && *list) {
		size_t span = strcspn(list, ",");

		if (span == len && !memcmp(list, word, len))
			return true;
		list += span + (list[span] == ',');
	}
	return false;
}

/* ---- setters ---- */

static int set_string(struct sshconf *conf, const struct setting *setting, const char *value)
{
	char **field = (char **)(void *)((char *)conf + setting->offset);
	char *copy = NULL;

	if (strcmp(value, "none") && *value) {
		copy = strdup(value);
		if (!copy)
			return -ENOMEM;
	}
	free(*field);
	*field = copy;
	return 0;
}

/* A string for which "none" means something: kept as it is. */
static int set_word(struct sshconf *conf, const struct setting *setting, const char *value)
{
	char **field = (char **)(void *)((char *)conf + setting->offset);
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* Some have a third value that is a kind of yes: PubkeyAuthentication host-bound. */
static int set_bool(struct sshconf *conf, const struct setting *setting, const char *value)
{
	bool *field = (bool *)(void *)((char *)conf + setting->offset);

	*field = strcmp(value, "no") && strcmp(value, "false") && strcmp(value, "off");
	return 0;
}

static int set_number(struct sshconf *conf, const struct setting *setting, const char *value)
{
	int *field = (int *)(void *)((char *)conf + setting->offset);
	int64_t number;

	if (!strcmp(value, "none")) {
		*field = 0;
		return 0;
	}
	if (conf_parse_number(value, 0, 1 << 30, &number))
		return -EINVAL;
	*field = (int)number;
	return 0;
}

static int set_strict(struct sshconf *conf, const struct setting *setting, const char *value)
{
	static const struct {
		const char *word;
		enum sshconf_strict strict;
	} words[] = {
		{ "yes", SSHCONF_STRICT_YES }, { "true", SSHCONF_STRICT_YES }, { "ask", SSHCONF_STRICT_ASK },
		{ "accept-new", SSHCONF_STRICT_ACCEPT_NEW }, { "no", SSHCONF_STRICT_NO }, { "false", SSHCONF_STRICT_NO },
		{ "off", SSHCONF_STRICT_NO },
	};

	(void)setting;
	conf->strict = SSHCONF_STRICT_ASK;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(value, words[i].word))
			conf->strict = words[i].strict;
	return 0;
}

/* One a line; spaces belong to it. */
static int add_line(struct sshconf *conf, const struct setting *setting, const char *value)
{
	char ***field = (char ***)(void *)((char *)conf + setting->offset);

	return strcmp(value, "none") ? sshconf_strings_add(field, value, strlen(value)) : 0;
}

/* Several names on one line, separated by spaces (ssh -G quotes nothing). The line replaces what was there. */
static int set_files(struct sshconf *conf, const struct setting *setting, const char *value)
{
	char ***field = (char ***)(void *)((char *)conf + setting->offset);
	char **list = NULL;
	int error = sshconf_strings_add(&list, NULL, 0);

	while (!error && *(value += strspn(value, " \t"))) {
		size_t len = strcspn(value, " \t");

		if (len != 4 || memcmp(value, "none", 4))
			error = sshconf_strings_add(&list, value, len);
		value += len;
	}
	if (error) {
		sshconf_strings_free(list);
		return error;
	}
	sshconf_strings_free(*field);
	*field = list;
	return 0;
}

#define FIELD(name, set) { #name, set, offsetof(struct sshconf, name) }

static const struct setting settings[] = {
	FIELD(hostname, set_string),
	FIELD(user, set_string),
	FIELD(port, set_number),
	FIELD(hostkeyalias, set_string),
	FIELD(bindaddress, set_string),
	FIELD(bindinterface, set_string),
	FIELD(addressfamily, set_string),
	FIELD(identityagent, set_word),
	FIELD(controlpath, set_string),
	FIELD(revokedhostkeys, set_string),
	FIELD(knownhostscommand, set_string),
	FIELD(proxyjump, set_string),
	FIELD(proxycommand, set_string),
	FIELD(pkcs11provider, set_string),
	FIELD(ciphers, set_string),
	FIELD(macs, set_string),
	FIELD(kexalgorithms, set_string),
	FIELD(hostkeyalgorithms, set_string),
	FIELD(pubkeyacceptedalgorithms, set_string),
	FIELD(preferredauthentications, set_string),
	{ "identityfile", add_line, offsetof(struct sshconf, identityfiles) },
	{ "certificatefile", add_line, offsetof(struct sshconf, certificatefiles) },
	{ "userknownhostsfile", set_files, offsetof(struct sshconf, userknownhosts) },
	{ "globalknownhostsfile", set_files, offsetof(struct sshconf, globalknownhosts) },
	FIELD(setenv, add_line),
	FIELD(connecttimeout, set_number),
	FIELD(connectionattempts, set_number),
	FIELD(requiredrsasize, set_number),
	FIELD(serveraliveinterval, set_number),
	FIELD(serveralivecountmax, set_number),
	FIELD(numberofpasswordprompts, set_number),
	{ "stricthostkeychecking", set_strict, 0 },
	FIELD(identitiesonly, set_bool),
	FIELD(compression, set_bool),
	FIELD(hashknownhosts, set_bool),
	FIELD(checkhostip, set_bool),
	FIELD(nohostauthenticationforlocalhost, set_bool),
	FIELD(pubkeyauthentication, set_bool),
	FIELD(passwordauthentication, set_bool),
	FIELD(kbdinteractiveauthentication, set_bool),
	FIELD(gssapiauthentication, set_bool),
	FIELD(hostbasedauthentication, set_bool),
	FIELD(verifyhostkeydns, set_bool),
	FIELD(batchmode, set_bool),
	FIELD(tcpkeepalive, set_bool),
};

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

void sshconf_init(struct sshconf *conf)
{
	memset(conf, 0, sizeof(*conf));
	conf->port = 22;
	conf->serveralivecountmax = 3;
	conf->connectionattempts = 1;
	conf->requiredrsasize = 1024;
	conf->numberofpasswordprompts = 3;
	conf->strict = SSHCONF_STRICT_ASK;
	conf->pubkeyauthentication = true;
	conf->passwordauthentication = true;
	conf->kbdinteractiveauthentication = true;
	conf->tcpkeepalive = true;
}

void sshconf_release(struct sshconf *conf)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		char *field = (char *)conf + settings[i].offset;

		if (settings[i].set == set_string || settings[i].set == set_word)
			free(*(char **)(void *)field);
		else if (settings[i].set == add_line || settings[i].set == set_files)
			sshconf_strings_free(*(char ***)(void *)field);
	}
	free(conf->host);
	memset(conf, 0, sizeof(*conf));
}

static int apply(struct sshconf *conf, const char *name, size_t name_len, const char *value, size_t value_len)
{
	char *copy;
	int error = 0;

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strlen(settings[i].name) != name_len || strncasecmp(settings[i].name, name, name_len))
			continue;
		copy = strndup(value, value_len);
		if (!copy)
			return -ENOMEM;
		error = settings[i].set(conf, &settings[i], copy);
		free(copy);
		break;
	}
	return error;
}

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
		static const struct setting user_files = { "", set_files, offsetof(struct sshconf, userknownhosts) };
		static const struct setting global_files = { "", set_files, offsetof(struct sshconf, globalknownhosts) };

		error = set_files(conf, &user_files, "~/.ssh/known_hosts ~/.ssh/known_hosts2");
		if (!error)
			error = set_files(conf, &global_files, "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2");
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
			error = apply(ret_conf, text, (size_t)(space - text), space + 1, (size_t)(line_end - space - 1));
		text = newline ? newline + 1 : end;
	}
	return error ? error : finish(ret_conf, spec);
}

static int make_argv(const struct sshconf_query *query, char ***ret_argv)
{
	struct buf port = BUF_INIT;
	char **argv = NULL;
	const char *fixed[] = { query->ssh_program ? query->ssh_program : "ssh", "-G" };
	int error = 0;

#define ADD(text) (error = error ? error : sshconf_strings_add(&argv, (text), strlen(text)))
	for (size_t i = 0; i < 2; i++)
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
