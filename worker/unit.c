/*
 * unit: names and paths of a unit, and the looks at its files.
 */
#include "worker/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/pct.h"
#include "worker/batch_dir.h"
#include "worker/copy.h"
#include "worker/pool.h"

#define UNIT_MAX_MEASURED 10000		/* entries of a staged directory that are counted */

static int unit_paths(struct unit *unit, const struct place *place)
{
	struct buf coded = BUF_INIT, in = BUF_INIT, out = BUF_INIT;
	int error;

	pct_encode_value(&coded, unit->name, strlen(unit->name));
	error = place_in(place, unit->name, &in);
	if (!error)
		error = place_out(place, unit->name, &out);
	if (!error)
		error = buf_error(&coded);
	if (!error) {
		unit->coded = buf_detach(&coded);
		unit->in = buf_detach(&in);
		unit->out = buf_detach(&out);
		if (!unit->coded || !unit->in || !unit->out)
			error = -ENOMEM;
	}
	buf_release(&coded);
	buf_release(&in);
	buf_release(&out);
	return error;
}

int unit_new(struct pool *pool, const struct place *place, const char *coded, struct unit **ret_unit)
{
	struct unit *unit = calloc(1, sizeof(*unit));
	int error = -ENOMEM;

	if (!unit)
		return -ENOMEM;
	list_init(&unit->link);
	list_init(&unit->job.link);
	list_init(&unit->command.link);
	list_init(&unit->check.link);
	list_append(&pool->units, &unit->all);
	unit->pool = pool;
	unit->out_bytes = -1;
	unit->name = strdup(coded);
	if (unit->name)
		error = pct_decode(unit->name);
	if (error >= 0 && unit->name[0] == '\0')
		error = -EINVAL;
	if (error >= 0)
		error = unit_paths(unit, place);
	if (error < 0) {
		unit_free(unit);
		return error;
	}
	*ret_unit = unit;
	return 0;
}

void unit_free(struct unit *unit)
{
	if (!unit)
		return;
	unit_forget_staged(unit);
	list_remove(&unit->link);
	list_remove(&unit->all);
	free(unit->name);
	free(unit->coded);
	free(unit->in);
	free(unit->out);
	free(unit->resume);
	buf_release(&unit->values);
	buf_release(&unit->put);
	buf_release(&unit->why);
	free(unit);
}

void unit_forget_staged(struct unit *unit)
{
	if (unit->staged && unit->local)
		copy_remove(unit->staged);
	batch_dir_unref(unit->dir);
	unit->dir = NULL;
	free(unit->staged);
	unit->staged = NULL;
}

/* Only asked for: it comes while other things are done, and is there or on its way when the job opens it. */
static void read_ahead(const struct unit *unit)
{
	int fd = open(unit->in, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	close(fd);
}

void unit_look(struct unit *unit)
{
	struct stat st;
	int64_t begun;

	begun = clock_now();
	if (stat(unit->in, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	unit->look_ns = clock_now() - begun;
	if (st.st_size > 0 && st.st_size <= unit->read_ahead)
		read_ahead(unit);
}

static int64_t measure_directory(char *path)
{
	char *const paths[] = { path, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int64_t bytes = 0;
	int count = 0;
	FTSENT *entry;

	if (!walk)
		return -1;
	while (count++ < UNIT_MAX_MEASURED && (entry = fts_read(walk)))
		if (entry->fts_info == FTS_F)
			bytes += entry->fts_statp->st_size;
	fts_close(walk);
	return bytes;
}

bool unit_load(struct unit *unit)
{
	if (!unit->staged || !S_ISREG(unit->staged_mode) || unit->staged_bytes > (int64_t)UNIT_MAX_PUT)
		return false;
	buf_reset(&unit->put);
	unit->putting = unit->out_small = io_read_file(unit->staged, UNIT_MAX_PUT, &unit->put) == 0;
	if (unit->putting)
		unit->out_bytes = (int64_t)unit->put.len;
	return unit->putting;
}

void unit_publish(struct unit *unit)
{
	struct stat st;

	if (unit->staged) {
		unit->error = copy_tree(unit->staged, unit->out);
		unit->out_dir = S_ISDIR(unit->staged_mode);
		unit->out_bytes = unit->out_dir ? measure_directory(unit->staged) : unit->staged_bytes;
		return;
	}
	if (lstat(unit->out, &st) < 0)
		return;
	unit->out_dir = S_ISDIR(st.st_mode);
	unit->out_bytes = unit->out_dir ? measure_directory(unit->out) : (int64_t)st.st_size;
	unit->out_small = S_ISREG(st.st_mode) && st.st_size <= (off_t)UNIT_MAX_PUT;
}
