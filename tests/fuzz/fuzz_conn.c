/*
 * fuzz_conn: a whole engine against a peer whose answers are the input. Whatever it says, every request is completed exactly once, and
 * nothing is read or written out of bounds.
 *
 * The input: its first byte is odd: everything after it is what the peer sends, from the greeting on. Else the greeting is a good one
 * (with bit 1: so is that of a second session, once the first is over), and what follows is a list of
 *   kind, n, n bytes:  kind 0 raw bytes; 1 the peer closes; any other: an answer of type `kind` with these bytes as its body, to the
 *                      request that has waited longest (id 0 when none has)
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "sftp/channel.h"
#include "sftp/client.h"
#include "sftp/codec.h"
#include "sftp/proto.h"

#define IDS 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct peer {
	struct channel channel;
	struct channel_maker maker;
	const uint8_t *input;
	size_t left;
	bool raw;
	int gate;			/* readable once the requests are in */
	int sessions;
	int sessions_most;
	uint8_t sent[64 * 1024];	/* the engine's bytes, not taken apart yet */
	size_t sent_len;
	uint32_t ids[IDS];
	size_t id_count;
	uint8_t answer[512];		/* on its way to the engine */
	size_t answer_at, answer_len;
	atomic_bool greeted;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool over;			/* the input is used up */
};

struct job {
	struct sftp *sftp;
	atomic_int asked;
	atomic_int answered;
	atomic_int file_left;
	char data[2][4096];
};

/* ---- the peer ---- */

static void set_over(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	peer->over = true;
	pthread_cond_signal(&peer->ended);
	pthread_mutex_unlock(&peer->lock);
}

static void take_apart(struct peer *peer)
{
	size_t at = 0, len;

	while (codec_packet(peer->sent + at, peer->sent_len - at, &len) > 0) {
		if (peer->id_count < IDS && peer->sent[at + 4] != FXP_INIT)
			peer->ids[peer->id_count++] = codec_get_u32(peer->sent + at + 5);
		at += len;
	}
	peer->sent_len -= at;
	memmove(peer->sent, peer->sent + at, peer->sent_len);
}

static ssize_t peer_write(struct channel *channel, const void *data, size_t len)
{
	struct peer *peer = container_of(channel, struct peer, channel);

	if (len > sizeof(peer->sent) - peer->sent_len)
		len = sizeof(peer->sent) - peer->sent_len;
	memcpy(peer->sent + peer->sent_len, data, len);
	peer->sent_len += len;
	take_apart(peer);
	return len ? (ssize_t)len : -EAGAIN;
}

static void put(struct peer *peer, uint8_t type, uint32_t id, const uint8_t *body, size_t len)
{
	struct writer writer;

	writer_init(&writer, peer->answer, sizeof(peer->answer));
	writer_u32(&writer, (uint32_t)(5 + len));
	writer_u8(&writer, type);
	writer_u32(&writer, id);
	writer_bytes(&writer, body, len);
	peer->answer_at = 0;
	peer->answer_len = writer_len(&writer);
}

static uint32_t oldest(struct peer *peer)
{
	uint32_t id = peer->id_count ? peer->ids[0] : 0;

	if (peer->id_count)
		memmove(peer->ids, peer->ids + 1, --peer->id_count * sizeof(peer->ids[0]));
	return id;
}

/* The next item of the input becomes `answer`. False: the peer closes. */
static bool next_answer(struct peer *peer)
{
	static const uint8_t limits[] = "\0\0\0\21limits@nowhere.no\0\0\0\1" "1";
	uint8_t kind;
	size_t len;

	if (!atomic_exchange(&peer->greeted, true) && !peer->raw) {
		put(peer, FXP_VERSION, PROTO_VERSION, limits, sizeof(limits) - 1);
		return true;
	}
	if (peer->left < 2)
		return false;
	kind = peer->input[0];
	len = peer->input[1];
	peer->input += 2;
	peer->left -= 2;
	if (len > peer->left)
		len = peer->left;
	if (kind == 1)
		return false;
	if (kind == 0 || peer->raw) {
		memcpy(peer->answer, peer->input, len);
		peer->answer_at = 0;
		peer->answer_len = len;
	} else {
		put(peer, kind, oldest(peer), peer->input, len);
	}
	peer->input += len;
	peer->left -= len;
	return true;
}

static ssize_t peer_read(struct channel *channel, void *data, size_t len)
{
	struct peer *peer = container_of(channel, struct peer, channel);
	uint64_t open;

	if (atomic_load(&peer->greeted) && !peer->raw) {	/* not before there is something to answer */
		if (eventfd_read(peer->gate, &open))
			return -EAGAIN;
		eventfd_write(peer->gate, 1);
	}
	while (peer->answer_at == peer->answer_len)
		if (!next_answer(peer))
			return peer->raw ? -EACCES : 0;		/* one that connecting again won't help */
	if (len > peer->answer_len - peer->answer_at)
		len = peer->answer_len - peer->answer_at;
	memcpy(data, peer->answer + peer->answer_at, len);
	peer->answer_at += len;
	return (ssize_t)len;
}

