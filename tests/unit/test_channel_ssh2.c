/*
 * test_channel_ssh2: the channel through libssh2 against real servers: bytes under rekeying and small buffers, its
 * end, where the ssh program takes over, time limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "tests/fake/ssh_fixture.h"

/* ---- data ---- */

static void carries_bytes(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	ssh_assert_opens(fixture);
	ssh_echo(fixture->channel, 1, 1);
	ssh_echo(fixture->channel, 3000000, 1000000);
	ssh_echo(fixture->channel, 300000, 7);
	fixture->channel->ops->keepalive(fixture->channel);
	ssh_echo(fixture->channel, 251 * 400, 40000);
}

static void carries_bytes_while_rekeying(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", "RekeyLimit 1M", NULL);
	ssh_assert_opens(fixture);
	ssh_echo(fixture->channel, 251 * 100000, 100000);
	assert_string_equal(fixture->channel->ops->reason(fixture->channel), "");
}

static void shrink_buffers(struct channel *channel)
{
	struct pollfd fds[CHANNEL_MAX_FDS];
	int small = 4096;
	int less = 65536;	/* below loopback's segments of 64 KiB the kernel waits for timers */

	channel->ops->poll_fds(channel, false, fds);
	assert_int_equal(setsockopt(fds[0].fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	assert_int_equal(setsockopt(fds[0].fd, SOL_SOCKET, SO_RCVBUF, &less, sizeof(less)), 0);
}

/* Partial packets all the time, window adjustments and key exchanges in between. */
static void carries_bytes_through_small_buffers(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", "RekeyLimit 1M", NULL);
	ssh_assert_opens(fixture);
	shrink_buffers(fixture->channel);
	ssh_echo(fixture->channel, 251 * 60000, 200000);
}

static void compresses(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, " Compression yes\n");
	ssh_assert_opens(fixture);
	ssh_echo(fixture->channel, 2510000, 100000);
}

/* All it says until its end. */
static void read_all(struct channel *channel, char *text, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while ((got = channel->ops->read(channel, text + len, size - 1 - len))) {
		if (got == -EAGAIN) {
			ssh_wait_for(channel, false);
			continue;
		}
		assert_true(got > 0);
		len += (size_t)got;
	}
	text[len] = '\0';
}

/* An environment that the server takes and one that it does not; and where one connects from, as a name. */
static void sets_environment(void **state)
{
	char text[64];

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", "AcceptEnv FS_GOOD", " SetEnv FS_BAD=1 \"FS_GOOD=two words\"\n BindAddress localhost\n AddressFamily inet\n");
	assert_int_equal(ssh_open_with(fixture, "/bin/echo \"$FS_BAD,$FS_GOOD\"", NULL, -1, 30), 0);
	read_all(fixture->channel, text, sizeof(text));
	assert_string_equal(text, ",two words\n");
}

/* SendEnv: what of one's own environment its patterns mean, and SetEnv wins. */
static void sends_environment(void **state)
{
	char text[64];

	SSH_NEEDS_SSHD(state);
	setenv("FS_ONE", "1 =", 1);
	setenv("FS_TWO", "2", 1);
	setenv("fs_one", "small", 1);
	ssh_start(fixture, "host_ed25519", "AcceptEnv FS_* fs_*", " SendEnv -L* FS_O?E NOTHING\n SendEnv FS_T*\n SetEnv FS_TWO=set\n");
	assert_int_equal(ssh_open_with(fixture, "/bin/echo \"$FS_ONE,$FS_TWO,$fs_one\"", NULL, -1, 30), 0);
	read_all(fixture->channel, text, sizeof(text));
	assert_string_equal(text, "1 =,set,\n");
	unsetenv("FS_ONE");
	unsetenv("FS_TWO");
	unsetenv("fs_one");
}

/* IPQoS: the second of its values, since there is no terminal; `none` leaves the system's. */
static void marks_packets(void **state)
{
	static const struct {
		const char *config;
		int tos;
	} cases[] = {
		{ " IPQoS af21 cs1\n", 0x20 }, { " IPQoS af43\n", 0x98 }, { " IPQoS lowdelay throughput\n", 0x08 }, { " IPQoS 0x1c\n", 0x1c },
		{ " IPQoS ef none\n", 0 },
	};

	SSH_NEEDS_SSHD(state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pollfd fds[CHANNEL_MAX_FDS];
		int tos = -1;
		socklen_t len = sizeof(tos);

		ssh_start(fixture, "host_ed25519", NULL, cases[i].config);
		ssh_assert_opens(fixture);
		fixture->channel->ops->poll_fds(fixture->channel, false, fds);
		assert_int_equal(getsockopt(fds[0].fd, IPPROTO_IP, IP_TOS, &tos, &len), 0);
		assert_int_equal(tos, cases[i].tos);
		sshd_stop(&fixture->sshd);
	}
}

