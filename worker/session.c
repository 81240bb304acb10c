/*
 * session: commands out and answers in. Watched one-shot: every wait on a FUSE file costs a request to the mount, so it is armed
 * only when an answer is missing or something is left to write.
 */
#include "worker/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define SESSION_READ_BYTES 65536
#define SESSION_MAX_HELD (256u << 10)	/* of what waits to be sent together: more goes at once */
#define SESSION_MAX_LINE (64u << 20)	/* of one answer: a take of very many long names */

static void session_ready(struct loop_fd *watch, uint32_t events);
static void session_gathered(struct loop_timer *timer);

void session_init(struct session *session, struct loop *loop, int fd, void (*broken)(void *arg, int error), void *arg)
{
	memset(session, 0, sizeof(*session));
	loop_fd_init(&session->watch, session_ready);
	loop_timer_init(&session->gather, session_gathered);
	list_init(&session->unanswered);
	buf_init(&session->out);
	buf_init(&session->in);
	session->in.max = SESSION_MAX_LINE;
	session->loop = loop;
	session->broken = broken;
	session->arg = arg;
	session->error = loop_watch(loop, &session->watch, fd, EPOLLONESHOT);
	if (session->error)
		session->watch.fd = fd;		/* still ours to close */
}

int session_open_ctl(const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void session_close(struct session *session)
{
	int fd = session->watch.fd;

	loop_unwatch(session->loop, &session->watch);
	loop_timer_stop(&session->gather);
	if (fd >= 0)
		close(fd);
	while (list_pop(&session->unanswered))
		;
	buf_release(&session->out);
	buf_release(&session->in);
	if (!session->error)
		session->error = -EBADF;
}

bool session_idle(const struct session *session)
{
	return list_empty(&session->unanswered);
}

static void session_break(struct session *session, int error)
{
	int fd = session->watch.fd;

	if (session->error)
		return;
	session->error = error;
	loop_unwatch(session->loop, &session->watch);
	session->watch.fd = fd;
	session->broken(session->arg, error);
}

static void session_arm(struct session *session)
{
	uint32_t events = 0;
	int error;

	if (session->error)
		return;
	if (session->last_sent)
		events |= EPOLLIN;
	if (session->begun > 0)
		events |= EPOLLOUT;
	if ((events & ~session->armed) == 0)
		return;
	error = loop_watch(session->loop, &session->watch, session->watch.fd, events | EPOLLONESHOT);
	if (error)
		session_break(session, error);
	else
		session->armed = events;
}

void session_send(struct session *session, struct session_command *command, const char *line)
{
	session_send_data(session, command, line, NULL, 0);
}

void session_send_data(struct session *session, struct session_command *command, const char *line, const void *data, size_t len)
{
	if (session->error)
		return;
	list_append(&session->unanswered, &command->link);
	buf_adds(&session->out, line);
	buf_addch(&session->out, '\n');
	if (len > 0)
		buf_add(&session->out, data, len);
}

/* Lines that came since the last write, for the answers of those before or for others to come. */
static bool must_wait(struct session *session)
{
	if (!session->together || session->out.len == session->begun || session->out.len > SESSION_MAX_HELD)
		return false;
	if (session->last_sent)
		return true;
	if (!session->gather_ns || session->hurry || session->gathered)
		return false;
	if (!loop_timer_is_set(&session->gather))
		loop_timer_set(session->loop, &session->gather, clock_now() + session->gather_ns);
	return true;
}

static void begin_all(struct session *session)
{
	loop_timer_stop(&session->gather);
	session->gathered = false;
	if (session->out.len > session->begun && !list_empty(&session->unanswered))
		session->last_sent = list_entry(session->unanswered.prev, struct session_command, link);
	session->begun = session->out.len;
}

void session_flush(struct session *session)
{
	ssize_t count;

	if (session->error)
		return;
	if (buf_error(&session->out)) {
		session_break(session, buf_error(&session->out));
		return;
	}
	if (!must_wait(session))
		begin_all(session);
	while (session->begun > 0) {
		count = write(session->watch.fd, session->out.data, session->begun);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			break;
		if (count <= 0) {
			session_break(session, count < 0 ? -errno : -EIO);
			return;
		}
		buf_drop(&session->out, (size_t)count);
		session->begun -= (size_t)count;
	}
	session_arm(session);
}

/* The call-back may send more, or close the session's owner's other things; not this session. */
static void answer_first(struct session *session, char *line)
{
	struct session_command *command = list_entry(list_pop(&session->unanswered), struct session_command, link);

	if (command == session->last_sent)
		session->last_sent = NULL;
	command->answer(command, line);
}

static void take_lines(struct session *session)
{
	size_t start = 0;
	char *newline;

	while (!session->error && start < session->in.len) {
		newline = memchr(session->in.data + start, '\n', session->in.len - start);
		if (!newline)
			break;
		if (list_empty(&session->unanswered)) {
			session_break(session, -EPROTO);
			return;
		}
		*newline = '\0';
		answer_first(session, session->in.data + start);
		start = (size_t)(newline + 1 - session->in.data);
	}
	if (!session->error)
		buf_drop(&session->in, start);
}

static void take_end(struct session *session)
{
	struct session_command *first = list_empty(&session->unanswered) ?
		NULL : list_entry(session->unanswered.next, struct session_command, link);

	if (!first || !first->may_end || session->in.len > 0)
		session_break(session, -EPROTO);
	else
		answer_first(session, NULL);
}

/* One read a wake-up: a second might wait for answers that are not there yet. */
static void session_read(struct session *session)
{
	ssize_t count;

	if (buf_reserve(&session->in, SESSION_READ_BYTES) < 0) {
		session_break(session, buf_error(&session->in) ? buf_error(&session->in) : -ENOMEM);
		return;
	}
	do {
		count = read(session->watch.fd, session->in.data + session->in.len, SESSION_READ_BYTES);
	} while (count < 0 && errno == EINTR);
	if (count < 0) {
		if (errno != EAGAIN)
			session_break(session, -errno);
	} else if (count == 0) {
		take_end(session);
	} else {
		session->in.len += (size_t)count;
		take_lines(session);
	}
}

static void session_gathered(struct loop_timer *timer)
{
	struct session *session = container_of(timer, struct session, gather);

	session->gathered = true;
	session_flush(session);
}

static void session_ready(struct loop_fd *watch, uint32_t events)
{
	struct session *session = container_of(watch, struct session, watch);

	session->armed = 0;
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && session->last_sent)
		session_read(session);
	if (!session->error)
		session_flush(session);
}
