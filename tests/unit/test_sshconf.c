/*
 * test_sshconf: what `ssh -G` says, parsed; and asked of the real ssh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "sftp/ssh_child.h"
#include "sftp/sshconf.h"

static void parse(struct sshconf *conf, const char *spec, const char *text)
{
	sshconf_init(conf);
	assert_int_equal(sshconf_parse(spec, text, strlen(text), conf), 0);
}

static void parses_settings(void **state)
{
	struct sshconf conf;

	(void)state;
	parse(&conf, "joe@alias", "host alias\nuser joe\nhostname real.example.com\nport 2222\nidentityfile /k/one\nidentityfile /k/two\n"
	      "stricthostkeychecking accept-new\nuserknownhostsfile /a /b\nglobalknownhostsfile none\nconnecttimeout 7\n"
	      "compression yes\nidentitiesonly yes\nproxyjump none\nciphers aes128-ctr,aes256-ctr\npubkeyauthentication host-bound\n"
	      "hostkeyalias other\nserveraliveinterval 15\nsetenv A=b c\nsetenv D=\nconnectionattempts 3\nrequiredrsasize 2048\nsomethingnew 17\nbroken\n");
	assert_string_equal(conf.host, "alias");
	assert_string_equal(conf.hostname, "real.example.com");
	assert_string_equal(conf.user, "joe");
	assert_int_equal(conf.port, 2222);
	assert_string_equal(conf.identityfiles[0], "/k/one");
	assert_string_equal(conf.identityfiles[1], "/k/two");
	assert_null(conf.identityfiles[2]);
	assert_int_equal(conf.strict, SSHCONF_STRICT_ACCEPT_NEW);
	assert_string_equal(conf.userknownhosts[0], "/a");
	assert_string_equal(conf.userknownhosts[1], "/b");
	assert_null(conf.globalknownhosts[0]);
	assert_int_equal(conf.connecttimeout, 7);
	assert_true(conf.compression && conf.identitiesonly && conf.pubkeyauthentication);
	assert_null(conf.proxyjump);
	assert_string_equal(conf.hostkeyalias, "other");
	assert_int_equal(conf.serveraliveinterval, 15);
	assert_string_equal(conf.setenv[0], "A=b c");
	assert_string_equal(conf.setenv[1], "D=");
	assert_null(conf.setenv[2]);
	assert_int_equal(conf.connectionattempts, 3);
	assert_int_equal(conf.requiredrsasize, 2048);
	assert_false(conf.rekeylimit);
	sshconf_release(&conf);
}

/* Of the names that ssh prints for IPQoS, the second; a name of a later ssh changes nothing. */
static void quality_of_service(void **state)
{
	static const struct {
		const char *line;
		int tos;
	} cases[] = {
		{ "ipqos lowdelay throughput\n", 0x08 }, { "ipqos ef le\n", 0x04 }, { "ipqos af11 af11\n", 0x28 }, { "ipqos cs0 af42\n", 0x90 },
		{ "ipqos ef cs0\n", 0x00 }, { "ipqos cs0 cs7\n", 0xe0 }, { "ipqos cs0 ef\n", 0xb8 }, { "ipqos lowdelay reliability\n", 0x04 },
		{ "ipqos lowdelay lowdelay\n", 0x10 }, { "ipqos none 0xfe\n", 0xfe }, { "ipqos ef none\n", -1 }, { "ipqos ef\n", 0xb8 },
		{ "ipqos ef af51\n", -1 }, { "ipqos ef cs8\n", -1 }, { "ipqos ef 0x100\n", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sshconf conf;

		parse(&conf, "h", cases[i].line);
		assert_int_equal(conf.tos, cases[i].tos);
		sshconf_release(&conf);
	}
}

/* ssh -G quotes nothing: a word that can't begin the name of a file goes on with the one before. */
static void known_hosts_with_blanks(void **state)
{
	struct sshconf conf;

	(void)state;
	parse(&conf, "h", "userknownhostsfile /a b  c /d ~nosuchuser/x\nglobalknownhostsfile known hosts\n");
	assert_string_equal(conf.userknownhosts[0], "/a b  c");
	assert_string_equal(conf.userknownhosts[1], "/d");
	assert_null(conf.userknownhosts[2]);
	assert_string_equal(conf.globalknownhosts[0], "known hosts");
	assert_null(conf.globalknownhosts[1]);
	sshconf_release(&conf);
}

static void strict_words(void **state)
{
	static const struct {
		const char *line;
		int strict;
	} words[] = {
		{ "stricthostkeychecking true\n", SSHCONF_STRICT_YES }, { "stricthostkeychecking ask\n", SSHCONF_STRICT_ASK },
		{ "stricthostkeychecking false\n", SSHCONF_STRICT_NO }, { "stricthostkeychecking off\n", SSHCONF_STRICT_NO },
		{ "stricthostkeychecking wat\n", SSHCONF_STRICT_ASK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct sshconf conf;

		parse(&conf, "h", words[i].line);
		assert_int_equal(conf.strict, words[i].strict);
		sshconf_release(&conf);
	}
}

static void expands_tokens(void **state)
{
	struct sshconf conf;
	struct buf text = BUF_INIT;
	struct passwd *me = getpwuid(getuid());
	char expected[4096];

	(void)state;
	setenv("SSHCONF_TEST", "value", 1);
	parse(&conf, "joe@alias", "hostname real\nport 2222\nuser joe\nidentityfile ~/.ssh/%h-%p-%r-%n-%%\nidentityfile /bad/%Q\n"
	      "identityfile /env/${SSHCONF_TEST}/x\nidentityfile /no/${SSHCONF_UNSET}\n");
	snprintf(expected, sizeof(expected), "%s/.ssh/real-2222-joe-alias-%%", me->pw_dir);
	assert_string_equal(conf.identityfiles[0], expected);
	assert_string_equal(conf.identityfiles[1], "/env/value/x");
	assert_null(conf.identityfiles[2]);	/* unknown tokens and variables leave the file out */
	assert_int_equal(sshconf_expand(&conf, "trailing%", &text), -EINVAL);
	buf_reset(&text);
	assert_int_equal(sshconf_expand(&conf, "%C", &text), 0);
	assert_int_equal(text.len, 40);
	buf_release(&text);
	sshconf_release(&conf);
}

static void resolves_agent(void **state)
{
	struct sshconf conf;

	(void)state;
	parse(&conf, "h", "identityagent none\n");
	assert_string_equal(conf.identityagent, "none");
	sshconf_release(&conf);
	parse(&conf, "h", "identityagent SSH_AUTH_SOCK\n");
	assert_null(conf.identityagent);
	sshconf_release(&conf);
	setenv("SSHCONF_AGENT", "/run/agent", 1);
	parse(&conf, "h", "identityagent $SSHCONF_AGENT\n");
	assert_string_equal(conf.identityagent, "/run/agent");
	sshconf_release(&conf);
	parse(&conf, "h", "identityagent $SSHCONF_UNSET\n");
	assert_string_equal(conf.identityagent, "none");
	sshconf_release(&conf);
}

static void refuses_hosts(void **state)
{
	static const char *const bad[] = { "-oProxyCommand=x", "joe@-x", "", "joe@", "a b", "a\nb", "-x@host" };
	static const char *const good[] = { "host", "joe@host", "::1", "joe@[fe80::1%eth0]", "a@b@c" };
	struct buf why = BUF_INIT;
	char *host;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&why);
		assert_int_equal(sshconf_check_host(bad[i], &why), -EINVAL);
		assert_true(why.len > 0);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(sshconf_check_host(good[i], &why), 0);
	host = sshconf_host_of("joe@[::1]");
	assert_string_equal(host, "::1");
	free(host);
	buf_release(&why);
}

static void finds_words(void **state)
{
	(void)state;
	assert_true(sshconf_list_has("a,bc,d", "bc"));
	assert_true(sshconf_list_has("a,bc,d", "d"));
	assert_false(sshconf_list_has("a,bc,d", "b"));
	assert_false(sshconf_list_has("abc", "a"));
	assert_false(sshconf_list_has("", "a"));
	assert_false(sshconf_list_has(NULL, "a"));
}

/* The real ssh, with a configuration of our own. */
static void asks_ssh(void **state)
{
	char dir[] = "/tmp/claimfs-sshconf-XXXXXX";
	char *args[] = { "ServerAliveInterval=21", NULL };
	struct sshconf_query query = { .host = "joe@alias", .ssh_args = args };
	struct sshconf conf;
	struct buf path = BUF_INIT;
	struct buf why = BUF_INIT;
	static const char text[] = "Host alias\n HostName 192.0.2.1\n Port 2022\n IdentityFile /nowhere/key\n StrictHostKeyChecking no\n";
	static const char bad[] = "Host alias\n Ciphers no-such-cipher\n";

	(void)state;
	if (access("/usr/bin/ssh", X_OK))
		skip();
	assert_non_null(mkdtemp(dir));
	buf_addf(&path, "%s/config", dir);
	assert_int_equal(io_write_file(buf_text(&path), text, strlen(text), 0600), 0);
	query.config_file = buf_text(&path);
	sshconf_init(&conf);
	assert_int_equal(sshconf_load(&query, &conf, &why), 0);
	assert_true(conf.from_ssh);
	assert_string_equal(conf.hostname, "192.0.2.1");
	assert_string_equal(conf.user, "joe");
	assert_int_equal(conf.port, 2022);
	assert_int_equal(conf.serveraliveinterval, 21);
	assert_int_equal(conf.strict, SSHCONF_STRICT_NO);
	assert_string_equal(conf.identityfiles[0], "/nowhere/key");
	assert_non_null(conf.ciphers);
	sshconf_release(&conf);

	query.port = 2023;
	sshconf_init(&conf);
	assert_int_equal(sshconf_load(&query, &conf, &why), 0);
	assert_int_equal(conf.port, 2023);
	sshconf_release(&conf);

	args[0] = "NoSuchOption=1";
	sshconf_init(&conf);
	assert_int_equal(sshconf_load(&query, &conf, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "nosuchoption"));
	assert_null(strchr(buf_text(&why), '\n'));
	sshconf_release(&conf);

	/* Of a file ssh says last how many lines are bad, and before that which. */
	args[0] = NULL;
	assert_int_equal(io_write_file(buf_text(&path), bad, strlen(bad), 0600), 0);
	buf_reset(&why);
	sshconf_init(&conf);
	assert_int_equal(sshconf_load(&query, &conf, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "line 2: Bad SSH2 cipher spec 'no-such-cipher'"));
	assert_null(strchr(buf_text(&why), '\n'));
	sshconf_release(&conf);
	unlink(buf_text(&path));
	rmdir(dir);
	buf_release(&path);
	buf_release(&why);
}

static void without_ssh(void **state)
{
	struct sshconf_query query = { .host = "joe@h", .ssh_program = "/nonexistent/ssh", .port = 2200 };
	struct sshconf conf;
	struct buf why = BUF_INIT;

	(void)state;
	sshconf_init(&conf);
	assert_int_equal(sshconf_load(&query, &conf, &why), 0);
	assert_false(conf.from_ssh);
	assert_string_equal(conf.hostname, "h");
	assert_string_equal(conf.user, "joe");
	assert_int_equal(conf.port, 2200);
	assert_non_null(strstr(conf.identityfiles[0], "/.ssh/id_"));
	assert_non_null(strstr(conf.userknownhosts[0], "/.ssh/known_hosts"));
	assert_string_equal(conf.globalknownhosts[0], "/etc/ssh/ssh_known_hosts");
	sshconf_release(&conf);
	buf_release(&why);
}

/* ---- ssh_child ---- */

static void assert_words(char **argv, const char *const *expected)
{
	for (; *expected; argv++, expected++)
		assert_string_equal(*argv, *expected);
	assert_null(*argv);
}

static void child_words(void **state)
{
	char *args[] = { "User=joe", NULL };
	struct sshconf_query query = { .host = "h", .port = 22, .config_file = "/c f", .ssh_args = args };
	struct ssh_child_words words = { .command = "my\\ ssh 'a \"b' \"c d\" e", .query = &query, .sftp_server = "sftp", .batch = true };
	static const char *const subsystem[] = {
		"my ssh", "a \"b", "c d", "e", "-x", "-a", "-T", "-oForwardAgent=no", "-oForwardX11=no", "-oClearAllForwardings=yes",
		"-oPermitLocalCommand=no", "-oRemoteCommand=none", "-oBatchMode=yes", "-F", "/c f", "-o", "User=joe", "-p22", "-s", "--",
		"h", "sftp", NULL,
	};
	static const char *const own_connection[] = {
		"ssh", "-x", "-a", "-T", "-oForwardAgent=no", "-oForwardX11=no", "-oClearAllForwardings=yes", "-oPermitLocalCommand=no",
		"-oRemoteCommand=none", "-oControlPath=none", "-oCiphers=^a", "-F", "/c f", "-o", "User=joe", "-p22", "--", "h", "/bin/server", NULL,
	};
	static const char *const undone[] = {
		"ssh", "-x", "-a", "-T", "-oForwardAgent=no", "-oForwardX11=no", "-oClearAllForwardings=yes", "-oPermitLocalCommand=no",
		"-oRemoteCommand=none", "-oForkAfterAuthentication=no", "-oStdinNull=no", "-oSessionType=default", "-oControlPath=none",
		"-oCiphers=^a", "-F", "/c f", "-o", "User=joe", "-p22", "--", "h", "/bin/server", NULL,
	};
	char **argv = NULL;
	struct buf why = BUF_INIT;
	struct sshconf conf;
	const char *text;

	(void)state;
	assert_int_equal(ssh_child_argv(&words, &argv, &why), 0);
	assert_words(argv, subsystem);
	sshconf_strings_free(argv);
	words = (struct ssh_child_words){ .query = &query, .sftp_server = "/bin/server", .own_connection = true, .cipher = "a" };
	assert_int_equal(ssh_child_argv(&words, &argv, &why), 0);
	assert_words(argv, own_connection);
	sshconf_strings_free(argv);
	sshconf_init(&conf);
	text = "sessiontype subsystem\nstdinnull yes\nforkafterauthentication yes\n";
	assert_int_equal(sshconf_parse("h", text, strlen(text), &conf), 0);
	words.conf = &conf;
	assert_int_equal(ssh_child_argv(&words, &argv, &why), 0);
	assert_words(argv, undone);
	sshconf_strings_free(argv);
	sshconf_release(&conf);
	words.conf = NULL;
	words.command = "ssh 'unended";
	assert_int_equal(ssh_child_argv(&words, &argv, &why), -EINVAL);
	words.command = "  ";
	assert_int_equal(ssh_child_argv(&words, &argv, &why), -EINVAL);
	buf_reset(&why);
	ssh_child_accept_command(&query, &why);
	assert_string_equal(buf_text(&why), "ssh -F '/c f' -o User=joe -p 22 -o StrictHostKeyChecking=ask h exit");
	buf_release(&why);
}

static void child_needed(void **state)
{
	static const struct {
		const char *text;
		bool needed;
	} cases[] = {
		{ "proxyjump bastion\n", true },
		{ "proxycommand nc %h %p\n", true },
		{ "pkcs11provider /usr/lib/p11.so\n", true },
		{ "certificatefile /etc/hostname\n", true },
		{ "certificatefile /nonexistent\n", false },
		{ "proxyjump none\n", false },
		{ "bindinterface eth0\n", true },
		{ "revokedhostkeys /etc/ssh/revoked\n", true },
		{ "knownhostscommand /bin/true\n", true },
		{ "verifyhostkeydns false\n", false },
		{ "verifyhostkeydns ask\n", true },
		{ "gssapiauthentication yes\n", false },
		{ "rekeylimit 0 0\n", false },
		{ "rekeylimit 1073741824 3600\n", true },
		{ "rekeylimit 0 3600\n", true },
		{ "gssapiauthentication yes\npubkeyauthentication false\npasswordauthentication no\nkbdinteractiveauthentication no\n", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sshconf conf;
		struct buf reason = BUF_INIT;

		parse(&conf, "h", cases[i].text);
		assert_int_equal(ssh_child_needed(&conf, false, &reason), cases[i].needed);
		assert_int_equal(reason.len > 0, cases[i].needed);
		buf_release(&reason);
		sshconf_release(&conf);
	}
}

/* A password that was given can't be handed to a child, and what is merely better done there stays here. */
static void child_needed_with_a_password(void **state)
{
	struct sshconf conf;
	struct buf reason = BUF_INIT;

	(void)state;
	parse(&conf, "h", "rekeylimit 1073741824 0\n");
	assert_false(ssh_child_needed(&conf, true, &reason));
	assert_int_equal(reason.len, 0);
	sshconf_release(&conf);
	parse(&conf, "h", "proxyjump bastion\n");
	assert_true(ssh_child_needed(&conf, true, &reason));
	sshconf_release(&conf);
	buf_release(&reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_settings),
		cmocka_unit_test(quality_of_service),
		cmocka_unit_test(known_hosts_with_blanks),
		cmocka_unit_test(strict_words),
		cmocka_unit_test(expands_tokens),
		cmocka_unit_test(resolves_agent),
		cmocka_unit_test(refuses_hosts),
		cmocka_unit_test(finds_words),
		cmocka_unit_test(asks_ssh),
		cmocka_unit_test(without_ssh),
		cmocka_unit_test(child_words),
		cmocka_unit_test(child_needed),
		cmocka_unit_test(child_needed_with_a_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
