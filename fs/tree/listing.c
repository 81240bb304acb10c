/*
 * listing: open directories. A listing is asked for once, when reading begins, and again after rewinddir(); its entries are kept in the handle as
 * they come, so that a reader gets the first ones while the rest is on its way, and sees one consistent list.
 *
 *   handle ──▶ listing: entries so far ◀── sftp_list (I/O thread)
 *                 └── waiters: readers at an offset that is not there yet; answered when enough is, or all
 *
 * Offsets given to the kernel are positions in that list: 0 ".", 1 "..", 2 … the server's, then a queue's virtual names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/qconf.h"
#include "tree/ahead.h"
#include "tree/file.h"
#include "tree/listing.h"
#include "tree/real.h"
#include "tree/task.h"

#define LISTING_DOTS 2		/* "." and ".." */
#define LISTING_ENOUGH 64	/* entries from the asked one on that are worth an answer before the rest is there */

struct listed {
	size_t name;			/* where in `names` */
	struct sftp_attrs attrs;
};

struct waiter {
	struct list link;
	struct reply *reply;
	size_t position;
	bool plus;
};

struct listing {
	struct tree *tree;
	struct node *dir;		/* held */
	pthread_mutex_t lock;		/* guards all below */
	unsigned int refs;		/* the handle, and sftp_list until it is done */
	struct buf names;		/* NUL-terminated, one after another */
	struct listed *entries;
	size_t count;
	size_t room;
	const char *const *extra;	/* a queue's virtual names, or NULL */
	struct map seen;		/* after a break: names that are in the list already */
	bool again;			/* the server lists from its start again */
	size_t most;			/* more entries are too many; 0: never */
	bool has_queue;
	bool done;
	bool abandoned;
	int error;
	struct list waiters;
};

struct dir_handle {
	struct handle handle;
	pthread_mutex_t lock;		/* guards `listing` */
	struct listing *listing;	/* NULL: not begun */
	bool read;			/* some of it was given out */
};

/* ---- the listing ---- */

void listing_ref(struct listing *listing)
{
	pthread_mutex_lock(&listing->lock);
	listing->refs++;
	pthread_mutex_unlock(&listing->lock);
}

void listing_unref(struct listing *listing)
{
	bool last;

	pthread_mutex_lock(&listing->lock);
	last = !--listing->refs;
	pthread_mutex_unlock(&listing->lock);
	if (!last)
		return;
	node_unref(listing->tree, listing->dir);
	pthread_mutex_destroy(&listing->lock);
	map_release(&listing->seen);
	buf_release(&listing->names);
	free(listing->entries);
	free(listing);
}

