/*
 * ssh_bcrypt: Blowfish with the expensive key schedule, and bcrypt_pbkdf on top. Blowfish's initial tables are the
 * first 33,344 bits of pi's fraction; they are computed rather than listed: it takes a few milliseconds, once for
 * each key that is unlocked.
 */
#include "sftp/ssh_bcrypt.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define P_WORDS 18
#define S_WORDS 1024
#define PI_WORDS (P_WORDS + S_WORDS)
#define GUARD_BITS 64		/* absorb the rounding of the series */
#define HASH_BYTES 32
#define SHA512_BYTES 64
#define MAX_KEY 1024

struct blowfish {
	uint32_t p[P_WORDS];
	uint32_t s[S_WORDS];
};

/* ---- the digits of pi ---- */

/* to += factor * arctan(1/x), scaled by 2^bits: x^-1 - x^-3/3 + x^-5/5 … */
static int add_arctan(BIGNUM *to, int factor, BN_ULONG x, int bits, BIGNUM *power, BIGNUM *term)
{
	int ok = BN_set_word(power, (BN_ULONG)abs(factor)) && BN_lshift(power, power, bits);
	int negative = factor < 0;

	ok = ok && BN_div_word(power, x) != (BN_ULONG)-1;
	for (BN_ULONG n = 1; ok && !BN_is_zero(power); n += 2) {
		ok = BN_copy(term, power) && BN_div_word(term, n) != (BN_ULONG)-1;
		ok = ok && (negative ? BN_sub(to, to, term) : BN_add(to, to, term));
		ok = ok && BN_div_word(power, x * x) != (BN_ULONG)-1;
		negative = !negative;
	}
	return ok;
}

/* Machin: pi = 16 arctan(1/5) - 4 arctan(1/239). */
static int pi_words(uint32_t words[PI_WORDS])
{
	const int bits = PI_WORDS * 32 + GUARD_BITS;
	uint8_t bytes[PI_WORDS * 4];
	BIGNUM *pi = BN_new();
	BIGNUM *power = BN_new();
	BIGNUM *term = BN_new();
	int ok = pi && power && term;

	ok = ok && BN_set_word(pi, 0);
	ok = ok && add_arctan(pi, 16, 5, bits, power, term) && add_arctan(pi, -4, 239, bits, power, term);
	ok = ok && BN_rshift(pi, pi, GUARD_BITS) && BN_mask_bits(pi, PI_WORDS * 32);	/* the 3 before the point goes */
	ok = ok && BN_bn2binpad(pi, bytes, sizeof(bytes)) == (int)sizeof(bytes);
	for (size_t i = 0; ok && i < PI_WORDS; i++)
		words[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 | (uint32_t)bytes[4 * i + 2] << 8 |
			   bytes[4 * i + 3];
	BN_free(pi);
	BN_free(power);
	BN_free(term);
	return ok ? 0 : -ENOMEM;
}

/* ---- Blowfish ---- */

static uint32_t feistel(const struct blowfish *state, uint32_t x)
{
	const uint32_t *s = state->s;

	return ((s[x >> 24] + s[256 + (x >> 16 & 0xff)]) ^ s[512 + (x >> 8 & 0xff)]) + s[768 + (x & 0xff)];
}

static void encipher(const struct blowfish *state, uint32_t *left, uint32_t *right)
{
	uint32_t l = *left ^ state->p[0];
	uint32_t r = *right;

	for (size_t i = 1; i <= 16; i += 2) {
		r ^= feistel(state, l) ^ state->p[i];
		l ^= feistel(state, r) ^ state->p[i + 1];
	}
	*left = r ^ state->p[17];
	*right = l;
}

/* Four bytes at *at, which goes round after 64. */
static uint32_t next_word(const uint8_t *bytes, size_t *at)
{
	uint32_t word = 0;

	for (size_t i = 0; i < 4; i++, *at = (*at + 1) % SHA512_BYTES)
		word = word << 8 | bytes[*at];
	return word;
}

/* The key schedule; `salt` NULL: without (expand0state). */
static void expand(struct blowfish *state, const uint8_t *salt, const uint8_t key[SHA512_BYTES])
{
	uint32_t left = 0;
	uint32_t right = 0;
	size_t at = 0;

	for (size_t i = 0; i < P_WORDS; i++)
		state->p[i] ^= next_word(key, &at);
	at = 0;
	for (size_t i = 0; i < PI_WORDS; i += 2) {
		uint32_t *to = i < P_WORDS ? &state->p[i] : &state->s[i - P_WORDS];

		if (salt) {
			left ^= next_word(salt, &at);
			right ^= next_word(salt, &at);
		}
		encipher(state, &left, &right);
		to[0] = left;
		to[1] = right;
	}
}

static void bcrypt_hash(const struct blowfish *start, const uint8_t pass[SHA512_BYTES], const uint8_t salt[SHA512_BYTES],
			uint8_t out[HASH_BYTES])
{
	static const uint8_t text[HASH_BYTES + 1] = "OxychromaticBlowfishSwatDynamite";
	struct blowfish state = *start;
	uint32_t words[HASH_BYTES / 4];
	size_t at = 0;

	expand(&state, salt, pass);
	for (size_t i = 0; i < 64; i++) {
		expand(&state, NULL, salt);
		expand(&state, NULL, pass);
	}
	for (size_t i = 0; i < HASH_BYTES / 4; i++)
		words[i] = next_word(text, &at);
	for (size_t round = 0; round < 64; round++)
		for (size_t i = 0; i < HASH_BYTES / 4; i += 2)
			encipher(&state, &words[i], &words[i + 1]);
	for (size_t i = 0; i < HASH_BYTES; i++)		/* little-endian, unlike all the rest */
		out[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
	OPENSSL_cleanse(&state, sizeof(state));
	OPENSSL_cleanse(words, sizeof(words));
}

/* ---- bcrypt_pbkdf ---- */

static int sha512(const void *data, size_t len, uint8_t out[SHA512_BYTES])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha512(), NULL) == 1 ? 0 : -ENOMEM;
}

