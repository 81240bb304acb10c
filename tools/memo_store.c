/*
 * memo_store: plain files, links and times: what every POSIX disk keeps atomic.
 */
#include "tools/memo_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define MEMO_HEAD_BYTES 64
#define MEMO_MAX_BYTES (1u << 30)
#define MEMO_STALE_NS (6 * MEMO_BEAT_NS)	/* a mark that did not move for so long is nobody's */
#define MEMO_READ_BYTES (256u << 10)

/* ---- the key ---- */

static void update_length(struct hash_stream *stream, char kind, uint64_t len)
{
	char text[32];
	int count = snprintf(text, sizeof(text), "%c%llu:", kind, (unsigned long long)len);

	hash_stream_update(stream, text, (size_t)count);
}

/* The length comes after the bytes: it is not known before they are read. */
static int update_file(struct hash_stream *stream, const char *path)
{
	char *data = malloc(MEMO_READ_BYTES);
	int fd = data ? open(path, O_RDONLY | O_CLOEXEC) : -1, error = 0;
	uint64_t total = 0;
	ssize_t len;

	if (fd < 0) {
		error = data ? -errno : -ENOMEM;
		free(data);
		return error;
	}
	while ((len = io_read_full(fd, data, MEMO_READ_BYTES)) > 0) {
		hash_stream_update(stream, data, (size_t)len);
		total += (uint64_t)len;
	}
	update_length(stream, 'f', total);
	close(fd);
	free(data);
	return len < 0 ? (int)len : 0;
}

int memo_key(char *const *command, char *const *files, size_t file_count, struct hash128 *ret_key, struct buf *why)
{
	struct hash_stream *stream = hash_stream_new();
	struct hash128 key;
	int error = 0;
	size_t i;

	if (!stream)
		return -ENOMEM;
	for (i = 0; command[i]; i++) {
		hash_stream_update(stream, command[i], strlen(command[i]));
		update_length(stream, 'w', strlen(command[i]));
	}
	update_length(stream, 'n', file_count);
	for (i = 0; !error && i < file_count; i++) {
		error = update_file(stream, files[i]);
		if (error)
			buf_adds(why, files[i]);
	}
	key = hash_stream_end(stream);
	if (!error)
		*ret_key = key;
	return error;
}

/* ---- places ---- */

int memo_place_init(struct memo_place *place, const char *store, const struct hash128 *key)
{
	char hex[HASH_HEX_LEN + 1];
	struct buf dir = BUF_INIT;
	int error;

	buf_init(&place->result);
	buf_init(&place->running);
	hash128_hex(key, hex);
	buf_addf(&dir, "%s/%.2s", store, hex);
	buf_addf(&place->result, "%s/%.2s/%s", store, hex, hex);
	buf_addf(&place->running, "%s/%.2s/%s.run", store, hex, hex);
	error = buf_error(&dir) ? buf_error(&dir) : buf_error(&place->result);
	if (!error)
		error = buf_error(&place->running);
	if (!error)
		error = io_mkdirs(buf_text(&dir), 0777);
	buf_release(&dir);
	if (error)
		memo_place_release(place);
	return error;
}

void memo_place_release(struct memo_place *place)
{
	buf_release(&place->result);
	buf_release(&place->running);
}

/* ---- results ---- */

static int parse_head(const struct buf *text, int *ret_status, size_t *ret_head)
{
	const char *newline = text->len ? memchr(text->data, '\n', text->len < MEMO_HEAD_BYTES ? text->len : MEMO_HEAD_BYTES) : NULL;
	unsigned long long len;
	unsigned int status;
	int used = 0;

	if (!newline || sscanf(text->data, "memo 1 %u %llu%n", &status, &len, &used) != 2)
		return -ENOENT;
	if (text->data + used != newline || status > 255 || len != text->len - (size_t)(newline + 1 - text->data))
		return -ENOENT;
	*ret_status = (int)status;
	*ret_head = (size_t)(newline + 1 - text->data);
	return 0;
}

int memo_read(const struct memo_place *place, int *ret_status, struct buf *ret_output)
{
	size_t head;
	int error;

	buf_reset(ret_output);
	error = io_read_file(buf_text(&place->result), MEMO_MAX_BYTES, ret_output);
	if (!error)
		error = parse_head(ret_output, ret_status, &head);
	if (!error)
		buf_drop(ret_output, head);
	return error;
}

static int write_whole(const char *path, int status, const void *output, size_t len)
{
	char head[MEMO_HEAD_BYTES];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), count, error;

	if (fd < 0)
		return -errno;
	count = snprintf(head, sizeof(head), "memo 1 %d %zu\n", status, len);
	error = io_write_all(fd, head, (size_t)count);
	if (!error)
		error = io_write_all(fd, output, len);
	if (!error && fsync(fd) < 0)
		error = -errno;
	if (close(fd) < 0 && !error)
		error = -errno;
	return error;
}

int memo_write(const struct memo_place *place, int status, const void *output, size_t len, bool replace)
{
	struct buf tmp = BUF_INIT;
	int error;

	buf_addf(&tmp, "%s.%016llx.tmp", buf_text(&place->result), (unsigned long long)clock_random());
	error = buf_error(&tmp) ? buf_error(&tmp) : write_whole(buf_text(&tmp), status, output, len);
	if (!error && (replace ? rename : link)(buf_text(&tmp), buf_text(&place->result)) < 0)
		error = -errno;
	if (tmp.len > 0)
		unlink(buf_text(&tmp));
	buf_release(&tmp);
	return error;
}

/* ---- who computes ---- */

/* By our own clock: the mark stands still while we watch. */
static bool is_stale(const struct memo_place *place, struct memo_watch *watch)
{
	struct stat st;
	int64_t mtime, now = clock_now();

	if (stat(buf_text(&place->running), &st) < 0)
		return false;
	mtime = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	if (!watch->seen || watch->mtime_ns != mtime) {
		*watch = (struct memo_watch){ .mtime_ns = mtime, .since_ns = now, .seen = true };
		return false;
	}
	return now - watch->since_ns > MEMO_STALE_NS;
}

int memo_begin(const struct memo_place *place, struct memo_watch *watch)
{
	int fd = open(buf_text(&place->running), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno != EEXIST)
		return -errno;
	if (is_stale(place, watch)) {
		unlink(buf_text(&place->running));
		watch->seen = false;
	}
	return -EBUSY;
}

void memo_beat(const struct memo_place *place)
{
	utimensat(AT_FDCWD, buf_text(&place->running), NULL, 0);
}

void memo_end(const struct memo_place *place)
{
	unlink(buf_text(&place->running));
}
