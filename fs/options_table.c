/*
 * options_table: every name that may stand after -o: sshfs's, fstab's, our own, and ssh_config(5)'s, which are handed to ssh.
 */
#include "options_table.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/args.h"
#include "base/conf.h"
#include "base/log.h"

enum option_kind {
	OPT_ON,			/* bool, set */
	OPT_OFF,		/* bool, cleared */
	OPT_STRING,		/* char * */
	OPT_NUMBER,		/* int64_t, from min to max */
	OPT_OCTAL,		/* int64_t */
	OPT_SIZE,		/* int64_t, bytes */
	OPT_TIME,		/* int64_t, ns */
	OPT_CHOICE,		/* int, one of `choices` */
	OPT_SSH,		/* handed to ssh, as `help` calls it */
	OPT_KERNEL,		/* for the mount itself, as it is */
	OPT_NOTHING,		/* taken, needs nothing done */
	OPT_CUSTOM,		/* `set` */
};

struct option {
	const char *name;
	enum option_kind kind;
	size_t offset;
	const char *value;	/* what --help calls it; NULL: takes none */
	const char *help;	/* NULL: not shown */
	const char *const *choices;
	int64_t min;
	int64_t max;
	int (*set)(struct options *options, const char *value, struct buf *why);
};

static const char *const idmap_choices[] = { "none", "user", "file", NULL };
static const char *const nomap_choices[] = { "error", "ignore", NULL };

/* sshfs's cached seconds: both of ours. */
static int set_dcache_timeout(struct options *options, const char *value, struct buf *why)
{
	(void)why;
	if (conf_parse_duration(value, &options->attr_ns))
		return -EINVAL;
	options->entry_ns = options->attr_ns;
	return 0;
}

static int set_dir_cache(struct options *options, const char *value, struct buf *why)
{
	if (!strcmp(value, "no")) {
		options->attr_ns = 0;
		options->entry_ns = 0;
		return 0;
	}
	if (!strcmp(value, "yes"))
		return 0;
	buf_adds(why, "must be yes or no");
	return -EINVAL;
}

static int set_alive_interval(struct options *options, const char *value, struct buf *why)
{
	(void)why;
	if (conf_parse_number(value, 0, 86400, &options->alive_interval))
		return -EINVAL;
	return options_add_ssh(options, "ServerAliveInterval", value);
}

static int set_alive_count(struct options *options, const char *value, struct buf *why)
{
	(void)why;
	if (conf_parse_number(value, 1, 1000, &options->alive_count))
		return -EINVAL;
	return options_add_ssh(options, "ServerAliveCountMax", value);
}

/* Those of sshfs's workarounds that there is something to work around; the others are for servers and bugs of long ago. */
static int set_workaround(struct options *options, const char *value, struct buf *why)
{
	static const char *const known[] = {
		"rename", "renamexdev", "truncate", "fstat", "buflimit", "createmode", "nodelay", "nodelaysrv", "none", "all", NULL
	};
	char *list = strdup(value), *at = list, *word;
	int error = list ? 0 : -ENOMEM;
	unsigned int i;

	while (!error && (word = strsep(&at, ":"))) {
		const char *plain = !strncmp(word, "no", 2) && strncmp(word, "nod", 3) && strcmp(word, "none") ? word + 2 : word;

		for (i = 0; known[i] && strcmp(known[i], plain); i++)
			;
		if (!known[i]) {
			buf_addf(why, "no such workaround: %s", word);
			error = -EINVAL;
			break;
		}
		if (!strcmp(plain, "rename") || !strcmp(plain, "all"))
			options->rename_by_removing = plain == word;
		if (!strcmp(plain, "renamexdev") || !strcmp(plain, "all"))
			options->rename_xdev = plain == word;
	}
	free(list);
	return error;
}

static int set_ro(struct options *options, const char *value, struct buf *why)
{
	(void)value;
	(void)why;
	options->read_only = true;
	buf_adds(&options->mount_options, ",ro");
	return buf_error(&options->mount_options);
}

/* As -d. */
static int set_debug(struct options *options, const char *value, struct buf *why)
{
	(void)value;
	(void)why;
	options->foreground = options->debug = true;
	return 0;
}

