/*
 * session: one mount: the kernel's side of it from mounting to unmounting. The only folder that includes libfuse.
 */
#ifndef CLAIMFS_FUSE_SESSION_H
#define CLAIMFS_FUSE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct session;
struct tree;

struct session_options {
	const char *mountpoint;
	const char *mount_options;	/* for the kernel and fusermount3: a list as after -o; may be "" */
	bool debug;			/* libfuse's own trace, on standard error */
	bool single_thread;
	bool auto_cache;		/* the kernel drops a file's data when size or mtime changed */
	bool no_readdirplus;
	uint32_t readahead;		/* bytes the kernel reads ahead at most, where it lets us say so */
};

/* Mounts. The tree must outlive the session. 0, or -errno with one line in `why`. */
int session_new(struct tree *tree, const struct session_options *options, struct session **ret_session, struct buf *why);

/* Serves the kernel until it is unmounted or SIGINT, SIGTERM or SIGHUP comes. 0 or -errno. */
int session_loop(struct session *session);

/*
 * Unmounts if still mounted, and gives the handles back that the kernel left open: what was written to them is flushed. Waits for that at most
 * `timeout_ns`; 0, or -ETIMEDOUT: some of it is still under way.
 */
int session_end(struct session *session, int64_t timeout_ns);

void session_free(struct session *session);		/* once nothing can answer any more (sftp_free); NULL is fine */

const char *session_fuse_version(void);

#endif
