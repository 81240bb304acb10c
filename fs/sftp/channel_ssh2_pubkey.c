/*
 * channel_ssh2_pubkey: the publickey method (RFC 4252 section 7), with keys of the agent and of files, in ssh's
 * order: the agent's that are also configured as files, the agent's others (unless IdentitiesOnly), then files. The
 * server is asked about a key before anybody is asked for its passphrase.
 *
 * We sign ourselves, by a call-back. libssh2 1.10 takes the algorithm from the key blob's type, so for RSA the blob
 * says rsa-sha2-512: OpenSSH accepts that. From 1.11 on libssh2 chooses RSA's algorithm itself; it stands in the
 * bytes to be signed.
 */
#include "sftp/channel_ssh2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sftp/ssh_agent.h"
#include "sftp/ssh_wire.h"

struct key {
	struct buf blob;		/* empty: only the passphrase would tell */
	const struct ssh_agent_key *agent_key;	/* or NULL: a file */
	size_t identity;		/* of a file */
	const char *label;		/* path or comment */
	bool refused;
};

struct ssh2_keys {
	struct ssh_agent agent;
	struct key *all;
	size_t count;
};

/* What the signing call-back needs. */
struct signing {
	struct ssh2_auth *auth;
	struct key *key;
	int error;
};

/* ---- which keys ---- */

void ssh2_keys_free(struct ssh2_keys *keys)
{
	if (!keys)
		return;
	for (size_t i = 0; i < keys->count; i++)
		buf_release(&keys->all[i].blob);
	free(keys->all);
	ssh_agent_close(&keys->agent);
	free(keys);
}

