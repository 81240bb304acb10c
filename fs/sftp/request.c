/*
 * request: see request.h. Sources: draft-ietf-secsh-filexfer-02, section 6 (requests) and 7 (answers); OpenSSH's PROTOCOL, sections
 * 4.1 (SYMLINK's arguments are the other way round than in the draft) and 4.3 to 4.11 (extensions).
 */
#include "sftp/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sftp/handle.h"
#include "sftp/proto.h"
#include "sftp/status.h"

/* One request copies this much at most: the server says nothing meanwhile. */
#define COPY_PIECE (64ull * 1024 * 1024)

const struct op ops[OP_COUNT] = {
	[OP_LSTAT] = { OP_LSTAT, "lstat", NULL, FXP_LSTAT, FXP_ATTRS, true, false },
	[OP_STAT] = { OP_STAT, "stat", NULL, FXP_STAT, FXP_ATTRS, true, false },
	[OP_FSTAT] = { OP_FSTAT, "fstat", NULL, FXP_FSTAT, FXP_ATTRS, true, false },
	[OP_SETSTAT] = { OP_SETSTAT, "setstat", NULL, FXP_SETSTAT, FXP_STATUS, true, false },
	[OP_LSETSTAT] = { OP_LSETSTAT, "lsetstat", EXT_LSETSTAT, FXP_EXTENDED, FXP_STATUS, true, false },
	[OP_FSETSTAT] = { OP_FSETSTAT, "fsetstat", NULL, FXP_FSETSTAT, FXP_STATUS, true, false },
	[OP_READLINK] = { OP_READLINK, "readlink", NULL, FXP_READLINK, FXP_NAME, true, false },
	[OP_REALPATH] = { OP_REALPATH, "realpath", NULL, FXP_REALPATH, FXP_NAME, true, false },
	[OP_SYMLINK] = { OP_SYMLINK, "symlink", NULL, FXP_SYMLINK, FXP_STATUS, false, false },
	[OP_MKDIR] = { OP_MKDIR, "mkdir", NULL, FXP_MKDIR, FXP_STATUS, false, false },
	[OP_RMDIR] = { OP_RMDIR, "rmdir", NULL, FXP_RMDIR, FXP_STATUS, false, false },
	[OP_REMOVE] = { OP_REMOVE, "remove", NULL, FXP_REMOVE, FXP_STATUS, false, false },
	[OP_RENAME] = { OP_RENAME, "rename", NULL, FXP_RENAME, FXP_STATUS, false, false },
	[OP_POSIX_RENAME] = { OP_POSIX_RENAME, "posix-rename", EXT_POSIX_RENAME, FXP_EXTENDED, FXP_STATUS, false, false },
	[OP_HARDLINK] = { OP_HARDLINK, "hardlink", EXT_HARDLINK, FXP_EXTENDED, FXP_STATUS, false, false },
	[OP_STATVFS] = { OP_STATVFS, "statvfs", EXT_STATVFS, FXP_EXTENDED, FXP_EXTENDED_REPLY, true, false },
	[OP_OPEN] = { OP_OPEN, "open", NULL, FXP_OPEN, FXP_HANDLE, true, false },
	[OP_CLOSE] = { OP_CLOSE, "close", NULL, FXP_CLOSE, FXP_STATUS, false, false },
	[OP_READ] = { OP_READ, "read", NULL, FXP_READ, FXP_DATA, true, false },
	[OP_WRITE] = { OP_WRITE, "write", NULL, FXP_WRITE, FXP_STATUS, true, false },
	[OP_FSYNC] = { OP_FSYNC, "fsync", EXT_FSYNC, FXP_EXTENDED, FXP_STATUS, true, true },
	[OP_COPY] = { OP_COPY, "copy", EXT_COPY_DATA, FXP_EXTENDED, FXP_STATUS, false, true },
	[OP_OPENDIR] = { OP_OPENDIR, "opendir", NULL, FXP_OPENDIR, FXP_HANDLE, true, false },
	[OP_READDIR] = { OP_READDIR, "readdir", NULL, FXP_READDIR, FXP_NAME, false, false },
	[OP_PROBE] = { OP_PROBE, "probe", NULL, FXP_LSTAT, FXP_ATTRS, false, false },
};

