/*
 * store_sftp: queue/store.h over sftp/client.h. All claims, looks and heartbeats go over the control connection, in order; fsyncs, copies
 * and large listings over data connections.
 */
#ifndef CLAIMFS_TREE_STORE_SFTP_H
#define CLAIMFS_TREE_STORE_SFTP_H

#include "queue/store.h"
#include "sftp/client.h"

/* `root` is the queue's absolute path on the server. 0 or -ENOMEM. */
int store_sftp_new(struct sftp *sftp, const char *root, struct store **ret_store);
void store_sftp_cancel(struct store *store);	/* the mount ends: store_cancelled() is true from now on */
void store_sftp_free(struct store *store);

#endif
