/*
 * witness: stands at the disk of a torture run and writes down, in the order in which the kernel saw them, the events that decide: heartbeats,
 * claims and what became of them, markers, generations (history.h, "disk"). So the checker knows which lease was live at which moment of
 * the server's time, whatever clients believe.
 *
 *   witness QUEUE HISTORY name|stat|content        the last is the queue's key; no two inputs are of one content
 *
 * Makes the directories it watches, says "ready", and writes until it gets SIGTERM. Each line has two times: when the event was read at the
 * latest, and the last moment at which it had surely not happened yet. All come through one inotify queue, so that their order is exact.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/map.h"
#include "queue/layout.h"
#include "queue/owner.h"

#define MARKER_DIRS 256
#define IDLE_MS 10		/* an idle queue is looked at this often: how far apart an event's two times are at rest */
#define BUFFER 65536
#define INPUT_BYTES 4096

enum place { PLACE_NODES, PLACE_CLAIMS, PLACE_FAILED, PLACE_REDO, PLACE_DONE, PLACES = PLACE_DONE + MARKER_DIRS };

struct witness {
	const char *queue;
	const char *key;
	int inotify;
	int history;
	int watch[PLACES];
	struct map names;		/* UNIT's and KEY's hex → input's name */
	struct map beats;		/* watch of a heartbeat file → its node */
	int64_t empty_ns;		/* the queue was surely empty then */
	struct buf out;
};

static volatile sig_atomic_t ending;

static void on_term(int signal)
{
	(void)signal;
	ending = 1;
}

/* ---- what an event is about ---- */

static const char *name_of(struct witness *witness, const struct hash128 *unit)
{
	char hex[HASH_HEX_LEN + 1];
	const char *name;

	hash128_hex(unit, hex);
	name = map_get_str(&witness->names, hex);
	return name ? name : "-";
}

/* Whose the file at `path` (from the queue) is; "?" when it cannot be told any more, since it was swept. */
static void owner_of(struct witness *witness, const char *path, char ret_node[LAYOUT_MAX_NODE + 1])
{
	struct buf full = BUF_INIT, text = BUF_INIT;
	struct owner owner;

	strcpy(ret_node, "?");
	buf_addf(&full, "%s/%s", witness->queue, path);
	if (!io_read_file(buf_text(&full), OWNER_MAX_BYTES, &text) && !owner_parse(buf_text(&text), text.len, &owner))
		strcpy(ret_node, owner.node);
	buf_release(&full);
	buf_release(&text);
}

static void tell(struct witness *witness, int64_t now, const char *node, const char *event, const char *unit, const char *detail)
{
	buf_addf(&witness->out, "%" PRId64 " disk %s %s %s %" PRId64 "%s%s\n", now, node, event, unit, witness->empty_ns, *detail ? " " : "",
		 detail);
}

/*
 * A heartbeat file was made. It is watched by itself: on a brick of GlusterFS it may be written to under another name, below .glusterfs, of which the
 * directory nodes/ hears nothing.
 */
static void see_node(struct witness *witness, int64_t now, const char *name)
{
	struct buf path = BUF_INIT;
	enum layout_node_file kind;
	void *before = NULL;
	char *node;
	size_t len;
	int watch;

	if (layout_parse_node_file(name, strlen(name), &len, &kind) < 0 || kind != LAYOUT_HEARTBEAT || !(node = strndup(name, len)))
		return;
	tell(witness, now, node, "beat", "-", "");
	buf_addf(&path, "%s/%s/%s", witness->queue, LAYOUT_NODES, name);
	watch = inotify_add_watch(witness->inotify, buf_text(&path), IN_MODIFY);
	buf_release(&path);
	if (watch < 0 || map_set(&witness->beats, &watch, sizeof(watch), node, &before) < 0)
		before = node;
	free(before);
}

static void see_beat(struct witness *witness, int64_t now, const struct inotify_event *event)
{
	const char *node = map_get(&witness->beats, &event->wd, sizeof(event->wd));

	if (node && (event->mask & IN_MODIFY))
		tell(witness, now, node, "beat", "-", "");
}

/*
 * What a claim that was renamed over has become. It may be gone again when we come to look: swept behind a marker that was made meanwhile, as a claim is that
 * had to be moved to a file with links left. Nobody is accused of what was not seen.
 */
static const char *fate(struct witness *witness, const char *path)
{
	struct buf full = BUF_INIT;
	const char *event = "moved";
	struct stat status;

	buf_addf(&full, "%s/%s", witness->queue, path);
	if (!lstat(buf_text(&full), &status))
		event = status.st_mtime == 1 ? "freed" : status.st_mtime == 0 ? "lost" : "moved";
	buf_release(&full);
	return event;
}

