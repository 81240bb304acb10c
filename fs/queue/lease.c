/*
 * lease: see lease.h. One thing at a time is done with the files: `busy` is held (as a flag under the lock, with a condition to wait on)
 * by whoever beats, makes or closes files. The server's clock is in lease_clock.c.
 */
#include "queue/lease.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "queue/flight.h"
#include "queue/lease_inner.h"
#include "queue/owner.h"

#define CREATE_TRIES 8

void lease_take_files_locked(struct lease *lease)
{
	while (lease->busy)
		pthread_cond_wait(&lease->changed, &lease->lock);
	lease->busy = true;
}

void lease_leave_files_locked(struct lease *lease)
{
	lease->busy = false;
	pthread_cond_broadcast(&lease->changed);
}

int lease_new(struct store *store, const struct lease_options *options, struct lease **ret_lease)
{
	struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return -ENOMEM;
	lease->store = store;
	lease->host = strdup(options->host ? options->host : "");
	lease->pid = options->pid;
	lease->lease_ns = options->lease_ns;
	lease->link_limit = options->link_limit > 0 ? (uint64_t)options->link_limit : LEASE_LINKS;
	lease->back_limit = lease->link_limit;
	lease->random = clock_random();
	list_init(&lease->files);
	list_init(&lease->dead);
	if (!lease->host) {
		free(lease);
		return -ENOMEM;
	}
	lease_clock_init(&lease->clock);
	pthread_mutex_init(&lease->lock, NULL);
	clock_cond_init(&lease->changed);
	*ret_lease = lease;
	return 0;
}

void lease_stop(struct lease *lease)
{
	bool running;

	pthread_mutex_lock(&lease->lock);
	lease->stopping = true;
	running = lease->running;
	lease->running = false;
	pthread_cond_broadcast(&lease->changed);
	pthread_mutex_unlock(&lease->lock);
	if (running)
		pthread_join(lease->thread, NULL);
}

static void free_file(struct lease *lease, struct lease_file *file)
{
	list_remove(&file->link);
	store_close(lease->store, file->file);
	free(file);
}

void lease_free(struct lease *lease)
{
	struct list *at, *next;

	if (!lease)
		return;
	lease_stop(lease);
	list_splice(&lease->dead, &lease->files);
	list_for_each_safe(at, next, &lease->dead)
		free_file(lease, list_entry(at, struct lease_file, link));
	pthread_cond_destroy(&lease->changed);
	pthread_mutex_destroy(&lease->lock);
	free(lease->past);
	free(lease->host);
	free(lease);
}

/* ---- making files ---- */

/* A new file for writing at `path`, the directory above made if it is not there. */
static int open_new(struct lease *lease, const char *dir, const char *path, struct store_file **ret_file)
{
	struct flight flight = FLIGHT_INIT;
	int error;

	error = store_open(lease->store, path, O_WRONLY | O_CREAT | O_EXCL, ret_file);
	if (error != -ENOENT)
		return error;
	flight_mkdir(&flight, dir);
	flight_run(&flight, lease->store);
	flight_release(&flight);
	return store_open(lease->store, path, O_WRONLY | O_CREAT | O_EXCL, ret_file);
}

int lease_make_text(struct lease *lease, const char *node, enum owner_kind kind, struct buf *ret_text)
{
	struct owner owner = { .kind = kind, .pid = lease->pid, .start = clock_wall() / NS_PER_S };

	strcpy(owner.node, node);
	owner_format(&owner, lease->host, ret_text);
	return buf_error(ret_text);
}

