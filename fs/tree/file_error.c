/*
 * file_error: why a queued write failed. SFTP says "failure" for a full disk, a quota and a broken disk alike: the disk is looked at (errors.c), once
 * for all writes of the file that failed meanwhile.
 */
#include <errno.h>
#include <stdlib.h>

#include "tree/change.h"
#include "tree/damage.h"
#include "tree/file_state.h"

struct explanation {
	struct change change;
	struct real *real;
	struct tree *tree;
	struct node *node;	/* held */
};

/* The error is kept for every handle that writes to this file, and all these writes are over. */
static void tell(struct real *real, struct list *failed, int error)
{
	struct buf path = BUF_INIT;
	struct list *link;

	if (!node_path(real->tree, real->node, NULL, &path))
		damage_note(real->tree->damage, path.data, error);
	buf_release(&path);

	pthread_mutex_lock(&real->lock);
	real->error = error;
	real->error_count++;
	pthread_mutex_unlock(&real->lock);
	while ((link = list_pop(failed)))
		real_acked(real, list_entry(link, struct writebehind_item, ready));
}

static void explained(struct change *change, int error)
{
	struct explanation *explanation = container_of(change, struct explanation, change);
	struct real *real = explanation->real;
	struct tree *tree = explanation->tree;
	struct node *node = explanation->node;
	struct list failed;

	change_release(&explanation->change);
	free(explanation);
	list_init(&failed);
	pthread_mutex_lock(&real->lock);
	list_splice(&failed, &real->failed);
	real->explaining = false;
	pthread_mutex_unlock(&real->lock);
	tell(real, &failed, error && error != ERRORS_AGAIN ? error : -EIO);
	node_unref(tree, node);
}

/* The disk is that of the file, or, when its name is gone, the mount's root. */
static int disk_path(struct real *real, struct buf *path)
{
	int error = node_path(real->tree, real->node, NULL, path);

	if (error == -ESTALE) {
		buf_reset(path);
		buf_adds(path, real->tree->root_path);
		buf_adds(path, "/.");
		error = buf_error(path);
	}
	return error;
}

static int explain(struct real *real, int error)
{
	struct explanation *explanation = calloc(1, sizeof(*explanation));

	if (!explanation)
		return -ENOMEM;
	explanation->real = real;
	explanation->tree = real->tree;
	explanation->node = real->node;
	change_init(&explanation->change, real->tree->sftp, CHANGE_WRITE);
	if (disk_path(real, &explanation->change.path)) {
		change_release(&explanation->change);
		free(explanation);
		return -ENOMEM;
	}
	node_ref(real->tree, real->node);
	change_explain(&explanation->change, error, explained);
	return 0;
}

void file_write_failed(struct real *real, struct writebehind_item *item, int error)
{
	struct list failed;
	bool first;

	list_init(&failed);
	if (error == -EREMOTEIO || error == SFTP_UNKNOWN) {
		pthread_mutex_lock(&real->lock);
		list_append(&real->failed, &item->ready);
		first = !real->explaining;
		real->explaining = true;
		pthread_mutex_unlock(&real->lock);
		if (!first || !explain(real, error))
			return;
		pthread_mutex_lock(&real->lock);
		list_splice(&failed, &real->failed);
		real->explaining = false;
		pthread_mutex_unlock(&real->lock);
		error = -EIO;
	} else {
		list_append(&failed, &item->ready);
	}
	tell(real, &failed, error);
}
