/* files: see files.h. */
#include "tests/fake/files.h"

struct files_tested files;

struct awaited *files_ask(void)
{
	struct awaited *heard = calloc(1, sizeof(*heard));

	awaited_init(heard);
	awaited_ask(heard);
	return heard;
}

void files_done_with(struct awaited *heard)
{
	awaited_release(heard);
	free(heard);
}

int files_end(struct awaited *heard)
{
	int error = awaited_wait(heard);

	files_done_with(heard);
	return error;
}

/* ---- shorthands ---- */

struct node *files_look_up(const char *name)
{
	struct awaited *heard = files_ask();
	struct node *node;

	real_ops.lookup(files.tree, files.tree->root, name, &heard->reply);
	assert_int_equal(awaited_wait(heard), 0);
	node = heard->node;
	files_done_with(heard);
	return node;
}

void files_forget(struct node *node)
{
	node_forget(files.tree, node, 1);
}

int files_open_node(struct node *node, int flags, struct handle **ret_handle, bool *ret_keep)
{
	struct awaited *heard = files_ask();
	int error;

	real_ops.open(files.tree, node, flags, &heard->reply);
	error = awaited_wait(heard);
	if (!error)
		*ret_handle = heard->opened.handle;
	if (!error && ret_keep)
		*ret_keep = heard->opened.keep_cache;
	files_done_with(heard);
	return error;
}

struct handle *files_open(const char *name, int flags)
{
	struct node *node = files_look_up(name);
	struct handle *handle;

	assert_int_equal(files_open_node(node, flags, &handle, NULL), 0);
	files_forget(node);
	return handle;
}

int files_try_create(const char *name, mode_t mode, int flags, struct handle **ret_handle, struct stat *ret_st)
{
	struct awaited *heard = files_ask();
	int error;

	real_ops.create(files.tree, files.tree->root, name, mode, flags, &heard->reply);
	error = awaited_wait(heard);
	if (!error) {
		*ret_handle = heard->opened.handle;
		if (ret_st)
			*ret_st = heard->st;
		files_forget(heard->node);
	}
	files_done_with(heard);
	return error;
}

struct handle *files_create(const char *name)
{
	struct handle *handle;

	assert_int_equal(files_try_create(name, 0644, O_RDWR | O_CREAT, &handle, NULL), 0);
	return handle;
}

struct awaited *files_begin_write(struct handle *handle, uint64_t offset, const void *data, size_t len)
{
	struct awaited *heard = files_ask();
	void *copy = malloc(len);

	memcpy(copy, data, len);
	handle->ops->write(handle, (off_t)offset, copy, len, &heard->reply);
	memset(copy, 0xee, len);	/* the data is valid during the call only */
	free(copy);
	return heard;
}

int files_write(struct handle *handle, uint64_t offset, const void *data, size_t len)
{
	struct awaited *heard = files_begin_write(handle, offset, data, len);
	int error = awaited_wait(heard);

	if (!error)
		assert_int_equal(heard->count, len);
	files_done_with(heard);
	return error;
}

struct awaited *files_begin_read(struct handle *handle, uint64_t offset, size_t len)
{
	struct awaited *heard = files_ask();

	handle->ops->read(handle, (off_t)offset, len, &heard->reply);
	return heard;
}

void files_expect_read(struct handle *handle, uint64_t offset, size_t len, const void *expected, size_t expected_len)
{
	struct awaited *heard = files_begin_read(handle, offset, len);

	assert_int_equal(awaited_wait(heard), 0);
	assert_int_equal(heard->text.len, expected_len);
	if (expected_len)
		assert_memory_equal(heard->text.data, expected, expected_len);
	files_done_with(heard);
}

static bool rules_done(void *arg)
{
	(void)arg;
	return peer_rules_done(files.rig.peer);
}

void files_await_rules(void)
{
	assert_true(rig_until(rules_done, NULL));
}

void files_release_held(void)
{
	files_await_rules();
	peer_release(files.rig.peer);
}

int files_flush(struct handle *handle)
{
	struct awaited *heard = files_ask();

	handle->ops->flush(handle, &heard->reply);
	return files_end(heard);
}

int files_fsync(struct handle *handle)
{
	struct awaited *heard = files_ask();

	handle->ops->fsync(handle, false, &heard->reply);
	return files_end(heard);
}

void files_release(struct handle *handle)
{
	struct awaited *heard = files_ask();

	handle->ops->release(handle, &heard->reply);
	assert_int_equal(files_end(heard), 0);
}

void files_close(struct handle *handle)
{
	assert_int_equal(files_flush(handle), 0);
	files_release(handle);
}

int files_get_attr(struct node *node, struct stat *ret_st, double *ret_ttl)
{
	struct awaited *heard = files_ask();
	int error;

	real_ops.getattr(files.tree, node, NULL, &heard->reply);
	error = awaited_wait(heard);
	*ret_st = heard->st;
	if (ret_ttl)
		*ret_ttl = heard->attr_ttl;
	files_done_with(heard);
	return error;
}

struct awaited *files_begin_truncate(struct node *node, off_t size)
{
	struct awaited *heard = files_ask();
	struct stat st = { .st_size = size };

	real_ops.setattr(files.tree, node, NULL, &st, TREE_SET_SIZE, &heard->reply);
	return heard;
}

void files_expect_content(const char *name, const void *data, size_t len)
{
	struct buf buf = BUF_INIT;

	rig_get(&files.rig, name, &buf);
	assert_int_equal(buf.len, len);
	if (len)
		assert_memory_equal(buf.data, data, len);
	buf_release(&buf);
}

void files_pattern(uint8_t *data, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 24);
	}
}

/* ---- set up ---- */

static int start(void)
{
	rig_init(&files.rig);
	rig_connect(&files.rig, files.connections, 15000, 0);
	return tree_new(files.rig.sftp, "/", &files.options, &files.tree);
}

int files_set_up(void **state)
{
	(void)state;
	files.options = (struct tree_options){
		.attr_ttl = 1, .entry_ttl = 1, .no_queues = true, .contain_symlinks = true, .readahead = 2 * MIB, .write_buffer = 4 * MIB,
	};
	files.connections = 3;
	return start();
}

int files_set_up_small_buffer(void **state)
{
	(void)state;
	files_set_up(state);
	files.tree->files->max_queued = 100000;
	return 0;
}

int files_set_up_sync(void **state)
{
	(void)state;
	files_set_up(state);
	files.tree->options.sync_writes = true;
	return 0;
}

int files_set_up_one_connection(void **state)
{
	files_set_up(state);
	tree_stop(files.tree);
	rig_disconnect(&files.rig);
	tree_free(files.tree);
	rig_release(&files.rig);
	files.connections = 1;
	return start();
}

/* Every handle was closed on the server, and nothing of any is left here: which the thread that closes sees to after the server has. */
static bool all_given_back(void *arg)
{
	struct tree *tree = files.tree;
	size_t queued, names;

	(void)arg;
	pthread_mutex_lock(&tree->files->lock);
	queued = tree->files->queued;
	pthread_mutex_unlock(&tree->files->lock);
	pthread_mutex_lock(&tree->lock);
	names = tree->names.count;
	pthread_mutex_unlock(&tree->lock);
	return peer_open_handles(files.rig.peer) == 0 && !queued && !names && !atomic_load(&tree->files->ahead);
}

int files_tear_down(void **state)
{
	(void)state;
	assert_true(rig_until(all_given_back, NULL));
	tree_stop(files.tree);
	rig_disconnect(&files.rig);
	tree_free(files.tree);
	rig_release(&files.rig);
	return 0;
}
