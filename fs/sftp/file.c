/* file: the calls of client.h on open files. */
#include "sftp/client.h"

#include <errno.h>
#include <string.h>

#include "sftp/handle.h"
#include "sftp/pool.h"

/* ---- opening ---- */

static void finish_open(struct request *request, struct answer *answer)
{
	struct sftp_file *file = request->slot->file;

	if (!answer->reply.error) {
		slot_opened(request->slot, answer);
		answer->reply.file = file;
	}
	if (request->done)
		request->done(request->arg, &answer->reply);
	if (answer->reply.error)
		file_unref(file);
}

static void encode_open(struct request *request, const char *path, uint32_t flags, const struct sftp_attrs *attrs)
{
	struct writer writer;

	writer_init(&writer, request->body, request->body_len);
	writer_string(&writer, path, strlen(path));
	writer_u32(&writer, flags);
	writer_attrs(&writer, attrs);
}

/* Where it is opened is one thing, where it is at home later on another. */
static enum sftp_lane lane_of_file(enum sftp_lane lane)
{
	return lane == SFTP_CREATE ? SFTP_CONTROL : lane == SFTP_FSYNC ? SFTP_DATA : lane;
}

int sftp_open(struct sftp *sftp, enum sftp_lane lane, const char *path, uint32_t flags, const struct sftp_attrs *attrs,
	      sftp_done *done, void *arg)
{
	struct sftp_attrs mode = { 0 };
	struct sftp_file *file = NULL;
	struct request *request;
	int error;

	if (attrs && (attrs->flags & SFTP_ATTR_MODE))
		mode = (struct sftp_attrs){ .flags = SFTP_ATTR_MODE, .mode = attrs->mode & 07777 };
	if (strlen(path) > PROTO_MAX_PATH)
		return -ENAMETOOLONG;
	request = request_new(OP_OPEN, 4 + strlen(path) + 4 + codec_attrs_len(&mode), done, arg);
	error = request ? file_new(sftp, lane_of_file(lane), path, flags, &file) : -ENOMEM;
	if (!error)
		error = file_slot(file, sftp->conns[0], &request->slot);
	if (error)
		goto fail;
	encode_open(request, path, flags, &mode);
	request->once = flags & SFTP_OPEN_EXCL;
	request->finish = finish_open;
	pool_submit(sftp, lane, request);
	return 0;
fail:
	if (file)
		file_unref(file);
	request_free(request);
	return error;
}

int sftp_file_moved(struct sftp_file *file, const char *new_path)
{
	return strlen(new_path) > PROTO_MAX_PATH ? -ENAMETOOLONG : file_set_paths(file, new_path, NULL);
}

int sftp_file_moving(struct sftp_file *file, const char *next_path)
{
	return next_path && strlen(next_path) > PROTO_MAX_PATH ? -ENAMETOOLONG : file_set_paths(file, NULL, next_path);
}

void sftp_file_cut(struct sftp_file *file, uint64_t size)
{
	pthread_mutex_lock(&file->lock);
	if (file->written > size)
		file->written = size;
	pthread_mutex_unlock(&file->lock);
}

void sftp_file_gone(struct sftp_file *file, bool gone)
{
	file_set_gone(file, gone);
}

/* ---- using ---- */

/* A request that is given one of the file's slots: which one matters only once its connection is chosen. */
static struct request *new_request(struct sftp_file *file, enum op_kind kind, size_t room, sftp_done *done, void *arg)
{
	struct request *request = request_new(kind, room, done, arg);

	if (request && file_slot(file, file->sftp->conns[atomic_load(&file->home)], &request->slot)) {
		request_free(request);
		return NULL;
	}
	return request;
}

static int submit(struct sftp_file *file, struct request *request)
{
	if (!request)
		return -ENOMEM;
	pool_submit(file->sftp, file->lane, request);
	return 0;
}

static int refuse(sftp_done *done, void *arg)
{
	struct sftp_reply reply = { .error = -EOPNOTSUPP };

	done(arg, &reply);
	return 0;
}

int sftp_read(struct sftp_file *file, uint64_t offset, void *data, size_t len, sftp_done *done, void *arg)
{
	struct request *request = new_request(file, OP_READ, 0, done, arg);

	if (request) {
		request->offset = offset;
		request->len = len;
		request->sink = data;
	}
	return submit(file, request);
}