/* The first of an incarnation, or its next file. The caller has the files. */
static int make_file(struct lease *lease, const char *node, uint32_t number, struct lease_file **ret_file)
{
	struct lease_file *file = calloc(1, sizeof(*file));
	struct flight flight = FLIGHT_INIT;
	struct buf text = BUF_INIT;
	size_t write, stat;
	int error;

	if (!file)
		return -ENOMEM;
	list_init(&file->link);
	file->number = number;
	layout_heartbeat(file->path, node, number);
	error = lease_make_text(lease, node, OWNER_LIVE, &text);
	if (!error)
		error = open_new(lease, LAYOUT_NODES, file->path, &file->file);
	if (error)
		goto fail;
	write = flight_write(&flight, file->file, 0, text.data, text.len);
	stat = flight_fstat(&flight, file->file);
	flight_run(&flight, lease->store);
	error = flight_error(&flight, write) ? flight_error(&flight, write) : flight_error(&flight, stat);
	if (error) {
		store_close(lease->store, file->file);
		goto fail;
	}
	file->sent_ns = flight_op(&flight, write)->sent_ns;
	pthread_mutex_lock(&lease->lock);
	lease_clock_sample(&lease->clock, flight_op(&flight, stat)->attrs.mtime, file->sent_ns, flight_op(&flight, stat)->received_ns);
	pthread_mutex_unlock(&lease->lock);
	*ret_file = file;
	file = NULL;
fail:
	free(file);
	flight_release(&flight);
	buf_release(&text);
	return error;
}

static int make_tmp(struct lease *lease, const char *node)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	int error;

	layout_tmp(path, node);
	flight_mkdir(&flight, LAYOUT_TMP);
	flight_mkdir(&flight, path);
	flight_lstat(&flight, path);
	flight_run(&flight, lease->store);
	error = flight_error(&flight, 2);
	flight_release(&flight);
	return error;
}

static void *lease_thread(void *arg);

static void begin_locked(struct lease *lease, const char *node, struct lease_file *file)
{
	strcpy(lease->node, node);
	lease->epoch++;
	lease->lapses++;
	lease->acked_ns = file->sent_ns;
	lease->free_file = lease->lost_file = 0;
	lease->free_links = lease->lost_links = 0;
	lease->free_made = lease->lost_made = false;
	if (!lease->running && !lease->stopping && pthread_create(&lease->thread, NULL, lease_thread, lease) == 0)
		lease->running = true;
}

/* Names of earlier incarnations: markers of theirs are this mount's own. */
static void remember_locked(struct lease *lease, const char *node)
{
	char (*past)[LAYOUT_MAX_NODE + 1] = realloc(lease->past, (lease->past_count + 1) * sizeof(*past));

	if (!past)
		return;
	lease->past = past;
	strcpy(past[lease->past_count++], node);
}

int lease_make_node(struct lease *lease)
{
	char node[LAYOUT_MAX_NODE + 1];
	struct lease_file *file = NULL;
	int error = -EIO, tries;

	for (tries = 0; tries < CREATE_TRIES; tries++) {
		if (store_cancelled(lease->store))
			return -ECANCELED;
		/* A name that may have been made by a request without an answer is not used: another one is. */
		lease->random = lease->random * 6364136223846793005ULL + 1442695040888963407ULL;
		layout_node(lease->host, (uint32_t)(lease->random >> 32), node);
		error = make_file(lease, node, 0, &file);
		if (error != STORE_FAILURE && error != STORE_UNKNOWN && error != -EEXIST)
			break;
	}
	if (error)
		return error == STORE_FAILURE || error == STORE_UNKNOWN ? -EIO : error;
	error = make_tmp(lease, node);
	if (error) {
		store_close(lease->store, file->file);
		free(file);
		return error == -ENOENT || error == STORE_UNKNOWN ? -EIO : error;
	}
	pthread_mutex_lock(&lease->lock);
	list_append(&lease->files, &file->link);
	begin_locked(lease, node, file);
	remember_locked(lease, node);
	error = lease->running ? 0 : -EAGAIN;
	pthread_mutex_unlock(&lease->lock);
	log_debug("queue: this mount is node %s", node);
	return error;
}