#define AT(field) offsetof(struct options, field)

static const struct option table[] = {
	/* the connection */
	{ "port", OPT_SSH, 0, "PORT", "Port", NULL, 0, 0, NULL },
	{ "compression", OPT_SSH, 0, "BOOL", "Compression", NULL, 0, 0, NULL },
	{ "connections", OPT_NUMBER, AT(connections), "N", "connections at most; one of them for metadata alone (5)", NULL, 1, 64, NULL },
	{ "max_conns", OPT_NUMBER, AT(connections), "N", "the same, as sshfs calls it", NULL, 1, 64, NULL },
	{ "reconnect", OPT_NOTHING, 0, NULL, "make broken connections anew (always on)", NULL, 0, 0, NULL },
	{ "timeout", OPT_TIME, AT(timeout_ns), "SECONDS", "how long an operation waits for a connection; 0 for ever (60)", NULL, 0, 0, NULL },
	{ "ServerAliveInterval", OPT_CUSTOM, 0, "SECONDS", "ask a silent server whether it lives (5)", NULL, 0, 0, set_alive_interval },
	{ "ServerAliveCountMax", OPT_CUSTOM, 0, "N", "after so many unanswered, it is dead (3)", NULL, 0, 0, set_alive_count },
	{ "ssh_command", OPT_STRING, AT(ssh_command), "COMMAND", "run this instead of the built-in SSH; words split at spaces", NULL, 0, 0, NULL },
	{ "builtin_ssh", OPT_ON, AT(builtin_ssh), NULL, "no ssh program for the data connections, though it is faster", NULL, 0, 0, NULL },
	{ "sftp_server", OPT_STRING, AT(sftp_server), "PATH", "the server's program: its path, or a subsystem's name", NULL, 0, 0, NULL },
	{ "directport", OPT_NUMBER, AT(directport), "PORT", "speak SFTP straight to this TCP port, without SSH", NULL, 1, 65535, NULL },
	{ "password_stdin", OPT_ON, AT(password_stdin), NULL, "read the password from standard input", NULL, 0, 0, NULL },
	{ "max_read", OPT_SIZE, AT(max_read), "BYTES", "most bytes of one read request", NULL, 512, INT64_MAX, NULL },
	{ "max_write", OPT_SIZE, AT(max_write), "BYTES", "most bytes of one write request", NULL, 512, INT64_MAX, NULL },
	/* caches */
	{ "attr_timeout", OPT_TIME, AT(attr_ns), "SECONDS", "how long attributes are believed (1)", NULL, 0, 0, NULL },
	{ "entry_timeout", OPT_TIME, AT(entry_ns), "SECONDS", "how long names are believed (1)", NULL, 0, 0, NULL },
	{ "dcache_timeout", OPT_CUSTOM, 0, "SECONDS", "both of them", NULL, 0, 0, set_dcache_timeout },
	{ "dir_cache", OPT_CUSTOM, 0, "yes|no", "no: both of them are 0", NULL, 0, 0, set_dir_cache },
	{ "kernel_cache", OPT_ON, AT(kernel_cache), NULL, "keep file data over opens whatever the server says", NULL, 0, 0, NULL },
	{ "auto_cache", OPT_ON, AT(auto_cache), NULL, "drop file data whenever size or mtime is seen to have changed", NULL, 0, 0, NULL },
	{ "direct_io", OPT_ON, AT(direct_io), NULL, "keep no file data in the page cache", NULL, 0, 0, NULL },
	{ "readahead", OPT_SIZE, AT(readahead), "BYTES", "most bytes read ahead of a sequential reader (16M)", NULL, 0, INT64_MAX, NULL },
	{ "no_readahead", OPT_ON, AT(no_readahead), NULL, "read only what is asked for", NULL, 0, 0, NULL },
	{ "write_buffer", OPT_SIZE, AT(write_buffer), "BYTES", "most bytes written and not yet acknowledged (64M)", NULL, 65536, INT64_MAX, NULL },
	{ "hash_cache", OPT_SIZE, AT(hash_cache), "BYTES", "most bytes of hashed inputs kept for their jobs: key = content (64M)", NULL, 0, INT64_MAX, NULL },
	{ "sshfs_sync", OPT_ON, AT(sync_writes), NULL, "a write returns when the server has it", NULL, 0, 0, NULL },
	{ "sync_readdir", OPT_NOTHING, 0, NULL, "accepted", NULL, 0, 0, NULL },
	/* users, permissions, links */
	{ "idmap", OPT_CHOICE, AT(idmap), "none|user|file", "user: the remote user is you (none)", idmap_choices, 0, 0, NULL },
	{ "uidfile", OPT_STRING, AT(uidfile), "FILE", "USER:REMOTE-ID lines for idmap=file", NULL, 0, 0, NULL },
	{ "gidfile", OPT_STRING, AT(gidfile), "FILE", "GROUP:REMOTE-ID lines for idmap=file", NULL, 0, 0, NULL },
	{ "nomap", OPT_CHOICE, AT(nomap), "error|ignore", "what to do with ids that are in neither (error)", nomap_choices, 0, 0, NULL },
	{ "uid", OPT_NUMBER, AT(uid), "N", "everything belongs to this user", NULL, 0, UINT32_MAX - 1, NULL },
	{ "gid", OPT_NUMBER, AT(gid), "N", "everything belongs to this group", NULL, 0, UINT32_MAX - 1, NULL },
	{ "umask", OPT_OCTAL, AT(umask), "OCTAL", "permissions shown are 0777 without these bits", NULL, 0, 0777, NULL },
	{ "allow_other", OPT_KERNEL, 0, NULL, "other users may use the mount", NULL, 0, 0, NULL },
	{ "allow_root", OPT_KERNEL, 0, NULL, "root may use the mount", NULL, 0, 0, NULL },
	{ "default_permissions", OPT_KERNEL, 0, NULL, "check permissions here too", NULL, 0, 0, NULL },
	{ "follow_symlinks", OPT_ON, AT(follow_symlinks), NULL, "let the server follow symbolic links", NULL, 0, 0, NULL },
	{ "transform_symlinks", OPT_ON, AT(transform_symlinks), NULL, "make absolute links below DIR relative", NULL, 0, 0, NULL },
	{ "contain_symlinks", OPT_ON, AT(contain_symlinks), NULL, "refuse links that lead out of the mount (default)", NULL, 0, 0, NULL },
	{ "no_contain_symlinks", OPT_OFF, AT(contain_symlinks), NULL, "show every link as it is: for servers you trust", NULL, 0, 0, NULL },
	{ "disable_hardlink", OPT_ON, AT(disable_hardlink), NULL, "link(2) fails with ENOSYS", NULL, 0, 0, NULL },
	{ "workaround", OPT_CUSTOM, 0, "LIST", "rename: remove what is in the way first, where the server cannot replace it; renamexdev: EXDEV when it cannot say why", NULL, 0, 0, set_workaround },
	{ "ro", OPT_CUSTOM, 0, NULL, "read only", NULL, 0, 0, set_ro },
	{ "nonempty", OPT_ON, AT(nonempty), NULL, "mount over a directory that is not empty", NULL, 0, 0, NULL },
	{ "fsname", OPT_KERNEL, 0, "NAME", "what `mount` and `df` show as the source", NULL, 0, 0, NULL },
	/* queues */
	{ "queue_ttl", OPT_TIME, AT(queue_ttl_ns), "SECONDS", "how old todo/, claims/, done/, failed/ may be (1)", NULL, 0, 0, NULL },
	{ "no_queues", OPT_ON, AT(no_queues), NULL, "show .claimfs as a plain directory, and nothing of a queue", NULL, 0, 0, NULL },
	{ "cache_dir", OPT_STRING, AT(cache_dir), "DIR", "where queues are remembered between mounts (~/.cache/claimfs)", NULL, 0, 0, NULL },
	{ "no_cache", OPT_ON, AT(no_cache), NULL, "remember nothing between mounts", NULL, 0, 0, NULL },
	{ "host_name", OPT_STRING, AT(host_name), "NAME", "this node's name in queues (the host name)", NULL, 0, 0, NULL },
	/* what mount(8), fstab and sshfs's users write, and needs nothing or is the kernel's */
	{ "rw", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL }, { "suid", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "nosuid", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL }, { "dev", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "nodev", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL }, { "exec", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "noexec", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL }, { "atime", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "noatime", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL }, { "async", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "sync", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL }, { "dirsync", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "subtype", OPT_NOTHING, 0, "NAME", NULL, NULL, 0, 0, NULL },
	{ "auto", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "noauto", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "user", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "nouser", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "users", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "nousers", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "owner", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "group", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "defaults", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "_netdev", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "nofail", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "relatime", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "norelatime", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "strictatime", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "nodiratime", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "diratime", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "comment", OPT_NOTHING, 0, "TEXT", NULL, NULL, 0, 0, NULL }, { "use_ino", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "big_writes", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "large_read", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "intr", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL }, { "hard_remove", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "negative_timeout", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "ac_attr_timeout", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "cache", OPT_CUSTOM, 0, "yes|no", NULL, NULL, 0, 0, set_dir_cache },
	{ "cache_timeout", OPT_CUSTOM, 0, "SECONDS", NULL, NULL, 0, 0, set_dcache_timeout },
	{ "dcache_stat_timeout", OPT_TIME, AT(attr_ns), "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "dcache_dir_timeout", OPT_TIME, AT(entry_ns), "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "cache_stat_timeout", OPT_TIME, AT(attr_ns), "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "cache_dir_timeout", OPT_TIME, AT(entry_ns), "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "dcache_link_timeout", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "dcache_max_size", OPT_NOTHING, 0, "N", NULL, NULL, 0, 0, NULL },
	{ "dcache_clean_interval", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "dcache_min_clean_interval", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "cache_link_timeout", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "cache_max_size", OPT_NOTHING, 0, "N", NULL, NULL, 0, 0, NULL },
	{ "cache_clean_interval", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "cache_min_clean_interval", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "delay_connect", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "unreliable_append", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "writeback_cache", OPT_NOTHING, 0, "no", NULL, NULL, 0, 0, NULL },
	{ "noauto_cache", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "sshfs_verbose", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "clone_fd", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "max_threads", OPT_NOTHING, 0, "N", NULL, NULL, 0, 0, NULL },
	{ "max_idle_threads", OPT_NOTHING, 0, "N", NULL, NULL, 0, 0, NULL },
	{ "noforget", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "remember", OPT_NOTHING, 0, "SECONDS", NULL, NULL, 0, 0, NULL },
	{ "debug", OPT_CUSTOM, 0, NULL, NULL, NULL, 0, 0, set_debug },
	{ "sshfs_debug", OPT_ON, AT(debug), NULL, NULL, NULL, 0, 0, NULL },
	{ "auto_unmount", OPT_KERNEL, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ "context", OPT_KERNEL, 0, "CONTEXT", NULL, NULL, 0, 0, NULL }, { "fscontext", OPT_KERNEL, 0, "CONTEXT", NULL, NULL, 0, 0, NULL },
	{ "defcontext", OPT_KERNEL, 0, "CONTEXT", NULL, NULL, 0, 0, NULL }, { "rootcontext", OPT_KERNEL, 0, "CONTEXT", NULL, NULL, 0, 0, NULL },
	{ "ssh_protocol", OPT_NOTHING, 0, "N", NULL, NULL, 0, 0, NULL },
	{ "no_check_root", OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
	{ NULL, OPT_NOTHING, 0, NULL, NULL, NULL, 0, 0, NULL },
};

/* ssh_config(5) names that may be given as -o NAME=VALUE: what sshfs hands to ssh, and those that came since. In any case of letters, as there. */
static const char *const ssh_names[] = {
	"AddKeysToAgent", "AddressFamily", "BatchMode", "BindAddress", "BindInterface", "CASignatureAlgorithms", "CertificateFile",
	"ChallengeResponseAuthentication", "CheckHostIP", "Cipher", "Ciphers", "Compression", "CompressionLevel", "ConnectTimeout",
	"ConnectionAttempts", "ControlMaster", "ControlPath", "ControlPersist", "FingerprintHash", "GSSAPIAuthentication",
	"GSSAPIDelegateCredentials", "GlobalKnownHostsFile", "HashKnownHosts", "HostKeyAlgorithms", "HostKeyAlias", "HostName", "Hostname",
	"HostbasedAcceptedAlgorithms", "HostbasedAuthentication", "HostbasedKeyTypes", "IPQoS", "IdentitiesOnly", "IdentityAgent",
	"IdentityFile", "KbdInteractiveAuthentication", "KbdInteractiveDevices", "KexAlgorithms", "LocalCommand", "LogLevel", "MACs",
	"NoHostAuthenticationForLocalhost", "NumberOfPasswordPrompts", "PKCS11Provider", "PasswordAuthentication", "PermitLocalCommand",
	"Port", "PreferredAuthentications", "ProxyCommand", "ProxyJump", "ProxyUseFdpass", "PubkeyAcceptedAlgorithms",
	"PubkeyAcceptedKeyTypes", "PubkeyAuthentication", "RSAAuthentication", "RekeyLimit", "RequiredRSASize", "RevokedHostKeys",
	"RhostsRSAAuthentication", "SecurityKeyProvider", "SetEnv", "SendEnv", "SmartcardDevice", "StrictHostKeyChecking", "TCPKeepAlive",
	"UpdateHostKeys", "UsePrivilegedPort", "User", "UserKnownHostsFile", "VerifyHostKeyDNS", "VisualHostKey", NULL
};

/* ---- setting one ---- */

static void *field(struct options *options, const struct option *option)
{
	return (char *)options + option->offset;
}

int options_set_string(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

int options_add_ssh(struct options *options, const char *name, const char *value)
{
	struct buf text = BUF_INIT;
	char *detached;

	if (options->ssh_option_count == OPTIONS_MAX_SSH)
		return -E2BIG;
	buf_addf(&text, "%s=%s", name, value);
	detached = buf_error(&text) ? NULL : buf_detach(&text);
	buf_release(&text);
	if (!detached)
		return -ENOMEM;
	options->ssh_options[options->ssh_option_count++] = detached;
	return 0;
}

/* Commas and backslashes within a value would end it in the list that libfuse parses. */
int options_add_mount(struct options *options, const char *name, const char *value)
{
	struct buf *list = &options->mount_options;

	buf_addf(list, ",%s", name);
	if (value)
		buf_addch(list, '=');
	for (; value && *value; value++) {
		if (*value == ',' || *value == '\\')
			buf_addch(list, '\\');
		buf_addch(list, *value);
	}
	return buf_error(list);
}

static int set_choice(struct options *options, const struct option *option, const char *value, struct buf *why)
{
	int i;

	for (i = 0; option->choices[i]; i++)
		if (!strcmp(option->choices[i], value)) {
			*(int *)field(options, option) = i;
			return 0;
		}
	buf_addf(why, "must be one of %s", option->value);
	return -EINVAL;
}

static int set_octal(struct options *options, const struct option *option, const char *value, struct buf *why)
{
	char *end;
	long number = strtol(value, &end, 8);

	if (!*value || *end || number < option->min || number > option->max) {
		buf_adds(why, "must be an octal number up to 777");
		return -EINVAL;
	}
	*(int64_t *)field(options, option) = number;
	return 0;
}

static int set_measure(struct options *options, const struct option *option, const char *value, struct buf *why)
{
	int64_t number = 0;
	int error;

	if (option->kind == OPT_TIME)
		error = conf_parse_duration(value, &number);
	else if (option->kind == OPT_SIZE)
		error = conf_parse_size(value, &number);
	else
		error = conf_parse_number(value, option->min, option->max, &number);
	if (!error && option->kind != OPT_TIME && (number < option->min || number > option->max))
		error = -ERANGE;
	if (error == -ERANGE && option->max == INT64_MAX)
		buf_addf(why, "must be at least %lld", (long long)option->min);
	else if (error == -ERANGE)
		buf_addf(why, "must be from %lld to %lld", (long long)option->min, (long long)option->max);
	else if (error)
		buf_addf(why, "\"%s\" is no %s", value, option->kind == OPT_TIME ? "time" : option->kind == OPT_SIZE ? "size" : "number");
	if (error)
		return -EINVAL;
	*(int64_t *)field(options, option) = number;
	return 0;
}

static int set_option(struct options *options, const struct option *option, const char *value, struct buf *why)
{
	switch (option->kind) {
	case OPT_ON:
		*(bool *)field(options, option) = true;
		return 0;
	case OPT_OFF:
		*(bool *)field(options, option) = false;
		return 0;
	case OPT_STRING:
		if (*value)
			return options_set_string(field(options, option), value);
		buf_adds(why, "must not be empty");
		return -EINVAL;
	case OPT_NUMBER:
	case OPT_SIZE:
	case OPT_TIME:
		return set_measure(options, option, value, why);
	case OPT_OCTAL:
		return set_octal(options, option, value, why);
	case OPT_CHOICE:
		return set_choice(options, option, value, why);
	case OPT_SSH:
		return options_add_ssh(options, option->help, value);
	case OPT_KERNEL:
		return options_add_mount(options, option->name, value);
	case OPT_CUSTOM:
		return option->set(options, value, why);
	case OPT_NOTHING:
		return 0;
	}
	return 0;
}

/* ---- -o lists ---- */

static const struct option *find_option(const char *name)
{
	const struct option *option;

	for (option = table; option->name; option++)
		if (!strcmp(option->name, name))
			return option;
	return NULL;
}

static const char *find_ssh_name(const char *name)
{
	unsigned int i;

	for (i = 0; ssh_names[i]; i++)
		if (!strcasecmp(ssh_names[i], name))
			return ssh_names[i];
	return NULL;
}

static int refuse_unknown(const char *name, struct buf *why)
{
	const char *names[sizeof(table) / sizeof(table[0]) + sizeof(ssh_names) / sizeof(ssh_names[0])];
	const char *near;
	size_t count = 0, i;

	for (i = 0; table[i].name; i++)
		names[count++] = table[i].name;
	for (i = 0; ssh_names[i]; i++)
		names[count++] = ssh_names[i];
	names[count] = NULL;
	near = args_nearest(name, names);
	buf_addf(why, "unknown option: -o %s", name);
	if (near)
		buf_addf(why, "; did you mean %s?", near);
	return -EINVAL;
}

int options_set(struct options *options, const char *name, const char *value, struct buf *why)
{
	const struct option *option = find_option(name);
	const char *ssh_name = option ? NULL : find_ssh_name(name);
	struct buf reason = BUF_INIT;
	int error;

	if (!option && !strncmp(name, "x-", 2))		/* fstab's, for other programs */
		return 0;
	if (!option && !ssh_name)
		return refuse_unknown(name, why);
	/* Some take a value and need none done with it ("user=NAME"). */
	if ((ssh_name || option->value) != !!value && !(option && option->kind == OPT_NOTHING)) {
		buf_addf(why, "-o %s %s", name, value ? "takes no value" : "needs a value");
		if (option && option->value)
			buf_addf(why, ": %s=%s", name, option->value);
		return -EINVAL;
	}
	error = ssh_name ? options_add_ssh(options, ssh_name, value) : set_option(options, option, value, &reason);
	if (error)
		buf_addf(why, "-o %s: %s", name, reason.len ? buf_text(&reason) : error == -EINVAL ? "bad value" : log_strerror(error));
	buf_release(&reason);
	return error;
}

/* Cuts the next option out of a list: "a,b=c\,d" has two. A backslash takes the next character's meaning away. */
static char *next_option(char **list)
{
	char *from = *list, *to = from, *option = from;

	if (!from)
		return NULL;
	*list = NULL;
	for (; *from; from++) {
		if (*from == ',') {
			*list = from + 1;
			break;
		}
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*to = '\0';
	return option;
}

int options_set_list(struct options *options, const char *text, struct buf *why)
{
	char *copy = strdup(text), *list = copy, *option;
	int error = copy ? 0 : -ENOMEM;

	while (!error && (option = next_option(&list))) {
		char *equals = strchr(option, '=');

		if (equals)
			*equals = '\0';
		if (*option)
			error = options_set(options, option, equals ? equals + 1 : NULL, why);
	}
	free(copy);
	return error;
}

/* ---- help ---- */

void options_print_table(FILE *out)
{
	const struct option *option;
	char name[80];

	for (option = table; option->name; option++) {
		if (!option->help || option->kind == OPT_SSH)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", option->name, option->value ? "=" : "", option->value ? option->value : "");
		fprintf(out, "  %-30s %s\n", name, option->help);
	}
}
