/*
 * status: see status.h. Codes above 8 belong to later versions; servers that speak 3 and send them all the same mean them.
 */
#include "sftp/status.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "sftp/proto.h"
#include "sftp/request.h"

#define NAME_LONGEST 255	/* NAME_MAX of Linux's file systems */

static const struct {
	uint32_t status;
	int error;
} errors[] = {
	{ FX_OK, 0 },
	{ FX_EOF, -ENODATA },
	{ FX_NO_SUCH_FILE, -ENOENT },
	{ FX_PERMISSION_DENIED, -EACCES },
	{ FX_FAILURE, -EREMOTEIO },
	{ FX_BAD_MESSAGE, -EINVAL },
	{ FX_NO_CONNECTION, -EIO },
	{ FX_CONNECTION_LOST, -EIO },
	{ FX_OP_UNSUPPORTED, -EOPNOTSUPP },
	{ FX_INVALID_HANDLE, -EBADF },
	{ FX_NO_SUCH_PATH, -ENOENT },
	{ FX_FILE_ALREADY_EXISTS, -EEXIST },
	{ FX_WRITE_PROTECT, -EROFS },
	{ FX_NO_MEDIA, -EIO },
	{ FX_NO_SPACE_ON_FILESYSTEM, -ENOSPC },
	{ FX_QUOTA_EXCEEDED, -EDQUOT },
	{ FX_DIR_NOT_EMPTY, -ENOTEMPTY },
	{ FX_NOT_A_DIRECTORY, -ENOTDIR },
	{ FX_INVALID_FILENAME, -EINVAL },
	{ FX_LINK_LOOP, -ELOOP },
	{ FX_FILE_IS_A_DIRECTORY, -EISDIR },
};

static bool has_long_component(const char *path, size_t len)
{
	size_t i, run = 0;

	for (i = 0; i < len && run <= NAME_LONGEST; i++)
		run = path[i] == '/' ? 0 : run + 1;
	return run > NAME_LONGEST;
}

/* A component longer than any file system takes, in the path or paths the body begins with. (What else may follow is shorter.) */
static bool has_long_name(const struct request *request)
{
	struct reader body;
	const char *path;
	size_t len;
	int i;

	reader_init(&body, request->body, request->body_len);
	for (i = 0; i < 2; i++) {
		path = reader_string(&body, &len);
		if (has_long_component(path, len))
			return true;
	}
	return false;
}

int status_error(uint32_t status, const struct request *request)
{
	size_t i;
	bool by_path = !request->slot || request->op->kind == OP_OPEN;

	if (status == FX_NO_SUCH_FILE && !by_path)
		return -EBADF;
	if (status == FX_BAD_MESSAGE && by_path && has_long_name(request))
		return -ENAMETOOLONG;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].status == status)
			return errors[i].error;
	return -EREMOTEIO;
}
