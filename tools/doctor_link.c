/*
 * doctor_link: what the mount says of its connections, and how fast a file goes there and back.
 *
 * The file has a name for a moment only: it is removed as soon as it is open, so that nothing stays whatever becomes of this process. Its name
 * is one that no queue takes for an input.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "tools/doctor.h"
#include "tools/json_read.h"

#define STATS "user.claimfs.stats"
#define STATS_ROOM 65536
#define CHUNK (256 * 1024)
#define FIRST_BYTES (64 * 1024)		/* what a slow line brings over in time */
#define MAX_BYTES (8 * 1024 * 1024)
#define WAY_NS NS_PER_S			/* each way */

/* ---- the mount ---- */

/* The directory the mount is on: the highest on the way up from `queue` that is on the same device. */
static int find_root(const char *queue, char ret_root[PATH_MAX])
{
	char *path = realpath(queue, NULL), *slash;
	struct stat st, above;
	int error = 0;

	if (!path || stat(path, &st) < 0)
		error = -errno;
	while (!error) {
		if (strlen(path) >= PATH_MAX)
			error = -ENAMETOOLONG;
		else
			strcpy(ret_root, path);
		slash = strrchr(path, '/');
		if (!slash || !slash[1])
			break;
		slash[slash == path] = '\0';
		if (stat(path, &above) < 0 || above.st_dev != st.st_dev)
			break;
	}
	free(path);
	return error;
}

/* As claimfs was told to mount: a plain path is of this machine. */
static bool is_local(const char *root)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent entry;
	char room[2 * PATH_MAX];
	bool local = false;

	while (mounts && getmntent_r(mounts, &entry, room, sizeof(room)))
		if (strcmp(entry.mnt_dir, root) == 0)
			local = entry.mnt_fsname[0] == '/';
	if (mounts)
		endmntent(mounts);
	return local;
}

static void take_connections(const cJSON *list, struct doctor_node *node)
{
	double sum = 0, known = 0, rtt;
	const cJSON *conn, *state;

	node->connections = node->connections_up = node->reconnects = 0;
	cJSON_ArrayForEach(conn, list) {
		state = cJSON_GetObjectItemCaseSensitive(conn, "state");
		node->connections++;
		node->connections_up += cJSON_IsString(state) && strcmp(state->valuestring, "up") == 0;
		node->reconnects += json_count(conn, "reconnects");
		rtt = json_count(conn, "rtt_s");
		sum += rtt;
		known += rtt > 0;
	}
	if (known > 0)
		node->rtt = sum / known;
}

static void read_stats(const char *root, struct doctor_node *node)
{
	char *json = malloc(STATS_ROOM);
	ssize_t len = json ? getxattr(root, STATS, json, STATS_ROOM) : -1;
	cJSON *stats = len > 0 ? cJSON_ParseWithLength(json, (size_t)len) : NULL;

	if (stats) {
		node->has_stats = true;
		take_connections(cJSON_GetObjectItemCaseSensitive(stats, "connections"), node);
	}
	cJSON_Delete(stats);
	free(json);
}

/* ---- a file there and back ---- */

static int send_bytes(int fd, const char *chunk, size_t bytes)
{
	size_t part;
	int error = 0;

	for (; !error && bytes > 0; bytes -= part) {
		part = bytes < CHUNK ? bytes : CHUNK;
		error = io_write_all(fd, chunk, part);
	}
	return !error && fsync(fd) < 0 ? -errno : error;
}

/*
 * More each time while there is time for it; the last and largest tells the rate. A write and its fsync are two round trips whatever their size:
 * while these are most of the time, much more goes the next time.
 */
static int measure_write(int fd, const char *chunk, int64_t trips_ns, size_t *ret_total, double *ret_rate)
{
	int64_t begin = clock_now(), last = 0, from, flow;
	size_t bytes, factor;
	int error = 0;

	*ret_total = 0;
	for (bytes = FIRST_BYTES; !error && bytes <= MAX_BYTES; bytes *= factor) {
		from = clock_now();
		flow = last > trips_ns ? last - trips_ns : 0;	/* of the one before */
		if (last > 0 && from - begin + last + flow > WAY_NS)
			break;
		error = send_bytes(fd, chunk, bytes);
		last = clock_now() - from + 1;
		factor = last < 2 * trips_ns ? 8 : 2;
		*ret_total += bytes;
		*ret_rate = (double)bytes * NS_PER_S / (double)last;
	}
	return error;
}

static int measure_read(int fd, char *chunk, size_t total, double *ret_rate)
{
	int64_t begin, passed = 1;
	size_t bytes = 0;
	ssize_t got = 1;

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);	/* or the page cache answers */
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	begin = clock_now();
	while (got > 0 && bytes < total && passed < WAY_NS) {
		got = io_read_full(fd, chunk, CHUNK);
		bytes += got > 0 ? (size_t)got : 0;
		passed = clock_now() - begin + 1;
	}
	*ret_rate = (double)bytes * NS_PER_S / (double)passed;
	return got < 0 ? (int)got : bytes == 0 ? -EIO : 0;
}

static int measure(const char *queue, struct doctor_node *node)
{
	struct buf path = BUF_INIT;
	char *chunk = malloc(CHUNK);
	size_t total, filled = 0;
	int fd = -1, error;

	for (; chunk && filled < CHUNK; filled += 256)	/* bytes that no compression on the way makes fewer */
		if (getrandom(chunk + filled, 256, 0) != 256)
			break;
	buf_addf(&path, "%s/.claimctl-doctor.XXXXXX", queue);
	error = chunk ? buf_error(&path) : -ENOMEM;
	if (!error) {
		fd = mkostemp(path.data, O_CLOEXEC);
		error = fd < 0 ? -errno : unlink(path.data) < 0 ? -errno : 0;
	}
	if (!error)
		error = measure_write(fd, chunk, node->rtt > 0 ? (int64_t)(2 * node->rtt * NS_PER_S) : 0, &total, &node->write_rate);
	if (!error)
		error = measure_read(fd, chunk, total, &node->read_rate);
	io_close(&fd);
	buf_release(&path);
	free(chunk);
	return error;
}

void doctor_look_link(const char *queue, bool transfer, struct doctor_node *node)
{
	char root[PATH_MAX];
	bool found = find_root(queue, root) == 0;

	if (found) {
		node->local = is_local(root);
		read_stats(root, node);
	}
	node->transferred = transfer;
	if (transfer)
		node->transfer_error = measure(queue, node);
	if (found && node->rtt < 0)	/* it was not known before; a line that was just full only tells a worse one */
		read_stats(root, node);
}