/* Block number `count` of the output. */
static int derive(const struct blowfish *start, const uint8_t pass[SHA512_BYTES], uint8_t *salt, size_t salt_len, uint32_t count,
		  unsigned int rounds, uint8_t out[HASH_BYTES])
{
	uint8_t hashed[SHA512_BYTES];
	uint8_t step[HASH_BYTES];
	int error;

	for (size_t i = 0; i < 4; i++)
		salt[salt_len + i] = (uint8_t)(count >> (24 - 8 * i));
	error = sha512(salt, salt_len + 4, hashed);
	if (!error) {
		bcrypt_hash(start, pass, hashed, step);
		memcpy(out, step, sizeof(step));
	}
	for (unsigned int round = 1; !error && round < rounds; round++) {
		error = sha512(step, sizeof(step), hashed);
		bcrypt_hash(start, pass, hashed, step);
		for (size_t i = 0; i < HASH_BYTES; i++)
			out[i] ^= step[i];
	}
	OPENSSL_cleanse(step, sizeof(step));
	return error;
}

int ssh_bcrypt_pbkdf(const void *passphrase, size_t passphrase_len, const void *salt, size_t salt_len, unsigned int rounds,
		     uint8_t *key, size_t key_len)
{
	size_t stride = (key_len + HASH_BYTES - 1) / HASH_BYTES;
	struct blowfish *start;
	uint8_t pass[SHA512_BYTES];
	uint8_t out[HASH_BYTES];
	uint8_t *counted;
	uint32_t words[PI_WORDS];
	int error;

	if (!rounds || rounds > SSH_BCRYPT_MAX_ROUNDS || !passphrase_len || !salt_len || !key_len || key_len > MAX_KEY)
		return -EINVAL;
	start = malloc(sizeof(*start));
	counted = malloc(salt_len + 4);
	error = start && counted ? pi_words(words) : -ENOMEM;
	if (!error) {
		memcpy(start->p, words, sizeof(start->p));
		memcpy(start->s, words + P_WORDS, sizeof(start->s));
		memcpy(counted, salt, salt_len);
		error = sha512(passphrase, passphrase_len, pass);
	}
	/* The blocks are spread over the key: byte i of block b goes to i * stride + b. */
	for (size_t block = 0; !error && block < stride; block++) {
		error = derive(start, pass, counted, salt_len, (uint32_t)block + 1, rounds, out);
		for (size_t i = 0; !error && i < HASH_BYTES && i * stride + block < key_len; i++)
			key[i * stride + block] = out[i];
	}
	OPENSSL_cleanse(pass, sizeof(pass));
	OPENSSL_cleanse(out, sizeof(out));
	free(start);
	free(counted);
	return error;
}
