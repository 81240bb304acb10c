/*
 * store_flight: what each operation of queue/store.h is in requests of sftp/client.h. See store_flight.h for steps.
 */
#include "tree/store_flight.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tree/damage.h"
#include "tree/errors.h"

#define SMALL_READ 65536	/* up to here a read needs no size first, and the control connection carries it */
#define READ_WINDOW 8		/* reads of one file in flight */
#define COPY_BYTES 262144

void store_attrs_of(const struct sftp_attrs *attrs, struct store_attrs *ret_attrs)
{
	ret_attrs->size = attrs->flags & SFTP_ATTR_SIZE ? attrs->size : 0;
	ret_attrs->mode = attrs->flags & SFTP_ATTR_MODE ? attrs->mode : 0;
	ret_attrs->mtime = attrs->flags & SFTP_ATTR_TIMES ? (int64_t)attrs->mtime : 0;
}

/* ---- steps ---- */

static struct sftp *sftp_of(const struct slot *slot)
{
	return slot->flight->store->sftp;
}

static void step_begin(struct slot *slot, void (*next)(struct slot *slot))
{
	slot->next = next;
	slot->waiting = 1;
}

/* One answer more is there, or (by step_send) all requests are sent. */
static void step_answer(struct slot *slot, int error)
{
	struct store_sftp *store = slot->flight->store;
	bool last;

	pthread_mutex_lock(&store->lock);
	if (error < 0 && slot->error == 0)
		slot->error = error;
	last = --slot->waiting == 0;
	pthread_mutex_unlock(&store->lock);
	if (last)
		slot->next(slot);
}

/* Before each request of a step. */
static void step_expect(struct slot *slot)
{
	struct store_sftp *store = slot->flight->store;

	pthread_mutex_lock(&store->lock);
	slot->waiting++;
	pthread_mutex_unlock(&store->lock);
}

/* After it: what submitting it said. */
static void step_sent(struct slot *slot, int error)
{
	if (error < 0)
		step_answer(slot, error);
}

static void note_times(struct slot *slot, const struct sftp_reply *reply)
{
	struct store_sftp *store = slot->flight->store;

	pthread_mutex_lock(&store->lock);
	if (slot->sent_ns == 0)
		slot->sent_ns = reply->sent_ns;
	if (reply->received_ns > slot->received_ns)	/* a close of several handles has no one moment: 0 */
		slot->received_ns = reply->received_ns;
	pthread_mutex_unlock(&store->lock);
}

static void on_done(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	step_answer(slot, reply->error);
}

static void on_attrs(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	if (reply->error == 0)
		store_attrs_of(&reply->attrs, &slot->attrs);
	step_answer(slot, reply->error);
}

static void on_open(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	if (reply->error == 0)
		slot->file = reply->file;
	step_answer(slot, reply->error);
}

static void on_open2(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	if (reply->error == 0)
		slot->file2 = reply->file;
	step_answer(slot, reply->error);
}

static void on_chunk(void *arg, const struct sftp_reply *reply)
{
	struct chunk *chunk = arg;

	note_times(chunk->slot, reply);
	if (reply->error == 0)
		chunk->got = reply->len <= chunk->len ? reply->len : chunk->len;
	step_answer(chunk->slot, reply->error);
}

/* Closes what only was read: nobody waits for the answer. */
static void close_quietly(struct sftp_file **file)
{
	if (*file)
		(void)sftp_close(*file, NULL, NULL);
	*file = NULL;
}

/* ---- one request each ---- */

/* A step of one request that ends the slot. */
#define SIMPLE(slot, call)                        \
	do {                                      \
		step_begin((slot), slot_end);     \
		step_expect(slot);                \
		step_sent((slot), (call));        \
		step_answer((slot), 0);           \
	} while (0)

static void start_link(struct slot *slot, const char *path, const char *path2)
{
	SIMPLE(slot, sftp_hardlink(sftp_of(slot), SFTP_CONTROL, path, path2, on_done, slot));
}

static void start_lstat(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	SIMPLE(slot, sftp_lstat(sftp_of(slot), SFTP_CONTROL, path, on_attrs, slot));
}

static void start_rename(struct slot *slot, const char *path, const char *path2)
{
	SIMPLE(slot, sftp_posix_rename(sftp_of(slot), SFTP_CONTROL, path, path2, on_done, slot));
}

static void start_remove(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	SIMPLE(slot, sftp_remove(sftp_of(slot), SFTP_CONTROL, path, on_done, slot));
}

