/*
 * store_sftp: queue/store.h over sftp/client.h. All claims, looks and heartbeats go over the control connection, in order; fsyncs, copies,
 * reads of more than 64 KiB, and listings (but for those of .claimfs/claims, nodes, log, redo and failed) over data connections.
 */
#ifndef CLAIMFS_TREE_STORE_SFTP_H
#define CLAIMFS_TREE_STORE_SFTP_H

#include "queue/store.h"
#include "sftp/client.h"
#include "tree/damage.h"

/* `root` is the queue's absolute path on the server; `damage` (kept by the caller, or NULL) is what must not be published. 0 or -ENOMEM. */
int store_sftp_new(struct sftp *sftp, struct damage *damage, const char *root, struct store **ret_store);

/* The mount ends: store_cancelled() is true from now on, and every call returns at once (-ENOTCONN, STORE_UNKNOWN for what may yet happen). */
void store_sftp_cancel(struct store *store);

/* No call may be under way; NULL is fine. Answers still to come are taken care of until sftp_free(). */
void store_sftp_free(struct store *store);

#endif