static int peer_poll_fds(struct channel *channel, bool want_write, struct pollfd fds[CHANNEL_MAX_FDS])
{
	(void)want_write;
	fds[0] = (struct pollfd){ .fd = container_of(channel, struct peer, channel)->gate, .events = POLLIN };
	return 1;
}

static void peer_free(struct channel *channel)
{
	struct peer *peer = container_of(channel, struct peer, channel);

	if (peer->sessions >= peer->sessions_most)
		set_over(peer);
}

static const struct channel_ops peer_ops = {
	.read = peer_read, .write = peer_write, .poll_fds = peer_poll_fds, .free = peer_free,
};

static int peer_open(struct channel_maker *maker, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel, struct buf *why)
{
	struct peer *peer = container_of(maker, struct peer, maker);

	(void)deadline_ns;
	(void)cancel_fd;
	(void)why;
	if (peer->sessions++ >= peer->sessions_most) {
		set_over(peer);
		return -ENOENT;
	}
	atomic_store(&peer->greeted, false);
	peer->id_count = 0;
	peer->sent_len = 0;
	peer->answer_at = peer->answer_len = 0;
	*ret_channel = &peer->channel;
	return 0;
}

/* ---- the requests ---- */

static void answered(void *arg, const struct sftp_reply *reply)
{
	struct job *job = arg;

	if (reply->text && strlen(reply->text) != reply->len)
		abort();
	atomic_fetch_add(&job->answered, 1);
}

static bool entry(void *arg, const struct sftp_name *name)
{
	(void)arg;
	if (!codec_name_ok(name->name, name->len))
		abort();
	return true;
}

struct file_job {
	struct job *job;
	struct sftp_file *file;
	atomic_int left;
};

static void file_answered(void *arg, const struct sftp_reply *reply)
{
	struct file_job *file_job = arg;
	struct job *job = file_job->job;

	if (reply->len > sizeof(job->data[0]))
		abort();
	if (atomic_fetch_sub(&file_job->left, 1) == 1) {
		sftp_close(file_job->file, NULL, NULL);
		free(file_job);
	}
	atomic_fetch_add(&job->answered, 1);
}

static void opened(void *arg, const struct sftp_reply *reply)
{
	struct job *job = arg;
	struct file_job *file_job;

	if (!reply->error) {
		file_job = calloc(1, sizeof(*file_job));
		file_job->job = job;
		file_job->file = reply->file;
		atomic_store(&file_job->left, 3);
		atomic_fetch_add(&job->asked, 3);
		sftp_read(reply->file, 0, job->data[0], sizeof(job->data[0]), file_answered, file_job);
		sftp_write(reply->file, 0, job->data[1], sizeof(job->data[1]), file_answered, file_job);
		sftp_fstat(reply->file, file_answered, file_job);
	}
	atomic_fetch_add(&job->answered, 1);
}

static void ask(struct job *job)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE, .mode = 0600 };
	struct sftp *sftp = job->sftp;

	atomic_store(&job->asked, 9);
	sftp_open(sftp, SFTP_DATA, "f", SFTP_OPEN_READ, NULL, opened, job);
	sftp_list(sftp, SFTP_CONTROL, "d", entry, NULL, answered, job);
	sftp_lstat(sftp, SFTP_CONTROL, "a", answered, job);
	sftp_readlink(sftp, SFTP_CONTROL, "l", answered, job);
	sftp_realpath(sftp, SFTP_CONTROL, ".", answered, job);
	sftp_statvfs(sftp, SFTP_CONTROL, ".", answered, job);
	sftp_mkdir(sftp, SFTP_CONTROL, "m", 0700, answered, job);
	sftp_setstat(sftp, SFTP_CONTROL, "a", &attrs, false, answered, job);
	sftp_open(sftp, SFTP_CONTROL, "g", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, NULL, opened, job);
}

static void await_over(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	while (!peer->over)
		clock_cond_wait(&peer->ended, &peer->lock, INT64_MAX);
	pthread_mutex_unlock(&peer->lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sftp_options options = { .connections = 1 };
	struct buf why = BUF_INIT;
	struct peer *peer;
	struct job *job;

	if (size < 3 || size > 4096)
		return 0;
	log_open("fuzz_conn", LOG_LEVEL_ERROR);
	peer = calloc(1, sizeof(*peer));
	job = calloc(1, sizeof(*job));
	peer->channel.ops = &peer_ops;
	peer->maker.open = peer_open;
	peer->raw = data[0] & 1;
	peer->sessions_most = 1 + (data[0] >> 1 & 1);
	if (peer->raw)
		options.timeout_ns = 5 * NS_PER_MS;	/* a greeting that is none would be waited for again and again */
	peer->input = data + 1;
	peer->left = size - 1;
	peer->gate = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&peer->lock, NULL);
	clock_cond_init(&peer->ended);
	if (!sftp_connect(&peer->maker, &options, &job->sftp, &why)) {
		ask(job);
		eventfd_write(peer->gate, 1);
		await_over(peer);
		sftp_free(job->sftp);
		if (atomic_load(&job->asked) != atomic_load(&job->answered))
			abort();
	}
	buf_release(&why);
	close(peer->gate);
	pthread_cond_destroy(&peer->ended);
	pthread_mutex_destroy(&peer->lock);
	free(peer);
	free(job);
	return 0;
}
