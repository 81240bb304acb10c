/* test_fuse_session: what is sent to the kernel unasked while a mount ends. The calls of libfuse that would need a kernel are played here. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fuse/internal.h"

/* ---- libfuse ---- */

static atomic_int unmounted;		/* the descriptor that notices go to is closed */
static atomic_int begun;		/* notices */
static atomic_int late;			/* those that were under way, or came, with the descriptor closed */

static int notice(void)
{
	atomic_fetch_add(&begun, 1);
	usleep(100000);			/* time enough for an unmount that does not wait for it */
	atomic_fetch_add(&late, atomic_load(&unmounted));
	return 0;
}

#pragma GCC diagnostic ignored "-Wunused-parameter"

const struct fuse_lowlevel_ops session_ops;

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
	return notice();
}

int fuse_lowlevel_notify_store(struct fuse_session *se, fuse_ino_t ino, off_t offset, struct fuse_bufvec *bufv, enum fuse_buf_copy_flags flags)
{
	return notice();
}

int fuse_session_mount(struct fuse_session *se, const char *mountpoint)
{
	return 0;
}

void fuse_session_unmount(struct fuse_session *se)
{
	atomic_store(&unmounted, 1);
}

/* ---- set up ---- */

static struct tree tree;
static struct node node;
static struct session *session;

static int set_up(void **state)
{
	struct session_options options = { .mountpoint = "/nowhere", .mount_options = "" };
	struct buf why = BUF_INIT;

	unmounted = begun = late = 0;
	assert_int_equal(session_new(&tree, &options, &session, &why), 0);
	buf_release(&why);
	return 0;
}

static int tear_down(void **state)
{
	session_free(session);
	return 0;
}

/* ---- tests ---- */

static void *send_attrs(void *arg)
{
	tree.invalidate_attrs(tree.invalidate_arg, &node);
	return NULL;
}

static void *send_pages(void *arg)
{
	assert_true(tree.store_pages(tree.invalidate_arg, &node, "x", 1));
	return NULL;
}

/* An unmount waits for a notice that is under way. */
static void ends_after(void *(*send)(void *arg))
{
	pthread_t sender;

	assert_int_equal(pthread_create(&sender, NULL, send, NULL), 0);
	while (!atomic_load(&begun))
		usleep(100);
	assert_int_equal(session_end(session, NS_PER_S), 0);
	pthread_join(sender, NULL);
	assert_int_equal(begun, 1);
	assert_int_equal(late, 0);
}

static void test_ends_after_attributes(void **state)
{
	ends_after(send_attrs);
}

static void test_ends_after_pages(void **state)
{
	ends_after(send_pages);
}

/* The engine's threads go on a while. */
static void test_nothing_after_the_end(void **state)
{
	assert_int_equal(session_end(session, NS_PER_S), 0);
	tree.invalidate_attrs(tree.invalidate_arg, &node);
	assert_false(tree.store_pages(tree.invalidate_arg, &node, "x", 1));
	assert_int_equal(begun, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ends_after_attributes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ends_after_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_after_the_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
