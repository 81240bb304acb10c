/* client: the calls of client.h that name a path. */
#include "sftp/client.h"

#include <errno.h>
#include <string.h>

#include "sftp/pool.h"

struct path {
	const char *text;
	size_t len;
};

static int check_path(const char *text, struct path *ret_path)
{
	ret_path->text = text;
	ret_path->len = strlen(text);
	return ret_path->len > PROTO_MAX_PATH ? -ENAMETOOLONG : 0;
}

/* A request whose body is one or two strings, then `attrs` when `with_attrs`. */
static int submit(struct sftp *sftp, enum sftp_lane lane, enum op_kind kind, const char *first, const char *second,
		  const struct sftp_attrs *attrs, bool with_attrs, sftp_done *done, void *arg)
{
	struct path a = { 0 }, b = { 0 };
	struct request *request;
	struct writer writer;
	int error = check_path(first, &a);

	if (!error && second)
		error = check_path(second, &b);
	if (error)
		return error;
	request = request_new(kind, 4 + a.len + (second ? 4 + b.len : 0) + (with_attrs ? codec_attrs_len(attrs) : 0), done, arg);
	if (!request)
		return -ENOMEM;
	writer_init(&writer, request->body, request->body_len);
	writer_string(&writer, a.text, a.len);
	if (second)
		writer_string(&writer, b.text, b.len);
	if (with_attrs)
		writer_attrs(&writer, attrs);
	pool_submit(sftp, lane, request);
	return 0;
}

static int submit_path(struct sftp *sftp, enum sftp_lane lane, enum op_kind kind, const char *path, sftp_done *done, void *arg)
{
	return submit(sftp, lane, kind, path, NULL, NULL, false, done, arg);
}

static int submit_two(struct sftp *sftp, enum sftp_lane lane, enum op_kind kind, const char *first, const char *second,
		      sftp_done *done, void *arg)
{
	return submit(sftp, lane, kind, first, second, NULL, false, done, arg);
}

/* What the server lacks is answered here, as it would answer. */
static int refuse(sftp_done *done, void *arg)
{
	struct sftp_reply reply = { .error = -EOPNOTSUPP };

	done(arg, &reply);
	return 0;
}

static bool has(const struct sftp *sftp, unsigned int feature)
{
	return sftp_features(sftp) & feature;
}

int sftp_lstat(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	return submit_path(sftp, lane, OP_LSTAT, path, done, arg);
}

int sftp_stat(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	return submit_path(sftp, lane, OP_STAT, path, done, arg);
}

int sftp_setstat(struct sftp *sftp, enum sftp_lane lane, const char *path, const struct sftp_attrs *attrs, bool nofollow,
		 sftp_done *done, void *arg)
{
	if (nofollow && !has(sftp, SFTP_HAS_LSETSTAT))
		return refuse(done, arg);
	return submit(sftp, lane, nofollow ? OP_LSETSTAT : OP_SETSTAT, path, NULL, attrs, true, done, arg);
}

int sftp_readlink(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	return submit_path(sftp, lane, OP_READLINK, path, done, arg);
}

int sftp_realpath(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	return submit_path(sftp, lane, OP_REALPATH, path, done, arg);
}

int sftp_symlink(struct sftp *sftp, enum sftp_lane lane, const char *target, const char *path, sftp_done *done, void *arg)
{
	return submit_two(sftp, lane, OP_SYMLINK, target, path, done, arg);
}

int sftp_mkdir(struct sftp *sftp, enum sftp_lane lane, const char *path, uint32_t mode, sftp_done *done, void *arg)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE, .mode = mode & 07777 };

	return submit(sftp, lane, OP_MKDIR, path, NULL, &attrs, true, done, arg);
}

int sftp_rmdir(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	return submit_path(sftp, lane, OP_RMDIR, path, done, arg);
}

int sftp_remove(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	return submit_path(sftp, lane, OP_REMOVE, path, done, arg);
}

int sftp_rename(struct sftp *sftp, enum sftp_lane lane, const char *from, const char *to, sftp_done *done, void *arg)
{
	return submit_two(sftp, lane, OP_RENAME, from, to, done, arg);
}

int sftp_posix_rename(struct sftp *sftp, enum sftp_lane lane, const char *from, const char *to, sftp_done *done, void *arg)
{
	if (!has(sftp, SFTP_HAS_POSIX_RENAME))
		return refuse(done, arg);
	return submit_two(sftp, lane, OP_POSIX_RENAME, from, to, done, arg);
}

int sftp_hardlink(struct sftp *sftp, enum sftp_lane lane, const char *from, const char *to, sftp_done *done, void *arg)
{
	if (!has(sftp, SFTP_HAS_HARDLINK))
		return refuse(done, arg);
	return submit_two(sftp, lane, OP_HARDLINK, from, to, done, arg);
}

int sftp_statvfs(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg)
{
	if (!has(sftp, SFTP_HAS_STATVFS))
		return refuse(done, arg);
	return submit_path(sftp, lane, OP_STATVFS, path, done, arg);
}
