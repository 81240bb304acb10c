/*
 * remote: the server that the options name: how to reach it, and where on it the mount's root is.
 */
#ifndef CLAIMFS_REMOTE_H
#define CLAIMFS_REMOTE_H

#include <stdint.h>

#include "base/buf.h"
#include "options.h"
#include "sftp/client.h"

struct remote;

/* Nothing is connected yet. 0, or -errno with one line in `why`. The options must outlive it. */
int remote_new(const struct options *options, struct remote **ret_remote, struct buf *why);
void remote_free(struct remote *remote);		/* after sftp_free; NULL is fine */

struct channel_maker *remote_maker(struct remote *remote);
struct channel_maker *remote_data_maker(struct remote *remote);	/* for connections that carry data alone */

int64_t remote_alive_ns(const struct remote *remote);	/* what ssh_config says of a silent server; 0: nothing */
void remote_tell(const struct options *options, struct remote *remote);	/* logs what is out of the ordinary about the way there */
void remote_detach(struct remote *remote);		/* the terminal is left: nobody there is asked any more */

/* Connected: the absolute path of the mount's root. 0, or -errno with one line in `why`: no such directory, not a directory. */
int remote_root(const struct options *options, struct sftp *sftp, struct buf *ret_path, struct buf *why);

/* Who the server takes us for: the owner of the directory one logs in to, as sshfs judges it. */
int remote_user(struct sftp *sftp, uint32_t *ret_uid, uint32_t *ret_gid);

#endif
