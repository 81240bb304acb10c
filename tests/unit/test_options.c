/*
 * test_options: command lines as people, fstab and mount(8) write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The program's own, in no archive. */
#include "options.c"
#include "options_table.c"

struct parsed {
	struct options options;
	struct buf why;
	int error;
};

/* Words split at '|'. */
static struct parsed parse(const char *line)
{
	struct parsed parsed = { .why = BUF_INIT };
	char *copy = strdup(line), *at = copy, *word;
	char *argv[32];
	int argc = 0;

	while ((word = strsep(&at, "|")))
		argv[argc++] = word;
	argv[argc] = NULL;
	parsed.error = options_parse(&parsed.options, argc, argv, &parsed.why);
	free(copy);
	return parsed;
}

static void done(struct parsed *parsed)
{
	options_release(&parsed->options);
	buf_release(&parsed->why);
}

static void expect_error(const char *line, const char *part)
{
	struct parsed parsed = parse(line);

	assert_int_equal(parsed.error, -EINVAL);
	if (!strstr(buf_text(&parsed.why), part))
		fail_msg("\"%s\" says \"%s\", without \"%s\"", line, buf_text(&parsed.why), part);
	assert_null(strchr(buf_text(&parsed.why), '\n'));
	done(&parsed);
}

static void expect_place(const char *spec, const char *host, const char *dir)
{
	struct buf line = BUF_INIT;
	struct parsed parsed;

	buf_addf(&line, "claimfs|%s|/mnt", spec);
	parsed = parse(buf_text(&line));
	assert_int_equal(parsed.error, 0);
	if (host)
		assert_string_equal(parsed.options.host, host);
	else
		assert_null(parsed.options.host);
	assert_string_equal(parsed.options.dir, dir);
	assert_string_equal(parsed.options.mountpoint, "/mnt");
	done(&parsed);
	buf_release(&line);
}

static void test_places(void **state)
{
	(void)state;
	expect_place("host:", "host", ".");
	expect_place("host:/", "host", "/");
	expect_place("host:dir", "host", "dir");
	expect_place("user@host:/a/b", "user@host", "/a/b");
	expect_place("host:a:b", "host", "a:b");
	expect_place("host:~", "host", ".");
	expect_place("host:~/x", "host", "x");
	expect_place("host:~other/x", "host", "~other/x");
	expect_place("[::1]:dir", "::1", "dir");
	expect_place("me@[fe80::1%eth0]:/d", "me@fe80::1%eth0", "/d");
	expect_place("/local/dir", NULL, "/local/dir");
	expect_place("/local/with:colon", NULL, "/local/with:colon");
	expect_place("./a:b", NULL, "./a:b");
	expect_place("dir/with:colon", NULL, "dir/with:colon");
	expect_place("dir", NULL, "dir");
}

static void test_bad_places(void **state)
{
	(void)state;
	expect_error("claimfs|--|-oProxyCommand=x:/d|/mnt", "cannot begin with '-'");
	expect_error("claimfs|--|-host:/d|/mnt", "cannot begin with '-'");
	expect_error("claimfs|me@-host:/d|/mnt", "cannot begin with '-'");
	expect_error("claimfs|[-host]:/d|/mnt", "cannot begin with '-'");
	expect_error("claimfs|me@[-host]:/d|/mnt", "cannot begin with '-'");
	expect_error("claimfs|:/d|/mnt", "missing");
	expect_error("claimfs|me@:/d|/mnt", "missing");
	expect_error("claimfs", "nothing to mount");
	expect_error("claimfs|host:", "no mountpoint");
	expect_error("claimfs|host:|/mnt|/mnt2", "too many");
}

static void test_anywhere(void **state)
{
	struct parsed parsed = parse("claimfs|-f|host:d|-p|2222|/mnt|-o|uid=7,ro|-C|-F|/etc/ssh_config|-s");

	(void)state;
	assert_int_equal(parsed.error, 0);
	assert_true(parsed.options.foreground);
	assert_true(parsed.options.single_thread);
	assert_true(parsed.options.read_only);
	assert_int_equal(parsed.options.uid, 7);
	assert_string_equal(parsed.options.ssh_config, "/etc/ssh_config");
	assert_int_equal(parsed.options.ssh_option_count, 2);
	assert_string_equal(parsed.options.ssh_options[0], "Port=2222");
	assert_string_equal(parsed.options.ssh_options[1], "Compression=yes");
	assert_null(parsed.options.ssh_options[2]);
	assert_string_equal(parsed.options.host, "host");
	done(&parsed);
}

