/*
 * mountpoint: see mountpoint.h. What is mounted is read from /proc/self/mountinfo (proc(5)), so that a dead mount is not asked anything.
 */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

/* "\040" is a space: undone in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int byte;

		if (*text == '\\' && strspn(text + 1, "01234567") >= 3 && sscanf(text + 1, "%3o", &byte) == 1) {
			*to++ = (char)byte;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* Is a FUSE filesystem mounted exactly there? */
static bool is_fuse_mount(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *type;
	size_t room = 0;
	bool found = false;

	while (file && !found && getline(&line, &room, file) > 0) {
		char *fields = line, *where = NULL;
		int i;

		for (i = 0; i < 5 && fields; i++)	/* the fifth: where */
			where = strsep(&fields, " ");
		type = fields ? strstr(fields, " - ") : NULL;
		if (!where || !type || strncmp(type + 3, "fuse", 4))
			continue;
		unescape(where);
		found = !strcmp(where, path);
	}
	free(line);
	if (file)
		fclose(file);
	return found;
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
