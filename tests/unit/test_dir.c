/*
 * test_dir: real directories against an SFTP peer that answers, fails, and loses answers.
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

#include "tests/fake/rig.h"
#include "base/clock.h"
#include "base/list.h"
#include "tree/errors.h"
#include "tree/real.h"
#include "tree/tree.h"

#define WAIT_NS (20 * NS_PER_S)

/* ---- a reply that waits ---- */

struct heard {
	struct reply reply;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int answers;
	int error;		/* of what was answered; 1: nothing yet */
	struct node *node;
	struct stat st;
	struct handle *handle;
	struct statvfs statvfs;
	char text[4200];
	struct buf names;	/* of a listing, "name/" for directories, each with a newline */
	size_t room;		/* entries it takes */
	off_t next;
	int plus;		/* entries that came with attributes */
};

static struct tree *tree;
static struct rig rig;
static struct heard heard;

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

static struct reply *ask(void)
{
	heard.answers = 0;
	heard.error = 1;
	heard.node = NULL;
	heard.handle = NULL;
	return &heard.reply;
}

/* What was answered, once. */
static int wait_answer(void)
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

static const struct node_ops *const ops = &real_ops;

static void start(const struct tree_options *options)
{
	memset(&heard, 0, sizeof(heard));
	heard.reply.ops = &heard_ops;
	pthread_mutex_init(&heard.lock, NULL);
	clock_cond_init(&heard.changed);
	rig_init(&rig);
	rig_connect(&rig, 2, 10000, 0);
	assert_int_equal(tree_new(rig.sftp, "/", options, &tree), 0);
}

static int setup(void **state)
{
	static const struct tree_options options = {
		.attr_ttl = 1, .entry_ttl = 1, .no_queues = true, .contain_symlinks = true, .readahead = 1 << 20, .write_buffer = 1 << 20,
	};

	(void)state;
	start(&options);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tree_stop(tree);
	rig_disconnect(&rig);
	tree_free(tree);
	rig_release(&rig);
	buf_release(&heard.names);
	pthread_cond_destroy(&heard.changed);
	pthread_mutex_destroy(&heard.lock);
	return 0;
}

static int lookup(struct node *dir, const char *name, struct node **ret_node)
{
	int error;

	ops->lookup(tree, dir, name, ask());
	error = wait_answer();
	if (!error)
		*ret_node = heard.node;
	return error;
}

static void forget(struct node *node)
{
	node_forget(tree, node, 1);
}

static int make_dir(const char *name)
{
	int error;

	ops->mkdir(tree, tree->root, name, 0755, ask());
	error = wait_answer();
	if (!error)
		forget(heard.node);
	return error;
}

static int remove_file(const char *name)
{
	ops->unlink(tree, tree->root, name, ask());
	return wait_answer();
}

static int remove_dir(const char *name)
{
	ops->rmdir(tree, tree->root, name, ask());
	return wait_answer();
}

static int rename_it(const char *from, const char *to, unsigned int flags)
{
	ops->rename(tree, tree->root, from, tree->root, to, flags, ask());
	return wait_answer();
}

static int make_symlink(const char *name, const char *target)
{
	int error;

	ops->symlink(tree, tree->root, name, target, ask());
	error = wait_answer();
	if (!error)
		forget(heard.node);
	return error;
}

static int make_link(const char *from, const char *to)
{
	struct node *node = NULL;
	int error = lookup(tree->root, from, &node);

	if (error)
		return error;
	ops->link(tree, node, tree->root, to, ask());
	error = wait_answer();
	if (!error)
		forget(heard.node);
	forget(node);
	return error;
}

static void put(const char *name)
{
	rig_put(&rig, name, "text", 4);
}

static bool is_there(const char *name)
{
	char path[200];
	struct stat st;

	rig_path(&rig, name, path, sizeof(path));
	return !lstat(path, &st);
}

static void expect_names(const char *expected)
{
	assert_string_equal(buf_text(&heard.names), expected);
	buf_reset(&heard.names);
}

/* ---- lookup and attributes ---- */

static void test_lookup(void **state)
{
	struct node *node = NULL, *again = NULL;

	(void)state;
	put("a");
	assert_int_equal(lookup(tree->root, "a", &node), 0);
	assert_true(S_ISREG(heard.st.st_mode));
	assert_int_equal(heard.st.st_size, 4);
	assert_int_equal(heard.st.st_nlink, 1);
	assert_int_equal(lookup(tree->root, "a", &again), 0);
	assert_ptr_equal(node, again);
	assert_int_equal(lookup(tree->root, "b", &again), -ENOENT);
	assert_int_equal(lookup(node, "b", &again), -ENOENT);	/* below a file: SFTP says no more than that */
	forget(node);
	forget(node);
	assert_int_equal(tree->names.count, 0);
}

