/*
 * mountpoint: see mountpoint.h.
 */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mountinfo.h"

/* Is a FUSE filesystem mounted exactly there? */
static bool is_fuse_mount(const char *path)
{
	struct mountinfo info;

	return mountinfo_find(path, &info) && !strncmp(info.type, "fuse", 4);
}

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool empty = true;

	while (dir && empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	if (dir)
		closedir(dir);
	return empty;
}

static int refuse(const char *path, int error, struct buf *why)
{
	if (error == -ENOENT)
		buf_addf(why, "mountpoint %s: no such directory; make it first: mkdir %s", path, path);
	else if (error == -ENOTCONN || error == -EIO)
		buf_addf(why, "mountpoint %s: a mount whose program has died is still there; first: fusermount3 -u %s", path, path);
	else if (error == -EBUSY)
		buf_addf(why, "mountpoint %s: something is mounted there already; first: fusermount3 -u %s", path, path);
	else if (error == -ENOTDIR)
		buf_addf(why, "mountpoint %s: not a directory", path);
	else if (error == -ENOTEMPTY)
		buf_addf(why, "mountpoint %s: not empty; take an empty directory, or -o nonempty to hide what is in it", path);
	else
		buf_addf(why, "mountpoint %s: %s", path, log_strerror(error));
	return error;
}

int mountpoint_check(const char *path, bool may_hold_files, char **ret_path, struct buf *why)
{
	char *absolute = realpath(path, NULL);
	struct stat st;
	int error;

	if (!absolute)
		return refuse(path, -errno, why);
	if (is_fuse_mount(absolute))
		error = stat(absolute, &st) && errno == ENOTCONN ? -ENOTCONN : -EBUSY;
	else if (stat(absolute, &st))
		error = -errno;
	else if (!S_ISDIR(st.st_mode))
		error = -ENOTDIR;
	else
		error = may_hold_files || is_empty(absolute) ? 0 : -ENOTEMPTY;
	if (error) {
		free(absolute);
		return refuse(path, error, why);
	}
	*ret_path = absolute;
	return 0;
}