static void tells_the_end(void **state)
{
	char byte;
	ssize_t got;

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	assert_int_equal(ssh_open_with(fixture, "/bin/echo last words >&2; /bin/true", NULL, -1, 30), 0);
	while ((got = fixture->channel->ops->read(fixture->channel, &byte, 1)) == -EAGAIN)
		ssh_wait_for(fixture->channel, false);
	assert_int_equal(got, 0);
	assert_non_null(strstr(fixture->channel->ops->reason(fixture->channel), "last words"));
}

static void tells_a_cut(void **state)
{
	struct pollfd fds[CHANNEL_MAX_FDS];
	char byte;
	ssize_t got;

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	ssh_assert_opens(fixture);
	fixture->channel->ops->poll_fds(fixture->channel, false, fds);
	shutdown(fds[0].fd, SHUT_RDWR);
	while ((got = fixture->channel->ops->read(fixture->channel, &byte, 1)) == -EAGAIN)
		;
	assert_true(got < 0);
	assert_int_equal(fixture->channel->ops->write(fixture->channel, "x", 1), got);
	assert_true(*fixture->channel->ops->reason(fixture->channel));
}

static void starts_the_subsystem(void **state)
{
	static const unsigned char init[] = { 0, 0, 0, 5, 1, 0, 0, 0, 3 };
	unsigned char answer[9];
	size_t got = 0;

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	assert_int_equal(ssh_open_with(fixture, NULL, NULL, -1, 30), 0);
	assert_int_equal(fixture->channel->ops->write(fixture->channel, init, sizeof(init)), sizeof(init));
	while (got < sizeof(answer)) {
		ssize_t n = fixture->channel->ops->read(fixture->channel, answer + got, sizeof(answer) - got);

		if (n == -EAGAIN)
			ssh_wait_for(fixture->channel, false);
		else if (n > 0)
			got += (size_t)n;
		else
			fail();
	}
	assert_int_equal(answer[4], 2);		/* SSH_FXP_VERSION */
	assert_int_equal(answer[8], 3);
	assert_int_equal(ssh_open_with(fixture, "nosuchsubsystem", NULL, -1, 30), -ENOENT);
	assert_non_null(strstr(buf_text(&fixture->why), "nosuchsubsystem"));
}

/* ---- where libssh2 isn't enough ---- */

static void assert_child_echoes(struct ssh_fixture *fixture)
{
	ssh_assert_echoes(fixture);
	assert_null(fixture->channel->ops->keepalive);	/* a pipe has none */
}

static void falls_back_to_ssh(void **state)
{
	SSH_NEEDS_SSHD(state);
	if (access("/usr/bin/ssh", X_OK))
		skip();
	/* AES-GCM only: libssh2 1.10 has none; newer ones do. */
	ssh_start(fixture, "host_ed25519", "Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com", NULL);
	ssh_assert_echoes(fixture);
	sshd_stop(&fixture->sshd);
	/* A host key of RSA only, with signatures by SHA-2 only. */
	ssh_start(fixture, "host_rsa", NULL, NULL);
	ssh_assert_echoes(fixture);
	sshd_stop(&fixture->sshd);
	ssh_start(fixture, "host_ed25519", NULL, " ProxyCommand socat - TCP:%h:%p\n");
	if (!access("/usr/bin/socat", X_OK))
		assert_child_echoes(fixture);
}

static void logs_in_by_certificate(void **state)
{
	SSH_NEEDS_SSHD(state);
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -s ca -I me -n $(id -un) user.pub && : >authorized_keys");
	{
		struct buf extra = BUF_INIT;

		buf_addf(&extra, "TrustedUserCAKeys %s/ca.pub", fixture->sshd.dir);
		ssh_start(fixture, "host_ed25519", buf_text(&extra), NULL);
		buf_release(&extra);
	}
	assert_child_echoes(fixture);
}

static void host_certificate(void **state)
{
	struct buf extra = BUF_INIT;

	SSH_NEEDS_SSHD(state);
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -s ca -I host -h -n 127.0.0.1 host_ed25519.pub");
	buf_addf(&extra, "HostCertificate %s/host_ed25519-cert.pub", fixture->sshd.dir);
	ssh_start(fixture, "host_ed25519", buf_text(&extra), " StrictHostKeyChecking yes\n");
	ssh_set_known(fixture, "@cert-authority [127.0.0.1]:%2$d %1$s", "ca");
	assert_child_echoes(fixture);
	buf_release(&extra);
}

/* ---- time and place ---- */

