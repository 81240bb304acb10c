/* peer_ops: see peer_ops.h. The errors are what OpenSSH's server makes of errno. */
#include "peer_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sftp/proto.h"

#define NAMES_A_TIME 100

static uint32_t status_of(int error)
{
	switch (error) {
	case 0:
		return FX_OK;
	case ENOENT: case ENOTDIR: case EBADF: case ELOOP:
		return FX_NO_SUCH_FILE;
	case EPERM: case EACCES: case EFAULT:
		return FX_PERMISSION_DENIED;
	case ENAMETOOLONG: case EINVAL:
		return FX_BAD_MESSAGE;
	case ENOSYS:
		return FX_OP_UNSUPPORTED;
	default:
		return FX_FAILURE;
	}
}

static void put_status(struct writer *answer, uint32_t id, uint32_t status)
{
	writer_u8(answer, FXP_STATUS);
	writer_u32(answer, id);
	writer_u32(answer, status);
	writer_string(answer, "", 0);
	writer_string(answer, "", 0);
}

static void put_result(struct writer *answer, uint32_t id, int result)
{
	put_status(answer, id, result < 0 ? status_of(errno) : FX_OK);
}

static void put_stat(struct writer *answer, const struct stat *st)
{
	struct sftp_attrs attrs = {
		.flags = 15, .size = (uint64_t)st->st_size, .uid = st->st_uid, .gid = st->st_gid, .mode = st->st_mode,
		.atime = (uint32_t)st->st_atime, .mtime = (uint32_t)st->st_mtime,
	};

	writer_attrs(answer, &attrs);
}

static void put_attrs(struct writer *answer, uint32_t id, int result, const struct stat *st)
{
	if (result < 0) {
		put_result(answer, id, result);
		return;
	}
	writer_u8(answer, FXP_ATTRS);
	writer_u32(answer, id);
	put_stat(answer, st);
}

static void read_path(struct peer_ops *ops, struct reader *body, char path[PATH_MAX])
{
	size_t len;
	const char *text = reader_string(body, &len);

	snprintf(path, PATH_MAX, "%s/%.*s", ops->root, (int)len, text);
}

static void read_text(struct reader *body, char text[PATH_MAX])
{
	size_t len;
	const char *bytes = reader_string(body, &len);

	snprintf(text, PATH_MAX, "%.*s", (int)len, bytes);
}

/* ---- handles ---- */

static int new_handle(struct peer_ops *ops, int fd, DIR *dir)
{
	int i;

	for (i = 0; i < PEER_HANDLES; i++)
		if (!ops->handles[i].used) {
			ops->handles[i] = (struct peer_handle){ .used = true, .fd = fd, .dir = dir };
			ops->handle_count++;
			return i;
		}
	errno = EMFILE;
	return -1;
}

static void drop_handle(struct peer_ops *ops, struct peer_handle *handle)
{
	if (handle->dir)
		closedir(handle->dir);
	else
		close(handle->fd);
	handle->used = false;
	ops->handle_count--;
}

static struct peer_handle *read_handle(struct peer_ops *ops, struct reader *body)
{
	size_t len;
	const char *text = reader_string(body, &len);
	uint32_t index = len == 4 ? codec_get_u32((const uint8_t *)text) : PEER_HANDLES;

	return index < PEER_HANDLES && ops->handles[index].used ? &ops->handles[index] : NULL;
}

static void put_handle(struct writer *answer, uint32_t id, int index)
{
	uint8_t bytes[4];

	if (index < 0) {
		put_result(answer, id, -1);
		return;
	}
	codec_put_u32(bytes, (uint32_t)index);
	writer_u8(answer, FXP_HANDLE);
	writer_u32(answer, id);
	writer_string(answer, bytes, 4);
}

void peer_ops_release(struct peer_ops *ops)
{
	int i;

	for (i = 0; i < PEER_HANDLES; i++)
		if (ops->handles[i].used)
			drop_handle(ops, &ops->handles[i]);
}

/* ---- by path ---- */

