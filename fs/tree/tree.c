/*
 * tree: see tree.h: making and ending, and the server's attributes as the mount shows them.
 */
#include "tree/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/ahead.h"
#include "tree/damage.h"
#include "tree/file.h"
#include "tree/hashed.h"
#include "tree/idmap.h"
#include "tree/warm.h"
#include "tree/work.h"

#define TREE_BLOCK 512		/* st_blocks counts these */
#define TREE_BLKSIZE 4096

int tree_new(struct sftp *sftp, const char *root_path, const struct tree_options *options, struct tree **ret_tree)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	size_t len = strlen(root_path);
	int error = -ENOMEM;

	if (!tree)
		return -ENOMEM;
	pthread_mutex_init(&tree->lock, NULL);
	map_init(&tree->names);
	map_init(&tree->strays);
	tree->sftp = sftp;
	tree->options = *options;
	while (len && root_path[len - 1] == '/')
		len--;
	tree->root_path = strndup(root_path, len);
	tree->root = node_new_root(&real_ops);
	if (!tree->root_path || !tree->root)
		goto fail;
	error = work_new(&tree->work);
	if (!error)
		error = damage_new(&tree->damage);
	if (!error)
		error = hashed_new(options->hash_cache, &tree->hashed);
	if (!error)
		error = files_new(tree, &tree->files);
	if (!error && !options->no_readahead)
		error = ahead_new(tree, &tree->ahead);
	if (!error && options->entry_ttl > 0)
		error = warm_new(tree, &tree->warm);
	if (error)
		goto fail;
	if (!options->no_queues)
		error = queues_new(tree, &tree->queues);
	if (error)
		goto fail;
	*ret_tree = tree;
	return 0;
fail:
	tree_stop(tree);
	tree_free(tree);
	return error;
}

void tree_stop(struct tree *tree)
{
	if (!tree)
		return;
	ahead_stop(tree->ahead);
	warm_stop(tree->warm);
	queues_free(tree->queues);
	tree->queues = NULL;
	work_free(tree->work);
	tree->work = NULL;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	node_free_all(tree);
	ahead_free(tree->ahead);
	warm_free(tree->warm);
	files_free(tree->files);
	hashed_free(tree->hashed);
	damage_free(tree->damage);
	pthread_mutex_destroy(&tree->lock);
	free(tree->root_path);
	free(tree);
}

bool tree_has_queues(const struct tree *tree)
{
	return tree->queues != NULL;
}

/* ---- attributes ---- */

static uid_t local_uid(const struct tree_options *options, uint32_t uid)
{
	uint32_t mapped = uid;

	if (options->force_uid)
		return options->uid;
	if (options->idmap == IDMAP_USER && uid == options->remote_uid)
		return options->local_uid;
	/* An id without a counterpart: shown as nobody's rather than failing every listing it is in. */
	if (options->idmap == IDMAP_FILE && options->uids && idmap_to_local(options->uids, uid, &mapped))
		return 65534;
	return mapped;
}

static gid_t local_gid(const struct tree_options *options, uint32_t gid)
{
	uint32_t mapped = gid;

	if (options->force_gid)
		return options->gid;
	if (options->idmap == IDMAP_USER && gid == options->remote_gid)
		return options->local_gid;
	if (options->idmap == IDMAP_FILE && options->gids && idmap_to_local(options->gids, gid, &mapped))
		return 65534;
	return mapped;
}

void tree_stat(const struct tree *tree, const struct sftp_attrs *attrs, uint64_t ino, struct stat *ret_st)
{
	const struct tree_options *options = &tree->options;
	struct stat *st = ret_st;

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_nlink = 1;	/* SFTP tells none; 1 for a directory means "not known" to find and fts */
	st->st_mode = attrs->mode;
	if (options->force_umask)
		st->st_mode = (st->st_mode & S_IFMT) | (0777 & ~options->umask);
	st->st_uid = local_uid(options, attrs->uid);
	st->st_gid = local_gid(options, attrs->gid);
	st->st_size = (off_t)attrs->size;
	st->st_blocks = (blkcnt_t)((attrs->size + TREE_BLOCK - 1) / TREE_BLOCK);
	st->st_blksize = TREE_BLKSIZE;
	st->st_atime = attrs->atime;
	st->st_mtime = attrs->mtime;
	st->st_ctime = attrs->mtime;
}

int tree_remote_ids(const struct tree *tree, uid_t uid, gid_t gid, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const struct tree_options *options = &tree->options;
	uint32_t remote_uid = uid, remote_gid = gid;
	int error = 0;

	if (options->idmap == IDMAP_USER) {
		if (uid == options->local_uid)
			remote_uid = options->remote_uid;
		if (gid == options->local_gid)
			remote_gid = options->remote_gid;
	} else if (options->idmap == IDMAP_FILE) {
		if (options->uids && uid != (uid_t)-1)
			error = idmap_to_remote(options->uids, uid, &remote_uid);
		if (!error && options->gids && gid != (gid_t)-1)
			error = idmap_to_remote(options->gids, gid, &remote_gid);
	}
	if (error)
		return error;
	*ret_uid = remote_uid;
	*ret_gid = remote_gid;
	return 0;
}
