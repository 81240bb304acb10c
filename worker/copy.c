/*
 * copy: with copy_file_range where both ends allow it.
 */
#include "worker/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

#define COPY_BYTES (256u << 10)
#define COPY_RANGE_BYTES (64u << 20)

static int copy_by_hand(int from, int to)
{
	char *data = malloc(COPY_BYTES);
	ssize_t len;
	int error = data ? 0 : -ENOMEM;

	while (!error && (len = io_read_full(from, data, COPY_BYTES)) != 0)
		error = len < 0 ? (int)len : io_write_all(to, data, (size_t)len);
	free(data);
	return error;
}

static int copy_data(int from, int to)
{
	ssize_t len;

	do {
		len = copy_file_range(from, NULL, to, NULL, COPY_RANGE_BYTES, 0);
	} while (len > 0 || (len < 0 && errno == EINTR));
	if (len == 0)
		return 0;
	if (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
		return copy_by_hand(from, to);
	return -errno;
}

static int copy_file(const char *from, const char *to, mode_t mode)
{
	int in, out, error;

	in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode & 0777) | 0200);
	if (out < 0) {
		error = -errno;
		close(in);
		return error;
	}
	error = copy_data(in, out);
	close(in);
	if (close(out) < 0 && !error)
		error = -errno;
	return error;
}

/* One entry of the walk: `to` stands for the walk's top. */
static int copy_entry(const FTSENT *entry, size_t skip, const char *to)
{
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s%s", to, entry->fts_path + skip);
	error = buf_error(&path);
	if (error)
		goto out;
	switch (entry->fts_info) {
	case FTS_D:
		if (mkdir(buf_text(&path), (entry->fts_statp->st_mode & 0777) | 0700) < 0 && errno != EEXIST)
			error = -errno;
		break;
	case FTS_F:
		error = copy_file(entry->fts_path, buf_text(&path), entry->fts_statp->st_mode);
		break;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		error = entry->fts_errno ? -entry->fts_errno : -EIO;
		break;
	default:
		break;
	}
out:
	buf_release(&path);
	return error;
}

int copy_tree(const char *from, const char *to)
{
	char *const paths[] = { (char *)from, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int error = 0;

	if (!walk)
		return -errno;
	while (!error && (errno = 0, entry = fts_read(walk)))
		error = copy_entry(entry, strlen(from), to);
	if (!error && errno)
		error = -errno;
	fts_close(walk);
	return error;
}

void copy_remove(const char *path)
{
	char *const paths[] = { (char *)path, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	if (!walk)
		return;
	while ((entry = fts_read(walk))) {
		if (entry->fts_info == FTS_DP)
			rmdir(entry->fts_accpath);
		else if (entry->fts_info != FTS_D)
			unlink(entry->fts_accpath);
	}
	fts_close(walk);
}
