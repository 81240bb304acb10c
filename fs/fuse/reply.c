/*
 * reply: tree/reply.h over fuse_req_t: every request is answered exactly once, by the tree or, when the program that waits is being ended, by a
 * signal.
 *
 *   waiting ──tree answers──▶ gone
 *      │
 *      └──the caller is to die──▶ answered EINTR ──tree answers──▶ gone: what it brought (a lookup, an open handle) is given back
 *
 * The kernel reports any signal. A timer or a child's end must not make a system call fail that would have gone on, on a local disk; so
 * only signals that end programs count: the pending sets in /proc say which one it was. The first signal is reported once only, therefore
 * whoever was hit is looked at again until answered.
 *
 * libfuse calls interrupt_hit() with a number, not a pointer: the reply may be gone by then. It calls it from within fuse_req_interrupt_func() when the
 * interrupt came before the request, and uses the request after that: nobody may answer, which frees it, until that has returned.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "fuse/internal.h"

#define WATCH_INTERVAL_NS (200 * NS_PER_MS)
#define REPLY_NODES 16		/* room for so many lookups of a READDIRPLUS at first */

struct fuse_reply {
	struct reply reply;
	struct session *session;
	fuse_req_t req;			/* NULL: nobody waits */
	enum reply_kind kind;
	struct node *node;		/* whose attributes are asked for; the kernel holds it meanwhile */
	char *data;			/* dirents */
	size_t size;
	size_t used;
	struct node **nodes;		/* looked up by READDIRPLUS, until it is sent */
	size_t node_count;
	size_t node_room;
	bool no_memory;
	bool returns;			/* a handle is given back: session_end() waits for it */
	/* by session->lock: */
	struct list link;
	uint64_t id;
	bool beginning;			/* libfuse has the request in hand: it must not be answered yet */
	bool hit;			/* by a signal */
	bool answered;			/* already, with EINTR */
	bool waking;			/* `wake` runs, on thread `waker` */
	pthread_t waker;
	void (*wake)(void *arg);
	void *wake_arg;
};

static struct fuse_reply *of(struct reply *reply)
{
	return container_of(reply, struct fuse_reply, reply);
}

void reply_about(struct reply *reply, struct node *node)
{
	of(reply)->node = node;
}

/* ---- who may answer ---- */

/* The tree has its answer: true when it may be given, false when the caller got EINTR long ago. The reply is off the list. */
static bool claim(struct fuse_reply *reply)
{
	struct session *session = reply->session;
	bool mine;

	pthread_mutex_lock(&session->lock);
	while (reply->waking && !pthread_equal(reply->waker, pthread_self()))
		pthread_cond_wait(&session->changed, &session->lock);
	mine = !reply->answered;
	if (mine) {
		list_remove(&reply->link);
		if (reply->hit)
			session->interrupted--;
	}
	if (reply->returns) {
		session->returning--;
		pthread_cond_signal(&session->returned);
	}
	pthread_mutex_unlock(&session->lock);
	return mine && reply->req;
}

static void reply_free(struct fuse_reply *reply)
{
	free(reply->data);
	free(reply->nodes);
	free(reply);
}

static struct fuse_reply *find_locked(struct session *session, uint64_t id)
{
	struct list *link;

	list_for_each(link, &session->replies) {
		struct fuse_reply *reply = list_entry(link, struct fuse_reply, link);

		if (reply->id == id)
			return reply;
	}
	return NULL;
}

/* ---- signals ---- */

/* Answers EINTR, if the tree is not just answering. Called and returns with the lock. */
static void give_up_locked(struct fuse_reply *reply)
{
	struct session *session = reply->session;
	fuse_req_t req = reply->req;

	reply->answered = true;
	list_remove(&reply->link);
	session->interrupted--;
	pthread_mutex_unlock(&session->lock);
	fuse_reply_err(req, EINTR);
	pthread_mutex_lock(&session->lock);
}

/* Called and returns with the lock; the reply may be gone afterwards. */
static void wake_locked(struct fuse_reply *reply)
{
	struct session *session = reply->session;
	void (*wake)(void *arg) = reply->wake;
	void *arg = reply->wake_arg;
	uint64_t id = reply->id;

	reply->waking = true;
	reply->waker = pthread_self();
	reply->wake = NULL;
	pthread_mutex_unlock(&session->lock);
	wake(arg);
	pthread_mutex_lock(&session->lock);
	reply = find_locked(session, id);
	if (reply) {
		reply->waking = false;
		pthread_cond_broadcast(&session->changed);
	}
}

