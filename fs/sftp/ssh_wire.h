/*
 * ssh_wire: the data types of RFC 4251 section 5 (uint32, string, mpint) as keys, signatures and the agent's
 * protocol use them, and base64 (RFC 4648 section 4). All bounds are checked here.
 */
#ifndef CLAIMFS_SFTP_SSH_WIRE_H
#define CLAIMFS_SFTP_SSH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A reader: after the first thing that doesn't fit, `bad` stays set and everything reads as empty. */
struct ssh_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

struct ssh_bytes {		/* points into what the cursor reads */
	const uint8_t *data;
	size_t len;
};

struct ssh_cursor ssh_cursor_of(const void *data, size_t len);
uint8_t ssh_get_u8(struct ssh_cursor *cursor);
uint32_t ssh_get_u32(struct ssh_cursor *cursor);
struct ssh_bytes ssh_get_string(struct ssh_cursor *cursor);
bool ssh_bytes_are(struct ssh_bytes bytes, const char *text);

void ssh_put_u32(struct buf *to, uint32_t value);
void ssh_put_string(struct buf *to, const void *data, size_t len);
/* A positive number given as big-endian bytes: leading zeros are dropped, one is added where the top bit is set. */
void ssh_put_mpint(struct buf *to, const void *data, size_t len);

/* The type name at the head of a key blob, as a C string. False: not a key blob, or a name that doesn't fit. */
bool ssh_blob_type(const void *blob, size_t len, char *ret_type, size_t size);

/* The bits of an RSA key's modulus; 0: not an RSA key's blob. */
int ssh_blob_rsa_bits(const void *blob, size_t len);

/* Strict: padding is needed, no white space. 0, -EINVAL or -ENOMEM. */
int ssh_base64_decode(const char *text, size_t len, struct buf *ret);
void ssh_base64_encode(const void *data, size_t len, bool padding, struct buf *to);

/*
 * As ssh-keygen -l prints it: "SHA256:" and the unpadded base64 of the blob's SHA-256; for `hash` MD5 (FingerprintHash) "MD5:" and
 * its bytes in hex with colons between. `hash` NULL: SHA256.
 */
void ssh_fingerprint(const void *blob, size_t len, const char *hash, struct buf *to);

#endif
