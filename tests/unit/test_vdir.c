/*
 * The virtual directories of a queue, over a queue in memory and a disk behind an SFTP peer: what is shown, what changes state, what is refused, and
 * where stage/ keeps things.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/awaited.h"
#include "tests/fake/queue_fake.h"
#include "tests/fake/rig.h"
#include "tree/tree.h"

static struct tree *tree;
static struct rig rig;
static struct awaited heard;
static struct node *queue_dir;

/* ---- shorthands: paths below the queue ---- */

static int lookup_in(struct node *dir, const char *name, struct node **ret_node)
{
	int error;

	dir->ops->lookup(tree, dir, name, awaited_ask(&heard));
	error = awaited_wait(&heard);
	*ret_node = error ? NULL : heard.node;
	return error;
}

/* With one lookup; those on the way are forgotten (children hold them). */
static int walk(const char *path, struct node **ret_node)
{
	struct node *at = queue_dir, *next;
	char name[300];
	size_t len;
	int error = 0;

	for (; *path && !error; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		error = lookup_in(at, name, &next);
		if (at != queue_dir)
			node_forget(tree, at, 1);
		at = next;
	}
	*ret_node = at;
	return error;
}

static int look(const char *path)
{
	struct node *node;
	int error = walk(path, &node);

	if (!error)
		node_forget(tree, node, 1);
	return error;
}

static struct node *must_walk(const char *path)
{
	struct node *node;

	assert_int_equal(walk(path, &node), 0);
	return node;
}

/* Splits at the last '/': the directory, looked up (the queue itself for none), and the name. */
static struct node *parent_of(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[300];

	*ret_name = slash ? slash + 1 : path;
	if (!slash) {
		node_looked_up(tree, queue_dir);
		return queue_dir;
	}
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	return must_walk(dir);
}

static int move_with(const char *from, const char *to, unsigned int flags)
{
	const char *name, *new_name;
	struct node *dir = parent_of(from, &name), *new_dir = parent_of(to, &new_name);
	struct node *node = NULL;
	int error;

	if (lookup_in(dir, name, &node) != 0)
		node = NULL;
	dir->ops->rename(tree, dir, name, new_dir, new_name, flags, awaited_ask(&heard));
	error = awaited_wait(&heard);
	if (node)
		node_forget(tree, node, 1);
	node_forget(tree, dir, 1);
	node_forget(tree, new_dir, 1);
	return error;
}

static int move(const char *from, const char *to)
{
	return move_with(from, to, 0);
}

static int unlink_it(const char *path)
{
	const char *name;
	struct node *dir = parent_of(path, &name);
	int error;

	dir->ops->unlink(tree, dir, name, awaited_ask(&heard));
	error = awaited_wait(&heard);
	node_forget(tree, dir, 1);
	return error;
}

