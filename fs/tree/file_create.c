/*
 * file_create: making a file and opening it, in one round trip:
 *
 *   OPEN with CREAT and EXCL, LSTAT behind it ─▶ made: its mode is what was asked for? ─▶ answered
 *       │                                                              └─▶ FSETSTAT (the server's umask took bits away)
 *       └─ it is there already: EEXIST with O_EXCL, else OPEN without EXCL
 *
 * Always exclusive at first, since the kernel has looked and seen nothing there: so it is known who made it, and no mode of somebody else's file is changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tree/damage.h"
#include "tree/errors.h"
#include "tree/file.h"
#include "tree/file_state.h"
#include "tree/task.h"
#include "tree/warm.h"

#define CREATE_TRIES 16		/* each time the connection broke with the answer under way */

struct creating {
	struct flight flight;
	struct task *task;
	struct open_file *of;
	int flags;
	mode_t mode;
	bool exclusive;			/* what is sent */
	int tries;
	struct sftp_file *file;
	struct sftp_attrs attrs;
};

enum { LEG_OPEN, LEG_LOOK };

static void create_fail(struct creating *creating, int error)
{
	struct task *task = creating->task;

	if (creating->file)
		sftp_close(creating->file, NULL, NULL);
	open_file_unref(creating->of);
	flight_clear(&creating->flight);
	free(creating);
	task_fail(task, error);
}

/* ---- done ---- */

static void answer(struct creating *creating)
{
	struct task *task = creating->task;
	struct tree *tree = task->tree;
	struct tree_entry entry = { .entry_ttl = tree->options.entry_ttl, .attr_ttl = tree->options.attr_ttl };
	struct node *node = node_get(tree, task->dir, task->name, &real_ops);
	struct reply *reply = task->reply;
	struct open_file *of = creating->of;
	struct tree_opened opened;
	struct real *real;

	if (node)
		node = node_typed(tree, node, creating->attrs.mode);
	real = node ? real_get(tree, node) : NULL;
	if (!real) {
		node_unref(tree, node);
		create_fail(creating, -ENOMEM);
		return;
	}
	of->size = creating->attrs.size;
	open_file_attach(of, real, creating->file);
	file_begin(of, &creating->attrs, &opened);
	tree_stat(tree, &creating->attrs, node->ino, &entry.st);
	if (file_overlay(tree, node, &creating->attrs, &entry.st))
		entry.attr_ttl = 0;
	entry.node = node;
	node_looked_up(tree, node);
	node_unref(tree, node);
	if (creating->exclusive)
		damage_mend(task->tree->damage, task->path.data);
	flight_clear(&creating->flight);
	free(creating);
	task_end(task);
	reply->ops->created(reply, &entry, &opened);
}

static void mode_set(void *arg, const struct sftp_reply *reply)
{
	struct creating *creating = arg;

	if (!reply->error)
		creating->attrs.mode |= creating->mode & 0777;
	answer(creating);	/* a server that won't: it is a file all the same */
}

/* The caller's umask counts, not that of the server's login. */
static void check_mode(struct creating *creating)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE };

	attrs.mode = (creating->attrs.mode | (creating->mode & 0777)) & 07777;
	if (creating->exclusive && attrs.mode != (creating->attrs.mode & 07777) &&
	    !sftp_fsetstat(creating->file, &attrs, mode_set, creating))
		return;
	answer(creating);
}

static void looked_again(void *arg, const struct sftp_reply *reply)
{
	struct creating *creating = arg;

	int error = reply->error;

	if (!error && !S_ISREG(reply->attrs.mode))	/* the kernel takes nothing else, and would not give the handle back */
		error = S_ISDIR(reply->attrs.mode) ? -EISDIR : -EIO;
	if (error) {
		create_fail(creating, error);
		return;
	}
	creating->attrs = reply->attrs;
	check_mode(creating);
}

static void created(struct creating *creating)
{
	const struct flight_leg *look = &creating->flight.legs[LEG_LOOK];
	int error;

	if (!look->error && S_ISREG(look->attrs.mode)) {
		creating->attrs = look->attrs;
		check_mode(creating);
		return;
	}
	/* Somebody has removed or replaced it already. */
	error = sftp_fstat(creating->file, looked_again, creating);
	if (error)
		create_fail(creating, error);
}

