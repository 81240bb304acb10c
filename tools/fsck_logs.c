/*
 * fsck_logs: reads all logs of a queue. What lines say is an index of what happened, never the truth: it is held against the markers later.
 */
#include "tools/fsck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

#define PIECE (1024 * 1024)

struct reading {
	struct fsck *fsck;
	struct buf text;		/* what was read and not yet taken in */
	uint64_t offset;		/* of its first byte */
	bool skipping;			/* in the middle of a line that is too long */
	size_t bad;
	uint64_t first_bad;
};

static int take_record(struct fsck *fsck, const struct record *record)
{
	struct fsck_marker *marker;
	struct fsck_unit *unit;

	if (record->what == RECORD_LOST)
		return 0;
	unit = fsck_unit_get(fsck, &record->unit);
	if (!unit)
		return -ENOMEM;
	if (record->generation > unit->generation)
		unit->generation = record->generation;
	if (record->what != RECORD_DONE)
		return 0;
	marker = fsck_marker_find(fsck, &record->key, record->generation);
	if (marker)
		marker->recorded = true;
	if (record->generation + 1 > unit->record) {
		unit->record = record->generation + 1;
		unit->key = record->key;
	}
	if (fsck->conf.key != QCONF_KEY_CONTENT)
		return 0;
	if (marker && record->generation + 1 > unit->marker)
		unit->marker = record->generation + 1;
	return map_set_str(&fsck->recorded_names, record->name, fsck, NULL);
}

static void bad_line(struct reading *reading)
{
	if (reading->bad++ == 0)
		reading->first_bad = reading->offset;
}

/* The whole lines of what was read. */
static int take_lines(struct reading *reading)
{
	char *line = reading->text.data, *end;
	size_t left = reading->text.len, len;
	struct record record;
	int error = 0;

	while (!error && left && (end = memchr(line, '\n', left)) != NULL) {
		len = (size_t)(end - line);
		if (!reading->skipping)
			error = record_parse(line, len, &record);
		if (!error && !reading->skipping)
			error = take_record(reading->fsck, &record);
		if (error == -EINVAL)
			bad_line(reading);
		if (error == -EINVAL || error == -ENODATA)
			error = 0;
		reading->skipping = false;
		reading->offset += len + 1;
		left -= len + 1;
		line = end + 1;
	}
	buf_drop(&reading->text, reading->text.len - left);
	if (left >= RECORD_MAX_LINE) {
		if (!reading->skipping)
			bad_line(reading);
		reading->skipping = true;
		reading->offset += left;
		buf_reset(&reading->text);
	}
	return error;
}

static int read_log(struct fsck *fsck, const char *name)
{
	struct reading reading = { .fsck = fsck };
	char path[LAYOUT_PATH], detail[100];
	uint32_t number;
	size_t node_len = 0;
	ssize_t got = 0;
	int fd, error = 0;

	layout_log(path, name);
	fd = openat(fsck->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	do {
		error = buf_reserve(&reading.text, PIECE);
		if (error)
			break;
		got = io_read_full(fd, reading.text.data + reading.text.len, PIECE);
		if (got < 0) {
			error = (int)got;
			break;
		}
		reading.text.len += (size_t)got;
		error = take_lines(&reading);
	} while (!error && got == PIECE);
	close(fd);
	if (reading.bad) {
		snprintf(detail, sizeof(detail), "%zu, the first at byte %" PRIu64, reading.bad, reading.first_bad);
		fsck_report(fsck, FSCK_LINE, FSCK_NOTE, 0, path, NULL, detail);
	}
	/* Of a node that lives it may be an append under way. */
	if (!error && reading.text.len && layout_parse_log(name, strlen(name), &node_len, &number) == 0 &&
	    !map_get(&fsck->live, name, node_len))
		fsck_report(fsck, FSCK_TORN, FSCK_NOTE, 0, path, NULL, NULL);
	if (error)
		log_error("fsck: can't read %s/%s: %s", fsck->dir, path, log_strerror(error));
	buf_release(&reading.text);
	return error;
}

int fsck_read_logs(struct fsck *fsck)
{
	int fd = openat(fsck->fd, LAYOUT_LOG, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char path[LAYOUT_PATH + 256];
	uint32_t number;
	size_t len;

	if (!dir) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error == -ENOENT ? 0 : error;
	}
	while (!error && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (layout_parse_log(entry->d_name, strlen(entry->d_name), &len, &number) == 0) {
			error = read_log(fsck, entry->d_name);
			continue;
		}
		snprintf(path, sizeof(path), "%s/%s", LAYOUT_LOG, entry->d_name);
		fsck_report(fsck, FSCK_NAME, FSCK_PROBLEM, 0, path, NULL, NULL);
	}
	if (!error && errno)
		error = -errno;
	closedir(dir);
	return error;
}
