/*
 * batch_dir: made and removed by the loop's thread; the copying goes on aside while units hold it.
 */
#include "worker/batch_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/io.h"
#include "worker/copy.h"
#include "worker/pool.h"
#include "worker/unit.h"

struct batch_dir {
	unsigned int refs;
	char *path;
};

int batch_dir_new(struct batch_dir **ret_dir)
{
	const char *above = getenv("TMPDIR");
	struct batch_dir *dir = calloc(1, sizeof(*dir));
	int error = -ENOMEM;

	if (!dir)
		return -ENOMEM;
	dir->refs = 1;
	if (asprintf(&dir->path, "%s/claim-worker.XXXXXX", above && *above ? above : "/tmp") < 0) {
		dir->path = NULL;
		goto fail;
	}
	if (!mkdtemp(dir->path)) {
		error = -errno;
		goto fail;
	}
	*ret_dir = dir;
	return 0;
fail:
	free(dir->path);
	free(dir);
	return error;
}

void batch_dir_ref(struct batch_dir *dir)
{
	dir->refs++;
}

void batch_dir_unref(struct batch_dir *dir)
{
	if (!dir || --dir->refs > 0)
		return;
	copy_remove(dir->path);
	free(dir->path);
	free(dir);
}

const char *batch_dir_path(const struct batch_dir *dir)
{
	return dir->path;
}

/* The unit's output's path below stage/. */
static const char *stage_path(const struct unit *unit)
{
	return unit->out + strlen(unit->pool->place->queue) + strlen("/stage/");
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int make_above(const struct batch_dir *dir, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct buf above = BUF_INIT;
	int error;

	if (!slash)
		return 0;
	buf_addf(&above, "%s/%.*s", dir->path, (int)(slash - path), path);
	error = buf_error(&above) ? buf_error(&above) : io_mkdirs(buf_text(&above), 0700);
	buf_release(&above);
	return error;
}

int batch_dir_prepare(struct batch_dir *dir, const struct unit *unit)
{
	int error = make_above(dir, stage_path(unit));

	return error ? error : make_above(dir, unit->name);
}

/* A directory counts only by the full name: by others it could be one that was made for outputs of other units. */
static bool try_name(struct batch_dir *dir, struct unit *unit, const char *name, bool full)
{
	struct buf path = BUF_INIT;
	struct stat st;

	buf_addf(&path, "%s/%s", dir->path, name);
	if (buf_error(&path) || lstat(buf_text(&path), &st) < 0 || !(S_ISREG(st.st_mode) || (full && S_ISDIR(st.st_mode)))) {
		buf_release(&path);
		return false;
	}
	unit->staged = buf_detach(&path);
	unit->staged_time = st.st_mtim;
	unit->staged_bytes = st.st_size;
	unit->staged_mode = st.st_mode;
	if (!unit->staged)
		return false;
	unit->dir = dir;
	batch_dir_ref(dir);
	return true;
}

void batch_dir_out(const struct batch_dir *dir, const struct unit *unit, struct buf *ret_path)
{
	buf_addf(ret_path, "%s/%s", dir->path, stage_path(unit));
}

bool batch_dir_find_out(struct batch_dir *dir, struct unit *unit)
{
	return try_name(dir, unit, stage_path(unit), true);
}

bool batch_dir_find(struct batch_dir *dir, struct unit *unit)
{
	const char *const names[] = { stage_path(unit), base_of(stage_path(unit)), unit->name, base_of(unit->name) };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (try_name(dir, unit, names[i], i == 0))
			return true;
	return false;
}