static void see_claim(struct witness *witness, int64_t now, const char *name, uint32_t mask)
{
	char path[LAYOUT_PATH], detail[32], node[LAYOUT_MAX_NODE + 1] = "?";
	const char *event = "swept";
	struct layout_claim claim;

	if (layout_parse_claim(name, strlen(name), &claim) < 0)
		return;
	layout_claim(path, &claim);
	if (!(mask & IN_DELETE))
		owner_of(witness, path, node);
	if (mask & IN_CREATE)
		event = "link";
	else if (mask & IN_MOVED_TO)
		event = fate(witness, path);
	snprintf(detail, sizeof(detail), "%u.%u", claim.generation, claim.number);
	tell(witness, now, node, event, name_of(witness, &claim.unit), detail);
}

/* done/KK, failed and redo: UNIT.G */
static void see_mark(struct witness *witness, int64_t now, enum place place, const char *name, uint32_t mask)
{
	char path[LAYOUT_PATH], detail[32], node[LAYOUT_MAX_NODE + 1] = "?";
	const char *event = place == PLACE_FAILED ? "aside" : place == PLACE_REDO ? "began" : "marker";
	struct hash128 unit;
	uint32_t generation;

	if (layout_parse_marker(name, strlen(name), &unit, &generation) < 0)
		return;
	if (mask & IN_DELETE) {
		event = "unmarked";
	} else if (place >= PLACE_DONE) {
		layout_marker(path, &unit, generation);
		owner_of(witness, path, node);
	}
	snprintf(detail, sizeof(detail), "%u", generation);
	tell(witness, now, node, event, name_of(witness, &unit), detail);
}

static void see(struct witness *witness, int64_t now, const struct inotify_event *event)
{
	int place = 0;

	if (event->mask & IN_Q_OVERFLOW)
		tell(witness, now, "-", "blind", "-", "");
	see_beat(witness, now, event);
	if (!event->len)
		return;
	while (place < PLACES && witness->watch[place] != event->wd)
		place++;
	if (place == PLACE_NODES && (event->mask & IN_CREATE))
		see_node(witness, now, event->name);
	else if (place == PLACE_CLAIMS && (event->mask & (IN_CREATE | IN_MOVED_TO | IN_DELETE)))
		see_claim(witness, now, event->name, event->mask);
	else if (place > PLACE_CLAIMS && place < PLACES && (event->mask & (IN_CREATE | IN_MOVED_TO | IN_DELETE)))
		see_mark(witness, now, (enum place)place, event->name, event->mask);
}

/* ---- the queue of events ---- */

/* Reads once; 1 something, 0 nothing was there, or -errno. */
static int read_events(struct witness *witness)
{
	static char buffer[BUFFER] __attribute__((aligned(__alignof__(struct inotify_event))));
	int64_t before = clock_now(), now;
	ssize_t len = read(witness->inotify, buffer, sizeof(buffer));
	int error;

	if (len < 0 && errno != EAGAIN)
		return -errno;
	now = clock_now();
	for (char *at = buffer; len > 0 && at < buffer + len;) {
		const struct inotify_event *event = (const struct inotify_event *)(void *)at;

		see(witness, now, event);
		at += sizeof(*event) + event->len;
	}
	/* A buffer with room left means that no more was there. */
	if (len < (ssize_t)(sizeof(buffer) - sizeof(struct inotify_event) - NAME_MAX - 1))
		witness->empty_ns = before;
	error = buf_error(&witness->out) ? buf_error(&witness->out) : io_write_all(witness->history, buf_text(&witness->out), witness->out.len);
	buf_reset(&witness->out);
	return error ? error : len > 0;
}

static int watch_all(struct witness *witness)
{
	struct pollfd polled = { .fd = witness->inotify, .events = POLLIN };
	int64_t before;
	int got;

	for (;;) {
		before = clock_now();
		got = poll(&polled, 1, IDLE_MS);
		if (got == 0)
			witness->empty_ns = before;
		got = read_events(witness);
		if (got < 0 || (got == 0 && ending))
			return got;
	}
}

/* ---- the start ---- */

static int add_watch(struct witness *witness, enum place place, const char *dir)
{
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s/%s", witness->queue, dir);
	error = buf_error(&path) ? buf_error(&path) : io_mkdirs(path.data, 0755);
	if (!error)
		witness->watch[place] = inotify_add_watch(witness->inotify, path.data, IN_CREATE | IN_MOVED_TO | IN_DELETE);
	if (!error && witness->watch[place] < 0)
		error = -errno;
	buf_release(&path);
	return error;
}

