/*
 * session: see session.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mountinfo.h"
#include "fuse/internal.h"

/* Operations never wait on these threads, so a few carry everything; one more reads while others encode. */
#define SESSION_THREADS 4
#define NOTICE_NS NS_PER_S

/* ---- notices to the kernel ---- */

bool session_notice_begin(struct session *session)
{
	bool may;

	pthread_mutex_lock(&session->lock);
	may = !session->leaving;
	session->notices += may;
	pthread_mutex_unlock(&session->lock);
	return may;
}

void session_notice_end(struct session *session)
{
	pthread_mutex_lock(&session->lock);
	session->notices--;
	if (session->leaving)
		pthread_cond_signal(&session->returned);
	pthread_mutex_unlock(&session->lock);
}

/* From here on there are none. One that takes longer waits in the kernel for a page: its call holds the file, and the unmount wakes it. */
static void end_notices(struct session *session)
{
	int64_t deadline = clock_now() + NOTICE_NS;
	int error = 0;

	pthread_mutex_lock(&session->lock);
	session->leaving = true;
	while (session->notices && !error)
		error = clock_cond_wait(&session->returned, &session->lock, deadline);
	pthread_mutex_unlock(&session->lock);
}

static void invalidate_attrs(void *arg, struct node *node)
{
	struct session *session = arg;
	fuse_ino_t ino = node == session->tree->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;

	if (!session_notice_begin(session))
		return;
	fuse_lowlevel_notify_inval_inode(session->fuse, ino, -1, 0);	/* no pages: those may be waiting for this very thread */
	session_notice_end(session);
}

static bool store_pages(void *arg, struct node *node, const void *data, size_t len)
{
	struct session *session = arg;
	struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(len);
	bool stored;

	if (!session_notice_begin(session))
		return false;
	bytes.buf[0].mem = (void *)(uintptr_t)data;
	stored = fuse_lowlevel_notify_store(session->fuse, (fuse_ino_t)(uintptr_t)node, 0, &bytes, 0) == 0;
	session_notice_end(session);
	return stored;
}

/* ---- beginning ---- */

static int make_fuse(struct session *session, const struct session_options *options)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int error = -ENOMEM;

	if (fuse_opt_add_arg(&args, "claimfs"))
		goto out;
	if (options->mount_options[0] && (fuse_opt_add_arg(&args, "-o") || fuse_opt_add_arg(&args, options->mount_options)))
		goto out;
	if (options->debug && fuse_opt_add_arg(&args, "-d"))
		goto out;
	session->fuse = fuse_session_new(&args, &session_ops, sizeof(session_ops), session);
	error = session->fuse ? 0 : -EINVAL;
out:
	fuse_opt_free_args(&args);
	return error;
}

/*
 * The kernel reads ahead 128 KiB for a FUSE file as a rule. Root may raise that; for others it stays. The device is found without a stat of the
 * mount: an unmount at that moment would be told that it is busy.
 */
void session_raise_readahead(const struct session *session)
{
	char path[128], text[32];
	struct mountinfo info;
	int fd, len;

	if (!session->readahead || !mountinfo_find(session->mountpoint, &info))
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", info.major, info.minor);
	len = snprintf(text, sizeof(text), "%u\n", session->readahead / 1024);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (io_write_all(fd, text, (size_t)len))
		log_debug("%s: cannot be set", path);
	close(fd);
}

/* What fusermount3 and libfuse write to standard error while they mount, as one line: their reason is better than ours. */
static int mount_quietly(struct session *session, const char *mountpoint, struct buf *ret_said)
{
	int memory = memfd_create("claimfs-mount", MFD_CLOEXEC), saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	char text[1024] = "";
	ssize_t len = 0;
	int error;

	fflush(stderr);
	if (memory >= 0 && saved >= 0)
		dup2(memory, STDERR_FILENO);
	error = fuse_session_mount(session->fuse, mountpoint);
	fflush(stderr);
	if (memory >= 0 && saved >= 0) {
		dup2(saved, STDERR_FILENO);
		len = pread(memory, text, sizeof(text) - 1, 0);
	}
	io_close(&memory);
	io_close(&saved);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	for (; len > 0; len--)
		if (text[len - 1] == '\n')
			text[len - 1] = ';';
	buf_adds(ret_said, text);
	return error ? -EIO : 0;
}

