/*
 * io: whole reads and writes on descriptors and local files; EINTR and short counts are dealt with here and nowhere else.
 */
#ifndef CLAIMFS_BASE_IO_H
#define CLAIMFS_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

int io_write_all(int fd, const void *data, size_t len);		/* 0 or -errno */
ssize_t io_read_full(int fd, void *data, size_t len);		/* bytes read, short only at end of file; or -errno */

/* The whole file into `ret`, at most `max` bytes (-EFBIG beyond). */
int io_read_file(const char *path, size_t max, struct buf *ret);

/* Writes a temporary file beside `path`, fsyncs it and renames it over `path`: readers see the old or the new, never a part. */
int io_write_file(const char *path, const void *data, size_t len, mode_t mode);

int io_mkdirs(const char *path, mode_t mode);			/* like mkdir -p */
int io_set_nonblock(int fd, bool on);
int io_set_cloexec(int fd);
void io_close(int *fd);						/* closes unless -1, sets to -1, keeps errno */

/* A wake-up: an eventfd written by any thread, polled by one. */
int io_wake_new(void);			/* descriptor or -errno */
void io_wake(int fd);
void io_wake_clear(int fd);

#endif