static void test_defaults(void **state)
{
	struct parsed parsed = parse("claimfs|host:d|/mnt");

	(void)state;
	assert_int_equal(parsed.error, 0);
	assert_int_equal(parsed.options.connections, 5);
	assert_true(parsed.options.timeout_ns == 60 * NS_PER_S);
	assert_true(parsed.options.attr_ns == NS_PER_S);
	assert_true(parsed.options.contain_symlinks);
	assert_true(parsed.options.uid == -1);
	assert_string_equal(buf_text(&parsed.options.mount_options), "fsname=host:d,subtype=claimfs");
	done(&parsed);
}

/* What sshfs 3.7.3 takes, itself or through libfuse, and that needs nothing here, is no reason to go back. */
static void test_sshfs_lines(void **state)
{
	struct parsed parsed = parse("claimfs|host:d|/mnt|-o|delay_connect,reconnect,cache_stat_timeout=5,cache_dir_timeout=6,cache_link_timeout=5,"
		"cache_max_size=9,cache_clean_interval=1,cache_min_clean_interval=1,unreliable_append,writeback_cache=no,noauto_cache,clone_fd,"
		"max_threads=4,max_idle_threads=2,noforget,remember=3,sshfs_verbose,auto_unmount,context=system_u:object_r:a_t:s0:c1\\,c2");

	(void)state;
	if (parsed.error)
		fail_msg("%s", buf_text(&parsed.why));
	assert_int_equal(parsed.options.attr_ns, 5 * NS_PER_S);
	assert_int_equal(parsed.options.entry_ns, 6 * NS_PER_S);
	assert_false(parsed.options.debug);
	assert_string_equal(buf_text(&parsed.options.mount_options),
			    "auto_unmount,context=system_u:object_r:a_t:s0:c1\\,c2,fsname=host:d,subtype=claimfs");
	done(&parsed);
	parsed = parse("claimfs|host:d|/mnt|-o|debug");
	assert_true(parsed.options.debug && parsed.options.foreground);
	done(&parsed);
	parsed = parse("claimfs|host:d|/mnt|-o|sshfs_debug");
	assert_true(parsed.options.debug && !parsed.options.foreground);
	done(&parsed);
}

static void test_fstab(void **state)
{
	struct parsed parsed = parse("mount.fuse.claimfs|host:d|/mnt|-s|-n|-v|-o|rw,dev,suid,auto,_netdev,nofail,user=ann,users,"
		"x-systemd.automount,x-gvfs-name=a b,allow_other,noexec,defaults,comment=hello|-t|fuse.claimfs");

	(void)state;
	assert_int_equal(parsed.error, 0);
	assert_false(parsed.options.single_thread);
	assert_false(parsed.options.foreground);
	assert_string_equal(buf_text(&parsed.options.mount_options), "rw,dev,suid,allow_other,noexec,fsname=host:d,subtype=claimfs");
	done(&parsed);
	parsed = parse("/sbin/mount.claimfs|host:d|/mnt|-f");
	assert_int_equal(parsed.error, 0);
	assert_true(parsed.options.fake);
	done(&parsed);
}

static void test_sshfs_names(void **state)
{
	struct parsed parsed = parse("claimfs|host:d|/mnt|-o|reconnect,ServerAliveInterval=5,ServerAliveCountMax=2,max_conns=8,dir_cache=yes,"
		"dcache_timeout=20,entry_timeout=3,kernel_cache,auto_cache,max_read=65536,max_write=64k,direct_io,sshfs_sync,no_readahead,"
		"sync_readdir,idmap=user,nomap=ignore,follow_symlinks,transform_symlinks,no_contain_symlinks,disable_hardlink,"
		"workaround=rename:renamexdev:nofstat,allow_root,default_permissions,umask=022,gid=100,password_stdin,ssh_command=my ssh -v,"
		"sftp_server=/x/sftp,directport=2,compression=no,port=23");
	const struct options *options = &parsed.options;

	(void)state;
	assert_string_equal(buf_text(&parsed.why), "");
	assert_int_equal(parsed.error, 0);
	assert_int_equal(options->alive_interval, 5);
	assert_int_equal(options->alive_count, 2);
	assert_int_equal(options->connections, 8);
	assert_true(options->attr_ns == 20 * NS_PER_S);
	assert_true(options->entry_ns == 3 * NS_PER_S);
	assert_int_equal(options->max_write, 65536);
	assert_int_equal(options->idmap, 1);
	assert_int_equal(options->nomap, 1);
	assert_false(options->contain_symlinks);
	assert_true(options->rename_by_removing);
	assert_true(options->rename_xdev);
	assert_int_equal(options->umask, 022);
	assert_string_equal(options->ssh_command, "my ssh -v");
	assert_int_equal(options->directport, 2);
	done(&parsed);
}

