/*
 * test_channel_ssh2: the libssh2 channel against real servers on loopback: keys, agents, passphrases, host keys, data under rekeying.
 *
 * The channel carries an echo (`exec /bin/cat`) where bytes matter, and the sftp subsystem where its being there does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "sftp/channel.h"
#include "sftp/channel_ssh2.h"
#include "sftp/ssh.h"
#include "tests/fake/sshd.h"

#define ECHO "/bin/cat"

struct fixture {
	struct sshd sshd;
	struct ssh_maker *maker;
	struct channel *channel;
	struct buf why;
};

static int64_t in_seconds(int seconds)
{
	return clock_now() + seconds * NS_PER_S;
}

/* ---- the fixture ---- */

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	*state = fixture;
	unsetenv("SSH_AUTH_SOCK");
	unsetenv("SSH_ASKPASS");
	if (sshd_installed())
		sshd_init(&fixture->sshd);
	return 0;
}

static void close_channel(struct fixture *fixture)
{
	if (fixture->channel)
		fixture->channel->ops->free(fixture->channel);
	fixture->channel = NULL;
	ssh_maker_free(fixture->maker);
	fixture->maker = NULL;
	buf_reset(&fixture->why);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	unsetenv("SSH_AUTH_SOCK");
	unsetenv("SSH_ASKPASS");
	close_channel(fixture);
	if (sshd_installed())
		sshd_release(&fixture->sshd);
	buf_release(&fixture->why);
	free(fixture);
	return 0;
}

/* Starts a server, trusts its first host key, and writes an ssh_config with `extra` first. */
static void start(struct fixture *fixture, const char *host_keys, const char *server_extra, const char *client_extra)
{
	struct buf known = BUF_INIT;
	struct buf config = BUF_INIT;
	char first[64];

	snprintf(first, sizeof(first), "%.*s", (int)strcspn(host_keys, " "), host_keys);
	sshd_start(&fixture->sshd, host_keys, server_extra);
	sshd_known(&fixture->sshd, first, &known);
	sshd_write(&fixture->sshd, "known_hosts", buf_text(&known));
	buf_addf(&config, "Host disk\n%s\n HostName 127.0.0.1\n Port %d\n", client_extra ? client_extra : "", fixture->sshd.port);
	buf_addf(&config, " IdentityFile %s/user\n IdentitiesOnly yes\n", fixture->sshd.dir);
	buf_addf(&config, " UserKnownHostsFile %s/known_hosts\n GlobalKnownHostsFile none\n", fixture->sshd.dir);
	sshd_write(&fixture->sshd, "config", buf_text(&config));
	buf_release(&known);
	buf_release(&config);
}

static int open_with(struct fixture *fixture, const char *server, const char *password, int cancel_fd, int seconds)
{
	struct buf config = BUF_INIT;
	struct ssh_options options = { .host = "disk", .sftp_server = server, .password = password };
	struct channel_maker *maker;
	int error;

	close_channel(fixture);
	sshd_path(&fixture->sshd, "config", &config);
	options.config_file = buf_text(&config);
	error = ssh_maker_new(&options, &fixture->maker, &fixture->why);
	if (!error) {
		maker = ssh_maker_channel(fixture->maker);
		error = maker->open(maker, in_seconds(seconds), cancel_fd, &fixture->channel, &fixture->why);
	}
	buf_release(&config);
	return error;
}

static int open_echo(struct fixture *fixture)
{
	return open_with(fixture, ECHO, NULL, -1, 30);
}

static void assert_opens(struct fixture *fixture)
{
	int error = open_echo(fixture);

	if (error)
		fail_msg("error %d: %s", error, buf_text(&fixture->why));
}

static void assert_refused(struct fixture *fixture, int expected, const char *word)
{
	int error = open_echo(fixture);

	if (error != expected || !strstr(buf_text(&fixture->why), word) || strchr(buf_text(&fixture->why), '\n'))
		fail_msg("error %d, expected %d and '%s': %s", error, expected, word, buf_text(&fixture->why));
	assert_null(fixture->channel);
}

