/* rig: see rig.h. */
#include "rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define UNTIL_NS (20 * NS_PER_S)

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "rig: %s failed\n", what);
	abort();
}

void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	strcpy(rig->dir, "/tmp/claimfs-rig-XXXXXX");
	must(mkdtemp(rig->dir), "mkdtemp");
	rig->peer = peer_new(rig->dir);
	rig->wait = sftp_wait_new();
	must(rig->peer && rig->wait, "memory");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rig_release(struct rig *rig)
{
	rig_disconnect(rig);
	peer_free(rig->peer);
	sftp_wait_free(rig->wait);
	buf_release(&rig->text);
	nftw(rig->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void rig_connect(struct rig *rig, int connections, int timeout_ms, int alive_ms)
{
	struct sftp_options options = {
		.connections = connections,
		.near_data = connections,	/* striped on any machine */
		.timeout_ns = timeout_ms * NS_PER_MS,
		.alive_ns = alive_ms * NS_PER_MS,
	};
	struct buf why = BUF_INIT;

	must(!sftp_connect(peer_maker(rig->peer), &options, &rig->sftp, &why), "connecting");
	buf_release(&why);
}

void rig_disconnect(struct rig *rig)
{
	sftp_free(rig->sftp);
	rig->sftp = NULL;
}

int rig_waited(struct rig *rig, int submitted)
{
	if (submitted)
		return submitted;
	buf_reset(&rig->text);
	return sftp_wait_for(rig->wait, &rig->reply, &rig->text);
}

int rig_open(struct rig *rig, enum sftp_lane lane, const char *path, uint32_t flags, struct sftp_file **ret_file)
{
	int error = rig_waited(rig, sftp_open(rig->sftp, lane, path, flags, NULL, sftp_wait_done, rig->wait));

	if (!error)
		*ret_file = rig->reply.file;
	return error;
}

int rig_write(struct rig *rig, struct sftp_file *file, uint64_t offset, const char *text)
{
	return rig_waited(rig, sftp_write(file, offset, text, strlen(text), sftp_wait_done, rig->wait));
}

int rig_close(struct rig *rig, struct sftp_file *file)
{
	return rig_waited(rig, sftp_close(file, sftp_wait_done, rig->wait));
}

void rig_path(struct rig *rig, const char *name, char *ret_path, size_t len)
{
	snprintf(ret_path, len, "%s/%s", rig->dir, name);
}

void rig_put(struct rig *rig, const char *name, const void *data, size_t len)
{
	char path[512];

	rig_path(rig, name, path, sizeof(path));
	must(!io_write_file(path, data, len, 0644), "writing a file");
}

void rig_get(struct rig *rig, const char *name, struct buf *ret)
{
	char path[512];

	rig_path(rig, name, path, sizeof(path));
	buf_reset(ret);
	must(!io_read_file(path, 1u << 30, ret), "reading a file");
}

bool rig_until(bool (*condition)(void *arg), void *arg)
{
	int64_t end = clock_now() + UNTIL_NS;
	struct timespec tick = clock_timespec(2 * NS_PER_MS);

	while (!condition(arg)) {
		if (clock_now() > end)
			return false;
		nanosleep(&tick, NULL);
	}
	return true;
}