static int add_watches(struct witness *witness)
{
	char dir[LAYOUT_PATH];
	int error = add_watch(witness, PLACE_NODES, LAYOUT_NODES);

	error = error ? error : add_watch(witness, PLACE_CLAIMS, LAYOUT_CLAIMS);
	error = error ? error : add_watch(witness, PLACE_FAILED, LAYOUT_FAILED);
	error = error ? error : add_watch(witness, PLACE_REDO, LAYOUT_REDO);
	for (int i = 0; i < MARKER_DIRS && !error; i++) {
		snprintf(dir, sizeof(dir), "%s/%02x", LAYOUT_DONE, i);
		error = add_watch(witness, (enum place)(PLACE_DONE + i), dir);
	}
	return error;
}

static int learn(struct witness *witness, const struct hash128 *hash, const char *unit)
{
	char hex[HASH_HEX_LEN + 1], *name = strdup(unit);
	void *before = NULL;
	int error;

	hash128_hex(hash, hex);
	error = name ? map_set_str(&witness->names, hex, name, &before) : -ENOMEM;
	free(error ? name : before);	/* of the same content */
	return error;
}

/* UNIT and, where it is another, KEY (layout.h). */
static int learn_input(struct witness *witness, const char *path, const char *unit, const struct stat *status)
{
	bool with_stat = strcmp(witness->key, "name") != 0;
	struct hash128 hash = layout_unit(unit, with_stat, (uint64_t)status->st_size, status->st_mtime);
	struct buf text = BUF_INIT;
	int error = learn(witness, &hash, unit);

	if (!error && !strcmp(witness->key, "content")) {
		error = io_read_file(path, INPUT_BYTES, &text);
		hash = hash128_of(text.data, text.len);
		error = error ? error : learn(witness, &hash, unit);
	}
	buf_release(&text);
	return error;
}

static int learn_names(struct witness *witness, const char *dir, size_t base)
{
	struct buf path = BUF_INIT;
	struct dirent *entry;
	struct stat status;
	int error = 0;
	DIR *listed = opendir(dir);

	if (!listed)
		return -errno;
	while (!error && (entry = readdir(listed))) {
		if (entry->d_name[0] == '.')
			continue;
		buf_reset(&path);
		buf_addf(&path, "%s/%s", dir, entry->d_name);
		error = buf_error(&path) ? buf_error(&path) : lstat(path.data, &status) < 0 ? -errno : 0;
		if (!error && S_ISDIR(status.st_mode))
			error = learn_names(witness, path.data, base);
		else if (!error)
			error = learn_input(witness, path.data, path.data + base, &status);
	}
	closedir(listed);
	buf_release(&path);
	return error;
}

static int learn_inputs(struct witness *witness)
{
	struct buf dir = BUF_INIT;
	int error;

	buf_addf(&dir, "%s/inputs", witness->queue);
	error = buf_error(&dir) ? buf_error(&dir) : learn_names(witness, dir.data, dir.len + 1);
	buf_release(&dir);
	return error;
}

static void forget_map(struct map *map)
{
	size_t cursor = 0;
	char *name;

	while ((name = map_next(map, &cursor, NULL, NULL)))
		free(name);
	map_release(map);
}

static void forget(struct witness *witness)
{
	forget_map(&witness->names);
	forget_map(&witness->beats);
	buf_release(&witness->out);
}

int main(int argc, char **argv)
{
	struct witness witness = { .history = -1, .empty_ns = clock_now() };
	struct sigaction action = { .sa_handler = on_term };
	struct sched_param first = { .sched_priority = 1 };
	int error;

	if (argc != 4) {
		fprintf(stderr, "usage: witness QUEUE HISTORY name|stat|content\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	/* It must not lag when the machine is busy; without the right to it, it knows times and owners less well. */
	sched_setscheduler(0, SCHED_FIFO, &first);
	witness.queue = argv[1];
	witness.key = argv[3];
	map_init(&witness.names);
	map_init(&witness.beats);
	witness.history = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	witness.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	error = witness.history < 0 || witness.inotify < 0 ? -errno : learn_inputs(&witness);
	if (!error)
		error = add_watches(&witness);
	if (!error) {
		puts("ready");
		fflush(stdout);
		error = watch_all(&witness);
	}
	if (error)
		fprintf(stderr, "witness: cannot watch %s: %s\n", argv[1], strerror(-error));
	forget(&witness);
	return error ? 1 : 0;
}
