/*
 * test_ssh_hostkey: whom to trust: known, unknown, changed and revoked host keys of real servers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "sftp/ssh_hostkey.h"
#include "sftp/ssh_wire.h"
#include "tests/fake/ssh_fixture.h"

/* ---- host keys ---- */

static void refuses_unknown_hosts(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	sshd_write(&fixture->sshd, "known_hosts", "");
	ssh_assert_refused(fixture, -EACCES, "SHA256:");	/* ask, and nobody to ask */
	assert_non_null(strstr(buf_text(&fixture->why), "/config -o StrictHostKeyChecking=ask disk exit"));
	sshd_run(&fixture->sshd, "sed -i '1a StrictHostKeyChecking yes' config");
	ssh_assert_refused(fixture, -EACCES, "StrictHostKeyChecking is yes");
	sshd_run(&fixture->sshd, "sed -i '1a FingerprintHash md5' config");
	ssh_assert_refused(fixture, -EACCES, "MD5:");
}

static void accepts_new_hosts(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, " StrictHostKeyChecking accept-new\n HashKnownHosts yes\n");
	sshd_run(&fixture->sshd, "rm known_hosts");
	ssh_assert_echoes(fixture);
	sshd_run(&fixture->sshd, "grep -q '^|1|' known_hosts && ssh-keygen -F '[127.0.0.1]:%d' -f known_hosts >/dev/null", fixture->sshd.port);
	sshd_run(&fixture->sshd, "sed -i '1a StrictHostKeyChecking yes' config");
	ssh_assert_echoes(fixture);
	sshd_run(&fixture->sshd, "test $(wc -l <known_hosts) = 1");
}

static void asks_about_hosts(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	sshd_write(&fixture->sshd, "known_hosts", "");
	ssh_make_askpass(fixture, "no\n");
	ssh_assert_refused(fixture, -EACCES, "not accepted");
	ssh_make_askpass(fixture, "perhaps\n");
	ssh_assert_refused(fixture, -EACCES, "not accepted");
	ssh_make_askpass(fixture, "yes\n");
	ssh_assert_echoes(fixture);
	sshd_run(&fixture->sshd, "grep -q authenticity asked && test -s known_hosts");
}

static void finds_known_hosts(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, " StrictHostKeyChecking yes\n");
	ssh_set_known(fixture, "[127.0.0.*]:%2$d %1$s", "host_ed25519");
	ssh_assert_echoes(fixture);
	ssh_set_known(fixture, "127.0.0.1 %1$s", "host_ed25519");		/* without its port */
	ssh_assert_echoes(fixture);
	ssh_set_known(fixture, "*,![127.0.0.1]:%2$d,!127.0.0.1 %1$s", "host_ed25519");
	ssh_assert_refused(fixture, -EACCES, "isn't known");
	sshd_run(&fixture->sshd, "sed -i '1a HostKeyAlias elsewhere' config");
	ssh_set_known(fixture, "elsewhere %1$s", "host_ed25519");
	ssh_assert_echoes(fixture);
	sshd_run(&fixture->sshd, "ssh-keygen -q -H -f known_hosts >/dev/null 2>&1");
	ssh_assert_echoes(fixture);
}

static void refuses_changed_keys(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519", NULL, NULL);
	sshd_run(&fixture->sshd, "ssh-keygen -q -t ed25519 -N '' -f host_other");
	ssh_set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_other");
	ssh_assert_refused(fixture, -EACCES, "HAS CHANGED");
	assert_non_null(strstr(buf_text(&fixture->why), "ssh-keygen -f"));
	sshd_run(&fixture->sshd, "sed -i '1a StrictHostKeyChecking accept-new' config");
	ssh_assert_refused(fixture, -EACCES, "HAS CHANGED");
	sshd_run(&fixture->sshd, "sed -i '2s/.*/StrictHostKeyChecking no/' config");
	ssh_assert_echoes(fixture);		/* with a key; passwords would be off */
	ssh_set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_ed25519");
	sshd_run(&fixture->sshd, "sed 's/^/@revoked /' known_hosts >r && cat r >>known_hosts");
	ssh_assert_echoes(fixture);		/* as with ssh; passwords would be off here too */
	sshd_run(&fixture->sshd, "sed -i '2s/.*/StrictHostKeyChecking accept-new/' config");
	ssh_assert_refused(fixture, -EACCES, "revoked");
}

/* The blob of an RSA key with so many bits, a multiple of 8. */
static void make_rsa(struct buf *blob, size_t bits)
{
	static const unsigned char exponent[] = { 1, 0, 1 };
	unsigned char modulus[512] = { 0x80 };

	ssh_put_string(blob, "ssh-rsa", 7);
	ssh_put_mpint(blob, exponent, sizeof(exponent));
	ssh_put_mpint(blob, modulus, bits / 8);
}

static void refuses_short_rsa_keys(void **state)
{
	static const char text[] = "requiredrsasize 2048\nuserknownhostsfile none\nglobalknownhostsfile none\nstricthostkeychecking no\n";
	struct ssh_hostkey_peer peer = { .address = "", .accept_command = "" };
	struct ssh_hostkeys keys = { 0 };
	struct sshconf conf;
	size_t bits;

	(void)state;
	sshconf_init(&conf);
	assert_int_equal(sshconf_parse("h", text, strlen(text), &conf), 0);
	assert_int_equal(ssh_hostkeys_load(&conf, &keys), 0);
	for (bits = 1024; bits <= 2048; bits += 512) {
		struct buf blob = BUF_INIT, why = BUF_INIT;
		bool unsafe = false;
		int error;

		make_rsa(&blob, bits);
		assert_int_equal(ssh_blob_rsa_bits(blob.data, blob.len), bits);
		error = ssh_hostkeys_verify(&keys, blob.data, blob.len, &peer, NULL, NULL, &unsafe, &why);
		assert_int_equal(error, bits < 2048 ? -EACCES : 0);
		assert_int_equal(strstr(buf_text(&why), "RequiredRSASize (2048)") != NULL, bits < 2048);
		buf_release(&blob);
		buf_release(&why);
	}
	ssh_hostkeys_release(&keys);
	sshconf_release(&conf);
}

/* The server has several keys; the one that is known must be asked for. */
static void prefers_known_kinds(void **state)
{
	SSH_NEEDS_SSHD(state);
	ssh_start(fixture, "host_ed25519 host_ecdsa host_rsa", NULL, " StrictHostKeyChecking yes\n");
	ssh_assert_echoes(fixture);
	ssh_set_known(fixture, "[127.0.0.1]:%2$d %1$s", "host_ecdsa");
	ssh_assert_echoes(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SSH_TEST(refuses_unknown_hosts),
		SSH_TEST(accepts_new_hosts),
		SSH_TEST(asks_about_hosts),
		SSH_TEST(finds_known_hosts),
		SSH_TEST(refuses_changed_keys),
		cmocka_unit_test(refuses_short_rsa_keys),
		SSH_TEST(prefers_known_kinds),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
