/*
 * test_listing: open directories, and what symbolic links show.
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
#include "tree/real.h"

/* ---- listings ---- */

static void list(struct handle *handle, off_t offset, bool plus, size_t room)
{
	struct reply *reply = heard_ask();

	heard.got.room = room;
	heard.got.plus = 0;
	handle->ops->readdir(handle, offset, plus, reply);
	assert_int_equal(heard_wait(), 0);
}

static struct handle *open_dir(void)
{
	real_ops.opendir(heard.tree, heard.tree->root, heard_ask());
	assert_int_equal(heard_wait(), 0);
	return heard.got.opened.handle;
}

static void close_dir(struct handle *handle)
{
	handle->ops->release(handle, heard_ask());
	assert_int_equal(heard_wait(), 0);
}

static void test_listing(void **state)
{
	struct handle *handle = open_dir();

	(void)state;
	assert_int_equal(heard_mkdir("d"), 0);
	list(handle, 0, false, 100);
	heard_expect_names("./\n../\nd/\n");
	list(handle, heard.got.next, false, 100);
	heard_expect_names("");
	heard_put("f");
	list(handle, 3, false, 100);		/* what was read stays as it was */
	heard_expect_names("");
	list(handle, 0, false, 1);		/* rewinddir: asked again */
	heard_expect_names("./\n");
	list(handle, 2, true, 1);
	assert_int_equal(heard.got.plus, 1);
	list(handle, heard.got.next, true, 1);
	assert_int_equal(heard.got.plus, 1);
	buf_reset(&heard.got.names);
	close_dir(handle);
	assert_int_equal(heard.tree->names.count, 0);	/* this reply counts no lookups: nothing stays */
}

static void test_listing_fails(void **state)
{
	struct handle *handle = open_dir();

	(void)state;
	peer_rule(heard.rig.peer, FXP_OPENDIR, 0, 1, PEER_FAIL);
	handle->ops->readdir(handle, 0, false, heard_ask());
	assert_int_equal(heard_wait(), -EIO);
	list(handle, 0, false, 100);
	heard_expect_names("./\n../\n");
	close_dir(handle);
}

static void test_big_listing(void **state)
{
	struct handle *handle = open_dir();
	char name[32];
	off_t at = 0;
	size_t total = 0, i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "file-%zu", i);
		heard_put(name);
	}
	peer_rule(heard.rig.peer, FXP_READDIR, 3, 1, PEER_CUT_BEFORE);	/* begins again; nothing twice, nothing missing */
	for (;;) {
		list(handle, at, true, 17);
		if (heard.got.room == 17)
			break;
		total += 17 - heard.got.room;
		at = heard.got.next;
	}
	assert_true(peer_rules_done(heard.rig.peer));
	assert_int_equal(total, 1002);
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "\nfile-%zu\n", i);
		assert_non_null(strstr(buf_text(&heard.got.names), name));
	}
	close_dir(handle);
}

static void test_closed_while_listed(void **state)
{
	struct handle *handle = open_dir();
	size_t i;
	char name[32];

	(void)state;
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		heard_put(name);
	}
	peer_rule(heard.rig.peer, FXP_READDIR, 1, 1, PEER_HOLD);
	list(handle, 0, false, 5);
	buf_reset(&heard.got.names);
	close_dir(handle);
	peer_release(heard.rig.peer);
}

/* ---- symbolic links ---- */

static void expect_text(bool transform, bool contain, unsigned int depth, const char *text, const char *expected)
{
	struct tree_options options = { .transform_symlinks = transform, .contain_symlinks = contain };
	struct buf out = BUF_INIT;
	int error = symlink_text(&options, "/srv/data", depth, text, &out);

	if (expected) {
		assert_int_equal(error, 0);
		assert_string_equal(buf_text(&out), expected);
	} else {
		assert_int_equal(error, -EPERM);
	}
	buf_release(&out);
}

