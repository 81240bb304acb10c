/* peer: see peer.h. Sessions, rules, and what misbehaving looks like on the wire. */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "peer_ops.h"

#define BATCH 64			/* answers kept back to be sent in reverse */
#define PACKET (PROTO_MAX_PACKET + 4)
#define ANSWER (PACKET + 512)

struct rule {
	uint8_t type;
	unsigned int skip;
	unsigned int count;
	enum peer_action action;
};

struct peer {
	struct channel_maker maker;
	char *root;
	pthread_mutex_t lock;		/* guards everything below */
	pthread_cond_t changed;
	struct list sessions;
	struct rule rules[PEER_MAX_RULES];
	unsigned int rule_count;
	unsigned int counts[256];
	unsigned int made;
	unsigned int refuse_skip, refuse_count;
	int refuse_error;
	bool stalled, reverse, plain, lies;
	enum peer_listing lists;
	uint64_t limit;
	unsigned int released;
};

struct held {
	uint8_t *data;
	size_t len;
};

struct session {
	struct list link;
	struct peer *peer;
	pthread_t thread;
	int fd;
	unsigned int number;
	bool plain;
	unsigned int released_before;	/* what `released` was when the request was looked at */
	bool over;			/* by the peer's lock */
	struct peer_ops ops;
	uint8_t *packet;		/* PACKET bytes */
	uint8_t *answer;		/* ANSWER bytes */
	struct held batch[BATCH];
	unsigned int batched;
};

/* ---- the wire ---- */