/* ---- a minimal driver ---- */

static void wait_for(struct channel *channel, bool want_write)
{
	struct pollfd fds[CHANNEL_MAX_FDS];
	int count = channel->ops->poll_fds(channel, want_write, fds);

	if (poll(fds, (nfds_t)count, 20000) <= 0)
		fail_msg("the channel sleeps for ever");
}

/* Sends `total` bytes of a pattern in pieces and takes them back, checking each. */
static void echo(struct channel *channel, size_t total, size_t piece)
{
	unsigned char *out = malloc(piece + 251);
	unsigned char *in = malloc(256 * 1024);
	size_t sent = 0;
	size_t got = 0;

	assert_non_null(out);
	assert_non_null(in);
	for (size_t i = 0; i < piece + 251; i++)
		out[i] = (unsigned char)(i % 251);
	while (got < total) {
		bool moved = false;
		ssize_t n;

		while ((n = channel->ops->read(channel, in, 256 * 1024)) > 0) {
			for (ssize_t i = 0; i < n; i++)
				if (in[i] != (got + (size_t)i) % 251)
					fail_msg("byte %zu is wrong", got + (size_t)i);
			got += (size_t)n;
			moved = true;
		}
		if (n != -EAGAIN)
			fail_msg("read: %zd %s after %zu bytes", n, channel->ops->reason(channel), got);
		if (sent < total) {
			size_t len = total - sent < piece ? total - sent : piece;

			n = channel->ops->write(channel, out + sent % 251, len);
			if (n > 0)
				sent += (size_t)n;
			else if (n != -EAGAIN)
				fail_msg("write: %zd %s", n, channel->ops->reason(channel));
			moved = moved || n > 0;
		}
		if (!moved)
			wait_for(channel, sent < total);
	}
	free(out);
	free(in);
}

static void assert_echoes(struct fixture *fixture)
{
	assert_opens(fixture);
	echo(fixture->channel, 100000, 4096);
}

#define NEEDS_SSHD(state) \
	struct fixture *fixture = *(state); \
	do { \
		if (!sshd_installed()) \
			skip(); \
	} while (0)

/* ---- data ---- */

static void carries_bytes(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	assert_opens(fixture);
	echo(fixture->channel, 1, 1);
	echo(fixture->channel, 3000000, 1000000);
	echo(fixture->channel, 300000, 7);
	fixture->channel->ops->keepalive(fixture->channel);
	echo(fixture->channel, 251 * 400, 40000);
}

static void carries_bytes_while_rekeying(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", "RekeyLimit 1M", NULL);
	assert_opens(fixture);
	echo(fixture->channel, 251 * 100000, 100000);
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
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", "RekeyLimit 1M", NULL);
	assert_opens(fixture);
	shrink_buffers(fixture->channel);
	echo(fixture->channel, 251 * 60000, 200000);
}

static void compresses(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, " Compression yes\n");
	assert_opens(fixture);
	echo(fixture->channel, 2510000, 100000);
}

static void tells_the_end(void **state)
{
	char byte;
	ssize_t got;

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	assert_int_equal(open_with(fixture, "/bin/echo last words >&2; /bin/true", NULL, -1, 30), 0);
	while ((got = fixture->channel->ops->read(fixture->channel, &byte, 1)) == -EAGAIN)
		wait_for(fixture->channel, false);
	assert_int_equal(got, 0);
	assert_non_null(strstr(fixture->channel->ops->reason(fixture->channel), "last words"));
}

static void tells_a_cut(void **state)
{
	struct pollfd fds[CHANNEL_MAX_FDS];
	char byte;
	ssize_t got;

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	assert_opens(fixture);
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

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	assert_int_equal(open_with(fixture, NULL, NULL, -1, 30), 0);
	assert_int_equal(fixture->channel->ops->write(fixture->channel, init, sizeof(init)), sizeof(init));
	while (got < sizeof(answer)) {
		ssize_t n = fixture->channel->ops->read(fixture->channel, answer + got, sizeof(answer) - got);

		if (n == -EAGAIN)
			wait_for(fixture->channel, false);
		else if (n > 0)
			got += (size_t)n;
		else
			fail();
	}
	assert_int_equal(answer[4], 2);		/* SSH_FXP_VERSION */
	assert_int_equal(answer[8], 3);
	assert_int_equal(open_with(fixture, "nosuchsubsystem", NULL, -1, 30), -ENOENT);
	assert_non_null(strstr(buf_text(&fixture->why), "nosuchsubsystem"));
}

