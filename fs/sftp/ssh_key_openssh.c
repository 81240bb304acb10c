/*
 * ssh_key_openssh: OpenSSH's private key format (PROTOCOL.key):
 *
 *   "openssh-key-v1\0"  string cipher  string kdf  string kdf options  uint32 keys (1)  string public key  string
 * private part
 *   private part, encrypted: uint32 check  uint32 check again  string type  the type's numbers  string comment 
 * padding 1 2 3 …
 *   behind it, where the cipher makes one: its tag
 */
#include "sftp/ssh_key_priv.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/param_build.h>
#include <stdbool.h>
#include <string.h>

#include "sftp/ssh_bcrypt.h"
#include "sftp/ssh_wire.h"

#define MAGIC "openssh-key-v1"
#define CHACHA "chacha20-poly1305@openssh.com"

struct envelope {
	struct ssh_bytes cipher;
	struct ssh_bytes kdf;
	struct ssh_bytes kdf_options;
	struct ssh_bytes public_key;
	struct ssh_bytes private_part;
	struct ssh_bytes tag;		/* all that follows */
};

void ssh_key_wipe(struct buf *buf)
{
	if (buf->data)
		OPENSSL_cleanse(buf->data, buf->cap);
	buf_release(buf);
}

int ssh_key_openssh_decode(const char *text, size_t len, struct buf *ret)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
	static const char end[] = "-----END OPENSSH PRIVATE KEY-----";
	struct buf digits = BUF_INIT;
	const char *from = memmem(text, len, begin, strlen(begin));
	const char *to = from ? memmem(from, len - (size_t)(from - text), end, strlen(end)) : NULL;
	int error;

	if (!to)
		return -EINVAL;
	buf_reserve(&digits, len);	/* no reallocation leaves a copy behind */
	for (from += strlen(begin); from < to; from++)
		if (*from != '\n' && *from != '\r' && *from != ' ' && *from != '\t')
			buf_addch(&digits, *from);
	error = buf_error(&digits);
	if (!error)
		buf_reserve(ret, digits.len);
	if (!error)
		error = ssh_base64_decode(buf_text(&digits), digits.len, ret);
	ssh_key_wipe(&digits);
	return error;
}

static int open_envelope(const struct buf *bytes, struct envelope *ret)
{
	struct ssh_cursor cursor;
	uint32_t keys;

	if (bytes->len < sizeof(MAGIC) || memcmp(bytes->data, MAGIC, sizeof(MAGIC)))
		return -EINVAL;
	cursor = ssh_cursor_of(bytes->data + sizeof(MAGIC), bytes->len - sizeof(MAGIC));
	ret->cipher = ssh_get_string(&cursor);
	ret->kdf = ssh_get_string(&cursor);
	ret->kdf_options = ssh_get_string(&cursor);
	keys = ssh_get_u32(&cursor);
	ret->public_key = ssh_get_string(&cursor);
	ret->private_part = ssh_get_string(&cursor);
	ret->tag = (struct ssh_bytes){ .data = cursor.at, .len = (size_t)(cursor.end - cursor.at) };
	return cursor.bad || keys != 1 ? -EINVAL : 0;
}

int ssh_key_openssh_peek(const struct buf *bytes, struct buf *ret_blob)
{
	struct envelope envelope;
	int error = open_envelope(bytes, &envelope);

	if (error)
		return error;
	buf_add(ret_blob, envelope.public_key.data, envelope.public_key.len);
	return buf_error(ret_blob);
}

/* ---- unlocking ---- */

#define TAG_LEN 16

struct key_cipher {
	const char *name;
	const EVP_CIPHER *(*cipher)(void);
	bool tagged;
};

static const struct key_cipher *cipher_of(struct ssh_bytes name)
{
	static const struct key_cipher ciphers[] = {
		{ "aes256-ctr", EVP_aes_256_ctr, false }, { "aes192-ctr", EVP_aes_192_ctr, false }, { "aes128-ctr", EVP_aes_128_ctr, false },
		{ "aes256-cbc", EVP_aes_256_cbc, false }, { "aes192-cbc", EVP_aes_192_cbc, false }, { "aes128-cbc", EVP_aes_128_cbc, false },
		{ "3des-cbc", EVP_des_ede3_cbc, false },
		{ "aes256-gcm@openssh.com", EVP_aes_256_gcm, true }, { "aes128-gcm@openssh.com", EVP_aes_128_gcm, true },
		{ CHACHA, EVP_chacha20, true },
	};

	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (ssh_bytes_are(name, ciphers[i].name))
			return &ciphers[i];
	return NULL;
}

static bool is_chacha(const struct key_cipher *cipher)
{
	return !strcmp(cipher->name, CHACHA);
}