static int set_attrs(const char *path, int fd, const struct sftp_attrs *attrs, bool nofollow)
{
	struct timespec times[2] = { { .tv_sec = attrs->atime }, { .tv_sec = attrs->mtime } };
	int r = 0;

	if (attrs->flags & SFTP_ATTR_SIZE)
		r |= fd >= 0 ? ftruncate(fd, (off_t)attrs->size) : truncate(path, (off_t)attrs->size);
	if (attrs->flags & SFTP_ATTR_MODE)
		r |= fd >= 0 ? fchmod(fd, attrs->mode & 07777) : chmod(path, attrs->mode & 07777);
	if (attrs->flags & SFTP_ATTR_TIMES)
		r |= fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, nofollow ? AT_SYMLINK_NOFOLLOW : 0);
	return r;
}

static void do_open(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	char path[PATH_MAX];
	struct sftp_attrs attrs;
	uint32_t flags;
	int open_flags, fd;

	read_path(ops, body, path);
	flags = reader_u32(body);
	reader_attrs(body, &attrs);
	open_flags = (flags & 3) == 3 ? O_RDWR : flags & SFTP_OPEN_WRITE ? O_WRONLY : O_RDONLY;
	open_flags |= (flags & SFTP_OPEN_APPEND ? O_APPEND : 0) | (flags & SFTP_OPEN_CREAT ? O_CREAT : 0) |
		(flags & SFTP_OPEN_TRUNC ? O_TRUNC : 0) | (flags & SFTP_OPEN_EXCL ? O_EXCL : 0);
	fd = open(path, open_flags | O_CLOEXEC, attrs.flags & SFTP_ATTR_MODE ? attrs.mode & 07777 : 0666);
	put_handle(answer, id, fd < 0 ? -1 : new_handle(ops, fd, NULL));
}

static void do_opendir(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	char path[PATH_MAX];
	DIR *dir;

	read_path(ops, body, path);
	dir = opendir(path);
	put_handle(answer, id, dir ? new_handle(ops, -1, dir) : -1);
}

static void put_text(struct writer *answer, uint32_t id, const char *text, size_t len)
{
	writer_u8(answer, FXP_NAME);
	writer_u32(answer, id);
	writer_u32(answer, 1);
	writer_string(answer, text, len);
	writer_string(answer, text, len);
	writer_attrs(answer, NULL);
}

static void do_readlink(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	char path[PATH_MAX], text[PATH_MAX];
	ssize_t n;

	read_path(ops, body, path);
	n = readlink(path, text, sizeof(text));
	if (n < 0)
		put_result(answer, id, -1);
	else
		put_text(answer, id, text, (size_t)n);
}

static void do_two(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer,
		   int (*call)(const char *, const char *), bool no_replace)
{
	char from[PATH_MAX], to[PATH_MAX];

	read_path(ops, body, from);
	read_path(ops, body, to);
	errno = EEXIST;
	put_result(answer, id, no_replace && !access(to, F_OK) ? -1 : call(from, to));
}

static void do_path(struct peer_ops *ops, uint8_t type, uint32_t id, struct reader *body, struct writer *answer)
{
	struct sftp_attrs attrs;
	char path[PATH_MAX];
	struct stat st;

	read_path(ops, body, path);
	switch (type) {
	case FXP_LSTAT:
		put_attrs(answer, id, lstat(path, &st), &st);
		break;
	case FXP_STAT:
		put_attrs(answer, id, stat(path, &st), &st);
		break;
	case FXP_REMOVE:
		put_result(answer, id, unlink(path));
		break;
	case FXP_RMDIR:
		put_result(answer, id, rmdir(path));
		break;
	case FXP_REALPATH:
		put_text(answer, id, path, strlen(path));
		break;
	default:	/* FXP_MKDIR, FXP_SETSTAT */
		reader_attrs(body, &attrs);
		put_result(answer, id, type == FXP_MKDIR ? mkdir(path, attrs.mode & 07777) : set_attrs(path, -1, &attrs, false));
	}
}

static void do_symlink(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	char target[PATH_MAX], path[PATH_MAX];

	read_text(body, target);
	read_path(ops, body, path);
	put_result(answer, id, symlink(target, path));
}

/* ---- by handle ---- */

static void do_read(struct peer_ops *ops, uint32_t id, struct peer_handle *handle, struct reader *body, struct writer *answer)
{
	static _Thread_local char data[PROTO_MAX_DATA];
	uint64_t offset = reader_u64(body);
	size_t len = reader_u32(body);
	ssize_t n;

	if (len > sizeof(data))
		len = sizeof(data);
	if (ops->short_read && len > 1)
		len /= 2;
	n = pread(handle->fd, data, len, (off_t)offset);
	if (n <= 0) {
		put_status(answer, id, n ? status_of(errno) : FX_EOF);
		return;
	}
	writer_u8(answer, FXP_DATA);
	writer_u32(answer, id);
	writer_string(answer, data, (size_t)n);
}

