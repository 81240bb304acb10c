/*
 * test_ssh_auth: logging in to real servers: keys in files and agents, passphrases, passwords, and several of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/ssh_fixture.h"

/* ---- keys ---- */

static void user_key(struct ssh_fixture *fixture, const char *arguments)
{
	sshd_run(&fixture->sshd, "rm -f user user.pub && ssh-keygen -q %s -C user -f user && cp user.pub authorized_keys", arguments);
}

static void logs_in_with_keys(void **state)
{
	static const char *const kinds[] = {
		"-t ed25519 -N ''", "-t ecdsa -b 256 -N ''", "-t ecdsa -b 384 -N ''", "-t ecdsa -b 521 -N ''", "-t rsa -b 2048 -N ''",
		"-t rsa -b 3072 -m PEM -N ''", "-t ecdsa -m PEM -N ''", "-t rsa -b 2048 -m PKCS8 -N ''",
	};

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		user_key(fixture, kinds[i]);
		ssh_assert_echoes(fixture);
		sshd_run(&fixture->sshd, "rm user.pub");
		ssh_assert_echoes(fixture);
	}
}

static void start_agent(struct ssh_fixture *fixture, const char *key)
{
	struct buf path = BUF_INIT;

	sshd_run(&fixture->sshd, "rm -f agent && eval $(ssh-agent -a \"$PWD/agent\") >/dev/null && echo $SSH_AGENT_PID >agent_pid && "
		 "SSH_AUTH_SOCK=$PWD/agent ssh-add -q %s", key);
	sshd_path(&fixture->sshd, "agent", &path);
	setenv("SSH_AUTH_SOCK", buf_text(&path), 1);
	buf_release(&path);
}

static void stop_agent(struct ssh_fixture *fixture)
{
	sshd_run(&fixture->sshd, "kill $(cat agent_pid)");
}

static void logs_in_with_agent(void **state)
{
	static const char *const kinds[] = { "-t rsa -b 2048 -N ''", "-t ed25519 -N ''", "-t ecdsa -N ''" };

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		user_key(fixture, kinds[i]);
		start_agent(fixture, "user");
		sshd_run(&fixture->sshd, "rm user");	/* only the agent and user.pub are left */
		ssh_assert_echoes(fixture);
		stop_agent(fixture);
		ssh_assert_refused(fixture, -EACCES, "publickey");
	}
}

static void identities_only(void **state)
{
	struct buf text = BUF_INIT;

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	sshd_run(&fixture->sshd, "mv user other && mv user.pub other.pub");
	start_agent(fixture, "other");
	ssh_assert_refused(fixture, -EACCES, "no key to try");
	sshd_run(&fixture->sshd, "sed -i '/IdentitiesOnly/d' config");
	ssh_assert_echoes(fixture);
	buf_addf(&text, "Host disk\n IdentityAgent none\n");
	sshd_run(&fixture->sshd, "sed -i '1a IdentityAgent none' config");
	ssh_assert_refused(fixture, -EACCES, "no key to try");
	stop_agent(fixture);
	buf_release(&text);
}

static void unlocks_keys(void **state)
{
	static const char *const kinds[] = {
		"-t ed25519 -N secret", "-t rsa -b 2048 -N secret", "-t ecdsa -N secret", "-t ed25519 -Z aes128-cbc -N secret",
		"-t rsa -b 2048 -m PEM -N secret", "-t rsa -b 2048 -m PKCS8 -N secret",
	};

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		user_key(fixture, kinds[i]);
		unsetenv("SSH_ASKPASS");
		ssh_assert_refused(fixture, -EACCES, "passphrase");
		ssh_make_askpass(fixture, "secret\n");
		ssh_assert_echoes(fixture);
		sshd_run(&fixture->sshd, "test $(wc -l <asked) = 1 && grep -q user asked");
		ssh_make_askpass(fixture, "wrong\n");
		ssh_assert_refused(fixture, -EACCES, "not unlocked");
		sshd_run(&fixture->sshd, "test $(wc -l <asked) = 3");
	}
}

