/*
 * ssh: the choice between plain TCP, libssh2 and a child.
 */
#include "sftp/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/list.h"
#include "base/log.h"
#include "sftp/channel_ssh2.h"
#include "sftp/ssh_child.h"
#include "sftp/ssh_tcp.h"

struct ssh_maker {
	struct channel_maker maker;
	char *host;
	char *config_file;
	char **ssh_args;
	char *sftp_server;
	char *direct_host;
	int direct_port;
	int tty_fd;
	bool password_given;		/* -o password_stdin */
	bool has_ssh2;			/* channel_ssh2_init was called */
	struct sshconf_query query;	/* points into the fields above */
	struct sshconf conf;
	struct ssh_login *login;
	struct buf accept_command;
	char **argv_asking;		/* the child's, while somebody can be asked */
	char **argv_batch;		/* and when not */
	char **argv_data;		/* and for data alone */
	struct pipe_maker asking;
	struct pipe_maker batch;
	struct pipe_maker data_pipe;
	struct channel_maker data;

	pthread_mutex_t lock;
	bool use_child;			/* guarded by lock */
	struct buf fallback;		/* why; guarded by lock until use_child is set, then fixed */
	enum { DATA_UNTRIED, DATA_WORKS, DATA_FAILED } data_state;	/* of the data child; guarded by lock */
	bool detached;			/* guarded by lock */
	bool ssh2_works;		/* guarded by lock: libssh2 has connected before */
};

/* The step to the child. The first reason stays. */
static void fall_back_locked(struct ssh_maker *maker, const char *reason)
{
	if (maker->use_child)
		return;
	maker->use_child = true;
	buf_adds(&maker->fallback, reason);
}

/* ---- the ways ---- */

static int open_direct(struct ssh_maker *maker, const struct ssh_limit *limit, struct channel **ret_channel, struct buf *why)
{
	struct ssh_tcp_target target = { .host = maker->direct_host, .port = maker->direct_port, .tos = -1, .keepalive = true };
	struct channel *channel;
	int fd = -1;
	int error = ssh_tcp_connect(&target, limit, &fd, why);

	if (error)
		return error;
	channel = channel_from_fd(fd);
	if (!channel) {
		io_close(&fd);
		buf_adds(why, "out of memory while connecting");
		return -ENOMEM;
	}
	*ret_channel = channel;
	return 0;
}

static int open_child(struct ssh_maker *maker, const struct ssh_limit *limit, struct channel **ret_channel, struct buf *why)
{
	struct pipe_maker *pipe;
	bool batch;

	pthread_mutex_lock(&maker->lock);
	batch = maker->detached || maker->tty_fd < 0;
	pthread_mutex_unlock(&maker->lock);
	if (batch && getenv("SSH_ASKPASS") && !maker->conf.batchmode)
		batch = false;
	pipe = batch ? &maker->batch : &maker->asking;
	return pipe->maker.open(&pipe->maker, limit->deadline_ns, limit->cancel_fd, ret_channel, why);
}

/* The password cannot be given to a child: it would ask a terminal that may not be there. */
static int refuse_password(const struct ssh_maker *maker, const char *reason, struct buf *why)
{
	buf_addf(why, "-o password_stdin: %s needs the ssh program (%s), which asks for itself: use a key, or SSH_ASKPASS (see ssh(1))",
		 maker->host, reason);
	return -EINVAL;
}

static int open_ssh2(struct ssh_maker *maker, const struct ssh_limit *limit, struct channel **ret_channel, struct buf *why)
{
	struct ssh2_target target = {
		.conf = &maker->conf, .login = maker->login, .sftp_server = maker->sftp_server,
		.accept_command = buf_text(&maker->accept_command),
	};
	int error = channel_ssh2_open(&target, limit->deadline_ns, limit->cancel_fd, ret_channel, why);

	pthread_mutex_lock(&maker->lock);
	if (!error)
		maker->ssh2_works = true;
	else if (error == -EOPNOTSUPP && !maker->ssh2_works)	/* what worked before isn't beyond libssh2: no step for good */
		fall_back_locked(maker, buf_text(why));
	pthread_mutex_unlock(&maker->lock);
	if (error != -EOPNOTSUPP)
		return error;
	if (maker->password_given) {
		struct buf reason = *why;

		buf_init(why);
		error = refuse_password(maker, buf_text(&reason), why);
		buf_release(&reason);
		return error;
	}
	log_info("%s: using the ssh program: %s", maker->host, buf_text(why));
	buf_reset(why);
	return open_child(maker, limit, ret_channel, why);
}

static int ssh_open(struct channel_maker *channel_maker, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel,
		    struct buf *why)
{
	struct ssh_maker *maker = container_of(channel_maker, struct ssh_maker, maker);
	struct ssh_limit limit = { .deadline_ns = deadline_ns, .cancel_fd = cancel_fd };
	bool use_child;