/* Of what is derived from the passphrase: a key and the first IV; for ChaCha two keys, of which the second is for lengths and not used here. */
static size_t secret_len(const struct key_cipher *cipher)
{
	const EVP_CIPHER *how = cipher->cipher();

	return is_chacha(cipher) ? 64 : (size_t)(EVP_CIPHER_get_key_length(how) + EVP_CIPHER_get_iv_length(how));
}

/* `tag` NULL: without one. */
static int decrypt(const EVP_CIPHER *cipher, const uint8_t *key, const uint8_t *iv, struct ssh_bytes input, const uint8_t *tag, struct buf *ret)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int len = 0, rest;
	int ok = context && input.len < 1 << 20 && !buf_reserve(ret, input.len + 1);
	int error = -EINVAL;

	ok = ok && EVP_DecryptInit_ex(context, cipher, NULL, key, iv) && EVP_CIPHER_CTX_set_padding(context, 0) &&
	     EVP_DecryptUpdate(context, (unsigned char *)ret->data, &len, input.data, (int)input.len) && (size_t)len == input.len;
	if (ok && tag && (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, (void *)(uintptr_t)tag) != 1 ||
			  EVP_DecryptFinal_ex(context, none, &rest) != 1)) {
		OPENSSL_cleanse(ret->data, input.len);
		ok = false;
		error = -EKEYREJECTED;
	}
	EVP_CIPHER_CTX_free(context);
	if (!ok)
		return error;
	ret->len = (size_t)len;
	ret->data[len] = '\0';
	return 0;
}

/* ChaCha20 and Poly1305 as OpenSSH puts them together (PROTOCOL.chacha20poly1305), for packet 0: its IV is a counter and zeros. */
static int decrypt_chacha(const uint8_t *key, struct ssh_bytes input, const uint8_t *tag, struct buf *ret)
{
	static const uint8_t zeros[32];
	const uint8_t first[16] = { 0 }, second[16] = { 1 };
	struct buf mac_key = BUF_INIT;
	uint8_t made[TAG_LEN];
	size_t made_len = 0;
	int error = decrypt(EVP_chacha20(), key, first, (struct ssh_bytes){ .data = zeros, .len = sizeof(zeros) }, NULL, &mac_key);

	if (!error && (!EVP_Q_mac(NULL, "POLY1305", NULL, NULL, NULL, mac_key.data, mac_key.len, input.data, input.len, made, sizeof(made), &made_len) ||
		       made_len != TAG_LEN))
		error = -EINVAL;
	if (!error && CRYPTO_memcmp(made, tag, TAG_LEN))
		error = -EKEYREJECTED;
	ssh_key_wipe(&mac_key);
	return error ? error : decrypt(EVP_chacha20(), key, second, input, NULL, ret);
}

static int unlock(const struct envelope *envelope, const char *passphrase, size_t passphrase_len, struct buf *ret)
{
	const struct key_cipher *cipher = cipher_of(envelope->cipher);
	struct ssh_cursor cursor = ssh_cursor_of(envelope->kdf_options.data, envelope->kdf_options.len);
	uint8_t key[EVP_MAX_KEY_LENGTH + EVP_MAX_IV_LENGTH];
	struct ssh_bytes salt;
	uint32_t rounds;
	int error;

	if (ssh_bytes_are(envelope->cipher, "none")) {
		buf_add(ret, envelope->private_part.data, envelope->private_part.len);
		return buf_error(ret);
	}
	if (!cipher || !ssh_bytes_are(envelope->kdf, "bcrypt"))
		return -EOPNOTSUPP;
	if (!passphrase)
		return -ENOKEY;
	if (!passphrase_len)
		return -EKEYREJECTED;
	salt = ssh_get_string(&cursor);
	rounds = ssh_get_u32(&cursor);
	if (cursor.bad || envelope->private_part.len % (size_t)EVP_CIPHER_get_block_size(cipher->cipher()) ||
	    (cipher->tagged && envelope->tag.len != TAG_LEN))
		return -EINVAL;
	error = ssh_bcrypt_pbkdf(passphrase, passphrase_len, salt.data, salt.len, rounds, key, secret_len(cipher));
	if (!error && is_chacha(cipher))
		error = decrypt_chacha(key, envelope->private_part, envelope->tag.data, ret);
	else if (!error)
		error = decrypt(cipher->cipher(), key, key + EVP_CIPHER_get_key_length(cipher->cipher()), envelope->private_part,
				cipher->tagged ? envelope->tag.data : NULL, ret);
	OPENSSL_cleanse(key, sizeof(key));
	return error;
}

/* ---- numbers into keys ---- */

static int from_params(const char *type, OSSL_PARAM_BLD *build, EVP_PKEY **ret_key)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	int ok = params && context && EVP_PKEY_fromdata_init(context) == 1 &&
		 EVP_PKEY_fromdata(context, ret_key, EVP_PKEY_KEYPAIR, params) == 1;

	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(params);
	return ok ? 0 : -EINVAL;
}