/* A second connection of the same maker asks nobody. */
static void asks_once(void **state)
{
	struct channel_maker *maker;
	struct channel *second;

	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	user_key(fixture, "-t ed25519 -N secret");
	ssh_make_askpass(fixture, "secret\n");
	ssh_assert_opens(fixture);
	unsetenv("SSH_ASKPASS");
	ssh_maker_detach(fixture->maker);
	maker = ssh_maker_channel(fixture->maker);
	assert_int_equal(maker->open(maker, ssh_in_seconds(30), -1, &second, &fixture->why), 0);
	ssh_echo(second, 1000, 100);
	second->ops->free(second);
	sshd_run(&fixture->sshd, "test $(wc -l <asked) = 1");
}

/* BatchMode forbids even SSH_ASKPASS. */
static void batch_mode_asks_nobody(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, " BatchMode yes\n");
	user_key(fixture, "-t ed25519 -N secret");
	ssh_make_askpass(fixture, "secret\n");
	ssh_assert_refused(fixture, -EACCES, "passphrase");
	sshd_run(&fixture->sshd, "! test -e asked");
}

static void refuses_open_keys(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	sshd_run(&fixture->sshd, "chmod 644 user");
	ssh_assert_refused(fixture, -EACCES, "mode");
}

/* What ssh_config keeps from being offered: the line says so. */
static void says_what_was_not_offered(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	user_key(fixture, "-t rsa -b 2048 -N ''");
	sshd_run(&fixture->sshd, "sed -i '1a RequiredRSASize 3072' config");
	ssh_assert_refused(fixture, -EACCES, "shorter than RequiredRSASize");
	sshd_run(&fixture->sshd, "sed -i '2s/.*/RequiredRSASize 2048/' config");
	ssh_assert_echoes(fixture);
	sshd_run(&fixture->sshd, "sed -i '2s/.*/PubkeyAcceptedAlgorithms ssh-ed25519/' config");
	ssh_assert_refused(fixture, -EACCES, "PubkeyAcceptedAlgorithms");
	sshd_run(&fixture->sshd, "sed -i '2s/.*/PreferredAuthentications password/' config");
	ssh_assert_refused(fixture, -EACCES, "PreferredAuthentications");
	sshd_run(&fixture->sshd, "sed -i '2s/.*/PubkeyAuthentication no/' config");
	ssh_assert_refused(fixture, -EACCES, "PubkeyAuthentication");
	sshd_run(&fixture->sshd, "sed -i '2s/.*/PubkeyAuthentication yes/' config && rm user");
	ssh_assert_refused(fixture, -EACCES, "without its private half");
}

static void needs_two_keys(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", "AuthenticationMethods publickey,publickey", NULL);
	ssh_assert_refused(fixture, -EACCES, "publickey");
	sshd_run(&fixture->sshd, "ssh-keygen -q -t rsa -b 2048 -N '' -f second && cat second.pub >>authorized_keys && "
		 "sed -i \"1a IdentityFile $PWD/second\" config");
	ssh_assert_echoes(fixture);
}

/* The server's patience ends before our keys do. */
static void has_too_many_keys(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", "MaxAuthTries 2", NULL);
	sshd_run(&fixture->sshd, "for i in 1 2 3; do ssh-keygen -q -t ed25519 -N '' -f wrong$i && "
		 "sed -i \"1a IdentityFile $PWD/wrong$i\" config || exit 1; done");
	ssh_assert_refused(fixture, -EACCES, "MaxAuthTries");
}

static void says_what_was_tried(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	sshd_write(&fixture->sshd, "authorized_keys", "");
	ssh_assert_refused(fixture, -EACCES, "/user");
	assert_non_null(strstr(buf_text(&fixture->why), "ssh-copy-id"));
	sshd_run(&fixture->sshd, "rm user user.pub");
	ssh_assert_refused(fixture, -EACCES, "no key to try");
}

/* ---- passwords ---- */

#define NEEDS_PASSWORD(fixture) \
	do { \
		if (!sshd_set_password(&(fixture)->sshd, "let me in")) \
			skip(); \
	} while (0)

