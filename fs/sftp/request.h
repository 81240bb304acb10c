/*
 * request: one operation asked of the server, kept in a form that can be put on the wire any number of times: on another connection,
 * under another id, with another handle.
 *
 *   client: request_new ─▶ pool: which conn ─▶ incoming ─▶ ready ─▶ (waiting for a handle) ─▶ sent ─▶ finish(), once
 *                                                 ▲                                          │
 *                                                 └────────── the connection broke ──────────┘
 *
 * After conn_submit() a request belongs to its connection's I/O thread.
 */
#ifndef CLAIMFS_SFTP_REQUEST_H
#define CLAIMFS_SFTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "sftp/client.h"
#include "sftp/codec.h"
#include "sftp/proto.h"

struct conn;
struct slot;

enum op_kind {
	OP_LSTAT, OP_STAT, OP_FSTAT, OP_SETSTAT, OP_LSETSTAT, OP_FSETSTAT, OP_READLINK, OP_REALPATH, OP_SYMLINK, OP_MKDIR, OP_RMDIR,
	OP_REMOVE, OP_RENAME, OP_POSIX_RENAME, OP_HARDLINK, OP_STATVFS, OP_OPEN, OP_CLOSE, OP_READ, OP_WRITE, OP_FSYNC, OP_COPY,
	OP_OPENDIR, OP_READDIR, OP_PROBE, OP_COUNT
};

struct op {
	enum op_kind kind;
	const char *name;
	const char *extension;		/* with type FXP_EXTENDED */
	uint8_t type;			/* FXP_* */
	uint8_t answer;			/* the type of a good answer; FXP_STATUS: FX_OK is all there is */
	bool idempotent;		/* may be sent again when its answer was lost */
	bool slow;			/* a server may rightly work at it in silence for long */
};

extern const struct op ops[OP_COUNT];

/* What an answer holds: the caller's part, and what only the engine sees. Pointers are valid during finish() only. */
struct answer {
	struct sftp_reply reply;
	const char *handle;
	size_t handle_len;
	struct reader names;		/* of a NAME answer: `name_count` entries */
	uint32_t name_count;
	bool eof;
	char text[PROTO_MAX_PATH + 1];	/* what reply.text points to; last, and not cleared each time */
};

void answer_init(struct answer *answer);

enum request_state { REQUEST_NEW, REQUEST_READY, REQUEST_WAITING, REQUEST_SENT };

struct request {
	struct list link;		/* incoming, ready, sent, or a slot's waiting */
	struct list age;		/* of conn->age, once the I/O thread has it */
	const struct op *op;
	enum sftp_lane lane;
	enum request_state state;
	bool embedded;			/* not freed after finish() */
	bool alone;			/* nothing else was under way when it was sent: it measures the round trip */
	bool warm;			/* not for the wire: see file_warm() */
	bool once;			/* not idempotent, whatever its op says (open with EXCL) */
	bool bound;			/* means something on one session only: dies with it */
	bool unhurried;			/* nobody waits for it: it does not wake a thread that wakes soon by itself */
	unsigned int refusals;		/* times it was sent elsewhere because a file could not be opened */
	uint32_t session;		/* of a bound one; 0: the first it meets */
	struct conn *conn;
	struct slot *slot;		/* the open file's handle that comes first */
	struct slot *slot2;		/* copy: the target's handle */
	uint32_t id;
	uint64_t wire_start;		/* of the connection's stream: has any byte of it gone out? */
	uint64_t offset;		/* read, write, copy */
	uint64_t offset2;
	uint64_t len;			/* in all */
	uint64_t got;			/* so far */
	uint64_t asked;			/* by what is on the wire now */
	const void *payload;
	void *sink;
	void (*finish)(struct request *request, struct answer *answer);
	sftp_done *done;
	void *arg;
	int64_t submitted_ns;
	int64_t deadline_ns;		/* INT64_MAX: none */
	int64_t sent_ns;
	size_t cost;			/* added to its connection's load */
	uint8_t *body;			/* what follows the handle (or the extension's name) */
	size_t body_len;
};

/* A request with `room` bytes for its body, to be filled through a writer over request->body. NULL: out of memory. */
struct request *request_new(enum op_kind kind, size_t room, sftp_done *done, void *arg);
void request_init(struct request *request, enum op_kind kind);	/* an embedded one */

/* Frees it unless embedded; after finish() or for one that was never submitted. */
void request_free(struct request *request);

/* Finish, then free. For an error without an answer. */
void request_fail(struct request *request, int error);
void request_finish(struct request *request, struct answer *answer);

/* The most bytes request_encode() may write. */
size_t request_room(const struct request *request, uint32_t max_write);

/* The whole packet; sets request->asked. The handles of its slots must be valid. */
void request_encode(struct request *request, uint32_t id, uint32_t max_read, uint32_t max_write, struct writer *writer);

/*
 * Decodes the body of an answer of `type`. 0: `answer` is filled (its error may well be one); -EPROTO: no such answer can be given to this request.
 */
int request_decode(const struct request *request, uint8_t type, struct reader *body, struct answer *ret_answer);

/* A good answer that is only a part (a short read, a piece of a long write): true when the request must be sent on. */
bool request_advance(struct request *request, struct answer *answer);

#endif
