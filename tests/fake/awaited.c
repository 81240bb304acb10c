/*
 * awaited: see awaited.h.
 */
#include "tests/fake/awaited.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/list.h"

#define WAIT_NS (30 * NS_PER_S)

static struct awaited *of(struct reply *reply)
{
	return container_of(reply, struct awaited, reply);
}

static void answered(struct awaited *to, int error)
{
	pthread_mutex_lock(&to->lock);
	to->answers++;
	to->error = error;
	pthread_cond_signal(&to->changed);
	pthread_mutex_unlock(&to->lock);
}

/* ---- what may come ---- */

static void hear_error(struct reply *reply, int error)
{
	answered(of(reply), error);
}

static void take_entry(struct awaited *to, const struct tree_entry *entry)
{
	to->node = entry->node;
	to->st = entry->st;
	to->entry_ttl = entry->entry_ttl;
	to->attr_ttl = entry->attr_ttl;
}

static void hear_entry(struct reply *reply, const struct tree_entry *entry)
{
	take_entry(of(reply), entry);
	answered(of(reply), 0);
}

static void hear_attr(struct reply *reply, const struct stat *st, double ttl)
{
	of(reply)->st = *st;
	of(reply)->attr_ttl = ttl;
	answered(of(reply), 0);
}

static void hear_opened(struct reply *reply, const struct tree_opened *opened)
{
	of(reply)->opened = *opened;
	answered(of(reply), 0);
}

static void hear_created(struct reply *reply, const struct tree_entry *entry, const struct tree_opened *opened)
{
	take_entry(of(reply), entry);
	hear_opened(reply, opened);
}

static void hear_data(struct reply *reply, const struct iovec *pieces, int count)
{
	int i;

	for (i = 0; i < count; i++)
		buf_add(&of(reply)->text, pieces[i].iov_base, pieces[i].iov_len);
	answered(of(reply), 0);
}

static void hear_link(struct reply *reply, const char *target)
{
	buf_adds(&of(reply)->text, target);
	answered(of(reply), 0);
}

static void hear_written(struct reply *reply, size_t count)
{
	of(reply)->count = count;
	answered(of(reply), 0);
}

static void hear_statvfs(struct reply *reply, const struct statvfs *st)
{
	of(reply)->statvfs = *st;
	answered(of(reply), 0);
}

static void hear_poll(struct reply *reply, unsigned int events)
{
	of(reply)->events = events;
	answered(of(reply), 0);
}

static bool hear_dirent(struct reply *reply, const char *name, const struct stat *st, const struct tree_entry *plus, off_t next)
{
	struct awaited *to = of(reply);

	if (to->room == 0)
		return false;
	to->room--;
	to->next = next;
	to->plus += plus != NULL;
	to->odd += st->st_ino == 0 || (plus && (plus->node->ino != st->st_ino || (!plus->node->ops->real && plus->entry_ttl != 0)));
	buf_addf(&to->names, "%s%s\n", name, S_ISDIR(st->st_mode) ? "/" : "");
	return true;
}

static void hear_dirents(struct reply *reply)
{
	answered(of(reply), 0);
}

static bool hear_abandoned(struct reply *reply)
{
	return of(reply)->abandoned;
}

static void hear_on_interrupt(struct reply *reply, void (*wake)(void *arg), void *arg)
{
	struct awaited *to = of(reply);

	pthread_mutex_lock(&to->lock);
	to->wake = wake;
	to->wake_arg = arg;
	pthread_mutex_unlock(&to->lock);
}

static const struct reply_ops awaited_ops = {
	.error = hear_error, .entry = hear_entry, .attr = hear_attr, .opened = hear_opened, .created = hear_created, .data = hear_data,
	.link = hear_link, .written = hear_written, .statvfs = hear_statvfs, .poll = hear_poll, .dirent = hear_dirent,
	.dirents = hear_dirents, .abandoned = hear_abandoned, .on_interrupt = hear_on_interrupt,
};

/* ---- asking ---- */

void awaited_init(struct awaited *awaited)
{
	memset(awaited, 0, sizeof(*awaited));
	awaited->reply.ops = &awaited_ops;
	pthread_mutex_init(&awaited->lock, NULL);
	clock_cond_init(&awaited->changed);
}

void awaited_release(struct awaited *awaited)
{
	buf_release(&awaited->text);
	buf_release(&awaited->names);
	pthread_cond_destroy(&awaited->changed);
	pthread_mutex_destroy(&awaited->lock);
}

struct reply *awaited_ask(struct awaited *awaited)
{
	awaited->answers = 0;
	awaited->error = 1;
	awaited->node = NULL;
	awaited->opened = (struct tree_opened){ 0 };
	awaited->wake = NULL;
	buf_reset(&awaited->text);
	return &awaited->reply;
}

int awaited_wait(struct awaited *awaited)
{
	int64_t deadline = clock_now() + WAIT_NS;
	int error = 0;

	pthread_mutex_lock(&awaited->lock);
	while (!awaited->answers && !error)
		error = clock_cond_wait(&awaited->changed, &awaited->lock, deadline);
	assert_int_equal(awaited->answers, 1);
	error = awaited->error;
	pthread_mutex_unlock(&awaited->lock);
	return error;
}

bool awaited_came(struct awaited *awaited)
{
	bool came;

	pthread_mutex_lock(&awaited->lock);
	came = awaited->answers > 0;
	pthread_mutex_unlock(&awaited->lock);
	return came;
}