static struct key *add_key(struct ssh2_keys *keys)
{
	struct key *grown = realloc(keys->all, (keys->count + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	keys->all = grown;
	memset(&grown[keys->count], 0, sizeof(*grown));
	return &grown[keys->count++];
}

static bool same(const struct buf *a, const void *blob, size_t len)
{
	return a->len == len && len && !memcmp(a->data, blob, len);
}

/* A key libssh2 has no use for, though ssh might: certificates and FIDO keys. */
static bool beyond_us(struct ssh2_auth *auth, const void *blob, size_t len)
{
	char type[128];

	if (!ssh_blob_type(blob, len, type, sizeof(type)))
		return true;
	if (strstr(type, "-cert-v0"))
		auth->needs_ssh = "a certificate in the agent";
	else if (!strncmp(type, "sk-", 3))
		auth->needs_ssh = "a FIDO key";
	else
		return !strcmp(type, "ssh-dss");
	return true;
}

static int add_agent_key(struct ssh2_auth *auth, const struct ssh_agent_key *agent_key)
{
	struct key *key;

	for (size_t i = 0; i < auth->keys->count; i++)
		if (auth->keys->all[i].agent_key == agent_key)
			return 0;
	if (beyond_us(auth, agent_key->blob, agent_key->blob_len))
		return 0;
	key = add_key(auth->keys);
	if (!key)
		return -ENOMEM;
	key->agent_key = agent_key;
	key->label = *agent_key->comment ? agent_key->comment : "of the agent";
	buf_add(&key->blob, agent_key->blob, agent_key->blob_len);
	return buf_error(&key->blob);
}

/* A file's key, if the agent hasn't got it. Takes the blob over. */
static int add_file_key(struct ssh2_auth *auth, size_t identity, struct buf *blob)
{
	struct key *key;

	if (blob->len && beyond_us(auth, blob->data, blob->len))
		return 0;
	for (size_t i = 0; i < auth->keys->count; i++)
		if (same(blob, auth->keys->all[i].blob.data, auth->keys->all[i].blob.len))
			return 0;
	key = add_key(auth->keys);
	if (!key)
		return -ENOMEM;
	key->identity = identity;
	key->label = ssh_identity_path(ssh_login_identities(auth->login), identity);
	key->blob = *blob;
	buf_init(blob);
	return 0;
}

static void note(struct ssh2_auth *auth, const char *label, const char *problem)
{
	buf_addf(&auth->notes, "; the key %s %s", label, problem);
}

/* Fills blobs[0 .. count); an empty one is a key that isn't there or can't be read; readable[i]: it may be offered. */
static int peek_files(struct ssh2_auth *auth, struct buf *blobs, bool *readable, size_t count)
{
	struct ssh_identities *identities = ssh_login_identities(auth->login);

	for (size_t i = 0; i < count; i++) {
		int error = ssh_identity_blob(identities, i, &blobs[i]);

		if (error == -ENOMEM)
			return error;
		readable[i] = !error || error == -ENOKEY;
		if (error == -EOPNOTSUPP)
			auth->needs_ssh = "a key of a kind libssh2 lacks";
		else if (error && error != -ENOKEY && error != -ENOENT)
			note(auth, ssh_identity_path(identities, i), error == -EINVAL ? "isn't a private key" : "can't be read");
	}
	return 0;
}

static void open_agent(struct ssh2_auth *auth)
{
	const char *path = auth->conf->identityagent ? auth->conf->identityagent : getenv("SSH_AUTH_SOCK");
	int error;

	if (!path || !*path || !strcmp(path, "none"))
		return;
	error = ssh_agent_open(path, &auth->s->limit, &auth->keys->agent);
	if (error)
		log_info("no keys from the ssh agent at %s: %s", path, log_strerror(error));
}

static int order_keys(struct ssh2_auth *auth, struct buf *blobs, const bool *readable, size_t count)
{
	const struct ssh_agent *agent = &auth->keys->agent;
	int error = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; !error && k < agent->count; k++)
			if (same(&blobs[i], agent->keys[k].blob, agent->keys[k].blob_len))
				error = add_agent_key(auth, &agent->keys[k]);
	for (size_t k = 0; !error && !auth->conf->identitiesonly && k < agent->count; k++)
		error = add_agent_key(auth, &agent->keys[k]);
	for (size_t i = 0; !error && i < count; i++)
		if (readable[i])
			error = add_file_key(auth, i, &blobs[i]);
	return error;
}

static int gather_keys(struct ssh2_auth *auth)
{
	size_t count = ssh_identities_count(ssh_login_identities(auth->login));
	struct buf *blobs = calloc(count + 1, sizeof(*blobs));
	bool *readable = calloc(count + 1, sizeof(*readable));
	int error = -ENOMEM;

	auth->keys = calloc(1, sizeof(*auth->keys));
	if (auth->keys)
		auth->keys->agent.fd = -1;
	if (auth->keys && blobs && readable) {
		open_agent(auth);
		error = peek_files(auth, blobs, readable, count);
		if (!error)
			error = order_keys(auth, blobs, readable, count);
	}
	for (size_t i = 0; blobs && i < count; i++)
		buf_release(&blobs[i]);
	free(blobs);
	free(readable);
	return error;
}

/* ---- signing ---- */

/*
 * The algorithm in the bytes to be signed: string session, byte 50, string user, string service, string "publickey",
 * byte 1, string algorithm.
 */
static bool algorithm_of(const unsigned char *data, size_t len, char *ret_name, size_t size)
{
	struct ssh_cursor cursor = ssh_cursor_of(data, len);
	struct ssh_bytes name;

	ssh_get_string(&cursor);
	ssh_get_u8(&cursor);
	for (int i = 0; i < 3; i++)
		ssh_get_string(&cursor);
	ssh_get_u8(&cursor);
	name = ssh_get_string(&cursor);
	if (cursor.bad || name.len >= size)
		return false;
	memcpy(ret_name, name.data, name.len);
	ret_name[name.len] = '\0';
	return true;
}

static int sign_by_agent(struct signing *signing, const char *algorithm, const void *data, size_t len, struct buf *signature)
{
	struct buf whole = BUF_INIT;
	struct ssh_cursor cursor;
	struct ssh_bytes name;
	struct ssh_bytes inner;
	uint32_t flags = 0;
	int error;

	if (!strcmp(algorithm, "rsa-sha2-512"))
		flags = SSH_AGENT_RSA_SHA2_512;
	else if (!strcmp(algorithm, "rsa-sha2-256"))
		flags = SSH_AGENT_RSA_SHA2_256;
	error = ssh_agent_sign(&signing->auth->keys->agent, signing->key->agent_key, data, len, flags, &signing->auth->s->limit, &whole);
	if (!error) {
		cursor = ssh_cursor_of(whole.data, whole.len);
		name = ssh_get_string(&cursor);
		inner = ssh_get_string(&cursor);
		/* An old agent ignores the flags and signs with SHA-1. */
		error = cursor.bad || !ssh_bytes_are(name, algorithm) ? -EPROTO : 0;
		if (!error)
			buf_add(signature, inner.data, inner.len);
	}
	buf_release(&whole);
	return error ? error : buf_error(signature);
}

static int sign_by_file(struct signing *signing, const char *algorithm, const void *data, size_t len, struct buf *signature)
{
	struct ssh_login *login = signing->auth->login;
	const struct ssh_key *key = NULL;
	int error = ssh_identity_key(ssh_login_identities(login), signing->key->identity, ssh_login_prompt(login),
				     &signing->auth->s->limit, &key);

	return error ? error : ssh_key_sign(key, algorithm, data, len, signature);
}

static int sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data, size_t data_len,
		void **abstract)
{
	struct signing *signing = *abstract;
	struct buf signature = BUF_INIT;
	char algorithm[64];

	(void)session;
	signing->auth->signed_once = true;
	if (!algorithm_of(data, data_len, algorithm, sizeof(algorithm)))
		signing->error = -EPROTO;
	else if (signing->key->agent_key)
		signing->error = sign_by_agent(signing, algorithm, data, data_len, &signature);
	else
		signing->error = sign_by_file(signing, algorithm, data, data_len, &signature);
	if (!signing->error) {
		*sig_len = signature.len;
		*sig = (unsigned char *)buf_detach(&signature);	/* libssh2 frees it: its allocator is malloc */
		signing->error = *sig ? 0 : -ENOMEM;
	}
	buf_release(&signature);
	return signing->error;
}

