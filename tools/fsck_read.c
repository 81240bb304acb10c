/*
 * fsck_read: lists the store and the inputs. Names that don't belong there are said and left alone.
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
#include "base/log.h"
#include "tools/names.h"

#define MARKER_KEY (sizeof(struct hash128) + sizeof(uint32_t))

/* ---- what was found ---- */

/* Room for one more of `size` bytes: the array, or NULL. */
static void *grown(void *array, size_t count, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *bigger;

	if (count < *cap)
		return array;
	bigger = reallocarray(array, more, size);
	if (bigger)
		*cap = more;
	return bigger;
}

struct fsck_unit *fsck_unit_find(const struct fsck *fsck, const struct hash128 *hash)
{
	size_t index = (size_t)(uintptr_t)map_get(&fsck->unit_by_hash, hash->bytes, sizeof(hash->bytes));

	return index ? &fsck->units[index - 1] : NULL;
}

struct fsck_unit *fsck_unit_get(struct fsck *fsck, const struct hash128 *hash)
{
	struct fsck_unit *unit = fsck_unit_find(fsck, hash), *units;

	if (unit)
		return unit;
	units = grown(fsck->units, fsck->unit_count, &fsck->unit_cap, sizeof(*units));
	if (!units)
		return NULL;
	fsck->units = units;
	if (map_set(&fsck->unit_by_hash, hash->bytes, sizeof(hash->bytes), (void *)(uintptr_t)(fsck->unit_count + 1), NULL) < 0)
		return NULL;
	unit = &units[fsck->unit_count++];
	*unit = (struct fsck_unit) { .hash = *hash };
	return unit;
}

static void marker_key(const struct hash128 *key, uint32_t generation, char ret[MARKER_KEY])
{
	memcpy(ret, key->bytes, sizeof(key->bytes));
	memcpy(ret + sizeof(key->bytes), &generation, sizeof(generation));
}

struct fsck_marker *fsck_marker_find(const struct fsck *fsck, const struct hash128 *key, uint32_t generation)
{
	char name[MARKER_KEY];
	size_t index;

	marker_key(key, generation, name);
	index = (size_t)(uintptr_t)map_get(&fsck->marker_by_key, name, sizeof(name));
	return index ? &fsck->markers[index - 1] : NULL;
}

static int add_marker(struct fsck *fsck, const struct hash128 *key, uint32_t generation)
{
	struct fsck_marker *markers = grown(fsck->markers, fsck->marker_count, &fsck->marker_cap, sizeof(*markers));
	struct fsck_unit *unit;
	char name[MARKER_KEY];

	if (!markers)
		return -ENOMEM;
	fsck->markers = markers;
	marker_key(key, generation, name);
	if (map_set(&fsck->marker_by_key, name, sizeof(name), (void *)(uintptr_t)(fsck->marker_count + 1), NULL) < 0)
		return -ENOMEM;
	markers[fsck->marker_count++] = (struct fsck_marker) { .key = *key, .generation = generation };
	/* A content's key is no unit's: only records tell whose it is. */
	if (fsck->conf.key == QCONF_KEY_CONTENT)
		return 0;
	unit = fsck_unit_get(fsck, key);
	if (!unit)
		return -ENOMEM;
	if (generation + 1 > unit->marker)
		unit->marker = generation + 1;
	if (generation > unit->generation)
		unit->generation = generation;
	return 0;
}

/* ---- directories ---- */

/* 1: the name belongs there; 0: it doesn't; -errno. */
typedef int take_name(struct fsck *fsck, const char *dir, const char *name);

