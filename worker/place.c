/*
 * place: checks that QUEUE is what the worker can work on, and says what is missing.
 */
#include "worker/place.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"

void place_release(struct place *place)
{
	free(place->queue);
	free(place->input);
	qconf_release(&place->conf);
	memset(place, 0, sizeof(*place));
}

const char *place_advice(int error)
{
	switch (error) {
	case -ENOTCONN:
	case -ECONNABORTED:
	case -ENODEV:
		return "the mount is gone: mount it again with claimfs";
	case -ETIMEDOUT:
		return "the storage host does not answer";
	default:
		return NULL;
	}
}

static int refuse(int error, const char *what, const char *path, struct buf *why)
{
	const char *advice = place_advice(error);

	buf_addf(why, "%s: %s: %s", path, what, advice ? advice : log_strerror(error));
	return error;
}

/* "../images" of /mnt/queue is /mnt/images: the queue's own path has no symbolic links, so its components may be dropped. */
static int join_input(struct place *place)
{
	const char *rest = place->conf.input;
	size_t len = strlen(place->queue);
	struct buf path = BUF_INIT;

	while (strncmp(rest, "../", 3) == 0 || strcmp(rest, "..") == 0) {
		while (len > 0 && place->queue[--len] != '/')
			;
		rest += rest[2] ? 3 : 2;
	}
	buf_add(&path, place->queue, len);
	if (*rest && strcmp(rest, ".") != 0)
		buf_addf(&path, "/%s", rest);
	if (path.len == 0)
		buf_addch(&path, '/');
	place->input = buf_error(&path) ? NULL : buf_detach(&path);
	buf_release(&path);
	return place->input ? 0 : -ENOMEM;
}

static int read_conf(struct place *place, struct buf *why)
{
	struct buf file = BUF_INIT, text = BUF_INIT;
	int error;

	buf_addf(&file, "%s/" QCONF_PATH, place->queue);
	error = buf_error(&file);
	if (!error)
		error = io_read_file(buf_text(&file), QCONF_MAX_BYTES, &text);
	if (error == -ENOENT || error == -ENOTDIR)
		buf_addf(why, "%s is no queue: `claimctl init %s' makes one", place->queue, place->queue);
	else if (error)
		refuse(error, "can't read the queue's settings", buf_text(&file), why);
	else if ((error = qconf_init(&place->conf)) == 0)
		error = qconf_parse(&place->conf, buf_text(&file), text.data ? text.data : "", text.len, why);
	buf_release(&file);
	buf_release(&text);
	return error;
}

static int check_ctl(const struct place *place, struct buf *why)
{
	struct buf path = BUF_INIT;
	struct stat st;
	int error = 0;

	place_ctl(place, &path);
	if (buf_error(&path))
		error = buf_error(&path);
	else if (stat(buf_text(&path), &st) < 0)
		error = -errno;
	if (error == -ENOENT)
		buf_addf(why, "%s is not seen through claimfs: mount it (claimfs %s MOUNTPOINT, or claimfs HOST:DIR MOUNTPOINT) "
			 "and work on the mounted one", place->queue, place->queue);
	else if (error)
		refuse(error, "can't look at the queue's ctl", place->queue, why);
	buf_release(&path);
	return error;
}

/* An input beside the mount point would be a directory of this machine, which other nodes don't see. */
static int check_input(const struct place *place, struct buf *why)
{
	struct stat queue, input;

	if (stat(place->queue, &queue) < 0)
		return refuse(-errno, "can't look at it", place->queue, why);
	if (stat(place->input, &input) < 0) {
		buf_addf(why, "%s: the queue's input directory is missing (input = %s): %s", place->input, place->conf.input,
			 log_strerror(errno));
		return -errno;
	}
	if (!S_ISDIR(input.st_mode)) {
		buf_addf(why, "%s: the queue's input (input = %s) is not a directory", place->input, place->conf.input);
		return -ENOTDIR;
	}
	if (queue.st_dev != input.st_dev) {
		buf_addf(why, "%s: the queue's input directory is not in the same mount as the queue: mount a directory above both",
			 place->input);
		return -EXDEV;
	}
	return 0;
}

int place_open(const char *path, struct place *ret_place, struct buf *why)
{
	struct place place = { 0 };
	int error;

	place.queue = realpath(path, NULL);
	if (!place.queue)
		return refuse(-errno, "can't open the queue", path, why);
	error = read_conf(&place, why);
	if (!error)
		error = check_ctl(&place, why);
	if (!error)
		error = join_input(&place);
	if (!error)
		error = check_input(&place, why);
	if (error) {
		if (why->len == 0)
			refuse(error, "can't open the queue", path, why);
		place_release(&place);
		return error;
	}
	*ret_place = place;
	return 0;
}

void place_ctl(const struct place *place, struct buf *ret_path)
{
	buf_addf(ret_path, "%s/ctl", place->queue);
}

int place_in(const struct place *place, const char *name, struct buf *ret_path)
{
	buf_addf(ret_path, "%s/%s", strcmp(place->input, "/") == 0 ? "" : place->input, name);
	return buf_error(ret_path);
}

int place_out(const struct place *place, const char *name, struct buf *ret_path)
{
	buf_addf(ret_path, "%s/stage/", place->queue);
	return qconf_stage(&place->conf, name, ret_path);
}
