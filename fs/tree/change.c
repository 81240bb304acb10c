/*
 * change: see change.h.
 */
#include "tree/change.h"

#include <string.h>

#include "base/log.h"

/* How often a change whose answer was lost is sent: each time the connection broke and was made anew. */
#define CHANGE_MAX_TRIES 16

enum { LEG_CHANGE, LEG_RESULT };			/* of the change's flight */
enum { LEG_DISK, LEG_FIRST, LEG_SECOND, LEG_DISK2 };	/* of the look's */

static int send_mkdir(struct change *change, struct flight_leg *leg)
{
	return sftp_mkdir(change->sftp, SFTP_CONTROL, change->path.data, change->mode, flight_done, leg);
}

static int send_rmdir(struct change *change, struct flight_leg *leg)
{
	return sftp_rmdir(change->sftp, SFTP_CONTROL, change->path.data, flight_done, leg);
}

static int send_remove(struct change *change, struct flight_leg *leg)
{
	return sftp_remove(change->sftp, SFTP_CONTROL, change->path.data, flight_done, leg);
}

static int send_symlink(struct change *change, struct flight_leg *leg)
{
	return sftp_symlink(change->sftp, SFTP_CONTROL, change->path2.data, change->path.data, flight_done, leg);
}

static int send_link(struct change *change, struct flight_leg *leg)
{
	return sftp_hardlink(change->sftp, SFTP_CONTROL, change->path.data, change->path2.data, flight_done, leg);
}

static int send_rename(struct change *change, struct flight_leg *leg)
{
	return sftp_posix_rename(change->sftp, SFTP_CONTROL, change->path.data, change->path2.data, flight_done, leg);
}

static int send_rename_new(struct change *change, struct flight_leg *leg)
{
	return sftp_rename(change->sftp, SFTP_CONTROL, change->path.data, change->path2.data, flight_done, leg);
}

struct change_how {
	int (*send)(struct change *change, struct flight_leg *leg);	/* NULL: sent by others, only explained here */
	const char *(*result)(struct change *change);			/* whose attributes to bring along */
	bool two_names;
	bool vague;		/* -ENOENT is worth a look */
};

static const char *result_first(struct change *change)
{
	return change->path.data;
}

static const char *result_second(struct change *change)
{
	return change->path2.data;
}

static const struct change_how hows[CHANGE_KINDS] = {
	[CHANGE_MKDIR] = { send_mkdir, result_first, false, false },
	[CHANGE_RMDIR] = { send_rmdir, NULL, false, true },
	[CHANGE_REMOVE] = { send_remove, NULL, false, false },
	[CHANGE_SYMLINK] = { send_symlink, result_first, false, false },
	[CHANGE_LINK] = { send_link, result_second, true, false },
	[CHANGE_RENAME] = { send_rename, NULL, true, true },
	[CHANGE_RENAME_NEW] = { send_rename_new, NULL, true, true },
};

void change_init(struct change *change, struct sftp *sftp, enum change_kind kind)
{
	memset(change, 0, sizeof(*change));
	change->sftp = sftp;
	change->kind = kind;
	flight_init(&change->flight);
}

void change_release(struct change *change)
{
	buf_release(&change->path);
	buf_release(&change->path2);
	flight_clear(&change->flight);
}

/* The directory that holds `path`, for STATVFS of a name that may not be there. */
static int parent_of(const char *path, struct buf *ret_dir)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		buf_adds(ret_dir, ".");
	else if (slash == path)
		buf_adds(ret_dir, "/");
	else
		buf_add(ret_dir, path, (size_t)(slash - path));
	return buf_error(ret_dir);
}

static void look_at_disk(struct change *change, const char *path)
{
	struct flight_leg *leg = flight_leg(&change->flight);
	struct buf dir = BUF_INIT;
	int error = parent_of(path, &dir);

	flight_sent(leg, error ? error : sftp_statvfs(change->sftp, SFTP_CONTROL, dir.data, flight_done, leg));
	buf_release(&dir);
}

