/*
 * store_copy: STORE_COPY in requests: by copy-data on the server, else through here.
 *
 *   open source ─▶ create target ─▶ fstat, copy-data ─┬─────────────────────────────▶ close
 *                                                     └─ can't ─▶ read ─▶ write ─▶ … ─▶ close
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/store_step.h"

#define COPY_BYTES 262144	/* at most, a piece that goes through here */

static void copy_end(struct slot *slot)
{
	struct sftp_file *to = slot->file2;

	step_close_quietly(&slot->file);
	slot->file2 = NULL;
	if (!to) {
		slot_end(slot);
		return;
	}
	STEP(slot, step_write_end, sftp_close(to, step_on_done, slot));
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
	STEP(slot, copy_written, sftp_write(slot->file2, chunk->offset, chunk->data, slot->bytes_len, step_on_done, slot));
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
	STEP(slot, copy_write, sftp_read(slot->file, chunk->offset, chunk->data, chunk->len, step_on_chunk, chunk));
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int make_copy_buffer(struct slot *slot)
{
	size_t len = smaller(COPY_BYTES, smaller(sftp_max_read(step_sftp(slot)), sftp_max_write(step_sftp(slot))));

	slot->bytes = malloc(len);
	return slot->bytes ? step_chunks(slot, slot->bytes, len, 0, len) : -ENOMEM;
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
	STEP(slot, copied, sftp_copy(slot->file, 0, slot->attrs.size, slot->file2, 0, step_on_done, slot));
}

static void copy_opened(struct slot *slot)
{
	if (slot->error) {
		copy_end(slot);
		return;
	}
	if (!(sftp_features(step_sftp(slot)) & SFTP_HAS_COPY_DATA)) {
		slot->error = make_copy_buffer(slot);
		copy_read(slot);
		return;
	}
	STEP(slot, copy_sized, sftp_fstat(slot->file, step_on_attrs, slot));
}

static void copy_source_opened(struct slot *slot)
{
	if (slot->error) {
		slot_end(slot);
		return;
	}
	STEP(slot, copy_opened, sftp_open(step_sftp(slot), SFTP_DATA, slot->path2, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, NULL,
					  step_on_open2, slot));
}

void store_start_copy(struct slot *slot, const char *path, const char *path2)
{
	step_begin(slot, copy_source_opened);
	slot->path2 = strdup(path2);
	if (!slot->path2) {
		step_answer(slot, -ENOMEM);
		return;
	}
	step_expect(slot);
	step_sent(slot, sftp_open(step_sftp(slot), SFTP_DATA, path, SFTP_OPEN_READ, NULL, step_on_open, slot));
	step_answer(slot, 0);
}
