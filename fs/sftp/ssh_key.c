/*
 * ssh_key: PEM and PKCS#8 through OpenSSL, public blobs (RFC 4253 section 6.6, RFC 5656, RFC 8709) and signatures
 * (also RFC 8332).
 */
#include "sftp/ssh_key.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sftp/ssh_key_priv.h"
#include "sftp/ssh_wire.h"

struct ssh_key {
	EVP_PKEY *pkey;
	struct buf blob;
	char type[32];		/* the blob's */
};

/* ---- public blobs ---- */

static int add_rsa(const EVP_PKEY *pkey, struct buf *blob)
{
	static const char *const names[] = { OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_N };
	int error = 0;

	ssh_put_string(blob, "ssh-rsa", 7);
	for (size_t i = 0; !error && i < 2; i++) {
		BIGNUM *number = NULL;
		unsigned char bytes[4096];

		if (EVP_PKEY_get_bn_param(pkey, names[i], &number) != 1 || (size_t)BN_num_bytes(number) > sizeof(bytes))
			error = -EINVAL;
		else
			ssh_put_mpint(blob, bytes, (size_t)BN_bn2bin(number, bytes));
		BN_free(number);
	}
	return error;
}

static int add_ecdsa(const EVP_PKEY *pkey, struct buf *blob)
{
	static const char *const curves[][3] = {
		{ "prime256v1", "ecdsa-sha2-nistp256", "nistp256" },
		{ "secp384r1", "ecdsa-sha2-nistp384", "nistp384" },
		{ "secp521r1", "ecdsa-sha2-nistp521", "nistp521" },
	};
	unsigned char point[256];
	char group[64];
	size_t len = 0;

	if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
	    EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) != 1)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		/* A compressed point starts with 2 or 3; ssh wants 4, both coordinates. */
		if (strcmp(group, curves[i][0]) || point[0] != 4)
			continue;
		ssh_put_string(blob, curves[i][1], strlen(curves[i][1]));
		ssh_put_string(blob, curves[i][2], strlen(curves[i][2]));
		ssh_put_string(blob, point, len);
		return 0;
	}
	return -EOPNOTSUPP;
}

static int add_ed25519(const EVP_PKEY *pkey, struct buf *blob)
{
	unsigned char raw[32];
	size_t len = sizeof(raw);

	if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) != 1)
		return -EINVAL;
	ssh_put_string(blob, "ssh-ed25519", 11);
	ssh_put_string(blob, raw, len);
	return 0;
}

static int make_blob(const EVP_PKEY *pkey, struct buf *blob)
{
	int error;

	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_RSA: error = add_rsa(pkey, blob); break;
	case EVP_PKEY_EC: error = add_ecdsa(pkey, blob); break;
	case EVP_PKEY_ED25519: error = add_ed25519(pkey, blob); break;
	default: error = -EOPNOTSUPP;
	}
	return error ? error : buf_error(blob);
}

/* ---- reading ---- */

struct pem_passphrase {
	const char *text;
	size_t len;
	bool asked;
};

static int give_passphrase(char *to, int size, int writing, void *arg)
{
	struct pem_passphrase *passphrase = arg;

	(void)writing;
	passphrase->asked = true;
	if (!passphrase->text || passphrase->len > (size_t)size)
		return -1;
	memcpy(to, passphrase->text, passphrase->len);
	return (int)passphrase->len;
}

static int read_pem(const char *text, size_t len, const char *passphrase, size_t passphrase_len, EVP_PKEY **ret_key)
{
	struct pem_passphrase give = { .text = passphrase, .len = passphrase_len };
	BIO *bio = len < 1 << 20 ? BIO_new_mem_buf(text, (int)len) : NULL;

	if (!bio)
		return -EINVAL;
	*ret_key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &give);
	BIO_free(bio);
	ERR_clear_error();
	if (*ret_key)
		return 0;
	return !give.asked ? -EINVAL : passphrase ? -EKEYREJECTED : -ENOKEY;
}

int ssh_key_read(const char *text, size_t len, const char *passphrase, size_t passphrase_len, struct ssh_key **ret_key)
{
	struct ssh_key *key = calloc(1, sizeof(*key));
	struct buf bytes = BUF_INIT;
	int error;

	if (!key)
		return -ENOMEM;
	error = ssh_key_openssh_decode(text, len, &bytes);
	if (!error)
		error = ssh_key_openssh_read(&bytes, passphrase, passphrase_len, &key->pkey);
	else if (error == -EINVAL)
		error = read_pem(text, len, passphrase, passphrase_len, &key->pkey);
	if (!error)
		error = make_blob(key->pkey, &key->blob);
	if (!error && !ssh_blob_type(key->blob.data, key->blob.len, key->type, sizeof(key->type)))
		error = -EINVAL;
	ssh_key_wipe(&bytes);
	if (error)
		ssh_key_free(key);
	else
		*ret_key = key;
	return error;
}