static struct lease_file *current_locked(struct lease *lease)
{
	return list_empty(&lease->files) ? NULL : list_entry(lease->files.prev, struct lease_file, link);
}

static int make_next(struct lease *lease, uint32_t number)
{
	struct lease_file *file;
	int error, tries;

	for (tries = 0; tries < CREATE_TRIES; tries++, number++) {
		error = make_file(lease, lease->node, number, &file);
		if (error != STORE_FAILURE && error != STORE_UNKNOWN && error != -EEXIST)
			break;
	}
	if (error)
		return error == STORE_FAILURE || error == STORE_UNKNOWN ? -EIO : error;
	pthread_mutex_lock(&lease->lock);
	list_append(&lease->files, &file->link);
	pthread_mutex_unlock(&lease->lock);
	return 0;
}

/* ---- beating ---- */

static bool file_is_gone(int error)
{
	return error == -ENOENT || error == -ESTALE || error == -EBADF;
}

/* The incarnation is over: its claims are lost. */
static void end_locked(struct lease *lease, const char *what)
{
	struct list *at, *next;

	list_for_each_safe(at, next, &lease->files) {
		struct lease_file *file = list_entry(at, struct lease_file, link);

		list_remove(&file->link);
		list_append(&lease->dead, &file->link);
	}
	log_warn("queue: the %s of node %s is gone, so its claims are lost; a new incarnation begins at the next claim", what,
		 lease->node);
	lease->node[0] = '\0';
	lease->epoch++;
}

static void acked_locked(struct lease *lease, int64_t sent_ns, int64_t received_ns)
{
	if (received_ns - lease->acked_ns >= lease->lease_ns) {
		lease->lapses++;
		lease->silent = true;
	}
	lease->acked_ns = sent_ns;
}

/* All files in one flight. The caller has the files, not the lock. */
static int beat(struct lease *lease)
{
	struct flight flight = FLIGHT_INIT;
	struct buf text = BUF_INIT;
	struct list *at, *next;
	const struct store_op *op;
	int64_t sent = INT64_MAX, received = 0;
	bool look;
	int error;
	size_t i;

	pthread_mutex_lock(&lease->lock);
	/* An open file outlives its name, which others remove when it was silent for long. */
	look = lease->silent || clock_now() - lease->acked_ns >= lease->lease_ns;
	pthread_mutex_unlock(&lease->lock);
	error = lease_make_text(lease, lease->node, OWNER_LIVE, &text);
	list_for_each(at, &lease->files) {
		/* The first bytes, which never change: a reader sees the same text before, during and after. */
		flight_write(&flight, list_entry(at, struct lease_file, link)->file, 0, text.data, text.len < 10 ? text.len : 10);
		flight_fstat(&flight, list_entry(at, struct lease_file, link)->file);
		if (look)
			flight_lstat(&flight, list_entry(at, struct lease_file, link)->path);
	}
	flight_run(&flight, lease->store);
	pthread_mutex_lock(&lease->lock);
	error = error ? error : flight.error;
	for (i = 0; i < flight.count && !file_is_gone(error); i++) {
		op = flight_op(&flight, i);
		if (op->error)
			error = op->error;
		else if (op->kind == STORE_WRITE && op->sent_ns < sent)
			sent = op->sent_ns;
		else if (op->kind == STORE_FSTAT && op->received_ns > received)
			received = op->received_ns;
		if (!op->error && op->kind == STORE_FSTAT && !error)
			lease_clock_sample(&lease->clock, op->attrs.mtime, flight_op(&flight, i - 1)->sent_ns, op->received_ns);
	}
	if (file_is_gone(error)) {
		end_locked(lease, "heartbeat file");
	} else if (!error) {
		lease->silent &= !look;
		acked_locked(lease, sent, received);
	}
	list_for_each_safe(at, next, &lease->files) {
		struct lease_file *file = list_entry(at, struct lease_file, link);

		if (file->claims == 0 && file != current_locked(lease)) {
			list_remove(&file->link);
			list_append(&lease->dead, &file->link);
		}
	}
	pthread_mutex_unlock(&lease->lock);
	list_for_each_safe(at, next, &lease->dead)
		free_file(lease, list_entry(at, struct lease_file, link));
	flight_release(&flight);
	buf_release(&text);
	return error;
}

