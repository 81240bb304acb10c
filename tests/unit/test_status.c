/* status: SSH_FX_* as errno, with what was asked taken into account. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/store.h"
#include "sftp/handle.h"
#include "sftp/proto.h"
#include "sftp/request.h"
#include "sftp/status.h"

static int error_of(enum op_kind kind, uint32_t status, const char *path, struct slot *slot)
{
	struct request *request = request_new(kind, 4 + strlen(path), NULL, NULL);
	struct writer writer;
	int error;

	assert_non_null(request);
	writer_init(&writer, request->body, request->body_len);
	writer_string(&writer, path, strlen(path));
	request->slot = slot;
	error = status_error(status, request);
	request_free(request);
	return error;
}

static void test_plain_codes(void **state)
{
	(void)state;
	assert_int_equal(error_of(OP_LSTAT, FX_OK, "a", NULL), 0);
	assert_int_equal(error_of(OP_LSTAT, FX_NO_SUCH_FILE, "a", NULL), -ENOENT);
	assert_int_equal(error_of(OP_LSTAT, FX_PERMISSION_DENIED, "a", NULL), -EACCES);
	assert_int_equal(error_of(OP_LSTAT, FX_OP_UNSUPPORTED, "a", NULL), -EOPNOTSUPP);
	assert_int_equal(error_of(OP_LSTAT, FX_NO_SPACE_ON_FILESYSTEM, "a", NULL), -ENOSPC);
	assert_int_equal(error_of(OP_LSTAT, 4711, "a", NULL), -EREMOTEIO);
	assert_int_equal(error_of(OP_LSTAT, 0xffffffff, "a", NULL), -EREMOTEIO);
}

static void test_failure_is_the_stores(void **state)
{
	(void)state;
	assert_int_equal(error_of(OP_MKDIR, FX_FAILURE, "a", NULL), STORE_FAILURE);
	assert_int_equal(SFTP_UNKNOWN, STORE_UNKNOWN);
}

static void test_long_names(void **state)
{
	char path[600];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[300] = '/';
	path[599] = '\0';
	assert_int_equal(error_of(OP_LSTAT, FX_BAD_MESSAGE, path, NULL), -ENAMETOOLONG);
	path[255] = '/';
	path[500] = '/';
	assert_int_equal(error_of(OP_LSTAT, FX_BAD_MESSAGE, path, NULL), -EINVAL);
	assert_int_equal(error_of(OP_READLINK, FX_BAD_MESSAGE, "a", NULL), -EINVAL);
}

static void test_handles(void **state)
{
	struct slot slot;

	(void)state;
	memset(&slot, 0, sizeof(slot));
	assert_int_equal(error_of(OP_READ, FX_NO_SUCH_FILE, "", &slot), -EBADF);
	assert_int_equal(error_of(OP_OPEN, FX_NO_SUCH_FILE, "a", &slot), -ENOENT);
	assert_int_equal(error_of(OP_WRITE, FX_FAILURE, "", &slot), -EREMOTEIO);
	assert_int_equal(error_of(OP_FSETSTAT, FX_BAD_MESSAGE, "", &slot), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_codes), cmocka_unit_test(test_failure_is_the_stores), cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_handles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
