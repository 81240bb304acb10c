/* handle: see handle.h. */
#include "sftp/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "sftp/conn.h"
#include "sftp/pool.h"

/* ---- the file ---- */

int file_new(struct sftp *sftp, enum sftp_lane lane, const char *path, uint32_t flags, struct sftp_file **ret_file)
{
	struct sftp_file *file = calloc(1, sizeof(*file) + (size_t)sftp->count * sizeof(file->slots[0]));

	if (!file)
		return -ENOMEM;
	file->path = strdup(path);
	if (!file->path) {
		free(file);
		return -ENOMEM;
	}
	file->sftp = sftp;
	file->lane = lane;
	file->flags = flags;
	atomic_store(&file->refs, 1);
	pthread_mutex_init(&file->lock, NULL);
	*ret_file = file;
	return 0;
}

void file_ref(struct sftp_file *file)
{
	atomic_fetch_add(&file->refs, 1);
}

void file_unref(struct sftp_file *file)
{
	int i;

	if (atomic_fetch_sub(&file->refs, 1) > 1)
		return;
	for (i = 0; i < file->sftp->count; i++)
		free(file->slots[i]);
	free(file->path);
	free(file->next_path);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

static struct slot *slot_new(struct sftp_file *file, struct conn *conn)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->file = file;
	slot->conn = conn;
	list_init(&slot->waiting);
	list_init(&slot->link);
	return slot;
}

int file_slot(struct sftp_file *file, struct conn *conn, struct slot **ret_slot)
{
	struct slot *slot = file->slots[conn->index];

	if (!slot) {
		pthread_mutex_lock(&file->lock);
		slot = file->slots[conn->index];
		if (!slot)
			file->slots[conn->index] = slot = slot_new(file, conn);
		pthread_mutex_unlock(&file->lock);
	}
	if (!slot)
		return -ENOMEM;
	*ret_slot = slot;
	return 0;
}

int file_set_paths(struct sftp_file *file, const char *path, const char *next_path)
{
	char *copy = path ? strdup(path) : NULL, *next = next_path ? strdup(next_path) : NULL, *old_next;

	if ((path && !copy) || (next_path && !next)) {
		free(copy);
		free(next);
		return -ENOMEM;
	}
	pthread_mutex_lock(&file->lock);
	if (copy) {
		char *old = file->path;

		file->path = copy;
		copy = old;
	}
	old_next = file->next_path;
	file->next_path = next;
	file->moves++;
	pthread_mutex_unlock(&file->lock);
	free(copy);
	free(old_next);
	return 0;
}

void file_set_gone(struct sftp_file *file, bool gone)
{
	pthread_mutex_lock(&file->lock);
	atomic_store(&file->gone, gone);
	file->moves++;
	pthread_mutex_unlock(&file->lock);
}

static void fill_written(struct sftp_file *file, const struct request *request)
{
	uint64_t end = request->offset + request->len;

	if (!(file->flags & SFTP_OPEN_APPEND) && end > file->written)
		file->written = end;
}

void file_fill(struct sftp_file *file, const struct request *request, const struct answer *answer)
{
	enum op_kind kind = request->op->kind;

	if (answer->reply.error || (kind != OP_WRITE && kind != OP_FSTAT && kind != OP_FSETSTAT))
		return;
	pthread_mutex_lock(&file->lock);
	if (kind == OP_WRITE)
		fill_written(file, request);
	if (kind == OP_FSETSTAT && request->len)	/* a size was set, see sftp_fsetstat */
		file->written = request->offset;
	if (kind == OP_FSTAT && !request->embedded) {
		file->attrs = answer->reply.attrs;
		file->seen = true;
		if ((file->attrs.flags & SFTP_ATTR_SIZE) && file->attrs.size < file->written)
			file->written = file->attrs.size;	/* somebody cut it, and it is still this file */
	}
	pthread_mutex_unlock(&file->lock);
}

/* ---- a slot's state, from any thread ---- */

static bool is_opening(const struct slot *slot)
{
	int state = atomic_load(&slot->state);

	return state == SLOT_OPENING || state == SLOT_CHECKING;
}

bool slot_usable(const struct slot *slot)
{
	return atomic_load(&slot->state) == SLOT_OPEN && conn_is_up(slot->conn) &&
		atomic_load(&slot->session) == atomic_load(&slot->conn->session);
}

struct slot *file_usable(struct sftp_file *file, const struct conn *conn)
{
	struct slot *slot = file->slots[conn->index];

	return slot && slot_usable(slot) ? slot : NULL;
}

bool file_refused(struct sftp_file *file, const struct conn *conn)
{
	struct slot *slot = file->slots[conn->index];

	return slot && atomic_load(&slot->state) == SLOT_REFUSED;
}

static void warmed(struct request *request, struct answer *answer)
{
	struct sftp_file *file = request->slot->file;

	(void)answer;
	atomic_store(&request->slot->warming, false);
	file_unref(file);
}