/* n e d iqmp p q; OpenSSL also wants d mod p-1 and d mod q-1 for speed. */
static int read_rsa(struct ssh_cursor *cursor, EVP_PKEY **ret_key)
{
	static const char *const names[8] = {
		OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
	};
	enum { D = 2, P = 4, Q = 5, DP = 6, DQ = 7 };
	BIGNUM *numbers[8] = { NULL };
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BN_CTX *scratch = BN_CTX_secure_new();
	BIGNUM *less = BN_secure_new();
	int ok = build && scratch && less;
	int error = -EINVAL;

	for (size_t i = 0; ok && i < 8; i++) {
		numbers[i] = BN_secure_new();
		ok = numbers[i] != NULL;
		if (ok && i < 6) {
			struct ssh_bytes bytes = ssh_get_string(cursor);

			ok = bytes.len && bytes.len <= 4096 && BN_bin2bn(bytes.data, (int)bytes.len, numbers[i]);
		}
	}
	ok = ok && BN_sub(less, numbers[P], BN_value_one()) && BN_mod(numbers[DP], numbers[D], less, scratch);
	ok = ok && BN_sub(less, numbers[Q], BN_value_one()) && BN_mod(numbers[DQ], numbers[D], less, scratch);
	for (size_t i = 0; ok && i < 8; i++)
		ok = OSSL_PARAM_BLD_push_BN(build, names[i], numbers[i]);
	if (ok)
		error = from_params("RSA", build, ret_key);
	for (size_t i = 0; i < 8; i++)
		BN_clear_free(numbers[i]);
	BN_clear_free(less);
	BN_CTX_free(scratch);
	OSSL_PARAM_BLD_free(build);
	return error;
}

/* string curve, string point, mpint scalar */
static int read_ecdsa(struct ssh_cursor *cursor, EVP_PKEY **ret_key)
{
	static const char *const curves[][2] = {
		{ "nistp256", "P-256" }, { "nistp384", "P-384" }, { "nistp521", "P-521" },
	};
	struct ssh_bytes curve = ssh_get_string(cursor);
	struct ssh_bytes point = ssh_get_string(cursor);
	struct ssh_bytes scalar = ssh_get_string(cursor);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *secret = BN_secure_new();
	const char *name = NULL;
	int error = -EINVAL;

	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (ssh_bytes_are(curve, curves[i][0]))
			name = curves[i][1];
	if (name && build && secret && !cursor->bad && scalar.len && scalar.len <= 128 &&
	    BN_bin2bn(scalar.data, (int)scalar.len, secret) &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, name, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret))
		error = from_params("EC", build, ret_key);
	BN_clear_free(secret);
	OSSL_PARAM_BLD_free(build);
	return error;
}

/* string public key, string seed and public key */
static int read_ed25519(struct ssh_cursor *cursor, EVP_PKEY **ret_key)
{
	struct ssh_bytes secret;

	ssh_get_string(cursor);
	secret = ssh_get_string(cursor);
	if (secret.len != 64)
		return -EINVAL;
	*ret_key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret.data, 32);
	return *ret_key ? 0 : -ENOMEM;
}

static int read_private(const struct buf *bytes, bool encrypted, EVP_PKEY **ret_key)
{
	struct ssh_cursor cursor = ssh_cursor_of(bytes->data, bytes->len);
	uint32_t check = ssh_get_u32(&cursor);
	uint32_t again = ssh_get_u32(&cursor);
	struct ssh_bytes type;

	if (cursor.bad || check != again)
		return encrypted ? -EKEYREJECTED : -EINVAL;
	type = ssh_get_string(&cursor);
	if (ssh_bytes_are(type, "ssh-rsa"))
		return read_rsa(&cursor, ret_key);
	if (ssh_bytes_are(type, "ssh-ed25519"))
		return read_ed25519(&cursor, ret_key);
	if (ssh_bytes_are(type, "ecdsa-sha2-nistp256") || ssh_bytes_are(type, "ecdsa-sha2-nistp384") ||
	    ssh_bytes_are(type, "ecdsa-sha2-nistp521"))
		return read_ecdsa(&cursor, ret_key);
	return -EOPNOTSUPP;
}

int ssh_key_openssh_read(const struct buf *bytes, const char *passphrase, size_t passphrase_len, EVP_PKEY **ret_key)
{
	struct buf plain = BUF_INIT;
	struct envelope envelope;
	int error = open_envelope(bytes, &envelope);

	if (!error)
		error = unlock(&envelope, passphrase, passphrase_len, &plain);
	if (!error)
		error = read_private(&plain, !ssh_bytes_are(envelope.cipher, "none"), ret_key);
	ssh_key_wipe(&plain);
	return error;
}
