/*
 * handle: an open remote file: one remote handle ("slot") on every connection that carries its requests, each opened when the first request
 * needs it there. That one mechanism serves connections opened on demand, striping and reconnecting.
 *
 *   NONE ──(a request needs it)──▶ OPENING ──HANDLE──▶ CHECKING ──FSTAT──▶ OPEN ──(the session ended)──▶ as good as NONE
 *                                     └────error────────────┴──▶ REFUSED, or the file is stale
 *
 * A slot is OPEN only together with its connection's present session. The first open is the user's; all later ones go without
 * CREAT, TRUNC and EXCL, and are followed by an FSTAT: what is there now must be a regular file that is not shorter than what was acknowledged
 * as written; else the file is stale. A handle that is opened beside a living one (striping) must moreover have the size and time that the file
 * was last seen with, when it is open for reading only; else that connection isn't used for this file. Another file of the
 * same size put there by another node in between can't be told apart: version 3 has no inode numbers.
 *
 * An answer to OPEN that may be about another file, because the name was moved or removed since the request was written, doesn't count: it is
 * closed and asked for anew. A file without a name (sftp_file_gone) is never opened again.
 *
 * A file that is not at its path is looked for once more where it was moved to meanwhile, or where a rename under way takes it.
 */
#ifndef CLAIMFS_SFTP_HANDLE_H
#define CLAIMFS_SFTP_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "sftp/proto.h"
#include "sftp/request.h"

struct conn;

enum slot_state { SLOT_NONE, SLOT_OPENING, SLOT_CHECKING, SLOT_OPEN, SLOT_REFUSED };

struct slot {
	struct sftp_file *file;
	struct conn *conn;
	atomic_int state;		/* set by conn's I/O thread */
	atomic_uint session;		/* of conn, when OPEN */
	atomic_bool warming;		/* a file_warm() is on its way */
	struct list waiting;		/* requests; conn's I/O thread */
	struct list link;		/* of conn->reopening, while anything waits; conn's I/O thread */
	struct request open;		/* OPEN, then FSTAT, of a later opening */
	unsigned int moves;		/* of the file, when OPEN was encoded */
	bool elsewhere;			/* OPEN is tried at the file's next_path */
	struct request close;
	size_t handle_len;		/* conn's I/O thread */
	uint8_t handle[PROTO_MAX_HANDLE];
};

struct sftp_file {
	struct sftp *sftp;
	uint32_t flags;			/* SFTP_OPEN_* of the first open */
	enum sftp_lane lane;
	atomic_uint refs;		/* the user's, and one for each slot->open and slot->close under way */
	atomic_int home;		/* index of the connection its small requests take */
	atomic_bool stale;
	atomic_bool gone;		/* what is at its path is another file, or nothing */
	atomic_bool closed;		/* sftp_close was called: nothing is opened any more */
	atomic_ullong outstanding;	/* bytes of reads and writes under way */
	pthread_mutex_t lock;		/* guards what follows */
	char *path;
	char *next_path;		/* a rename to it is under way; NULL: none */
	unsigned int moves;		/* counts changes of these two */
	uint64_t written;		/* end of the last byte acknowledged as written, or the size set */
	bool seen;			/* attrs are those of the last fstat */
	struct sftp_attrs attrs;
	/* Closing: one thread, then the last answer. */
	atomic_uint closing;
	bool quiet;			/* it wakes no thread that wakes soon by itself */
	atomic_int close_error;
	sftp_done *close_done;
	void *close_arg;
	struct slot *_Atomic slots[];	/* by connection; each set once, under the lock */
};

int file_new(struct sftp *sftp, enum sftp_lane lane, const char *path, uint32_t flags, struct sftp_file **ret_file);
void file_ref(struct sftp_file *file);
void file_unref(struct sftp_file *file);
int file_slot(struct sftp_file *file, struct conn *conn, struct slot **ret_slot);	/* the one there, or a new one; 0 or -ENOMEM */
void file_set_gone(struct sftp_file *file, bool gone);
int file_set_paths(struct sftp_file *file, const char *path, const char *next_path);	/* NULL `path`: as it is */
void file_fill(struct sftp_file *file, const struct request *request, const struct answer *answer);	/* what an answer tells about it */

bool slot_usable(const struct slot *slot);	/* open in a session that is up; any thread, may change at once */
struct slot *file_usable(struct sftp_file *file, const struct conn *conn);	/* NULL: not there, or not usable */
bool file_refused(struct sftp_file *file, const struct conn *conn);
void file_warm(struct sftp_file *file, struct conn *conn);	/* open it there too, ahead of need; errors show as "not usable" */

/* ---- on conn's I/O thread ---- */

/* The first open was answered well. */
void slot_opened(struct slot *slot, const struct answer *answer);

/* May this request be encoded now? false: it waits for a handle, or has been finished. */
bool slot_prepare(struct conn *conn, struct request *request);

void slot_encode_open(struct slot *slot, struct writer *writer);

/* The session is over: all that waits goes to the end of `ret_requests`. */
void slots_broke(struct conn *conn, struct list *ret_requests);

#endif