static void hit_locked(struct fuse_reply *reply)
{
	struct session *session = reply->session;

	if (!reply->hit) {
		reply->hit = true;
		session->interrupted++;
		pthread_cond_broadcast(&session->changed);
	}
	if (reply->waking || reply->beginning)
		return;
	if (reply->wake)
		wake_locked(reply);
	else if (dying_is(reply->reply.caller.pid))
		give_up_locked(reply);
}

static void interrupt_hit(fuse_req_t req, void *data)
{
	struct session *session = fuse_req_userdata(req);
	struct fuse_reply *reply;

	pthread_mutex_lock(&session->lock);
	reply = find_locked(session, (uint64_t)(uintptr_t)data);
	if (reply)
		hit_locked(reply);
	pthread_mutex_unlock(&session->lock);
}

/* The one that must be looked at again, or NULL. */
static struct fuse_reply *next_hit_locked(struct session *session, uint64_t after)
{
	struct list *link;

	list_for_each(link, &session->replies) {
		struct fuse_reply *reply = list_entry(link, struct fuse_reply, link);

		if (reply->hit && reply->req && reply->id > after)
			return reply;
	}
	return NULL;
}

/* The first request but for INIT, which is answered without a reply: until then the kernel has its own readahead. Called and returns with the lock. */
static void await_first_request_locked(struct session *session)
{
	while (!session->ending && !session->last_id)
		pthread_cond_wait(&session->changed, &session->lock);
}

static void *watch(void *arg)
{
	struct session *session = arg;
	struct fuse_reply *reply;
	uint64_t id;

	pthread_mutex_lock(&session->lock);
	await_first_request_locked(session);
	pthread_mutex_unlock(&session->lock);
	session_raise_readahead(session);
	pthread_mutex_lock(&session->lock);
	while (!session->ending) {
		int64_t until = session->interrupted ? clock_now() + WATCH_INTERVAL_NS : INT64_MAX;

		while (!session->ending && clock_now() < until && (until != INT64_MAX || !session->interrupted))
			clock_cond_wait(&session->changed, &session->lock, until);
		for (id = 0; (reply = next_hit_locked(session, id));) {
			id = reply->id;
			hit_locked(reply);
		}
	}
	pthread_mutex_unlock(&session->lock);
	return NULL;
}

int reply_watch_begin(struct session *session)
{
	int error = pthread_create(&session->watcher, NULL, watch, session);

	session->watching = !error;
	return -error;
}

void reply_watch_end(struct session *session)
{
	pthread_mutex_lock(&session->lock);
	session->ending = true;
	pthread_cond_broadcast(&session->changed);
	pthread_mutex_unlock(&session->lock);
	if (session->watching)
		pthread_join(session->watcher, NULL);
	session->watching = false;
}

static bool reply_abandoned(struct reply *base)
{
	struct fuse_reply *reply = of(base);
	bool answered;

	pthread_mutex_lock(&reply->session->lock);
	answered = reply->answered;
	pthread_mutex_unlock(&reply->session->lock);
	return answered;
}

static void reply_on_interrupt(struct reply *base, void (*wake)(void *arg), void *arg)
{
	struct fuse_reply *reply = of(base);
	struct session *session = reply->session;

	pthread_mutex_lock(&session->lock);
	while (reply->waking && !pthread_equal(reply->waker, pthread_self()))
		pthread_cond_wait(&session->changed, &session->lock);
	reply->wake = wake;
	reply->wake_arg = arg;
	if (wake && reply->hit && !reply->answered && !reply->waking)
		wake_locked(reply);
	pthread_mutex_unlock(&session->lock);
}

/* ---- handles the kernel holds ---- */

static void handle_opened(struct session *session, struct handle *handle)
{
	pthread_mutex_lock(&session->lock);
	if (map_set(&session->handles, &handle, sizeof(handle), handle, NULL))
		log_debug("out of memory: a handle will not be closed if the mount ends first");
	pthread_mutex_unlock(&session->lock);
}

static void handle_closed(struct session *session, struct handle *handle)
{
	pthread_mutex_lock(&session->lock);
	map_remove(&session->handles, &handle, sizeof(handle));
	pthread_mutex_unlock(&session->lock);
}

/* The handle's last call; without memory for a reply it stays with the session, which gives it back when it ends. */
static void release_handle(struct session *session, struct handle *handle, struct reply *reply)
{
	if (!reply)
		return;
	handle_closed(session, handle);
	handle->ops->release(handle, reply);
}

void reply_release(fuse_req_t req, struct handle *handle)
{
	struct session *session = fuse_req_userdata(req);	/* an answer frees the request */

	release_handle(session, handle, reply_new(req, REPLY_RELEASE, 0));
}