static bool send_all(struct session *session, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(session->fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive_all(struct session *session, void *data, size_t len)
{
	char *at = data;

	while (len) {
		ssize_t n = recv(session->fd, at, len, 0);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool more_waits(struct session *session)
{
	struct pollfd fd = { .fd = session->fd, .events = POLLIN };

	return poll(&fd, 1, 2) > 0 && (fd.revents & POLLIN);
}

static bool flush_batch(struct session *session)
{
	bool good = true;

	while (session->batched) {
		struct held *held = &session->batch[--session->batched];

		good = send_all(session, held->data, held->len) && good;
		free(held->data);
	}
	return good;
}

/* The answer in `answer` (without its length), now or later. */
static bool put_answer(struct session *session, struct writer *writer)
{
	size_t len = writer_len(writer);
	bool reverse;

	codec_put_u32(session->answer, (uint32_t)(len - 4));
	pthread_mutex_lock(&session->peer->lock);
	reverse = session->peer->reverse;
	pthread_mutex_unlock(&session->peer->lock);
	if (!reverse)
		return flush_batch(session) && send_all(session, session->answer, len);
	session->batch[session->batched].data = malloc(len);
	memcpy(session->batch[session->batched].data, session->answer, len);
	session->batch[session->batched++].len = len;
	return session->batched < BATCH && more_waits(session) ? true : flush_batch(session);
}

static bool greet(struct session *session)
{
	static const char *const extensions[][2] = {
		{ EXT_POSIX_RENAME, "1" }, { EXT_STATVFS, "2" }, { EXT_HARDLINK, "1" }, { EXT_FSYNC, "1" }, { EXT_LSETSTAT, "1" },
		{ EXT_LIMITS, "1" }, { EXT_COPY_DATA, "1" }, { "odd@example.com", "" },
	};
	struct writer writer;
	size_t i;

	writer_init(&writer, session->answer, ANSWER);
	writer_u32(&writer, 0);
	writer_u8(&writer, FXP_VERSION);
	writer_u32(&writer, PROTO_VERSION);
	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]) && !session->plain; i++) {
		writer_string(&writer, extensions[i][0], strlen(extensions[i][0]));
		writer_string(&writer, extensions[i][1], strlen(extensions[i][1]));
	}
	codec_put_u32(session->answer, (uint32_t)(writer_len(&writer) - 4));
	return send_all(session, session->answer, writer_len(&writer));
}

/* ---- misbehaving ---- */

/* The first rule that fits and isn't used up decides; PEER_ACTIONS: nothing. */
static enum peer_action action_for(struct session *session, uint8_t type)
{
	enum peer_action action = PEER_ACTIONS;
	struct peer *peer = session->peer;
	unsigned int i;

	pthread_mutex_lock(&peer->lock);
	session->released_before = peer->released;
	peer->counts[type]++;
	peer->counts[PEER_ANY]++;
	for (i = 0; i < peer->rule_count; i++) {
		struct rule *rule = &peer->rules[i];

		if ((rule->type != PEER_ANY && rule->type != type) || (!rule->skip && !rule->count))
			continue;
		if (rule->skip) {
			rule->skip--;
			break;
		}
		if (rule->count != PEER_FOR_EVER)
			rule->count--;
		action = rule->action;
		break;
	}
	pthread_mutex_unlock(&peer->lock);
	return action;
}

static void await_release(struct session *session)
{
	struct peer *peer = session->peer;

	pthread_mutex_lock(&peer->lock);
	while (peer->released == session->released_before && !session->over)
		pthread_cond_wait(&peer->changed, &peer->lock);
	pthread_mutex_unlock(&peer->lock);
}

static bool put_status(struct session *session, uint32_t id, uint32_t status)
{
	struct writer writer;

	writer_init(&writer, session->answer, ANSWER);
	writer_u32(&writer, 0);
	writer_u8(&writer, FXP_STATUS);
	writer_u32(&writer, id);
	writer_u32(&writer, status);
	writer_string(&writer, "", 0);
	writer_string(&writer, "", 0);
	return put_answer(session, &writer);
}

static bool put_wrong(struct session *session, uint32_t id, enum peer_action action)
{
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 0x67, 0, 0, 0, 0 };
	static const char garbage[] = "Welcome to this host!\r\nLast login: never\r\n";
	struct writer writer;

	if (action == PEER_HUGE)
		return send_all(session, huge, sizeof(huge));
	if (action == PEER_GARBAGE)
		return send_all(session, garbage, sizeof(garbage));
	writer_init(&writer, session->answer, ANSWER);
	writer_u32(&writer, 0);
	writer_u8(&writer, action == PEER_TRUNCATED ? FXP_DATA : action == PEER_OVERLONG ? FXP_DATA : FXP_INIT);
	writer_u32(&writer, id);
	if (action == PEER_OVERLONG) {
		memset(writer.at + 4, 'x', PROTO_MAX_DATA);
		codec_put_u32(writer.at, PROTO_MAX_DATA);
		writer.at += 4 + PROTO_MAX_DATA;
	} else {
		writer_u32(&writer, 0x7fffffff);
	}
	return put_answer(session, &writer);
}

/* False: the session ends. */
static bool serve(struct session *session, uint8_t type, uint32_t id, struct reader *body)
{
	enum peer_action action = action_for(session, type);
	struct writer writer;

	switch (action) {
	case PEER_CUT_BEFORE:
		return false;
	case PEER_FAIL:
		return put_status(session, id, FX_FAILURE);
	case PEER_STRANGER:
		if (!put_status(session, id ^ 0x40000000, FX_OK))
			return false;
		break;
	case PEER_WRONG_TYPE: case PEER_TRUNCATED: case PEER_OVERLONG: case PEER_HUGE: case PEER_GARBAGE:
		return put_wrong(session, id, action);
	case PEER_LATE:
		shutdown(session->fd, SHUT_RDWR);
		await_release(session);
		break;
	default:
		break;
	}
	session->ops.short_read = action == PEER_SHORT;
	writer_init(&writer, session->answer + 4, ANSWER - 4);
	peer_carry_out(&session->ops, type, id, body, &writer);
	writer.start = session->answer;
	if (action == PEER_CUT_AFTER || action == PEER_LATE)
		return false;
	if (action == PEER_DROP)
		return true;
	if (action == PEER_HOLD)
		await_release(session);
	if (!put_answer(session, &writer))
		return false;
	return action == PEER_TWICE ? put_answer(session, &writer) : true;
}