	if (maker->direct_port)
		return open_direct(maker, &limit, ret_channel, why);
	pthread_mutex_lock(&maker->lock);
	use_child = maker->use_child;
	pthread_mutex_unlock(&maker->lock);
	return use_child ? open_child(maker, &limit, ret_channel, why) : open_ssh2(maker, &limit, ret_channel, why);
}

/* ---- data ---- */

static bool data_by_child(struct ssh_maker *maker)
{
	bool yes;

	pthread_mutex_lock(&maker->lock);
	yes = maker->argv_data && !maker->use_child && maker->data_state != DATA_FAILED;
	pthread_mutex_unlock(&maker->lock);
	return yes;
}

static bool data_spoke(struct channel_maker *channel_maker, bool spoke)
{
	struct ssh_maker *maker = container_of(channel_maker, struct ssh_maker, data);
	bool other_way = false;

	pthread_mutex_lock(&maker->lock);
	if (maker->data_state == DATA_UNTRIED) {
		maker->data_state = spoke ? DATA_WORKS : DATA_FAILED;
		other_way = !spoke;
		if (!spoke)
			log_info("%s: the ssh program cannot log in by itself, so data goes through libssh2 too", maker->host);
	} else if (maker->data_state == DATA_FAILED) {
		other_way = !spoke;
	}
	pthread_mutex_unlock(&maker->lock);
	return other_way;
}

static int data_open(struct channel_maker *channel_maker, int64_t deadline_ns, int cancel_fd, struct channel **ret_channel,
		     struct buf *why)
{
	struct ssh_maker *maker = container_of(channel_maker, struct ssh_maker, data);

	if (data_by_child(maker)) {
		if (!maker->data_pipe.maker.open(&maker->data_pipe.maker, deadline_ns, cancel_fd, ret_channel, why))
			return 0;
		buf_reset(why);
		data_spoke(channel_maker, false);
	}
	return ssh_open(&maker->maker, deadline_ns, cancel_fd, ret_channel, why);
}

struct channel_maker *ssh_maker_data(struct ssh_maker *maker)
{
	return &maker->data;
}

/* ---- making ---- */