/* A word to the connection's thread, which is never put on the wire: slot_prepare() takes it. */
void file_warm(struct sftp_file *file, struct conn *conn)
{
	struct request *request;
	struct slot *slot;

	if (atomic_load(&file->gone) || file_refused(file, conn) || file_slot(file, conn, &slot) || is_opening(slot) || atomic_exchange(&slot->warming, true))
		return;
	request = request_new(OP_OPEN, 0, NULL, NULL);
	if (!request) {
		atomic_store(&slot->warming, false);
		return;
	}
	request->slot = slot;
	request->warm = true;
	request->bound = true;
	request->finish = warmed;
	file_ref(file);
	if (!conn_submit(conn, request, false))
		request_fail(request, SFTP_UNKNOWN);
}

/* ---- opening, on the connection's I/O thread ---- */

static void opened(struct request *request, struct answer *answer);

static void push_open(struct slot *slot, bool elsewhere)
{
	slot->elsewhere = elsewhere;
	request_init(&slot->open, OP_OPEN);
	slot->open.slot = slot;
	slot->open.bound = true;
	slot->open.finish = opened;
	slot->open.conn = slot->conn;
	conn_track(slot->conn, &slot->open);
	conn_push(slot->conn, &slot->open);
}

static void refuse(struct slot *slot);

static void begin_opening(struct slot *slot)
{
	if (atomic_load(&slot->file->gone)) {
		file_ref(slot->file);
		refuse(slot);
		file_unref(slot->file);
		return;
	}
	atomic_store(&slot->state, SLOT_OPENING);
	file_ref(slot->file);
	push_open(slot, false);
}

/* A close looks at the state after it has set `closed`: one of the two sees the other. */
static void warm_up(struct slot *slot)
{
	if (slot_usable(slot) || is_opening(slot))
		return;
	atomic_store(&slot->state, SLOT_OPENING);
	if (atomic_load(&slot->file->closed))
		atomic_store(&slot->state, SLOT_NONE);
	else
		begin_opening(slot);
}

static void set_open(struct slot *slot)
{
	atomic_store(&slot->session, atomic_load(&slot->conn->session));
	atomic_store(&slot->state, SLOT_OPEN);
}

static void keep_handle(struct slot *slot, const struct answer *answer)
{
	memcpy(slot->handle, answer->handle, answer->handle_len);
	slot->handle_len = answer->handle_len;
}

void slot_opened(struct slot *slot, const struct answer *answer)
{
	keep_handle(slot, answer);
	set_open(slot);
}

static void resume(struct slot *slot)
{
	list_remove(&slot->link);
	conn_resume(slot->conn, &slot->waiting);
}

static bool open_elsewhere(struct sftp_file *file)
{
	int i;

	for (i = 0; i < file->sftp->count; i++)
		if (file_usable(file, file->sftp->conns[i]))
			return true;
	return false;
}

/* Not here. Where the file lives on elsewhere, what waited goes there; else nobody can have it any more. A request isn't sent round for ever. */
static void refuse(struct slot *slot)
{
	struct sftp_file *file = slot->file;
	bool elsewhere = open_elsewhere(file);
	struct list waiting, *link;

	list_init(&waiting);
	list_splice(&waiting, &slot->waiting);
	list_remove(&slot->link);
	atomic_store(&slot->state, SLOT_REFUSED);
	if (!elsewhere && !list_empty(&waiting))
		atomic_store(&file->stale, true);
	while ((link = list_pop(&waiting))) {
		struct request *request = list_entry(link, struct request, link);

		list_remove(&request->age);
		if (!elsewhere || request->bound || request->refusals++ >= (unsigned int)file->sftp->count) {
			conn_fail(request, request->op->kind == OP_COPY && elsewhere ? -EOPNOTSUPP : -ESTALE);
			continue;
		}
		conn_discharge(slot->conn, request);
		request->conn = NULL;
		pool_reroute(file->sftp, request);
	}
}

/* `written`: what was acknowledged when the server was asked. It may have grown meanwhile. */
static bool same_file(struct sftp_file *file, const struct sftp_attrs *attrs, uint64_t written, bool beside)
{
	bool same = true;

	if ((attrs->flags & SFTP_ATTR_MODE) && (attrs->mode & S_IFMT) && !S_ISREG(attrs->mode))
		return false;
	pthread_mutex_lock(&file->lock);
	if (written > file->written)
		written = file->written;	/* it was truncated meanwhile */
	if (attrs->flags & SFTP_ATTR_SIZE)
		same = attrs->size >= written;
	if (beside && file->seen && !(file->flags & SFTP_OPEN_WRITE))
		same = same && attrs->size == file->attrs.size && attrs->mtime == file->attrs.mtime && attrs->mode == file->attrs.mode;
	pthread_mutex_unlock(&file->lock);
	return same;
}

static bool session_ended(int error)
{
	return error == SFTP_UNKNOWN || error == -ENOTCONN;
}