/* ---- sessions ---- */

static void await_unstalled(struct session *session)
{
	struct peer *peer = session->peer;

	pthread_mutex_lock(&peer->lock);
	while (peer->stalled && !session->over)
		pthread_cond_wait(&peer->changed, &peer->lock);
	session->ops.lies = peer->lies;
	session->ops.lists = peer->lists;
	pthread_mutex_unlock(&peer->lock);
}

static bool serve_next(struct session *session)
{
	struct reader body;
	uint32_t len, id;
	uint8_t type;

	if (!receive_all(session, session->packet, 4))
		return false;
	len = codec_get_u32(session->packet);
	if (len < 5 || len > PROTO_MAX_PACKET || !receive_all(session, session->packet + 4, len))
		return false;
	await_unstalled(session);
	reader_init(&body, session->packet + 4, len);
	type = reader_u8(&body);
	id = reader_u32(&body);
	return type == FXP_INIT ? greet(session) : serve(session, type, id, &body);
}

static void *session_thread(void *arg)
{
	struct session *session = arg;
	struct peer *peer = session->peer;

	session->packet = malloc(PACKET);
	session->answer = malloc(ANSWER);
	while (session->packet && session->answer && serve_next(session))
		;
	flush_batch(session);
	shutdown(session->fd, SHUT_RDWR);
	free(session->packet);
	free(session->answer);
	pthread_mutex_lock(&peer->lock);
	session->over = true;
	peer_ops_release(&session->ops);
	pthread_mutex_unlock(&peer->lock);
	return NULL;
}

static int start_session(struct peer *peer, struct channel **ret_channel)
{
	struct session *session = calloc(1, sizeof(*session));
	int ends[2];

	if (!session || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		free(session);
		return -ENOMEM;
	}
	*ret_channel = channel_from_fd(ends[0]);
	session->peer = peer;
	session->ops.root = peer->root;
	session->fd = ends[1];
	pthread_mutex_lock(&peer->lock);
	session->number = peer->made++;
	session->plain = peer->plain;
	session->ops.limit = peer->limit;
	list_append(&peer->sessions, &session->link);
	pthread_create(&session->thread, NULL, session_thread, session);
	pthread_mutex_unlock(&peer->lock);
	return 0;
}

static int peer_open(struct channel_maker *maker, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel, struct buf *why)
{
	struct peer *peer = container_of(maker, struct peer, maker);
	int error = 0;

	(void)deadline_ns;
	(void)cancel_fd;
	pthread_mutex_lock(&peer->lock);
	if (peer->refuse_skip)
		peer->refuse_skip--;
	else if (peer->refuse_count) {
		if (peer->refuse_count != PEER_FOR_EVER)
			peer->refuse_count--;
		error = peer->refuse_error;
	}
	pthread_mutex_unlock(&peer->lock);
	if (error) {
		buf_adds(why, "the peer of the tests refuses");
		return error;
	}
	return start_session(peer, ret_channel);
}

struct peer *peer_new(const char *root)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->root = strdup(root);
	peer->limit = PROTO_MAX_DATA;
	peer->maker.open = peer_open;
	list_init(&peer->sessions);
	pthread_mutex_init(&peer->lock, NULL);
	pthread_cond_init(&peer->changed, NULL);
	return peer;
}

static void end_sessions(struct peer *peer, unsigned int number, bool all)
{
	struct list *link;

	pthread_mutex_lock(&peer->lock);
	list_for_each(link, &peer->sessions) {
		struct session *session = list_entry(link, struct session, link);

		if (all || session->number == number) {
			session->over = true;
			shutdown(session->fd, SHUT_RDWR);
		}
	}
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
}