static void strange(struct fsck *fsck, const char *dir, const char *name)
{
	char path[LAYOUT_PATH + 256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fsck_report(fsck, FSCK_NAME, FSCK_PROBLEM, 0, path, NULL, NULL);
}

static int list(struct fsck *fsck, const char *path, take_name *take)
{
	int fd = openat(fsck->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		/* A part of the path that is no directory was said where its name was met. */
		if (error == -ENOTDIR)
			return 0;
		if (error == -ENOENT)
			fsck_report_mend(fsck, FSCK_DIR, fsck_mend_dir(fsck, path), path, NULL);
		return error == -ENOENT ? 0 : error;
	}
	while (error >= 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		error = take(fsck, path, entry->d_name);
		if (error == 0)
			strange(fsck, path, entry->d_name);
	}
	if (error >= 0)
		error = errno ? -errno : 0;
	closedir(dir);
	return error;
}

static int take_top(struct fsck *fsck, const char *dir, const char *name)
{
	static const char *const files[] = { "queue.conf", NULL };
	static const char *const dirs[] = { "nodes", "claims", "done", "failed", "redo", "log", "tmp", "memo", NULL };
	char path[LAYOUT_PATH];
	struct stat st;
	int i;

	for (i = 0; files[i]; i++)
		if (strcmp(name, files[i]) == 0)
			return 1;
	for (i = 0; dirs[i]; i++) {
		if (strcmp(name, dirs[i]) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		return fstatat(fsck->fd, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
	}
	return 0;
}

static int take_claim(struct fsck *fsck, const char *dir, const char *name)
{
	struct layout_claim claim, *claims;

	(void)dir;
	if (layout_parse_claim(name, strlen(name), &claim) < 0)
		return 0;
	claims = grown(fsck->claims, fsck->claim_count, &fsck->claim_cap, sizeof(*claims));
	if (!claims)
		return -ENOMEM;
	fsck->claims = claims;
	claims[fsck->claim_count++] = claim;
	return 1;
}

static int take_redo(struct fsck *fsck, const char *dir, const char *name)
{
	struct fsck_unit *unit;
	struct hash128 hash;
	uint32_t generation;

	(void)dir;
	if (layout_parse_marker(name, strlen(name), &hash, &generation) < 0 || generation == 0)
		return 0;
	unit = fsck_unit_get(fsck, &hash);
	if (!unit)
		return -ENOMEM;
	unit->redo_count++;
	if (generation > unit->redo_max)
		unit->redo_max = generation;
	if (generation > unit->generation)
		unit->generation = generation;
	return 1;
}

static int take_failed(struct fsck *fsck, const char *dir, const char *name)
{
	struct fsck_unit *unit;
	struct hash128 hash;
	uint32_t generation;

	(void)dir;
	if (layout_parse_marker(name, strlen(name), &hash, &generation) < 0)
		return 0;
	unit = fsck_unit_get(fsck, &hash);
	if (!unit)
		return -ENOMEM;
	if (generation + 1 > unit->failed)
		unit->failed = generation + 1;
	if (generation > unit->generation)
		unit->generation = generation;
	return 1;
}

static int take_marker(struct fsck *fsck, const char *dir, const char *name)
{
	struct hash128 hash;
	uint32_t generation;
	int error;

	if (layout_parse_marker(name, strlen(name), &hash, &generation) < 0 || strncmp(strrchr(dir, '/') + 1, name, 2) != 0)
		return 0;
	error = add_marker(fsck, &hash, generation);
	return error ? error : 1;
}

static int take_done_dir(struct fsck *fsck, const char *dir, const char *name)
{
	(void)fsck, (void)dir;
	return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2;
}

static int take_node(struct fsck *fsck, const char *dir, const char *name)
{
	struct fsck_node node = { 0 }, *nodes;
	char path[LAYOUT_PATH + 256];
	struct stat st;

	if (layout_parse_node_file(name, strlen(name), &node.node_len, &node.kind) < 0)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (fstatat(fsck->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : -errno;
	if (node.kind == LAYOUT_HEARTBEAT &&
	    (fsck->now == INT64_MIN || fsck->now - st.st_mtim.tv_sec <= FSCK_LONG_STALE * (fsck->conf.lease_ns / NS_PER_S)))
		return map_set(&fsck->live, name, node.node_len, fsck, NULL) < 0 ? -ENOMEM : 1;
	nodes = grown(fsck->nodes, fsck->node_count, &fsck->node_cap, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	fsck->nodes = nodes;
	snprintf(node.name, sizeof(node.name), "%s", name);
	nodes[fsck->node_count++] = node;
	return 1;
}

static int list_done(struct fsck *fsck)
{
	char path[LAYOUT_PATH];
	int i, error = list(fsck, LAYOUT_DONE, take_done_dir);

	for (i = 0; i < 256 && !error; i++) {
		snprintf(path, sizeof(path), "%s/%02x", LAYOUT_DONE, i);
		error = list(fsck, path, take_marker);
	}
	return error;
}

int fsck_read_store(struct fsck *fsck)
{
	int error = list(fsck, LAYOUT_DIR, take_top);

	if (!error)
		error = list(fsck, LAYOUT_CLAIMS, take_claim);
	if (!error)
		error = list(fsck, LAYOUT_REDO, take_redo);
	if (!error)
		error = list(fsck, LAYOUT_FAILED, take_failed);
	if (!error)
		error = list_done(fsck);
	if (!error)
		error = list(fsck, LAYOUT_NODES, take_node);
	if (error)
		log_error("fsck: can't list all of %s/%s: %s", fsck->dir, LAYOUT_DIR, log_strerror(error));
	return error;
}

/* ---- the disk's clock ---- */

/* The mtime of a file that lives for a moment, as mounts do it. Where none can be made nothing is old. */
int fsck_read_time(struct fsck *fsck)
{
	char path[LAYOUT_PATH];
	struct stat st;
	int fd, error;

	fsck->now = INT64_MIN;
	error = fsck_mend_dir(fsck, LAYOUT_TMP);
	snprintf(path, sizeof(path), "%s/%s%016llx", LAYOUT_TMP, LAYOUT_PROBE, (unsigned long long)clock_random());
	fd = error ? -1 : openat(fsck->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (!error && fd < 0)
		error = -errno;
	if (error) {
		log_warn("fsck: can't make a file in %s/%s (%s), so the disk's time is not known, and nothing is taken for old", fsck->dir,
			 LAYOUT_TMP, log_strerror(error));
		return fsck->options->dry_run ? 0 : error;
	}
	close(fd);
	if (fstatat(fsck->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		fsck->now = st.st_mtim.tv_sec;
	unlinkat(fsck->fd, path, 0);
	return 0;
}

/* ---- inputs ---- */

static int add_input(struct fsck *fsck, const char *dir, const char *name)
{
	bool with_stat = fsck->conf.key != QCONF_KEY_NAME;
	struct buf path = BUF_INIT;
	struct stat st = { 0 };
	struct fsck_unit *unit;
	struct hash128 hash;
	int error = 0;

	if (!record_name_good(name))
		return 0;
	buf_addf(&path, "%s/%s", dir, name);
	if (with_stat)
		error = buf_error(&path) ? buf_error(&path) : stat(buf_text(&path), &st) < 0 ? -errno : 0;
	buf_release(&path);
	if (error)
		return error == -ENOENT ? 0 : error;
	hash = layout_unit(name, with_stat, (uint64_t)st.st_size, st.st_mtim.tv_sec);
	unit = fsck_unit_get(fsck, &hash);
	if (!unit)
		return -ENOMEM;
	if (!unit->name)
		unit->name = strdup(name);
	return unit->name ? 0 : -ENOMEM;
}

int fsck_read_inputs(struct fsck *fsck)
{
	struct names names = NAMES_INIT;
	struct buf dir = BUF_INIT;
	size_t i;
	int error;

	buf_addf(&dir, "%s/%s", fsck->dir, fsck->conf.input);
	error = buf_error(&dir);
	if (!error)
		error = names_walk(&names, buf_text(&dir), true, 0);
	for (i = 0; i < names.count && !error; i++)
		error = add_input(fsck, buf_text(&dir), names.list[i]);
	if (error)
		log_error("fsck: can't list the inputs in %s: %s", buf_text(&dir), log_strerror(error));
	names_release(&names);
	buf_release(&dir);
	return error;
}
