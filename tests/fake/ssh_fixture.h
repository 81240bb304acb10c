/*
 * ssh_fixture: for the unit tests of channels through SSH: a server (sshd.h), a client's configuration in its
 * directory, and one open channel. The channel carries an echo (`exec /bin/cat`) unless a test wants something else.
 * Failures end the test through cmocka.
 */
#ifndef CLAIMFS_TESTS_FAKE_SSH_FIXTURE_H
#define CLAIMFS_TESTS_FAKE_SSH_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "sftp/channel.h"
#include "sftp/ssh.h"
#include "tests/fake/sshd.h"

#define SSH_ECHO "/bin/cat"

struct ssh_fixture {
	struct sshd sshd;
	struct ssh_maker *maker;
	struct channel *channel;
	struct buf why;
};

/* cmocka's set-up and tear-down; *state is the fixture. */
int ssh_set_up(void **state);
int ssh_tear_down(void **state);

int64_t ssh_in_seconds(int seconds);	/* a deadline */

/* Starts a server, trusts its first host key, and writes an ssh_config for the host "disk" with `client_extra` first. */
void ssh_start(struct ssh_fixture *fixture, const char *host_keys, const char *server_extra, const char *client_extra);

/* The one line of known_hosts: `format` gets type and key (%1$s) and the port (%2$d). */
void ssh_set_known(struct ssh_fixture *fixture, const char *format, const char *key) __attribute__((format(printf, 2, 0)));

/* Makes SSH_ASKPASS a program that answers so and appends its questions to the file "asked". */
void ssh_make_askpass(struct ssh_fixture *fixture, const char *answer);

int ssh_open_with(struct ssh_fixture *fixture, const char *server, const char *password, int cancel_fd, int seconds);
int ssh_open_echo(struct ssh_fixture *fixture);
void ssh_assert_opens(struct ssh_fixture *fixture);
void ssh_assert_echoes(struct ssh_fixture *fixture);
void ssh_assert_refused(struct ssh_fixture *fixture, int expected, const char *word);	/* one line with that word */

void ssh_wait_for(struct channel *channel, bool want_write);	/* as a connection's thread does */
void ssh_echo(struct channel *channel, size_t total, size_t piece);	/* sends, takes back, checks each byte */

#define SSH_NEEDS_SSHD(state) \
	struct ssh_fixture *fixture = *(state); \
	do { \
		if (!sshd_installed()) \
			skip(); \
	} while (0)

#define SSH_TEST(name) cmocka_unit_test_setup_teardown(name, ssh_set_up, ssh_tear_down)

#endif
