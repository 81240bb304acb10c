/*
 * codec: encoding and decoding of SFTP's types; pure, and the only place where bounds are checked.
 *
 * Both ends stick: after the first read beyond the end every further read gives 0 (or ""), after the first write beyond the room
 * every further write does nothing; so a chain needs one check at its end.
 */
#ifndef CLAIMFS_SFTP_CODEC_H
#define CLAIMFS_SFTP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sftp/client.h"

struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

void reader_init(struct reader *reader, const void *data, size_t len);
uint8_t reader_u8(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
/* The bytes lie within what the reader was given: not copied, not terminated. Never NULL. */
const char *reader_string(struct reader *reader, size_t *ret_len);
void reader_attrs(struct reader *reader, struct sftp_attrs *ret_attrs);	/* unknown extended attributes are skipped */
void reader_statvfs(struct reader *reader, struct sftp_statvfs *ret_statvfs);
/* One entry of a NAME answer: the file name; its long name is skipped. */
const char *reader_name(struct reader *reader, size_t *ret_len, struct sftp_attrs *ret_attrs);

struct writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	bool full;
};

void writer_init(struct writer *writer, void *room, size_t len);
size_t writer_len(const struct writer *writer);
void writer_u8(struct writer *writer, uint8_t value);
void writer_u32(struct writer *writer, uint32_t value);
void writer_u64(struct writer *writer, uint64_t value);
void writer_bytes(struct writer *writer, const void *data, size_t len);
void writer_string(struct writer *writer, const void *data, size_t len);	/* with its length before it */
void writer_attrs(struct writer *writer, const struct sftp_attrs *attrs);	/* NULL: none */
size_t codec_attrs_len(const struct sftp_attrs *attrs);

void codec_put_u32(uint8_t *at, uint32_t value);
uint32_t codec_get_u32(const uint8_t *at);

/* May a server list this name: not empty, ".", "..", too long, and without '/' or NUL. */
bool codec_name_ok(const char *name, size_t len);

/*
 * Is there a whole packet at the head of `data`? Its full length (with the length field) to *ret_len and 1; 0 when more bytes are
 * needed; -EPROTO for a length no packet has.
 */
int codec_packet(const uint8_t *data, size_t len, size_t *ret_len);

#endif