static int add_entry(struct listing *listing, const char *name, size_t len, const struct sftp_attrs *attrs)
{
	struct listed *entry;

	if (listing->count == listing->room) {
		size_t room = listing->room ? listing->room * 2 : 128;
		struct listed *more = realloc(listing->entries, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		listing->entries = more;
		listing->room = room;
	}
	entry = &listing->entries[listing->count];
	entry->name = listing->names.len;
	entry->attrs = *attrs;
	buf_add(&listing->names, name, len);
	buf_addch(&listing->names, '\0');
	if (buf_error(&listing->names))
		return -ENOMEM;
	listing->count++;
	return 0;
}

static const char *entry_name(const struct listing *listing, size_t index)
{
	return listing->names.data + listing->entries[index].name;
}

size_t listing_count(const struct listing *listing)
{
	return listing->count;
}

const char *listing_entry(const struct listing *listing, size_t index, const struct sftp_attrs **ret_attrs)
{
	if (ret_attrs)
		*ret_attrs = &listing->entries[index].attrs;
	return entry_name(listing, index);
}

/* How many positions there are so far: all of them once it is done. */
static size_t positions(const struct listing *listing)
{
	size_t extra = 0;

	while (listing->done && listing->extra && listing->extra[extra])
		extra++;
	return LISTING_DOTS + listing->count + extra;
}

static bool is_hidden(const struct listing *listing, const char *name)
{
	size_t i;

	for (i = 0; listing->done && listing->extra && listing->extra[i]; i++)
		if (!strcmp(name, listing->extra[i]))
			return true;
	return false;
}

/* ---- answering a reader ---- */

static bool give_plain(struct listing *listing, struct reply *reply, const char *name, mode_t mode, off_t next)
{
	struct stat st = { .st_mode = mode & S_IFMT };

	st.st_ino = node_ino(listing->tree, listing->dir, name);
	return reply->ops->dirent(reply, name, &st, NULL, next);
}

/* One entry with its attributes and a lookup (without them when memory is short); false when the reply is full. */
static bool give_plus(struct listing *listing, struct reply *reply, const char *name, const struct sftp_attrs *attrs, off_t next)
{
	struct tree *tree = listing->tree;
	struct tree_entry entry = { .entry_ttl = tree->options.entry_ttl, .attr_ttl = tree->options.attr_ttl };
	struct node *node;
	bool fits;

	node = node_get(tree, listing->dir, name, &real_ops);
	if (node)
		node = node_typed(tree, node, attrs->mode);
	if (!node)
		return give_plain(listing, reply, name, attrs->mode, next);
	tree_stat(tree, attrs, node->ino, &entry.st);
	if (file_overlay(tree, node, attrs, &entry.st))
		entry.attr_ttl = 0;
	entry.node = node;
	fits = reply->ops->dirent(reply, name, &entry.st, &entry, next);
	node_unref(tree, node);
	return fits;
}

static bool give_dots(struct listing *listing, struct reply *reply, size_t position, off_t next)
{
	struct stat st = { .st_mode = S_IFDIR };
	const struct node *dir = listing->dir;

	pthread_mutex_lock(&listing->tree->lock);
	st.st_ino = position && dir->parent ? dir->parent->ino : dir->ino;
	pthread_mutex_unlock(&listing->tree->lock);
	return reply->ops->dirent(reply, position ? ".." : ".", &st, NULL, next);
}

static mode_t extra_mode(const char *name)
{
	return !strcmp(name, "ctl") || !strncmp(name, "progress", 8) ? S_IFREG : S_IFDIR;
}

static bool give_entry(struct listing *listing, struct reply *reply, size_t index, bool plus, off_t next)
{
	const char *name = entry_name(listing, index);
	const struct sftp_attrs *attrs = &listing->entries[index].attrs;
	bool follow = listing->tree->options.follow_symlinks && S_ISLNK(attrs->mode);
	bool known = (attrs->flags & SFTP_ATTR_MODE) && (attrs->mode & S_IFMT) && !follow;

	if (is_hidden(listing, name))
		return true;
	if (plus && known)
		return give_plus(listing, reply, name, attrs, next);
	return give_plain(listing, reply, name, known ? attrs->mode : 0, next);
}

static void fill_locked(struct listing *listing, const struct waiter *waiter)
{
	size_t position = waiter->position, end = positions(listing);
	bool fits = true;

	for (; fits && position < end; position++) {
		off_t next = (off_t)position + 1;

		if (position < LISTING_DOTS) {
			fits = give_dots(listing, waiter->reply, position, next);
		} else if (position < LISTING_DOTS + listing->count) {
			fits = give_entry(listing, waiter->reply, position - LISTING_DOTS, waiter->plus, next);
		} else {
			const char *name = listing->extra[position - LISTING_DOTS - listing->count];

			fits = give_plain(listing, waiter->reply, name, extra_mode(name), next);
		}
	}
}

/* Is there enough for this reader now? */
static bool is_ready(const struct listing *listing, const struct waiter *waiter)
{
	return listing->done || positions(listing) >= waiter->position + LISTING_ENOUGH;
}

static void answer(struct waiter *waiter, int error)
{
	struct reply *reply = waiter->reply;

	free(waiter);
	if (error)
		reply->ops->error(reply, errors_plain(error));
	else
		reply->ops->dirents(reply);
}

/* Answers all who need wait no longer, and gives up the lock. */
static void serve_and_unlock(struct listing *listing)
{
	struct list ready, *link, *next;
	int error = listing->done ? listing->error : 0;

	list_init(&ready);
	list_for_each_safe(link, next, &listing->waiters) {
		struct waiter *waiter = list_entry(link, struct waiter, link);

		if (!is_ready(listing, waiter))
			continue;
		list_remove(link);
		list_append(&ready, link);
		if (!error)
			fill_locked(listing, waiter);
	}
	pthread_mutex_unlock(&listing->lock);
	while ((link = list_pop(&ready)))
		answer(list_entry(link, struct waiter, link), error);
}

/* ---- what sftp_list tells ---- */

static bool list_entry_seen(void *arg, const struct sftp_name *name)
{
	struct listing *listing = arg;
	int error = 0;
	bool more;

	pthread_mutex_lock(&listing->lock);
	if (name->len == strlen(QCONF_DIR) && !memcmp(name->name, QCONF_DIR, name->len))
		listing->has_queue = true;
	if (!listing->again || !map_get(&listing->seen, name->name, name->len))
		error = add_entry(listing, name->name, name->len, name->attrs);
	if (error)
		listing->error = error;
	if (listing->most && listing->count > listing->most)
		listing->abandoned = true;
	more = !error && !listing->abandoned;
	if (list_empty(&listing->waiters))
		pthread_mutex_unlock(&listing->lock);
	else
		serve_and_unlock(listing);
	return more;
}

/* From the start again: readers have been given positions, so what is in the list keeps its place. */
static void list_restarted(void *arg)
{
	struct listing *listing = arg;
	size_t i;

	pthread_mutex_lock(&listing->lock);
	listing->again = true;
	for (i = 0; i < listing->count && !listing->error; i++)
		listing->error = map_set_str(&listing->seen, entry_name(listing, i), listing, NULL);
	pthread_mutex_unlock(&listing->lock);
}

static void list_done(void *arg, const struct sftp_reply *reply)
{
	struct listing *listing = arg;
	bool whole;

	if (listing->has_queue && !reply->error && tree_has_queues(listing->tree))
		listing->extra = queues_listing(listing->tree, listing->dir);
	pthread_mutex_lock(&listing->lock);
	listing->done = true;
	if (reply->error)
		listing->error = reply->error;
	map_release(&listing->seen);
	whole = !listing->error && !listing->abandoned;
	serve_and_unlock(listing);
	if (whole)
		ahead_listed(listing->tree->ahead, listing->dir, listing);
	listing_unref(listing);
}

static int listing_begin(struct tree *tree, struct node *dir, size_t most, struct listing **ret_listing)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	struct buf path = BUF_INIT;
	int error;

	if (!listing)
		return -ENOMEM;
	pthread_mutex_init(&listing->lock, NULL);
	list_init(&listing->waiters);
	map_init(&listing->seen);
	listing->tree = tree;
	listing->dir = dir;
	node_ref(tree, dir);
	listing->refs = 2;
	listing->most = most;
	error = node_path(tree, dir, NULL, &path);
	if (!error)
		error = sftp_list(tree->sftp, SFTP_DATA, path.data, list_entry_seen, list_restarted, list_done, listing);
	buf_release(&path);
	if (error) {
		listing->refs = 1;
		listing_unref(listing);
		return error;
	}
	*ret_listing = listing;
	return 0;
}

