/*
 * channel_pipe: a child process as the channel: `ssh -s host sftp`, or a local sftp-server.
 *
 * The child stays in the session and the process group (ssh may have to ask at the terminal) but ignores SIGINT, SIGQUIT and
 * SIGHUP: a ^C that ends the mount must not take the connection away before the last writes are out. What it says on standard
 * error becomes log lines, and its last line the reason.
 */
#include "sftp/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/list.h"
#include "base/log.h"

/*
 * Of each way. A socket becomes writable only when most of what lies in it was read, where a pipe wakes its writer for every page: in the same run,
 * 512 MiB read through ssh cost 2.75 s of CPU against 2.99 with a pipe of 1 MiB, 4.14 against 4.34 when written.
 */
#define SOCKET_BYTES (2 * 1024 * 1024)
#define LINE_BYTES 512
#define LINES_MOST 20			/* of the child's, in LOG_LIMITED_S */
#define END_MS 300			/* how long the child may take to end at end of file, and again at SIGTERM */

struct child {
	struct channel channel;
	const char *program;
	pid_t pid;
	int fd;			/* its standard input and output */
	int err;
	int error;		/* what reading said at last, to say it again */
	size_t line_len;
	char line[LINE_BYTES];
	char reason[LINE_BYTES];
	unsigned int lines;
	int64_t lines_since_ns;
};

/* ---- what it says ---- */

static void say(struct child *child)
{
	int64_t now = clock_now();

	if (now - child->lines_since_ns > LOG_LIMITED_S * NS_PER_S) {
		child->lines_since_ns = now;
		child->lines = 0;
	}
	if (child->lines++ < LINES_MOST)
		log_info("%s: %s", child->program, child->line);
}

static void end_line(struct child *child)
{
	child->line[child->line_len] = '\0';
	if (child->line_len) {
		memcpy(child->reason, child->line, child->line_len + 1);
		say(child);
	}
	child->line_len = 0;
}

/* Foreign bytes on their way to a log: control characters don't get there. */
static void hear(struct child *child, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n' || c == '\r')
			end_line(child);
		else if (child->line_len < LINE_BYTES - 1)
			child->line[child->line_len++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
}

static void drain_errors(struct child *child)
{
	char text[1024];
	ssize_t n;

	if (child->err < 0)
		return;
	while ((n = read(child->err, text, sizeof(text))) > 0)
		hear(child, text, (size_t)n);
	if (!n)
		io_close(&child->err);
}

/* What ssh ends with though trying again would not help. */
static int final_error(const struct child *child)
{
	static const struct {
		const char *text;
		int error;
	} finals[] = {
		{ "Permission denied (", -EACCES },
		{ "Host key verification failed", -EACCES },
		{ "Too many authentication failures", -EACCES },
		{ "Name or service not known", -ENOENT },
		{ "Bad configuration option", -EINVAL },
	};
	size_t i;

	for (i = 0; i < sizeof(finals) / sizeof(finals[0]); i++)
		if (strstr(child->reason, finals[i].text))
			return finals[i].error;
	return 0;
}

/* ---- the channel ---- */

/* Its last words may come a moment after the end of file: it is given that moment. */
static int ended(struct child *child)
{
	struct pollfd fd = { .fd = child->err, .events = POLLIN };
	int64_t end = clock_now() + END_MS * NS_PER_MS, left;

	drain_errors(child);
	while (child->err >= 0 && (left = end - clock_now()) > 0) {
		fd.fd = child->err;
		if (poll(&fd, 1, (int)(left / NS_PER_MS) + 1) <= 0)
			break;
		drain_errors(child);
	}
	end_line(child);
	return final_error(child);
}

static ssize_t child_read(struct channel *channel, void *data, size_t len)
{
	struct child *child = container_of(channel, struct child, channel);
	ssize_t n;

	do
		n = read(child->fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && errno == ECONNRESET)	/* its end, with bytes of ours that it never read */
		n = 0;
	if (n < 0 && errno == EAGAIN) {
		drain_errors(child);
		return -EAGAIN;
	}
	if (n < 0)
		return -errno;
	if (!child->error)
		child->error = ended(child);
	return child->error;
}

static ssize_t child_write(struct channel *channel, const void *data, size_t len)
{
	struct child *child = container_of(channel, struct child, channel);
	ssize_t n;

	do
		n = write(child->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int child_poll_fds(struct channel *channel, bool want_write, struct pollfd fds[CHANNEL_MAX_FDS])
{
	struct child *child = container_of(channel, struct child, channel);
	int n = 0;

	fds[n++] = (struct pollfd){ .fd = child->fd, .events = (short)(want_write ? POLLIN | POLLOUT : POLLIN) };
	if (child->err >= 0)
		fds[n++] = (struct pollfd){ .fd = child->err, .events = POLLIN };
	return n;
}

static const char *child_reason(struct channel *channel)
{
	struct child *child = container_of(channel, struct child, channel);

	drain_errors(child);
	return child->reason;
}

/* ---- its end ---- */

static bool reaped(const struct child *child)
{
	return waitpid(child->pid, NULL, WNOHANG) != 0;
}

static bool reaped_within(struct child *child, int pidfd, int ms)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0)
		poll(&fd, 1, ms);
	return reaped(child);
}

/* It ends at end of file, else by SIGTERM, else by SIGKILL. One that even then does not (its disk hangs) is left behind. */
static void end_child(struct child *child)
{
	int pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);

	if (!reaped_within(child, pidfd, END_MS)) {
		kill(child->pid, SIGTERM);
		if (!reaped_within(child, pidfd, END_MS)) {
			kill(child->pid, SIGKILL);
			if (!reaped_within(child, pidfd, END_MS))
				log_warn("%s (process %d) does not end", child->program, (int)child->pid);
		}
	}
	io_close(&pidfd);
}

