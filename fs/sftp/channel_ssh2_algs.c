/*
 * channel_ssh2_algs: which algorithms to offer: what ssh_config allows and libssh2 has.
 */
#include "sftp/channel_ssh2_priv.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

/* OpenSSH 9.2's defaults as far as any libssh2 has them: when there is no ssh to ask. */
#define DEFAULT_CIPHERS "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
#define DEFAULT_MACS "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1"
#define DEFAULT_KEX \
	"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521," \
	"diffie-hellman-group-exchange-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256"

/*
 * The fastest first, measured on loopback; used where the configuration has OpenSSH's own order, that is, no wish of
 * the user's.
 */
static const char *const fast_ciphers[] = {
	"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr", "chacha20-poly1305@openssh.com", NULL,
};
static const char *const fast_macs[] = {
	"hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "hmac-sha1-etm@openssh.com", "hmac-sha1", "hmac-sha2-512-etm@openssh.com",
	"hmac-sha2-512", NULL,
};

struct supported {
	const char **names;	/* libssh2's, to be freed by it; ends with NULL after ssh2_supported */
	int count;
};

static bool has(const struct supported *supported, const char *name, size_t len)
{
	for (int i = 0; i < supported->count; i++)
		if (strlen(supported->names[i]) == len && !memcmp(supported->names[i], name, len))
			return true;
	return false;
}

static void add_name(struct buf *list, const char *name, size_t len)
{
	if (list->len)
		buf_addch(list, ',');
	buf_add(list, name, len);
}

/* The wanted ones that there are, in the order wanted; or by `fast` if that is given. */
static void choose(const struct supported *supported, const char *wanted, const char *const *fast, struct buf *list)
{
	for (; fast && *fast; fast++)
		if (sshconf_list_has(wanted, *fast) && has(supported, *fast, strlen(*fast)))
			add_name(list, *fast, strlen(*fast));
	while (*wanted) {
		size_t len = strcspn(wanted, ",");
		char name[128];

		if (len && len < sizeof(name) && has(supported, wanted, len)) {
			memcpy(name, wanted, len);
			name[len] = '\0';
			if (!sshconf_list_has(buf_text(list), name))
				add_name(list, name, len);
		}
		wanted += len + (wanted[len] == ',');
	}
}

/*
 * Not algorithms but signs of what we understand (strict key exchange, extension negotiation): a list of ours must not
 * drop them.
 */
static void keep_signs(const struct supported *supported, struct buf *list)
{
	for (int i = 0; i < supported->count; i++) {
		const char *name = supported->names[i];

		if ((!strncmp(name, "kex-strict-", 11) || !strcmp(name, "ext-info-c")) && !sshconf_list_has(buf_text(list), name))
			add_name(list, name, strlen(name));
	}
}

static int get_supported(struct ssh2 *s, int method, struct supported *ret)
{
	ret->names = NULL;
	ret->count = libssh2_session_supported_algs(s->session, method, &ret->names);
	return ret->count > 0 ? 0 : ret->count == LIBSSH2_ERROR_ALLOC ? -ENOMEM : -EPROTO;
}

static int set_method(struct ssh2 *s, int method, const struct buf *list)
{
	int rc = buf_error(list) ? LIBSSH2_ERROR_ALLOC : libssh2_session_method_pref(s->session, method, buf_text(list));

	if (rc)
		buf_addf(s->why, "libssh2 refuses the algorithms %s: %s", buf_text(list), ssh2_error_text(s));
	return rc == LIBSSH2_ERROR_ALLOC ? -ENOMEM : rc ? -EOPNOTSUPP : 0;
}

struct choice {
	const char *option;		/* ssh_config's name */
	int methods[2];
	const char *fallback;
	const char *openssh_first;	/* how OpenSSH's own order begins; NULL: never reorder */
	const char *const *fast;
};

static const struct choice choices[] = {
	{ "KexAlgorithms", { LIBSSH2_METHOD_KEX, -1 }, DEFAULT_KEX, NULL, NULL },
	{ "Ciphers", { LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC }, DEFAULT_CIPHERS, "chacha20-poly1305@openssh.com,", fast_ciphers },
	{ "MACs", { LIBSSH2_METHOD_MAC_CS, LIBSSH2_METHOD_MAC_SC }, DEFAULT_MACS, "umac-64-etm@openssh.com,", fast_macs },
};

static bool is_openssh_order(const struct choice *choice, const char *list)
{
	return choice->openssh_first && !strncmp(list, choice->openssh_first, strlen(choice->openssh_first));
}

static int set_choice(struct ssh2 *s, const struct choice *choice, const char *wanted)
{
	struct supported supported;
	struct buf list = BUF_INIT;
	const char *const *fast = NULL;
	int error = get_supported(s, choice->methods[0], &supported);

	if (error)
		return error;
	if (!wanted)
		wanted = choice->fallback;
	if (wanted == choice->fallback || is_openssh_order(choice, wanted))
		fast = choice->fast;
	choose(&supported, wanted, fast, &list);
	if (!list.len) {
		buf_addf(s->why, "libssh2 %s has none of the configured %s (%s)", channel_ssh2_version(), choice->option, wanted);
		error = -EOPNOTSUPP;
	}
	if (choice->methods[0] == LIBSSH2_METHOD_KEX)
		keep_signs(&supported, &list);
	for (size_t i = 0; !error && i < 2 && choice->methods[i] >= 0; i++)
		error = set_method(s, choice->methods[i], &list);
	buf_release(&list);
	libssh2_free(s->session, supported.names);
	return error;
}

static int set_hostkeys(struct ssh2 *s, const struct ssh_hostkeys *keys)
{
	struct supported supported;
	const char *names[32];
	struct buf list = BUF_INIT;
	int count = 0;
	int error = get_supported(s, LIBSSH2_METHOD_HOSTKEY, &supported);

	if (error)
		return error;
	while (count < supported.count && count < (int)(sizeof(names) / sizeof(names[0])) - 1) {
		names[count] = supported.names[count];
		count++;
	}
	names[count] = NULL;
	error = ssh_hostkeys_order(keys, names, &list, s->why);
	if (!error)
		error = set_method(s, LIBSSH2_METHOD_HOSTKEY, &list);
	buf_release(&list);
	libssh2_free(s->session, supported.names);
	return error;
}

int ssh2_set_algorithms(struct ssh2 *s, const struct ssh_hostkeys *keys)
{
	const struct sshconf *conf = s->target->conf;
	const char *wanted[] = { conf->kexalgorithms, conf->ciphers, conf->macs };
	int error = set_hostkeys(s, keys);

	for (size_t i = 0; !error && i < sizeof(choices) / sizeof(choices[0]); i++)
		error = set_choice(s, &choices[i], wanted[i]);
	if (!error)
		libssh2_session_flag(s->session, LIBSSH2_FLAG_COMPRESS, conf->compression);
	return error;
}