/* ---- keys ---- */

static void user_key(struct fixture *fixture, const char *arguments)
{
	sshd_run(&fixture->sshd, "rm -f user user.pub && ssh-keygen -q %s -C user -f user && cp user.pub authorized_keys", arguments);
}

static void logs_in_with_keys(void **state)
{
	static const char *const kinds[] = {
		"-t ed25519 -N ''", "-t ecdsa -b 256 -N ''", "-t ecdsa -b 384 -N ''", "-t ecdsa -b 521 -N ''", "-t rsa -b 2048 -N ''",
		"-t rsa -b 3072 -m PEM -N ''", "-t ecdsa -m PEM -N ''", "-t rsa -b 2048 -m PKCS8 -N ''",
	};

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		user_key(fixture, kinds[i]);
		assert_echoes(fixture);
		sshd_run(&fixture->sshd, "rm user.pub");
		assert_echoes(fixture);
	}
}

static void start_agent(struct fixture *fixture, const char *key)
{
	struct buf path = BUF_INIT;

	sshd_run(&fixture->sshd, "rm -f agent && eval $(ssh-agent -a \"$PWD/agent\") >/dev/null && echo $SSH_AGENT_PID >agent_pid && "
		 "SSH_AUTH_SOCK=$PWD/agent ssh-add -q %s", key);
	sshd_path(&fixture->sshd, "agent", &path);
	setenv("SSH_AUTH_SOCK", buf_text(&path), 1);
	buf_release(&path);
}

static void stop_agent(struct fixture *fixture)
{
	sshd_run(&fixture->sshd, "kill $(cat agent_pid)");
}

static void logs_in_with_agent(void **state)
{
	static const char *const kinds[] = { "-t rsa -b 2048 -N ''", "-t ed25519 -N ''", "-t ecdsa -N ''" };

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		user_key(fixture, kinds[i]);
		start_agent(fixture, "user");
		sshd_run(&fixture->sshd, "rm user");	/* only the agent and user.pub are left */
		assert_echoes(fixture);
		stop_agent(fixture);
		assert_refused(fixture, -EACCES, "publickey");
	}
}

static void identities_only(void **state)
{
	struct buf text = BUF_INIT;

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	sshd_run(&fixture->sshd, "mv user other && mv user.pub other.pub");
	start_agent(fixture, "other");
	assert_refused(fixture, -EACCES, "no key to try");
	sshd_run(&fixture->sshd, "sed -i '/IdentitiesOnly/d' config");
	assert_echoes(fixture);
	buf_addf(&text, "Host disk\n IdentityAgent none\n");
	sshd_run(&fixture->sshd, "sed -i '1a IdentityAgent none' config");
	assert_refused(fixture, -EACCES, "no key to try");
	stop_agent(fixture);
	buf_release(&text);
}

/* An askpass that answers with the contents of the file `answer` and counts how often it was asked. */
static void make_askpass(struct fixture *fixture, const char *answer)
{
	struct buf path = BUF_INIT;

	sshd_write(&fixture->sshd, "answer", answer);
	sshd_run(&fixture->sshd, "rm -f asked; printf '#!/bin/sh\\necho \"$1\" >>%s/asked\\ncat %s/answer\\n' >askpass && chmod 755 askpass",
		 fixture->sshd.dir, fixture->sshd.dir);
	sshd_path(&fixture->sshd, "askpass", &path);
	setenv("SSH_ASKPASS", buf_text(&path), 1);
	buf_release(&path);
}