static void child_free(struct channel *channel)
{
	struct child *child = container_of(channel, struct child, channel);

	io_close(&child->fd);
	if (child->pid > 0)
		end_child(child);
	drain_errors(child);
	io_close(&child->err);
	free(child);
}

static const struct channel_ops child_ops = {
	.read = child_read,
	.write = child_write,
	.poll_fds = child_poll_fds,
	.reason = child_reason,
	.free = child_free,
};

/* ---- its beginning ---- */

struct pipes {
	int main[2];	/* a socket pair: ours, the child's */
	int err[2];
	int exec[2];	/* exec's errno comes through; closed by a good exec */
};

/* Both ends above 2, so that none is in the way of the child's own three. */
static int lift(int ends[2])
{
	int i;

	for (i = 0; i < 2; i++) {
		int high = ends[i] > 2 ? ends[i] : fcntl(ends[i], F_DUPFD_CLOEXEC, 3);

		if (high < 0)
			return -errno;
		if (high != ends[i])
			close(ends[i]);
		ends[i] = high;
	}
	return 0;
}

static void close_pipes(struct pipes *pipes)
{
	int *ends = (int *)pipes, i;

	for (i = 0; i < (int)(sizeof(*pipes) / sizeof(int)); i++)
		io_close(&ends[i]);
}

static int make_pipe(int ends[2])
{
	return pipe2(ends, O_CLOEXEC) ? -errno : lift(ends);
}

/* More than wmem_max needs a privilege; without it the kernel gives what it allows. */
static int make_socket_pair(int ends[2])
{
	int bytes = SOCKET_BYTES, i;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	for (i = 0; i < 2; i++)
		if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
			setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return lift(ends);
}

static int make_pipes(struct pipes *pipes)
{
	int error;

	memset(pipes, -1, sizeof(*pipes));
	error = make_socket_pair(pipes->main);
	if (!error)
		error = make_pipe(pipes->err);
	if (!error)
		error = make_pipe(pipes->exec);
	if (error)
		close_pipes(pipes);
	return error;
}

/* In the child: only what is safe between fork and exec. */
static void become(const struct pipes *pipes, char *const *argv)
{
	static const int ignored[] = { SIGINT, SIGQUIT, SIGHUP };
	sigset_t none;
	size_t i;
	int error;

	signal(SIGPIPE, SIG_DFL);
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(pipes->main[1], 0) >= 0 && dup2(pipes->main[1], 1) >= 0 && dup2(pipes->err[1], 2) >= 0)
		execvp(argv[0], argv);
	error = errno;
	if (write(pipes->exec[1], &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static void explain(int error, const char *program, struct buf *why)
{
	const char *slash = strrchr(program, '/');
	const char *base = slash ? slash + 1 : program;

	buf_addf(why, "starting %s: %s", program, log_strerror(error));
	if (error != -ENOENT)
		return;
	if (!strcmp(base, "sftp-server"))
		buf_adds(why, ": install the package openssh-sftp-server");
	else if (!strcmp(base, "ssh"))
		buf_adds(why, ": install the package openssh-client");
}

static int spawn(struct child *child, struct pipes *pipes, char *const *argv)
{
	int error = 0;

	child->pid = fork();
	if (child->pid < 0)
		return -errno;
	if (!child->pid)
		become(pipes, argv);
	io_close(&pipes->main[1]);
	io_close(&pipes->err[1]);
	io_close(&pipes->exec[1]);
	if (io_read_full(pipes->exec[0], &error, sizeof(error)) != sizeof(error))
		return 0;
	waitpid(child->pid, NULL, 0);
	return -error;
}

static void take_over(struct child *child, struct pipes *pipes)
{
	child->fd = pipes->main[0];
	child->err = pipes->err[0];
	pipes->main[0] = pipes->err[0] = -1;
	io_set_nonblock(child->fd, true);
	io_set_nonblock(child->err, true);
}

static int pipe_open(struct channel_maker *maker, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel, struct buf *why)
{
	char *const *argv = container_of(maker, struct pipe_maker, maker)->argv;
	struct child *child = calloc(1, sizeof(*child));
	struct pipes pipes;
	int error;

	(void)deadline_ns;	/* a program starts at once; what it then says is awaited by the engine */
	(void)cancel_fd;
	error = child ? make_pipes(&pipes) : -ENOMEM;
	if (error) {
		free(child);
		buf_addf(why, "starting %s: %s", argv[0], log_strerror(error));
		return error;
	}
	child->channel.ops = &child_ops;
	child->program = argv[0];
	error = spawn(child, &pipes, argv);
	if (error) {
		explain(error, argv[0], why);
		free(child);
	} else {
		take_over(child, &pipes);
		*ret_channel = &child->channel;
	}
	close_pipes(&pipes);
	return error;
}

void pipe_maker_init(struct pipe_maker *maker, char *const *argv)
{
	maker->maker.open = pipe_open;
	maker->maker.spoke = NULL;
	maker->argv = argv;
}
