/*
 * fsck_check: holds markers, records, claims and generations against each other, and mends what may be mended. Markers are what counts:
 * a record without its marker is wrong, a marker without its record lacks one.
 */
#include "tools/fsck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "queue/merge.h"
#include "queue/owner.h"
#include "tools/names.h"

#define PIECE (1024 * 1024)

static bool is_missing(const struct fsck *fsck, const char *path)
{
	struct stat st;

	return fstatat(fsck->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static int64_t lease_s(const struct fsck *fsck)
{
	return fsck->conf.lease_ns / NS_PER_S;
}

/* A live claim, or one whose node may be about to sweep it itself. */
static bool is_fresh(const struct fsck *fsck, const struct layout_claim *claim)
{
	char path[LAYOUT_PATH];
	struct stat st;

	layout_claim(path, claim);
	if (fstatat(fsck->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno != ENOENT;
	return fsck->now == INT64_MIN || fsck->now - st.st_mtim.tv_sec <= lease_s(fsck);
}

static bool is_done(const struct fsck_unit *unit)
{
	return unit->marker == unit->generation + 1;
}

/* ---- generations ---- */

/* A mount that is late looks at redo/UNIT.(G+1) alone: every generation that is over must have its successor there. */
static void check_redo(struct fsck *fsck, const struct fsck_unit *unit)
{
	char path[LAYOUT_PATH];
	uint32_t generation;
	int error;

	if (unit->redo_count >= unit->generation)
		return;
	if (unit->generation - unit->redo_count > FSCK_MAX_GAP) {
		layout_redo(path, &unit->hash, unit->generation);
		fsck_report(fsck, FSCK_REDO, FSCK_PROBLEM, 0, path, unit->name, "and too many below it");
		return;
	}
	for (generation = 1; generation <= unit->generation; generation++) {
		layout_redo(path, &unit->hash, generation);
		error = fsck_mend_redo(fsck, path);
		if (error != -EEXIST)
			fsck_report_mend(fsck, FSCK_REDO, error, path, unit->name);
	}
}

static int begin_anew(struct fsck *fsck, const struct fsck_unit *unit)
{
	struct record record = {
		.what = RECORD_REDO, .unit = unit->hash, .key = unit->hash, .generation = unit->generation + 1, .name = unit->name,
		.time = fsck->now > 0 ? fsck->now : 0,
	};
	char path[LAYOUT_PATH];
	int error;

	layout_redo(path, &unit->hash, unit->generation + 1);
	error = fsck_mend_redo(fsck, path);
	return error ? error == -EEXIST ? 0 : error : fsck_mend_record(fsck, &record);
}

static void report_undone(struct fsck *fsck, enum fsck_kind kind, const struct fsck_unit *unit, const char *path)
{
	if (fsck->options->redo_missing && unit->generation < LAYOUT_MAX_NUMBER)
		fsck_report_mend(fsck, kind, begin_anew(fsck, unit), path, unit->name);
	else
		fsck_report(fsck, kind, FSCK_PROBLEM, 0, path, unit->name, NULL);
}

/* ---- markers and records ---- */

static void check_record(struct fsck *fsck, const struct fsck_unit *unit)
{
	char path[LAYOUT_PATH];

	if (!unit->name || unit->record != unit->generation + 1 || is_done(unit))
		return;
	/* It may have been made since done/ was listed. */
	layout_marker(path, &unit->key, unit->generation);
	if (is_missing(fsck, path))
		report_undone(fsck, FSCK_UNMARKED, unit, path);
}

/* Whose commit made the marker, and when at the latest. */
static int marker_owner(const struct fsck *fsck, const char *path, struct owner *ret_owner, int64_t *ret_time)
{
	char text[OWNER_MAX_BYTES];
	ssize_t len = -1;
	struct stat st;
	int fd = openat(fsck->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	len = io_read_full(fd, text, sizeof(text));
	if (fstat(fd, &st) < 0)
		st.st_mtim.tv_sec = 0;
	close(fd);
	if (len < 0)
		return (int)len;
	if (owner_parse(text, (size_t)len, ret_owner) < 0)
		strcpy(ret_owner->node, "unknown");
	*ret_time = st.st_mtim.tv_sec > 0 ? st.st_mtim.tv_sec : 0;
	return 0;
}

/* The record says by whom it was done: it counts for nobody, and the node's own one, should it come yet, takes its place. */
static void write_record(struct fsck *fsck, struct fsck_marker *marker, struct fsck_unit *unit, const char *path)
{
	struct record record = {
		.what = RECORD_DONE, .unit = unit->hash, .key = marker->key, .generation = marker->generation, .name = unit->name,
	};
	char by[LAYOUT_MAX_NODE + 8];
	struct owner owner;
	int error;

	error = marker_owner(fsck, path, &owner, &record.time);
	snprintf(by, sizeof(by), "by=%s", owner.node);
	record.values = by;
	if (!error)
		error = fsck_mend_record(fsck, &record);
	if (!error)
		unit->marker = unit->record = marker->generation + 1;
	marker->recorded = !error;
	fsck_report_mend(fsck, FSCK_UNRECORDED, error, path, unit->name);
}

static void check_marker(struct fsck *fsck, struct fsck_marker *marker)
{
	struct fsck_unit *unit = NULL;
	char path[LAYOUT_PATH];

	if (marker->recorded)
		return;
	if (fsck->conf.key != QCONF_KEY_CONTENT)
		unit = fsck_unit_find(fsck, &marker->key);
	if (unit && marker->generation < unit->generation)
		return;
	layout_marker(path, &marker->key, marker->generation);
	if (unit && unit->name)
		write_record(fsck, marker, unit, path);
	else
		fsck_report(fsck, FSCK_STRAY, FSCK_NOTE, 0, path, NULL, NULL);
}

/* ---- key = content: whose content is it ---- */

static int hash_input(const struct fsck *fsck, const char *name, struct hash128 *ret_key)
{
	struct hash_stream *stream = hash_stream_new();
	struct buf path = BUF_INIT;
	char *piece = malloc(PIECE);
	ssize_t got = 0;
	int fd = -1, error = stream && piece ? 0 : -ENOMEM;

	buf_addf(&path, "%s/%s/%s", fsck->dir, fsck->conf.input, name);
	if (!error)
		error = buf_error(&path);
	if (!error) {
		fd = open(buf_text(&path), O_RDONLY | O_CLOEXEC);
		error = fd < 0 ? -errno : 0;
	}
	while (!error && (got = io_read_full(fd, piece, PIECE)) > 0)
		hash_stream_update(stream, piece, (size_t)got);
	if (!error && got < 0)
		error = (int)got;
	io_close(&fd);
	if (stream)
		*ret_key = hash_stream_end(stream);
	free(piece);
	buf_release(&path);
	return error;
}

static int output_missing(const struct fsck *fsck, const char *name, struct buf *ret_path)
{
	int error = qconf_output(&fsck->conf, name, ret_path);

	return error ? error : is_missing(fsck, buf_text(ret_path));
}

/* Only inputs that were never recorded are read, and only where their output is there: with the marker that is what makes a unit done. */
static void check_contents(struct fsck *fsck)
{
	struct fsck_marker *marker;
	struct fsck_unit *unit;
	struct buf output = BUF_INIT;
	char path[LAYOUT_PATH];
	struct hash128 key;
	size_t i, open = 0;

	for (i = 0; i < fsck->marker_count; i++)
		open += !fsck->markers[i].recorded;
	for (i = 0; i < fsck->unit_count && open && fsck->conf.key == QCONF_KEY_CONTENT; i++) {
		unit = &fsck->units[i];
		if (!unit->name || unit->record || map_get_str(&fsck->recorded_names, unit->name))
			continue;
		buf_reset(&output);
		if (output_missing(fsck, unit->name, &output) != 0 || hash_input(fsck, unit->name, &key) < 0)
			continue;
		marker = fsck_marker_find(fsck, &key, unit->generation);
		if (!marker || marker->recorded)
			continue;
		layout_marker(path, &key, marker->generation);
		write_record(fsck, marker, unit, path);
		open--;
	}
	buf_release(&output);
}

/* ---- claims ---- */

static int compare_claims(const void *a, const void *b)
{
	const struct layout_claim *one = a, *other = b;
	int order = hash128_compare(&one->unit, &other->unit);

	if (order == 0)
		order = (one->generation > other->generation) - (one->generation < other->generation);
	return order ? order : (one->number > other->number) - (one->number < other->number);
}

/* Of a generation that is over: left alone while its node is there to do it. */
static void sweep(struct fsck *fsck, const struct layout_claim *claims, size_t count, const char *name)
{
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count; i++)
		if (is_fresh(fsck, &claims[i]))
			return;
	for (i = 0; i < count; i++) {
		layout_claim(path, &claims[i]);
		if (!is_missing(fsck, path))
			fsck_report_mend(fsck, FSCK_OVER, fsck_mend_remove(fsck, path), path, name);
	}
}

static void fill_gaps(struct fsck *fsck, const struct layout_claim *claims, size_t count, const char *name)
{
	struct layout_claim claim = claims[0];
	char path[LAYOUT_PATH];
	size_t i = 0;

	if (claims[count - 1].number - count > FSCK_MAX_GAP) {
		layout_claim(path, &claims[count - 1]);
		fsck_report(fsck, FSCK_GAP, FSCK_PROBLEM, 0, path, name, "and too many before it");
		return;
	}
	for (claim.number = 1; i < count; claim.number++) {
		if (claim.number == claims[i].number) {
			i++;
			continue;
		}
		layout_claim(path, &claim);
		if (is_missing(fsck, path))
			fsck_report_mend(fsck, FSCK_GAP, fsck_mend_gap(fsck, path), path, name);
	}
}

/* All of one UNIT.G, in the order of their numbers: a hedge, which is none of the chain, comes first. */
static void check_claims_of(struct fsck *fsck, const struct layout_claim *claims, size_t count)
{
	size_t hedges = claims[0].number == LAYOUT_HEDGE;
	const struct fsck_unit *unit = fsck_unit_find(fsck, &claims[0].unit);
	uint32_t generation = claims[0].generation;
	const char *name = unit ? unit->name : NULL;

	if (unit && (unit->generation > generation || unit->marker == generation + 1 || unit->failed == generation + 1))
		sweep(fsck, claims, count, name);
	else if (count > hedges && claims[count - 1].number != count - hedges)
		fill_gaps(fsck, claims + hedges, count - hedges, name);
}

static void check_claims(struct fsck *fsck)
{
	size_t i, end;

	for (i = 0; i < fsck->claim_count; i = end) {
		const struct layout_claim *claim = &fsck->claims[i];

		for (end = i + 1; end < fsck->claim_count && hash128_equal(&fsck->claims[end].unit, &claim->unit) &&
				  fsck->claims[end].generation == claim->generation; end++)
			;
		check_claims_of(fsck, claim, end - i);
	}
}

/* A claim of generation G says that it has begun. */
static int claims_begin(struct fsck *fsck)
{
	struct fsck_unit *unit;
	size_t i;

	if (fsck->claim_count)
		qsort(fsck->claims, fsck->claim_count, sizeof(*fsck->claims), compare_claims);
	for (i = 0; i < fsck->claim_count; i++) {
		unit = fsck_unit_get(fsck, &fsck->claims[i].unit);
		if (!unit)
			return -ENOMEM;
		if (fsck->claims[i].generation > unit->generation)
			unit->generation = fsck->claims[i].generation;
	}
	return 0;
}

/* ---- outputs ---- */

static int look_at_output(void *arg, const char *name)
{
	const struct fsck *fsck = arg;
	struct buf path = BUF_INIT;
	int missing = output_missing(fsck, name, &path);

	buf_release(&path);
	return missing > 0;
}

/* Many threads look whether any is missing at all; which ones is asked again of those alone. */
static int check_outputs(struct fsck *fsck)
{
	struct names done = NAMES_INIT;
	struct buf path = BUF_INIT;
	size_t i, missing = 0;
	int error = 0;

	for (i = 0; i < fsck->unit_count && !error && !fsck->options->no_outputs; i++)
		if (fsck->units[i].name && is_done(&fsck->units[i]))
			error = names_add(&done, fsck->units[i].name);
	if (!error)
		missing = names_each(&done, look_at_output, fsck);
	for (i = 0; i < fsck->unit_count && !error && missing; i++) {
		if (!fsck->units[i].name || !is_done(&fsck->units[i]))
			continue;
		buf_reset(&path);
		if (output_missing(fsck, fsck->units[i].name, &path) > 0)
			report_undone(fsck, FSCK_OUTPUT, &fsck->units[i], buf_text(&path));
	}
	names_release(&done);
	buf_release(&path);
	return error;
}

/* ---- nodes ---- */

static void check_nodes(struct fsck *fsck)
{
	char path[LAYOUT_PATH + 256];
	size_t i;

	for (i = 0; i < fsck->node_count; i++) {
		const struct fsck_node *node = &fsck->nodes[i];

		if (map_get(&fsck->live, node->name, node->node_len))
			continue;
		snprintf(path, sizeof(path), "%s/%s", LAYOUT_NODES, node->name);
		fsck_report_mend(fsck, FSCK_NODE, fsck_mend_remove(fsck, path), path, NULL);
	}
}

static bool is_tmp_name(const char *name)
{
	static const char *const heads[] = { LAYOUT_PROBE, MERGE_LOCK, "gone-", "init.", NULL };
	int i;

	for (i = 0; heads[i]; i++)
		if (strncmp(name, heads[i], strlen(heads[i])) == 0)
			return true;
	return layout_node_good(name, strlen(name));
}

/* Its generation is over, or its input is gone: nobody goes on with it. */
static bool is_resume_over(const struct fsck *fsck, const char *name)
{
	const struct fsck_unit *unit;
	struct hash128 hash;
	uint32_t generation;

	if (layout_parse_marker(name, strlen(name), &hash, &generation) < 0)
		return false;
	unit = fsck_unit_find(fsck, &hash);
	return !unit || !unit->name || unit->generation > generation || is_done(unit) || unit->failed > generation;
}

/* A worker removes what it was offered once the unit is done or set aside; others leave it. */
static int check_resume(struct fsck *fsck)
{
	struct names over = NAMES_INIT;
	int fd = openat(fsck->fd, LAYOUT_RESUME, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char path[LAYOUT_PATH + 256];
	struct dirent *entry;
	size_t i;

	while (dir && !error && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", LAYOUT_RESUME, entry->d_name);
		if (is_resume_over(fsck, entry->d_name))
			error = names_add(&over, path);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	for (i = 0; i < over.count && !error; i++)
		fsck_report_mend(fsck, FSCK_RESUME, fsck_mend_tmp(fsck, over.list[i]), over.list[i], NULL);
	names_release(&over);
	return error;
}

static int check_tmp(struct fsck *fsck)
{
	struct names old = NAMES_INIT;
	int fd = openat(fsck->fd, LAYOUT_TMP, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char path[LAYOUT_PATH + 256];
	struct dirent *entry;
	struct stat st;
	size_t i;

	while (dir && !error && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", LAYOUT_TMP, entry->d_name);
		if (strcmp(path, LAYOUT_RESUME) == 0)
			continue;
		if (!is_tmp_name(entry->d_name)) {
			fsck_report(fsck, FSCK_NAME, FSCK_PROBLEM, 0, path, NULL, NULL);
			continue;
		}
		if (fsck->now == INT64_MIN || fstatat(fsck->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    fsck->now - st.st_mtim.tv_sec <= FSCK_LONG_STALE * lease_s(fsck) || map_get_str(&fsck->live, entry->d_name))
			continue;
		error = names_add(&old, path);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	for (i = 0; i < old.count && !error; i++)
		fsck_report_mend(fsck, FSCK_TMP, fsck_mend_tmp(fsck, old.list[i]), old.list[i], NULL);
	names_release(&old);
	return error;
}

/* ---- all ---- */

/* A record goes to the disk before the claims of its unit go: without both it would look as if nobody had touched it. */
static int write_log(struct fsck *fsck)
{
	int error = fsck_mend_log(fsck);

	if (error)
		log_error("fsck: can't write a log into %s/%s: %s", fsck->dir, LAYOUT_LOG, log_strerror(error));
	return error;
}

int fsck_check(struct fsck *fsck)
{
	char path[LAYOUT_PATH];
	size_t i;
	int error = claims_begin(fsck);

	if (error)
		return error;
	for (i = 0; i < fsck->unit_count; i++)
		check_redo(fsck, &fsck->units[i]);
	check_contents(fsck);
	for (i = 0; i < fsck->marker_count; i++)
		check_marker(fsck, &fsck->markers[i]);
	for (i = 0; i < fsck->unit_count; i++) {
		const struct fsck_unit *unit = &fsck->units[i];

		check_record(fsck, unit);
		if (unit->failed != unit->generation + 1 || !is_done(unit))
			continue;
		layout_failed(path, &unit->hash, unit->generation);
		fsck_report(fsck, FSCK_BOTH, FSCK_NOTE, 0, path, unit->name, NULL);
	}
	error = check_outputs(fsck);
	if (!error)
		error = write_log(fsck);
	if (error)
		return error;
	check_claims(fsck);
	check_nodes(fsck);
	error = check_tmp(fsck);
	return error ? error : check_resume(fsck);
}
