/*
 * pipe: a byte pipe between a client and a server, which delays, limits, stalls, cuts and flips what goes through it.
 *
 *   pipe --listen PORT|unix:PATH --to HOST:PORT|unix:PATH --control PATH [--delay TIME] [--rate BYTES]
 *   pipe --ask PATH COMMAND...
 *
 * The first says "ready PORT" on standard output (PORT as chosen by the kernel when 0 was asked for) and serves until killed. The second sends
 * one command and prints its answer, "ok ..." or "error ..."; exit status 0 only for ok. WAY is up (client to server), down, or both when
 * left out:
 *
 *   delay [WAY] TIME            every byte comes out TIME after it went in (0: at once), at any throughput
 *   rate [WAY] BYTES            at most that many bytes a second (0: no limit); up to 200 ms of bytes queue before the sender is held
 *   stall [WAY]                 forward nothing and read nothing, as if the network were gone
 *   resume [WAY]
 *   cut [WAY] BYTES [rst|fin]   the connection that carries the BYTES-th byte from now ends right after it, once
 *   cut now [rst|fin]           end all connections
 *   flip [WAY] BYTES            invert the byte that comes after BYTES more, once
 *   refuse TIME                 nobody listens for so long (0: listen again now)
 *   stats                       ok up=BYTES down=BYTES open=N accepted=N cut=N flipped=N
 */
#include "tests/fault/pipe.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/args.h"
#include "base/conf.h"
#include "base/io.h"
#include "base/log.h"

#define RELISTEN_NS (20 * NS_PER_MS)

/* ---- addresses ---- */

static int address_unix(const char *path, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_un *address = (struct sockaddr_un *)ret;

	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(ret, 0, sizeof(*ret));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, strlen(path) + 1);
	*ret_len = sizeof(*address);
	return 0;
}

/* unix:PATH, HOST:PORT, or PORT (on loopback). */
static int address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
	const char *colon = strrchr(text, ':');
	char host[256] = "127.0.0.1";

	if (!strncmp(text, "unix:", 5))
		return address_unix(text + 5, ret, ret_len);
	if (colon)
		snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (getaddrinfo(host, colon ? colon + 1 : text, &hints, &found))
		return -EINVAL;
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int socket_listen(struct sockaddr_storage *address, socklen_t *len)
{
	int fd = socket_new(address);

	if (fd < 0)
		return fd;
	if (address->ss_family == AF_UNIX)
		unlink(((struct sockaddr_un *)address)->sun_path);
	if (bind(fd, (struct sockaddr *)address, *len) || listen(fd, 128)) {
		int error = -errno;

		close(fd);
		return error;
	}
	if (address->ss_family != AF_UNIX)	/* keep the port that was chosen, for the next time */
		getsockname(fd, (struct sockaddr *)address, len);
	return fd;
}

/* ---- the loop ---- */

static int poll_add(struct pipe *pipe, int fd, short events)
{
	if (fd < 0 || !events)
		return -1;
	if (pipe->poll_count == pipe->poll_room) {
		size_t room = pipe->poll_room ? 2 * pipe->poll_room : 64;
		struct pollfd *polls = realloc(pipe->polls, room * sizeof(*polls));

		if (!polls)
			return -1;
		pipe->polls = polls;
		pipe->poll_room = room;
	}
	pipe->polls[pipe->poll_count] = (struct pollfd){ .fd = fd, .events = events };
	return (int)pipe->poll_count++;
}