/* ---- not done ---- */

static void create_send(struct creating *creating);

/* Without O_EXCL: what is there, or was made by the request whose answer was lost, is opened. */
static void open_existing(struct creating *creating)
{
	creating->exclusive = false;
	create_send(creating);
}

static void create_explained(struct change *change, int error)
{
	struct task *task = container_of(change, struct task, change);
	struct creating *creating = task->owner;
	bool was_exclusive = creating->exclusive;

	change_release(change);
	if (was_exclusive && !(creating->flags & O_EXCL) && (error == -EEXIST || error == ERRORS_AGAIN || !error))
		open_existing(creating);
	else if (error == ERRORS_AGAIN && creating->tries < CREATE_TRIES)
		create_send(creating);
	else
		create_fail(creating, error && error != ERRORS_AGAIN ? error : -EIO);
}

static void create_refused(struct creating *creating, int error)
{
	struct task *task = creating->task;

	if (error != -EREMOTEIO && error != SFTP_UNKNOWN) {
		create_fail(creating, error);
		return;
	}
	change_init(&task->change, task->tree->sftp, creating->exclusive ? CHANGE_CREATE : CHANGE_OPEN);
	buf_adds(&task->change.path, task->path.data);
	if (buf_error(&task->change.path))
		create_fail(creating, -ENOMEM);
	else
		change_explain(&task->change, error, create_explained);
}

static void create_landed(struct flight *flight)
{
	struct creating *creating = container_of(flight, struct creating, flight);
	int error = flight->legs[LEG_OPEN].error;

	if (!error)
		created(creating);
	else if (error == -EREMOTEIO && creating->exclusive && !(creating->flags & O_EXCL) && !flight->legs[LEG_LOOK].error)
		open_existing(creating);
	else
		create_refused(creating, error);
}

/* ---- sending ---- */

static void open_done(void *arg, const struct sftp_reply *reply)
{
	struct flight_leg *leg = arg;

	container_of(leg->flight, struct creating, flight)->file = reply->file;
	flight_done(leg, reply);
}

static uint32_t create_flags(const struct creating *creating)
{
	uint32_t flags = file_sftp_flags(creating->flags) | SFTP_OPEN_CREAT;

	if (creating->exclusive)
		return flags | SFTP_OPEN_EXCL;
	return creating->flags & O_TRUNC ? flags | SFTP_OPEN_TRUNC : flags;
}

/* On one connection, so that the LSTAT comes second; where one broke it may not find the file, see created(). */
static void create_send(struct creating *creating)
{
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE, .mode = creating->mode & 07777 };
	struct sftp *sftp = creating->task->tree->sftp;
	const char *path = creating->task->path.data;
	struct flight_leg *leg;

	if (creating->flags & O_TRUNC)
		damage_mend(creating->task->tree->damage, path);
	creating->tries++;
	flight_begin(&creating->flight, create_landed);
	leg = flight_leg(&creating->flight);
	flight_sent(leg, sftp_open(sftp, SFTP_CREATE, path, create_flags(creating), &attrs, open_done, leg));
	leg = flight_leg(&creating->flight);
	if (creating->task->tree->options.follow_symlinks)
		flight_sent(leg, sftp_stat(sftp, SFTP_CREATE, path, flight_done, leg));
	else
		flight_sent(leg, sftp_lstat(sftp, SFTP_CREATE, path, flight_done, leg));
	flight_go(&creating->flight);
}

void file_create(struct tree *tree, struct node *dir, const char *name, mode_t mode, int flags, struct reply *reply)
{
	struct task *task = task_new(tree, reply, NULL, dir, name);
	struct creating *creating;
	int error;

	if (!task)
		return;
	warm_used(tree->warm, dir);
	creating = calloc(1, sizeof(*creating));
	error = creating ? task_path(task) : -ENOMEM;
	if (!error && !(creating->of = open_file_new(tree, flags)))
		error = -ENOMEM;
	if (error) {
		free(creating);
		task_fail(task, error);
		return;
	}
	task->owner = creating;
	creating->task = task;
	creating->flags = flags;
	creating->mode = mode;
	creating->exclusive = true;
	flight_init(&creating->flight);
	create_send(creating);
}
