/*
 * cgroup: a group is ours to make others in where it was delegated: it belongs to a user who isn't root, systemd marks it (user.delegate, or
 * trusted.delegate of old), or it is the root of a container's.
 */
#include "base/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "base/keyed.h"
#include "base/log.h"

#define MAX_FILE 65536

static int read_file(const char *dir, const char *name, struct buf *ret_text)
{
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s/%s", dir, name);
	error = buf_error(&path) ? buf_error(&path) : io_read_file(buf_text(&path), MAX_FILE, ret_text);
	buf_release(&path);
	return error;
}

/* The path behind "0::" stands for v2; the others are hierarchies of v1. */
static int own_path(const char *self, struct buf *ret_path)
{
	struct buf text = BUF_INIT;
	const char *line;
	int error = io_read_file(self, MAX_FILE, &text);

	for (line = buf_text(&text); !error && strncmp(line, "0::/", 4) != 0; line++) {
		line = strchr(line, '\n');
		if (!line) {
			error = -ENOENT;
			break;
		}
	}
	if (!error)
		buf_add(ret_path, line + 3, strcspn(line + 3, "\n"));
	buf_release(&text);
	return error ? -ENOENT : buf_error(ret_path);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; *text; text += strspn(text, " \n")) {
		size_t here = strcspn(text, " \n");

		if (here == len && memcmp(text, word, len) == 0)
			return true;
		text += here;
	}
	return false;
}

/* It, or one above it: what is delegated is so with all below. */
static bool is_marked(const char *dir, const char *root)
{
	struct buf at = BUF_INIT;
	bool marked = false;
	char value;

	buf_adds(&at, dir);
	while (!buf_error(&at) && !marked && at.len > strlen(root)) {
		marked = (getxattr(buf_text(&at), "user.delegate", &value, 1) == 1 || getxattr(buf_text(&at), "trusted.delegate", &value, 1) == 1) &&
			 value == '1';
		buf_truncate(&at, (size_t)(strrchr(at.data, '/') - at.data));
	}
	buf_release(&at);
	return marked;
}

static bool is_delegated(const char *dir, const char *root, const char *path)
{
	struct buf procs = BUF_INIT;
	bool writable;

	buf_addf(&procs, "%s/cgroup.procs", dir);
	writable = !buf_error(&procs) && access(dir, W_OK) == 0 && access(buf_text(&procs), W_OK) == 0;
	buf_release(&procs);
	return writable && (geteuid() != 0 || strcmp(path, "/") == 0 || is_marked(dir, root));
}

/* None but this process, and, where it is asked once more, what it has put aside. */
static bool is_alone(const char *dir)
{
	struct buf text = BUF_INIT;
	const char *line;
	char *end;
	bool alone = read_file(dir, "cgroup.procs", &text) == 0;

	for (line = buf_text(&text); alone && *line; line = *end ? end + 1 : end)
		alone = strtol(line, &end, 10) == getpid();
	buf_release(&text);
	return alone;
}

int cgroup_own(const char *root, const char *self, struct buf *ret_dir)
{
	struct buf path = BUF_INIT, dir = BUF_INIT, controllers = BUF_INIT;
	int error = own_path(self, &path);

	if (!error) {
		buf_addf(&dir, "%s%s", root, strcmp(buf_text(&path), "/") == 0 ? "" : buf_text(&path));
		error = buf_error(&dir);
	}
	if (!error && read_file(buf_text(&dir), "cgroup.controllers", &controllers) < 0)
		error = -ENOENT;
	if (!error && !has_word(buf_text(&controllers), "memory"))
		error = -ENOTSUP;
	if (!error && !is_delegated(buf_text(&dir), root, buf_text(&path)))
		error = -EACCES;
	if (!error && !is_alone(buf_text(&dir)))
		error = -EBUSY;
	if (!error) {
		buf_add(ret_dir, dir.data, dir.len);
		error = buf_error(ret_dir);
	}
	buf_release(&path);
	buf_release(&dir);
	buf_release(&controllers);
	return error;
}

const char *cgroup_why(int error)
{
	switch (error) {
	case -ENOENT: return "there is no cgroup v2 here";
	case -ENOTSUP: return "the cgroup has no memory controller";
	case -EACCES: return "the cgroup is not delegated to this process";
	case -EBUSY: return "other processes are in the cgroup";
	default: return log_strerror(error);
	}
}

int64_t cgroup_number(const char *dir, const char *name, const char *key)
{
	struct buf text = BUF_INIT;
	int64_t number = read_file(dir, name, &text) == 0 ? keyed_number(buf_text(&text), key) : -1;

	buf_release(&text);
	return number;
}

int cgroup_write(const char *dir, const char *name, const char *text)
{
	struct buf path = BUF_INIT;
	int fd, error;

	buf_addf(&path, "%s/%s", dir, name);
	fd = buf_error(&path) ? buf_error(&path) : open(buf_text(&path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	error = fd < 0 ? (buf_error(&path) ? fd : -errno) : 0;
	buf_release(&path);
	if (error)
		return error;
	error = io_write_all(fd, text, strlen(text));
	close(fd);
	return error;
}
