/*
 * layout: names below .claimfs/ and owners, built and read strictly.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/layout.h"
#include "queue/owner.h"

#define UNIT "0123456789abcdef0123456789abcdef"

static void names_are_read_as_they_are_built(void **state)
{
	struct layout_claim claim = { layout_unit("a/b.jpg", false, 0, 0), 7, 999999999 }, read;
	char path[LAYOUT_PATH];
	struct hash128 hash;
	uint32_t generation;

	(void)state;
	layout_claim(path, &claim);
	assert_int_equal(layout_parse_claim(path + strlen(LAYOUT_CLAIMS "/"), strlen(path) - strlen(LAYOUT_CLAIMS "/"), &read), 0);
	assert_true(hash128_equal(&read.unit, &claim.unit));
	assert_int_equal(read.generation, 7);
	assert_int_equal(read.number, 999999999);
	layout_marker(path, &claim.unit, 3);
	assert_int_equal(layout_parse_marker(strrchr(path, '/') + 1, strlen(strrchr(path, '/') + 1), &hash, &generation), 0);
	assert_true(hash128_equal(&hash, &claim.unit));
	assert_int_equal(generation, 3);
	assert_memory_equal(path + strlen(LAYOUT_DONE "/"), strrchr(path, '/') + 1, 2);
}

static void other_spellings_are_refused(void **state)
{
	static const char *const bad[] = {
		"", ".", UNIT, UNIT ".0", UNIT ".0.", UNIT ".0.01", UNIT ".00.1", UNIT ".0.1 ", UNIT ".0.1.1", UNIT ".-1.1",
		UNIT ".0.1000000000", UNIT ".1000000000.1", UNIT "..1", UNIT "a.0.1", "0123456789abcdef0123456789abcde.0.1",
		"0123456789ABCDEF0123456789abcdef.0.1", "g123456789abcdef0123456789abcdef.0.1", UNIT ".0,1",
	};
	struct layout_claim claim;
	struct hash128 hash;
	uint32_t generation;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(layout_parse_claim(bad[i], strlen(bad[i]), &claim), -EINVAL);
	assert_int_equal(layout_parse_claim(UNIT ".0.1", strlen(UNIT ".0.1"), &claim), 0);
	assert_int_equal(layout_parse_marker(UNIT ".0", strlen(UNIT ".0"), &hash, &generation), 0);
	assert_int_equal(layout_parse_marker(UNIT ".0.1", strlen(UNIT ".0.1"), &hash, &generation), -EINVAL);
	assert_int_equal(layout_parse_marker(UNIT ".", strlen(UNIT "."), &hash, &generation), -EINVAL);
	/* What follows the given length is not looked at. */
	assert_int_equal(layout_parse_claim(UNIT ".0.12", strlen(UNIT ".0.1"), &claim), 0);
	assert_int_equal(claim.number, 1);
	assert_int_equal(layout_parse_claim(UNIT ".3.0", strlen(UNIT ".3.0"), &claim), 0);
	assert_int_equal(claim.number, LAYOUT_HEDGE);
}

