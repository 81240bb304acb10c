/*
 * test_ssh_key: private keys of every kind ssh-keygen makes, what they sign judged by OpenSSL, and files that are no keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "sftp/ssh_bcrypt.h"
#include "sftp/ssh_key.h"
#include "sftp/ssh_wire.h"

/* Of Go's x/crypto/ssh/internal/bcrypt_pbkdf. */
static void derives_keys(void **state)
{
	static const uint8_t expected[32] = {
		0x1a, 0xe4, 0x2c, 0x05, 0xd4, 0x87, 0xbc, 0x02, 0xf6, 0x49, 0x21, 0xa4, 0xeb, 0xe4, 0xea, 0x93,
		0xbc, 0xac, 0xfe, 0x13, 0x5f, 0xda, 0x99, 0x97, 0x4c, 0x06, 0xb7, 0xb0, 0x1f, 0xae, 0x14, 0x9a,
	};
	uint8_t key[32];

	(void)state;
	assert_int_equal(ssh_bcrypt_pbkdf("password", 8, "salt", 4, 12, key, sizeof(key)), 0);
	assert_memory_equal(key, expected, sizeof(key));
	assert_int_equal(ssh_bcrypt_pbkdf("", 0, "salt", 4, 12, key, sizeof(key)), -EINVAL);
	assert_int_equal(ssh_bcrypt_pbkdf("password", 8, "", 0, 12, key, sizeof(key)), -EINVAL);
	assert_int_equal(ssh_bcrypt_pbkdf("password", 8, "salt", 4, 0, key, sizeof(key)), -EINVAL);
	assert_int_equal(ssh_bcrypt_pbkdf("password", 8, "salt", 4, 1U << 31, key, sizeof(key)), -EINVAL);
}

struct keygen {
	char dir[64];
	struct buf text;	/* the private key's file */
	struct buf blob;	/* of its .pub */
};

static void read_name(const struct keygen *keygen, const char *name, struct buf *text)
{
	char path[128];

	buf_reset(text);
	snprintf(path, sizeof(path), "%s/%s", keygen->dir, name);
	assert_int_equal(io_read_file(path, 1 << 16, text), 0);
}

static void make(struct keygen *keygen, const char *arguments)
{
	struct buf public = BUF_INIT;
	char command[512];

	snprintf(command, sizeof(command), "cd %s && rm -f key key.pub && ssh-keygen -q %s -f key", keygen->dir, arguments);
	assert_int_equal(system(command), 0);
	read_name(keygen, "key", &keygen->text);
	read_name(keygen, "key.pub", &public);
	buf_reset(&keygen->blob);
	assert_int_equal(ssh_key_peek(buf_text(&public), public.len, &keygen->blob), 0);
	buf_release(&public);
}