/* The kernel did not take it. */
static void return_handle(struct session *session, struct handle *handle)
{
	release_handle(session, handle, reply_nobody(session));
}

static void return_node(struct session *session, struct node *node)
{
	if (node)
		node_forget(session->tree, node, 1);
}

/* ---- answers ---- */

static void reply_error(struct reply *base, int error)
{
	struct fuse_reply *reply = of(base);
	size_t i;

	for (i = 0; i < reply->node_count; i++)
		return_node(reply->session, reply->nodes[i]);
	if (claim(reply))
		fuse_reply_err(reply->req, -error);
	reply_free(reply);
}

static void to_param(const struct tree_entry *entry, const struct tree *tree, struct fuse_entry_param *ret_param)
{
	memset(ret_param, 0, sizeof(*ret_param));
	if (entry->node)
		ret_param->ino = entry->node == tree->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)entry->node;
	ret_param->attr = entry->st;
	ret_param->entry_timeout = entry->entry_ttl;
	ret_param->attr_timeout = entry->attr_ttl;
	if (entry->node)
		node_told(entry->node, &entry->st, entry->attr_ttl);
}

static void to_file_info(const struct tree_opened *opened, struct fuse_file_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->fh = (uint64_t)(uintptr_t)opened->handle;
	ret_info->direct_io = opened->direct_io;
	ret_info->keep_cache = opened->keep_cache;
	ret_info->nonseekable = opened->nonseekable;
	ret_info->noflush = opened->no_flush || !opened->handle->ops->flush;
	ret_info->cache_readdir = opened->cache_readdir;
}

static void reply_entry(struct reply *base, const struct tree_entry *entry)
{
	struct fuse_reply *reply = of(base);
	struct fuse_entry_param param;

	to_param(entry, reply->session->tree, &param);
	if (!claim(reply) || fuse_reply_entry(reply->req, &param))
		return_node(reply->session, entry->node);
	reply_free(reply);
}

static void reply_attr(struct reply *base, const struct stat *st, double ttl)
{
	struct fuse_reply *reply = of(base);

	if (claim(reply)) {
		if (reply->node)
			node_told(reply->node, st, ttl);
		fuse_reply_attr(reply->req, st, ttl);
	}
	reply_free(reply);
}

static void reply_opened(struct reply *base, const struct tree_opened *opened)
{
	struct fuse_reply *reply = of(base);
	struct fuse_file_info info;

	to_file_info(opened, &info);
	handle_opened(reply->session, opened->handle);
	if (!claim(reply) || fuse_reply_open(reply->req, &info))
		return_handle(reply->session, opened->handle);
	reply_free(reply);
}

static void reply_created(struct reply *base, const struct tree_entry *entry, const struct tree_opened *opened)
{
	struct fuse_reply *reply = of(base);
	struct fuse_entry_param param;
	struct fuse_file_info info;

	to_param(entry, reply->session->tree, &param);
	to_file_info(opened, &info);
	handle_opened(reply->session, opened->handle);
	if (!claim(reply) || fuse_reply_create(reply->req, &param, &info)) {
		return_handle(reply->session, opened->handle);
		return_node(reply->session, entry->node);
	}
	reply_free(reply);
}

static void reply_data(struct reply *base, const struct iovec *pieces, int count)
{
	struct fuse_reply *reply = of(base);

	if (claim(reply))
		fuse_reply_iov(reply->req, pieces, count);
	reply_free(reply);
}

static void reply_written(struct reply *base, size_t count)
{
	struct fuse_reply *reply = of(base);

	if (!claim(reply))
		;
	else if (reply->kind == REPLY_XATTR)
		fuse_reply_xattr(reply->req, count);
	else
		fuse_reply_write(reply->req, count);
	reply_free(reply);
}

static void reply_link(struct reply *base, const char *target)
{
	struct fuse_reply *reply = of(base);

	if (claim(reply))
		fuse_reply_readlink(reply->req, target);
	reply_free(reply);
}

static void reply_statvfs(struct reply *base, const struct statvfs *st)
{
	struct fuse_reply *reply = of(base);

	if (claim(reply))
		fuse_reply_statfs(reply->req, st);
	reply_free(reply);
}

static void reply_poll(struct reply *base, unsigned int revents)
{
	struct fuse_reply *reply = of(base);

	if (claim(reply))
		fuse_reply_poll(reply->req, revents);
	reply_free(reply);
}

/* ---- listings ---- */