static int listen_silently(int *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void gives_up_in_time(void **state)
{
	struct ssh_fixture *fixture = *state;
	int port;
	int fd = listen_silently(&port);
	int64_t begun = clock_now();
	char config[128];
	int cancel;

	if (!sshd_installed())
		skip();
	snprintf(config, sizeof(config), "Host disk\nHostName 127.0.0.1\nPort %d\n", port);
	sshd_write(&fixture->sshd, "config", config);
	assert_int_equal(ssh_open_with(fixture, NULL, NULL, -1, 1), -ETIMEDOUT);
	assert_true(clock_now() - begun >= NS_PER_S && clock_now() - begun < 5 * NS_PER_S);
	cancel = io_wake_new();
	io_wake(cancel);
	assert_int_equal(ssh_open_with(fixture, NULL, NULL, cancel, 20), -ECANCELED);
	close(cancel);
	close(fd);
	assert_int_equal(ssh_open_with(fixture, NULL, NULL, -1, 20), -ECONNREFUSED);
	assert_non_null(strstr(buf_text(&fixture->why), "is sshd running"));
	snprintf(config, sizeof(config), "Host disk\nHostName 127.0.0.1\nPort %d\nConnectionAttempts 3\n", port);
	sshd_write(&fixture->sshd, "config", config);
	begun = clock_now();
	assert_int_equal(ssh_open_with(fixture, NULL, NULL, -1, 20), -ECONNREFUSED);
	assert_true(clock_now() - begun >= 2 * NS_PER_S);	/* a second between two */
	assert_int_equal(ssh_open_with(fixture, NULL, NULL, -1, 1), -ECONNREFUSED);
}

static void knows_no_such_host(void **state)
{
	struct ssh_fixture *fixture = *state;
	int error;

	if (!sshd_installed())
		skip();
	sshd_write(&fixture->sshd, "config", "Host disk\nHostName nosuchhost.invalid\n");
	error = ssh_open_with(fixture, NULL, NULL, -1, 20);
	assert_true(error == -ENOENT || error == -EAGAIN);	/* without a name server it can't be known */
	assert_non_null(strstr(buf_text(&fixture->why), "nosuchhost.invalid"));
}

/* Something that isn't SSH answers, and hangs up. */
static void not_ssh(void **state)
{
	struct ssh_fixture *fixture = *state;
	int port;
	int fd = listen_silently(&port);
	char config[128];
	pid_t pid;
	int error;

	if (!sshd_installed())
		skip();
	pid = fork();
	if (!pid) {
		int client = accept(fd, NULL, NULL);

		if (io_write_all(client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28))
			_exit(1);
		_exit(0);
	}
	close(fd);
	snprintf(config, sizeof(config), "Host disk\nHostName 127.0.0.1\nPort %d\n", port);
	sshd_write(&fixture->sshd, "config", config);
	error = ssh_open_with(fixture, NULL, NULL, -1, 20);
	assert_true(error < 0 && error != -EACCES && error != -EOPNOTSUPP);
	assert_true(fixture->why.len > 0);
	waitpid(pid, NULL, 0);
}

static void direct_port(void **state)
{
	struct ssh_fixture *fixture = *state;
	int port;
	int fd = listen_silently(&port);
	struct ssh_options options = { .host = "127.0.0.1", .direct_port = port };
	struct channel_maker *maker;

	assert_int_equal(ssh_maker_new(&options, &fixture->maker, &fixture->why), 0);
	maker = ssh_maker_channel(fixture->maker);
	assert_int_equal(maker->open(maker, ssh_in_seconds(10), -1, &fixture->channel, &fixture->why), 0);
	assert_int_equal(fixture->channel->ops->write(fixture->channel, "x", 1), 1);
	close(fd);
}

static void refuses_options(void **state)
{
	struct ssh_fixture *fixture = *state;
	struct ssh_options options = { .host = "-oProxyCommand=touch x" };

	assert_int_equal(ssh_maker_new(&options, &fixture->maker, &fixture->why), -EINVAL);
	options = (struct ssh_options){ .host = "h", .password = "p", .ssh_command = "ssh" };
	buf_reset(&fixture->why);
	assert_int_equal(ssh_maker_new(&options, &fixture->maker, &fixture->why), -EINVAL);
	assert_true(fixture->why.len > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SSH_TEST(carries_bytes),
		SSH_TEST(carries_bytes_while_rekeying),
		SSH_TEST(carries_bytes_through_small_buffers),
		SSH_TEST(compresses),
		SSH_TEST(sets_environment),
		SSH_TEST(sends_environment),
		SSH_TEST(marks_packets),
		SSH_TEST(tells_the_end),
		SSH_TEST(tells_a_cut),
		SSH_TEST(starts_the_subsystem),
		SSH_TEST(falls_back_to_ssh),
		SSH_TEST(logs_in_by_certificate),
		SSH_TEST(host_certificate),
		SSH_TEST(gives_up_in_time),
		SSH_TEST(knows_no_such_host),
		SSH_TEST(not_ssh),
		SSH_TEST(direct_port),
		SSH_TEST(refuses_options),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