static void start_mkdir(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	SIMPLE(slot, sftp_mkdir(sftp_of(slot), SFTP_CONTROL, path, 0777, on_done, slot));
}

static void start_rmdir(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	SIMPLE(slot, sftp_rmdir(sftp_of(slot), SFTP_CONTROL, path, on_done, slot));
}

static void start_utime(struct slot *slot, const char *path, const char *path2)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_TIMES, .atime = (uint32_t)slot->mtime, .mtime = (uint32_t)slot->mtime };
	bool nofollow = sftp_features(sftp_of(slot)) & SFTP_HAS_LSETSTAT;

	(void)path2;
	SIMPLE(slot, sftp_setstat(sftp_of(slot), SFTP_CONTROL, path, &attrs, nofollow, on_done, slot));
}

static void start_fstat(struct slot *slot, const char *path, const char *path2)
{
	(void)path;
	(void)path2;
	SIMPLE(slot, sftp_fstat(slot->target->file, on_attrs, slot));
}

/* ---- writing ---- */

static void on_disk(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;
	struct errors_disk disk = { .error = reply->error, .statvfs = reply->statvfs };

	slot->error = errors_blame_disk(&disk);		/* the step's only answer: nobody else looks */
	step_answer(slot, 0);
}

/* The end of what only a disk can refuse, an open file's bytes: SFTP says "failure" for a full one too, so look. */
static void write_end(struct slot *slot)
{
	if (slot->error != STORE_FAILURE) {
		slot_end(slot);
		return;
	}
	SIMPLE(slot, sftp_statvfs(sftp_of(slot), SFTP_CONTROL, *slot->flight->store->root ? slot->flight->store->root : "/", on_disk, slot));
}

/* Cuts `len` bytes from `offset` into requests of at most `most`. 0 or -ENOMEM. */
static int make_chunks(struct slot *slot, char *data, size_t len, uint64_t offset, size_t most)
{
	size_t i, count = (len + most - 1) / most;

	slot->chunks = calloc(count > 0 ? count : 1, sizeof(*slot->chunks));
	if (!slot->chunks)
		return -ENOMEM;
	slot->chunk_count = count;
	for (i = 0; i < count; i++) {
		struct chunk *chunk = &slot->chunks[i];

		chunk->slot = slot;
		chunk->data = data + i * most;
		chunk->offset = offset + i * most;
		chunk->len = i + 1 < count ? most : len - i * most;
	}
	return 0;
}

/* Sends all writes at once and in order, so that nothing else comes between the parts of an append. */
static void send_writes(struct slot *slot, struct sftp_file *file)
{
	size_t i;

	for (i = 0; i < slot->chunk_count; i++) {
		struct chunk *chunk = &slot->chunks[i];

		step_expect(slot);
		step_sent(slot, sftp_write(file, chunk->offset, chunk->data, chunk->len, on_chunk, chunk));
	}
}

static void start_write(struct slot *slot, const char *path, const char *path2)
{
	int error;

	(void)path;
	(void)path2;
	step_begin(slot, write_end);
	error = make_chunks(slot, slot->bytes, slot->bytes_len, slot->offset, sftp_max_write(sftp_of(slot)));
	if (!error)
		send_writes(slot, slot->target->file);
	step_answer(slot, error);
}

/* Closing a file that was written can fail (a full disk behind NFS): its answer counts. */
static void create_close(struct slot *slot)
{
	struct sftp_file *file = slot->file;

	slot->file = NULL;
	if (!file) {
		slot_end(slot);
		return;
	}
	step_begin(slot, write_end);
	step_expect(slot);
	step_sent(slot, sftp_close(file, on_done, slot));
	step_answer(slot, 0);
}

static void create_write(struct slot *slot)
{
	int error;

	if (slot->error) {
		slot_end(slot);
		return;
	}
	step_begin(slot, create_close);
	error = make_chunks(slot, slot->bytes, slot->bytes_len, 0, sftp_max_write(sftp_of(slot)));
	if (!error)
		send_writes(slot, slot->file);
	step_answer(slot, error);
}

static void start_create(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	step_begin(slot, create_write);
	step_expect(slot);
	step_sent(slot, sftp_open(sftp_of(slot), SFTP_CONTROL, path, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, NULL, on_open, slot));
	step_answer(slot, 0);
}

/* ---- reading ---- */

/* The bytes that were read without a gap. */
static void read_end(struct slot *slot)
{
	size_t i, len = 0;

	for (i = 0; i < slot->chunk_count; i++) {
		len += slot->chunks[i].got;
		if (slot->chunks[i].got < slot->chunks[i].len)
			break;
	}
	slot->bytes_len = slot->error ? 0 : len;
	close_quietly(&slot->file);
	slot_end(slot);
}