static void test_symlink_text(void **state)
{
	(void)state;
	expect_text(false, true, 0, "a/b", "a/b");
	expect_text(false, true, 0, "..", NULL);
	expect_text(false, true, 1, "..", "..");
	expect_text(false, true, 1, "../a", "../a");
	expect_text(false, true, 1, "../../a", NULL);
	expect_text(false, true, 2, ".././/../a", ".././/../a");
	expect_text(false, true, 5, "a/../b", NULL);		/* a may be a link itself */
	expect_text(false, true, 5, "../a/..", NULL);
	expect_text(false, true, 0, "..a/...", "..a/...");
	expect_text(false, true, 0, "/etc/passwd", NULL);
	expect_text(false, true, 3, "/srv/data/x", NULL);
	expect_text(false, false, 0, "/etc/passwd", "/etc/passwd");
	expect_text(false, false, 0, "../../..", "../../..");
	expect_text(true, true, 0, "/srv/data/x/y", "x/y");
	expect_text(true, true, 2, "/srv/data/x", "../../x");
	expect_text(true, true, 2, "/srv/data", "../..");
	expect_text(true, true, 0, "/srv/data/", ".");
	expect_text(true, true, 2, "/srv/data/../../etc", NULL);
	expect_text(true, true, 0, "/srv/database", NULL);
	expect_text(true, false, 0, "/srv/database", "/srv/database");
}

/* A server may tell more than the kernel takes, and a link made relative be longer than it was. */
static void test_long_symlink_text(void **state)
{
	struct tree_options options = { .transform_symlinks = true };
	struct buf out = BUF_INIT;
	char text[32768];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[4095] = '\0';
	assert_int_equal(symlink_text(&options, "/srv/data", 0, text, &out), 0);
	assert_int_equal(out.len, 4095);
	text[4095] = 'x';
	text[32767] = '\0';
	buf_reset(&out);
	assert_int_equal(symlink_text(&options, "/srv/data", 0, text, &out), -ENAMETOOLONG);
	text[4095] = '\0';
	memcpy(text, "/srv/data/", 10);
	buf_reset(&out);
	assert_int_equal(symlink_text(&options, "/srv/data", 2, text, &out), 0);
	buf_reset(&out);
	assert_int_equal(symlink_text(&options, "/srv/data", 9, text, &out), -ENAMETOOLONG);
	buf_release(&out);
}

static int read_link(const char *name)
{
	struct node *node = NULL;
	int error = heard_lookup(heard.tree->root, name, &node);

	if (error)
		return error;
	real_ops.readlink(heard.tree, node, heard_ask());
	error = heard_wait();
	heard_forget(node);
	return error;
}

static void test_readlink(void **state)
{
	(void)state;
	assert_int_equal(heard_symlink("good", "a/b"), 0);
	assert_int_equal(heard_symlink("bad", "/etc/passwd"), 0);
	assert_int_equal(read_link("good"), 0);
	assert_string_equal(buf_text(&heard.got.text), "a/b");
	assert_int_equal(read_link("bad"), -EPERM);
	heard.tree->options.contain_symlinks = false;
	assert_int_equal(read_link("bad"), 0);
	assert_string_equal(buf_text(&heard.got.text), "/etc/passwd");
	heard_put("target");
	assert_int_equal(heard_symlink("link", "target"), 0);
	heard.tree->options.follow_symlinks = true;
	{
		struct node *node = NULL;

		assert_int_equal(heard_lookup(heard.tree->root, "link", &node), 0);
		assert_true(S_ISREG(heard.got.st.st_mode));
		heard_forget(node);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, heard_setup, heard_teardown)
	const struct CMUnitTest tests[] = {
		T(test_listing), T(test_listing_fails), T(test_big_listing), T(test_closed_while_listed), T(test_symlink_text), T(test_long_symlink_text),
		T(test_readlink),
	};

	return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
