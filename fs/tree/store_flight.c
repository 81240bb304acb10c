/*
 * store_flight: what each operation of queue/store.h is in requests of sftp/client.h; a copy is in store_copy.c. See store_flight.h for steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tree/damage.h"
#include "tree/store_step.h"

#define SMALL_READ 65536	/* up to here a read needs no size first, and the control connection carries it */
#define READ_WINDOW 8		/* reads of one file in flight */

/* ---- one request each ---- */

static void start_link(struct slot *slot, const char *path, const char *path2)
{
	STEP(slot, slot_end, sftp_hardlink(step_sftp(slot), SFTP_CONTROL, path, path2, step_on_done, slot));
}

static void start_lstat(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	STEP(slot, slot_end, sftp_lstat(step_sftp(slot), SFTP_CONTROL, path, step_on_attrs, slot));
}

static void start_rename(struct slot *slot, const char *path, const char *path2)
{
	STEP(slot, slot_end, sftp_posix_rename(step_sftp(slot), SFTP_CONTROL, path, path2, step_on_done, slot));
}

static void start_remove(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	STEP(slot, slot_end, sftp_remove(step_sftp(slot), SFTP_CONTROL, path, step_on_done, slot));
}

static void start_mkdir(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	STEP(slot, slot_end, sftp_mkdir(step_sftp(slot), SFTP_CONTROL, path, 0777, step_on_done, slot));
}

static void start_rmdir(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	STEP(slot, slot_end, sftp_rmdir(step_sftp(slot), SFTP_CONTROL, path, step_on_done, slot));
}

static void start_utime(struct slot *slot, const char *path, const char *path2)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_TIMES, .atime = (uint32_t)slot->mtime, .mtime = (uint32_t)slot->mtime };
	bool nofollow = sftp_features(step_sftp(slot)) & SFTP_HAS_LSETSTAT;

	(void)path2;
	STEP(slot, slot_end, sftp_setstat(step_sftp(slot), SFTP_CONTROL, path, &attrs, nofollow, step_on_done, slot));
}

static void start_fstat(struct slot *slot, const char *path, const char *path2)
{
	(void)path;
	(void)path2;
	STEP(slot, slot_end, sftp_fstat(slot->target->file, step_on_attrs, slot));
}

/* ---- writing ---- */

/* Sends all writes at once and in order, so that nothing else comes between the parts of an append. */
static void send_writes(struct slot *slot, struct sftp_file *file)
{
	size_t i;

	for (i = 0; i < slot->chunk_count; i++) {
		struct chunk *chunk = &slot->chunks[i];

		step_expect(slot);
		step_sent(slot, sftp_write(file, chunk->offset, chunk->data, chunk->len, step_on_chunk, chunk));
	}
}

static void start_write(struct slot *slot, const char *path, const char *path2)
{
	int error;

	(void)path;
	(void)path2;
	step_begin(slot, step_write_end);
	error = step_chunks(slot, slot->bytes, slot->bytes_len, slot->offset, sftp_max_write(step_sftp(slot)));
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
	STEP(slot, step_write_end, sftp_close(file, step_on_done, slot));
}

/* A server that won't: it is a file all the same. */
static void on_mode(void *arg, const struct sftp_reply *reply)
{
	(void)reply;
	step_answer(arg, 0);
}

static void set_mode(struct slot *slot)
{
	const struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE, .mode = slot->mode };

	step_expect(slot);
	step_sent(slot, sftp_fsetstat(slot->file, &attrs, on_mode, slot));
}

/* What the server made of the mode that OPEN asked for: what its umask took away is set, and what it was seen to leave is not looked at again. */
static void on_made_mode(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;
	uint32_t kept = !reply->error && (reply->attrs.flags & SFTP_ATTR_MODE) ? reply->attrs.mode & slot->mode : 0;

	if (kept != slot->mode)
		set_mode(slot);
	__atomic_fetch_or(&slot->flight->store->kept_mode, kept, __ATOMIC_RELAXED);
	step_answer(slot, 0);
}

