/* test_fuse_reply: requests that a signal hits, over a libfuse that is played here. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fault.h"
#include "fuse/internal.h"

/* ---- libfuse: a request is its own, and must not be answered while it calls back about it: it is freed with its answer ---- */

struct fuse_req {
	struct session *session;
	struct fuse_ctx ctx;
	bool interrupted;	/* before it was begun */
	bool held;
	bool answered_while_held;
	int answers;
	int error;
};

static int answered(fuse_req_t req, int error)
{
	req->answered_while_held = req->answered_while_held || req->held;
	req->answers++;
	req->error = error;
	return 0;
}

const struct fuse_ctx *fuse_req_ctx(fuse_req_t req)
{
	return &req->ctx;
}

void *fuse_req_userdata(fuse_req_t req)
{
	assert_int_equal(req->answers, 0);	/* else it was freed */
	return req->session;
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	req->held = true;
	if (req->interrupted)
		func(req, data);
	req->held = false;
}

int fuse_reply_err(fuse_req_t req, int err)
{
	return answered(req, err);
}

#define OTHER_ANSWER(name, ...) int name(fuse_req_t req, __VA_ARGS__) { return answered(req, 0); }
#pragma GCC diagnostic ignored "-Wunused-parameter"

OTHER_ANSWER(fuse_reply_entry, const struct fuse_entry_param *e)
OTHER_ANSWER(fuse_reply_create, const struct fuse_entry_param *e, const struct fuse_file_info *fi)
OTHER_ANSWER(fuse_reply_attr, const struct stat *attr, double attr_timeout)
OTHER_ANSWER(fuse_reply_readlink, const char *link)
OTHER_ANSWER(fuse_reply_open, const struct fuse_file_info *fi)
OTHER_ANSWER(fuse_reply_write, size_t count)
OTHER_ANSWER(fuse_reply_buf, const char *buf, size_t size)
OTHER_ANSWER(fuse_reply_iov, const struct iovec *iov, int count)
OTHER_ANSWER(fuse_reply_statfs, const struct statvfs *stbuf)
OTHER_ANSWER(fuse_reply_xattr, size_t count)
OTHER_ANSWER(fuse_reply_poll, unsigned revents)

size_t fuse_add_direntry(fuse_req_t req, char *buf, size_t bufsize, const char *name, const struct stat *stbuf, off_t off)
{
	return 0;
}

size_t fuse_add_direntry_plus(fuse_req_t req, char *buf, size_t bufsize, const char *name, const struct fuse_entry_param *e, off_t off)
{
	return 0;
}

void session_raise_readahead(const struct session *session)
{
}

/* ---- set up ---- */

static struct tree tree;
static struct session session;
static struct fuse_req request;

static int set_up(void **state)
{
	session = (struct session){ .tree = &tree };
	pthread_mutex_init(&session.lock, NULL);
	clock_cond_init(&session.changed);
	list_init(&session.replies);
	map_init(&session.handles);
	request = (struct fuse_req){ .session = &session, .ctx = { .pid = gettid() }, .interrupted = true };
	return 0;
}

static int tear_down(void **state)
{
	assert_true(list_empty(&session.replies));
	assert_int_equal(session.interrupted, 0);
	map_release(&session.handles);
	pthread_cond_destroy(&session.changed);
	pthread_mutex_destroy(&session.lock);
	return 0;
}

/* This thread is the caller, and is to die. */
static void pend_signal(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	pthread_kill(pthread_self(), SIGTERM);
}

static void take_signal(sigset_t *set)
{
	int signal;

	sigwait(set, &signal);
	pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

/* ---- tests ---- */

/* The interrupt came in another of libfuse's threads, before the request itself. */
static void test_dying_before_it_began(void **state)
{
	struct reply *reply;
	sigset_t set;

	pend_signal(&set);
	reply = reply_new(&request, REPLY_PLAIN, 0);
	take_signal(&set);
	assert_int_equal(request.answers, 1);
	assert_int_equal(request.error, EINTR);
	assert_false(request.answered_while_held);
	assert_true(reply->ops->abandoned(reply));
	reply->ops->error(reply, 0);
	assert_int_equal(request.answers, 1);
}

/* A signal that ends nothing. */
static void test_hit_before_it_began(void **state)
{
	struct reply *reply = reply_new(&request, REPLY_PLAIN, 0);

	assert_int_equal(request.answers, 0);
	assert_false(reply->ops->abandoned(reply));
	reply->ops->error(reply, -ENOENT);
	assert_int_equal(request.answers, 1);
	assert_int_equal(request.error, ENOENT);
}

/* ---- out of memory ---- */

static struct handle handle;
static int released;

static void count_release(struct handle *given, struct reply *reply)
{
	assert_ptr_equal(given, &handle);
	released++;
	reply->ops->error(reply, 0);
}

static const struct handle_ops counting_ops = { .release = count_release };

/* The kernel has been given it. */
static void open_handle(void)
{
	struct tree_opened opened = { .handle = &handle };
	struct reply *reply = reply_new(&request, REPLY_PLAIN, 0);

	handle.ops = &counting_ops;
	released = 0;
	reply->ops->opened(reply, &opened);
	assert_int_equal(request.error, 0);
	assert_int_equal((int)session.handles.count, 1);
	request.answers = 0;
}

static void test_release(void **state)
{
	open_handle();
	reply_release(&request, &handle);
	assert_int_equal(released, 1);
	assert_int_equal(request.error, 0);
	assert_int_equal((int)session.handles.count, 0);
}

/* What can't be released for lack of memory is still the session's, which does it when it ends. */
static void test_release_without_memory(void **state)
{
	open_handle();
	assert_int_equal(fault_set("reply-memory:0:1"), 0);
	reply_release(&request, &handle);
	assert_int_equal(request.error, ENOMEM);
	assert_int_equal(released, 0);
	assert_int_equal((int)session.handles.count, 1);
	request.answers = 0;
	reply_release(&request, &handle);
	assert_int_equal(released, 1);
}

/* Nor is one lost that was opened for a caller who is gone. */
static void test_return_without_memory(void **state)
{
	struct tree_opened opened = { .handle = &handle };
	struct reply *reply;
	sigset_t set;

	handle.ops = &counting_ops;
	released = 0;
	pend_signal(&set);
	reply = reply_new(&request, REPLY_PLAIN, 0);
	take_signal(&set);
	assert_int_equal(request.error, EINTR);
	assert_int_equal(fault_set("reply-memory:0:1"), 0);
	reply->ops->opened(reply, &opened);
	assert_int_equal(released, 0);
	assert_int_equal((int)session.handles.count, 1);
	request.answers = 0;
	reply_release(&request, &handle);
	assert_int_equal(released, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dying_before_it_began, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hit_before_it_began, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_release, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_release_without_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_return_without_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