static void *lease_thread(void *arg)
{
	struct lease *lease = arg;
	int64_t due;
	int error = 0;

	pthread_mutex_lock(&lease->lock);
	while (!lease->stopping) {
		/* After a failure sooner: the lease is running out. */
		due = error ? clock_now() + lease->lease_ns / 12 : lease->acked_ns + lease->lease_ns / 3;
		if (!lease->node[0])
			due = INT64_MAX;
		if (due > clock_now()) {
			clock_cond_wait(&lease->changed, &lease->lock, due);
			if (!error || lease->stopping || !lease->node[0])
				continue;
		}
		lease_take_files_locked(lease);
		if (lease->node[0] && !lease->stopping) {
			pthread_mutex_unlock(&lease->lock);
			error = beat(lease);
			pthread_mutex_lock(&lease->lock);
		}
		if (file_is_gone(error))
			error = 0;
		lease_leave_files_locked(lease);
	}
	pthread_mutex_unlock(&lease->lock);
	return NULL;
}

int lease_renew(struct lease *lease, uint32_t *ret_lapses)
{
	int error = -ENOENT;

	pthread_mutex_lock(&lease->lock);
	lease_take_files_locked(lease);
	if (lease->node[0]) {
		pthread_mutex_unlock(&lease->lock);
		error = beat(lease);
		pthread_mutex_lock(&lease->lock);
	}
	if (!error && ret_lapses)
		*ret_lapses = lease->lapses;
	lease_leave_files_locked(lease);
	pthread_mutex_unlock(&lease->lock);
	return file_is_gone(error) ? -ENOENT : error;
}

void lease_abandon(struct lease *lease, const struct lease_stand *stand)
{
	pthread_mutex_lock(&lease->lock);
	lease_take_files_locked(lease);
	if (lease->node[0] && lease->epoch == stand->epoch)
		end_locked(lease, "directory in .claimfs/tmp");
	lease_leave_files_locked(lease);
	pthread_mutex_unlock(&lease->lock);
}

/* ---- claims ---- */

/* For how many claims, with a marker each, the file has room; an unused file for one at least. */
static uint64_t room_locked(const struct lease *lease, const struct lease_file *file)
{
	uint64_t room = !file->full && file->links < lease->link_limit ? (lease->link_limit - file->links) / 2 : 0;

	return room == 0 && file->links == 0 && !file->full ? 1 : room;
}

int lease_begin(struct lease *lease, uint32_t *claims, struct lease_stand *ret_stand)
{
	struct lease_file *file;
	uint64_t room;
	uint32_t number;
	int error = 0, tries;

	pthread_mutex_lock(&lease->lock);
	lease_take_files_locked(lease);
	for (tries = 0; tries < 4 && !error; tries++) {
		file = current_locked(lease);
		number = file ? file->number + 1 : 0;
		room = file ? room_locked(lease, file) : 0;
		if (lease->node[0] && room && clock_now() - lease->acked_ns < lease->lease_ns / 2) {
			*claims = *claims < room ? *claims : (uint32_t)room;
			file->links += 2ULL * *claims;
			file->claims += *claims;
			ret_stand->epoch = lease->epoch;
			ret_stand->lapses = lease->lapses;
			ret_stand->file = file->number;
			strcpy(ret_stand->node, lease->node);
			strcpy(ret_stand->path, file->path);
			goto done;
		}
		pthread_mutex_unlock(&lease->lock);
		if (!file)
			error = lease_make_node(lease);
		else if (!room)
			error = make_next(lease, number);
		else
			error = beat(lease);
		if (file_is_gone(error) && file)
			error = 0;
		pthread_mutex_lock(&lease->lock);
	}
	error = error ? error : -ETIMEDOUT;
done:
	lease_leave_files_locked(lease);
	pthread_mutex_unlock(&lease->lock);
	return error;
}

