/*
 * site: opens queues for commands.
 */
#include "tools/site.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"

static const char *describe(int error)
{
	return error == -ENOTCONN || error == -ECONNABORTED ? "the mount is gone: mount it again with claimfs" : log_strerror(error);
}

int site_read_conf(const char *dir, struct qconf *ret_conf, struct buf *why)
{
	struct buf file = BUF_INIT, text = BUF_INIT;
	struct qconf conf = { 0 };
	int error;

	buf_addf(&file, "%s/" QCONF_PATH, dir);
	error = buf_error(&file);
	if (!error)
		error = io_read_file(buf_text(&file), QCONF_MAX_BYTES, &text);
	if (error == -ENOENT || error == -ENOTDIR)
		error = -ENOENT;
	else if (error)
		buf_addf(why, "can't read %s: %s", buf_text(&file), describe(error));
	else if ((error = qconf_init(&conf)) == 0)
		error = qconf_parse(&conf, buf_text(&file), buf_text(&text), text.len, why);
	buf_release(&file);
	buf_release(&text);
	if (!error)
		*ret_conf = conf;
	return error;
}

/* Only a mount shows `progress`. */
static int check_mount(const char *command, const char *dir)
{
	struct buf path = BUF_INIT;
	struct stat st;
	int error;

	buf_addf(&path, "%s/progress", dir);
	error = buf_error(&path);
	if (!error && stat(buf_text(&path), &st) < 0)
		error = -errno;
	if (error == -ENOENT)
		log_error("%s: %s is a queue, but not seen through claimfs: mount it (claimfs %s MOUNTPOINT, or claimfs HOST:DIR MOUNTPOINT) and "
			  "name the mounted one", command, dir, dir);
	else if (error)
		log_error("%s: can't look at %s: %s", command, buf_text(&path), describe(error));
	buf_release(&path);
	return error;
}

int site_open(const char *command, const char *dir, struct site *ret_site)
{
	struct site site = { .dir = dir };
	struct buf why = BUF_INIT;
	int error = site_read_conf(dir, &site.conf, &why);

	if (error == -ENOENT && why.len == 0)
		log_error("%s: %s is no queue: `claimctl init %s' makes one", command, dir, dir);
	else if (error)
		log_error("%s: %s", command, why.len > 0 ? buf_text(&why) : log_strerror(error));
	buf_release(&why);
	if (error)
		return error;
	error = check_mount(command, dir);
	if (error)
		site_release(&site);
	else
		*ret_site = site;
	return error;
}

void site_release(struct site *site)
{
	qconf_release(&site->conf);
}