static void do_write(uint32_t id, struct peer_handle *handle, struct reader *body, struct writer *answer)
{
	uint64_t offset = reader_u64(body);
	size_t len;
	const char *data = reader_string(body, &len);

	put_result(answer, id, pwrite(handle->fd, data, len, (off_t)offset) == (ssize_t)len ? 0 : -1);
}

static uint32_t put_lies(struct writer *answer)
{
	static const struct {
		const char *name;
		size_t len;
	} lies[] = { { "..", 2 }, { ".", 1 }, { "", 0 }, { "a/b", 3 }, { "/etc", 4 }, { "x\0y", 3 } };
	size_t i;

	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		writer_string(answer, lies[i].name, lies[i].len);
		writer_string(answer, "", 0);
		writer_attrs(answer, NULL);
	}
	return sizeof(lies) / sizeof(lies[0]);
}

/* A hundred names at most. */
static uint32_t put_without_end(struct peer_ops *ops, struct writer *answer)
{
	uint32_t count, most = ops->lists == PEER_LISTS_NOTHING ? 0 : ops->lists == PEER_LISTS_DOTS ? 1 : NAMES_A_TIME;
	char name[32] = ".";

	for (count = 0; count < most; count++) {
		if (ops->lists == PEER_LISTS_ON)
			snprintf(name, sizeof(name), "entry-%u", ops->listed++);
		writer_string(answer, name, strlen(name));
		writer_string(answer, "", 0);
		writer_attrs(answer, NULL);
	}
	return count;
}

