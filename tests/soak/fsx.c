/*
 * fsx: random operations on a few files of a mount, each compared byte by byte with a model in memory. The idea is Apple's fsx; the code is ours.
 *
 *   fsx [-s SEED] [-n OPERATIONS] [-m MAX-SIZE] [-l MAX-LENGTH] [-o OTHER-DIR] [-d DISK-DIR] [-c EVERY [-p CONTROL] [-k PID]] DIR
 *
 * DIR lies on the mount and is empty. -o: the same directory seen through another mount, where closed files are opened too. -d: the same directory on
 * the server's disk: looked at after fsync and close. -c: about every EVERY operations a connection is broken, through the fault pipe with
 * that control socket, or by killing children of that process.
 *
 * The same seed does the same operations, as far as the mount lets it. Ends 0, or 1 with the operations that led to the first difference. While connections
 * are cut, a file that is unlinked and open may be lost: it lives by its handle on the server. ESTALE or EIO is right for it then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/soak/fsx.h"

static const char *path_of(const char *dir, int name)
{
	static char paths[4][512];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%c", dir, 'a' + name);
	return paths[turn];
}

static size_t random_len(struct run *run)
{
	size_t most = (size_t)16 << run_random(run, 20);

	if (most > run->max_len)
		most = run->max_len;
	return 1 + run_random(run, (uint32_t)most);
}

/* Somewhere in the file, near its end, at a page, or (`beyond`) anywhere. */
static size_t random_offset(struct run *run, const struct object *object, size_t len, bool beyond)
{
	size_t offset;

	switch (run_random(run, beyond ? 5 : 4)) {
	case 0:
		offset = object->size;
		break;
	case 1:
		offset = run_random(run, (uint32_t)object->size + 1) & ~(size_t)4095;
		break;
	case 4:
		offset = run_random(run, (uint32_t)run->max_size);
		break;
	default:
		offset = run_random(run, (uint32_t)object->size + 1);
	}
	return offset + len > run->max_size ? run->max_size - len : offset;
}

static bool is_readable(const struct open_handle *handle)
{
	return (handle->flags & O_ACCMODE) != O_WRONLY;
}

static bool is_writable(const struct open_handle *handle)
{
	return (handle->flags & O_ACCMODE) != O_RDONLY;
}

/* May this file be gone with its connection? Then the rest of its handles is closed, whatever that says. */
static void failed(struct run *run, struct object *object, int error, const char *what)
{
	int i;

	run_suspect(run, object);
	if (!run_may_lose(run, object) || (error != ESTALE && error != EIO))
		run_fail(run, "%s of file %d: %s", what, run_index(run, object), strerror(error));
	run_log(run, "file %d is lost: %s", run_index(run, object), strerror(error));
	for (i = 0; i < HANDLES; i++) {
		if (run->handles[i].object != object)
			continue;
		close(run->handles[i].fd);
		handle_end(&run->handles[i]);
	}
}

/* ---- the server's own view ---- */