void ssh_key_free(struct ssh_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	buf_release(&key->blob);
	free(key);
}

const struct buf *ssh_key_blob(const struct ssh_key *key)
{
	return &key->blob;
}

/* ssh-ed25519 AAAA… comment */
static int peek_line(const char *text, size_t len, struct buf *ret_blob)
{
	const char *end = memchr(text, '\n', len);
	const char *space;
	size_t key_len;
	char type[128];

	len = end ? (size_t)(end - text) : len;
	space = memchr(text, ' ', len);
	if (!space)
		return -EINVAL;
	len -= (size_t)(space + 1 - text);
	for (key_len = 0; key_len < len && !strchr(" \t\r", space[1 + key_len]); key_len++)
		;
	if (ssh_base64_decode(space + 1, key_len, ret_blob) || !ssh_blob_type(ret_blob->data, ret_blob->len, type, sizeof(type)) ||
	    strlen(type) != (size_t)(space - text) || memcmp(type, text, strlen(type))) {
		buf_reset(ret_blob);
		return -EINVAL;
	}
	return 0;
}

int ssh_key_peek(const char *text, size_t len, struct buf *ret_blob)
{
	struct buf bytes = BUF_INIT;
	int error = ssh_key_openssh_decode(text, len, &bytes);

	if (!error)
		error = ssh_key_openssh_peek(&bytes, ret_blob);
	else
		error = peek_line(text, len, ret_blob);
	ssh_key_wipe(&bytes);
	return error;
}

/* ---- signing ---- */

struct algorithm {
	const char *name;
	const char *key_type;
	const EVP_MD *(*hash)(void);	/* NULL: the algorithm has its own */
};

static const struct algorithm algorithms[] = {
	{ "ssh-ed25519", "ssh-ed25519", NULL },
	{ "rsa-sha2-512", "ssh-rsa", EVP_sha512 },
	{ "rsa-sha2-256", "ssh-rsa", EVP_sha256 },
	{ "ssh-rsa", "ssh-rsa", EVP_sha1 },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", EVP_sha256 },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", EVP_sha384 },
	{ "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", EVP_sha512 },
};

/* OpenSSL's DER into mpint r, mpint s. */
static int put_ecdsa(const unsigned char *der, size_t len, struct buf *to)
{
	const unsigned char *at = der;
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)len);
	const BIGNUM *numbers[2];
	int error = 0;

	if (!signature)
		return -ENOMEM;
	ECDSA_SIG_get0(signature, &numbers[0], &numbers[1]);
	for (size_t i = 0; i < 2 && !error; i++) {
		unsigned char bytes[128];

		if ((size_t)BN_num_bytes(numbers[i]) > sizeof(bytes))
			error = -EINVAL;
		else
			ssh_put_mpint(to, bytes, (size_t)BN_bn2bin(numbers[i], bytes));
	}
	ECDSA_SIG_free(signature);
	return error;
}

static int sign(const struct ssh_key *key, const EVP_MD *hash, const void *data, size_t len, unsigned char **ret, size_t *ret_len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int ok = context && EVP_DigestSignInit(context, NULL, hash, NULL, key->pkey) == 1 &&
		 EVP_DigestSign(context, NULL, ret_len, data, len) == 1;

	*ret = ok ? malloc(*ret_len) : NULL;
	ok = *ret && EVP_DigestSign(context, *ret, ret_len, data, len) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return ok ? 0 : -EINVAL;
}

int ssh_key_sign(const struct ssh_key *key, const char *algorithm, const void *data, size_t len, struct buf *ret_signature)
{
	const struct algorithm *how = NULL;
	unsigned char *signature = NULL;
	size_t signature_len = 0;
	int error;

	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
		if (!strcmp(algorithms[i].name, algorithm) && !strcmp(algorithms[i].key_type, key->type))
			how = &algorithms[i];
	if (!how)
		return -EINVAL;
	error = sign(key, how->hash ? how->hash() : NULL, data, len, &signature, &signature_len);
	if (!error && !strncmp(algorithm, "ecdsa-", 6))
		error = put_ecdsa(signature, signature_len, ret_signature);
	else if (!error)
		buf_add(ret_signature, signature, signature_len);
	free(signature);
	return error ? error : buf_error(ret_signature);
}