static void release(struct handle *handle)
{
	handle->ops->release(handle, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
}

static int create_it(const char *path, const char *text)
{
	const char *name;
	struct node *dir = parent_of(path, &name), *node;
	struct handle *handle;
	int error;

	dir->ops->create(tree, dir, name, 0644, O_WRONLY | O_CREAT | O_EXCL, awaited_ask(&heard));
	error = awaited_wait(&heard);
	if (error) {
		node_forget(tree, dir, 1);
		return error;
	}
	assert_true(dir->ops->real || heard.entry_ttl == 0);
	node = heard.node;
	handle = heard.opened.handle;
	if (text) {
		handle->ops->write(handle, 0, text, strlen(text), awaited_ask(&heard));
		assert_int_equal(awaited_wait(&heard), 0);
		handle->ops->flush(handle, awaited_ask(&heard));
		assert_int_equal(awaited_wait(&heard), 0);
	}
	release(handle);
	node_forget(tree, node, 1);
	node_forget(tree, dir, 1);
	return 0;
}

static struct handle *open_it(struct node *node, int flags)
{
	node->ops->open(tree, node, flags, awaited_ask(&heard));
	return awaited_wait(&heard) ? NULL : heard.opened.handle;
}

/* The whole text of a file, its size in getattr compared. */
static void assert_reads(const char *path, const char *expected)
{
	struct node *node = must_walk(path);
	struct handle *handle;

	assert_int_equal(heard.st.st_size, strlen(expected));
	node->ops->getattr(tree, node, NULL, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_int_equal(heard.st.st_size, strlen(expected));
	handle = open_it(node, O_RDONLY);
	assert_non_null(handle);
	handle->ops->read(handle, 0, 65536, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_string_equal(buf_text(&heard.text), expected);
	handle->ops->read(handle, (off_t)strlen(expected), 10, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_int_equal(heard.text.len, 0);
	release(handle);
	node_forget(tree, node, 1);
}

/* All names of a directory, `step` entries at a time. */
static void list_it(const char *path, size_t step, bool plus, struct buf *ret_names)
{
	struct node *dir = *path ? must_walk(path) : queue_dir;
	struct handle *handle;
	off_t offset = 0;

	buf_reset(ret_names);
	dir->ops->opendir(tree, dir, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	handle = heard.opened.handle;
	do {
		heard.room = step;
		buf_reset(&heard.names);
		handle->ops->readdir(handle, offset, plus, awaited_ask(&heard));
		assert_int_equal(awaited_wait(&heard), 0);
		buf_add(ret_names, buf_text(&heard.names), heard.names.len);
		offset = heard.next;
	} while (heard.names.len > 0);
	release(handle);
	assert_int_equal(heard.odd, 0);
	if (*path)
		node_forget(tree, dir, 1);
}

static void assert_lists(const char *path, const char *expected)
{
	struct buf names = BUF_INIT;

	list_it(path, 2, false, &names);
	assert_string_equal(buf_text(&names), expected);
	list_it(path, 100, true, &names);
	assert_string_equal(buf_text(&names), expected);
	buf_release(&names);
}

/* ---- the queue's directory, with a queue.conf ---- */

static void make_dir(const char *name)
{
	char path[512];

	rig_path(&rig, name, path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
}

static void put(const char *name, const char *text)
{
	rig_put(&rig, name, text, strlen(text));
}

static int setup(void **state)
{
	static const struct tree_options options = {
		.attr_ttl = 1, .entry_ttl = 1, .queue_ttl_ns = NS_PER_S, .contain_symlinks = true, .readahead = 1 << 20, .write_buffer = 1 << 20, .host = "here",
	};

	(void)state;
	fake_reset();
	awaited_init(&heard);
	rig_init(&rig);
	make_dir("q");
	make_dir("q/.claimfs");
	make_dir("q/tmp");
	make_dir("plain");
	put("q/.claimfs/queue.conf", "format = 1\n");
	rig_connect(&rig, 2, 10000, 0);
	assert_int_equal(tree_new(rig.sftp, "/", &options, &tree), 0);
	assert_int_equal(lookup_in(tree->root, "q", &queue_dir), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tree_stop(tree);
	rig_disconnect(&rig);
	tree_free(tree);
	rig_release(&rig);
	awaited_release(&heard);
	assert_int_equal(fake.opened, fake.closed);
	return 0;
}

/* ---- what is shown ---- */

static void test_looking(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("sub/dir/b", QUEUE_TODO);
	fake_add("sub/c", QUEUE_DONE);
	assert_int_equal(look("todo"), 0);
	assert_true(S_ISDIR(heard.st.st_mode) && (heard.st.st_mode & 0777) == 0755 && heard.st.st_nlink == 2);
	assert_true(heard.attr_ttl == 0);
	assert_int_equal(look("todo/a"), 0);
	assert_true(S_ISREG(heard.st.st_mode) && (heard.st.st_mode & 0777) == 0444 && heard.st.st_nlink == 1);
	assert_true(heard.entry_ttl == 0 && heard.attr_ttl == 0);
	assert_int_equal(heard.st.st_uid, getuid());
	assert_int_equal(heard.st.st_mtime, 1234);
	assert_int_equal(look("done/a"), -ENOENT);
	assert_int_equal(look("todo/nothing"), -ENOENT);
	assert_int_equal(look("failed/sub/dir"), 0);	/* can be entered, though nothing is in it */
	assert_int_equal(look("done/sub/c"), 0);
	assert_int_equal(look(".claimfs"), 0);
	assert_int_equal(fake.opened, 1);
	assert_reads("todo/a", "unit: a\nstate: 0\n");
	assert_reads("todo/sub/dir/b", "unit: sub/dir/b\nstate: 0\n");
	assert_reads("progress", "all is well\n");
	assert_reads("progress.json", "{}\n");
	assert_lists("todo", "./\n../\na\nsub/\n");
	assert_lists("todo/sub", "./\n../\ndir/\n");
	assert_lists("done/sub", "./\n../\nc\n");
	assert_lists("failed", "./\n../\n");
}

static void test_no_queue(void **state)
{
	struct node *plain, *node;
	struct buf names = BUF_INIT;

	(void)state;
	put("plain/todo", "mine");
	assert_int_equal(lookup_in(tree->root, "plain", &plain), 0);
	assert_int_equal(lookup_in(plain, "todo", &node), 0);
	assert_int_equal(heard.st.st_size, 4);
	assert_true(node->ops == &real_ops);
	node_forget(tree, node, 1);
	assert_int_equal(lookup_in(plain, "done", &node), -ENOENT);
	node_forget(tree, plain, 1);
	list_it("", 100, false, &names);
	assert_non_null(strstr(names.data, "\ntodo/\n"));
	assert_non_null(strstr(names.data, "\nctl\n"));
	assert_non_null(strstr(names.data, ".claimfs/\n"));
	buf_release(&names);
	assert_int_equal(fake.opened, 0);	/* listing does not open it */
}

static bool is_shown(void *arg)
{
	return look(arg) == 0;
}

static bool is_broken(void *arg)
{
	return look(arg) == -EIO;
}

static bool is_gone(void *arg)
{
	return look(arg) == -ENOENT;
}

/* A broken queue.conf is said in `progress`, and mended while the mount goes on. */
static void test_broken_conf(void **state)
{
	struct buf names = BUF_INIT;

	(void)state;
	put("q/.claimfs/queue.conf", "bad\n");
	assert_int_equal(look("todo"), -EIO);
	assert_int_equal(look("ctl"), -EIO);
	assert_reads("progress", ".claimfs/queue.conf:1: 'bad' is not known\n");
	list_it("", 100, false, &names);
	assert_non_null(strstr(names.data, "progress\n"));
	assert_null(strstr(names.data, "todo"));
	buf_release(&names);
	put("q/.claimfs/queue.conf", "good = 1\n");
	assert_true(rig_until(is_shown, (char *)"todo"));
	assert_reads("progress", "all is well\n");
	put("q/.claimfs/queue.conf", "bad again\n");
	assert_true(rig_until(is_broken, (char *)"todo"));
	put("q/.claimfs/queue.conf", "good = 1\n");
	assert_true(rig_until(is_shown, (char *)"todo"));
}

static int64_t later(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec + 2 * NS_PER_S;
}

/* Nobody's work is interrupted by a change of queue.conf. */
static void test_conf_changed_while_claimed(void **state)
{
	char path[512];
	int i;

	(void)state;
	fake_add("a", QUEUE_TODO);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	rig_path(&rig, "q/.claimfs/queue.conf", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(look("todo"), 0);
	clock_set_source(later);	/* what is known is believed for a second */
	for (i = 0; i < 50; i++)	/* behind the look in the background that the first of these begins */
		assert_int_equal(look("todo"), 0);
	clock_set_source(NULL);
	assert_int_equal(create_it("stage/a", NULL), 0);
	assert_int_equal(fake.opened, 1);
	assert_int_equal(move("claims/a", "done/a"), 0);
	assert_true(rig_until(is_gone, (char *)"todo"));
	assert_int_equal(fake.closed, 1);
}

/* ---- verbs ---- */

static void test_renames(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("sub/b", QUEUE_TODO);
	fake_add("other", QUEUE_CLAIMS);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	assert_int_equal(fake_unit("a").state, QUEUE_CLAIMS);
	assert_int_equal(move("todo/a", "claims/a"), -EBUSY);
	assert_int_equal(move_with("todo/sub/b", "claims/sub/b", RENAME_NOREPLACE), 0);
	assert_int_equal(move("claims/a", "done/a"), 0);
	assert_int_equal(fake_unit("a").state, QUEUE_DONE);
	assert_int_equal(move("claims/sub/b", "failed/sub/b"), 0);
	assert_int_equal(move("failed/sub/b", "todo/sub/b"), 0);
	assert_int_equal(move("done/a", "todo/a"), 0);
	assert_int_equal(fake_unit("a").state, QUEUE_TODO);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	assert_int_equal(move("claims/a", "todo/a"), 0);
	assert_int_equal(fake_unit("a").released, 1);
	assert_int_equal(move("claims/other", "done/other"), -EACCES);
	assert_int_equal(move("todo/none", "claims/none"), -ENOENT);
	fake_find("other")->mine = true;
	fake_find("other")->answer = STORE_FAILURE;
	assert_int_equal(move("claims/other", "done/other"), -EIO);
}

/* Everything else is EPERM, never EXDEV. */
static void test_refused(void **state)
{
	static const char *const moves[][2] = {
		{ "todo/a", "done/a" }, { "todo/a", "failed/a" }, { "todo/a", "todo/b" }, { "todo/a", "claims/b" }, { "todo/a", "claims/sub/a" },
		{ "done/d", "claims/d" }, { "done/d", "failed/d" }, { "failed/f", "done/f" }, { "todo/sub", "claims/sub" }, { "todo/a", "stage/a" },
		{ "todo/a", "copy" }, { "todo/a", "plain" }, { "real", "todo/real" }, { "real", "claims/a" }, { "real", "done/a" },
	};
	const struct node_ops *ops;
	struct node *node;
	size_t i;

	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("sub/b", QUEUE_TODO);
	fake_add("d", QUEUE_DONE);
	fake_add("f", QUEUE_FAILED);
	put("q/real", "x");
	for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
		if (move(moves[i][0], moves[i][1]) != -EPERM)
			fail_msg("mv %s %s: %d", moves[i][0], moves[i][1], heard.error);
	assert_int_equal(move_with("todo/a", "claims/a", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(unlink_it("todo/a"), -EPERM);
	node = must_walk("done/sub");
	assert_int_equal(unlink_it("done/sub"), -EPERM);
	node_forget(tree, node, 1);
	assert_int_equal(create_it("todo/x", NULL), -EPERM);
	assert_int_equal(create_it("failed/x", NULL), -EPERM);
	node = must_walk("todo/a");
	ops = node->ops;
	assert_null(open_it(node, O_WRONLY));
	assert_int_equal(heard.error, -EPERM);
	assert_true(!ops->setattr && !ops->link && !ops->mkdir);	/* EPERM by default */
	node_forget(tree, node, 1);
	assert_int_equal(fake_unit("a").state, QUEUE_TODO);
}

static void test_removals_and_creations(void **state)
{
	struct node *node;

	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("d", QUEUE_DONE);
	fake_add("f", QUEUE_FAILED);
	assert_int_equal(create_it("claims/a", NULL), 0);
	assert_int_equal(fake_unit("a").state, QUEUE_CLAIMS);
	assert_int_equal(create_it("claims/a", NULL), -EEXIST);
	node = must_walk("claims/a");
	assert_null(open_it(node, O_WRONLY | O_TRUNC));
	assert_int_equal(heard.error, -EEXIST);
	node_forget(tree, node, 1);
	assert_int_equal(unlink_it("claims/a"), 0);
	assert_int_equal(fake_unit("a").released, 1);
	assert_int_equal(create_it("done/a", NULL), 0);
	assert_int_equal(fake_unit("a").state, QUEUE_DONE);
	assert_int_equal(create_it("done/a", NULL), -EEXIST);
	assert_int_equal(create_it("done/none", NULL), -ENOENT);
	assert_int_equal(unlink_it("done/d"), 0);
	assert_int_equal(unlink_it("failed/f"), 0);
	assert_int_equal(fake_unit("d").state, QUEUE_TODO);
	assert_int_equal(fake_unit("f").state, QUEUE_TODO);
}

/* An open ticket shows what it was when it was opened. */
static void test_open_ticket(void **state)
{
	struct handle *handle;
	struct node *node;

	(void)state;
	fake_add("a", QUEUE_TODO);
	node = must_walk("todo/a");
	handle = open_it(node, O_RDONLY);
	assert_non_null(handle);
	assert_true(heard.opened.direct_io);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	node->ops->getattr(tree, node, handle, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_int_equal(heard.st.st_size, strlen("unit: a\nstate: 0\n"));
	node->ops->getattr(tree, node, NULL, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), -ENOENT);
	handle->ops->read(handle, 6, 1, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_string_equal(buf_text(&heard.text), "a");
	release(handle);
	node_forget(tree, node, 1);
}

/* ---- stage ---- */

static void assert_kept(const char *name, const char *text)
{
	struct buf data = BUF_INIT;

	rig_get(&rig, name, &data);
	assert_string_equal(buf_text(&data), text);
	buf_release(&data);
}

static void test_stage(void **state)
{
	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("sub/b", QUEUE_TODO);
	fake_add("other", QUEUE_CLAIMS);
	assert_int_equal(look("stage"), 0);
	assert_lists("stage", "./\n../\n");
	assert_int_equal(create_it("stage/a", "x"), -EACCES);
	assert_int_equal(create_it("stage/other", "x"), -EACCES);
	assert_int_equal(look("stage/sub"), -ENOENT);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	assert_int_equal(move("todo/sub/b", "claims/sub/b"), 0);
	assert_int_equal(look("stage/a"), -ENOENT);
	assert_lists("stage", "./\n../\nsub/\n");
	assert_int_equal(create_it("stage/a", "text"), 0);
	assert_kept("q/tmp/a", "text");
	assert_int_equal(look("stage/a"), 0);
	assert_int_equal(heard.st.st_size, 4);
	assert_true(heard.entry_ttl == 0);
	assert_int_equal(create_it("stage/sub/b", "more"), 0);
	assert_kept("q/tmp/sub+b", "more");
	assert_int_equal(create_it("stage/sub/c", "x"), -EACCES);
	assert_lists("stage", "./\n../\na\nsub/\n");
	assert_lists("stage/sub", "./\n../\nb\n");
	assert_reads("stage/a", "text");
	assert_int_equal(unlink_it("stage/sub"), -EPERM);
	assert_int_equal(unlink_it("stage/a"), 0);
	assert_int_equal(look("stage/a"), -ENOENT);
	assert_int_equal(unlink_it("stage/none"), -ENOENT);
	assert_int_equal(move("claims/sub/b", "done/sub/b"), 0);
	assert_int_equal(look("stage/sub"), -ENOENT);
}

static void test_stage_directory(void **state)
{
	struct node *stage, *dir;

	(void)state;
	fake_add("a", QUEUE_TODO);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	stage = must_walk("stage");
	stage->ops->mkdir(tree, stage, "b", 0755, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), -EACCES);
	stage->ops->mkdir(tree, stage, "a", 0755, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	dir = heard.node;
	assert_true(heard.entry_ttl == 0);
	assert_int_equal(create_it("stage/a/inner", "deep"), 0);
	assert_kept("q/tmp/a/inner", "deep");
	assert_lists("stage/a", "./\n../\ninner\n");
	stage->ops->rmdir(tree, stage, "a", awaited_ask(&heard));
	assert_true(awaited_wait(&heard) < 0);
	assert_int_equal(unlink_it("stage/a/inner"), 0);
	stage->ops->rmdir(tree, stage, "a", awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	node_forget(tree, dir, 1);
	/* The same name as a file then. */
	assert_int_equal(create_it("stage/a", "file"), 0);
	assert_kept("q/tmp/a", "file");
	node_forget(tree, stage, 1);
}

/* Names that move in and out of stage/ are kept where they are shown. */
static void test_stage_renames(void **state)
{
	struct node *node, *stage;

	(void)state;
	fake_add("a", QUEUE_TODO);
	fake_add("b", QUEUE_TODO);
	assert_int_equal(move("todo/a", "claims/a"), 0);
	assert_int_equal(move("todo/b", "claims/b"), 0);
	put("q/made", "made");
	put("q/linked", "linked");
	node = must_walk("made");
	assert_int_equal(move("made", "stage/none"), -EACCES);
	assert_int_equal(move("made", "stage/a"), 0);
	assert_kept("q/tmp/a", "made");
	node->ops->getattr(tree, node, NULL, awaited_ask(&heard));	/* the node that moved has its new path */
	assert_int_equal(awaited_wait(&heard), 0);
	assert_int_equal(heard.st.st_size, 4);
	assert_reads("stage/a", "made");
	assert_int_equal(move("stage/a", "stage/b"), 0);
	assert_kept("q/tmp/b", "made");
	assert_int_equal(look("stage/a"), -ENOENT);
	assert_reads("stage/b", "made");
	assert_int_equal(move("stage/b", "out"), 0);
	assert_kept("q/out", "made");
	node->ops->getattr(tree, node, NULL, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_reads("out", "made");
	assert_int_equal(look("stage/b"), -ENOENT);
	node_forget(tree, node, 1);
	assert_int_equal(move("out", "done/a"), -EPERM);
	assert_int_equal(create_it("stage/a", "x"), 0);
	assert_int_equal(move("stage/a", "done/a"), -EPERM);
	assert_int_equal(unlink_it("stage/a"), 0);
	node = must_walk("linked");
	stage = must_walk("stage");
	node->ops->link(tree, node, stage, "a", awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	node_forget(tree, heard.node, 1);
	assert_kept("q/tmp/a", "linked");
	node_forget(tree, node, 1);
	node_forget(tree, stage, 1);
}

/* ---- ctl ---- */

static struct handle *open_ctl(int flags)
{
	struct node *node = must_walk("ctl");
	struct handle *handle = open_it(node, O_RDWR | flags);

	assert_non_null(handle);
	assert_true(heard.opened.direct_io && heard.opened.nonseekable);
	node_forget(tree, node, 1);
	return handle;
}

static void say(struct handle *handle, const char *text)
{
	handle->ops->write(handle, 0, text, strlen(text), awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_int_equal(heard.count, strlen(text));
}

static void assert_hears(struct handle *handle, const char *expected)
{
	handle->ops->read(handle, 0, 4096, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_string_equal(buf_text(&heard.text), expected);
}

static int kicks, drops;

static void kick(void *arg)
{
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void drop(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&drops, 1, __ATOMIC_SEQ_CST);
}

static unsigned int poll_it(struct handle *handle, bool with_kick)
{
	handle->ops->poll(handle, &kicks, with_kick ? kick : NULL, drop, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	return heard.events;
}

static bool was_kicked(void *arg)
{
	(void)arg;
	return __atomic_load_n(&kicks, __ATOMIC_SEQ_CST) == 1 && __atomic_load_n(&drops, __ATOMIC_SEQ_CST) == 1;
}

static bool is_waiting(void *arg)
{
	(void)arg;
	return fake_waiting() == 1;
}

static void test_ctl(void **state)
{
	struct handle *handle;

	(void)state;
	fake_add("a", QUEUE_TODO);
	kicks = drops = 0;
	handle = open_ctl(0);
	assert_hears(handle, "");	/* nothing asked: `cat ctl` ends */
	say(handle, "take\n");
	assert_hears(handle, "a\n");
	fake_add("b", QUEUE_CLAIMS);
	say(handle, "take wait\n");
	assert_true(rig_until(is_waiting, NULL));
	assert_int_equal(poll_it(handle, true) & (POLLIN | POLLOUT), POLLOUT);
	fake_add("c", QUEUE_TODO);
	assert_true(rig_until(was_kicked, NULL));
	assert_int_equal(poll_it(handle, false) & (POLLIN | POLLOUT), POLLIN | POLLOUT);
	assert_hears(handle, "c\n");
	say(handle, "done a\ndone c\n");
	handle->ops->read(handle, 0, 3, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), 0);
	assert_string_equal(buf_text(&heard.text), "ok\n");
	assert_hears(handle, "ok\n");
	poll_it(handle, true);
	release(handle);
	assert_int_equal(drops, 2);
}

/* A read that waits is interrupted, and the answer goes to the next one. */
static void test_ctl_interrupted(void **state)
{
	struct handle *handle;
	void (*wake)(void *arg);
	void *arg;

	(void)state;
	fake_add("held", QUEUE_CLAIMS);
	handle = open_ctl(0);
	say(handle, "take wait\n");
	handle->ops->read(handle, 0, 4096, awaited_ask(&heard));
	pthread_mutex_lock(&heard.lock);
	assert_int_equal(heard.answers, 0);
	wake = heard.wake;
	arg = heard.wake_arg;
	pthread_mutex_unlock(&heard.lock);
	assert_non_null(wake);
	wake(arg);
	assert_int_equal(awaited_wait(&heard), -EINTR);
	fake_add("late", QUEUE_TODO);
	assert_hears(handle, "late\n");
	release(handle);
}

static void test_ctl_nonblock(void **state)
{
	struct handle *handle;

	(void)state;
	fake_add("held", QUEUE_CLAIMS);
	handle = open_ctl(O_NONBLOCK);
	say(handle, "take wait\n");
	handle->ops->read(handle, 0, 4096, awaited_ask(&heard));
	assert_int_equal(awaited_wait(&heard), -EAGAIN);
	release(handle);
}

static bool is_lost(void *arg)
{
	return fake_unit(arg).lost == 1;
}

/* What a session held when its program closed it is lost; at the end of the mount it is left to the queue. */
static void test_ctl_closed(void **state)
{
	struct handle *handle;

	(void)state;
	fake_add("a", QUEUE_TODO);
	handle = open_ctl(0);
	say(handle, "take\n");
	assert_hears(handle, "a\n");
	release(handle);
	assert_true(rig_until(is_lost, (char *)"a"));
	handle = open_ctl(0);
	say(handle, "take\n");
	assert_hears(handle, "a\n");
	queues_ending(tree->queues);
	release(handle);
	tree_stop(tree);
	assert_int_equal(fake_unit("a").state, QUEUE_CLAIMS);
	assert_int_equal(fake_unit("a").lost, 1);
	assert_int_equal(fake.closed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_looking), TEST(test_no_queue), TEST(test_broken_conf), TEST(test_conf_changed_while_claimed), TEST(test_renames),
		TEST(test_refused), TEST(test_removals_and_creations), TEST(test_open_ticket), TEST(test_stage), TEST(test_stage_directory),
		TEST(test_stage_renames), TEST(test_ctl), TEST(test_ctl_interrupted), TEST(test_ctl_nonblock), TEST(test_ctl_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
