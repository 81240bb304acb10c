/*
 * file_close: CLOSE of handles that the kernel has given back, and who waits for it.
 *
 * close(2) does not: what was written is on the server by then. But it leaves on the file's own connection, and a removal on another one may overtake it:
 * then rm(1) would end while the server still keeps the bytes.
 */
#include "tree/file.h"

#include <stdlib.h>

#include "tree/file_state.h"

struct closes_wait {
	struct waiter waiter;
	void (*done)(void *arg);
	void *arg;
};

static void closed(struct real *real)
{
	struct tree *tree = real->tree;
	struct node *node = real->node;
	struct list ready;

	list_init(&ready);
	pthread_mutex_lock(&real->lock);
	if (!--real->closing)
		list_splice(&ready, &real->closes);
	pthread_mutex_unlock(&real->lock);
	waiters_run(&ready);
	node_unref(tree, node);
}

static void close_answered(void *arg, const struct sftp_reply *answer)
{
	(void)answer;
	closed(arg);
}

static void closing_locked(struct real *real)
{
	node_ref(real->tree, real->node);
	real->closing++;
}

void open_file_closing_locked(struct open_file *of, bool whole)
{
	if (!whole && of->lent)
		return;
	if (!of->closing && !of->lender)
		closing_locked(of->real);
	of->closing = true;
	if (whole && of->pages && !of->pages_lender)
		closing_locked(of->real);
}

struct open_file *open_file_lend_locked(struct real *real, bool readable, bool writable, bool append)
{
	struct list *link;

	list_for_each(link, &real->opens) {
		struct open_file *of = list_entry(link, struct open_file, link);

		if (!of->file || of->guessed || of->closing || of->append != append || of->readable < readable || of->writable < writable)
			continue;
		of->refs++;
		of->lent++;
		return of;
	}
	return NULL;
}

static void give_back(struct open_file *lender)
{
	pthread_mutex_lock(&lender->real->lock);
	lender->lent--;
	pthread_mutex_unlock(&lender->real->lock);
	open_file_unref(lender);
}

void open_file_close(struct open_file *of)
{
	if (of->lender)
		give_back(of->lender);
	else
		sftp_close_quietly(of->file, close_answered, of->real);
	if (of->pages_lender)
		give_back(of->pages_lender);
	else if (of->pages)
		sftp_close_quietly(of->pages, close_answered, of->real);
}

static void all_closed(struct waiter *waiter)
{
	struct closes_wait *wait = container_of(waiter, struct closes_wait, waiter);

	wait->done(wait->arg);
	free(wait);
}

void file_await_closes(struct tree *tree, struct node *node, void (*done)(void *arg), void *arg)
{
	struct real *real = node && node->ops->real ? real_of(tree, node) : NULL;
	struct closes_wait *wait = real ? malloc(sizeof(*wait)) : NULL;
	bool waits = false;

	if (wait) {
		*wait = (struct closes_wait){ .waiter.run = all_closed, .done = done, .arg = arg };
		list_init(&wait->waiter.link);
		pthread_mutex_lock(&real->lock);
		waits = real->closing;
		if (waits)
			list_append(&real->closes, &wait->waiter.link);
		pthread_mutex_unlock(&real->lock);
	}
	if (waits) {
		sftp_hurry(tree->sftp);
		return;
	}
	free(wait);
	done(arg);
}