/* ---- life ---- */

static void finish_done(struct request *request, struct answer *answer)
{
	if (request->done)
		request->done(request->arg, &answer->reply);
}

void request_init(struct request *request, enum op_kind kind)
{
	memset(request, 0, sizeof(*request));
	list_init(&request->link);
	list_init(&request->age);
	request->op = &ops[kind];
	request->finish = finish_done;
	request->deadline_ns = INT64_MAX;
	request->embedded = true;
}

struct request *request_new(enum op_kind kind, size_t room, sftp_done *done, void *arg)
{
	struct request *request = malloc(sizeof(*request) + room);

	if (!request)
		return NULL;
	request_init(request, kind);
	request->embedded = false;
	request->done = done;
	request->arg = arg;
	request->body = (uint8_t *)(request + 1);
	request->body_len = room;
	return request;
}

void request_free(struct request *request)
{
	if (request && !request->embedded)
		free(request);
}

/* An embedded request may be gone (with its file) or on its way again once finish() has returned. */
void request_finish(struct request *request, struct answer *answer)
{
	bool embedded = request->embedded;

	request->finish(request, answer);
	if (!embedded)
		free(request);
}

void answer_init(struct answer *answer)
{
	memset(answer, 0, offsetof(struct answer, text));
}

void request_fail(struct request *request, int error)
{
	struct answer answer;

	answer_init(&answer);
	answer.reply.error = error;
	answer.reply.len = (size_t)request->got;
	answer.reply.sent_ns = request->sent_ns;
	request_finish(request, &answer);
}

/* ---- encoding ---- */

size_t request_room(const struct request *request, uint32_t max_write)
{
	size_t room = PROTO_HEAD + request->body_len + 64;

	if (request->op->extension)
		room += 4 + strlen(request->op->extension);
	if (request->slot)
		room += 2 * (4 + PROTO_MAX_HANDLE);
	if (request->op->kind == OP_WRITE)
		room += max_write;
	if (request->op->kind == OP_OPEN)
		room += PROTO_MAX_PATH;
	return room;
}

static uint64_t piece(const struct request *request, uint64_t most)
{
	uint64_t left = request->len - request->got;

	return left < most ? left : most;
}

static void encode_body(struct request *request, uint32_t max_read, uint32_t max_write, struct writer *writer)
{
	switch (request->op->kind) {
	case OP_READ:
		request->asked = piece(request, max_read);
		writer_u64(writer, request->offset + request->got);
		writer_u32(writer, (uint32_t)request->asked);
		break;
	case OP_WRITE:
		request->asked = piece(request, max_write);
		writer_u64(writer, request->offset + request->got);
		writer_string(writer, (const uint8_t *)request->payload + request->got, (size_t)request->asked);
		break;
	case OP_COPY:
		request->asked = piece(request, COPY_PIECE);
		writer_u64(writer, request->offset + request->got);
		writer_u64(writer, request->asked);
		writer_string(writer, request->slot2->handle, request->slot2->handle_len);
		writer_u64(writer, request->offset2 + request->got);
		break;
	case OP_OPEN:
		if (request->body_len)
			writer_bytes(writer, request->body, request->body_len);
		else
			slot_encode_open(request->slot, writer);
		break;
	default:
		writer_bytes(writer, request->body, request->body_len);
	}
}