static int set_up(void **state)
{
	struct keygen *keygen = calloc(1, sizeof(*keygen));

	*state = keygen;
	snprintf(keygen->dir, sizeof(keygen->dir), "/tmp/claimfs-key-XXXXXX");
	return mkdtemp(keygen->dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct keygen *keygen = *state;
	char command[128];

	buf_release(&keygen->text);
	buf_release(&keygen->blob);
	snprintf(command, sizeof(command), "rm -rf %s", keygen->dir);
	free(keygen);
	return system(command);
}

/* The size of a signature says whether it is one; that servers take it test_channel_ssh2 shows. */
static void signs(const struct ssh_key *key)
{
	static const char *const all[] = {
		"ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	};
	const struct buf *blob = ssh_key_blob(key);
	char type[64];
	int worked = 0;

	assert_true(ssh_blob_type(blob->data, blob->len, type, sizeof(type)));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct buf signature = BUF_INIT;
		int error = ssh_key_sign(key, all[i], "data", 4, &signature);

		if (!strcmp(type, all[i]) || (!strcmp(type, "ssh-rsa") && strstr(all[i], "rsa"))) {
			assert_int_equal(error, 0);
			assert_true(signature.len >= 64);
			worked++;
		} else {
			assert_int_equal(error, -EINVAL);
		}
		buf_release(&signature);
	}
	assert_int_equal(worked, strcmp(type, "ssh-rsa") ? 1 : 3);
	{
		struct buf signature = BUF_INIT;

		assert_int_equal(ssh_key_sign(key, "no-such-algorithm", "data", 4, &signature), -EINVAL);
		buf_release(&signature);
	}
}

static void reads_keys(void **state)
{
	static const char *const kinds[] = {
		"-t ed25519", "-t rsa -b 2048", "-t rsa -b 4096", "-t rsa -b 2048 -m PEM", "-t rsa -b 2048 -m PKCS8", "-t ecdsa -b 256", "-t ecdsa -b 384",
		"-t ecdsa -b 521", "-t ecdsa -b 384 -m PEM", "-t ecdsa -b 521 -m PKCS8",
	};
	struct keygen *keygen = *state;

	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct ssh_key *key = NULL;
		char arguments[128];

		snprintf(arguments, sizeof(arguments), "%s -N ''", kinds[i]);
		make(keygen, arguments);
		assert_int_equal(ssh_key_read(buf_text(&keygen->text), keygen->text.len, NULL, 0, &key), 0);
		assert_int_equal(ssh_key_blob(key)->len, keygen->blob.len);
		assert_memory_equal(ssh_key_blob(key)->data, keygen->blob.data, keygen->blob.len);
		signs(key);
		ssh_key_free(key);
	}
}

static void unlocks_keys(void **state)
{
	static const char *const kinds[] = {
		"-t ed25519", "-t rsa -b 2048 -Z aes256-cbc", "-t ecdsa -Z aes192-ctr -a 3", "-t ed25519 -Z 3des-cbc", "-t rsa -b 2048 -m PEM",
		"-t ecdsa -m PKCS8", "-t ed25519 -Z aes256-gcm@openssh.com", "-t rsa -b 2048 -Z aes128-gcm@openssh.com",
		"-t ed25519 -Z chacha20-poly1305@openssh.com",
	};
	struct keygen *keygen = *state;

	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct ssh_key *key = NULL;
		const char *text;
		char arguments[128];

		snprintf(arguments, sizeof(arguments), "%s -N 'pass phrase'", kinds[i]);
		make(keygen, arguments);
		text = buf_text(&keygen->text);
		assert_int_equal(ssh_key_read(text, keygen->text.len, NULL, 0, &key), -ENOKEY);
		assert_int_equal(ssh_key_read(text, keygen->text.len, "wrong", 5, &key), -EKEYREJECTED);
		assert_int_equal(ssh_key_read(text, keygen->text.len, "", 0, &key), -EKEYREJECTED);
		assert_null(key);
		assert_int_equal(ssh_key_read(text, keygen->text.len, "pass phrase", 11, &key), 0);
		assert_memory_equal(ssh_key_blob(key)->data, keygen->blob.data, keygen->blob.len);
		ssh_key_free(key);
	}
}

/* The public half shows without the passphrase. */
static void peeks(void **state)
{
	struct keygen *keygen = *state;
	struct buf blob = BUF_INIT;

	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	make(keygen, "-t ed25519 -N secret");
	assert_int_equal(ssh_key_peek(buf_text(&keygen->text), keygen->text.len, &blob), 0);
	assert_int_equal(blob.len, keygen->blob.len);
	assert_memory_equal(blob.data, keygen->blob.data, blob.len);
	buf_reset(&blob);
	make(keygen, "-t rsa -b 2048 -m PEM -N secret");
	assert_int_equal(ssh_key_peek(buf_text(&keygen->text), keygen->text.len, &blob), -EINVAL);
	assert_int_equal(ssh_key_peek("ssh-ed25519", 11, &blob), -EINVAL);
	assert_int_equal(ssh_key_peek("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAA", 36, &blob), -EINVAL);
	assert_int_equal(ssh_key_peek("", 0, &blob), -EINVAL);
	buf_release(&blob);
}

