/*
 * test_known_hosts: matching as OpenSSH does, on files ssh-keygen could have written and on nonsense.
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
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "sftp/known_hosts.h"
#include "sftp/ssh_wire.h"

/* ssh-ed25519 blobs, recognisable by their last letter. */
#define KEY_A "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"
#define KEY_C "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAC"
#define RSA_A "AAAAB3NzaC1yc2EAAAADAQABAAAAAQE="

static void matches(void **state)
{
	static const struct {
		const char *field;
		const char *name;
		bool match;
	} cases[] = {
		{ "host", "host", true },
		{ "HOST", "host", true },
		{ "host", "hosts", false },
		{ "hosts", "host", false },
		{ "a,host,b", "host", true },
		{ ",,host", "host", true },
		{ "*.example.com", "a.example.com", true },
		{ "*.example.com", "example.com", false },
		{ "192.0.2.?", "192.0.2.7", true },
		{ "192.0.2.?", "192.0.2.77", false },
		{ "*.example.com,!bad.example.com", "bad.example.com", false },
		{ "!bad.example.com,*.example.com", "bad.example.com", false },
		{ "*.example.com,!bad.example.com", "good.example.com", true },
		{ "!bad.example.com", "good.example.com", false },
		{ "[host]:2222", "[host]:2222", true },
		{ "[host]:2222", "[host]:2223", false },
		{ "[*.example.com]:2222", "[a.example.com]:2222", true },
		{ "host", "[host]:2222", false },
		{ "*", "anything", true },
		{ "a*b*c", "axxbxxc", true },
		{ "a*b*c", "axxbxx", false },
		{ "a**", "a", true },
		{ "", "host", false },
		{ "!", "host", false },
		/* ssh-keygen -H of "host.example.com" */
		{ "|1|gFdGu/XkGWMm/Hn3XANLyVpsGgo=|nonsense", "host.example.com", false },
		{ "|1||", "host", false },
		{ "|1|AAAA|AAAA", "host", false },
		{ "|2|gFdGu/XkGWMm/Hn3XANLyVpsGgo=|gFdGu/XkGWMm/Hn3XANLyVpsGgo=", "host", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (known_hosts_match(cases[i].field, strlen(cases[i].field), cases[i].name) != cases[i].match)
			fail_msg("'%s' against '%s'", cases[i].field, cases[i].name);
}

/* A pattern that makes a recursive matcher take for ever. */
static void matches_quickly(void **state)
{
	char pattern[201];
	char name[501];

	(void)state;
	for (int i = 0; i < 200; i += 2) {
		pattern[i] = 'a';
		pattern[i + 1] = '*';
	}
	pattern[199] = 'b';
	pattern[200] = '\0';
	memset(name, 'a', 500);
	name[500] = '\0';
	assert_false(known_hosts_match(pattern, strlen(pattern), name));
}

static void names(void **state)
{
	static const struct {
		const char *host;
		int port;
		const char *alias;
		const char *expected;
	} cases[] = {
		{ "Host.Example.COM", 22, NULL, "host.example.com" },
		{ "host", 2222, NULL, "[host]:2222" },
		{ "::1", 2222, NULL, "[::1]:2222" },
		{ "host", 2222, "Alias", "Alias" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf name = BUF_INIT;

		known_hosts_name(cases[i].host, cases[i].port, cases[i].alias, &name);
		assert_string_equal(buf_text(&name), cases[i].expected);
		buf_release(&name);
	}
}

struct file {
	char path[64];
	struct known_hosts known;
	char *files[3];
};

static void file_load(struct file *file, const char *text, size_t len, const char *name)
{
	memset(file, 0, sizeof(*file));
	snprintf(file->path, sizeof(file->path), "/tmp/claimfs-known-%d", (int)getpid());
	assert_int_equal(io_write_file(file->path, text, len, 0600), 0);
	file->files[0] = "/nonexistent/known_hosts";
	file->files[1] = file->path;
	assert_int_equal(known_hosts_load(file->files, name, &file->known), 0);
}

static void file_end(struct file *file)
{
	known_hosts_release(&file->known);
	unlink(file->path);
}

static enum known_hosts_status check(const struct file *file, const char *key, const struct known_hosts_entry **ret_found)
{
	struct buf blob = BUF_INIT;
	enum known_hosts_status status;

	assert_int_equal(ssh_base64_decode(key, strlen(key), &blob), 0);
	status = known_hosts_check(&file->known, blob.data, blob.len, ret_found);
	buf_release(&blob);
	return status;
}

static void judges(void **state)
{
	static const char text[] =
		"# comment\n"
		"\n"
		"   \t \n"
		"other ssh-ed25519 " KEY_C "\n"
		"host ssh-ed25519 " KEY_A " comment with words\n"
		"host ssh-rsa " RSA_A "\r\n"
		"@revoked * ssh-ed25519 " KEY_C "\n"
		"@cert-authority host ssh-ed25519 " KEY_B "\n"
		"@wat host ssh-ed25519 " KEY_B "\n"
		"@revoked @revoked host ssh-ed25519 " KEY_A "\n"
		"host 1024 35 1234567890\n"
		"host ssh-rsa " KEY_B "\n"
		"host ssh-ed25519 not!base64\n"
		"host ssh-ed25519\n"
		"host";
	const struct known_hosts_entry *found;
	struct file file;

	(void)state;
	file_load(&file, text, strlen(text), "host");
	assert_int_equal(check(&file, KEY_A, &found), KNOWN_HOSTS_OK);
	assert_int_equal(found->line, 5);
	assert_int_equal(check(&file, RSA_A, &found), KNOWN_HOSTS_OK);
	assert_int_equal(check(&file, KEY_B, &found), KNOWN_HOSTS_CHANGED);	/* a CA's key is not a host's */
	assert_int_equal(found->line, 6);
	assert_int_equal(check(&file, KEY_C, &found), KNOWN_HOSTS_REVOKED);
	assert_true(known_hosts_has(&file.known, KNOWN_HOSTS_PLAIN, "ssh-ed25519"));
	assert_true(known_hosts_has(&file.known, KNOWN_HOSTS_CA, NULL));
	assert_false(known_hosts_has(&file.known, KNOWN_HOSTS_PLAIN, "ecdsa-sha2-nistp256"));
	file_end(&file);

	file_load(&file, text, strlen(text), "stranger");
	assert_int_equal(check(&file, KEY_A, &found), KNOWN_HOSTS_NEW);
	assert_int_equal(check(&file, KEY_C, &found), KNOWN_HOSTS_REVOKED);
	file_end(&file);
}

/* A revoked key is refused even when the same file also lists it as good, whichever comes first. */
static void revoked_wins(void **state)
{
	static const char *const texts[] = {
		"host ssh-ed25519 " KEY_A "\n@revoked host ssh-ed25519 " KEY_A "\n",
		"@revoked host ssh-ed25519 " KEY_A "\nhost ssh-ed25519 " KEY_A "\n",
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct known_hosts_entry *found;
		struct file file;

		file_load(&file, texts[i], strlen(texts[i]), "host");
		assert_int_equal(check(&file, KEY_A, &found), KNOWN_HOSTS_REVOKED);
		file_end(&file);
	}
}

/* Lines of a megabyte, NULs, high bytes: what follows is still found. */
static void survives_garbage(void **state)
{
	struct buf text = BUF_INIT;
	const struct known_hosts_entry *found;
	struct file file;

	(void)state;
	for (int i = 0; i < 1 << 20; i++)
		buf_addch(&text, 'a' + i % 26);
	buf_addch(&text, '\n');
	buf_add(&text, "\0\0host\0 x\n\xff\xfe\n@\n@ \n|\n|1|\n,\n! \n", 26);
	buf_addch(&text, '\n');
	for (int i = 0; i < 100000; i++)
		buf_adds(&text, "name,");
	buf_adds(&text, "host ssh-ed25519 " KEY_A "\n");
	file_load(&file, text.data, text.len, "host");
	assert_int_equal(check(&file, KEY_A, &found), KNOWN_HOSTS_OK);
	file_end(&file);
	buf_release(&text);
}

static size_t lines_of(const char *path)
{
	struct buf text = BUF_INIT;
	size_t lines = 0;

	assert_int_equal(io_read_file(path, 1 << 20, &text), 0);
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	buf_release(&text);
	return lines;
}

static void adds(void **state)
{
	char dir[] = "/tmp/claimfs-known-XXXXXX";
	char path[128];
	char *files[] = { path, NULL };
	struct buf blob = BUF_INIT;
	struct stat stat_;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ssh/known_hosts", dir);
	assert_int_equal(ssh_base64_decode(KEY_A, strlen(KEY_A), &blob), 0);
	assert_int_equal(known_hosts_add(path, "[host]:2222", blob.data, blob.len, false), 0);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
	assert_int_equal(truncate(path, stat_.st_size - 1), 0);		/* a last line without its newline */
	assert_int_equal(known_hosts_add(path, "hashed.example.com", blob.data, blob.len, true), 0);
	assert_int_equal(lines_of(path), 2);
	for (int i = 0; i < 2; i++) {
		struct known_hosts known = { 0 };
		const struct known_hosts_entry *found;

		assert_int_equal(known_hosts_load(files, i ? "hashed.example.com" : "[host]:2222", &known), 0);
		assert_int_equal(known.count, 1);
		assert_int_equal(known_hosts_check(&known, blob.data, blob.len, &found), KNOWN_HOSTS_OK);
		assert_int_equal(found->line, i + 1);
		known_hosts_release(&known);
	}
	assert_int_equal(known_hosts_add(path, "host", "junk", 4, false), -EINVAL);
	buf_release(&blob);
	unlink(path);
	snprintf(path, sizeof(path), "%s/ssh", dir);
	rmdir(path);
	rmdir(dir);
}

/* ssh-keygen is the judge of hashed lines: what it hashed we find, what we hashed it finds. */
static void agrees_with_ssh_keygen(void **state)
{
	char dir[] = "/tmp/claimfs-known-XXXXXX";
	char path[128];
	char command[512];
	char *files[] = { path, NULL };
	struct known_hosts known = { 0 };
	struct buf blob = BUF_INIT;

	(void)state;
	if (access("/usr/bin/ssh-keygen", X_OK))
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/known_hosts", dir);
	snprintf(command, sizeof(command), "printf 'one,two ssh-ed25519 %s\\n' >%s && ssh-keygen -q -H -f %s >/dev/null 2>&1", KEY_A, path, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(known_hosts_load(files, "two", &known), 0);
	assert_int_equal(known.count, 1);
	known_hosts_release(&known);
	assert_int_equal(ssh_base64_decode(KEY_B, strlen(KEY_B), &blob), 0);
	assert_int_equal(known_hosts_add(path, "Three.example.com", blob.data, blob.len, true), 0);
	snprintf(command, sizeof(command), "ssh-keygen -F three.example.com -f %s >/dev/null", path);
	assert_int_equal(system(command), 0);
	buf_release(&blob);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void base64(void **state)
{
	static const char *const bad[] = { "A", "AA", "AAA", "A===", "=AAA", "AA=A", "AA A", "AAA\n", "AA==AAAA" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf out = BUF_INIT;

		assert_int_equal(ssh_base64_decode(bad[i], strlen(bad[i]), &out), -EINVAL);
		buf_release(&out);
	}
	for (size_t len = 0; len < 70; len++) {
		unsigned char data[70];
		struct buf text = BUF_INIT;
		struct buf back = BUF_INIT;

		for (size_t i = 0; i < len; i++)
			data[i] = (unsigned char)(i * 37 + len);
		ssh_base64_encode(data, len, true, &text);
		assert_int_equal(ssh_base64_decode(buf_text(&text), text.len, &back), 0);
		assert_int_equal(back.len, len);
		assert_memory_equal(buf_text(&back), data, len);
		buf_release(&text);
		buf_release(&back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(matches_quickly),
		cmocka_unit_test(names),
		cmocka_unit_test(judges),
		cmocka_unit_test(revoked_wins),
		cmocka_unit_test(survives_garbage),
		cmocka_unit_test(adds),
		cmocka_unit_test(agrees_with_ssh_keygen),
		cmocka_unit_test(base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
