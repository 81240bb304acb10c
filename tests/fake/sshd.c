/*
 * sshd: see sshd.h. The port is a free one of the kernel's choice; should another program take it before sshd does,
 * another is tried.
 */
#include "tests/fake/sshd.h"

#include <arpa/inet.h>
#include <mntent.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

#define SSHD "/usr/sbin/sshd"

static void die(const char *what)
{
	fprintf(stderr, "test set-up: %s\n", what);
	abort();
}

bool sshd_installed(void)
{
	return !access(SSHD, X_OK);
}

void sshd_run(const struct sshd *sshd, const char *format, ...)
{
	struct buf command = BUF_INIT;
	va_list args;

	buf_addf(&command, "cd '%s' && { ", sshd->dir);
	va_start(args, format);
	buf_vaddf(&command, format, args);
	va_end(args);
	buf_adds(&command, "; }");
	if (buf_error(&command) || system(buf_text(&command)))
		die(buf_text(&command));
	buf_release(&command);
}

void sshd_path(const struct sshd *sshd, const char *name, struct buf *ret)
{
	buf_reset(ret);
	buf_addf(ret, "%s/%s", sshd->dir, name);
}

void sshd_write(const struct sshd *sshd, const char *name, const char *text)
{
	struct buf path = BUF_INIT;

	sshd_path(sshd, name, &path);
	if (buf_error(&path) || io_write_file(buf_text(&path), text, strlen(text), 0600))
		die(buf_text(&path));
	buf_release(&path);
}

/* Those that are not there yet, and no others: an RSA key takes seconds to make. */
static void make_host_keys(const struct sshd *sshd, const char *host_keys)
{
	sshd_run(sshd, "for k in %s; do test -e $k || ssh-keygen -q -t ${k#host_} -N '' -C ${k#host_} -f $k || exit 1; done", host_keys);
}

void sshd_init(struct sshd *sshd)
{
	memset(sshd, 0, sizeof(*sshd));
	snprintf(sshd->dir, sizeof(sshd->dir), "/tmp/claimfs-sshd-XXXXXX");
	if (!mkdtemp(sshd->dir))
		die("mkdtemp");
	if (!geteuid())
		mkdir("/run/sshd", 0755);
	make_host_keys(sshd, "host_ed25519");
	sshd_run(sshd, "ssh-keygen -q -t ed25519 -N '' -C user -f user && cp user.pub authorized_keys");
}

static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) || getsockname(fd, (struct sockaddr *)&address, &len))
		die("no free port");
	close(fd);
	return ntohs(address.sin_port);
}

static void write_config(const struct sshd *sshd, const char *host_keys, const char *extra)
{
	struct buf text = BUF_INIT;
	char keys[256];
	char *save = NULL;

	snprintf(keys, sizeof(keys), "%s", host_keys);
	buf_addf(&text, "Port %d\nListenAddress 127.0.0.1\nPidFile none\nStrictModes no\nPermitRootLogin yes\n", sshd->port);
	for (char *key = strtok_r(keys, " ", &save); key; key = strtok_r(NULL, " ", &save))
		buf_addf(&text, "HostKey %s/%s\n", sshd->dir, key);
	buf_addf(&text, "AuthorizedKeysFile %s/authorized_keys\n%s\n", sshd->dir, extra ? extra : "");
	/* SHLVL: bash reads no ~/.bashrc, whose programs may wait for locks of their own. */
	buf_adds(&text, "SetEnv SHLVL=2\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\nLogLevel VERBOSE\n");
	sshd_write(sshd, "sshd_config", buf_text(&text));
	buf_release(&text);
	/* From OpenSSH 9.8 on an address is shut out for a while after failed logins, of which tests have many. */
	sshd_run(sshd, "! /usr/sbin/sshd -T -f sshd_config | grep -q '^persourcepenalties' || echo 'PerSourcePenalties no' >>sshd_config");
}

/* FUSE mounts of other tests would live on here after they were unmounted, and their daemons with them. False: none is left. */
static bool detach_fuse_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	const struct mntent *entry;
	bool found = false;

	while (mounts && !found && (entry = getmntent(mounts)))
		found = !strncmp(entry->mnt_type, "fuse.", 5) && !umount2(entry->mnt_dir, MNT_DETACH);
	if (mounts)
		endmntent(mounts);
	return found;
}

/* In a child: from here on /etc/shadow is the test's, for this process and its children only. */
static bool mount_shadow(const struct sshd *sshd)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/shadow", sshd->dir);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	while (detach_fuse_mount())
		;
	return !mount(path, "/etc/shadow", NULL, MS_BIND, NULL);
}

bool sshd_set_password(struct sshd *sshd, const char *password)
{
	int status = 1;
	pid_t pid;

	if (geteuid())
		return false;
	sshd_run(sshd, "printf '%%s:%%s:19000:0:99999:7:::\\n' \"$(id -un)\" \"$(openssl passwd -6 '%s')\" >shadow", password);
	pid = fork();
	if (!pid)
		_exit(!mount_shadow(sshd));
	waitpid(pid, &status, 0);
	sshd->has_password = !status;
	return sshd->has_password;
}

static bool answers(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));

	close(fd);
	return connected;
}

static bool came_up(struct sshd *sshd)
{
	for (int i = 0; i < 1000; i++) {
		if (answers(sshd->port))
			return true;
		if (waitpid(sshd->pid, NULL, WNOHANG) == sshd->pid) {
			sshd->pid = 0;
			return false;
		}
		poll(NULL, 0, 10);
	}
	return false;
}

void sshd_start(struct sshd *sshd, const char *host_keys, const char *extra)
{
	struct buf config = BUF_INIT;
	struct buf log = BUF_INIT;

	sshd_path(sshd, "sshd_config", &config);
	sshd_path(sshd, "sshd_log", &log);
	make_host_keys(sshd, host_keys);
	for (int try = 0; try < 5; try++) {
		if (!sshd->port || try)
			sshd->port = free_port();
		write_config(sshd, host_keys, extra);
		sshd->pid = fork();
		if (!sshd->pid) {
			if (sshd->has_password && !mount_shadow(sshd))
				_exit(126);
			execl(SSHD, SSHD, "-D", "-E", buf_text(&log), "-f", buf_text(&config), (char *)NULL);
			_exit(127);
		}
		if (came_up(sshd))
			break;
		sshd_stop(sshd);
	}
	if (!sshd->pid)
		die("sshd doesn't start");
	buf_release(&config);
	buf_release(&log);
}

void sshd_stop(struct sshd *sshd)
{
	if (sshd->pid > 0) {
		kill(sshd->pid, SIGTERM);
		waitpid(sshd->pid, NULL, 0);
	}
	sshd->pid = 0;
}

void sshd_release(struct sshd *sshd)
{
	sshd_stop(sshd);
	sshd_run(sshd, "rm -rf '%s'", sshd->dir);
}

void sshd_known(const struct sshd *sshd, const char *host_key, struct buf *ret)
{
	struct buf path = BUF_INIT;
	struct buf text = BUF_INIT;

	buf_addf(&path, "%s/%s.pub", sshd->dir, host_key);
	if (io_read_file(buf_text(&path), 65536, &text))
		die(buf_text(&path));
	buf_addf(ret, "[127.0.0.1]:%d %s", sshd->port, buf_text(&text));
	buf_release(&path);
	buf_release(&text);
}