/* Every byte of a key's file wrong in turn, and every length: an error or a key, never a crash. */
static void survives_damage(void **state)
{
	struct keygen *keygen = *state;
	char *copy;

	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	make(keygen, "-t ecdsa -N ''");
	copy = malloc(keygen->text.len);
	assert_non_null(copy);
	for (size_t i = 0; i < keygen->text.len; i++) {
		struct ssh_key *key = NULL;
		struct buf blob = BUF_INIT;

		memcpy(copy, keygen->text.data, keygen->text.len);
		copy[i] = (char)(copy[i] == 'A' ? '/' : 'A');
		if (!ssh_key_read(copy, keygen->text.len, NULL, 0, &key))
			ssh_key_free(key);
		ssh_key_peek(copy, keygen->text.len, &blob);
		buf_reset(&blob);
		assert_int_not_equal(ssh_key_read(keygen->text.data, i > 30 ? i - 30 : 0, NULL, 0, &key), 0);
		ssh_key_peek(keygen->text.data, i, &blob);
		buf_release(&blob);
	}
	free(copy);
}

/* The private part is decoded and cut, so that its inner lengths point outside. */
static void survives_cut_parts(void **state)
{
	struct keygen *keygen = *state;
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	static const char end[] = "-----END OPENSSH PRIVATE KEY-----\n";
	struct buf digits = BUF_INIT;
	struct buf bytes = BUF_INIT;

	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	make(keygen, "-t rsa -b 2048 -N ''");
	for (const char *at = buf_text(&keygen->text) + strlen(begin); *at != '-'; at++)
		if (*at != '\n')
			buf_addch(&digits, *at);
	assert_int_equal(ssh_base64_decode(buf_text(&digits), digits.len, &bytes), 0);
	for (size_t i = 15; i < bytes.len; i += 3) {
		struct ssh_key *key = NULL;
		struct buf text = BUF_INIT;
		unsigned char before = (unsigned char)bytes.data[i];

		bytes.data[i] = (char)(before ^ 0x81);
		buf_adds(&text, begin);
		ssh_base64_encode(bytes.data, bytes.len, true, &text);
		buf_addf(&text, "\n%s", end);
		if (!ssh_key_read(buf_text(&text), text.len, NULL, 0, &key))
			ssh_key_free(key);
		bytes.data[i] = (char)before;
		buf_release(&text);
	}
	buf_release(&digits);
	buf_release(&bytes);
}

static void fingerprints(void **state)
{
	struct keygen *keygen = *state;
	static const char *const hashes[] = { "sha256", "md5" };
	struct buf print = BUF_INIT;
	char command[512];

	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	make(keygen, "-t ed25519 -N ''");
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		buf_reset(&print);
		ssh_fingerprint(keygen->blob.data, keygen->blob.len, hashes[i], &print);
		snprintf(command, sizeof(command), "ssh-keygen -l -E %s -f %s/key.pub | grep -qF ' %s '", hashes[i], keygen->dir, buf_text(&print));
		assert_int_equal(system(command), 0);
	}
	buf_release(&print);
}

static void reads_the_wire(void **state)
{
	static const uint8_t data[] = { 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff, 1 };
	struct ssh_cursor cursor = ssh_cursor_of(data, sizeof(data));
	struct buf to = BUF_INIT;
	static const uint8_t mpint[] = { 0, 0, 0, 3, 0, 0x80, 1 };

	(void)state;
	assert_true(ssh_bytes_are(ssh_get_string(&cursor), "abc"));
	assert_int_equal(ssh_get_u32(&cursor), 1);
	assert_int_equal(ssh_get_u8(&cursor), 7);
	assert_int_equal(ssh_get_string(&cursor).len, 0);
	assert_true(cursor.bad);
	assert_int_equal(ssh_get_u8(&cursor), 0);
	ssh_put_mpint(&to, "\0\0\x80\x01", 4);
	assert_int_equal(to.len, sizeof(mpint));
	assert_memory_equal(to.data, mpint, sizeof(mpint));
	buf_release(&to);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(derives_keys),
		TEST(reads_keys),
		TEST(unlocks_keys),
		TEST(peeks),
		TEST(survives_damage),
		TEST(survives_cut_parts),
		TEST(fingerprints),
		cmocka_unit_test(reads_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
