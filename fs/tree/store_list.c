/*
 * store_list: listings of the queue's disk: entries come on the I/O thread and are handed over to the thread that waits for them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tree/store_flight.h"

/* Entries change threads in batches of so many bytes: a lock and a wake-up for each of a million would cost more than the rest. */
#define BATCH_BYTES 65536
#define LISTING_EARLY 1		/* no errno: it began before what it was to come after had ended */

struct listing {		/* by store->lock, but for `filling` */
	struct store_sftp *store;
	struct wait wait;
	struct buf filling;	/* the I/O thread's alone: struct packed, then the name and a NUL, each */
	struct buf entries;	/* what it has handed over, and the waiting thread has not taken */
	struct listing *after;	/* what it shows must be newer than the end of that one; held */
	unsigned int refs;	/* the waiting thread, the request, and one that comes after this */
	bool answered;		/* something of it is there */
	bool early;		/* … and was before `after` had ended */
	bool stopped;		/* nobody wants more; read with __atomic_load_n */
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
	if (listing->after)
		listing_unref(listing->after);
	buf_release(&listing->filling);
	buf_release(&listing->entries);
	pthread_cond_destroy(&listing->wait.changed);
	free(listing);
	store_unref(store);
}

/* What was filled becomes what can be taken. While earlier entries wait there it goes on being filled, unless it is the last. */
static void hand_over_locked(struct listing *listing, bool last)
{
	struct buf *filling = &listing->filling, *entries = &listing->entries;

	if (listing->stopped)
		return;
	if (buf_error(filling)) {
		entries->error = buf_error(filling);
	} else if (entries->len == 0) {
		buf_release(entries);
		*entries = *filling;
		buf_init(filling);
	} else if (last) {
		buf_add(entries, filling->data, filling->len);
	}
	pthread_cond_signal(&listing->wait.changed);
}

/* Answers of the control connection come in the order in which the server carried the requests out. */
static void answered_locked(struct listing *listing)
{
	if (!listing->answered)
		listing->early = listing->after && !listing->after->ended;
	listing->answered = true;
}

static bool on_entry(void *arg, const struct sftp_name *name)
{
	struct listing *listing = arg;
	struct buf *filling = &listing->filling;
	struct packed packed = { .len = name->len };
	size_t before = filling->len;

	if (!before) {
		pthread_mutex_lock(&listing->store->lock);
		answered_locked(listing);
		pthread_mutex_unlock(&listing->store->lock);
	}
	store_attrs_of(name->attrs, &packed.attrs);
	if (!buf_reserve(filling, sizeof(packed) + name->len + 1)) {
		memcpy(filling->data + before, &packed, sizeof(packed));
		memcpy(filling->data + before + sizeof(packed), name->name, name->len);
		filling->data[before + sizeof(packed) + name->len] = '\0';
		filling->len += sizeof(packed) + name->len + 1;
	}
	if (before / BATCH_BYTES != filling->len / BATCH_BYTES || buf_error(filling)) {
		pthread_mutex_lock(&listing->store->lock);
		hand_over_locked(listing, false);
		pthread_mutex_unlock(&listing->store->lock);
	}
	return !__atomic_load_n(&listing->stopped, __ATOMIC_RELAXED) && !buf_error(filling);
}

static void on_listed(void *arg, const struct sftp_reply *reply)
{
	struct listing *listing = arg;

	pthread_mutex_lock(&listing->store->lock);
	answered_locked(listing);
	hand_over_locked(listing, true);
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
	while (listing->entries.len == 0 && !listing->ended && !store_is_cancelled(store) && buf_error(&listing->entries) == 0)
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

/* What has come of it is as new as it must be. Once next_batch() has returned. */
static bool in_order(struct listing *listing)
{
	bool early;

	pthread_mutex_lock(&listing->store->lock);
	early = listing->early;
	pthread_mutex_unlock(&listing->store->lock);
	return !early;
}

/* 0, -errno, or LISTING_EARLY before any entry was delivered. */
static int listing_run(struct listing *listing, store_entry *entry, void *arg)
{
	struct store_sftp *store = listing->store;
	struct buf batch = BUF_INIT;
	bool wanted = true;
	int error = 0;

	pthread_mutex_lock(&store->lock);
	list_append(&store->waits, &listing->wait.link);
	pthread_mutex_unlock(&store->lock);
	while (wanted && next_batch(listing, &batch, &error)) {
		wanted = in_order(listing) && deliver(&batch, entry, arg);
		buf_release(&batch);
	}
	if (!in_order(listing))
		error = LISTING_EARLY;
	pthread_mutex_lock(&store->lock);
	list_remove(&listing->wait.link);
	pthread_mutex_unlock(&store->lock);
	return error;
}

/* The waiting thread wants no more of it. */
static void listing_leave(struct listing *listing)
{
	pthread_mutex_lock(&listing->store->lock);
	__atomic_store_n(&listing->stopped, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&listing->store->lock);
	listing_unref(listing);
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

static int listing_new(struct store_sftp *store, struct listing *after, struct listing **ret_listing)
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
	listing->after = after;
	listing->refs = 2;
	pthread_mutex_lock(&store->lock);
	store->refs++;
	if (after)
		after->refs++;
	pthread_mutex_unlock(&store->lock);
	*ret_listing = listing;
	return 0;
}

/* Asks for it. 0 and the listing, which listing_leave() ends, or -errno. */
static int listing_begin(struct store_sftp *store, const char *path, struct listing *after, struct listing **ret_listing)
{
	struct listing *listing = NULL;
	struct buf full = BUF_INIT;
	int error;

	error = store_is_cancelled(store) ? -ENOTCONN : store_full_path(store, path, &full);
	if (!error)
		error = listing_new(store, after, &listing);
	/* No restart: entries were given out already, so a listing that was cut ends with an error and the caller begins again. */
	if (!error) {
		error = sftp_list(store->sftp, listing_lane(path), full.data, on_entry, NULL, on_listed, listing);
		if (error) {
			listing_unref(listing);		/* the request's */
			listing_leave(listing);
		}
	}
	if (!error)
		*ret_listing = listing;
	buf_release(&full);
	return error;
}

int store_list_sftp(struct store *base, const char *path, store_entry *entry, void *arg)
{
	struct store_sftp *store = container_of(base, struct store_sftp, store);
	struct listing *listing;
	int error = listing_begin(store, path, NULL, &listing);

	if (error)
		return error;
	error = listing_run(listing, entry, arg);
	listing_leave(listing);
	return error;
}

void store_list_begin_sftp(struct store *base, struct store_listing *listing)
{
	struct store_sftp *store = container_of(base, struct store_sftp, store);
	struct listing *begun = NULL;

	listing->error = listing_begin(store, listing->path, listing->after ? listing->after->begun : NULL, &begun);
	listing->begun = begun;
}

int store_list_end_sftp(struct store *base, struct store_listing *listing, store_entry *entry, void *arg)
{
	struct listing *begun = listing->begun;
	int error = listing->error;

	if (!begun)
		return error;
	if (entry)
		error = listing_run(begun, entry, arg);
	listing_leave(begun);
	return error == LISTING_EARLY ? store_list_sftp(base, listing->path, entry, arg) : error;
}