static void test_ssh_names(void **state)
{
	struct parsed parsed = parse("claimfs|host:d|/mnt|-o|IdentityFile=~/.ssh/a\\,b,stricthostkeychecking=no|-oProxyJump=hop");

	(void)state;
	assert_int_equal(parsed.error, 0);
	assert_string_equal(parsed.options.ssh_options[0], "IdentityFile=~/.ssh/a,b");
	assert_string_equal(parsed.options.ssh_options[1], "StrictHostKeyChecking=no");
	assert_string_equal(parsed.options.ssh_options[2], "ProxyJump=hop");
	done(&parsed);
}

static void test_escapes(void **state)
{
	struct parsed parsed = parse("claimfs|host:a,b\\c|/mnt|-o|host_name=x\\,y\\\\z,ro");

	(void)state;
	assert_int_equal(parsed.error, 0);
	assert_string_equal(parsed.options.host_name, "x,y\\z");
	/* libfuse takes the backslashes off again. */
	assert_string_equal(buf_text(&parsed.options.mount_options), "ro,fsname=host:a\\,b\\\\c,subtype=claimfs");
	done(&parsed);
}

static void test_bad_options(void **state)
{
	(void)state;
	expect_error("claimfs|host:|/mnt|-o|reconect", "unknown option: -o reconect; did you mean reconnect?");
	expect_error("claimfs|host:|/mnt|-o|ro,IdentityFle=x", "did you mean IdentityFile?");
	expect_error("claimfs|host:|/mnt|-o|ro,qqqqqqqqqqqq", "unknown option: -o qqqqqqqqqqqq");
}

static void test_bad_values(void **state)
{
	(void)state;
	expect_error("claimfs|host:|/mnt|-o|max_conns=0", "max_conns: must be from 1 to 64");
	expect_error("claimfs|host:|/mnt|-o|max_conns=x", "max_conns: \"x\" is no number");
	expect_error("claimfs|host:|/mnt|-o|attr_timeout=-1", "attr_timeout");
	expect_error("claimfs|host:|/mnt|-o|umask=8", "umask");
	expect_error("claimfs|host:|/mnt|-o|umask=", "umask");
	expect_error("claimfs|host:|/mnt|-o|sftp_server=", "sftp_server: must not be empty");
	expect_error("claimfs|host:|/mnt|-o|host_name=", "host_name: must not be empty");
	expect_error("claimfs|host:|/mnt|-o|idmap=all", "idmap: must be one of none|user|file");
	expect_error("claimfs|host:|/mnt|-o|idmap=file", "uidfile");
	expect_error("claimfs|host:|/mnt|-o|uid", "needs a value: uid=N");
	expect_error("claimfs|host:|/mnt|-o|allow_other=1", "takes no value");
	expect_error("claimfs|host:|/mnt|-o|Ciphers", "Ciphers needs a value");
	expect_error("claimfs|host:|/mnt|-o|workaround=renam", "no such workaround: renam");
	expect_error("claimfs|host:|/mnt|-o|dir_cache=maybe", "dir_cache");
	expect_error("claimfs|/dir|/mnt|-o|directport=5", "directport");
	expect_error("claimfs|host:|/mnt|-p", "-p needs an argument");
	expect_error("claimfs|host:|/mnt|--versoin", "did you mean --version?");
}

static void test_many_ssh_options(void **state)
{
	struct buf line = BUF_INIT;
	struct parsed parsed;
	int i;

	(void)state;
	buf_adds(&line, "claimfs|host:|/mnt|-o|");
	for (i = 0; i < OPTIONS_MAX_SSH + 1; i++)
		buf_addf(&line, "SendEnv=V%d,", i);
	parsed = parse(buf_text(&line));
	assert_int_not_equal(parsed.error, 0);
	assert_int_equal(parsed.options.ssh_option_count, OPTIONS_MAX_SSH);
	done(&parsed);
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places), cmocka_unit_test(test_bad_places), cmocka_unit_test(test_anywhere),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_sshfs_lines), cmocka_unit_test(test_fstab), cmocka_unit_test(test_sshfs_names),
		cmocka_unit_test(test_ssh_names), cmocka_unit_test(test_escapes), cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_bad_values), cmocka_unit_test(test_many_ssh_options),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
