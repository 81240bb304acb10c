/*
 * codec: see codec.h. Source: draft-ietf-secsh-filexfer-02, sections 3 (packets), 5 (attributes) and 7 (answers).
 */
#include "sftp/codec.h"

#include <errno.h>
#include <string.h>

#include "sftp/proto.h"

void codec_put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

uint32_t codec_get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- reading ---- */

void reader_init(struct reader *reader, const void *data, size_t len)
{
	reader->at = data;
	reader->left = len;
	reader->bad = false;
}

static const uint8_t *take(struct reader *reader, size_t len)
{
	const uint8_t *at = reader->at;

	if (reader->bad || len > reader->left) {
		reader->bad = true;
		return NULL;
	}
	reader->at += len;
	reader->left -= len;
	return at;
}

uint8_t reader_u8(struct reader *reader)
{
	const uint8_t *at = take(reader, 1);

	return at ? *at : 0;
}

uint32_t reader_u32(struct reader *reader)
{
	const uint8_t *at = take(reader, 4);

	return at ? codec_get_u32(at) : 0;
}

uint64_t reader_u64(struct reader *reader)
{
	uint64_t high = reader_u32(reader);

	return high << 32 | reader_u32(reader);
}

const char *reader_string(struct reader *reader, size_t *ret_len)
{
	size_t len = reader_u32(reader);
	const uint8_t *at = take(reader, len);

	*ret_len = at ? len : 0;
	return at ? (const char *)at : "";
}

void reader_attrs(struct reader *reader, struct sftp_attrs *ret_attrs)
{
	uint32_t flags = reader_u32(reader), count;
	size_t len;

	memset(ret_attrs, 0, sizeof(*ret_attrs));
	ret_attrs->flags = flags & (PROTO_ATTR_SIZE | PROTO_ATTR_OWNER | PROTO_ATTR_MODE | PROTO_ATTR_TIMES);
	if (flags & PROTO_ATTR_SIZE)
		ret_attrs->size = reader_u64(reader);
	if (flags & PROTO_ATTR_OWNER) {
		ret_attrs->uid = reader_u32(reader);
		ret_attrs->gid = reader_u32(reader);
	}
	if (flags & PROTO_ATTR_MODE)
		ret_attrs->mode = reader_u32(reader);
	if (flags & PROTO_ATTR_TIMES) {
		ret_attrs->atime = reader_u32(reader);
		ret_attrs->mtime = reader_u32(reader);
	}
	if (!(flags & PROTO_ATTR_EXTENDED))
		return;
	for (count = reader_u32(reader); count && !reader->bad; count--) {
		reader_string(reader, &len);
		reader_string(reader, &len);
	}
}

void reader_statvfs(struct reader *reader, struct sftp_statvfs *ret_statvfs)
{
	ret_statvfs->bsize = reader_u64(reader);
	ret_statvfs->frsize = reader_u64(reader);
	ret_statvfs->blocks = reader_u64(reader);
	ret_statvfs->bfree = reader_u64(reader);
	ret_statvfs->bavail = reader_u64(reader);
	ret_statvfs->files = reader_u64(reader);
	ret_statvfs->ffree = reader_u64(reader);
	ret_statvfs->favail = reader_u64(reader);
	ret_statvfs->fsid = reader_u64(reader);
	ret_statvfs->flag = reader_u64(reader);
	ret_statvfs->namemax = reader_u64(reader);
}

const char *reader_name(struct reader *reader, size_t *ret_len, struct sftp_attrs *ret_attrs)
{
	const char *name = reader_string(reader, ret_len);
	size_t long_len;

	reader_string(reader, &long_len);
	reader_attrs(reader, ret_attrs);
	return name;
}

/* ---- writing ---- */

void writer_init(struct writer *writer, void *room, size_t len)
{
	writer->start = room;
	writer->at = room;
	writer->end = writer->at + len;
	writer->full = false;
}

size_t writer_len(const struct writer *writer)
{
	return (size_t)(writer->at - writer->start);
}

static uint8_t *claim(struct writer *writer, size_t len)
{
	uint8_t *at = writer->at;

	if (writer->full || len > (size_t)(writer->end - at)) {
		writer->full = true;
		return NULL;
	}
	writer->at += len;
	return at;
}

void writer_u8(struct writer *writer, uint8_t value)
{
	uint8_t *at = claim(writer, 1);

	if (at)
		*at = value;
}

void writer_u32(struct writer *writer, uint32_t value)
{
	uint8_t *at = claim(writer, 4);

	if (at)
		codec_put_u32(at, value);
}

void writer_u64(struct writer *writer, uint64_t value)
{
	writer_u32(writer, (uint32_t)(value >> 32));
	writer_u32(writer, (uint32_t)value);
}

void writer_bytes(struct writer *writer, const void *data, size_t len)
{
	uint8_t *at = claim(writer, len);

	if (at && len)
		memcpy(at, data, len);
}

void writer_string(struct writer *writer, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		writer->full = true;
		return;
	}
	writer_u32(writer, (uint32_t)len);
	writer_bytes(writer, data, len);
}

void writer_attrs(struct writer *writer, const struct sftp_attrs *attrs)
{
	uint32_t flags = attrs ? attrs->flags & (PROTO_ATTR_SIZE | PROTO_ATTR_OWNER | PROTO_ATTR_MODE | PROTO_ATTR_TIMES) : 0;

	writer_u32(writer, flags);
	if (flags & PROTO_ATTR_SIZE)
		writer_u64(writer, attrs->size);
	if (flags & PROTO_ATTR_OWNER) {
		writer_u32(writer, attrs->uid);
		writer_u32(writer, attrs->gid);
	}
	if (flags & PROTO_ATTR_MODE)
		writer_u32(writer, attrs->mode);
	if (flags & PROTO_ATTR_TIMES) {
		writer_u32(writer, attrs->atime);
		writer_u32(writer, attrs->mtime);
	}
}

size_t codec_attrs_len(const struct sftp_attrs *attrs)
{
	if (!attrs)
		return 4;
	return 4 + (attrs->flags & PROTO_ATTR_SIZE ? 8 : 0) + (attrs->flags & PROTO_ATTR_OWNER ? 8 : 0) +
		(attrs->flags & PROTO_ATTR_MODE ? 4 : 0) + (attrs->flags & PROTO_ATTR_TIMES ? 8 : 0);
}

/* ---- what a peer may say ---- */

bool codec_name_ok(const char *name, size_t len)
{
	if (!len || len > PROTO_MAX_NAME)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	return !memchr(name, '/', len) && !memchr(name, '\0', len);
}

int codec_packet(const uint8_t *data, size_t len, size_t *ret_len)
{
	uint32_t body;

	if (len < 4)
		return 0;
	body = codec_get_u32(data);
	if (body < PROTO_HEAD - 4 || body > PROTO_MAX_PACKET)
		return -EPROTO;
	if (len - 4 < body)
		return 0;
	*ret_len = body + 4u;
	return 1;
}