static void look_at_mode(struct slot *slot)
{
	if (!(slot->mode & ~__atomic_load_n(&slot->flight->store->kept_mode, __ATOMIC_RELAXED)))
		return;
	step_expect(slot);
	step_sent(slot, sftp_fstat(slot->file, on_made_mode, slot));
}

/* The new file's bytes, and its mode when it is to have one. `next` once they are answered. */
static void fill_created(struct slot *slot, uint32_t mode, void (*next)(struct slot *slot))
{
	int error;

	if (slot->error) {
		slot_end(slot);
		return;
	}
	step_begin(slot, next);
	error = step_chunks(slot, slot->bytes, slot->bytes_len, 0, sftp_max_write(step_sftp(slot)));
	if (!error)
		send_writes(slot, slot->file);
	if (!error && mode)
		look_at_mode(slot);
	step_answer(slot, error);
}

static void create_write(struct slot *slot)
{
	fill_created(slot, 0, create_close);
}

static void start_create(struct slot *slot, const char *path, const char *path2)
{
	(void)path2;
	STEP(slot, create_write, sftp_open(step_sftp(slot), SFTP_CONTROL, path, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, NULL,
					   step_on_open, slot));
}

/* ---- put ---- */

static void put_unsynced(struct slot *slot)
{
	if (!slot->error)
		slot->error = -EOPNOTSUPP;
	step_write_end(slot);
}

/* What is fsynced needs no answer to its close. */
static void put_end(struct slot *slot)
{
	struct sftp_file *file = slot->file;

	if (slot->error != -EOPNOTSUPP) {
		step_close_quietly(&slot->file);
		step_write_end(slot);
		return;
	}
	slot->error = 0;
	slot->file = NULL;
	STEP(slot, put_unsynced, sftp_close(file, step_on_done, slot));
}

/* Once the writes are answered: the fsync may go over another connection. */
static void put_fsync(struct slot *slot)
{
	if (slot->error)
		put_end(slot);
	else
		STEP(slot, put_end, sftp_fsync(slot->file, step_on_done, slot));
}

static void put_write(struct slot *slot)
{
	fill_created(slot, slot->mode, put_fsync);
}

static void start_put(struct slot *slot, const char *path, const char *path2)
{
	const struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE, .mode = slot->mode };

	(void)path2;
	STEP(slot, put_write, sftp_open(step_sftp(slot), SFTP_FSYNC, path, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, &attrs,
					step_on_open, slot));
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
	step_close_quietly(&slot->file);
	slot_end(slot);
}

static void send_reads(struct slot *slot)
{
	size_t i;

	for (i = 0; i < READ_WINDOW && slot->next_chunk < slot->chunk_count; i++) {
		struct chunk *chunk = &slot->chunks[slot->next_chunk++];

		step_expect(slot);
		step_sent(slot, sftp_read(slot->file, chunk->offset, chunk->data, chunk->len, step_on_chunk, chunk));
	}
}

static int make_reads(struct slot *slot, size_t len)
{
	slot->bytes = malloc(len > 0 ? len : 1);
	if (!slot->bytes)
		return -ENOMEM;
	return step_chunks(slot, slot->bytes, len, slot->offset, sftp_max_read(step_sftp(slot)));
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
	step_sent(slot, sftp_fstat(slot->file, step_on_attrs, slot));
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
	STEP(slot, read_opened, sftp_open(step_sftp(slot), lane, path, SFTP_OPEN_READ, NULL, step_on_open, slot));
}

/* ---- fsync ---- */

static void fsync_end(struct slot *slot)
{
	step_close_quietly(&slot->file);
	step_write_end(slot);
}

static void fsync_opened(struct slot *slot)
{
	if (slot->error) {
		slot_end(slot);
		return;
	}
	STEP(slot, fsync_end, sftp_fsync(slot->file, step_on_done, slot));
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
	STEP(slot, fsync_opened, sftp_open(step_sftp(slot), SFTP_FSYNC, path, SFTP_OPEN_READ, NULL, step_on_open, slot));
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
	STEP(slot, slot_end, sftp_open(step_sftp(slot), SFTP_CONTROL, path, open_flags(slot->open_flags), NULL, step_on_open, slot));
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
	[STORE_PUT] = { start_put, false },
	[STORE_COPY] = { store_start_copy, false },
};