int session_new(struct tree *tree, const struct session_options *options, struct session **ret_session, struct buf *why)
{
	struct session *session = calloc(1, sizeof(*session));
	struct buf said = BUF_INIT;
	int error = -ENOMEM;

	if (!session)
		return -ENOMEM;
	session->tree = tree;
	session->single_thread = options->single_thread;
	session->auto_cache = options->auto_cache;
	session->no_readdirplus = options->no_readdirplus;
	session->readahead = options->readahead;
	pthread_mutex_init(&session->lock, NULL);
	clock_cond_init(&session->changed);
	clock_cond_init(&session->returned);
	list_init(&session->replies);
	list_init(&session->drops);
	pthread_cond_init(&session->drops_changed, NULL);
	map_init(&session->handles);
	session->mountpoint = strdup(options->mountpoint);
	if (session->mountpoint)
		error = make_fuse(session, options);
	if (error) {
		buf_addf(why, "cannot set up FUSE with the options \"%s\"", options->mount_options);
		goto fail;
	}
	session->signals = !fuse_set_signal_handlers(session->fuse);
	error = mount_quietly(session, options->mountpoint, &said);
	if (error) {
		buf_addf(why, "cannot mount at %s: %s", options->mountpoint,
			said.len ? buf_text(&said) : "is /dev/fuse there, and fusermount3 (package fuse3)?");
		goto fail;
	}
	if (said.len)
		log_warn("%s", buf_text(&said));
	session->mounted = true;
	error = reply_watch_begin(session);
	if (!error)
		error = pages_begin(session);
	if (error) {
		buf_adds(why, "cannot start a thread");
		goto fail;
	}
	tree->invalidate_arg = session;
	tree->invalidate_attrs = invalidate_attrs;
	tree->invalidate_pages = pages_drop;
	tree->store_pages = store_pages;
	buf_release(&said);
	*ret_session = session;
	return 0;
fail:
	buf_release(&said);
	if (session->mounted)
		fuse_session_unmount(session->fuse);
	session_free(session);
	return error;
}

static int loop_threads(struct session *session)
{
#if FUSE_MAJOR_VERSION > 3 || (FUSE_MAJOR_VERSION == 3 && FUSE_MINOR_VERSION >= 12)
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int error;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, SESSION_THREADS);
	fuse_loop_cfg_set_idle_threads(config, SESSION_THREADS);
	error = fuse_session_loop_mt(session->fuse, config);
	fuse_loop_cfg_destroy(config);
	return error;
#else
	struct fuse_loop_config config = { .clone_fd = 1, .max_idle_threads = SESSION_THREADS };

	return fuse_session_loop_mt(session->fuse, &config);
#endif
}

int session_loop(struct session *session)
{
	int result = session->single_thread ? fuse_session_loop(session->fuse) : loop_threads(session);

	if (result > 0)
		log_info("%s: ended by signal %d", session->mountpoint, result);
	return result < 0 ? result : 0;
}

static struct handle *take_handle(struct session *session)
{
	struct handle *handle;
	size_t cursor = 0;

	pthread_mutex_lock(&session->lock);
	handle = map_next(&session->handles, &cursor, NULL, NULL);
	if (handle)
		map_remove(&session->handles, &handle, sizeof(handle));
	pthread_mutex_unlock(&session->lock);
	return handle;
}

int session_end(struct session *session, int64_t timeout_ns)
{
	int64_t deadline = clock_now() + timeout_ns;
	struct handle *handle;
	int error = 0;

	end_notices(session);
	queues_ending(session->tree->queues);
	if (session->mounted)
		fuse_session_unmount(session->fuse);
	session->mounted = false;
	pages_end(session);
	reply_watch_end(session);
	while ((handle = take_handle(session))) {
		struct reply *nobody = reply_nobody(session);

		if (nobody)
			handle->ops->release(handle, nobody);
	}
	pthread_mutex_lock(&session->lock);
	while (session->returning && !error)
		error = clock_cond_wait(&session->returned, &session->lock, deadline);
	error = session->returning ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&session->lock);
	return error;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	pages_end(session);
	reply_watch_end(session);
	if (session->signals)
		fuse_remove_signal_handlers(session->fuse);
	if (session->fuse)
		fuse_session_destroy(session->fuse);
	map_release(&session->handles);
	pthread_cond_destroy(&session->drops_changed);
	pthread_cond_destroy(&session->returned);
	pthread_cond_destroy(&session->changed);
	pthread_mutex_destroy(&session->lock);
	free(session->mountpoint);
	free(session);
}

const char *session_fuse_version(void)
{
	return fuse_pkgversion();
}