static void unlocks_keys(void **state)
{
	static const char *const kinds[] = {
		"-t ed25519 -N secret", "-t rsa -b 2048 -N secret", "-t ecdsa -N secret", "-t ed25519 -Z aes128-cbc -N secret",
		"-t rsa -b 2048 -m PEM -N secret", "-t rsa -b 2048 -m PKCS8 -N secret",
	};

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		user_key(fixture, kinds[i]);
		unsetenv("SSH_ASKPASS");
		assert_refused(fixture, -EACCES, "passphrase");
		make_askpass(fixture, "secret\n");
		assert_echoes(fixture);
		sshd_run(&fixture->sshd, "test $(wc -l <asked) = 1 && grep -q user asked");
		make_askpass(fixture, "wrong\n");
		assert_refused(fixture, -EACCES, "not unlocked");
		sshd_run(&fixture->sshd, "test $(wc -l <asked) = 3");
	}
}

/* A second connection of the same maker asks nobody. */
static void asks_once(void **state)
{
	struct channel_maker *maker;
	struct channel *second;

	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	user_key(fixture, "-t ed25519 -N secret");
	make_askpass(fixture, "secret\n");
	assert_opens(fixture);
	unsetenv("SSH_ASKPASS");
	ssh_maker_detach(fixture->maker);
	maker = ssh_maker_channel(fixture->maker);
	assert_int_equal(maker->open(maker, in_seconds(30), -1, &second, &fixture->why), 0);
	echo(second, 1000, 100);
	second->ops->free(second);
	sshd_run(&fixture->sshd, "test $(wc -l <asked) = 1");
}

/* BatchMode forbids even SSH_ASKPASS. */
static void batch_mode_asks_nobody(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, " BatchMode yes\n");
	user_key(fixture, "-t ed25519 -N secret");
	make_askpass(fixture, "secret\n");
	assert_refused(fixture, -EACCES, "passphrase");
	sshd_run(&fixture->sshd, "! test -e asked");
}

static void refuses_open_keys(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	sshd_run(&fixture->sshd, "chmod 644 user");
	assert_refused(fixture, -EACCES, "mode");
}

static void needs_two_keys(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", "AuthenticationMethods publickey,publickey", NULL);
	assert_refused(fixture, -EACCES, "publickey");
	sshd_run(&fixture->sshd, "ssh-keygen -q -t rsa -b 2048 -N '' -f second && cat second.pub >>authorized_keys && "
		 "sed -i \"1a IdentityFile $PWD/second\" config");
	assert_echoes(fixture);
}

static void says_what_was_tried(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	sshd_write(&fixture->sshd, "authorized_keys", "");
	assert_refused(fixture, -EACCES, "/user");
	assert_non_null(strstr(buf_text(&fixture->why), "ssh-copy-id"));
	sshd_run(&fixture->sshd, "rm user user.pub");
	assert_refused(fixture, -EACCES, "no key to try");
}

/* ---- passwords ---- */

static void set_known(struct fixture *fixture, const char *format, const char *key)
{
	struct buf known = BUF_INIT;
	struct buf text = BUF_INIT;

	sshd_known(&fixture->sshd, key, &known);
	buf_addf(&text, format, strchr(buf_text(&known), ' ') + 1, fixture->sshd.port);
	sshd_write(&fixture->sshd, "known_hosts", buf_text(&text));
	buf_release(&known);
	buf_release(&text);
}

#define NEEDS_PASSWORD(fixture) \
	do { \
		if (!sshd_set_password(&(fixture)->sshd, "let me in")) \
			skip(); \
	} while (0)

static void assert_password(struct fixture *fixture, const char *password, int expected)
{
	int error = open_with(fixture, ECHO, password, -1, 30);

	if (error != expected)
		fail_msg("error %d, expected %d: %s", error, expected, buf_text(&fixture->why));
	if (!error)
		echo(fixture->channel, 10000, 1000);
}