static void read_whole(struct run *run, const struct object *object, const char *dir, const char *how)
{
	int fd = open(path_of(dir, object->name), O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t len;

	if (fd < 0)
		run_fail(run, "%s of file %d: %s", how, run_index(run, object), strerror(errno));
	while (done < run->max_size && (len = pread(fd, run->buffer + done, run->max_size - done, (off_t)done)) > 0)
		done += (size_t)len;
	close(fd);
	run_compare(run, object, 0, run->max_size, run->buffer, (ssize_t)done, how);
}

static void look_at_disk(struct run *run, const struct object *object)
{
	if (run->disk && object->name >= 0)
		read_whole(run, object, run->disk, "the server's own bytes");
}

/* ---- operations on descriptors ---- */

static void do_read(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	size_t len = random_len(run), offset;
	ssize_t got;

	if (!handle || !is_readable(handle))
		return;
	offset = random_offset(run, handle->object, len, true);
	run_log(run, "read file %d fd %d: %zu + %zu", run_index(run, handle->object), handle->fd, offset, len);
	got = pread(handle->fd, run->buffer, len, (off_t)offset);
	if (got < 0)
		failed(run, handle->object, errno, "read");
	else if (!run_compare(run, handle->object, offset, len, run->buffer, got, "read"))
		failed(run, handle->object, ESTALE, "read");
}

/* In sequence, so that the mount reads ahead. */
static void do_read_on(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	size_t piece = 1000 + run_random(run, 40000), at = 0;
	ssize_t got;

	if (!handle || !is_readable(handle))
		return;
	run_log(run, "read file %d fd %d: all, %zu at a time", run_index(run, handle->object), handle->fd, piece);
	do {
		if (at + piece > run->max_size)
			piece = run->max_size - at;
		got = pread(handle->fd, run->buffer, piece, (off_t)at);
		if (got < 0) {
			failed(run, handle->object, errno, "read");
			return;
		}
		if (!run_compare(run, handle->object, at, piece, run->buffer, got, "read in sequence")) {
			failed(run, handle->object, ESTALE, "read");
			return;
		}
		at += (size_t)got;
	} while (got > 0 && at < run->max_size);
}

static void do_write(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	struct object *object;
	size_t len = random_len(run), offset;
	ssize_t put;

	if (!handle || !is_writable(handle))
		return;
	object = handle->object;
	offset = handle->flags & O_APPEND ? object->size : random_offset(run, object, len, run_chance(run, 20));
	if (offset + len > run->max_size)
		return;
	run_fill(run, run->buffer, len);
	run_log(run, "%s file %d fd %d: %zu + %zu (size %zu)", handle->flags & O_APPEND ? "append" : "write", run_index(run, object), handle->fd,
		offset, len, object->size);
	put = handle->flags & O_APPEND ? write(handle->fd, run->buffer, len) : pwrite(handle->fd, run->buffer, len, (off_t)offset);
	if (put != (ssize_t)len) {
		failed(run, object, put < 0 ? errno : ESTALE, "write");
		return;
	}
	object_write(object, offset, run->buffer, len);
}

/* A run of small writes that join. */
static void do_write_on(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	struct object *object;
	size_t piece = 1 + run_random(run, 3000), offset, left = run_random(run, 60) + 1;
	ssize_t put;

	if (!handle || !is_writable(handle) || handle->flags & O_APPEND)
		return;
	object = handle->object;
	offset = random_offset(run, object, piece, false);
	run_log(run, "write file %d fd %d: %zu + %zu times %zu (size %zu)", run_index(run, object), handle->fd, offset, left, piece, object->size);
	for (; left && offset + piece <= run->max_size; left--, offset += piece) {
		run_fill(run, run->buffer, piece);
		put = pwrite(handle->fd, run->buffer, piece, (off_t)offset);
		if (put != (ssize_t)piece) {
			failed(run, object, put < 0 ? errno : ESTALE, "write");
			return;
		}
		object_write(object, offset, run->buffer, piece);
	}
}

static void do_truncate(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	struct object *object;
	size_t size;

	if (!handle || !is_writable(handle))
		return;
	object = handle->object;
	size = random_offset(run, object, 0, true);
	run_log(run, "ftruncate file %d fd %d: %zu (size %zu)", run_index(run, object), handle->fd, size, object->size);
	if (ftruncate(handle->fd, (off_t)size))
		failed(run, object, errno, "ftruncate");
	else
		object_truncate(object, size);
}

/* Before it maps or copies a file a program asks how long it is. (The kernel doesn't by itself: it goes by what it knew before another node wrote.) */
static void check_size(struct run *run, const struct open_handle *handle)
{
	struct object *object = handle->object;
	struct stat st;

	run_suspect(run, object);
	if (fstat(handle->fd, &st))
		failed(run, object, errno, "fstat");
	else if ((size_t)st.st_size != object->size && run_may_lose(run, object))
		failed(run, object, ESTALE, "fstat");
	else if ((size_t)st.st_size != object->size)
		run_fail(run, "fstat of file %d: size %lld, expected %zu", run_index(run, object), (long long)st.st_size, object->size);
}

static void do_stat(struct run *run)
{
	struct open_handle *handle = handle_any(run);

	if (!handle)
		return;
	run_log(run, "fstat file %d fd %d", run_index(run, handle->object), handle->fd);
	check_size(run, handle);
}

static void do_fsync(struct run *run)
{
	struct open_handle *handle = handle_any(run);

	if (!handle)
		return;
	run_log(run, "fsync file %d fd %d", run_index(run, handle->object), handle->fd);
	if (fsync(handle->fd))
		failed(run, handle->object, errno, "fsync");
	else
		look_at_disk(run, handle->object);
}

/* ---- mappings ---- */

static void map_read(struct run *run, const struct object *object, const uint8_t *map)
{
	size_t len = random_len(run), offset = random_offset(run, object, len, false);

	if (offset >= object->size)
		return;
	if (len > object->size - offset)
		len = object->size - offset;
	run_log(run, "mapped read file %d: %zu + %zu", run_index(run, object), offset, len);
	run_compare(run, object, offset, len, map + offset, (ssize_t)len, "mapped read");
}

static void map_write(struct run *run, const struct open_handle *handle, uint8_t *map)
{
	size_t len = random_len(run), offset = random_offset(run, handle->object, len, false);
	bool sync = run_chance(run, 60) || handle->flags & O_APPEND;
	struct object *object = handle->object;

	if (offset >= object->size)
		return;
	if (len > object->size - offset)
		len = object->size - offset;
	run_fill(run, run->buffer, len);
	run_log(run, "mapped write file %d: %zu + %zu%s", run_index(run, object), offset, len, sync ? ", msync" : "");
	memcpy(map + offset, run->buffer, len);
	object_write(object, offset, run->buffer, len);
	if (sync && msync(map, object->size, MS_SYNC))
		run_fail(run, "msync of file %d: %s", run_index(run, object), strerror(errno));
	if (sync)
		look_at_disk(run, object);
}

static void do_map(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	struct object *object = handle ? handle->object : NULL;
	bool write = run_chance(run, 50);
	uint8_t *map;

	/* What is lost with its connection ends in SIGBUS. */
	if (!handle || !object->size || run_may_lose(run, object) || (handle->flags & O_ACCMODE) == O_WRONLY)
		return;
	/* A file that is open with O_APPEND only and has no name takes no pages. */
	if ((handle->flags & O_ACCMODE) != O_RDWR || (handle->flags & O_APPEND && object->name < 0))
		write = false;
	check_size(run, handle);
	map = mmap(NULL, object->size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, handle->fd, 0);
	if (map == MAP_FAILED)
		run_fail(run, "mmap of file %d: %s", run_index(run, object), strerror(errno));
	if (write)
		map_write(run, handle, map);
	map_read(run, object, map);
	if (munmap(map, object->size))
		run_fail(run, "munmap: %s", strerror(errno));
}

/* ---- two descriptors ---- */

static void do_copy(struct run *run)
{
	struct open_handle *from = handle_any(run), *to = handle_any(run);
	size_t len = random_len(run), at, put, most;
	loff_t from_offset, to_offset;
	ssize_t copied;

	if (!from || from->object == to->object || !is_readable(from) || !is_writable(to) || to->flags & O_APPEND || from->object->side != to->object->side)
		return;
	if (run_may_lose(run, from->object) || run_may_lose(run, to->object))
		return;
	check_size(run, from);
	at = random_offset(run, from->object, len, false);
	put = random_offset(run, to->object, len, true);
	from_offset = (loff_t)at;
	to_offset = (loff_t)put;
	run_log(run, "copy file %d %zu + %zu to file %d %zu", run_index(run, from->object), at, len, run_index(run, to->object), put);
	copied = copy_file_range(from->fd, &from_offset, to->fd, &to_offset, len, 0);
	most = at < from->object->size ? from->object->size - at : 0;
	if (most > len)
		most = len;
	if (copied < 0 || (size_t)copied > most || (most && !copied))
		run_fail(run, "copy_file_range: %zd of %zu: %s", copied, most, copied < 0 ? strerror(errno) : "not what there is");
	object_write(to->object, put, from->object->data + at, (size_t)copied);
}

/* ---- names ---- */

static int random_side(struct run *run, const struct object *object)
{
	return object && object->handles ? object->side : (int)run_random(run, (uint32_t)run->sides);
}

static void do_open(struct run *run)
{
	static const int modes[] = { O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_APPEND, O_WRONLY | O_APPEND };
	int name = (int)run_random(run, NAMES), flags = modes[run_random(run, 7)], side, fd, free = 0, i;
	struct object *object = object_named(run, name);

	for (i = 0; i < HANDLES; i++)
		free += !run->handles[i].object;
	if (!free)
		return;
	side = random_side(run, object);
	if (!object || run_chance(run, 20))
		flags |= O_CREAT;
	if (!object && run_chance(run, 50))
		flags |= O_EXCL;
	if (object && (flags & O_ACCMODE) != O_RDONLY && run_chance(run, 10))
		flags |= O_TRUNC;
	if (!object && !(object = object_new(run, name)))
		return;
	run_log(run, "open file %d %c side %d flags 0%o (size %zu)", run_index(run, object), 'a' + name, side, flags, object->size);
	fd = open(path_of(run->dir[side], name), flags | O_CLOEXEC, 0644);
	/* Its answer was lost: nobody can know who made it, so nobody is told that it was him. */
	if (fd < 0 && errno == EEXIST && run_cuts(run) && flags & O_EXCL)
		fd = open(path_of(run->dir[side], name), (flags & ~O_EXCL) | O_CLOEXEC, 0644);
	if (fd < 0)
		run_fail(run, "open: %s", strerror(errno));
	if (flags & O_TRUNC)
		object_truncate(object, 0);
	handle_new(run, object, side, fd, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
}

static void do_close(struct run *run)
{
	struct open_handle *handle = handle_any(run);
	struct object *object;
	bool written;
	int fd;

	if (!handle)
		return;
	object = handle->object;
	fd = handle->fd;
	written = is_writable(handle);
	run_log(run, "close file %d fd %d", run_index(run, object), fd);
	handle_end(handle);
	if (close(fd))
		failed(run, object, errno, "close");
	else if (object->used && written)
		look_at_disk(run, object);
}

static void do_truncate_path(struct run *run)
{
	struct object *object = object_named(run, (int)run_random(run, NAMES));
	int side = random_side(run, object);
	size_t size;

	if (!object)
		return;
	size = random_offset(run, object, 0, true);
	run_log(run, "truncate file %d %c side %d: %zu (size %zu)", run_index(run, object), 'a' + object->name, side, size, object->size);
	if (truncate(path_of(run->dir[side], object->name), (off_t)size))
		run_fail(run, "truncate: %s", strerror(errno));
	object_truncate(object, size);
	look_at_disk(run, object);
}

static void do_rename(struct run *run)
{
	struct object *object = object_named(run, (int)run_random(run, NAMES)), *replaced;
	int to = (int)run_random(run, NAMES), side = random_side(run, object);

	replaced = object_named(run, to);
	if (!object || object == replaced || (replaced && replaced->handles && replaced->side != side))
		return;
	run_log(run, "rename file %d %c to %c side %d%s", run_index(run, object), 'a' + object->name, 'a' + to, side, replaced ? ", replaces" : "");
	if (rename(path_of(run->dir[side], object->name), path_of(run->dir[side], to)))
		run_fail(run, "rename: %s", strerror(errno));
	if (replaced)
		object_unlinked(replaced);
	object->name = to;
}

static void do_unlink(struct run *run)
{
	struct object *object = object_named(run, (int)run_random(run, NAMES));
	int side = random_side(run, object);

	if (!object)
		return;
	run_log(run, "unlink file %d %c side %d (%d handles)", run_index(run, object), 'a' + object->name, side, object->handles);
	if (unlink(path_of(run->dir[side], object->name)))
		run_fail(run, "unlink: %s", strerror(errno));
	object_unlinked(object);
}

/* What an open that comes after the last close sees. */
static void do_check(struct run *run)
{
	struct object *object = object_named(run, (int)run_random(run, NAMES));
	int side = random_side(run, object);

	if (!object)
		return;
	run_log(run, "check file %d %c side %d (size %zu)", run_index(run, object), 'a' + object->name, side, object->size);
	read_whole(run, object, run->dir[side], "a fresh read");
}

/* ---- the run ---- */

static const struct {
	uint32_t weight;
	void (*run)(struct run *run);
} operations[] = {
	{ 20, do_read }, { 6, do_read_on }, { 26, do_write }, { 6, do_write_on }, { 6, do_truncate }, { 6, do_stat }, { 4, do_fsync },
	{ 10, do_map }, { 3, do_copy }, { 9, do_open }, { 7, do_close }, { 2, do_truncate_path }, { 3, do_rename }, { 2, do_unlink }, { 4, do_check },
};

static void do_something(struct run *run)
{
	uint32_t total = 0, dice;
	size_t i, count = sizeof(operations) / sizeof(*operations);

	for (i = 0; i < count; i++)
		total += operations[i].weight;
	dice = run_random(run, total);
	for (i = 0; dice >= operations[i].weight; i++)
		dice -= operations[i].weight;
	operations[i].run(run);
}

/* Each name that should be there is, and no other. */
static void check_names(struct run *run, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int found = 0, expected = 0, i;

	if (!dir)
		run_fail(run, "%s: %s", path, strerror(errno));
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (entry->d_name[1] || !object_named(run, entry->d_name[0] - 'a'))
			run_fail(run, "%s lists %s, which should not be there", path, entry->d_name);
		found++;
	}
	closedir(dir);
	for (i = 0; i < NAMES; i++)
		expected += object_named(run, i) != NULL;
	if (found != expected)
		run_fail(run, "%s lists %d files, expected %d", path, found, expected);
}

static void finish(struct run *run)
{
	int i, side;

	for (i = 0; i < HANDLES; i++) {
		struct open_handle *handle = &run->handles[i];

		if (!handle->object)
			continue;
		if (close(handle->fd) && !run_may_lose(run, handle->object))
			run_fail(run, "close of file %d: %s", run_index(run, handle->object), strerror(errno));
		handle_end(handle);
	}
	for (side = 0; side < run->sides; side++) {
		check_names(run, run->dir[side]);
		for (i = 0; i < NAMES; i++)
			if (object_named(run, i))
				read_whole(run, object_named(run, i), run->dir[side], "the last read");
	}
	for (i = 0; i < NAMES; i++) {
		struct object *object = object_named(run, i);

		if (!object)
			continue;
		look_at_disk(run, object);
		if (unlink(path_of(run->dir[0], i)))
			run_fail(run, "unlink: %s", strerror(errno));
	}
}

static struct run *bus_run;

static void bus_error(int number)
{
	(void)number;
	run_fail(bus_run, "a page of a mapping could not be had (SIGBUS)");
}

static int usage(void)
{
	fprintf(stderr, "usage: fsx [-s SEED] [-n OPERATIONS] [-m MAX-SIZE] [-l MAX-LENGTH] [-o OTHER-DIR] [-d DISK-DIR] "
		"[-c EVERY [-p CONTROL] [-k PID]] DIR\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct run run = { .seed = 1, .ops = 10000, .max_size = 256 * 1024, .max_len = 64 * 1024, .sides = 1 };
	int letter;

	while ((letter = getopt(argc, argv, "s:n:m:l:o:d:c:p:k:")) != -1) {
		switch (letter) {
		case 's':
			run.seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			run.ops = strtol(optarg, NULL, 0);
			break;
		case 'm':
			run.max_size = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			run.max_len = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			run.dir[1] = optarg;
			run.sides = 2;
			break;
		case 'd':
			run.disk = optarg;
			break;
		case 'c':
			run.cut_every = strtol(optarg, NULL, 0);
			break;
		case 'p':
			run.control = optarg;
			break;
		case 'k':
			run.children_of = strtol(optarg, NULL, 0);
			break;
		default:
			return usage();
		}
	}
	if (argc - optind != 1 || run.max_len < 1 || run.max_size < run.max_len || (run.cut_every && !run.control && !run.children_of))
		return usage();
	run.dir[0] = argv[optind];
	run_init(&run);
	bus_run = &run;
	signal(SIGBUS, bus_error);
	for (run.op = 0; run.op < run.ops; run.op++) {
		if (run_cuts(&run) && !run_random(&run, (uint32_t)run.cut_every))
			cut_something(&run);
		do_something(&run);
	}
	finish(&run);
	printf("fsx: seed %llu: %ld operations, %ld cuts: every byte as it should be\n", (unsigned long long)run.seed, run.op, run.cuts);
	run_end(&run);
	return 0;
}
