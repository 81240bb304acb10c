/* store_step: see store_step.h. */
#include "tree/store_step.h"

#include <errno.h>
#include <stdlib.h>

#include "tree/errors.h"

#define ATTRS_FULL (SFTP_ATTR_SIZE | SFTP_ATTR_MODE | SFTP_ATTR_OWNER | SFTP_ATTR_TIMES)

void store_attrs_of(const struct sftp_attrs *attrs, struct store_attrs *ret_attrs)
{
	ret_attrs->size = attrs->flags & SFTP_ATTR_SIZE ? attrs->size : 0;
	ret_attrs->mode = attrs->flags & SFTP_ATTR_MODE ? attrs->mode : 0;
	ret_attrs->mtime = attrs->flags & SFTP_ATTR_TIMES ? (int64_t)attrs->mtime : 0;
	ret_attrs->full = (attrs->flags & ATTRS_FULL) == ATTRS_FULL;
	ret_attrs->uid = attrs->uid;
	ret_attrs->gid = attrs->gid;
	ret_attrs->atime = (int64_t)attrs->atime;
}

void store_attrs_back(const struct store_attrs *attrs, int64_t asked_ns, struct sftp_attrs *ret_attrs)
{
	*ret_attrs = (struct sftp_attrs) {
		.flags = ATTRS_FULL, .uid = attrs->uid, .gid = attrs->gid, .mode = attrs->mode, .size = attrs->size,
		.atime = (uint32_t)attrs->atime, .mtime = (uint32_t)attrs->mtime, .asked_ns = attrs->full ? asked_ns : 0,
	};
}

/* ---- a step ---- */

void step_begin(struct slot *slot, void (*next)(struct slot *slot))
{
	slot->next = next;
	slot->waiting = 1;
}

void step_answer(struct slot *slot, int error)
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

void step_expect(struct slot *slot)
{
	struct store_sftp *store = slot->flight->store;

	pthread_mutex_lock(&store->lock);
	slot->waiting++;
	pthread_mutex_unlock(&store->lock);
}

void step_sent(struct slot *slot, int error)
{
	if (error < 0)
		step_answer(slot, error);
}

/* ---- answers ---- */

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

void step_on_done(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	step_answer(slot, reply->error);
}

void step_on_attrs(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	if (reply->error == 0)
		store_attrs_of(&reply->attrs, &slot->attrs);
	step_answer(slot, reply->error);
}

void step_on_open(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	if (reply->error == 0)
		slot->file = reply->file;
	step_answer(slot, reply->error);
}

void step_on_open2(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;

	note_times(slot, reply);
	if (reply->error == 0)
		slot->file2 = reply->file;
	step_answer(slot, reply->error);
}

void step_on_chunk(void *arg, const struct sftp_reply *reply)
{
	struct chunk *chunk = arg;

	note_times(chunk->slot, reply);
	if (reply->error == 0)
		chunk->got = reply->len <= chunk->len ? reply->len : chunk->len;
	step_answer(chunk->slot, reply->error);
}

/* ---- what several operations need ---- */

void step_close_quietly(struct sftp_file **file)
{
	if (*file)
		(void)sftp_close(*file, NULL, NULL);
	*file = NULL;
}

static void on_disk(void *arg, const struct sftp_reply *reply)
{
	struct slot *slot = arg;
	struct errors_disk disk = { .error = reply->error, .statvfs = reply->statvfs };

	slot->error = errors_blame_disk(&disk);		/* the step's only answer: nobody else looks */
	step_answer(slot, 0);
}

void step_write_end(struct slot *slot)
{
	const char *root = slot->flight->store->root;

	if (slot->error != STORE_FAILURE) {
		slot_end(slot);
		return;
	}
	STEP(slot, slot_end, sftp_statvfs(step_sftp(slot), SFTP_CONTROL, *root ? root : "/", on_disk, slot));
}

int step_chunks(struct slot *slot, char *data, size_t len, uint64_t offset, size_t most)
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
