/*
 * outlog: the writer gathers in memory what one job wrote, up to a limit, so that a short job is one write.
 */
#include "base/outlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/pct.h"

#define OUTLOG_GATHER 65536		/* bytes kept in memory before they are written */
#define OUTLOG_MAX_INDEX (1u << 30)
#define OUTLOG_MAX_HEAD 24		/* "o LENGTH\n" */
#define OUTLOG_COPY_BYTES 65536
#define OUTLOG_RUNNING "running"
#define OUTLOG_SUFFIX_OUT ".out"
#define OUTLOG_SUFFIX_INDEX ".idx"

/* ---- writing ---- */

struct outlog {
	int out_fd;
	int index_fd;
	uint64_t written;	/* bytes in the .out file */
	uint64_t begun;		/* where the next units' frames begin */
	struct buf out;
	struct buf index;
	int error;
};

static int open_one(const char *dir, const char *name, const char *suffix)
{
	struct buf path = BUF_INIT;
	int fd;

	buf_addf(&path, "%s/%s%s", dir, name, suffix);
	fd = buf_error(&path) ? buf_error(&path) : open(buf_text(&path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd == -1)
		fd = -errno;
	buf_release(&path);
	return fd;
}

int outlog_new(const char *dir, const char *name, struct outlog **ret_log)
{
	struct outlog *log = calloc(1, sizeof(*log));
	struct stat st;
	int error = log ? io_mkdirs(dir, 0777) : -ENOMEM;

	if (error) {
		free(log);
		return error;
	}
	log->index_fd = -1;
	log->out_fd = open_one(dir, name, OUTLOG_SUFFIX_OUT);
	if (log->out_fd >= 0)
		log->index_fd = open_one(dir, name, OUTLOG_SUFFIX_INDEX);
	if (log->out_fd < 0 || log->index_fd < 0)
		error = log->out_fd < 0 ? log->out_fd : log->index_fd;
	else if (fstat(log->out_fd, &st) < 0)
		error = -errno;
	if (error) {
		outlog_free(log);
		return error;
	}
	log->written = log->begun = (uint64_t)st.st_size;
	*ret_log = log;
	return 0;
}

void outlog_free(struct outlog *log)
{
	if (!log)
		return;
	if (log->out_fd >= 0 && log->index_fd >= 0)
		outlog_flush(log);
	if (log->out_fd >= 0)
		close(log->out_fd);
	if (log->index_fd >= 0)
		close(log->index_fd);
	buf_release(&log->out);
	buf_release(&log->index);
	free(log);
}

static void write_out(struct outlog *log)
{
	int error = buf_error(&log->out);

	if (!error && log->out.len > 0)
		error = io_write_all(log->out_fd, log->out.data, log->out.len);
	log->written += log->out.len;
	buf_reset(&log->out);
	if (error && !log->error)
		log->error = error;
}

void outlog_begin(struct outlog *log)
{
	log->begun = log->written + log->out.len;
}

void outlog_add(struct outlog *log, char kind, const void *data, size_t len)
{
	buf_addf(&log->out, "%c %zu\n", kind, len);
	buf_add(&log->out, data, len);
	if (log->out.len >= OUTLOG_GATHER)
		write_out(log);
}

static void add_line(struct outlog *log, const char *unit, uint64_t end, int64_t time_ms, const char *how)
{
	buf_adds(&log->index, "1 ");
	pct_encode_value(&log->index, unit, strlen(unit));
	buf_addf(&log->index, " %" PRIu64 " %" PRIu64 " %" PRId64 " %s\n", log->begun, end, time_ms, how);
}

void outlog_running(struct outlog *log, const char *unit, int64_t time_ms)
{
	add_line(log, unit, log->begun, time_ms, OUTLOG_RUNNING);
}

void outlog_unit(struct outlog *log, const char *unit, int64_t time_ms, const char *how)
{
	add_line(log, unit, log->written + log->out.len, time_ms, how);
}

/* The frames first: a line is about what is there. */
int outlog_flush(struct outlog *log)
{
	int error;

	write_out(log);
	error = log->error ? log->error : buf_error(&log->index);
	if (!error && log->index.len > 0)
		error = io_write_all(log->index_fd, log->index.data, log->index.len);
	buf_reset(&log->index);
	log->error = 0;
	return error;
}

/* ---- reading ---- */

static int parse_u64(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || end == text || *end || *text == '-' ? -EINVAL : 0;
}

int outlog_parse(char *line, const char **ret_unit, struct outlog_entry *ret_entry)
{
	char *word[7], *save = NULL;
	uint64_t time_ms;
	int count = 0;

	word[0] = strtok_r(line, " ", &save);
	while (word[count] && count < 6)
		word[++count] = strtok_r(NULL, " ", &save);
	if (count != 6 || word[6] || strcmp(word[0], "1") != 0 || pct_decode(word[1]) < 0)
		return -EINVAL;
	if (parse_u64(word[2], &ret_entry->begin) < 0 || parse_u64(word[3], &ret_entry->end) < 0 || parse_u64(word[4], &time_ms) < 0 ||
	    ret_entry->end < ret_entry->begin)
		return -EINVAL;
	ret_entry->time_ms = (int64_t)time_ms;
	ret_entry->how = word[5];
	ret_entry->running = strcmp(word[5], OUTLOG_RUNNING) == 0;
	*ret_unit = word[1];
	return 0;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), want = strlen(suffix);

	return len > want && strcmp(name + len - want, suffix) == 0;
}

