/*
 * hash: XXH3, the only place that includes xxhash.
 *
 * XXH3-128 in its canonical (big-endian) byte order, written as 32 lower-case hex digits: what `xxhsum -H2` prints.
 * Fast, not collision-proof: who may choose the bytes may make two that hash alike.
 */
#ifndef CLAIMFS_BASE_HASH_H
#define CLAIMFS_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_HEX_LEN 32

struct hash128 {
	uint8_t bytes[16];
};

struct hash128 hash128_of(const void *data, size_t len);
bool hash128_equal(const struct hash128 *a, const struct hash128 *b);
int hash128_compare(const struct hash128 *a, const struct hash128 *b);	/* memcmp order */
void hash128_hex(const struct hash128 *hash, char ret_hex[HASH_HEX_LEN + 1]);

/* Exactly 32 lower-case hex digits at `hex` (what follows them is not looked at); 0 or -EINVAL. */
int hash128_parse(const char *hex, struct hash128 *ret_hash);

uint64_t hash64_of(const void *data, size_t len, uint64_t seed);

/* Streaming, for files: new, any number of updates, then end, which frees it. NULL: out of memory. */
struct hash_stream;
struct hash_stream *hash_stream_new(void);
void hash_stream_update(struct hash_stream *stream, const void *data, size_t len);
struct hash128 hash_stream_end(struct hash_stream *stream);

#endif