static int copy_string(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* [user@]host, without the brackets of an IPv6 address, which ssh doesn't take. */
static int copy_host(const char *spec, char **to)
{
	const char *at = strrchr(spec, '@');
	char *host = sshconf_host_of(spec);
	struct buf text = BUF_INIT;

	if (!host)
		return -ENOMEM;
	if (at)
		buf_add(&text, spec, (size_t)(at + 1 - spec));
	buf_adds(&text, host);
	free(host);
	*to = buf_error(&text) ? NULL : buf_detach(&text);
	buf_release(&text);
	return *to ? 0 : -ENOMEM;
}

static int copy_options(struct ssh_maker *maker, const struct ssh_options *options)
{
	int error = copy_host(options->host, &maker->host);

	if (!error)
		error = copy_string(options->config_file, &maker->config_file);
	if (!error)
		error = copy_string(options->sftp_server ? options->sftp_server : "sftp", &maker->sftp_server);
	if (!error)
		error = sshconf_strings_add(&maker->ssh_args, NULL, 0);
	for (size_t i = 0; !error && options->ssh_args && options->ssh_args[i]; i++)
		error = sshconf_strings_add(&maker->ssh_args, options->ssh_args[i], strlen(options->ssh_args[i]));
	maker->direct_port = options->direct_port;
	maker->query = (struct sshconf_query){
		.host = maker->host, .port = options->port, .config_file = maker->config_file, .ssh_args = maker->ssh_args,
	};
	return error;
}

static int make_child(struct ssh_maker *maker, const char *command, struct buf *why)
{
	struct ssh_child_words words = {
		.command = command, .conf = command ? NULL : &maker->conf, .query = &maker->query, .sftp_server = maker->sftp_server,
	};
	int error = ssh_child_argv(&words, &maker->argv_asking, why);

	words.batch = true;
	if (!error)
		error = ssh_child_argv(&words, &maker->argv_batch, why);
	if (error)
		return error;
	pipe_maker_init(&maker->asking, maker->argv_asking);
	pipe_maker_init(&maker->batch, maker->argv_batch);
	return 0;
}

/* AES-GCM first, unless the user has an order of his own. */
static int make_data_child(struct ssh_maker *maker, struct buf *why)
{
	static const char own_order[] = "chacha20-poly1305@openssh.com,";	/* how OpenSSH's begins */
	struct ssh_child_words words = {
		.conf = &maker->conf, .query = &maker->query, .sftp_server = maker->sftp_server, .batch = true, .own_connection = true,
	};
	int error;

	if (!maker->conf.ciphers || !strncmp(maker->conf.ciphers, own_order, strlen(own_order)))
		words.cipher = "aes128-gcm@openssh.com";
	error = ssh_child_argv(&words, &maker->argv_data, why);
	if (!error)
		pipe_maker_init(&maker->data_pipe, maker->argv_data);
	return error;
}

static int make_ssh2(struct ssh_maker *maker, const char *password, struct buf *why)
{
	struct buf reason = BUF_INIT;
	int error = sshconf_load(&maker->query, &maker->conf, why);

	if (error)
		return error;
	ssh_child_accept_command(&maker->query, &maker->accept_command);
	maker->login = ssh_login_new(maker->tty_fd, maker->conf.identityfiles, password);
	error = maker->login ? buf_error(&maker->accept_command) : -ENOMEM;
	if (!error)
		error = channel_ssh2_init();
	maker->has_ssh2 = !error;
	if (!error && maker->conf.batchmode)
		ssh_prompt_forbid(ssh_login_prompt(maker->login));
	if (!error && ssh_child_needed(&maker->conf, password, &reason)) {
		fall_back_locked(maker, buf_text(&reason));
		log_info("%s: using the ssh program: %s", maker->host, buf_text(&reason));
	}
	buf_release(&reason);
	return error;
}

static int check(const struct ssh_options *options, struct buf *why)
{
	if (options->direct_port < 0 || options->direct_port > 65535 || options->port < 0 || options->port > 65535) {
		buf_addf(why, "a port is a number from 1 to 65535");
		return -EINVAL;
	}
	if (options->password && options->ssh_command) {
		buf_adds(why, "-o password_stdin works without -o ssh_command only: a program of one's own asks for itself, "
			 "see SSH_ASKPASS in ssh(1)");
		return -EINVAL;
	}
	return sshconf_check_host(options->host, why);
}

int ssh_maker_new(const struct ssh_options *options, struct ssh_maker **ret_maker, struct buf *why)
{
	struct ssh_maker *maker;
	int error = check(options, why);

	if (error)
		return error;
	maker = calloc(1, sizeof(*maker));
	if (!maker)
		return -ENOMEM;
	maker->maker.open = ssh_open;
	maker->data.open = data_open;
	maker->data.spoke = data_spoke;
	pthread_mutex_init(&maker->lock, NULL);
	sshconf_init(&maker->conf);
	maker->password_given = options->password;
	maker->tty_fd = options->ask ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
	error = copy_options(maker, options);
	if (!error && options->direct_port) {
		maker->direct_host = sshconf_host_of(options->host);
		error = maker->direct_host ? 0 : -ENOMEM;
	} else if (!error) {
		maker->use_child = options->ssh_command;
		if (!options->ssh_command)
			error = make_ssh2(maker, options->password, why);
		if (!error)
			error = make_child(maker, options->ssh_command, why);
		if (!error && !maker->use_child && !options->password)
			error = make_data_child(maker, why);
		if (!error && options->password && maker->use_child)
			error = refuse_password(maker, buf_text(&maker->fallback), why);
	}
	if (error) {
		if (!why->len)
			buf_addf(why, "can't prepare the connection to %s: %s", options->host, log_strerror(error));
		ssh_maker_free(maker);
		return error;
	}
	*ret_maker = maker;
	return 0;
}

void ssh_maker_free(struct ssh_maker *maker)
{
	if (!maker)
		return;
	ssh_login_free(maker->login);
	if (maker->has_ssh2)
		channel_ssh2_exit();
	sshconf_release(&maker->conf);
	sshconf_strings_free(maker->argv_asking);
	sshconf_strings_free(maker->argv_batch);
	sshconf_strings_free(maker->argv_data);
	sshconf_strings_free(maker->ssh_args);
	buf_release(&maker->accept_command);
	buf_release(&maker->fallback);
	io_close(&maker->tty_fd);
	free(maker->direct_host);
	free(maker->sftp_server);
	free(maker->config_file);
	free(maker->host);
	pthread_mutex_destroy(&maker->lock);
	free(maker);
}

struct channel_maker *ssh_maker_channel(struct ssh_maker *maker)
{
	return &maker->maker;
}

const char *ssh_maker_fallback(struct ssh_maker *maker)
{
	const char *reason;

	pthread_mutex_lock(&maker->lock);
	reason = maker->fallback.len ? buf_text(&maker->fallback) : NULL;
	pthread_mutex_unlock(&maker->lock);
	return reason;
}

int64_t ssh_maker_alive_ns(const struct ssh_maker *maker)
{
	return maker->conf.serveraliveinterval * (int64_t)maker->conf.serveralivecountmax * NS_PER_S;
}

void ssh_maker_detach(struct ssh_maker *maker)
{
	pthread_mutex_lock(&maker->lock);
	maker->detached = true;
	pthread_mutex_unlock(&maker->lock);
	/* The descriptor stays open until the end: a question may be on it just now. */
	if (maker->login)
		ssh_prompt_detach(ssh_login_prompt(maker->login));
}
