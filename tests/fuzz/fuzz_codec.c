/*
 * fuzz_codec: any bytes as the body of an answer of any type to any request; as a packet; as a NAME list. What is decoded must lie
 * within what was given.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sftp/codec.h"
#include "sftp/handle.h"
#include "sftp/proto.h"
#include "sftp/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void read_names(struct answer *answer)
{
	struct sftp_attrs attrs;
	uint32_t left;
	size_t len;

	for (left = answer->name_count; left && !answer->names.bad; left--) {
		const char *name = reader_name(&answer->names, &len, &attrs);

		if (codec_name_ok(name, len))
			check(!memchr(name, '/', len) && len <= PROTO_MAX_NAME);
	}
}

static void decode(enum op_kind kind, uint8_t type, const uint8_t *data, size_t size)
{
	static uint8_t sink[1024];
	struct request *request = request_new(kind, 0, NULL, NULL);
	struct answer answer;
	struct reader body;
	int error;

	if (!request)
		return;
	request->len = request->asked = sizeof(sink);
	request->sink = sink;
	reader_init(&body, data, size);
	error = request_decode(request, type, &body, &answer);
	if (!error && !answer.reply.error) {
		if (answer.handle)
			check(answer.handle_len && answer.handle_len <= PROTO_MAX_HANDLE);
		if (answer.reply.text)
			check(strlen(answer.reply.text) == answer.reply.len);
		if (kind == OP_READDIR)
			read_names(&answer);
		request_advance(request, &answer);
		check(request->got <= request->len);
	}
	request_free(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sftp_statvfs statvfs;
	struct sftp_attrs attrs;
	struct reader reader;
	size_t len;

	if (codec_packet(data, size, &len) > 0)
		check(len <= size && len >= PROTO_HEAD);
	reader_init(&reader, data, size);
	reader_statvfs(&reader, &statvfs);
	reader_init(&reader, data, size);
	reader_attrs(&reader, &attrs);
	check(reader.bad || codec_attrs_len(&attrs) <= size);
	if (size >= 2)
		decode((enum op_kind)(data[0] % OP_COUNT), data[1], data + 2, size - 2);
	return 0;
}