static void look_at_name(struct change *change, const char *path)
{
	struct flight_leg *leg = flight_leg(&change->flight);

	flight_sent(leg, sftp_lstat(change->sftp, SFTP_CONTROL, path, flight_done, leg));
}

static void decide(struct flight *flight);
static void send_it(struct change *change);

static void look(struct change *change)
{
	flight_begin(&change->flight, decide);
	look_at_disk(change, change->path.data);
	look_at_name(change, change->path.data);
	if (hows[change->kind].two_names) {
		look_at_name(change, change->path2.data);
		look_at_disk(change, change->path2.data);
	}
	flight_go(&change->flight);
}

static void seen_name(struct errors_look *look_, const struct flight_leg *leg)
{
	look_->error = leg->error;
	look_->attrs = leg->attrs;
}

static void seen_disk(struct errors_disk *disk, const struct flight_leg *leg)
{
	disk->error = leg->error;
	disk->statvfs = leg->statvfs;
}

/* A person who sees "Input/output error" on a disk that has room is to know what it may be. */
static void say_no_reason(const struct change *change)
{
	static long long warned_ns;

	if (log_allowed(&warned_ns))
		log_warn("the server refuses a change of %s: \"failure\", without a reason (a quota that is used up? a disk that fails?)",
			 change->path.data);
}

/* The looks are back. */
static void decide(struct flight *flight)
{
	struct change *change = container_of(flight, struct change, flight);
	const struct change_how *how = &hows[change->kind];
	struct errors_seen seen = { .error = change->error, .uncertain = change->uncertain };
	int error;

	seen_disk(&seen.disk, &flight->legs[LEG_DISK]);
	seen_name(&seen.first, &flight->legs[LEG_FIRST]);
	seen.second.error = -ENOENT;
	seen.disk2.error = -ENOENT;
	if (how->two_names) {
		seen_name(&seen.second, &flight->legs[LEG_SECOND]);
		seen_disk(&seen.disk2, &flight->legs[LEG_DISK2]);
	}
	error = errors_decide(change->kind, &seen);
	if (error == ERRORS_AGAIN && how->send) {
		if (change->tries < CHANGE_MAX_TRIES) {
			send_it(change);
			return;
		}
		error = -EIO;
	}
	if (error == -EIO && change->error == -EREMOTEIO)
		say_no_reason(change);
	if (!error && how->result)
		change->attrs = how->two_names ? seen.second.attrs : seen.first.attrs;
	change->done(change, error);
}

void change_explain(struct change *change, int error, void (*done)(struct change *change, int error))
{
	change->done = done;
	change->error = error;
	if (error == SFTP_UNKNOWN)
		change->uncertain = true;
	look(change);
}

/* The change itself is answered. */
static void landed(struct flight *flight)
{
	struct change *change = container_of(flight, struct change, flight);
	const struct change_how *how = &hows[change->kind];
	int error = flight->legs[LEG_CHANGE].error;

	if (error == -EREMOTEIO || error == SFTP_UNKNOWN) {
		change_explain(change, error, change->done);
		return;
	}
	/* "No such file" may be ENOTDIR; or the lost one took it away. */
	if (error == -ENOENT && (how->vague || change->uncertain)) {
		change_explain(change, error, change->done);
		return;
	}
	if (!error && how->result && !flight->legs[LEG_RESULT].error)
		change->attrs = flight->legs[LEG_RESULT].attrs;
	change->done(change, error);
}

static void send_it(struct change *change)
{
	const struct change_how *how = &hows[change->kind];
	struct flight_leg *leg;

	change->tries++;
	flight_begin(&change->flight, landed);
	leg = flight_leg(&change->flight);
	flight_sent(leg, how->send(change, leg));
	if (how->result)
		look_at_name(change, how->result(change));
	flight_go(&change->flight);
}

void change_run(struct change *change, void (*done)(struct change *change, int error))
{
	change->done = done;
	send_it(change);
}