/* Adds a connection's descriptors; the earliest time at which something of it is due goes to *wake. */
static void relay_poll(struct pipe *pipe, struct relay *relay, int64_t now, int64_t *wake)
{
	short events[WAYS] = { 0, 0 };

	for (int way = 0; way < WAYS && !relay->connecting; way++) {
		const struct rule *rule = &pipe->rule[way];
		const struct lane *lane = &relay->lane[way];
		int64_t due = INT64_MAX;

		if (lane_room(lane, rule, now))
			events[way] |= POLLIN;
		else if (rule->rate && !rule->stalled && !lane->ended)
			due = lane->free_ns - RATE_QUEUE_NS;
		if (lane->blocked)
			events[!way] |= POLLOUT;
		else if (!list_empty(&lane->chunks) && !rule->stalled &&
			 list_entry(lane->chunks.next, struct chunk, link)->due_ns < due)
			due = list_entry(lane->chunks.next, struct chunk, link)->due_ns;
		if (due < *wake)
			*wake = due;
	}
	if (relay->connecting)
		events[DOWN] = POLLOUT;
	for (int way = 0; way < WAYS; way++)
		relay->slot[way] = poll_add(pipe, relay->fd[way], events[way]);
}

static void pipe_wait(struct pipe *pipe, int *ret_listen_slot, int *ret_control_slot)
{
	int64_t now = clock_now(), wake = INT64_MAX;
	struct timespec timeout;
	struct list *entry;

	pipe->poll_count = 0;
	*ret_listen_slot = poll_add(pipe, pipe->listen_fd, POLLIN);
	*ret_control_slot = poll_add(pipe, pipe->control_fd, POLLIN);
	if (pipe->listen_fd < 0)
		wake = pipe->relisten_ns;
	list_for_each(entry, &pipe->controls) {
		struct control *control = list_entry(entry, struct control, link);

		control->slot = poll_add(pipe, control->fd, POLLIN);
	}
	list_for_each(entry, &pipe->relays)
		relay_poll(pipe, list_entry(entry, struct relay, link), now, &wake);
	timeout = clock_timespec(wake > now ? wake - now : 0);
	if (ppoll(pipe->polls, pipe->poll_count, wake == INT64_MAX ? NULL : &timeout, NULL) < 0)
		for (size_t i = 0; i < pipe->poll_count; i++)
			pipe->polls[i].revents = 0;
}

static bool pipe_ready(const struct pipe *pipe, int slot)
{
	return slot >= 0 && pipe->polls[slot].revents;
}

static void pipe_relisten(struct pipe *pipe)
{
	int fd;

	if (pipe->listen_fd >= 0 || clock_now() < pipe->relisten_ns)
		return;
	fd = socket_listen(&pipe->listen_address, &pipe->listen_len);
	if (fd >= 0)
		pipe->listen_fd = fd;
	else
		pipe->relisten_ns = clock_now() + RELISTEN_NS;
}