/* ---- offering ---- */

/* The blob as libssh2 is to see it: for 1.10 an RSA key's type is the algorithm. */
static int blob_for(const struct buf *blob, const char *algorithm, struct buf *ret)
{
	struct ssh_cursor cursor = ssh_cursor_of(blob->data, blob->len);

	ssh_get_string(&cursor);
	if (cursor.bad)
		return -EINVAL;
	ssh_put_string(ret, algorithm, strlen(algorithm));
	buf_add(ret, cursor.at, (size_t)(cursor.end - cursor.at));
	return buf_error(ret);
}

static void note_unsigned(struct ssh2_auth *auth, const struct key *key, int error)
{
	if (error == -ENOTTY)
		note(auth, key->label, "needs its passphrase and there is no terminal to ask on: load it with ssh-add");
	else if (error == -EKEYREJECTED || error == -EINTR)
		note(auth, key->label, "was not unlocked");
	else if (error == -ENOENT)
		note(auth, key->label, "is here without its private half, and no agent has that");
	else
		note(auth, key->label, error == -EACCES ? "was not used: the agent refused, or its file has the wrong mode" :
		     log_strerror(error));
}

/* Offers one key by one algorithm. 0: taken (wholly or as a part); -EACCES: not this one; else: the end. */
static int offer(struct ssh2_auth *auth, struct key *key, const char *algorithm)
{
	struct signing signing = { .auth = auth, .key = key };
	struct buf blob = BUF_INIT;
	void *abstract = &signing;
	int rc = 0;
	int error = blob_for(&key->blob, algorithm, &blob);

	if (!error) {
		auth->signed_once = false;
		SSH2_WAIT(auth->s, rc, error, libssh2_userauth_publickey(auth->s->session, auth->conf->user, (unsigned char *)blob.data,
									  blob.len, sign, &abstract));
	}
	buf_release(&blob);
	if (error)
		return ssh2_login_failed(auth->s, rc, error);
	if (!rc)
		return 0;
	if (signing.error == -ECANCELED || signing.error == -ETIMEDOUT || signing.error == -ENOMEM)
		return ssh2_login_failed(auth->s, rc, signing.error);
	if (signing.error) {
		note_unsigned(auth, key, signing.error);
		return -EACCES;
	}
	if (ssh2_is_gone(auth->s))
		return ssh2_login_failed(auth->s, rc, 0);
	if (rc != LIBSSH2_ERROR_AUTHENTICATION_FAILED && rc != LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)
		return ssh2_login_failed(auth->s, rc, 0);
	return auth->signed_once && ssh2_methods_changed(auth) ? 0 : -EACCES;
}