int sftp_write(struct sftp_file *file, uint64_t offset, const void *data, size_t len, sftp_done *done, void *arg)
{
	struct request *request = new_request(file, OP_WRITE, 0, done, arg);

	if (request) {
		request->offset = offset;
		request->len = len;
		request->payload = data;
		request->once = file->flags & SFTP_OPEN_APPEND;		/* it would be there twice */
	}
	return submit(file, request);
}

int sftp_fstat(struct sftp_file *file, sftp_done *done, void *arg)
{
	return submit(file, new_request(file, OP_FSTAT, 0, done, arg));
}

int sftp_fsetstat(struct sftp_file *file, const struct sftp_attrs *attrs, sftp_done *done, void *arg)
{
	struct request *request = new_request(file, OP_FSETSTAT, codec_attrs_len(attrs), done, arg);
	struct writer writer;

	if (request) {
		writer_init(&writer, request->body, request->body_len);
		writer_attrs(&writer, attrs);
		if (attrs->flags & SFTP_ATTR_SIZE) {		/* for file_fill */
			request->offset = attrs->size;
			request->len = 1;
		}
	}
	return submit(file, request);
}

int sftp_fsync(struct sftp_file *file, sftp_done *done, void *arg)
{
	if (!(sftp_features(file->sftp) & SFTP_HAS_FSYNC))
		return refuse(done, arg);
	return submit(file, new_request(file, OP_FSYNC, 0, done, arg));
}

int sftp_copy(struct sftp_file *from, uint64_t from_offset, uint64_t len, struct sftp_file *to, uint64_t to_offset,
	      sftp_done *done, void *arg)
{
	struct request *request;

	if (!(sftp_features(from->sftp) & SFTP_HAS_COPY_DATA))
		return refuse(done, arg);
	request = new_request(from, OP_COPY, 0, done, arg);
	if (request && file_slot(to, request->slot->conn, &request->slot2)) {
		request_free(request);
		request = NULL;
	}
	if (request) {
		request->offset = from_offset;
		request->offset2 = to_offset;
		request->len = len;
	}
	return submit(from, request);
}

/* ---- closing ---- */

/* The last one answers. A handle that was gone with its connection is closed well. */
static void closed(struct sftp_file *file, int error)
{
	struct sftp_reply reply = { 0 };

	if (error && error != SFTP_UNKNOWN && error != -ENOTCONN && error != -ESTALE)
		atomic_store(&file->close_error, error);
	if (atomic_fetch_sub(&file->closing, 1) == 1 && file->close_done) {
		reply.error = atomic_load(&file->close_error);
		file->close_done(file->close_arg, &reply);
	}
	file_unref(file);
}

static void finish_close(struct request *request, struct answer *answer)
{
	closed(request->slot->file, answer->reply.error);
}

static void close_slot(struct slot *slot)
{
	int state = atomic_load(&slot->state);

	if (state == SLOT_NONE || state == SLOT_REFUSED)
		return;
	request_init(&slot->close, OP_CLOSE);
	slot->close.slot = slot;
	slot->close.bound = true;
	slot->close.unhurried = slot->file->quiet;
	slot->close.finish = finish_close;
	file_ref(slot->file);
	atomic_fetch_add(&slot->file->closing, 1);
	pool_submit(slot->file->sftp, slot->file->lane, &slot->close);
}

static int close_file(struct sftp_file *file, bool quiet, sftp_done *done, void *arg)
{
	int i;

	atomic_store(&file->closed, true);
	file->quiet = quiet;
	file->close_done = done;
	file->close_arg = arg;
	atomic_store(&file->closing, 1);
	for (i = 0; i < file->sftp->count; i++)
		if (file->slots[i])
			close_slot(file->slots[i]);
	closed(file, 0);
	return 0;
}

int sftp_close(struct sftp_file *file, sftp_done *done, void *arg)
{
	return close_file(file, !done, done, arg);
}

int sftp_close_quietly(struct sftp_file *file, sftp_done *done, void *arg)
{
	return close_file(file, true, done, arg);
}