/* The whole of what passwords do, by one method or the other. */
static void passwords(struct fixture *fixture, const char *server, const char *method)
{
	struct channel_maker *maker;
	struct channel *second;

	start(fixture, "host_ed25519", server, NULL);
	assert_password(fixture, "let me in", 0);
	assert_password(fixture, "wrong", -EACCES);
	assert_non_null(strstr(buf_text(&fixture->why), method));
	assert_password(fixture, NULL, -EACCES);
	assert_non_null(strstr(buf_text(&fixture->why), "needs a terminal"));
	make_askpass(fixture, "wrong\n");
	assert_password(fixture, NULL, -EACCES);
	sshd_run(&fixture->sshd, "test $(wc -l <asked) = 3");
	make_askpass(fixture, "let me in\n");
	assert_password(fixture, NULL, 0);
	/* What was typed once is known to the next connection. */
	unsetenv("SSH_ASKPASS");
	ssh_maker_detach(fixture->maker);
	maker = ssh_maker_channel(fixture->maker);
	assert_int_equal(maker->open(maker, in_seconds(30), -1, &second, &fixture->why), 0);
	second->ops->free(second);
	/* A host key that has changed: no passwords for it. */
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f host_other && sed -i '1a StrictHostKeyChecking no' config");
	set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_other");
	assert_password(fixture, "let me in", -EACCES);
	assert_non_null(strstr(buf_text(&fixture->why), "host key has changed"));
}

static void logs_in_with_password(void **state)
{
	NEEDS_SSHD(state);
	NEEDS_PASSWORD(fixture);
	passwords(fixture, "PasswordAuthentication yes\nPubkeyAuthentication no", "password");
}

static void logs_in_with_keyboard(void **state)
{
	NEEDS_SSHD(state);
	NEEDS_PASSWORD(fixture);
	passwords(fixture, "UsePAM yes\nKbdInteractiveAuthentication yes\nPubkeyAuthentication no", "keyboard-interactive");
}

static void needs_key_and_password(void **state)
{
	NEEDS_SSHD(state);
	NEEDS_PASSWORD(fixture);
	start(fixture, "host_ed25519", "PasswordAuthentication yes\nAuthenticationMethods publickey,password", NULL);
	assert_password(fixture, "let me in", 0);
	assert_password(fixture, "wrong", -EACCES);
	sshd_run(&fixture->sshd, ": >authorized_keys");
	assert_password(fixture, "let me in", -EACCES);
}

/* ---- host keys ---- */

static void refuses_unknown_hosts(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	sshd_write(&fixture->sshd, "known_hosts", "");
	assert_refused(fixture, -EACCES, "SHA256:");	/* ask, and nobody to ask */
	assert_non_null(strstr(buf_text(&fixture->why), "/config -o StrictHostKeyChecking=ask disk exit"));
	sshd_run(&fixture->sshd, "sed -i '1a StrictHostKeyChecking yes' config");
	assert_refused(fixture, -EACCES, "StrictHostKeyChecking is yes");
}

static void accepts_new_hosts(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, " StrictHostKeyChecking accept-new\n HashKnownHosts yes\n");
	sshd_run(&fixture->sshd, "rm known_hosts");
	assert_echoes(fixture);
	sshd_run(&fixture->sshd, "grep -q '^|1|' known_hosts && ssh-keygen -F '[127.0.0.1]:%d' -f known_hosts >/dev/null", fixture->sshd.port);
	sshd_run(&fixture->sshd, "sed -i '1a StrictHostKeyChecking yes' config");
	assert_echoes(fixture);
	sshd_run(&fixture->sshd, "test $(wc -l <known_hosts) = 1");
}

static void asks_about_hosts(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	sshd_write(&fixture->sshd, "known_hosts", "");
	make_askpass(fixture, "no\n");
	assert_refused(fixture, -EACCES, "not accepted");
	make_askpass(fixture, "yes\n");
	assert_echoes(fixture);
	sshd_run(&fixture->sshd, "grep -q authenticity asked && test -s known_hosts");
}