static void test_becomes_another(void **state)
{
	struct node *file = NULL, *dir = NULL;
	char path[200];

	(void)state;
	put("a");
	assert_int_equal(lookup(tree->root, "a", &file), 0);
	rig_path(&rig, "a", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	ops->getattr(tree, file, NULL, ask());
	assert_int_equal(wait_answer(), -ESTALE);
	assert_int_equal(lookup(tree->root, "a", &dir), 0);
	assert_ptr_not_equal(dir, file);
	ops->getattr(tree, dir, NULL, ask());
	assert_int_equal(wait_answer(), 0);
	assert_true(S_ISDIR(heard.st.st_mode));
	ops->getattr(tree, file, NULL, ask());
	assert_int_equal(wait_answer(), -ENOENT);
	forget(file);
	forget(dir);
}

static void test_setattr(void **state)
{
	struct stat st = { .st_mode = 0600, .st_atime = 1000, .st_mtime = 4294967295LL, .st_size = 2 };
	struct node *node = NULL;

	(void)state;
	put("a");
	assert_int_equal(lookup(tree->root, "a", &node), 0);
	ops->setattr(tree, node, NULL, &st, TREE_SET_MODE | TREE_SET_ATIME | TREE_SET_MTIME, ask());
	assert_int_equal(wait_answer(), 0);
	assert_int_equal(heard.st.st_mode & 07777, 0600);
	assert_int_equal(heard.st.st_atime, 1000);
	assert_true(heard.st.st_mtime == 4294967295LL);
	st.st_mtime = 77;
	ops->setattr(tree, node, NULL, &st, TREE_SET_MTIME, ask());	/* the other one stays */
	assert_int_equal(wait_answer(), 0);
	assert_int_equal(heard.st.st_atime, 1000);
	assert_int_equal(heard.st.st_mtime, 77);
	st.st_mtime = -5;
	ops->setattr(tree, node, NULL, &st, TREE_SET_MTIME, ask());
	assert_int_equal(wait_answer(), 0);
	assert_int_equal(heard.st.st_mtime, 0);
	ops->setattr(tree, node, NULL, &st, TREE_SET_SIZE, ask());
	assert_int_equal(wait_answer(), 0);
	assert_int_equal(heard.st.st_size, 2);
	assert_int_equal(remove_file("a"), 0);
	ops->setattr(tree, node, NULL, &st, TREE_SET_MODE, ask());
	assert_int_equal(wait_answer(), -ENOENT);
	forget(node);
}

static void test_statvfs(void **state)
{
	(void)state;
	ops->statvfs(tree, tree->root, ask());
	assert_int_equal(wait_answer(), 0);
	assert_true(heard.statvfs.f_blocks > 0);
}

static void test_no_statvfs(void **state)
{
	(void)state;
	rig_disconnect(&rig);
	peer_plain(rig.peer, true);
	rig_connect(&rig, 1, 10000, 0);
	tree->sftp = rig.sftp;
	ops->statvfs(tree, tree->root, ask());
	assert_int_equal(wait_answer(), 0);
	assert_int_equal(heard.statvfs.f_namemax, 255);
	put("a");
	assert_int_equal(make_link("a", "b"), -ENOSYS);
	put("c");
	assert_int_equal(rename_it("a", "c", 0), -EEXIST);	/* it can't be replaced in one step */
	assert_int_equal(rename_it("a", "d", 0), 0);
	tree->options.rename_by_removing = true;
	assert_int_equal(rename_it("d", "c", 0), 0);
	assert_false(is_there("d"));
	assert_int_equal(make_dir("dir"), 0);
	assert_int_equal(rename_it("c", "dir", 0), -EISDIR);
}

/* ---- changes, and what "failure" means ---- */

static void test_changes(void **state)
{
	(void)state;
	assert_int_equal(make_dir("d"), 0);
	assert_int_equal(make_dir("d"), -EEXIST);
	assert_int_equal(make_dir("no/such"), -ENOENT);
	put("d/f");
	put("g");
	assert_int_equal(remove_dir("d"), -ENOTEMPTY);
	assert_int_equal(remove_dir("g"), -ENOTDIR);
	assert_int_equal(remove_dir("h"), -ENOENT);
	assert_int_equal(remove_file("h"), -ENOENT);
	assert_int_equal(remove_file("d"), -EISDIR);
	assert_int_equal(make_symlink("l", "g"), 0);
	assert_int_equal(make_symlink("l", "d"), -EEXIST);
	assert_int_equal(make_link("g", "g2"), 0);
	assert_int_equal(make_link("g", "g2"), -EEXIST);
	assert_int_equal(make_link("d", "d2"), -EACCES);
	assert_int_equal(remove_file("g"), 0);
	assert_int_equal(remove_file("g2"), 0);
	assert_int_equal(remove_file("d/f"), 0);
	assert_int_equal(remove_dir("d"), 0);
	assert_false(is_there("d"));
}

static void test_rename(void **state)
{
	struct node *node = NULL, *other = NULL;

	(void)state;
	put("a");
	put("b");
	assert_int_equal(lookup(tree->root, "a", &node), 0);
	assert_int_equal(rename_it("a", "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_it("a", "b", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rename_it("a", "c", RENAME_NOREPLACE), 0);
	assert_int_equal(rename_it("c", "b", 0), 0);
	assert_int_equal(rename_it("c", "b", 0), -ENOENT);
	assert_int_equal(lookup(tree->root, "b", &other), 0);
	assert_ptr_equal(node, other);
	forget(node);
	forget(node);
	assert_int_equal(make_dir("d"), 0);
	assert_int_equal(make_dir("e"), 0);
	put("e/f");
	assert_int_equal(rename_it("b", "d", 0), -EISDIR);
	assert_int_equal(rename_it("d", "b", 0), -ENOTDIR);
	assert_int_equal(rename_it("d", "e", 0), -ENOTEMPTY);
	assert_int_equal(rename_it("e", "d", 0), 0);
	assert_true(is_there("d/f"));
}

static void test_mknod(void **state)
{
	(void)state;
	ops->mknod(tree, tree->root, "f", S_IFREG | 0640, 0, ask());
	assert_int_equal(wait_answer(), 0);
	assert_int_equal(heard.st.st_mode & ~022, S_IFREG | 0640);
	forget(heard.node);
	ops->mknod(tree, tree->root, "f", S_IFREG | 0640, 0, ask());
	assert_int_equal(wait_answer(), -EEXIST);
	ops->mknod(tree, tree->root, "p", S_IFIFO | 0640, 0, ask());
	assert_int_equal(wait_answer(), -EPERM);
}

/* ---- answers that never came ---- */

static void lose(uint8_t type, enum peer_action action)
{
	peer_rules_clear(rig.peer);
	peer_rule(rig.peer, type, 0, 1, action);
}

static void test_lost_answers(void **state)
{
	static const enum peer_action cuts[] = { PEER_CUT_BEFORE, PEER_CUT_AFTER };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		put("f");
		lose(FXP_MKDIR, cuts[i]);
		assert_int_equal(make_dir("d"), 0);
		assert_true(is_there("d"));
		lose(FXP_RMDIR, cuts[i]);
		assert_int_equal(remove_dir("d"), 0);
		assert_false(is_there("d"));
		lose(FXP_SYMLINK, cuts[i]);
		assert_int_equal(make_symlink("l", "f"), 0);
		lose(FXP_REMOVE, cuts[i]);
		assert_int_equal(remove_file("l"), 0);
		assert_false(is_there("l"));
		lose(FXP_EXTENDED, cuts[i]);
		assert_int_equal(make_link("f", "g"), 0);
		assert_true(is_there("g"));
		lose(FXP_EXTENDED, cuts[i]);
		assert_int_equal(rename_it("g", "h", 0), 0);
		assert_false(is_there("g"));
		lose(FXP_RENAME, cuts[i]);
		assert_int_equal(rename_it("h", "i", RENAME_NOREPLACE), 0);
		assert_true(is_there("i"));
		assert_int_equal(remove_file("i"), 0);
		assert_true(peer_rules_done(rig.peer));
	}
}

/* The lost one was carried out by an old server process, after the new one was asked. */
static void test_refused_after_lost(void **state)
{
	(void)state;
	lose(FXP_MKDIR, PEER_CUT_BEFORE);
	put("d");		/* not ours, and no directory */
	assert_int_equal(make_dir("d"), -EEXIST);
	lose(FXP_REMOVE, PEER_CUT_AFTER);
	assert_int_equal(remove_file("d"), 0);
}

static void test_cut_again_and_again(void **state)
{
	(void)state;
	peer_rule(rig.peer, FXP_MKDIR, 0, 4, PEER_CUT_BEFORE);
	assert_int_equal(make_dir("d"), 0);
	assert_true(is_there("d"));
}

static void test_failure_without_reason(void **state)
{
	(void)state;
	lose(FXP_MKDIR, PEER_FAIL);
	assert_int_equal(make_dir("d"), -EIO);
	put("f");
	lose(FXP_REMOVE, PEER_FAIL);
	assert_int_equal(remove_file("f"), -EIO);
}

/* ---- the decisions by themselves: disks that are full or read-only, other disks ---- */

static struct errors_seen seen(int error, bool first, bool second)
{
	struct errors_seen it = { .error = error, .uncertain = error == SFTP_UNKNOWN };

	it.first.error = first ? 0 : -ENOENT;
	it.second.error = second ? 0 : -ENOENT;
	it.first.attrs.flags = it.second.attrs.flags = SFTP_ATTR_MODE;
	it.first.attrs.mode = it.second.attrs.mode = S_IFREG;
	it.disk.statvfs.bavail = it.disk2.statvfs.bavail = 1;
	return it;
}

static void test_decisions(void **state)
{
	struct errors_seen it = seen(-EREMOTEIO, false, false);

	(void)state;
	assert_int_equal(errors_decide(CHANGE_MKDIR, &it), -EIO);
	it.disk.statvfs.bavail = 0;
	assert_int_equal(errors_decide(CHANGE_MKDIR, &it), -ENOSPC);
	assert_int_equal(errors_decide(CHANGE_WRITE, &it), -ENOSPC);
	it.disk.statvfs.bavail = 9;
	it.disk.statvfs.files = 100;
	assert_int_equal(errors_decide(CHANGE_CREATE, &it), -ENOSPC);	/* no inodes left */
	it.disk.statvfs.flag = 1;
	assert_int_equal(errors_decide(CHANGE_SYMLINK, &it), -EROFS);
	it.disk.error = -EOPNOTSUPP;
	assert_int_equal(errors_decide(CHANGE_SYMLINK, &it), -EIO);
	it.first.error = -ETIMEDOUT;
	assert_int_equal(errors_decide(CHANGE_SYMLINK, &it), -ETIMEDOUT);
	it = seen(-EREMOTEIO, true, false);
	it.disk2.statvfs.fsid = 7;
	assert_int_equal(errors_decide(CHANGE_RENAME, &it), -EXDEV);
	assert_int_equal(errors_decide(CHANGE_LINK, &it), -EXDEV);
	it = seen(SFTP_UNKNOWN, true, false);
	assert_int_equal(errors_decide(CHANGE_CREATE, &it), -EEXIST);
	assert_int_equal(errors_decide(CHANGE_RENAME, &it), ERRORS_AGAIN);
	it = seen(SFTP_UNKNOWN, false, true);
	assert_int_equal(errors_decide(CHANGE_RENAME, &it), 0);
	assert_int_equal(errors_decide(CHANGE_RENAME_NEW, &it), 0);
	it = seen(-EREMOTEIO, false, true);
	assert_int_equal(errors_decide(CHANGE_RENAME, &it), -ENOENT);
	it = seen(SFTP_UNKNOWN, true, true);
	assert_int_equal(errors_decide(CHANGE_LINK, &it), 0);
	it.second.attrs.size = 1;
	assert_int_equal(errors_decide(CHANGE_LINK, &it), -EEXIST);
}

/* ---- listings ---- */

static void list(struct handle *handle, off_t offset, bool plus, size_t room)
{
	struct reply *reply = ask();

	heard.room = room;
	heard.plus = 0;
	handle->ops->readdir(handle, offset, plus, reply);
	assert_int_equal(wait_answer(), 0);
}

static struct handle *open_dir(void)
{
	ops->opendir(tree, tree->root, ask());
	assert_int_equal(wait_answer(), 0);
	return heard.handle;
}

static void close_dir(struct handle *handle)
{
	handle->ops->release(handle, ask());
	assert_int_equal(wait_answer(), 0);
}

static void test_listing(void **state)
{
	struct handle *handle = open_dir();

	(void)state;
	assert_int_equal(make_dir("d"), 0);
	list(handle, 0, false, 100);
	expect_names("./\n../\nd/\n");
	list(handle, heard.next, false, 100);
	expect_names("");
	put("f");
	list(handle, 3, false, 100);		/* what was read stays as it was */
	expect_names("");
	list(handle, 0, false, 1);		/* rewinddir: asked again */
	expect_names("./\n");
	list(handle, 2, true, 1);
	assert_int_equal(heard.plus, 1);
	list(handle, heard.next, true, 1);
	assert_int_equal(heard.plus, 1);
	buf_reset(&heard.names);
	close_dir(handle);
	assert_int_equal(tree->names.count, 0);	/* this reply counts no lookups: nothing stays */
}

static void test_listing_fails(void **state)
{
	struct handle *handle = open_dir();

	(void)state;
	peer_rule(rig.peer, FXP_OPENDIR, 0, 1, PEER_FAIL);
	handle->ops->readdir(handle, 0, false, ask());
	assert_int_equal(wait_answer(), -EIO);
	list(handle, 0, false, 100);
	expect_names("./\n../\n");
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
		put(name);
	}
	peer_rule(rig.peer, FXP_READDIR, 3, 1, PEER_CUT_BEFORE);	/* begins again; nothing twice, nothing missing */
	for (;;) {
		list(handle, at, true, 17);
		if (heard.room == 17)
			break;
		total += 17 - heard.room;
		at = heard.next;
	}
	assert_true(peer_rules_done(rig.peer));
	assert_int_equal(total, 1002);
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "\nfile-%zu\n", i);
		assert_non_null(strstr(buf_text(&heard.names), name));
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
		put(name);
	}
	peer_rule(rig.peer, FXP_READDIR, 1, 1, PEER_HOLD);
	list(handle, 0, false, 5);
	buf_reset(&heard.names);
	close_dir(handle);
	peer_release(rig.peer);
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