static void do_readdir(struct peer_ops *ops, uint32_t id, struct peer_handle *handle, struct writer *answer)
{
	struct dirent *entry;
	struct stat st;
	uint8_t *count_at;
	uint32_t count = 0;

	writer_u8(answer, FXP_NAME);
	writer_u32(answer, id);
	count_at = answer->at;
	writer_u32(answer, 0);
	if (ops->lies && !handle->lied)
		count = put_lies(answer);
	handle->lied = true;
	if (ops->lists != PEER_LISTS_TRULY) {
		codec_put_u32(count_at, put_without_end(ops, answer));
		return;
	}
	while (count < NAMES_A_TIME && (entry = readdir(handle->dir))) {
		if (fstatat(dirfd(handle->dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		writer_string(answer, entry->d_name, strlen(entry->d_name));
		writer_string(answer, "long name", 9);
		put_stat(answer, &st);
		count++;
	}
	codec_put_u32(count_at, count);
	if (!count) {
		answer->at = answer->start;
		put_status(answer, id, FX_EOF);
	}
}

static void do_handle(struct peer_ops *ops, uint8_t type, uint32_t id, struct reader *body, struct writer *answer)
{
	struct peer_handle *handle = read_handle(ops, body);
	struct sftp_attrs attrs;
	struct stat st;

	if (!handle || (type == FXP_READDIR) != !!handle->dir) {
		if (handle && type == FXP_CLOSE) {
			drop_handle(ops, handle);
			put_status(answer, id, FX_OK);
			return;
		}
		put_status(answer, id, FX_FAILURE);
		return;
	}
	switch (type) {
	case FXP_CLOSE:
		drop_handle(ops, handle);
		put_status(answer, id, FX_OK);
		break;
	case FXP_READ:
		do_read(ops, id, handle, body, answer);
		break;
	case FXP_WRITE:
		do_write(id, handle, body, answer);
		break;
	case FXP_FSTAT:
		put_attrs(answer, id, fstat(handle->fd, &st), &st);
		break;
	case FXP_READDIR:
		do_readdir(ops, id, handle, answer);
		break;
	default:	/* FXP_FSETSTAT */
		reader_attrs(body, &attrs);
		put_result(answer, id, set_attrs(NULL, handle->fd, &attrs, false));
	}
}

/* ---- extensions ---- */

static void do_limits(const struct peer_ops *ops, uint32_t id, struct writer *answer)
{
	writer_u8(answer, FXP_EXTENDED_REPLY);
	writer_u32(answer, id);
	writer_u64(answer, 256 * 1024);
	writer_u64(answer, ops->limit);
	writer_u64(answer, ops->limit);
	writer_u64(answer, PEER_HANDLES);
}

static void do_statvfs(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	char path[PATH_MAX];
	struct statvfs st;

	read_path(ops, body, path);
	if (statvfs(path, &st)) {
		put_result(answer, id, -1);
		return;
	}
	writer_u8(answer, FXP_EXTENDED_REPLY);
	writer_u32(answer, id);
	writer_u64(answer, st.f_bsize);
	writer_u64(answer, st.f_frsize);
	writer_u64(answer, st.f_blocks);
	writer_u64(answer, st.f_bfree);
	writer_u64(answer, st.f_bavail);
	writer_u64(answer, st.f_files);
	writer_u64(answer, st.f_ffree);
	writer_u64(answer, st.f_favail);
	writer_u64(answer, st.f_fsid);
	writer_u64(answer, 0);
	writer_u64(answer, st.f_namemax);
}

static void do_copy(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	struct peer_handle *from = read_handle(ops, body), *to;
	off_t from_offset = (off_t)reader_u64(body), to_offset;
	uint64_t left = reader_u64(body);
	ssize_t n = 0;

	to = read_handle(ops, body);
	to_offset = (off_t)reader_u64(body);
	if (!from || !to) {
		put_status(answer, id, FX_FAILURE);
		return;
	}
	while (left && (n = copy_file_range(from->fd, &from_offset, to->fd, &to_offset, left, 0)) > 0)
		left -= (uint64_t)n;
	put_status(answer, id, n < 0 ? status_of(errno) : left ? FX_EOF : FX_OK);
}

static void do_extended(struct peer_ops *ops, uint32_t id, struct reader *body, struct writer *answer)
{
	struct peer_handle *handle;
	struct sftp_attrs attrs;
	char path[PATH_MAX], name[PATH_MAX];

	read_text(body, name);
	if (!strcmp(name, EXT_LIMITS)) {
		do_limits(ops, id, answer);
	} else if (!strcmp(name, EXT_POSIX_RENAME)) {
		do_two(ops, id, body, answer, rename, false);
	} else if (!strcmp(name, EXT_HARDLINK)) {
		do_two(ops, id, body, answer, link, false);
	} else if (!strcmp(name, EXT_STATVFS)) {
		do_statvfs(ops, id, body, answer);
	} else if (!strcmp(name, EXT_COPY_DATA)) {
		do_copy(ops, id, body, answer);
	} else if (!strcmp(name, EXT_FSYNC)) {
		handle = read_handle(ops, body);
		put_status(answer, id, handle && !fsync(handle->fd) ? FX_OK : FX_FAILURE);
	} else if (!strcmp(name, EXT_LSETSTAT)) {
		read_path(ops, body, path);
		reader_attrs(body, &attrs);
		put_result(answer, id, set_attrs(path, -1, &attrs, true));
	} else {
		put_status(answer, id, FX_OP_UNSUPPORTED);
	}
}

void peer_carry_out(struct peer_ops *ops, uint8_t type, uint32_t id, struct reader *body, struct writer *answer)
{
	switch (type) {
	case FXP_OPEN:
		do_open(ops, id, body, answer);
		break;
	case FXP_OPENDIR:
		do_opendir(ops, id, body, answer);
		break;
	case FXP_READLINK:
		do_readlink(ops, id, body, answer);
		break;
	case FXP_SYMLINK:
		do_symlink(ops, id, body, answer);
		break;
	case FXP_RENAME:
		do_two(ops, id, body, answer, rename, true);
		break;
	case FXP_EXTENDED:
		do_extended(ops, id, body, answer);
		break;
	case FXP_CLOSE: case FXP_READ: case FXP_WRITE: case FXP_FSTAT: case FXP_FSETSTAT: case FXP_READDIR:
		do_handle(ops, type, id, body, answer);
		break;
	case FXP_LSTAT: case FXP_STAT: case FXP_REMOVE: case FXP_RMDIR: case FXP_REALPATH: case FXP_MKDIR: case FXP_SETSTAT:
		do_path(ops, type, id, body, answer);
		break;
	default:
		put_status(answer, id, FX_OP_UNSUPPORTED);
	}
}