void listing_start(struct tree *tree, struct node *dir, size_t most)
{
	struct listing *listing;

	if (!listing_begin(tree, dir, most, &listing))
		listing_unref(listing);
}

static void listing_abandon(struct listing *listing)
{
	if (!listing)
		return;
	pthread_mutex_lock(&listing->lock);
	listing->abandoned = true;
	pthread_mutex_unlock(&listing->lock);
	listing_unref(listing);
}

/* ---- the handle ---- */

/* The handle's listing with a ref, begun or begun again when reading starts at the beginning. */
static int get_listing(struct dir_handle *dir, bool from_start, struct listing **ret_listing)
{
	struct listing *old = NULL;
	int error = 0;

	pthread_mutex_lock(&dir->lock);
	if (from_start && dir->read) {
		old = dir->listing;
		dir->listing = NULL;
	}
	if (!dir->listing)
		error = listing_begin(dir->handle.tree, dir->handle.node, 0, &dir->listing);
	if (!error) {
		dir->read = true;
		pthread_mutex_lock(&dir->listing->lock);
		dir->listing->refs++;
		pthread_mutex_unlock(&dir->listing->lock);
		*ret_listing = dir->listing;
	}
	pthread_mutex_unlock(&dir->lock);
	listing_abandon(old);
	return error;
}

