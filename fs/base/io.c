/*
 * io: whole reads and writes; the only place that deals with EINTR and short counts.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define IO_CHUNK 65536

/* A descriptor that does not block is waited for: the caller asked for the whole. */
static int io_wait(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int io_write_all(int fd, const void *data, size_t len)
{
	const char *next = data;
	int error;

	while (len) {
		ssize_t count = write(fd, next, len);

		if (count >= 0) {
			next += count;
			len -= (size_t)count;
		} else if (errno == EAGAIN) {
			error = io_wait(fd, POLLOUT);
			if (error)
				return error;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

ssize_t io_read_full(int fd, void *data, size_t len)
{
	size_t done = 0;
	int error;

	while (done < len) {
		ssize_t count = read(fd, (char *)data + done, len - done);

		if (count > 0) {
			done += (size_t)count;
		} else if (!count) {
			break;
		} else if (errno == EAGAIN) {
			error = io_wait(fd, POLLIN);
			if (error)
				return error;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return (ssize_t)done;
}

/* Reads to the end, whatever size stat would have claimed: virtual files lie about theirs. */
static int io_read_fd(int fd, size_t max, struct buf *ret)
{
	for (;;) {
		ssize_t count;
		int error;

		error = buf_reserve(ret, IO_CHUNK);
		if (error)
			return error;
		count = io_read_full(fd, ret->data + ret->len, IO_CHUNK);
		if (count < 0)
			return (int)count;
		ret->len += (size_t)count;
		ret->data[ret->len] = '\0';
		if (ret->len > max)
			return -EFBIG;
		if (count < IO_CHUNK)
			return 0;
	}
}

int io_read_file(const char *path, size_t max, struct buf *ret)
{
	struct buf text = BUF_INIT;
	int error, fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = io_read_fd(fd, max, &text);
	io_close(&fd);
	if (!error) {
		buf_add(ret, text.data, text.len);
		error = buf_error(ret);
	}
	buf_release(&text);
	return error;
}

/* A name of its own beside `path`: hidden, and in the shape that queues skip. */
static int io_temporary_name(const char *path, struct buf *ret)
{
	const char *slash = strrchr(path, '/');

	if (slash)
		buf_add(ret, path, (size_t)(slash - path) + 1);
	buf_addf(ret, ".claimfs-%016" PRIx64 ".tmp", clock_random());
	return buf_error(ret);
}

int io_write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	struct buf name = BUF_INIT;
	int error, fd = -1;

	error = io_temporary_name(path, &name);
	if (error)
		goto out;
	fd = open(buf_text(&name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0) {
		error = -errno;
		goto out;
	}
	error = io_write_all(fd, data, len);
	if (!error && fsync(fd))
		error = -errno;
	if (close(fd) && !error)	/* where a remote disk says that it is full */
		error = -errno;
	if (!error && rename(buf_text(&name), path))
		error = -errno;
	if (error)
		unlink(buf_text(&name));
out:
	buf_release(&name);
	return error;
}

static int io_mkdir_one(const char *path, mode_t mode)
{
	struct stat st;
	int error;

	if (!mkdir(path, mode))
		return 0;
	error = errno;
	/* Not only EEXIST: a read-only file system may say EROFS of a directory that is there. */
	if (!stat(path, &st))
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return -error;
}

int io_mkdirs(const char *path, mode_t mode)
{
	char *copy, *slash;
	int error = 0;

	if (!*path)
		return -ENOENT;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (slash = strchr(copy + 1, '/'); slash && !error; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		error = io_mkdir_one(copy, mode);
		*slash = '/';
	}
	if (!error)
		error = io_mkdir_one(copy, mode);
	free(copy);
	return error;
}

int io_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK))
		return -errno;
	return 0;
}

int io_set_cloexec(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) ? -errno : 0;
}

void io_close(int *fd)
{
	int saved = errno;

	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int io_wake_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

/* A full counter (EAGAIN) is a wake-up that nobody has seen yet: as good as ours. */
void io_wake(int fd)
{
	uint64_t one = 1;
	int saved = errno;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
	errno = saved;
}

void io_wake_clear(int fd)
{
	uint64_t count;
	int saved = errno;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
	errno = saved;
}