/* FSTAT of the new handle. */
static void checked(struct request *request, struct answer *answer)
{
	struct slot *slot = request->slot;
	struct sftp_file *file = slot->file;
	int error = answer->reply.error;

	if (session_ended(error)) {
		atomic_store(&slot->state, SLOT_NONE);
	} else if (!error && same_file(file, &answer->reply.attrs, request->offset, open_elsewhere(file))) {
		set_open(slot);
		resume(slot);
	} else {
		log_debug("a reopened file is not the one it was (%s)", log_strerror(error));
		conn_close_handle(slot->conn, (const char *)slot->handle, slot->handle_len);
		refuse(slot);
	}
	file_unref(file);
}

static void check(struct slot *slot)
{
	struct conn *conn = slot->conn;

	atomic_store(&slot->state, SLOT_CHECKING);
	request_init(&slot->open, OP_FSTAT);
	slot->open.slot = slot;
	slot->open.bound = true;
	slot->open.finish = checked;
	slot->open.conn = conn;
	slot->open.session = atomic_load(&conn->session);
	pthread_mutex_lock(&slot->file->lock);
	slot->open.offset = slot->file->written;
	pthread_mutex_unlock(&slot->file->lock);
	conn_track(conn, &slot->open);
	conn_push(conn, &slot->open);
}

void slot_encode_open(struct slot *slot, struct writer *writer)
{
	struct sftp_file *file = slot->file;
	const char *path;

	pthread_mutex_lock(&file->lock);
	slot->moves = file->moves;
	path = slot->elsewhere && file->next_path ? file->next_path : file->path;
	writer_string(writer, path, strlen(path));
	pthread_mutex_unlock(&file->lock);
	writer_u32(writer, file->flags & (SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_APPEND));
	writer_attrs(writer, NULL);
}

static bool has_moved(struct slot *slot)
{
	struct sftp_file *file = slot->file;
	bool moved;

	pthread_mutex_lock(&file->lock);
	moved = slot->moves != file->moves;
	pthread_mutex_unlock(&file->lock);
	return moved;
}

/* What was opened may be another file by now. */
static void open_again(struct slot *slot, const struct answer *answer)
{
	struct sftp_file *file = slot->file;

	conn_close_handle(slot->conn, (const char *)answer->handle, answer->handle_len);
	begin_opening(slot);
	file_unref(file);
}

/* It was not there. Is there another place to look? */
static bool look_elsewhere(struct slot *slot)
{
	struct sftp_file *file = slot->file;
	bool moved, moving;

	pthread_mutex_lock(&file->lock);
	moved = slot->moves != file->moves;
	moving = !moved && !slot->elsewhere && file->next_path;
	pthread_mutex_unlock(&file->lock);
	if (moved || moving)
		push_open(slot, moving);
	return moved || moving;
}

static void opened(struct request *request, struct answer *answer)
{
	struct slot *slot = request->slot;
	struct sftp_file *file = slot->file;

	if (!answer->reply.error && has_moved(slot)) {
		open_again(slot, answer);
		return;
	}
	if (!answer->reply.error) {
		keep_handle(slot, answer);
		check(slot);
		return;
	}
	if (answer->reply.error == -ENOENT && look_elsewhere(slot))
		return;
	if (session_ended(answer->reply.error))
		atomic_store(&slot->state, SLOT_NONE);
	else
		refuse(slot);
	file_unref(file);
}

static void wait_for(struct slot *slot, struct request *request)
{
	request->state = REQUEST_WAITING;
	list_append(&slot->waiting, &request->link);
	if (list_empty(&slot->link))
		list_append(&slot->conn->reopening, &slot->link);
	if (!is_opening(slot))
		begin_opening(slot);
}

/* A handle that is not open needs no closing. */
static bool prepare_close(struct slot *slot, struct request *request)
{
	if (slot_usable(slot)) {
		atomic_store(&slot->state, SLOT_NONE);
		return true;
	}
	if (is_opening(slot))
		wait_for(slot, request);
	else
		conn_fail(request, SFTP_UNKNOWN);
	return false;
}

bool slot_prepare(struct conn *conn, struct request *request)
{
	struct slot *slot = request->slot, *lacking = NULL;

	(void)conn;
	if (request->warm) {
		warm_up(slot);
		conn_fail(request, 0);
		return false;
	}
	if (request->op->kind == OP_OPEN || request == &slot->open)
		return true;
	if (request->op->kind == OP_CLOSE)
		return prepare_close(slot, request);
	if (atomic_load(&slot->file->stale)) {
		conn_fail(request, -ESTALE);
		return false;
	}
	if (!slot_usable(slot))
		lacking = slot;
	else if (request->slot2 && !slot_usable(request->slot2))
		lacking = request->slot2;
	if (lacking)
		wait_for(lacking, request);
	return !lacking;
}

void slots_broke(struct conn *conn, struct list *ret_requests)
{
	struct list *link;

	while ((link = list_pop(&conn->reopening)))
		list_splice(ret_requests, &list_entry(link, struct slot, link)->waiting);
}
