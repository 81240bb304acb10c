/* codec: round trips, and every way a peer's bytes can be short, long or strange. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sftp/codec.h"
#include "sftp/proto.h"

static void test_numbers(void **state)
{
	uint8_t room[13];
	struct writer writer;
	struct reader reader;

	(void)state;
	writer_init(&writer, room, sizeof(room));
	writer_u8(&writer, 0xfe);
	writer_u32(&writer, 0x01020304);
	writer_u64(&writer, 0xfffefdfcfbfaf9f8u);
	assert_false(writer.full);
	assert_int_equal(room[1], 1);
	assert_int_equal(room[4], 4);
	writer_u8(&writer, 1);
	assert_true(writer.full);
	assert_int_equal(writer_len(&writer), 13);
	reader_init(&reader, room, sizeof(room));
	assert_int_equal(reader_u8(&reader), 0xfe);
	assert_int_equal(reader_u32(&reader), 0x01020304);
	assert_true(reader_u64(&reader) == 0xfffefdfcfbfaf9f8u);
	assert_false(reader.bad);
	assert_int_equal(reader_u8(&reader), 0);
	assert_true(reader.bad);
}

static void test_sticks(void **state)
{
	uint8_t bytes[8] = { 0, 0, 0, 9, 'a', 'b', 'c', 'd' };
	struct writer writer;
	struct reader reader;
	size_t len = 5;

	(void)state;
	reader_init(&reader, bytes, sizeof(bytes));
	assert_string_equal(reader_string(&reader, &len), "");	/* nine bytes announced, four there */
	assert_int_equal(len, 0);
	assert_true(reader.bad);
	assert_int_equal(reader_u8(&reader), 0);		/* though a byte is left */
	writer_init(&writer, bytes, 3);
	writer_u32(&writer, 1);
	writer_u8(&writer, 1);
	assert_true(writer.full);
	assert_int_equal(writer_len(&writer), 0);
	reader_init(&reader, "\xff\xff\xff\xff", 4);
	reader_string(&reader, &len);
	assert_true(reader.bad);
}

static void test_attrs(void **state)
{
	struct sftp_attrs in = { .flags = 15, .uid = 1, .gid = 2, .mode = 0100644, .size = 1ull << 40, .atime = 0xffffffff, .mtime = 7 }, out;
	struct writer writer;
	struct reader reader;
	uint8_t room[64];
	unsigned int flags;

	(void)state;
	for (flags = 0; flags < 16; flags++) {
		in.flags = flags;
		writer_init(&writer, room, codec_attrs_len(&in));
		writer_attrs(&writer, &in);
		assert_false(writer.full);
		assert_int_equal(writer_len(&writer), codec_attrs_len(&in));
		reader_init(&reader, room, writer_len(&writer));
		reader_attrs(&reader, &out);
		assert_false(reader.bad);
		assert_int_equal(reader.left, 0);
		assert_int_equal(out.flags, flags);
		assert_int_equal(out.size, flags & 1 ? in.size : 0);
		assert_int_equal(out.gid, flags & 2 ? 2 : 0);
		assert_int_equal(out.mode, flags & 4 ? in.mode : 0);
		assert_int_equal(out.atime, flags & 8 ? in.atime : 0);
	}
}

static void test_extended_attrs(void **state)
{
	static const char bytes[] = "\x80\0\0\4" "\0\0\1\244" "\0\0\0\1" "\0\0\0\1x" "\0\0\0\2yz" "!";
	static const char endless[] = "\x80\0\0\0" "\xff\xff\xff\xff";
	struct sftp_attrs attrs;
	struct reader reader;

	(void)state;
	reader_init(&reader, bytes, sizeof(bytes) - 1);
	reader_attrs(&reader, &attrs);
	assert_int_equal(attrs.mode, 0644);
	assert_int_equal(attrs.flags, SFTP_ATTR_MODE);
	assert_int_equal(reader_u8(&reader), '!');
	assert_false(reader.bad);
	reader_init(&reader, endless, sizeof(endless) - 1);	/* four thousand million pairs, and none there */
	reader_attrs(&reader, &attrs);
	assert_true(reader.bad);
}

static void test_names(void **state)
{
	char longest[PROTO_MAX_NAME + 1];

	(void)state;
	memset(longest, 'n', sizeof(longest));
	assert_true(codec_name_ok("a", 1));
	assert_true(codec_name_ok("...", 3));
	assert_true(codec_name_ok(".a", 2));
	assert_true(codec_name_ok("\xff\n", 2));
	assert_true(codec_name_ok(longest, PROTO_MAX_NAME));
	assert_false(codec_name_ok(longest, PROTO_MAX_NAME + 1));
	assert_false(codec_name_ok("", 0));
	assert_false(codec_name_ok(".", 1));
	assert_false(codec_name_ok("..", 2));
	assert_false(codec_name_ok("a/b", 3));
	assert_false(codec_name_ok("/", 1));
	assert_false(codec_name_ok("a\0b", 3));
}

static void test_packet(void **state)
{
	uint8_t packet[16] = { 0, 0, 0, 5, 101, 1, 2, 3, 4 };
	size_t len = 0, i;

	(void)state;
	for (i = 0; i < 9; i++)
		assert_int_equal(codec_packet(packet, i, &len), 0);
	assert_int_equal(codec_packet(packet, 9, &len), 1);
	assert_int_equal(len, 9);
	assert_int_equal(codec_packet(packet, 16, &len), 1);
	assert_int_equal(len, 9);
	packet[3] = 4;		/* no room for an id */
	assert_int_equal(codec_packet(packet, 16, &len), -EPROTO);
	codec_put_u32(packet, 0xffffffff);
	assert_int_equal(codec_packet(packet, 4, &len), -EPROTO);	/* said before more is waited for */
	codec_put_u32(packet, PROTO_MAX_PACKET);
	assert_int_equal(codec_packet(packet, 16, &len), 0);
	codec_put_u32(packet, PROTO_MAX_PACKET + 1);
	assert_int_equal(codec_packet(packet, 16, &len), -EPROTO);
}

/* Every prefix of a NAME entry but the whole is bad. */
static void test_cut_entry(void **state)
{
	struct sftp_attrs attrs = { .flags = 15 };
	uint8_t room[128];
	struct writer writer;
	struct reader reader;
	size_t len, i;

	(void)state;
	writer_init(&writer, room, sizeof(room));
	writer_string(&writer, "name", 4);
	writer_string(&writer, "long name", 9);
	writer_attrs(&writer, &attrs);
	for (i = 0; i < writer_len(&writer); i++) {
		uint8_t *exact = malloc(i ? i : 1);

		memcpy(exact, room, i);
		reader_init(&reader, exact, i);
		reader_name(&reader, &len, &attrs);
		assert_true(reader.bad);
		free(exact);
	}
	reader_init(&reader, room, i);
	assert_memory_equal(reader_name(&reader, &len, &attrs), "name", 4);
	assert_false(reader.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_sticks), cmocka_unit_test(test_attrs),
		cmocka_unit_test(test_extended_attrs), cmocka_unit_test(test_names), cmocka_unit_test(test_packet),
		cmocka_unit_test(test_cut_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