static struct lease_file *find_locked(struct lease *lease, const struct lease_stand *stand)
{
	struct list *at;

	list_for_each(at, &lease->files)
		if (lease->epoch == stand->epoch && list_entry(at, struct lease_file, link)->number == stand->file)
			return list_entry(at, struct lease_file, link);
	return NULL;
}

void lease_end(struct lease *lease, const struct lease_stand *stand, uint32_t claims)
{
	struct lease_file *file;

	pthread_mutex_lock(&lease->lock);
	file = find_locked(lease, stand);
	if (file)
		file->claims -= claims < file->claims ? claims : file->claims;
	pthread_mutex_unlock(&lease->lock);
}

uint64_t lease_full(struct lease *lease, const struct lease_stand *stand)
{
	struct lease_file *file;
	uint64_t links = 0;

	pthread_mutex_lock(&lease->lock);
	file = find_locked(lease, stand);
	if (file && !file->full) {
		links = file->links;
		file->full = true;
	}
	pthread_mutex_unlock(&lease->lock);
	return links;
}

void lease_learn(struct lease *lease, uint64_t links)
{
	pthread_mutex_lock(&lease->lock);
	if (links / 2 < lease->link_limit)
		lease->link_limit = links / 2 > 2 ? links / 2 : 2;
	pthread_mutex_unlock(&lease->lock);
}

bool lease_good(struct lease *lease, const struct lease_stand *stand)
{
	bool good;

	pthread_mutex_lock(&lease->lock);
	good = lease->epoch == stand->epoch && lease->lapses == stand->lapses && clock_now() - lease->acked_ns < lease->lease_ns;
	pthread_mutex_unlock(&lease->lock);
	return good;
}

bool lease_was_silent(struct lease *lease, uint32_t *lapses)
{
	bool silent;

	pthread_mutex_lock(&lease->lock);
	silent = lease->lapses != *lapses || clock_now() - lease->acked_ns >= lease->lease_ns;
	*lapses = lease->lapses;
	pthread_mutex_unlock(&lease->lock);
	return silent;
}

bool lease_gone(struct lease *lease, const struct lease_stand *stand)
{
	bool gone;

	pthread_mutex_lock(&lease->lock);
	gone = lease->epoch != stand->epoch;
	pthread_mutex_unlock(&lease->lock);
	return gone;
}

/* ---- who and when ---- */

bool lease_node(struct lease *lease, char ret_node[LAYOUT_MAX_NODE + 1], uint32_t *ret_epoch)
{
	pthread_mutex_lock(&lease->lock);
	strcpy(ret_node, lease->node);
	if (ret_epoch)
		*ret_epoch = lease->epoch;
	pthread_mutex_unlock(&lease->lock);
	return ret_node[0] != '\0';
}

bool lease_was_node(struct lease *lease, const char *node)
{
	bool found = false;
	uint32_t i;

	pthread_mutex_lock(&lease->lock);
	for (i = 0; i < lease->past_count && !found; i++)
		found = strcmp(lease->past[i], node) == 0;
	pthread_mutex_unlock(&lease->lock);
	return found;
}

uint64_t lease_once(struct lease *lease)
{
	uint64_t number;

	pthread_mutex_lock(&lease->lock);
	number = ++lease->once;
	pthread_mutex_unlock(&lease->lock);
	return number;
}

int64_t lease_age(struct lease *lease, int64_t now_ns)
{
	int64_t age;

	pthread_mutex_lock(&lease->lock);
	age = lease->node[0] ? now_ns - lease->acked_ns : -1;
	pthread_mutex_unlock(&lease->lock);
	return age;
}