static void assert_password(struct ssh_fixture *fixture, const char *password, int expected)
{
	int error = ssh_open_with(fixture, SSH_ECHO, password, -1, 30);

	if (error != expected)
		fail_msg("error %d, expected %d: %s", error, expected, buf_text(&fixture->why));
	if (!error)
		ssh_echo(fixture->channel, 10000, 1000);
}

/* The whole of what passwords do, by one method or the other. */
static void passwords(struct ssh_fixture *fixture, const char *server, const char *method)
{
	struct channel_maker *maker;
	struct channel *second;

	ssh_start(fixture, "host_ed25519", server, NULL);
	assert_password(fixture, "let me in", 0);
	assert_password(fixture, "wrong", -EACCES);
	assert_non_null(strstr(buf_text(&fixture->why), method));
	assert_password(fixture, NULL, -EACCES);
	assert_non_null(strstr(buf_text(&fixture->why), "needs a terminal"));
	ssh_make_askpass(fixture, "wrong\n");
	assert_password(fixture, NULL, -EACCES);
	sshd_run(&fixture->sshd, "test $(wc -l <asked) = 3");
	ssh_make_askpass(fixture, "let me in\n");
	assert_password(fixture, NULL, 0);
	/* What was typed once is known to the next connection. */
	unsetenv("SSH_ASKPASS");
	ssh_maker_detach(fixture->maker);
	maker = ssh_maker_channel(fixture->maker);
	assert_int_equal(maker->open(maker, ssh_in_seconds(30), -1, &second, &fixture->why), 0);
	second->ops->free(second);
	/* A host key that has changed: no passwords for it. */
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f host_other && sed -i '1a StrictHostKeyChecking no' config");
	ssh_set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_other");
	assert_password(fixture, "let me in", -EACCES);
	assert_non_null(strstr(buf_text(&fixture->why), "host key has changed"));
}

/* A password for a server that libssh2 cannot talk to: ssh would ask for it, and nobody is there. */
static void refuses_password_for_ssh(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", "PasswordAuthentication yes\nKexAlgorithms sntrup761x25519-sha512@openssh.com", NULL);
	assert_password(fixture, "secret", -EINVAL);
	assert_non_null(strstr(buf_text(&fixture->why), "-o password_stdin: disk needs the ssh program (libssh2"));
	assert_non_null(strstr(buf_text(&fixture->why), "in common"));
}

static void logs_in_with_password(void **state)
{
	SSH_NEEDS_SSHD(state);
	NEEDS_PASSWORD(fixture);
	passwords(fixture, "PasswordAuthentication yes\nPubkeyAuthentication no", "password");
}

static void logs_in_with_keyboard(void **state)
{
	SSH_NEEDS_SSHD(state);
	NEEDS_PASSWORD(fixture);
	passwords(fixture, "UsePAM yes\nKbdInteractiveAuthentication yes\nPubkeyAuthentication no", "keyboard-interactive");
}

static void needs_key_and_password(void **state)
{
	SSH_NEEDS_SSHD(state);
	NEEDS_PASSWORD(fixture);
	ssh_start(fixture, "host_ed25519", "PasswordAuthentication yes\nAuthenticationMethods publickey,password", NULL);
	assert_password(fixture, "let me in", 0);
	assert_password(fixture, "wrong", -EACCES);
	sshd_run(&fixture->sshd, ": >authorized_keys");
	assert_password(fixture, "let me in", -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SSH_TEST(logs_in_with_keys),
		SSH_TEST(logs_in_with_agent),
		SSH_TEST(identities_only),
		SSH_TEST(unlocks_keys),
		SSH_TEST(asks_once),
		SSH_TEST(batch_mode_asks_nobody),
		SSH_TEST(refuses_open_keys),
		SSH_TEST(says_what_was_not_offered),
		SSH_TEST(needs_two_keys),
		SSH_TEST(has_too_many_keys),
		SSH_TEST(says_what_was_tried),
		SSH_TEST(refuses_password_for_ssh),
		SSH_TEST(logs_in_with_password),
		SSH_TEST(logs_in_with_keyboard),
		SSH_TEST(needs_key_and_password),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