void request_encode(struct request *request, uint32_t id, uint32_t max_read, uint32_t max_write, struct writer *writer)
{
	uint8_t *start = writer->at;

	writer_u32(writer, 0);
	writer_u8(writer, request->op->type);
	writer_u32(writer, id);
	if (request->op->extension)
		writer_string(writer, request->op->extension, strlen(request->op->extension));
	if (request->slot && request->op->kind != OP_OPEN)
		writer_string(writer, request->slot->handle, request->slot->handle_len);
	encode_body(request, max_read, max_write, writer);
	if (!writer->full)
		codec_put_u32(start, (uint32_t)(writer->at - start - 4));
}

/* ---- decoding ---- */

static int decode_status(const struct request *request, struct reader *body, struct answer *answer)
{
	enum op_kind kind = request->op->kind;
	uint32_t status = reader_u32(body);

	if (body->bad)
		return -EPROTO;
	if (status == FX_EOF && (kind == OP_READ || kind == OP_READDIR || kind == OP_COPY)) {
		answer->eof = true;
		return 0;
	}
	if (status == FX_OK && request->op->answer != FXP_STATUS)
		return -EPROTO;		/* done, it says, without what was asked for */
	answer->reply.error = status_error(status, request);
	return 0;
}

static int decode_handle(const struct request *request, struct reader *body, struct answer *answer)
{
	(void)request;
	answer->handle = reader_string(body, &answer->handle_len);
	return body->bad || !answer->handle_len || answer->handle_len > PROTO_MAX_HANDLE ? -EPROTO : 0;
}

/* The bytes go to where the caller wants them; more than were asked for never do. */
static int decode_data(const struct request *request, struct reader *body, struct answer *answer)
{
	size_t len;
	const char *data = reader_string(body, &len);

	if (body->bad || len > request->asked)
		return -EPROTO;
	memcpy((uint8_t *)request->sink + request->got, data, len);
	answer->reply.len = len;
	if (!len)
		answer->reply.len = (size_t)request->got;
	answer->eof = !len;	/* a server that has nothing more to say without saying so */
	return 0;
}

/* READDIR keeps the entries for its finish(); READLINK and REALPATH have exactly one, whose text is wanted. */
static int decode_name(const struct request *request, struct reader *body, struct answer *answer)
{
	struct sftp_attrs attrs;
	const char *text;
	size_t len;

	answer->name_count = reader_u32(body);
	answer->names = *body;
	if (request->op->kind == OP_READDIR)
		return body->bad ? -EPROTO : 0;
	text = reader_name(body, &len, &attrs);
	if (body->bad || answer->name_count != 1 || !len || len > PROTO_MAX_PATH || memchr(text, '\0', len))
		return -EPROTO;
	memcpy(answer->text, text, len);
	answer->text[len] = '\0';
	answer->reply.text = answer->text;
	answer->reply.len = len;
	return 0;
}

int request_decode(const struct request *request, uint8_t type, struct reader *body, struct answer *ret_answer)
{
	answer_init(ret_answer);
	ret_answer->reply.len = (size_t)request->got;
	if (type == FXP_STATUS)
		return decode_status(request, body, ret_answer);
	if (type != request->op->answer)
		return -EPROTO;
	switch (type) {
	case FXP_HANDLE:
		return decode_handle(request, body, ret_answer);
	case FXP_DATA:
		return decode_data(request, body, ret_answer);
	case FXP_NAME:
		return decode_name(request, body, ret_answer);
	case FXP_ATTRS:
		reader_attrs(body, &ret_answer->reply.attrs);
		return body->bad ? -EPROTO : 0;
	default:	/* FXP_EXTENDED_REPLY: statvfs is the only operation that waits for one */
		reader_statvfs(body, &ret_answer->reply.statvfs);
		return body->bad ? -EPROTO : 0;
	}
}

bool request_advance(struct request *request, struct answer *answer)
{
	enum op_kind kind = request->op->kind;

	if (answer->reply.error || answer->eof || (kind != OP_READ && kind != OP_WRITE && kind != OP_COPY))
		return false;
	request->got += kind == OP_READ ? answer->reply.len : request->asked;
	answer->reply.len = (size_t)request->got;
	return request->got < request->len;
}
