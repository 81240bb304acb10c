/*
 * remote: see remote.h. A directory of this machine is served by OpenSSH's sftp-server as a child; a host through SSH.
 */
#include "remote.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sftp/ssh.h"

#define REMOTE_MAX_PASSWORD 1024

struct remote {
	struct channel_maker *maker;	/* one of the two below */
	struct pipe_maker pipe;
	char *argv[2];
	struct ssh_maker *ssh;
};

static const char *const local_servers[] = {
	"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server",
	"/usr/lib/misc/sftp-server", NULL
};

void remote_free(struct remote *remote)
{
	if (!remote)
		return;
	ssh_maker_free(remote->ssh);
	free(remote->argv[0]);
	free(remote);
}

static int find_local_server(const struct options *options, const char **ret_path, struct buf *why)
{
	unsigned int i;

	if (options->sftp_server) {
		*ret_path = options->sftp_server;
		if (!access(options->sftp_server, X_OK))
			return 0;
		buf_addf(why, "-o sftp_server=%s: %s", options->sftp_server, log_strerror(-errno));
		return -ENOENT;
	}
	for (i = 0; local_servers[i]; i++)
		if (!access(local_servers[i], X_OK)) {
			*ret_path = local_servers[i];
			return 0;
		}
	buf_adds(why, "no sftp-server found to serve a local directory: install the package openssh-sftp-server, or say where it is with "
		"-o sftp_server=PATH");
	return -ENOENT;
}

static int local_words(struct remote *remote, const struct options *options, struct buf *why)
{
	const char *server;
	int error = find_local_server(options, &server, why);

	if (error)
		return error;
	remote->argv[0] = strdup(server);
	return remote->argv[0] ? 0 : -ENOMEM;
}

static int local_maker(struct remote *remote, const struct options *options, struct buf *why)
{
	int error = local_words(remote, options, why);

	if (error)
		return error;
	pipe_maker_init(&remote->pipe, remote->argv);
	remote->maker = &remote->pipe.maker;
	return 0;
}

/* -o password_stdin: the first line. */
static int read_password(char password[REMOTE_MAX_PASSWORD], struct buf *why)
{
	if (!fgets(password, REMOTE_MAX_PASSWORD, stdin)) {
		buf_adds(why, "-o password_stdin: there is no password on standard input");
		return -EINVAL;
	}
	password[strcspn(password, "\r\n")] = '\0';
	return 0;
}

static int ssh_maker(struct remote *remote, const struct options *options, struct buf *why)
{
	char password[REMOTE_MAX_PASSWORD] = "";
	struct ssh_options ssh_options = {
		.host = options->host, .config_file = options->ssh_config, .ssh_args = options->ssh_options,
		.ssh_command = options->ssh_command, .sftp_server = options->sftp_server, .direct_port = (int)options->directport, .ask = true,
	};
	int error = 0;

	if (options->password_stdin) {
		error = read_password(password, why);
		ssh_options.password = password;
	}
	if (!error)
		error = ssh_maker_new(&ssh_options, &remote->ssh, why);
	if (!error)
		remote->maker = ssh_maker_channel(remote->ssh);
	explicit_bzero(password, sizeof(password));
	return error;
}

int remote_new(const struct options *options, struct remote **ret_remote, struct buf *why)
{
	struct remote *remote = calloc(1, sizeof(*remote));
	int error;

	if (!remote)
		return -ENOMEM;
	error = options->host ? ssh_maker(remote, options, why) : local_maker(remote, options, why);
	if (error) {
		remote_free(remote);
		return error;
	}
	*ret_remote = remote;
	return 0;
}

struct channel_maker *remote_maker(struct remote *remote)
{
	return remote->maker;
}

struct channel_maker *remote_data_maker(struct remote *remote)
{
	return remote->ssh ? ssh_maker_data(remote->ssh) : remote->maker;
}

int64_t remote_alive_ns(const struct remote *remote)
{
	return remote->ssh ? ssh_maker_alive_ns(remote->ssh) : 0;
}

void remote_tell(const struct options *options, struct remote *remote)
{
	const char *reason = remote->ssh ? ssh_maker_fallback(remote->ssh) : NULL;

	if (reason)
		log_info("%s: using the ssh program: %s", options->host, reason);
}

void remote_detach(struct remote *remote)
{
	if (remote->ssh)
		ssh_maker_detach(remote->ssh);
}

/* ---- once connected ---- */

static int look(struct sftp *sftp, const char *path, struct sftp_reply *ret_reply, struct buf *text)
{
	struct sftp_wait *wait = sftp_wait_new();
	int error;

	if (!wait)
		return -ENOMEM;
	error = text ? sftp_realpath(sftp, SFTP_CONTROL, path, sftp_wait_done, wait) : sftp_stat(sftp, SFTP_CONTROL, path, sftp_wait_done, wait);
	if (!error)
		error = sftp_wait_for(wait, ret_reply, text);
	sftp_wait_free(wait);
	return error;
}

/* A directory of this machine is named relative to where one stands; the server child may stand elsewhere. */
static int local_root(const char *dir, struct buf *ret_path)
{
	char *path = realpath(dir, NULL);

	if (!path)
		return -errno;
	buf_adds(ret_path, path);
	free(path);
	return buf_error(ret_path);
}

int remote_root(const struct options *options, struct sftp *sftp, struct buf *ret_path, struct buf *why)
{
	struct sftp_reply reply = { 0 };
	int error;

	error = options->host ? look(sftp, options->dir, &reply, ret_path) : local_root(options->dir, ret_path);
	if (!error)
		error = look(sftp, buf_text(ret_path), &reply, NULL);
	if (!error && !S_ISDIR(reply.attrs.mode))
		error = -ENOTDIR;
	if (!error)
		return 0;
	if (error == -ENOENT || error == -EREMOTEIO)
		buf_adds(why, "no such directory");
	else if (error == -ENOTDIR)
		buf_adds(why, "not a directory");
	else
		buf_addf(why, "cannot look at the directory: %s", log_strerror(error));
	return error;
}

int remote_user(struct sftp *sftp, uint32_t *ret_uid, uint32_t *ret_gid)
{
	struct sftp_reply reply = { 0 };
	int error = look(sftp, ".", &reply, NULL);

	if (error)
		return error;
	*ret_uid = reply.attrs.uid;
	*ret_gid = reply.attrs.gid;
	return 0;
}
