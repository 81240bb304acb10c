/*
 * sshconf_table: what each setting of `ssh -G` is to us: a table of their names, and how a value becomes a field.
 */
#include <errno.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "sftp/sshconf_priv.h"

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

/* As the IP header has it; -1 where it is none of the names and numbers of OpenSSH 9.2. */
static int tos_of(const char *name)
{
	static const struct {
		const char *name;
		int tos;
	} names[] = {
		{ "af11", IPTOS_DSCP_AF11 }, { "af12", IPTOS_DSCP_AF12 }, { "af13", IPTOS_DSCP_AF13 }, { "af21", IPTOS_DSCP_AF21 },
		{ "af22", IPTOS_DSCP_AF22 }, { "af23", IPTOS_DSCP_AF23 }, { "af31", IPTOS_DSCP_AF31 }, { "af32", IPTOS_DSCP_AF32 },
		{ "af33", IPTOS_DSCP_AF33 }, { "af41", IPTOS_DSCP_AF41 }, { "af42", IPTOS_DSCP_AF42 }, { "af43", IPTOS_DSCP_AF43 },
		{ "cs0", IPTOS_CLASS_CS0 }, { "cs1", IPTOS_CLASS_CS1 }, { "cs2", IPTOS_CLASS_CS2 }, { "cs3", IPTOS_CLASS_CS3 },
		{ "cs4", IPTOS_CLASS_CS4 }, { "cs5", IPTOS_CLASS_CS5 }, { "cs6", IPTOS_CLASS_CS6 }, { "cs7", IPTOS_CLASS_CS7 },
		{ "ef", IPTOS_DSCP_EF }, { "le", 0x04 }, { "lowdelay", IPTOS_LOWDELAY }, { "throughput", IPTOS_THROUGHPUT },
		{ "reliability", IPTOS_RELIABILITY },
	};
	char *end;
	long number;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcasecmp(names[i].name, name))
			return names[i].tos;
	number = strtol(name, &end, 0);
	return *name && !*end && number >= 0 && number <= 0xff ? (int)number : -1;
}

/* "INTERACTIVE BULK", or one for both: what has no terminal is bulk. */
static int set_qos(struct sshconf *conf, const struct setting *setting, const char *value)
{
	const char *space = strchr(value, ' ');

	(void)setting;
	conf->tos = tos_of(space ? space + 1 : value);
	return 0;
}

/* "BYTES SECONDS", and both are 0 where nobody set it. */
static int set_rekey(struct sshconf *conf, const struct setting *setting, const char *value)
{
	(void)setting;
	conf->rekeylimit = strcmp(value, "0 0");
	return 0;
}

/* One a line; spaces belong to it. */
static int add_line(struct sshconf *conf, const struct setting *setting, const char *value)
{
	char ***field = (char ***)(void *)((char *)conf + setting->offset);

	return strcmp(value, "none") ? sshconf_strings_add(field, value, strlen(value)) : 0;
}

/*
 * Where the next name begins: at a word that begins as absolute names do, or with what stands for one (~, %d, ${HOME}). `ssh -G` quotes nothing,
 * so that any other word is taken for the rest of a name with a blank in it.
 */
static size_t file_name_len(const char *text)
{
	size_t len = 0;

	for (;;) {
		size_t blanks;

		len += strcspn(text + len, " \t");
		blanks = strspn(text + len, " \t");
		if (!text[len + blanks] || strchr("/~%$", text[len + blanks]))
			return len;
		len += blanks;
	}
}

/* Several names on one line. The line replaces what was there. */
static int set_files(struct sshconf *conf, const struct setting *setting, const char *value)
{
	char ***field = (char ***)(void *)((char *)conf + setting->offset);
	char **list = NULL;
	int error = sshconf_strings_add(&list, NULL, 0);

	while (!error && *(value += strspn(value, " \t"))) {
		size_t len = file_name_len(value);

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
	FIELD(sendenv, add_line),
	FIELD(fingerprinthash, set_string),
	FIELD(sessiontype, set_string),
	FIELD(connecttimeout, set_number),
	FIELD(connectionattempts, set_number),
	FIELD(requiredrsasize, set_number),
	FIELD(serveraliveinterval, set_number),
	FIELD(serveralivecountmax, set_number),
	FIELD(numberofpasswordprompts, set_number),
	{ "stricthostkeychecking", set_strict, 0 },
	{ "ipqos", set_qos, 0 },
	FIELD(rekeylimit, set_rekey),
	FIELD(forkafterauthentication, set_bool),
	FIELD(stdinnull, set_bool),
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
	conf->tos = IPTOS_CLASS_CS1;
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

int sshconf_apply(struct sshconf *conf, const char *name, size_t name_len, const char *value, size_t value_len)
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
