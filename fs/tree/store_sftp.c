/*
 * store_sftp: the queue's disk over SFTP: flights of operations, listings, open files. What an operation is in requests is in
 * store_flight.c.
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

static bool is_cancelled(const struct store_sftp *store)
{
	return __atomic_load_n(&store->cancelled, __ATOMIC_ACQUIRE);
}

static void store_unref(struct store_sftp *store)
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

/* The server's path of `path`, which is relative to the queue. */
static int full_path(const struct store_sftp *store, const char *path, struct buf *ret_path)
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

/* ---- waiting ---- */

static void wait_begin_locked(struct store_sftp *store, struct wait *wait)
{
	list_append(&store->waits, &wait->link);
}

static void wait_end_locked(struct wait *wait)
{
	list_remove(&wait->link);
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
		slot->error = full_path(store, ops[i].path, &path);
		if (!slot->error)
			slot->error = full_path(store, ops[i].path2, &path2);
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

	wait_begin_locked(store, &flight->wait);
	while (flight->pending > 0 && !is_cancelled(store))
		clock_cond_wait(&flight->wait.changed, &store->lock, INT64_MAX);
	wait_end_locked(&flight->wait);
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

	error = is_cancelled(store) ? -ENOTCONN : flight_new(store, count, &flight);
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

	if (is_cancelled(store))
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

/* ---- listings ---- */

struct listing {		/* by store->lock */
	struct store_sftp *store;
	struct wait wait;
	struct buf entries;	/* what the I/O thread has put there: struct packed, then the name and a NUL, each */
	unsigned int refs;	/* the waiting thread and the request */
	bool stopped;		/* nobody wants more */
	bool ended;
	int error;
};

struct packed {
	struct store_attrs attrs;
	size_t len;
};

static void listing_unref(struct listing *listing)
{
	struct store_sftp *store = listing->store;
	bool last;

	pthread_mutex_lock(&store->lock);
	last = --listing->refs == 0;
	pthread_mutex_unlock(&store->lock);
	if (!last)
		return;
	buf_release(&listing->entries);
	pthread_cond_destroy(&listing->wait.changed);
	free(listing);
	store_unref(store);
}

static bool on_entry(void *arg, const struct sftp_name *name)
{
	struct listing *listing = arg;
	struct packed packed = { .len = name->len };
	bool more;

	store_attrs_of(name->attrs, &packed.attrs);
	pthread_mutex_lock(&listing->store->lock);
	if (listing->entries.len == 0)
		pthread_cond_signal(&listing->wait.changed);
	if (!listing->stopped) {
		buf_add(&listing->entries, &packed, sizeof(packed));
		buf_add(&listing->entries, name->name, name->len);
		buf_addch(&listing->entries, '\0');
	}
	more = !listing->stopped && buf_error(&listing->entries) == 0;
	pthread_mutex_unlock(&listing->store->lock);
	return more;
}

static void on_listed(void *arg, const struct sftp_reply *reply)
{
	struct listing *listing = arg;

	pthread_mutex_lock(&listing->store->lock);
	listing->ended = true;
	listing->error = reply->error;
	pthread_cond_signal(&listing->wait.changed);
	pthread_mutex_unlock(&listing->store->lock);
	listing_unref(listing);
}

/* Hands a batch to the caller, without the lock; false: it wants no more. */
static bool deliver(const struct buf *entries, store_entry *entry, void *arg)
{
	const char *at = entries->data, *end = buf_text(entries) + entries->len;
	struct store_name name;
	struct packed packed;

	for (; at && at < end; at += sizeof(packed) + packed.len + 1) {
		memcpy(&packed, at, sizeof(packed));
		name.name = at + sizeof(packed);
		name.len = packed.len;
		name.attrs = packed.attrs;
		if (!entry(arg, &name))
			return false;
	}
	return true;
}

/* Takes what is there over into `ret_batch`; false when nothing is and nothing will come. */
static bool next_batch(struct listing *listing, struct buf *ret_batch, int *ret_error)
{
	struct store_sftp *store = listing->store;
	bool any;

	pthread_mutex_lock(&store->lock);
	while (listing->entries.len == 0 && !listing->ended && !is_cancelled(store) && buf_error(&listing->entries) == 0)
		clock_cond_wait(&listing->wait.changed, &store->lock, INT64_MAX);
	*ret_error = buf_error(&listing->entries);
	any = listing->entries.len > 0 && !*ret_error;
	if (any) {
		*ret_batch = listing->entries;
		buf_init(&listing->entries);
	} else if (!*ret_error) {
		*ret_error = listing->ended ? listing->error : -ENOTCONN;
	}
	pthread_mutex_unlock(&store->lock);
	return any;
}

static int listing_run(struct listing *listing, store_entry *entry, void *arg)
{
	struct store_sftp *store = listing->store;
	struct buf batch = BUF_INIT;
	bool wanted = true;
	int error = 0;

	pthread_mutex_lock(&store->lock);
	wait_begin_locked(store, &listing->wait);
	pthread_mutex_unlock(&store->lock);
	while (wanted && next_batch(listing, &batch, &error)) {
		wanted = deliver(&batch, entry, arg);
		buf_release(&batch);
	}
	pthread_mutex_lock(&store->lock);
	wait_end_locked(&listing->wait);
	listing->stopped = true;
	pthread_mutex_unlock(&store->lock);
	return error;
}

/* Small and asked for every second, so they must not wait behind the data of files. */
static enum sftp_lane listing_lane(const char *path)
{
	static const char *const small[] = { ".claimfs/claims", ".claimfs/nodes", ".claimfs/log", ".claimfs/redo", ".claimfs/failed" };
	size_t i;

	for (i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		if (strcmp(path, small[i]) == 0)
			return SFTP_CONTROL;
	return SFTP_DATA;
}

static int listing_new(struct store_sftp *store, struct listing **ret_listing)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return -ENOMEM;
	if (clock_cond_init(&listing->wait.changed) < 0) {
		free(listing);
		return -ENOMEM;
	}
	list_init(&listing->wait.link);
	listing->store = store;
	listing->refs = 2;
	pthread_mutex_lock(&store->lock);
	store->refs++;
	pthread_mutex_unlock(&store->lock);
	*ret_listing = listing;
	return 0;
}

static int list(struct store *base, const char *path, store_entry *entry, void *arg)
{
	struct store_sftp *store = store_of(base);
	struct listing *listing;
	struct buf full = BUF_INIT;
	int error;

	error = is_cancelled(store) ? -ENOTCONN : full_path(store, path, &full);
	if (!error)
		error = listing_new(store, &listing);
	if (error)
		goto done;
	/* No restart: entries were given out already, so a listing that was cut ends with an error and the caller begins again. */
	error = sftp_list(store->sftp, listing_lane(path), full.data, on_entry, NULL, on_listed, listing);
	if (error)
		listing_unref(listing);		/* the request's */
	else
		error = listing_run(listing, entry, arg);
	listing_unref(listing);
done:
	buf_release(&full);
	return error;
}

/* ---- the store ---- */

static bool cancelled(struct store *base)
{
	return is_cancelled(store_of(base));
}

static const struct store_ops store_sftp_ops = {
	.run = run,
	.list = list,
	.open = open_file,
	.close = close_file,
	.cancelled = cancelled,
};

int store_sftp_new(struct sftp *sftp, const char *root, struct store **ret_store)
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