static bool accepted(const struct ssh2_auth *auth, const char *algorithm)
{
	const char *list = auth->conf->pubkeyacceptedalgorithms;

	/* Without a list: all but RSA with SHA-1, as OpenSSH since 8.8. */
	return list ? sshconf_list_has(list, algorithm) : strcmp(algorithm, "ssh-rsa") != 0;
}

static const char *const rsa[] = { "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa" };

/* Does ssh_config let this key be offered? */
static bool usable(struct ssh2_auth *auth, const struct key *key, const char *type)
{
	int bits = ssh_blob_rsa_bits(key->blob.data, key->blob.len);

	if (bits && bits < auth->conf->requiredrsasize)
		note(auth, key->label, "is shorter than RequiredRSASize");
	else if (bits ? accepted(auth, rsa[0]) || accepted(auth, rsa[1]) || accepted(auth, rsa[2]) : accepted(auth, type))
		return true;
	else
		note(auth, key->label, "is of a type that PubkeyAcceptedAlgorithms leaves out");
	return false;
}

static int try_key(struct ssh2_auth *auth, struct key *key)
{
	char type[128];
	int error = -EACCES;

	if (!ssh_blob_type(key->blob.data, key->blob.len, type, sizeof(type)))
		return -EACCES;
	if (!usable(auth, key, type))
		return -EACCES;
	buf_addf(&auth->tried, "%s%s", auth->tried.len ? ", " : "", key->label);
	if (strcmp(type, "ssh-rsa"))
		return offer(auth, key, type);
	if (ssh2_has_rsa_sha2() && (accepted(auth, rsa[0]) || accepted(auth, rsa[1])))
		return offer(auth, key, type);
	for (size_t i = 0; error == -EACCES && i < 3; i++) {
		if (!accepted(auth, rsa[i]) || (i == 1 && accepted(auth, rsa[0])))
			continue;	/* who has one of SHA-2 has both */
		error = offer(auth, key, rsa[i]);
	}
	return error;
}

/* A key whose public half only its passphrase shows. */
static int unlock(struct ssh2_auth *auth, struct key *key)
{
	const struct ssh_key *private = NULL;
	int error = ssh_identity_key(ssh_login_identities(auth->login), key->identity, ssh_login_prompt(auth->login), &auth->s->limit,
				     &private);

	if (!error) {
		buf_add(&key->blob, ssh_key_blob(private)->data, ssh_key_blob(private)->len);
		return buf_error(&key->blob);
	}
	if (error == -ECANCELED || error == -ETIMEDOUT || error == -ENOMEM)
		return ssh2_login_failed(auth->s, 0, error);
	note_unsigned(auth, key, error);
	return -EACCES;
}

int ssh2_try_publickey(struct ssh2_auth *auth)
{
	int error = auth->keys ? 0 : gather_keys(auth);

	if (error)
		return ssh2_fail(auth->s, "gather the keys for", 0, error);
	error = -EACCES;
	for (size_t i = 0; error == -EACCES && i < auth->keys->count; i++) {
		struct key *key = &auth->keys->all[i];

		if (key->refused)
			continue;
		key->refused = true;	/* no key is offered twice: not after a partial success either */
		error = key->blob.len ? 0 : unlock(auth, key);
		if (!error)
			error = try_key(auth, key);
	}
	return error;
}
