/*
 * store_sftp: the queue's disk over SFTP: flights of operations and open files. What an operation is in requests is in store_flight.c, listings
 * are in store_list.c.
 */
#include "tree/store_sftp.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tree/store_flight.h"

static struct store_sftp *store_of(struct store *store)
{
	return container_of(store, struct store_sftp, store);
}

void store_unref(struct store_sftp *store)
{
	bool last;

	pthread_mutex_lock(&store->lock);
	last = --store->refs == 0;
	pthread_mutex_unlock(&store->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&store->lock);
	free(store->root);
	free(store);
}

static void file_unref(struct store_file *file)
{
	struct store_sftp *store = file->store;
	bool last;

	pthread_mutex_lock(&store->lock);
	last = --file->refs == 0;
	pthread_mutex_unlock(&store->lock);
	if (!last)
		return;
	(void)sftp_close(file->file, NULL, NULL);
	free(file);
	store_unref(store);
}

int store_full_path(const struct store_sftp *store, const char *path, struct buf *ret_path)
{
	buf_reset(ret_path);
	buf_adds(ret_path, store->root);
	if (path && path[0] != '\0') {
		buf_addch(ret_path, '/');
		buf_adds(ret_path, path);
	} else if (store->root[0] == '\0') {
		buf_addch(ret_path, '/');
	}
	return buf_error(ret_path);
}

/* ---- flights ---- */

static int flight_new(struct store_sftp *store, size_t count, struct flight **ret_flight)
{
	struct flight *flight = calloc(1, sizeof(*flight) + count * sizeof(flight->slots[0]));
	size_t i;

	if (!flight)
		return -ENOMEM;
	if (clock_cond_init(&flight->wait.changed) < 0) {
		free(flight);
		return -ENOMEM;
	}
	list_init(&flight->wait.link);
	flight->store = store;
	flight->refs = 1;
	flight->count = count;
	for (i = 0; i < count; i++)
		flight->slots[i].flight = flight;
	pthread_mutex_lock(&store->lock);
	store->refs++;
	pthread_mutex_unlock(&store->lock);
	*ret_flight = flight;
	return 0;
}

static void slot_release(struct slot *slot)
{
	if (slot->file)
		(void)sftp_close(slot->file, NULL, NULL);
	if (slot->file2)
		(void)sftp_close(slot->file2, NULL, NULL);
	if (slot->target)
		file_unref(slot->target);
	free(slot->chunks);
	free(slot->bytes);
	free(slot->path2);
}

static void flight_free(struct flight *flight)
{
	struct store_sftp *store = flight->store;
	size_t i;

	for (i = 0; i < flight->count; i++)
		slot_release(&flight->slots[i]);
	pthread_cond_destroy(&flight->wait.changed);
	free(flight);
	store_unref(store);
}

static void flight_unref(struct flight *flight)
{
	bool last;

	pthread_mutex_lock(&flight->store->lock);
	last = --flight->refs == 0;
	pthread_mutex_unlock(&flight->store->lock);
	if (last)
		flight_free(flight);
}

void slot_end(struct slot *slot)
{
	struct flight *flight = slot->flight;
	struct store_sftp *store = flight->store;

	pthread_mutex_lock(&store->lock);
	/* An answer that never came says nothing about what cannot be repeated. */
	if (!slot->kind->idempotent && (slot->error == -ETIMEDOUT || slot->error == -ENOTCONN))
		slot->error = STORE_UNKNOWN;
	if (slot->kind->idempotent && slot->error == STORE_UNKNOWN)
		slot->error = -ENOTCONN;
	slot->ended = true;
	if (--flight->pending == 0)
		pthread_cond_signal(&flight->wait.changed);
	pthread_mutex_unlock(&store->lock);
	flight_unref(flight);
}

/* Copies what the requests need: they may outlive the caller's operation. */
static int slot_fill(struct slot *slot, const struct store_op *op)
{
	struct store_sftp *store = slot->flight->store;

	slot->kind = &slot_kinds[op->kind];
	slot->offset = op->offset;
	slot->max = op->max;
	slot->mtime = op->mtime;
	slot->mode = op->mode;
	if (op->file) {
		pthread_mutex_lock(&store->lock);
		op->file->refs++;
		pthread_mutex_unlock(&store->lock);
		slot->target = op->file;
	}
	if (op->input_len == 0)
		return 0;
	slot->bytes = malloc(op->input_len);
	if (!slot->bytes)
		return -ENOMEM;
	memcpy(slot->bytes, op->input, op->input_len);
	slot->bytes_len = op->input_len;
	return 0;
}

/* Some at a time, so that the first are on their way while the last are still being encoded. */
#define SEND_TOGETHER 128

/* Sends the operations in order. Everything that can fail here was done before, so that none is sent after one that wasn't. */
static void flight_send(struct flight *flight, const struct store_op *ops)
{
	struct store_sftp *store = flight->store;
	struct buf path = BUF_INIT, path2 = BUF_INIT;
	struct slot *slot;
	size_t i;

	pthread_mutex_lock(&store->lock);
	flight->pending = flight->count;
	flight->refs += (unsigned int)flight->count;
	pthread_mutex_unlock(&store->lock);
	sftp_hold(store->sftp);
	for (i = 0; i < flight->count; i++) {
		if (i % SEND_TOGETHER == SEND_TOGETHER - 1) {
			sftp_go(store->sftp);
			sftp_hold(store->sftp);
		}
		slot = &flight->slots[i];
		slot->error = store_full_path(store, ops[i].path, &path);
		if (!slot->error)
			slot->error = store_full_path(store, ops[i].path2, &path2);
		if (slot->error)
			slot_end(slot);
		else
			slot->kind->start(slot, path.data, path2.data);
	}
	sftp_go(store->sftp);
	buf_release(&path);
	buf_release(&path2);
}