static void units_differ_by_size_and_time_only_when_asked(void **state)
{
	struct hash128 plain = layout_unit("x", false, 1, 2), same = layout_unit("x", false, 3, 4);
	struct hash128 one = layout_unit("x", true, 1, 2), two = layout_unit("x", true, 1, 3), three = layout_unit("x", true, 11, 2);
	char long_name[3000];
	struct hash128 a, b;

	(void)state;
	assert_true(hash128_equal(&plain, &same));
	assert_false(hash128_equal(&one, &two));
	assert_false(hash128_equal(&one, &three));
	assert_false(hash128_equal(&one, &plain));
	memset(long_name, 'n', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	a = layout_unit(long_name, true, 1, 2);
	b = layout_unit(long_name, true, 1, 3);
	assert_false(hash128_equal(&a, &b));
}

static void nodes_are_safe_file_names(void **state)
{
	static const char *const hosts[] = { "node-3", "a.b.c", "", NULL, "../../etc", ".hidden", "sp ace/\n", "\xff\xfe" };
	char node[LAYOUT_MAX_NODE + 1], long_host[300], path[LAYOUT_PATH];
	enum layout_node_file kind;
	size_t i, len;

	(void)state;
	memset(long_host, 'h', sizeof(long_host));
	long_host[sizeof(long_host) - 1] = '\0';
	layout_node(long_host, 1, node);
	assert_true(layout_node_good(node, strlen(node)));
	for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		layout_node(hosts[i], 0xdeadbeef, node);
		assert_true(layout_node_good(node, strlen(node)));
		assert_null(strchr(node, '/'));
		layout_heartbeat(path, node, 12);
		assert_int_equal(layout_parse_node_file(strrchr(path, '/') + 1, strlen(strrchr(path, '/') + 1), &len, &kind), 0);
		assert_int_equal(len, strlen(node));
		assert_int_equal(kind, LAYOUT_HEARTBEAT);
		layout_given_back(path, node, true, 3);
		assert_int_equal(layout_parse_node_file(strrchr(path, '/') + 1, strlen(strrchr(path, '/') + 1), &len, &kind), 0);
		assert_int_equal(len, strlen(node));
		assert_int_equal(kind, LAYOUT_LOST);
	}
	layout_node("n", 1, node);
	assert_string_equal(node, "n.00000001");
	layout_given_back(path, node, false, 0);
	assert_int_equal(layout_parse_node_file(strrchr(path, '/') + 1, strlen(strrchr(path, '/') + 1), &len, &kind), 0);
	assert_int_equal(kind, LAYOUT_FREE);
	assert_false(layout_node_good("n.0000001", 9));
	assert_false(layout_node_good("n.0000000G", 10));
	assert_false(layout_node_good(".n.00000001", 11));
	assert_int_equal(layout_parse_node_file("n.00000001.x", 12, &len, &kind), -EINVAL);
	assert_int_equal(layout_parse_node_file("n", 1, &len, &kind), -EINVAL);
}

static void owners_are_read_as_they_are_written(void **state)
{
	struct owner owner = { .node = "n.00000001", .kind = OWNER_LOST, .pid = 77, .start = 1234 }, read;
	struct buf text = BUF_INIT;

	(void)state;
	owner_format(&owner, "a host\n", &text);
	assert_int_equal(owner_parse(text.data, text.len, &read), 0);
	assert_string_equal(read.node, owner.node);
	assert_int_equal(read.kind, OWNER_LOST);
	assert_int_equal(read.pid, 77);
	assert_int_equal(read.start, 1234);
	buf_release(&text);
}

static void other_texts_have_no_owner(void **state)
{
	static const char *const bad[] = {
		"", "claimfs 1", "claimfs 1\n", "claimfs 2\nnode n.00000001\n", "claimfs 1\nnode \n", "claimfs 1\nnode ../x.00000001\n",
		"claimfs 1\nnode n.00000001", "claimfs 1\nnode n.00000001\nkind dead\n", "claimfs 1\nnode n.00000001\npid x\n",
		"claimfs 1\nnode n.00000001\npid 99999999999\n",
	};
	struct owner owner;
	char big[5000];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(owner_parse(bad[i], strlen(bad[i]), &owner), -EINVAL);
	assert_int_equal(owner_parse("claimfs 1\nfuture x\nnode n.00000001\n", 35, &owner), 0);
	memset(big, 'z', sizeof(big));
	memcpy(big, "claimfs 1\nnode ", 15);
	assert_int_equal(owner_parse(big, sizeof(big), &owner), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_as_they_are_built),
		cmocka_unit_test(other_spellings_are_refused),
		cmocka_unit_test(units_differ_by_size_and_time_only_when_asked),
		cmocka_unit_test(nodes_are_safe_file_names),
		cmocka_unit_test(owners_are_read_as_they_are_written),
		cmocka_unit_test(other_texts_have_no_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