static bool remember_node(struct fuse_reply *reply, struct node *node)
{
	if (reply->node_count == reply->node_room) {
		size_t room = reply->node_room ? reply->node_room * 2 : REPLY_NODES;
		struct node **more = realloc(reply->nodes, room * sizeof(*more));

		if (!more)
			return false;
		reply->nodes = more;
		reply->node_room = room;
	}
	node_looked_up(reply->session->tree, node);
	reply->nodes[reply->node_count++] = node;
	return true;
}

static size_t add_dirent(struct fuse_reply *reply, const char *name, const struct stat *st, const struct tree_entry *plus, off_t next)
{
	struct fuse_entry_param param = { .attr = *st };
	char *at = reply->data + reply->used;
	size_t left = reply->size - reply->used;

	if (reply->kind != REPLY_DIRENTS_PLUS)
		return fuse_add_direntry(reply->req, at, left, name, st, next);
	if (plus)
		to_param(plus, reply->session->tree, &param);
	return fuse_add_direntry_plus(reply->req, at, left, name, &param, next);
}

static bool reply_dirent(struct reply *base, const char *name, const struct stat *st, const struct tree_entry *plus, off_t next)
{
	struct fuse_reply *reply = of(base);
	size_t len;

	if (!reply->data)
		return false;
	len = add_dirent(reply, name, st, plus, next);
	if (len > reply->size - reply->used)
		return false;
	if (plus && plus->node && reply->kind == REPLY_DIRENTS_PLUS && !remember_node(reply, plus->node)) {
		reply->no_memory = true;
		return false;
	}
	reply->used += len;
	return true;
}

static void reply_dirents(struct reply *base)
{
	struct fuse_reply *reply = of(base);
	size_t i;

	if (!reply->used && reply->no_memory) {		/* nothing would mean the end of the directory */
		reply_error(base, -ENOMEM);
		return;
	}
	if (!claim(reply) || fuse_reply_buf(reply->req, reply->data, reply->used))
		for (i = 0; i < reply->node_count; i++)
			return_node(reply->session, reply->nodes[i]);
	reply_free(reply);
}

static const struct reply_ops fuse_reply_ops = {
	.error = reply_error,
	.entry = reply_entry,
	.attr = reply_attr,
	.opened = reply_opened,
	.created = reply_created,
	.data = reply_data,
	.written = reply_written,
	.link = reply_link,
	.statvfs = reply_statvfs,
	.poll = reply_poll,
	.dirent = reply_dirent,
	.dirents = reply_dirents,
	.abandoned = reply_abandoned,
	.on_interrupt = reply_on_interrupt,
};

/* ---- making ---- */

static void enlist(struct fuse_reply *reply)
{
	struct session *session = reply->session;

	pthread_mutex_lock(&session->lock);
	if (!session->last_id++)
		pthread_cond_broadcast(&session->changed);
	reply->id = session->last_id;
	session->returning += reply->returns;
	list_append(&session->replies, &reply->link);
	pthread_mutex_unlock(&session->lock);
}

static void begun(struct fuse_reply *reply)
{
	struct session *session = reply->session;

	pthread_mutex_lock(&session->lock);
	reply->beginning = false;
	if (reply->hit)
		hit_locked(reply);
	pthread_mutex_unlock(&session->lock);
}

static struct fuse_reply *allocate(void)
{
	return fault_hit("reply-memory") ? NULL : calloc(1, sizeof(struct fuse_reply));
}

struct reply *reply_new(fuse_req_t req, enum reply_kind kind, size_t size)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct fuse_reply *reply = allocate();

	if (!reply)
		goto fail;
	reply->reply.ops = &fuse_reply_ops;
	reply->reply.caller.uid = ctx->uid;
	reply->reply.caller.gid = ctx->gid;
	reply->reply.caller.pid = ctx->pid;
	reply->reply.caller.umask = ctx->umask;
	reply->session = fuse_req_userdata(req);
	reply->req = req;
	reply->kind = kind;
	reply->returns = kind == REPLY_RELEASE;
	reply->size = size;
	if (kind == REPLY_DIRENTS || kind == REPLY_DIRENTS_PLUS) {
		reply->data = malloc(size);
		if (!reply->data)
			goto fail;
	}
	figures_count_request(&reply->session->tree->figures);
	reply->beginning = true;
	enlist(reply);
	fuse_req_interrupt_func(req, interrupt_hit, (void *)(uintptr_t)reply->id);
	begun(reply);
	return &reply->reply;
fail:
	free(reply);
	fuse_reply_err(req, ENOMEM);
	return NULL;
}

struct reply *reply_nobody(struct session *session)
{
	struct fuse_reply *reply = allocate();

	if (!reply)
		return NULL;
	reply->reply.ops = &fuse_reply_ops;
	reply->session = session;
	reply->returns = true;
	enlist(reply);
	return &reply->reply;
}