static void dir_readdir(struct handle *handle, off_t offset, bool plus, struct reply *reply)
{
	struct dir_handle *dir = container_of(handle, struct dir_handle, handle);
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	struct listing *listing;
	int error;

	error = !waiter ? -ENOMEM : offset < 0 ? -EINVAL : get_listing(dir, !offset, &listing);
	if (error) {
		free(waiter);
		reply->ops->error(reply, error == -ESTALE ? -ENOENT : error);
		return;
	}
	waiter->reply = reply;
	waiter->position = (size_t)offset;
	waiter->plus = plus;
	pthread_mutex_lock(&listing->lock);
	list_append(&listing->waiters, &waiter->link);
	serve_and_unlock(listing);
	listing_unref(listing);
}

static void dir_release(struct handle *handle, struct reply *reply)
{
	struct dir_handle *dir = container_of(handle, struct dir_handle, handle);

	listing_abandon(dir->listing);
	node_unref(handle->tree, handle->node);
	pthread_mutex_destroy(&dir->lock);
	free(dir);
	reply->ops->error(reply, 0);
}

/* ---- fsync of a directory: OpenSSH opens one for reading and fsyncs it; a server that does not has nothing to offer ---- */

struct dir_sync {
	struct reply *reply;
	struct sftp_file *file;
};

static void sync_done(void *arg, const struct sftp_reply *answer)
{
	struct dir_sync *sync = arg;
	struct reply *reply = sync->reply;
	int error = answer->error;

	sftp_close(sync->file, NULL, NULL);
	free(sync);
	reply->ops->error(reply, errors_plain(error));
}

static void sync_opened(void *arg, const struct sftp_reply *answer)
{
	struct dir_sync *sync = arg;
	struct reply *reply = sync->reply;
	int error = answer->error;

	if (!error) {
		sync->file = answer->file;
		error = sftp_fsync(sync->file, sync_done, sync);
		if (!error)
			return;
		sftp_close(sync->file, NULL, NULL);
	}
	free(sync);
	reply->ops->error(reply, error == -EREMOTEIO ? 0 : errors_plain(error));
}

static void dir_fsync(struct handle *handle, bool data_only, struct reply *reply)
{
	struct tree *tree = handle->tree;
	struct buf path = BUF_INIT;
	struct dir_sync *sync;
	int error;

	(void)data_only;
	if (!(sftp_features(tree->sftp) & SFTP_HAS_FSYNC)) {
		reply->ops->error(reply, 0);
		return;
	}
	sync = calloc(1, sizeof(*sync));
	error = sync ? node_path(tree, handle->node, NULL, &path) : -ENOMEM;
	if (!error) {
		sync->reply = reply;
		error = sftp_open(tree->sftp, SFTP_DATA, path.data, SFTP_OPEN_READ, NULL, sync_opened, sync);
	}
	buf_release(&path);
	if (!error)
		return;
	free(sync);
	reply->ops->error(reply, error == -ESTALE ? -ENOENT : error);
}

static const struct handle_ops dir_handle_ops = {
	.readdir = dir_readdir,
	.fsync = dir_fsync,
	.release = dir_release,
};

void real_opendir(struct tree *tree, struct node *dir, struct reply *reply)
{
	struct tree_opened opened = { 0 };
	struct dir_handle *handle = calloc(1, sizeof(*handle));

	if (!handle) {
		reply->ops->error(reply, -ENOMEM);
		return;
	}
	handle->handle.ops = &dir_handle_ops;
	handle->handle.tree = tree;
	handle->handle.node = dir;
	node_ref(tree, dir);
	pthread_mutex_init(&handle->lock, NULL);
	opened.handle = &handle->handle;
	reply->ops->opened(reply, &opened);
}
