/*
 * file_copy: copy_file_range on the server (OpenSSH's copy-data, PROTOCOL section 4.10): cp within the mount moves no data over the network.
 *
 *                                                                                               ┌▶ COPY of the first half ──┐
 *   writes to the source are on the server ─▶ a step among the writes to the target: FSTAT of the source                     ├▶ how much
 *                                                                                               └▶ COPY of the second half ─┘
 *
 * One piece a call, so that a signal ends it. A large one goes out in two parts: a server process copies on one core, and the engine sends the
 * second to another process where it has one. After an answer that was lost, or where the source has become shorter meanwhile, it is looked at and copied
 * again, the same bytes to the same place. What copy-data can't do (the same file, a server without it) is -EOPNOTSUPP: the kernel or cp copies by reading
 * and writing then.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tree/errors.h"
#include "tree/file_state.h"

#define COPY_MOST (64ull * 1024 * 1024)
#define COPY_PARTS 2
#define COPY_PART_LEAST (4ull * 1024 * 1024)
#define COPY_MAX_TRIES 16
#define COPY_ENDED_EARLY (-ENODATA)	/* the source did */

struct copy_part {
	struct copy *copy;
	uint64_t at;			/* from the offsets on */
	uint64_t len;
};

struct copy {
	struct waiter waiter;		/* for the source */
	struct writebehind_item step;	/* of the target */
	struct open_file *from;		/* held, both */
	struct open_file *to;
	uint64_t from_offset;
	uint64_t to_offset;
	uint64_t len;
	struct copy_part parts[COPY_PARTS];
	atomic_uint under_way;		/* parts */
	atomic_int error;		/* of any */
	unsigned int tries;
	struct reply *reply;
};

static void copy_end(struct copy *copy, int error)
{
	struct open_file *from = copy->from, *to = copy->to;
	struct reply *reply = copy->reply;
	size_t len = (size_t)copy->len;

	if (!error && len) {
		pthread_mutex_lock(&to->real->lock);
		real_grew_locked(to->real, copy->to_offset + len);
		pthread_mutex_unlock(&to->real->lock);
	}
	real_acked(to->real, &copy->step);
	free(copy);
	open_file_unref(from);
	open_file_unref(to);
	if (error)
		reply->ops->error(reply, errors_plain(error));
	else
		reply->ops->written(reply, len);
}

static void look_at_source(struct copy *copy);

/* All parts are answered. */
static void copied(struct copy *copy)
{
	int error = atomic_load(&copy->error);

	if ((error == SFTP_UNKNOWN || error == COPY_ENDED_EARLY) && copy->tries < COPY_MAX_TRIES) {
		look_at_source(copy);
		return;
	}
	/* Whatever the server has against it, reading and writing will work or say why. */
	copy_end(copy, error == -EREMOTEIO || error == -EINVAL || error == COPY_ENDED_EARLY ? -EOPNOTSUPP : error);
}

static void part_end(struct copy *copy, int error)
{
	if (error)
		atomic_store(&copy->error, error);
	if (atomic_fetch_sub(&copy->under_way, 1) == 1)
		copied(copy);
}

static void part_done(void *arg, const struct sftp_reply *answer)
{
	struct copy_part *part = arg;
	bool short_of_it = !answer->error && answer->len < part->len;

	part_end(part->copy, short_of_it ? COPY_ENDED_EARLY : answer->error);
}

static void part_send(struct copy_part *part)
{
	struct copy *copy = part->copy;
	int error = sftp_copy(copy->from->file, copy->from_offset + part->at, part->len, copy->to->file, copy->to_offset + part->at, part_done, part);

	if (error)
		part_end(copy, error);
}

/* Once the last part is sent the copy may be gone. */
static void copy_send(struct copy *copy)
{
	unsigned int count = copy->len >= COPY_PARTS * COPY_PART_LEAST ? COPY_PARTS : 1, i;
	uint64_t most = (copy->len + count - 1) / count;

	most += -most % FILE_PAGE;
	for (i = 0; i < count; i++) {
		struct copy_part *part = &copy->parts[i];

		part->copy = copy;
		part->at = i * most;
		part->len = copy->len - part->at < most ? copy->len - part->at : most;
	}
	copy->tries++;
	atomic_store(&copy->error, 0);
	atomic_store(&copy->under_way, count);
	for (i = 0; i < count; i++)
		part_send(&copy->parts[i]);
}

static void source_stat_done(void *arg, const struct sftp_reply *answer)
{
	struct copy *copy = arg;

	if (answer->error) {
		copy_end(copy, answer->error);
		return;
	}
	if (answer->attrs.size <= copy->from_offset)
		copy->len = 0;
	else if (answer->attrs.size - copy->from_offset < copy->len)
		copy->len = answer->attrs.size - copy->from_offset;
	if (copy->len)
		copy_send(copy);
	else
		copy_end(copy, 0);
}

static void look_at_source(struct copy *copy)
{
	int error = sftp_fstat(copy->from->file, source_stat_done, copy);

	if (error)
		copy_end(copy, error);
}

static void copy_run(struct writebehind_item *step)
{
	look_at_source(container_of(step, struct copy, step));
}

static void source_waited(struct waiter *waiter)
{
	struct copy *copy = container_of(waiter, struct copy, waiter);

	real_add_step(copy->to->real, &copy->step);
}

static bool can_copy(const struct open_file *from, const struct open_file *to)
{
	return (sftp_features(from->handle.tree->sftp) & SFTP_HAS_COPY_DATA) && from->real != to->real && !to->append;
}

void file_copy(struct handle *from_handle, off_t from_offset, struct handle *to_handle, off_t to_offset, size_t length, struct reply *reply)
{
	struct open_file *from = open_file_of(from_handle), *to = open_file_of(to_handle);
	struct copy *copy;

	if (from_handle->ops != &file_ops || to_handle->ops != &file_ops || !can_copy(from, to)) {
		reply->ops->error(reply, -EOPNOTSUPP);
		return;
	}
	copy = calloc(1, sizeof(*copy));
	if (!copy) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	open_file_ref(from);
	open_file_ref(to);
	copy->from = from;
	copy->to = to;
	copy->from_offset = (uint64_t)from_offset;
	copy->to_offset = (uint64_t)to_offset;
	copy->len = length < COPY_MOST ? length : COPY_MOST;
	copy->reply = reply;
	copy->step.run = copy_run;
	copy->step.changes = true;
	list_init(&copy->waiter.link);
	copy->waiter.run = source_waited;
	real_wait(from->real, &copy->waiter);
}
