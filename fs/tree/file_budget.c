/*
 * file_budget: what all open files of a mount share: room for queued writes, room for what is read ahead, and the server's clock.
 *
 * A write that finds no room has been queued all the same (its bytes had to be copied anyway); its program waits. So memory is bounded by
 * options.write_buffer and one write for every program that waits.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tree/file.h"
#include "tree/file_state.h"

/* A time further ahead of this machine's clock was set by somebody, it isn't the server's. (Leaving one out only makes us more careful.) */
#define PLAUSIBLE_AHEAD_S 60

struct parked {
	struct list link;
	struct reply *reply;
	size_t count;
};

int files_new(const struct tree *tree, struct files **ret_files)
{
	const struct tree_options *options = &tree->options;
	struct files *files = calloc(1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	pthread_mutex_init(&files->lock, NULL);
	block_pool_init(&files->pool, file_block(tree));
	list_init(&files->parked);
	files->max_queued = options->write_buffer;
	files->max_ahead = options->readahead * FILES_AHEAD_READERS;
	*ret_files = files;
	return 0;
}

void files_free(struct files *files)
{
	if (!files)
		return;
	block_pool_release(&files->pool);
	pthread_mutex_destroy(&files->lock);
	free(files);
}

/* ---- room for queued writes ---- */

void files_charge(struct files *files, size_t bytes)
{
	pthread_mutex_lock(&files->lock);
	files->queued += bytes;
	pthread_mutex_unlock(&files->lock);
}

void files_queued(struct files *files, struct reply *reply, size_t count)
{
	struct parked *parked = NULL;

	pthread_mutex_lock(&files->lock);
	if (files->queued > files->max_queued)
		parked = malloc(sizeof(*parked));
	if (parked) {
		parked->reply = reply;
		parked->count = count;
		list_append(&files->parked, &parked->link);
	}
	pthread_mutex_unlock(&files->lock);
	if (!parked)
		reply->ops->written(reply, count);
}

void files_unqueued(struct files *files, size_t bytes)
{
	struct list ready, *link;

	list_init(&ready);
	pthread_mutex_lock(&files->lock);
	files->queued -= bytes;
	if (files->queued <= files->max_queued)
		list_splice(&ready, &files->parked);
	pthread_mutex_unlock(&files->lock);
	while ((link = list_pop(&ready))) {
		struct parked *parked = list_entry(link, struct parked, link);

		parked->reply->ops->written(parked->reply, parked->count);
		free(parked);
	}
}

/* ---- the server's clock ---- */

void files_saw_time(struct files *files, const struct sftp_attrs *attrs)
{
	int64_t newest, known, now = clock_now();

	if (!(attrs->flags & SFTP_ATTR_TIMES))
		return;
	newest = attrs->mtime > attrs->atime ? attrs->mtime : attrs->atime;
	if (newest > clock_wall() / NS_PER_S + PLAUSIBLE_AHEAD_S)
		return;
	pthread_mutex_lock(&files->lock);
	known = files->server_s ? files->server_s + (now - files->server_seen_ns) / NS_PER_S : 0;
	if (newest > known) {
		files->server_s = newest;
		files->server_seen_ns = now;
	}
	pthread_mutex_unlock(&files->lock);
}

int64_t files_server_time(struct files *files)
{
	int64_t at_least = 0;

	pthread_mutex_lock(&files->lock);
	if (files->server_s)
		at_least = files->server_s + (clock_now() - files->server_seen_ns) / NS_PER_S;
	pthread_mutex_unlock(&files->lock);
	return at_least;
}
