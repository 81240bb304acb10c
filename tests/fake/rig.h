/*
 * rig: what the tests of the SFTP engine stand on: a scratch directory, a server over it, an sftp, and blocking calls.
 *
 *   rig_waited(rig, sftp_lstat(rig->sftp, SFTP_CONTROL, "a", sftp_wait_done, rig->wait))
 */
#ifndef CLAIMFS_TESTS_FAKE_RIG_H
#define CLAIMFS_TESTS_FAKE_RIG_H

#include "peer.h"
#include "sftp/client.h"

struct rig {
	char dir[64];			/* absolute */
	struct peer *peer;
	struct sftp *sftp;
	struct sftp_wait *wait;
	struct sftp_reply reply;	/* of the last rig_waited() */
	struct buf text;
};

/* A scratch directory with a peer over it; ends the test program by assert when that fails. */
void rig_init(struct rig *rig);
void rig_release(struct rig *rig);

/* Connects to the peer. */
void rig_connect(struct rig *rig, int connections, int timeout_ms, int alive_ms);
void rig_disconnect(struct rig *rig);

int rig_waited(struct rig *rig, int submitted);

/* Blocking shorthands on the control lane, or the file's. */
int rig_open(struct rig *rig, enum sftp_lane lane, const char *path, uint32_t flags, struct sftp_file **ret_file);
int rig_write(struct rig *rig, struct sftp_file *file, uint64_t offset, const char *text);
int rig_close(struct rig *rig, struct sftp_file *file);

/* In the scratch directory, behind the server's back. */
void rig_put(struct rig *rig, const char *name, const void *data, size_t len);
void rig_get(struct rig *rig, const char *name, struct buf *ret);
void rig_path(struct rig *rig, const char *name, char *ret_path, size_t len);

/* Until `condition(arg)` holds, at most 20 s. */
bool rig_until(bool (*condition)(void *arg), void *arg);

#endif