static void pipe_accept(struct pipe *pipe, int listen_fd, int (*take)(struct pipe *pipe, int fd))
{
	int fd;

	while (listen_fd >= 0 && (fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		pipe->accepted += take == relay_new;
		if (take(pipe, fd))
			close(fd);
	}
}

static void pipe_run(struct pipe *pipe)
{
	struct list *entry, *next;
	int listen_slot, control_slot;
	int64_t now;

	for (;;) {
		pipe_wait(pipe, &listen_slot, &control_slot);
		now = clock_now();
		list_for_each_safe(entry, next, &pipe->relays)
			relay_service(pipe, list_entry(entry, struct relay, link), now);
		list_for_each_safe(entry, next, &pipe->controls) {
			struct control *control = list_entry(entry, struct control, link);

			if (pipe_ready(pipe, control->slot))
				control_service(pipe, control);
		}
		if (pipe_ready(pipe, control_slot))
			pipe_accept(pipe, pipe->control_fd, control_new);
		if (pipe_ready(pipe, listen_slot))
			pipe_accept(pipe, pipe->listen_fd, relay_new);
		pipe_relisten(pipe);
	}
}

/* ---- command line ---- */

struct options {
	const char *listen;
	const char *to;
	const char *control;
	const char *ask;
	int64_t delay_ns;
	int64_t rate;
	bool help;
};

enum { OPTION_LISTEN = 256, OPTION_TO, OPTION_CONTROL, OPTION_ASK, OPTION_DELAY, OPTION_RATE };

static const struct args_option option_table[] = {
	{ OPTION_LISTEN, "listen", "PORT|unix:PATH", "where clients connect; port 0: any" },
	{ OPTION_TO, "to", "HOST:PORT|unix:PATH", "the server" },
	{ OPTION_CONTROL, "control", "PATH", "a socket to make, for commands" },
	{ OPTION_DELAY, "delay", "TIME", "delay both ways from the start" },
	{ OPTION_RATE, "rate", "BYTES", "limit both ways from the start" },
	{ OPTION_ASK, "ask", "PATH", "send the command that follows to that socket, and print its answer" },
	{ 'h', "help", NULL, "this" },
	{ 0, NULL, NULL, NULL },
};

static int option_set(void *target, int key, const char *value, struct buf *why)
{
	struct options *options = target;

	(void)why;
	switch (key) {
	case OPTION_LISTEN: options->listen = value; return 0;
	case OPTION_TO: options->to = value; return 0;
	case OPTION_CONTROL: options->control = value; return 0;
	case OPTION_ASK: options->ask = value; return 0;
	case OPTION_DELAY: return conf_parse_duration(value, &options->delay_ns);
	case OPTION_RATE: return conf_parse_size(value, &options->rate);
	default: options->help = true; return 0;
	}
}

/* Sends the words as one line and prints the line that answers. */
static int ask(const char *path, char **words)
{
	struct sockaddr_storage address;
	struct buf line = BUF_INIT;
	socklen_t len;
	char answer[1024];
	ssize_t got;
	int fd;

	for (; *words; words++)
		buf_addf(&line, "%s%c", *words, words[1] ? ' ' : '\n');
	if (address_unix(path, &address, &len))
		return 1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, len) || io_write_all(fd, line.data, line.len)) {
		log_error("%s: %s", path, log_strerror(errno));
		return 1;
	}
	buf_release(&line);
	shutdown(fd, SHUT_WR);
	got = io_read_full(fd, answer, sizeof(answer) - 1);
	close(fd);
	answer[got > 0 ? got : 0] = '\0';
	fputs(answer, stdout);
	return strncmp(answer, "ok", 2) != 0;
}

static int start(struct pipe *pipe, const struct options *options)
{
	struct sockaddr_storage control;
	socklen_t control_len;

	if (address_parse(options->listen, &pipe->listen_address, &pipe->listen_len) ||
	    address_parse(options->to, &pipe->to_address, &pipe->to_len) ||
	    address_unix(options->control, &control, &control_len)) {
		log_error("no address that can be used");
		return -EINVAL;
	}
	pipe->listen_fd = socket_listen(&pipe->listen_address, &pipe->listen_len);
	pipe->control_fd = socket_listen(&control, &control_len);
	if (pipe->listen_fd < 0 || pipe->control_fd < 0) {
		log_error("listening: %s", log_strerror(pipe->listen_fd < 0 ? pipe->listen_fd : pipe->control_fd));
		return -EADDRINUSE;
	}
	for (int way = 0; way < WAYS; way++)
		pipe->rule[way] = (struct rule){ options->delay_ns, options->rate, false, -1, false, -1, 0 };
	list_init(&pipe->relays);
	list_init(&pipe->controls);
	if (pipe->listen_address.ss_family == AF_INET)
		printf("ready %d\n", ntohs(((struct sockaddr_in *)&pipe->listen_address)->sin_port));
	else
		puts("ready");
	return fflush(stdout);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct buf why = BUF_INIT;
	struct pipe pipe = { 0 };
	int first;

	log_open("pipe", LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	if (args_parse(argc, argv, option_table, option_set, &options, &first, &why)) {
		log_error("%s", buf_text(&why));
		return 2;
	}
	if (options.help) {
		args_print_options(stdout, option_table);
		return 0;
	}
	if (options.ask && argv[first])
		return ask(options.ask, argv + first);
	if (!options.listen || !options.to || !options.control || argv[first]) {
		log_error("--listen, --to and --control are needed, or --ask and a command");
		return 2;
	}
	if (start(&pipe, &options))
		return 1;
	pipe_run(&pipe);
	return 0;
}
