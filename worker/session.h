/*
 * session: one open `ctl` file of a queue: command lines out, answers in, in order (claimfs-queue(7)).
 *
 *   session_send("done a")  ──▶ out ──flush──▶ write(ctl)
 *   command->answer("ok")   ◀── in line by line ◀── read(ctl); read of 0 bytes: the end of file that answers a `take`
 *
 * ctl is readable too when nothing is unanswered (a read then says end of file), so it is looked at only while commands are under way.
 * Nothing here blocks. Any descriptor that reads and writes will do: tests use a socketpair.
 */
#ifndef CLAIMFS_WORKER_SESSION_H
#define CLAIMFS_WORKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "worker/loop.h"

struct session_command {	/* embedded in its owner, which keeps it until it was answered or the session is closed */
	struct list link;
	/* The answer's line without its newline, which may be changed in place; NULL: end of file. */
	void (*answer)(struct session_command *command, char *line);
	bool may_end;		/* a take: end of file is an answer */
};

struct session {
	struct loop_fd watch;
	struct loop *loop;
	struct list unanswered;
	struct buf out;
	struct buf in;
	size_t begun;		/* bytes at the head of `out` that are being written */
	struct session_command *last_sent;	/* the last of them, while it is unanswered; NULL: none */
	bool together;		/* the owner's wish: while lines are unanswered new ones wait, to be written and committed together */
	int64_t gather_ns;	/* with `together`: the first that waits for no answer waits so long for others; 0: not at all … */
	bool hurry;		/* … and not now */
	struct loop_timer gather;
	bool gathered;		/* that time is over */
	uint32_t armed;		/* the events that will come; 0: none */
	int error;		/* sticky: what broke it */
	/* Called once when the session broke (-ENOTCONN: the mount is gone); the commands under way are never answered. */
	void (*broken)(void *arg, int error);
	void *arg;
};

/* Takes over `fd`, which must not block. */
void session_init(struct session *session, struct loop *loop, int fd, void (*broken)(void *arg, int error), void *arg);

/* Opens the ctl file at `path` without blocking: a descriptor or -errno. */
int session_open_ctl(const char *path);
void session_close(struct session *session);	/* units still held by it are given back as lost attempts */

/* Adds a line (without newline) to what session_flush() sends. Lines flushed together are committed together. */
void session_send(struct session *session, struct session_command *command, const char *line);
/* The same, with `len` bytes of data behind the newline. */
void session_send_data(struct session *session, struct session_command *command, const char *line, const void *data, size_t len);
void session_flush(struct session *session);
bool session_idle(const struct session *session);	/* nothing unanswered */

#endif