static int read_link(const char *name)
{
	struct node *node = NULL;
	int error = lookup(tree->root, name, &node);

	if (error)
		return error;
	ops->readlink(tree, node, ask());
	error = wait_answer();
	forget(node);
	return error;
}

static void test_readlink(void **state)
{
	(void)state;
	assert_int_equal(make_symlink("good", "a/b"), 0);
	assert_int_equal(make_symlink("bad", "/etc/passwd"), 0);
	assert_int_equal(read_link("good"), 0);
	assert_string_equal(heard.text, "a/b");
	assert_int_equal(read_link("bad"), -EPERM);
	tree->options.contain_symlinks = false;
	assert_int_equal(read_link("bad"), 0);
	assert_string_equal(heard.text, "/etc/passwd");
	put("target");
	assert_int_equal(make_symlink("link", "target"), 0);
	tree->options.follow_symlinks = true;
	{
		struct node *node = NULL;

		assert_int_equal(lookup(tree->root, "link", &node), 0);
		assert_true(S_ISREG(heard.st.st_mode));
		forget(node);
	}
}

/* ---- ids ---- */

static void test_stat(void **state)
{
	struct sftp_attrs attrs = { .flags = 0xf, .uid = 1000, .gid = 50, .mode = S_IFREG | 0644, .size = 1025, .mtime = 4294967295u };
	struct stat st;
	uint32_t uid, gid;

	(void)state;
	tree_stat(tree, &attrs, 42, &st);
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(st.st_blocks, 3);
	assert_int_equal(st.st_ino, 42);
	assert_true(st.st_mtime == 4294967295LL);
	tree->options.idmap = IDMAP_USER;
	tree->options.remote_uid = 1000;
	tree->options.local_uid = 7;
	tree_stat(tree, &attrs, 42, &st);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(tree_remote_ids(tree, 7, (gid_t)-1, &uid, &gid), 0);
	assert_int_equal(uid, 1000);
	assert_true(gid == UINT32_MAX);
	tree->options.force_gid = true;
	tree->options.gid = 3;
	tree->options.force_umask = true;
	tree->options.umask = 027;
	tree_stat(tree, &attrs, 42, &st);
	assert_int_equal(st.st_gid, 3);
	assert_int_equal(st.st_mode, S_IFREG | 0750);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_lookup), T(test_becomes_another), T(test_setattr), T(test_statvfs), T(test_no_statvfs), T(test_changes), T(test_rename),
		T(test_mknod), T(test_lost_answers), T(test_refused_after_lost), T(test_cut_again_and_again), T(test_failure_without_reason),
		T(test_decisions), T(test_listing), T(test_listing_fails), T(test_big_listing), T(test_closed_while_listed),
		T(test_symlink_text), T(test_readlink), T(test_stat),
	};

	return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}
