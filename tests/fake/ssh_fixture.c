/*
 * ssh_fixture: see ssh_fixture.h. Each opening makes a new maker, as a new mount would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fake/ssh_fixture.h"

int64_t ssh_in_seconds(int seconds)
{
	return clock_now() + seconds * NS_PER_S;
}

int ssh_set_up(void **state)
{
	struct ssh_fixture *fixture = calloc(1, sizeof(*fixture));

	*state = fixture;
	unsetenv("SSH_AUTH_SOCK");
	unsetenv("SSH_ASKPASS");
	if (sshd_installed())
		sshd_init(&fixture->sshd);
	return 0;
}

static void close_channel(struct ssh_fixture *fixture)
{
	if (fixture->channel)
		fixture->channel->ops->free(fixture->channel);
	fixture->channel = NULL;
	ssh_maker_free(fixture->maker);
	fixture->maker = NULL;
	buf_reset(&fixture->why);
}

int ssh_tear_down(void **state)
{
	struct ssh_fixture *fixture = *state;

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
void ssh_start(struct ssh_fixture *fixture, const char *host_keys, const char *server_extra, const char *client_extra)
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

int ssh_open_with(struct ssh_fixture *fixture, const char *server, const char *password, int cancel_fd, int seconds)
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
		error = maker->open(maker, ssh_in_seconds(seconds), cancel_fd, &fixture->channel, &fixture->why);
	}
	buf_release(&config);
	return error;
}

int ssh_open_echo(struct ssh_fixture *fixture)
{
	return ssh_open_with(fixture, SSH_ECHO, NULL, -1, 30);
}

void ssh_assert_opens(struct ssh_fixture *fixture)
{
	int error = ssh_open_echo(fixture);

	if (error)
		fail_msg("error %d: %s", error, buf_text(&fixture->why));
}

void ssh_assert_refused(struct ssh_fixture *fixture, int expected, const char *word)
{
	int error = ssh_open_echo(fixture);

	if (error != expected || !strstr(buf_text(&fixture->why), word) || strchr(buf_text(&fixture->why), '\n'))
		fail_msg("error %d, expected %d and '%s': %s", error, expected, word, buf_text(&fixture->why));
	assert_null(fixture->channel);
}

/* ---- a minimal driver ---- */

void ssh_wait_for(struct channel *channel, bool want_write)
{
	struct pollfd fds[CHANNEL_MAX_FDS];
	int count = channel->ops->poll_fds(channel, want_write, fds);

	if (poll(fds, (nfds_t)count, 20000) <= 0)
		fail_msg("the channel sleeps for ever");
}

/* Sends `total` bytes of a pattern in pieces and takes them back, checking each. */
void ssh_echo(struct channel *channel, size_t total, size_t piece)
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
			ssh_wait_for(channel, sent < total);
	}
	free(out);
	free(in);
}

void ssh_assert_echoes(struct ssh_fixture *fixture)
{
	ssh_assert_opens(fixture);
	ssh_echo(fixture->channel, 100000, 4096);
}

/* An askpass that answers with the contents of the file `answer` and counts how often it was asked. */
void ssh_make_askpass(struct ssh_fixture *fixture, const char *answer)
{
	struct buf path = BUF_INIT;

	sshd_write(&fixture->sshd, "answer", answer);
	sshd_run(&fixture->sshd, "rm -f asked; printf '#!/bin/sh\\necho \"$1\" >>%s/asked\\ncat %s/answer\\n' >askpass && chmod 755 askpass",
		 fixture->sshd.dir, fixture->sshd.dir);
	sshd_path(&fixture->sshd, "askpass", &path);
	setenv("SSH_ASKPASS", buf_text(&path), 1);
	buf_release(&path);
}

void ssh_set_known(struct ssh_fixture *fixture, const char *format, const char *key)
{
	struct buf known = BUF_INIT;
	struct buf text = BUF_INIT;

	sshd_known(&fixture->sshd, key, &known);
	buf_addf(&text, format, strchr(buf_text(&known), ' ') + 1, fixture->sshd.port);
	sshd_write(&fixture->sshd, "known_hosts", buf_text(&text));
	buf_release(&known);
	buf_release(&text);
}