static void send_reads(struct slot *slot)
{
	size_t i;

	for (i = 0; i < READ_WINDOW && slot->next_chunk < slot->chunk_count; i++) {
		struct chunk *chunk = &slot->chunks[slot->next_chunk++];

		step_expect(slot);
		step_sent(slot, sftp_read(slot->file, chunk->offset, chunk->data, chunk->len, on_chunk, chunk));
	}
}

static int make_reads(struct slot *slot, size_t len)
{
	slot->bytes = malloc(len > 0 ? len : 1);
	if (!slot->bytes)
		return -ENOMEM;
	return make_chunks(slot, slot->bytes, len, slot->offset, sftp_max_read(sftp_of(slot)));
}

/* The next few reads of a large file, until all are there or one failed. */
static void read_more(struct slot *slot)
{
	if (slot->error || slot->next_chunk == slot->chunk_count) {
		read_end(slot);
		return;
	}
	step_begin(slot, read_more);
	send_reads(slot);
	step_answer(slot, 0);
}

static void read_sized(struct slot *slot)
{
	uint64_t have = slot->attrs.size > slot->offset ? slot->attrs.size - slot->offset : 0;

	if (!slot->error)
		slot->error = make_reads(slot, have < slot->max ? (size_t)have : slot->max);
	read_more(slot);
}

static void read_opened(struct slot *slot)
{
	int error = 0;

	if (slot->error) {
		slot_end(slot);
		return;
	}
	step_begin(slot, slot->max <= SMALL_READ ? read_more : read_sized);
	step_expect(slot);
	step_sent(slot, sftp_fstat(slot->file, on_attrs, slot));
	if (slot->max <= SMALL_READ) {
		error = make_reads(slot, slot->max);
		if (!error)
			send_reads(slot);
	}
	step_answer(slot, error);
}

static void start_read(struct slot *slot, const char *path, const char *path2)
{
	enum sftp_lane lane = slot->max <= SMALL_READ ? SFTP_CONTROL : SFTP_DATA;

	(void)path2;
	step_begin(slot, read_opened);
	step_expect(slot);
	step_sent(slot, sftp_open(sftp_of(slot), lane, path, SFTP_OPEN_READ, NULL, on_open, slot));
	step_answer(slot, 0);
}

/* ---- fsync ---- */

static void fsync_end(struct slot *slot)
{
	close_quietly(&slot->file);
	write_end(slot);
}

static void fsync_opened(struct slot *slot)
{
	if (slot->error) {
		slot_end(slot);
		return;
	}
	step_begin(slot, fsync_end);
	step_expect(slot);
	step_sent(slot, sftp_fsync(slot->file, on_done, slot));
	step_answer(slot, 0);
}

/* OpenSSH opens a directory for reading too, and fsyncs what it opened. What a write to it has failed is none that could be made safe. */
static void start_fsync(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	slot->error = damage_at(slot->flight->store->damage, path);
	if (slot->error) {
		slot_end(slot);
		return;
	}
	step_begin(slot, fsync_opened);
	step_expect(slot);
	step_sent(slot, sftp_open(sftp_of(slot), SFTP_DATA, path, SFTP_OPEN_READ, NULL, on_open, slot));
	step_answer(slot, 0);
}

/* ---- copy ---- */

static void copy_end(struct slot *slot)
{
	struct sftp_file *to = slot->file2;

	close_quietly(&slot->file);
	slot->file2 = NULL;
	if (!to) {
		slot_end(slot);
		return;
	}
	step_begin(slot, write_end);
	step_expect(slot);
	step_sent(slot, sftp_close(to, on_done, slot));
	step_answer(slot, 0);
}

static void copy_read(struct slot *slot);

static void copy_written(struct slot *slot)
{
	slot->chunks[0].offset += slot->bytes_len;
	copy_read(slot);
}

static void copy_write(struct slot *slot)
{
	struct chunk *chunk = &slot->chunks[0];

	slot->bytes_len = chunk->got;
	if (slot->error || slot->bytes_len == 0) {
		copy_end(slot);
		return;
	}
	step_begin(slot, copy_written);
	step_expect(slot);
	step_sent(slot, sftp_write(slot->file2, chunk->offset, chunk->data, slot->bytes_len, on_done, slot));
	step_answer(slot, 0);
}

