/*
 * heard: see heard.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/fake/heard.h"

#define WAIT_NS (20 * NS_PER_S)

/* ---- a reply that waits ---- */


struct heard heard;

static void answered(struct heard *to, int error)
{
	pthread_mutex_lock(&to->lock);
	to->answers++;
	to->error = error;
	pthread_cond_signal(&to->changed);
	pthread_mutex_unlock(&to->lock);
}

static struct heard *of(struct reply *reply)
{
	return container_of(reply, struct heard, reply);
}

static void hear_error(struct reply *reply, int error)
{
	answered(of(reply), error);
}

static void hear_entry(struct reply *reply, const struct tree_entry *entry)
{
	of(reply)->node = entry->node;
	of(reply)->st = entry->st;
	answered(of(reply), 0);
}

static void hear_attr(struct reply *reply, const struct stat *st, double ttl)
{
	(void)ttl;
	of(reply)->st = *st;
	answered(of(reply), 0);
}

static void hear_opened(struct reply *reply, const struct tree_opened *opened)
{
	of(reply)->handle = opened->handle;
	answered(of(reply), 0);
}

static void hear_link(struct reply *reply, const char *target)
{
	snprintf(of(reply)->text, sizeof(of(reply)->text), "%s", target);
	answered(of(reply), 0);
}

static void hear_statvfs(struct reply *reply, const struct statvfs *st)
{
	of(reply)->statvfs = *st;
	answered(of(reply), 0);
}

static void hear_written(struct reply *reply, size_t count)
{
	(void)count;
	answered(of(reply), 0);
}

static bool hear_dirent(struct reply *reply, const char *name, const struct stat *st, const struct tree_entry *plus, off_t next)
{
	struct heard *to = of(reply);

	if (!to->room)
		return false;
	to->room--;
	to->next = next;
	assert_int_not_equal(st->st_ino, 0);
	if (plus) {
		to->plus++;
		assert_int_equal(plus->node->ino, st->st_ino);
	}
	buf_addf(&to->names, "%s%s\n", name, S_ISDIR(st->st_mode) ? "/" : "");
	return true;
}

static void hear_dirents(struct reply *reply)
{
	answered(of(reply), 0);
}

static const struct reply_ops heard_ops = {
	.error = hear_error, .entry = hear_entry, .attr = hear_attr, .opened = hear_opened, .link = hear_link, .statvfs = hear_statvfs,
	.written = hear_written, .dirent = hear_dirent, .dirents = hear_dirents,
};

struct reply *heard_ask(void)
{
	heard.answers = 0;
	heard.error = 1;
	heard.node = NULL;
	heard.handle = NULL;
	return &heard.reply;
}

/* What was answered, once. */
int heard_wait(void)
{
	int64_t deadline = clock_now() + WAIT_NS;
	int error = 0;

	pthread_mutex_lock(&heard.lock);
	while (!heard.answers && !error)
		error = clock_cond_wait(&heard.changed, &heard.lock, deadline);
	assert_int_equal(heard.answers, 1);
	error = heard.error;
	pthread_mutex_unlock(&heard.lock);
	return error;
}

/* ---- shorthands ---- */

static void start(const struct tree_options *options)
{
	memset(&heard, 0, sizeof(heard));
	heard.reply.ops = &heard_ops;
	pthread_mutex_init(&heard.lock, NULL);
	clock_cond_init(&heard.changed);
	rig_init(&heard.rig);
	rig_connect(&heard.rig, 2, 10000, 0);
	assert_int_equal(tree_new(heard.rig.sftp, "/", options, &heard.tree), 0);
}

int heard_setup(void **state)
{
	static const struct tree_options options = {
		.attr_ttl = 1, .entry_ttl = 1, .no_queues = true, .contain_symlinks = true, .readahead = 1 << 20, .write_buffer = 1 << 20,
	};

	(void)state;
	start(&options);
	return 0;
}

int heard_teardown(void **state)
{
	(void)state;
	tree_stop(heard.tree);
	rig_disconnect(&heard.rig);
	tree_free(heard.tree);
	rig_release(&heard.rig);
	buf_release(&heard.names);
	pthread_cond_destroy(&heard.changed);
	pthread_mutex_destroy(&heard.lock);
	return 0;
}

int heard_lookup(struct node *dir, const char *name, struct node **ret_node)
{
	int error;

	real_ops.lookup(heard.tree, dir, name, heard_ask());
	error = heard_wait();
	if (!error)
		*ret_node = heard.node;
	return error;
}

void heard_forget(struct node *node)
{
	node_forget(heard.tree, node, 1);
}

int heard_mkdir(const char *name)
{
	int error;

	real_ops.mkdir(heard.tree, heard.tree->root, name, 0755, heard_ask());
	error = heard_wait();
	if (!error)
		heard_forget(heard.node);
	return error;
}

int heard_unlink(const char *name)
{
	real_ops.unlink(heard.tree, heard.tree->root, name, heard_ask());
	return heard_wait();
}

int heard_rmdir(const char *name)
{
	real_ops.rmdir(heard.tree, heard.tree->root, name, heard_ask());
	return heard_wait();
}

int heard_rename(const char *from, const char *to, unsigned int flags)
{
	real_ops.rename(heard.tree, heard.tree->root, from, heard.tree->root, to, flags, heard_ask());
	return heard_wait();
}

int heard_symlink(const char *name, const char *target)
{
	int error;

	real_ops.symlink(heard.tree, heard.tree->root, name, target, heard_ask());
	error = heard_wait();
	if (!error)
		heard_forget(heard.node);
	return error;
}

int heard_link(const char *from, const char *to)
{
	struct node *node = NULL;
	int error = heard_lookup(heard.tree->root, from, &node);

	if (error)
		return error;
	real_ops.link(heard.tree, node, heard.tree->root, to, heard_ask());
	error = heard_wait();
	if (!error)
		heard_forget(heard.node);
	heard_forget(node);
	return error;
}

void heard_put(const char *name)
{
	rig_put(&heard.rig, name, "text", 4);
}

bool heard_is_there(const char *name)
{
	char path[200];
	struct stat st;

	rig_path(&heard.rig, name, path, sizeof(path));
	return !lstat(path, &st);
}

void heard_expect_names(const char *expected)
{
	assert_string_equal(buf_text(&heard.names), expected);
	buf_reset(&heard.names);
}
