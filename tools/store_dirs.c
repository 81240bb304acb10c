/*
 * store_dirs: plain system calls, which a mount carries to the disk as they are.
 */
#include "tools/store_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/qconf.h"
#include "tools/names.h"

#define DONE_DIRS 256

static const char *const top_dirs[] = { "nodes", "claims", "done", "failed", "redo", "log", "tmp", NULL };

static int say(int error, const char *what, const char *path, struct buf *why)
{
	buf_addf(why, "can't %s %s: %s", what, path, log_strerror(error));
	return error;
}

static int make_dir(void *arg, const char *path)
{
	(void)arg;
	return mkdir(path, 0777) < 0 && errno != EEXIST ? -errno : 0;
}

/* Which of the many failed is of no interest; why is asked again of the first. */
static int make_done_dirs(const char *dir, struct buf *why)
{
	struct names names = NAMES_INIT;
	struct buf path = BUF_INIT;
	int i, error = 0;

	for (i = 0; !error && i < DONE_DIRS; i++) {
		buf_reset(&path);
		buf_addf(&path, "%s/" QCONF_DIR "/done/%02x", dir, i);
		error = buf_error(&path) ? buf_error(&path) : names_add(&names, buf_text(&path));
	}
	if (!error && names_each(&names, make_dir, NULL) > 0)
		for (i = 0; !error && i < DONE_DIRS; i++)
			if ((error = make_dir(NULL, names.list[i])))
				say(error, "make", names.list[i], why);
	names_release(&names);
	buf_release(&path);
	return error;
}

int store_dirs_make(const char *dir, struct buf *why)
{
	struct buf path = BUF_INIT;
	int i, error;

	buf_addf(&path, "%s/" QCONF_DIR, dir);
	error = buf_error(&path) ? buf_error(&path) : make_dir(NULL, buf_text(&path));
	for (i = 0; !error && top_dirs[i]; i++) {
		buf_reset(&path);
		buf_addf(&path, "%s/" QCONF_DIR "/%s", dir, top_dirs[i]);
		error = buf_error(&path) ? buf_error(&path) : make_dir(NULL, buf_text(&path));
	}
	if (error)
		say(error, "make", buf_text(&path), why);
	else
		error = make_done_dirs(dir, why);
	buf_release(&path);
	return error;
}

static void remove_dir(const char *dir, const char *name)
{
	struct buf path = BUF_INIT;

	buf_addf(&path, "%s/" QCONF_DIR "%s", dir, name);
	if (!buf_error(&path))
		rmdir(buf_text(&path));
	buf_release(&path);
}

void store_dirs_unmake(const char *dir)
{
	char name[16];
	int i;

	for (i = 0; i < DONE_DIRS; i++) {
		snprintf(name, sizeof(name), "/done/%02x", i);
		remove_dir(dir, name);
	}
	for (i = 0; top_dirs[i]; i++) {
		snprintf(name, sizeof(name), "/%s", top_dirs[i]);
		remove_dir(dir, name);
	}
	remove_dir(dir, "");
}

/* A name in tmp/ that no other init uses. */
static int tmp_path(const char *dir, struct buf *ret_path)
{
	buf_addf(ret_path, "%s/" QCONF_DIR "/tmp/init.%016llx", dir, (unsigned long long)clock_random());
	return buf_error(ret_path);
}

static int put_file(const char *path, const char *text, size_t len, struct buf *why)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), error;

	if (fd < 0)
		return say(-errno, "make", path, why);
	error = io_write_all(fd, text, len);
	if (!error && fsync(fd) < 0)
		error = -errno;
	if (close(fd) < 0 && !error)
		error = -errno;
	return error ? say(error, "write", path, why) : 0;
}

int store_dirs_try_link(const char *dir, struct buf *why)
{
	struct buf path = BUF_INIT, other = BUF_INIT;
	int error = tmp_path(dir, &path);

	if (!error)
		error = tmp_path(dir, &other);
	if (!error)
		error = put_file(buf_text(&path), "", 0, why);
	if (!error) {
		if (link(buf_text(&path), buf_text(&other)) < 0) {
			error = -errno;
			buf_addf(why, "the disk of %s makes no hard links (%s), and a claim is one: use another disk or filesystem", dir,
				 log_strerror(error));
		}
		unlink(buf_text(&other));
		unlink(buf_text(&path));
	}
	buf_release(&path);
	buf_release(&other);
	return error;
}

int store_dirs_put_conf(const char *dir, const char *text, size_t len, struct buf *why)
{
	struct buf tmp = BUF_INIT, path = BUF_INIT;
	int error = tmp_path(dir, &tmp);

	buf_addf(&path, "%s/" QCONF_PATH, dir);
	if (!error)
		error = buf_error(&path);
	if (!error)
		error = put_file(buf_text(&tmp), text, len, why);
	if (!error && link(buf_text(&tmp), buf_text(&path)) < 0) {
		error = -errno;
		if (error != -EEXIST)
			say(error, "make", buf_text(&path), why);
	}
	if (tmp.len > 0)
		unlink(buf_text(&tmp));
	buf_release(&tmp);
	buf_release(&path);
	return error;
}