static void finds_known_hosts(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, " StrictHostKeyChecking yes\n");
	set_known(fixture, "[127.0.0.*]:%2$d %1$s", "host_ed25519");
	assert_echoes(fixture);
	set_known(fixture, "127.0.0.1 %1$s", "host_ed25519");		/* without its port */
	assert_echoes(fixture);
	set_known(fixture, "*,![127.0.0.1]:%2$d,!127.0.0.1 %1$s", "host_ed25519");
	assert_refused(fixture, -EACCES, "isn't known");
	sshd_run(&fixture->sshd, "sed -i '1a HostKeyAlias elsewhere' config");
	set_known(fixture, "elsewhere %1$s", "host_ed25519");
	assert_echoes(fixture);
	sshd_run(&fixture->sshd, "ssh-keygen -q -H -f known_hosts >/dev/null 2>&1");
	assert_echoes(fixture);
}

static void refuses_changed_keys(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519", NULL, NULL);
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f host_other");
	set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_other");
	assert_refused(fixture, -EACCES, "HAS CHANGED");
	assert_non_null(strstr(buf_text(&fixture->why), "ssh-keygen -f"));
	sshd_run(&fixture->sshd, "sed -i '1a StrictHostKeyChecking accept-new' config");
	assert_refused(fixture, -EACCES, "HAS CHANGED");
	sshd_run(&fixture->sshd, "sed -i '2s/.*/StrictHostKeyChecking no/' config");
	assert_echoes(fixture);		/* with a key; passwords would be off */
	set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_ed25519");
	sshd_run(&fixture->sshd, "sed 's/^/@revoked /' known_hosts >r && cat r >>known_hosts");
	assert_refused(fixture, -EACCES, "revoked");
}

/* The server has several keys; the one that is known must be asked for. */
static void prefers_known_kinds(void **state)
{
	NEEDS_SSHD(state);
	start(fixture, "host_ed25519 host_ecdsa host_rsa", NULL, " StrictHostKeyChecking yes\n");
	assert_echoes(fixture);
	set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_ecdsa");
	assert_echoes(fixture);
}

/* ---- where libssh2 isn't enough ---- */

static void assert_child_echoes(struct fixture *fixture)
{
	assert_echoes(fixture);
	assert_null(fixture->channel->ops->keepalive);	/* a pipe has none */
}

static void falls_back_to_ssh(void **state)
{
	NEEDS_SSHD(state);
	if (access("/usr/bin/ssh", X_OK))
		skip();
	/* AES-GCM only: libssh2 1.10 has none; newer ones do. */
	start(fixture, "host_ed25519", "Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com", NULL);
	assert_echoes(fixture);
	sshd_stop(&fixture->sshd);
	/* A host key of RSA only, with signatures by SHA-2 only. */
	start(fixture, "host_rsa", NULL, NULL);
	assert_echoes(fixture);
	sshd_stop(&fixture->sshd);
	start(fixture, "host_ed25519", NULL, " ProxyCommand socat - TCP:%h:%p\n");
	if (!access("/usr/bin/socat", X_OK))
		assert_child_echoes(fixture);
}

static void logs_in_by_certificate(void **state)
{
	NEEDS_SSHD(state);
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -s ca -I me -n $(id -un) user.pub && : >authorized_keys");
	{
		struct buf extra = BUF_INIT;

		buf_addf(&extra, "TrustedUserCAKeys %s/ca.pub", fixture->sshd.dir);
		start(fixture, "host_ed25519", buf_text(&extra), NULL);
		buf_release(&extra);
	}
	assert_child_echoes(fixture);
}

static void host_certificate(void **state)
{
	struct buf extra = BUF_INIT;

	NEEDS_SSHD(state);
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -s ca -I host -h -n 127.0.0.1 host_ed25519.pub");
	buf_addf(&extra, "HostCertificate %s/host_ed25519-cert.pub", fixture->sshd.dir);
	start(fixture, "host_ed25519", buf_text(&extra), " StrictHostKeyChecking yes\n");
	set_known(fixture, "@cert-authority [127.0.0.1]:%2$d %1$s", "ca");
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
	struct fixture *fixture = *state;
	int port;
	int fd = listen_silently(&port);
	int64_t begun = clock_now();
	char config[128];
	int cancel;

	if (!sshd_installed())
		skip();
	snprintf(config, sizeof(config), "Host disk\nHostName 127.0.0.1\nPort %d\n", port);
	sshd_write(&fixture->sshd, "config", config);
	assert_int_equal(open_with(fixture, NULL, NULL, -1, 1), -ETIMEDOUT);
	assert_true(clock_now() - begun >= NS_PER_S && clock_now() - begun < 5 * NS_PER_S);
	cancel = io_wake_new();
	io_wake(cancel);
	assert_int_equal(open_with(fixture, NULL, NULL, cancel, 20), -ECANCELED);
	close(cancel);
	close(fd);
	assert_int_equal(open_with(fixture, NULL, NULL, -1, 20), -ECONNREFUSED);
	assert_non_null(strstr(buf_text(&fixture->why), "is sshd running"));
}