/* `text` is an index whole; lines are changed. A job that runs is told last: no line after its own says that it, or a later one, has ended. */
static int search(struct buf *text, const char *out_path, const char *unit, outlog_found *found, void *arg)
{
	char *line = text->data, *newline, *end = line + text->len;
	struct outlog_entry entry = { .path = out_path }, running = { 0 };
	const char *name;
	int result = 0;

	for (; !result && line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			break;
		*newline = '\0';
		if (outlog_parse(line, &name, &entry) < 0)
			continue;
		if (!entry.running && entry.begin >= running.begin)
			running.running = false;
		if (strcmp(name, unit) != 0)
			continue;
		if (entry.running)
			running = entry;
		else
			result = found(arg, &entry);
	}
	return !result && running.running ? found(arg, &running) : result;
}

static int search_file(const char *dir, const char *name, const char *unit, outlog_found *found, void *arg)
{
	struct buf path = BUF_INIT, text = BUF_INIT;
	int result;

	buf_addf(&path, "%s/%s", dir, name);
	result = buf_error(&path) ? buf_error(&path) : io_read_file(buf_text(&path), OUTLOG_MAX_INDEX, &text);
	if (!result && text.len > 0) {
		buf_truncate(&path, path.len - strlen(OUTLOG_SUFFIX_INDEX));
		buf_adds(&path, OUTLOG_SUFFIX_OUT);
		result = buf_error(&path) ? buf_error(&path) : search(&text, buf_text(&path), unit, found, arg);
	}
	buf_release(&path);
	buf_release(&text);
	return result;
}

int outlog_find(const char *dir, const char *unit, outlog_found *found, void *arg)
{
	DIR *listing = opendir(dir);
	struct dirent *entry;
	int result = 0;

	if (!listing)
		return -errno;
	while (!result && (errno = 0, entry = readdir(listing)))
		if (ends_with(entry->d_name, OUTLOG_SUFFIX_INDEX))
			result = search_file(dir, entry->d_name, unit, found, arg);
	if (!result && errno)
		result = -errno;
	closedir(listing);
	return result;
}

/* A frame's head at `at`: its length; the number of bytes of the head in *ret_head. */
static int read_head(int fd, uint64_t at, uint64_t end, char *ret_kind, uint64_t *ret_len, uint64_t *ret_head)
{
	char head[OUTLOG_MAX_HEAD + 1], *newline;
	size_t want = end - at < OUTLOG_MAX_HEAD ? (size_t)(end - at) : OUTLOG_MAX_HEAD;
	ssize_t got = pread(fd, head, want, (off_t)at);

	if (got < 0)
		return -errno;
	head[got] = '\0';
	newline = memchr(head, '\n', (size_t)got);
	if (!newline || (head[0] != OUTLOG_OUTPUT && head[0] != OUTLOG_ERROR) || head[1] != ' ')
		return -EINVAL;
	*newline = '\0';
	*ret_kind = head[0];
	*ret_head = (uint64_t)(newline + 1 - head);
	return parse_u64(head + 2, ret_len);
}

static int copy_bytes(int from, uint64_t at, uint64_t len, int to)
{
	char data[OUTLOG_COPY_BYTES];
	int error = 0;

	while (!error && len > 0) {
		ssize_t got = pread(from, data, len < sizeof(data) ? (size_t)len : sizeof(data), (off_t)at);

		if (got <= 0)
			return got < 0 ? -errno : -EINVAL;
		error = to >= 0 ? io_write_all(to, data, (size_t)got) : 0;
		at += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return error;
}

/* The frame at *at, which is moved behind it. Of what goes to the end of the file, `end`, the last frame may be cut off. */
static int copy_frame(int fd, bool running, uint64_t end, uint64_t *at, int out_fd, int err_fd)
{
	uint64_t len = 0, head = 0, left;
	char kind = 0;
	int error = read_head(fd, *at, end, &kind, &len, &head);

	if (error == -EINVAL && running && end - *at < OUTLOG_MAX_HEAD) {
		*at = end;
		return 0;
	}
	left = error ? 0 : end - *at - head;
	if (!error && len > left) {
		error = running ? 0 : -EINVAL;
		len = left;
	}
	if (!error)
		error = copy_bytes(fd, *at + head, len, kind == OUTLOG_OUTPUT ? out_fd : err_fd);
	*at += head + len;
	return error;
}

int outlog_copy(const struct outlog_entry *entry, int out_fd, int err_fd)
{
	int fd = open(entry->path, O_RDONLY | O_CLOEXEC), error = 0;
	uint64_t at = entry->begin, end = entry->end;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (entry->running && fstat(fd, &st) < 0)
		error = -errno;
	else if (entry->running)
		end = (uint64_t)st.st_size;
	while (!error && at < end)
		error = copy_frame(fd, entry->running, end, &at, out_fd, err_fd);
	close(fd);
	return error;
}
