/*
 * pages: makes the kernel drop pages of files, on a thread of its own: that may wait for a page that is just being read, so no thread that carries
 * requests or answers may do it.
 */
#include <stdlib.h>

#include "base/list.h"
#include "fuse/internal.h"

struct drop {
	struct list link;
	struct node *node;	/* held */
	uint64_t offset;
	void (*done)(void *arg);
	void *arg;
};

static void drop_end(struct session *session, struct drop *drop)
{
	drop->done(drop->arg);
	node_unref(session->tree, drop->node);
	free(drop);
}

static struct drop *next_drop(struct session *session)
{
	struct list *link;

	pthread_mutex_lock(&session->lock);
	while (list_empty(&session->drops) && !session->dropping_ends)
		pthread_cond_wait(&session->drops_changed, &session->lock);
	link = list_pop(&session->drops);
	pthread_mutex_unlock(&session->lock);
	return link ? list_entry(link, struct drop, link) : NULL;
}

/* A node that the kernel has no inode of, or a mount that is gone, has no pages either: so whatever the kernel says is fine. */
static void *drop_pages(void *arg)
{
	struct session *session = arg;
	struct drop *drop;

	while ((drop = next_drop(session))) {
		if (session_notice_begin(session)) {
			fuse_lowlevel_notify_inval_inode(session->fuse, (fuse_ino_t)(uintptr_t)drop->node, (off_t)drop->offset, 0);
			session_notice_end(session);
		}
		drop_end(session, drop);
	}
	return NULL;
}

int pages_begin(struct session *session)
{
	int error = pthread_create(&session->dropper, NULL, drop_pages, session);

	session->dropping = !error;
	return -error;
}

void pages_end(struct session *session)
{
	pthread_mutex_lock(&session->lock);
	session->dropping_ends = true;
	pthread_cond_broadcast(&session->drops_changed);
	pthread_mutex_unlock(&session->lock);
	if (session->dropping)
		pthread_join(session->dropper, NULL);
	session->dropping = false;
}

void pages_drop(void *arg, struct node *node, uint64_t offset, void (*done)(void *done_arg), void *done_arg)
{
	struct session *session = arg;
	struct drop *drop = malloc(sizeof(*drop));
	bool ended;

	if (!drop) {		/* rather a page that is old for a moment than an operation without an answer */
		done(done_arg);
		return;
	}
	*drop = (struct drop){ .node = node, .offset = offset, .done = done, .arg = done_arg };
	node_ref(session->tree, node);
	pthread_mutex_lock(&session->lock);
	ended = session->dropping_ends;
	if (!ended)
		list_append(&session->drops, &drop->link);
	pthread_cond_signal(&session->drops_changed);
	pthread_mutex_unlock(&session->lock);
	if (ended)
		drop_end(session, drop);
}
