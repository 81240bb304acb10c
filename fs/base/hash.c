/*
 * hash: XXH3 in its canonical form; the only file that includes xxhash.
 */
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct hash_stream {
	XXH3_state_t *state;
};

static struct hash128 hash128_canonical(XXH128_hash_t value)
{
	XXH128_canonical_t canonical;
	struct hash128 hash;

	XXH128_canonicalFromHash(&canonical, value);
	memcpy(hash.bytes, canonical.digest, sizeof(hash.bytes));
	return hash;
}

struct hash128 hash128_of(const void *data, size_t len)
{
	return hash128_canonical(XXH3_128bits(data, len));
}

bool hash128_equal(const struct hash128 *a, const struct hash128 *b)
{
	return !hash128_compare(a, b);
}

int hash128_compare(const struct hash128 *a, const struct hash128 *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

void hash128_hex(const struct hash128 *hash, char ret_hex[HASH_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(hash->bytes); i++) {
		ret_hex[2 * i] = digits[hash->bytes[i] >> 4];
		ret_hex[2 * i + 1] = digits[hash->bytes[i] & 15];
	}
	ret_hex[HASH_HEX_LEN] = '\0';
}

static int hash_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int hash128_parse(const char *hex, struct hash128 *ret_hash)
{
	struct hash128 hash;

	for (size_t i = 0; i < HASH_HEX_LEN; i++) {
		int digit = hash_digit(hex[i]);	/* of the NUL, too, there is none: a short text ends here */

		if (digit < 0)
			return -EINVAL;
		if (i % 2)
			hash.bytes[i / 2] |= (uint8_t)digit;
		else
			hash.bytes[i / 2] = (uint8_t)(digit << 4);
	}
	*ret_hash = hash;
	return 0;
}

uint64_t hash64_of(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

struct hash_stream *hash_stream_new(void)
{
	struct hash_stream *stream = malloc(sizeof(*stream));

	if (!stream)
		return NULL;
	stream->state = XXH3_createState();
	if (!stream->state) {
		free(stream);
		return NULL;
	}
	XXH3_128bits_reset(stream->state);
	return stream;
}

void hash_stream_update(struct hash_stream *stream, const void *data, size_t len)
{
	if (len)
		XXH3_128bits_update(stream->state, data, len);
}

struct hash128 hash_stream_end(struct hash_stream *stream)
{
	struct hash128 hash = hash128_canonical(XXH3_128bits_digest(stream->state));

	XXH3_freeState(stream->state);
	free(stream);
	return hash;
}
