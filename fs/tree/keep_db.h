/*
 * keep_db: queue/keep.h over cache/db.h: one database a queue, below the mount's cache directory.
 */
#ifndef CLAIMFS_TREE_KEEP_DB_H
#define CLAIMFS_TREE_KEEP_DB_H

#include "queue/keep.h"

/*
 * For the queue at `path` of the server that `scope` names; the database's directory below `cache_dir` is named by the hash of both. 0; -EBUSY
 * when another mount of this machine has it; -errno. Ended by keep->ops->free.
 */
int keep_db_open(const char *cache_dir, const char *scope, const char *path, struct keep **ret_keep);

#endif