static void knows_no_such_host(void **state)
{
	struct fixture *fixture = *state;
	int error;

	if (!sshd_installed())
		skip();
	sshd_write(&fixture->sshd, "config", "Host disk\nHostName nosuchhost.invalid\n");
	error = open_with(fixture, NULL, NULL, -1, 20);
	assert_true(error == -ENOENT || error == -EAGAIN);	/* without a name server it can't be known */
	assert_non_null(strstr(buf_text(&fixture->why), "nosuchhost.invalid"));
}

/* Something that isn't SSH answers, and hangs up. */
static void not_ssh(void **state)
{
	struct fixture *fixture = *state;
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
	error = open_with(fixture, NULL, NULL, -1, 20);
	assert_true(error < 0 && error != -EACCES && error != -EOPNOTSUPP);
	assert_true(fixture->why.len > 0);
	waitpid(pid, NULL, 0);
}

static void direct_port(void **state)
{
	struct fixture *fixture = *state;
	int port;
	int fd = listen_silently(&port);
	struct ssh_options options = { .host = "127.0.0.1", .direct_port = port };
	struct channel_maker *maker;

	assert_int_equal(ssh_maker_new(&options, &fixture->maker, &fixture->why), 0);
	maker = ssh_maker_channel(fixture->maker);
	assert_int_equal(maker->open(maker, in_seconds(10), -1, &fixture->channel, &fixture->why), 0);
	assert_int_equal(fixture->channel->ops->write(fixture->channel, "x", 1), 1);
	close(fd);
}

static void refuses_options(void **state)
{
	struct fixture *fixture = *state;
	struct ssh_options options = { .host = "-oProxyCommand=touch x" };

	assert_int_equal(ssh_maker_new(&options, &fixture->maker, &fixture->why), -EINVAL);
	options = (struct ssh_options){ .host = "h", .password = "p", .ssh_command = "ssh" };
	buf_reset(&fixture->why);
	assert_int_equal(ssh_maker_new(&options, &fixture->maker, &fixture->why), -EINVAL);
	assert_true(fixture->why.len > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(carries_bytes),
		TEST(carries_bytes_while_rekeying),
		TEST(carries_bytes_through_small_buffers),
		TEST(compresses),
		TEST(tells_the_end),
		TEST(tells_a_cut),
		TEST(starts_the_subsystem),
		TEST(logs_in_with_keys),
		TEST(logs_in_with_agent),
		TEST(identities_only),
		TEST(unlocks_keys),
		TEST(asks_once),
		TEST(batch_mode_asks_nobody),
		TEST(refuses_open_keys),
		TEST(needs_two_keys),
		TEST(says_what_was_tried),
		TEST(logs_in_with_password),
		TEST(logs_in_with_keyboard),
		TEST(needs_key_and_password),
		TEST(refuses_unknown_hosts),
		TEST(accepts_new_hosts),
		TEST(asks_about_hosts),
		TEST(finds_known_hosts),
		TEST(refuses_changed_keys),
		TEST(prefers_known_kinds),
		TEST(falls_back_to_ssh),
		TEST(logs_in_by_certificate),
		TEST(host_certificate),
		TEST(gives_up_in_time),
		TEST(knows_no_such_host),
		TEST(not_ssh),
		TEST(direct_port),
		TEST(refuses_options),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