/* Until all slots have ended, or the store is cancelled. */
static void flight_wait_locked(struct flight *flight)
{
	struct store_sftp *store = flight->store;

	list_append(&store->waits, &flight->wait.link);
	while (flight->pending > 0 && !store_is_cancelled(store))
		clock_cond_wait(&flight->wait.changed, &store->lock, INT64_MAX);
	list_remove(&flight->wait.link);
}

static void take_result_locked(struct slot *slot, struct store_op *op)
{
	if (!slot->ended) {
		op->error = slot->kind->idempotent ? -ENOTCONN : STORE_UNKNOWN;
		return;
	}
	op->error = slot->error;
	op->attrs = slot->attrs;
	op->sent_ns = slot->sent_ns;
	op->received_ns = slot->received_ns;
	if (op->kind != STORE_READ || op->error || !op->data)
		return;
	buf_add(op->data, slot->bytes, slot->bytes_len);
	op->error = buf_error(op->data);
}

static void fail_all(struct store_op *ops, size_t count, int error)
{
	size_t i;

	for (i = 0; i < count; i++)
		ops[i].error = error;
}

static void run(struct store *base, struct store_op *ops, size_t count)
{
	struct store_sftp *store = store_of(base);
	struct flight *flight;
	int error;
	size_t i;

	error = store_is_cancelled(store) ? -ENOTCONN : flight_new(store, count, &flight);
	if (error) {
		fail_all(ops, count, error);
		return;
	}
	for (i = 0; i < count && !error; i++)
		error = slot_fill(&flight->slots[i], &ops[i]);
	if (error) {
		fail_all(ops, count, error);
		flight_unref(flight);
		return;
	}
	flight_send(flight, ops);
	pthread_mutex_lock(&store->lock);
	flight_wait_locked(flight);
	for (i = 0; i < count; i++)
		take_result_locked(&flight->slots[i], &ops[i]);
	pthread_mutex_unlock(&store->lock);
	flight_unref(flight);
}

/* ---- open files ---- */

static int open_flight(struct store_sftp *store, struct flight *flight, const char *path, int flags, struct sftp_file **ret_file)
{
	struct slot *slot = &flight->slots[0];
	struct store_op op = { .path = path };
	int error;

	slot->kind = &slot_kind_open;
	slot->open_flags = flags;
	flight_send(flight, &op);
	pthread_mutex_lock(&store->lock);
	flight_wait_locked(flight);
	error = slot->ended ? slot->error : STORE_UNKNOWN;
	if (slot->ended && !error) {
		*ret_file = slot->file;
		slot->file = NULL;
	}
	pthread_mutex_unlock(&store->lock);
	return error;
}

static int open_file(struct store *base, const char *path, int flags, struct store_file **ret_file)
{
	struct store_sftp *store = store_of(base);
	struct store_file *file;
	struct flight *flight;
	int error;

	if (store_is_cancelled(store))
		return -ENOTCONN;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	error = flight_new(store, 1, &flight);
	if (error) {
		free(file);
		return error;
	}
	error = open_flight(store, flight, path, flags, &file->file);
	flight_unref(flight);
	if (error) {
		free(file);
		return error;
	}
	file->store = store;
	file->refs = 1;
	pthread_mutex_lock(&store->lock);
	store->refs++;
	pthread_mutex_unlock(&store->lock);
	*ret_file = file;
	return 0;
}

static void close_file(struct store *base, struct store_file *file)
{
	(void)base;
	if (file)
		file_unref(file);
}

/* ---- the store ---- */

static bool cancelled(struct store *base)
{
	return store_is_cancelled(store_of(base));
}

static const struct store_ops store_sftp_ops = {
	.run = run,
	.list = store_list_sftp,
	.list_begin = store_list_begin_sftp,
	.list_end = store_list_end_sftp,
	.open = open_file,
	.close = close_file,
	.cancelled = cancelled,
};

int store_sftp_new(struct sftp *sftp, struct damage *damage, const char *root, struct store **ret_store)
{
	struct store_sftp *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->root = strdup(strcmp(root, "/") == 0 ? "" : root);
	if (!store->root) {
		free(store);
		return -ENOMEM;
	}
	store->store.ops = &store_sftp_ops;
	store->sftp = sftp;
	store->damage = damage;
	store->refs = 1;
	list_init(&store->waits);
	pthread_mutex_init(&store->lock, NULL);
	*ret_store = &store->store;
	return 0;
}

void store_sftp_cancel(struct store *base)
{
	struct store_sftp *store = store_of(base);
	struct list *link;

	pthread_mutex_lock(&store->lock);
	__atomic_store_n(&store->cancelled, true, __ATOMIC_RELEASE);
	list_for_each(link, &store->waits)
		pthread_cond_broadcast(&list_entry(link, struct wait, link)->changed);
	pthread_mutex_unlock(&store->lock);
}

void store_sftp_free(struct store *base)
{
	if (base)
		store_unref(store_of(base));
}
