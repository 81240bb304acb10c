/*
 * ssh_wire: RFC 4251's data types, base64, fingerprints.
 */
#include "sftp/ssh_wire.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

struct ssh_cursor ssh_cursor_of(const void *data, size_t len)
{
	struct ssh_cursor cursor = { .at = data, .end = (const uint8_t *)data + len };

	return cursor;
}

static const uint8_t *take(struct ssh_cursor *cursor, size_t len)
{
	const uint8_t *at = cursor->at;

	if (cursor->bad || (size_t)(cursor->end - at) < len) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += len;
	return at;
}

uint8_t ssh_get_u8(struct ssh_cursor *cursor)
{
	const uint8_t *at = take(cursor, 1);

	return at ? *at : 0;
}

uint32_t ssh_get_u32(struct ssh_cursor *cursor)
{
	const uint8_t *at = take(cursor, 4);

	return at ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3] : 0;
}

struct ssh_bytes ssh_get_string(struct ssh_cursor *cursor)
{
	struct ssh_bytes bytes = { .len = ssh_get_u32(cursor) };

	bytes.data = take(cursor, bytes.len);
	if (!bytes.data)
		bytes.len = 0;
	return bytes;
}

bool ssh_bytes_are(struct ssh_bytes bytes, const char *text)
{
	return bytes.data && bytes.len == strlen(text) && !memcmp(bytes.data, text, bytes.len);
}

void ssh_put_u32(struct buf *to, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };

	buf_add(to, bytes, sizeof(bytes));
}

void ssh_put_string(struct buf *to, const void *data, size_t len)
{
	ssh_put_u32(to, (uint32_t)len);
	buf_add(to, data, len);
}

void ssh_put_mpint(struct buf *to, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	bool sign;

	while (len && !*bytes) {
		bytes++;
		len--;
	}
	sign = len && (*bytes & 0x80);
	ssh_put_u32(to, (uint32_t)len + sign);
	if (sign)
		buf_addch(to, 0);
	buf_add(to, bytes, len);
}

bool ssh_blob_type(const void *blob, size_t len, char *ret_type, size_t size)
{
	struct ssh_cursor cursor = ssh_cursor_of(blob, len);
	struct ssh_bytes type = ssh_get_string(&cursor);

	if (!type.len || type.len >= size || memchr(type.data, '\0', type.len))
		return false;
	memcpy(ret_type, type.data, type.len);
	ret_type[type.len] = '\0';
	return true;
}

int ssh_blob_rsa_bits(const void *blob, size_t len)
{
	struct ssh_cursor cursor = ssh_cursor_of(blob, len);
	struct ssh_bytes type = ssh_get_string(&cursor);
	struct ssh_bytes modulus;
	int bits;

	ssh_get_string(&cursor);	/* the exponent */
	modulus = ssh_get_string(&cursor);
	if (cursor.bad || !ssh_bytes_are(type, "ssh-rsa"))
		return 0;
	while (modulus.len && !*modulus.data) {
		modulus.data++;
		modulus.len--;
	}
	bits = (int)modulus.len * 8;
	for (uint8_t top = modulus.len ? *modulus.data : 0xff; !(top & 0x80); top = (uint8_t)(top << 1))
		bits--;
	return bits;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int ssh_base64_decode(const char *text, size_t len, struct buf *ret)
{
	if (len % 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4) {
		size_t padding = i + 4 < len ? 0 : (size_t)(text[i + 3] == '=') + (text[i + 3] == '=' && text[i + 2] == '=');
		uint32_t value = 0;

		for (size_t k = 0; k < 4; k++) {
			int bits = k < 4 - padding ? digit(text[i + k]) : 0;

			if (bits < 0)
				return -EINVAL;
			value = value << 6 | (uint32_t)bits;
		}
		buf_addch(ret, (int)(value >> 16 & 0xff));
		if (padding < 2)
			buf_addch(ret, (int)(value >> 8 & 0xff));
		if (padding < 1)
			buf_addch(ret, (int)(value & 0xff));
	}
	return buf_error(ret);
}

void ssh_base64_encode(const void *data, size_t len, bool padding, struct buf *to)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t here = len - i < 3 ? len - i : 3;
		uint32_t value = (uint32_t)bytes[i] << 16;

		if (here > 1)
			value |= (uint32_t)bytes[i + 1] << 8;
		if (here > 2)
			value |= bytes[i + 2];
		for (size_t k = 0; k < 4; k++) {
			if (k <= here)
				buf_addch(to, digits[value >> (18 - 6 * k) & 63]);
			else if (padding)
				buf_addch(to, '=');
		}
	}
}

void ssh_fingerprint(const void *blob, size_t len, const char *hash, struct buf *to)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int digest_len = 0;
	bool md5 = hash && !strcasecmp(hash, "MD5");

	if (EVP_Digest(blob, len, digest, &digest_len, md5 ? EVP_md5() : EVP_sha256(), NULL) != 1)
		digest_len = 0;
	buf_adds(to, md5 ? "MD5" : "SHA256:");
	for (unsigned int i = 0; md5 && i < digest_len; i++)
		buf_addf(to, ":%02x", digest[i]);
	if (!md5)
		ssh_base64_encode(digest, digest_len, false, to);
}
