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

#include "tests/fake/heard.h"

struct heard heard;

struct reply *heard_ask(void)
{
	return awaited_ask(&heard.got);
}

int heard_wait(void)
{
	return awaited_wait(&heard.got);
}

/* ---- shorthands ---- */

static void start(const struct tree_options *options)
{
	memset(&heard, 0, sizeof(heard));
	awaited_init(&heard.got);
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
	assert_int_equal(heard.got.odd, 0);
	awaited_release(&heard.got);
	return 0;
}

int heard_lookup(struct node *dir, const char *name, struct node **ret_node)
{
	int error;

	real_ops.lookup(heard.tree, dir, name, heard_ask());
	error = heard_wait();
	if (!error)
		*ret_node = heard.got.node;
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
		heard_forget(heard.got.node);
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
		heard_forget(heard.got.node);
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
		heard_forget(heard.got.node);
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
	assert_string_equal(buf_text(&heard.got.names), expected);
	buf_reset(&heard.got.names);
}