void peer_free(struct peer *peer)
{
	struct list *link;

	if (!peer)
		return;
	end_sessions(peer, 0, true);
	while ((link = list_pop(&peer->sessions))) {
		struct session *session = list_entry(link, struct session, link);

		pthread_join(session->thread, NULL);
		close(session->fd);
		free(session);
	}
	pthread_cond_destroy(&peer->changed);
	pthread_mutex_destroy(&peer->lock);
	free(peer->root);
	free(peer);
}

struct channel_maker *peer_maker(struct peer *peer)
{
	return &peer->maker;
}

/* ---- orders ---- */

void peer_rule(struct peer *peer, uint8_t type, unsigned int skip, unsigned int count, enum peer_action action)
{
	pthread_mutex_lock(&peer->lock);
	if (peer->rule_count < PEER_MAX_RULES)
		peer->rules[peer->rule_count++] = (struct rule){ .type = type, .skip = skip, .count = count, .action = action };
	pthread_mutex_unlock(&peer->lock);
}

void peer_rules_clear(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	peer->rule_count = 0;
	pthread_mutex_unlock(&peer->lock);
}

bool peer_rules_done(struct peer *peer)
{
	bool done = true;
	unsigned int i;

	pthread_mutex_lock(&peer->lock);
	for (i = 0; i < peer->rule_count; i++)
		done = done && !peer->rules[i].skip && (!peer->rules[i].count || peer->rules[i].count == PEER_FOR_EVER);
	pthread_mutex_unlock(&peer->lock);
	return done;
}

static void set_flag(struct peer *peer, bool *flag, bool on)
{
	pthread_mutex_lock(&peer->lock);
	*flag = on;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
}

void peer_release(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	peer->released++;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
}

void peer_cut_all(struct peer *peer)
{
	end_sessions(peer, 0, true);
}

void peer_cut(struct peer *peer, unsigned int session)
{
	end_sessions(peer, session, false);
}

void peer_stall(struct peer *peer, bool on)
{
	set_flag(peer, &peer->stalled, on);
}

void peer_reverse(struct peer *peer, bool on)
{
	set_flag(peer, &peer->reverse, on);
}

void peer_plain(struct peer *peer, bool on)
{
	set_flag(peer, &peer->plain, on);
}

void peer_lies(struct peer *peer, bool on)
{
	set_flag(peer, &peer->lies, on);
}

void peer_lists(struct peer *peer, enum peer_listing how)
{
	pthread_mutex_lock(&peer->lock);
	peer->lists = how;
	pthread_mutex_unlock(&peer->lock);
}

void peer_limits(struct peer *peer, uint64_t bytes)
{
	pthread_mutex_lock(&peer->lock);
	peer->limit = bytes;
	pthread_mutex_unlock(&peer->lock);
}

void peer_refuse(struct peer *peer, unsigned int skip, unsigned int count, int error)
{
	pthread_mutex_lock(&peer->lock);
	peer->refuse_skip = skip;
	peer->refuse_count = count;
	peer->refuse_error = error;
	pthread_mutex_unlock(&peer->lock);
}

unsigned int peer_sessions(struct peer *peer)
{
	unsigned int made;

	pthread_mutex_lock(&peer->lock);
	made = peer->made;
	pthread_mutex_unlock(&peer->lock);
	return made;
}

unsigned int peer_count(struct peer *peer, uint8_t type)
{
	unsigned int count;

	pthread_mutex_lock(&peer->lock);
	count = peer->counts[type];
	pthread_mutex_unlock(&peer->lock);
	return count;
}

int peer_open_handles(struct peer *peer)
{
	struct list *link;
	int count = 0;

	pthread_mutex_lock(&peer->lock);
	list_for_each(link, &peer->sessions)
		count += list_entry(link, struct session, link)->ops.handle_count;
	pthread_mutex_unlock(&peer->lock);
	return count;
}
