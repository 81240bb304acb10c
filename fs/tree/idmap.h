/*
 * idmap: users and groups of the server and of this machine (idmap=none|user|file, as in sshfs).
 */
#ifndef CLAIMFS_TREE_IDMAP_H
#define CLAIMFS_TREE_IDMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct idmap;

/*
 * Reads a file of `name:id` lines (uidfile, gidfile): the local user or group `name` is `id` on the server. `strict` (nomap=error): an id
 * that is not listed is an error, else it stays. 0, or -errno with one line in `why`.
 */
int idmap_load(const char *file, bool groups, bool strict, struct idmap **ret_map, struct buf *why);
void idmap_free(struct idmap *map);

int idmap_to_local(const struct idmap *map, uint32_t id, uint32_t *ret_id);	/* 0, or -EPERM when strict and not listed */
int idmap_to_remote(const struct idmap *map, uint32_t id, uint32_t *ret_id);

#endif
