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

#include "tests/fake/heard.h"
#include "tree/errors.h"
#include "tree/real.h"

/* ---- lookup and attributes ---- */

static void test_lookup(void **state)
{
	struct node *node = NULL, *again = NULL;

	(void)state;
	heard_put("a");
	assert_int_equal(heard_lookup(heard.tree->root, "a", &node), 0);
	assert_true(S_ISREG(heard.got.st.st_mode));
	assert_int_equal(heard.got.st.st_size, 4);
	assert_int_equal(heard.got.st.st_nlink, 1);
	assert_int_equal(heard_lookup(heard.tree->root, "a", &again), 0);
	assert_ptr_equal(node, again);
	assert_int_equal(heard_lookup(heard.tree->root, "b", &again), -ENOENT);
	assert_int_equal(heard_lookup(node, "b", &again), -ENOENT);	/* below a file: SFTP says no more than that */
	heard_forget(node);
	heard_forget(node);
	assert_int_equal(heard.tree->names.count, 0);
}

static void test_becomes_another(void **state)
{
	struct node *file = NULL, *dir = NULL;
	char path[200];

	(void)state;
	heard_put("a");
	assert_int_equal(heard_lookup(heard.tree->root, "a", &file), 0);
	rig_path(&heard.rig, "a", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	real_ops.getattr(heard.tree, file, NULL, heard_ask());
	assert_int_equal(heard_wait(), -ESTALE);
	assert_int_equal(heard_lookup(heard.tree->root, "a", &dir), 0);
	assert_ptr_not_equal(dir, file);
	real_ops.getattr(heard.tree, dir, NULL, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_true(S_ISDIR(heard.got.st.st_mode));
	real_ops.getattr(heard.tree, file, NULL, heard_ask());
	assert_int_equal(heard_wait(), -ENOENT);
	heard_forget(file);
	heard_forget(dir);
}

static void test_setattr(void **state)
{
	struct stat st = { .st_mode = 0600, .st_atime = 1000, .st_mtime = 4294967295LL, .st_size = 2 };
	struct node *node = NULL;

	(void)state;
	heard_put("a");
	assert_int_equal(heard_lookup(heard.tree->root, "a", &node), 0);
	real_ops.setattr(heard.tree, node, NULL, &st, TREE_SET_MODE | TREE_SET_ATIME | TREE_SET_MTIME, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_int_equal(heard.got.st.st_mode & 07777, 0600);
	assert_int_equal(heard.got.st.st_atime, 1000);
	assert_true(heard.got.st.st_mtime == 4294967295LL);
	st.st_mtime = 77;
	real_ops.setattr(heard.tree, node, NULL, &st, TREE_SET_MTIME, heard_ask());	/* the other one stays */
	assert_int_equal(heard_wait(), 0);
	assert_int_equal(heard.got.st.st_atime, 1000);
	assert_int_equal(heard.got.st.st_mtime, 77);
	st.st_mtime = -5;
	real_ops.setattr(heard.tree, node, NULL, &st, TREE_SET_MTIME, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_int_equal(heard.got.st.st_mtime, 0);
	real_ops.setattr(heard.tree, node, NULL, &st, TREE_SET_SIZE, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_int_equal(heard.got.st.st_size, 2);
	assert_int_equal(heard_unlink("a"), 0);
	real_ops.setattr(heard.tree, node, NULL, &st, TREE_SET_MODE, heard_ask());
	assert_int_equal(heard_wait(), -ENOENT);
	heard_forget(node);
}

static void test_statvfs(void **state)
{
	(void)state;
	real_ops.statvfs(heard.tree, heard.tree->root, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_true(heard.got.statvfs.f_blocks > 0);
}

static void test_no_statvfs(void **state)
{
	(void)state;
	rig_disconnect(&heard.rig);
	peer_plain(heard.rig.peer, true);
	rig_connect(&heard.rig, 1, 10000, 0);
	heard.tree->sftp = heard.rig.sftp;
	real_ops.statvfs(heard.tree, heard.tree->root, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_int_equal(heard.got.statvfs.f_namemax, 255);
	heard_put("a");
	assert_int_equal(heard_link("a", "b"), -ENOSYS);
	heard_put("c");
	assert_int_equal(heard_rename("a", "c", 0), -EEXIST);	/* it can't be replaced in one step */
	assert_int_equal(heard_rename("a", "d", 0), 0);
	heard.tree->options.rename_by_removing = true;
	assert_int_equal(heard_rename("d", "c", 0), 0);
	assert_false(heard_is_there("d"));
	assert_int_equal(heard_mkdir("dir"), 0);
	assert_int_equal(heard_rename("c", "dir", 0), -EISDIR);
}

/* ---- changes, and what "failure" means ---- */

static void test_changes(void **state)
{
	(void)state;
	assert_int_equal(heard_mkdir("d"), 0);
	assert_int_equal(heard_mkdir("d"), -EEXIST);
	assert_int_equal(heard_mkdir("no/such"), -ENOENT);
	heard_put("d/f");
	heard_put("g");
	assert_int_equal(heard_rmdir("d"), -ENOTEMPTY);
	assert_int_equal(heard_rmdir("g"), -ENOTDIR);
	assert_int_equal(heard_rmdir("h"), -ENOENT);
	assert_int_equal(heard_unlink("h"), -ENOENT);
	assert_int_equal(heard_unlink("d"), -EISDIR);
	assert_int_equal(heard_symlink("l", "g"), 0);
	assert_int_equal(heard_symlink("l", "d"), -EEXIST);
	assert_int_equal(heard_link("g", "g2"), 0);
	assert_int_equal(heard_link("g", "g2"), -EEXIST);
	assert_int_equal(heard_link("d", "d2"), -EACCES);
	assert_int_equal(heard_unlink("g"), 0);
	assert_int_equal(heard_unlink("g2"), 0);
	assert_int_equal(heard_unlink("d/f"), 0);
	assert_int_equal(heard_rmdir("d"), 0);
	assert_false(heard_is_there("d"));
}

static void test_rename(void **state)
{
	struct node *node = NULL, *other = NULL;

	(void)state;
	heard_put("a");
	heard_put("b");
	assert_int_equal(heard_lookup(heard.tree->root, "a", &node), 0);
	assert_int_equal(heard_rename("a", "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(heard_rename("a", "b", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(heard_rename("a", "c", RENAME_NOREPLACE), 0);
	assert_int_equal(heard_rename("c", "b", 0), 0);
	assert_int_equal(heard_rename("c", "b", 0), -ENOENT);
	assert_int_equal(heard_lookup(heard.tree->root, "b", &other), 0);
	assert_ptr_equal(node, other);
	heard_forget(node);
	heard_forget(node);
	assert_int_equal(heard_mkdir("d"), 0);
	assert_int_equal(heard_mkdir("e"), 0);
	heard_put("e/f");
	assert_int_equal(heard_rename("b", "d", 0), -EISDIR);
	assert_int_equal(heard_rename("d", "b", 0), -ENOTDIR);
	assert_int_equal(heard_rename("d", "e", 0), -ENOTEMPTY);
	assert_int_equal(heard_rename("e", "d", 0), 0);
	assert_true(heard_is_there("d/f"));
}

static void test_mknod(void **state)
{
	(void)state;
	real_ops.mknod(heard.tree, heard.tree->root, "f", S_IFREG | 0640, 0, heard_ask());
	assert_int_equal(heard_wait(), 0);
	assert_int_equal(heard.got.st.st_mode & ~022, S_IFREG | 0640);
	heard_forget(heard.got.node);
	real_ops.mknod(heard.tree, heard.tree->root, "f", S_IFREG | 0640, 0, heard_ask());
	assert_int_equal(heard_wait(), -EEXIST);
	real_ops.mknod(heard.tree, heard.tree->root, "p", S_IFIFO | 0640, 0, heard_ask());
	assert_int_equal(heard_wait(), -EPERM);
}

/* ---- answers that never came ---- */

static void lose(uint8_t type, enum peer_action action)
{
	peer_rules_clear(heard.rig.peer);
	peer_rule(heard.rig.peer, type, 0, 1, action);
}

static void test_lost_answers(void **state)
{
	static const enum peer_action cuts[] = { PEER_CUT_BEFORE, PEER_CUT_AFTER };
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		heard_put("f");
		lose(FXP_MKDIR, cuts[i]);
		assert_int_equal(heard_mkdir("d"), 0);
		assert_true(heard_is_there("d"));
		lose(FXP_RMDIR, cuts[i]);
		assert_int_equal(heard_rmdir("d"), 0);
		assert_false(heard_is_there("d"));
		lose(FXP_SYMLINK, cuts[i]);
		assert_int_equal(heard_symlink("l", "f"), 0);
		lose(FXP_REMOVE, cuts[i]);
		assert_int_equal(heard_unlink("l"), 0);
		assert_false(heard_is_there("l"));
		lose(FXP_EXTENDED, cuts[i]);
		assert_int_equal(heard_link("f", "g"), 0);
		assert_true(heard_is_there("g"));
		lose(FXP_EXTENDED, cuts[i]);
		assert_int_equal(heard_rename("g", "h", 0), 0);
		assert_false(heard_is_there("g"));
		lose(FXP_RENAME, cuts[i]);
		assert_int_equal(heard_rename("h", "i", RENAME_NOREPLACE), 0);
		assert_true(heard_is_there("i"));
		assert_int_equal(heard_unlink("i"), 0);
		assert_true(peer_rules_done(heard.rig.peer));
	}
}

/* The lost one was carried out by an old server process, after the new one was asked. */
static void test_refused_after_lost(void **state)
{
	(void)state;
	lose(FXP_MKDIR, PEER_CUT_BEFORE);
	heard_put("d");		/* not ours, and no directory */
	assert_int_equal(heard_mkdir("d"), -EEXIST);
	lose(FXP_REMOVE, PEER_CUT_AFTER);
	assert_int_equal(heard_unlink("d"), 0);
}

static void test_cut_again_and_again(void **state)
{
	(void)state;
	peer_rule(heard.rig.peer, FXP_MKDIR, 0, 4, PEER_CUT_BEFORE);
	assert_int_equal(heard_mkdir("d"), 0);
	assert_true(heard_is_there("d"));
}

static void test_failure_without_reason(void **state)
{
	(void)state;
	lose(FXP_MKDIR, PEER_FAIL);
	assert_int_equal(heard_mkdir("d"), -EIO);
	heard_put("f");
	lose(FXP_REMOVE, PEER_FAIL);
	assert_int_equal(heard_unlink("f"), -EIO);
	lose(FXP_EXTENDED, PEER_FAIL);
	assert_int_equal(heard_rename("f", "g", 0), -EIO);
	heard.tree->options.rename_xdev = true;
	lose(FXP_EXTENDED, PEER_FAIL);
	assert_int_equal(heard_rename("f", "g", 0), -EXDEV);
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

/* ---- ids ---- */

static void test_stat(void **state)
{
	struct sftp_attrs attrs = { .flags = 0xf, .uid = 1000, .gid = 50, .mode = S_IFREG | 0644, .size = 1025, .mtime = 4294967295u };
	struct stat st;
	uint32_t uid, gid;

	(void)state;
	tree_stat(heard.tree, &attrs, 42, &st);
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(st.st_blocks, 3);
	assert_int_equal(st.st_ino, 42);
	assert_true(st.st_mtime == 4294967295LL);
	heard.tree->options.idmap = IDMAP_USER;
	heard.tree->options.remote_uid = 1000;
	heard.tree->options.local_uid = 7;
	tree_stat(heard.tree, &attrs, 42, &st);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(tree_remote_ids(heard.tree, 7, (gid_t)-1, &uid, &gid), 0);
	assert_int_equal(uid, 1000);
	assert_true(gid == UINT32_MAX);
	heard.tree->options.force_gid = true;
	heard.tree->options.gid = 3;
	heard.tree->options.force_umask = true;
	heard.tree->options.umask = 027;
	tree_stat(heard.tree, &attrs, 42, &st);
	assert_int_equal(st.st_gid, 3);
	assert_int_equal(st.st_mode, S_IFREG | 0750);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, heard_setup, heard_teardown)
	const struct CMUnitTest tests[] = {
		T(test_lookup), T(test_becomes_another), T(test_setattr), T(test_statvfs), T(test_no_statvfs), T(test_changes), T(test_rename),
		T(test_mknod), T(test_lost_answers), T(test_refused_after_lost), T(test_cut_again_and_again), T(test_failure_without_reason),
		T(test_decisions), T(test_stat),
	};

	return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}
