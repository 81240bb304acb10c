/*
 * test_idmap: uidfile and gidfile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tree/idmap.h"

static char path[64];

static int load(const char *text, bool strict, struct idmap **ret_map, struct buf *why)
{
	int fd, error;

	strcpy(path, "/tmp/test_idmap.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	error = idmap_load(path, false, strict, ret_map, why);
	unlink(path);
	return error;
}

static void test_maps(void **state)
{
	struct idmap *map;
	struct buf why = BUF_INIT;
	uint32_t id;

	(void)state;
	assert_int_equal(load("# who\nroot:1234\n\nnobody:77\nno-such-user-here:5", true, &map, &why), 0);
	assert_int_equal(idmap_to_local(map, 1234, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(idmap_to_remote(map, 0, &id), 0);
	assert_int_equal(id, 1234);
	assert_int_equal(idmap_to_local(map, 5, &id), -EPERM);
	assert_int_equal(idmap_to_remote(map, 4242, &id), -EPERM);
	idmap_free(map);
	assert_int_equal(load("root:1234\n", false, &map, &why), 0);
	assert_int_equal(idmap_to_local(map, 5, &id), 0);
	assert_int_equal(id, 5);
	idmap_free(map);
	assert_int_equal(load("", false, &map, &why), 0);
	idmap_free(map);
	assert_int_equal(why.len, 0);
	buf_release(&why);
}

static void expect_refused(const char *text, const char *part)
{
	struct buf why = BUF_INIT;
	struct idmap *map;

	assert_int_equal(load(text, true, &map, &why), -EINVAL);
	if (!strstr(buf_text(&why), part))
		fail_msg("\"%s\" says \"%s\"", text, buf_text(&why));
	buf_release(&why);
}

static void test_bad_files(void **state)
{
	struct buf why = BUF_INIT;
	struct idmap *map;

	(void)state;
	expect_refused("root:1\nnobody 2\n", ":2: expected NAME:ID");
	expect_refused("root:x\n", ":1: \"x\" is no id");
	expect_refused("root:-1\n", "is no id");
	expect_refused("root:4294967295\n", "is no id");	/* chown's "leave it" */
	assert_int_equal(idmap_load("/no/such/file", false, true, &map, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "/no/such/file: "));
	buf_release(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_maps), cmocka_unit_test(test_bad_files) };

	return cmocka_run_group_tests_name("idmap", tests, NULL, NULL);
}