/* Without copy-data the bytes go through here, a piece at a time. */
static void copy_read(struct slot *slot)
{
	struct chunk *chunk = &slot->chunks[0];

	if (slot->error) {
		copy_end(slot);
		return;
	}
	chunk->got = 0;
	step_begin(slot, copy_write);
	step_expect(slot);
	step_sent(slot, sftp_read(slot->file, chunk->offset, chunk->data, chunk->len, on_chunk, chunk));
	step_answer(slot, 0);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int make_copy_buffer(struct slot *slot)
{
	size_t len = smaller(COPY_BYTES, smaller(sftp_max_read(sftp_of(slot)), sftp_max_write(sftp_of(slot))));

	slot->bytes = malloc(len);
	return slot->bytes ? make_chunks(slot, slot->bytes, len, 0, len) : -ENOMEM;
}

/* A server that can't copy these, though it has the extension: through here then. */
static void copied(struct slot *slot)
{
	if (slot->error != -EOPNOTSUPP) {
		copy_end(slot);
		return;
	}
	slot->error = make_copy_buffer(slot);
	copy_read(slot);
}

static void copy_sized(struct slot *slot)
{
	if (slot->error || slot->attrs.size == 0) {
		copy_end(slot);
		return;
	}
	step_begin(slot, copied);
	step_expect(slot);
	step_sent(slot, sftp_copy(slot->file, 0, slot->attrs.size, slot->file2, 0, on_done, slot));
	step_answer(slot, 0);
}

static void copy_opened(struct slot *slot)
{
	if (slot->error) {
		copy_end(slot);
		return;
	}
	if (!(sftp_features(sftp_of(slot)) & SFTP_HAS_COPY_DATA)) {
		slot->error = make_copy_buffer(slot);
		copy_read(slot);
		return;
	}
	step_begin(slot, copy_sized);
	step_expect(slot);
	step_sent(slot, sftp_fstat(slot->file, on_attrs, slot));
	step_answer(slot, 0);
}

static void copy_source_opened(struct slot *slot)
{
	if (slot->error) {
		slot_end(slot);
		return;
	}
	step_begin(slot, copy_opened);
	step_expect(slot);
	step_sent(slot, sftp_open(sftp_of(slot), SFTP_DATA, slot->path2, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, NULL, on_open2, slot));
	step_answer(slot, 0);
}

static void start_copy(struct slot *slot, const char *path, const char *path2)
{
	step_begin(slot, copy_source_opened);
	slot->path2 = strdup(path2);
	if (!slot->path2) {
		step_answer(slot, -ENOMEM);
		return;
	}
	step_expect(slot);
	step_sent(slot, sftp_open(sftp_of(slot), SFTP_DATA, path, SFTP_OPEN_READ, NULL, on_open, slot));
	step_answer(slot, 0);
}

/* ---- open ---- */

static uint32_t open_flags(int flags)
{
	uint32_t result = (flags & O_ACCMODE) == O_RDWR ? SFTP_OPEN_READ | SFTP_OPEN_WRITE :
			  (flags & O_ACCMODE) == O_WRONLY ? SFTP_OPEN_WRITE : SFTP_OPEN_READ;

	if (flags & O_APPEND)
		result |= SFTP_OPEN_APPEND;
	if (flags & O_CREAT)
		result |= SFTP_OPEN_CREAT;
	if (flags & O_EXCL)
		result |= SFTP_OPEN_EXCL;
	return result;
}

static void start_open(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	step_begin(slot, slot_end);
	step_expect(slot);
	step_sent(slot, sftp_open(sftp_of(slot), SFTP_CONTROL, path, open_flags(slot->open_flags), NULL, on_open, slot));
	step_answer(slot, 0);
}

const struct slot_kind slot_kind_open = { start_open, false };

const struct slot_kind slot_kinds[] = {
	[STORE_LINK] = { start_link, false },
	[STORE_LSTAT] = { start_lstat, true },
	[STORE_RENAME] = { start_rename, false },
	[STORE_REMOVE] = { start_remove, false },
	[STORE_MKDIR] = { start_mkdir, false },
	[STORE_RMDIR] = { start_rmdir, false },
	[STORE_READ] = { start_read, true },
	[STORE_CREATE] = { start_create, false },
	[STORE_UTIME] = { start_utime, true },
	[STORE_WRITE] = { start_write, true },
	[STORE_FSTAT] = { start_fstat, true },
	[STORE_APPEND] = { start_write, true },
	[STORE_FSYNC] = { start_fsync, true },
	[STORE_COPY] = { start_copy, false },
};
