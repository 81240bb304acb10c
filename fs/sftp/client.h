/*
 * client: the face of the SFTP engine (draft-ietf-secsh-filexfer-02, that is version 3, and OpenSSH's PROTOCOL extensions).
 *
 *   sftp_lstat() … ──▶ request ──▶ pool: which connection? ──▶ conn: table, window, I/O thread ──▶ channel
 *                                                                  │
 *   sftp_done(arg, reply) ◀─────────── completion on that I/O thread ◀┘
 *
 * Every call encodes a request, queues it, wakes the connection and returns at once: 0 (then `done` is called exactly once, on an
 * I/O thread, possibly before the call has returned) or -ENOMEM/-ENAMETOOLONG (then it never is). A completion must not block
 * and may submit more requests. Requests given to the control lane by one thread reach the server in that order, and OpenSSH
 * carries them out in that order; one on a file that must be reopened first (after a break) may be overtaken by others. The data lane has
 * several connections and keeps no order: what must come after something waits for its answer; reads and writes in flight must not overlap writes.
 *
 * A broken connection is made anew in the background, for ever. What it means for a request:
 *   not sent yet                        sent on the new connection
 *   sent, unanswered, idempotent        sent again: lstat stat readlink list statvfs realpath read write fstat setstat fsetstat
 *                                       fsync, open without EXCL (with TRUNC until it was answered, a reopening never)
 *                                       (a write to a file opened with APPEND is not: it would be there twice)
 *   sent, unanswered, anything else     completed with SFTP_UNKNOWN: it may have happened, and an old server process may still do it.
 *                                       The caller looks before it asks again.
 *   waited longer than the time-out     -ETIMEDOUT (also: it may have happened). Behind others that are being answered (megabytes
 *                                       on a slow link) it may wait ten times as long.
 * Open files survive: they are reopened on the new connection (never with CREAT, TRUNC or EXCL) before the next request on them;
 * one that can't be is -ESTALE from then on.
 *
 * Names are bytes; paths are as the server resolves them (absolute, or relative to the login directory). The engine checks
 * every length and drops listed names that are empty, ".", "..", or hold '/' or NUL.
 *
 * Thread-safe throughout. Locks: pool, conn and file each guard their own lists; none is held while another is taken or a completion runs.
 */
#ifndef CLAIMFS_SFTP_CLIENT_H
#define CLAIMFS_SFTP_CLIENT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "sftp/channel.h"

#define SFTP_UNKNOWN (-ECONNRESET)	/* sent, and the answer never came */

struct sftp;		/* one server, several connections */
struct sftp_file;	/* an open remote file; its own handle on every connection that carries it */

/* Which connection: control is for metadata, claims, heartbeats, never bulk data; data for reads, writes and long listings. */
enum sftp_lane {
	SFTP_CONTROL,
	SFTP_DATA,
	/* To create a file and look at it, in this order. Control where the server is near; far away a data connection, the same for both as long as it
	 * is up, so that what is written next can follow at once where it may go. */
	SFTP_CREATE,
	/* To open what is to be fsynced: data, and side by side on all of its connections where the disk takes its time: a server process carries out one
	 * after another, and a disk makes several safe at once. */
	SFTP_FSYNC,
};

/* Which fields of struct sftp_attrs are there (SSH_FILEXFER_ATTR_*). */
#define SFTP_ATTR_SIZE 0x1
#define SFTP_ATTR_OWNER 0x2
#define SFTP_ATTR_MODE 0x4
#define SFTP_ATTR_TIMES 0x8

struct sftp_attrs {
	uint32_t flags;
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;		/* with the type bits, as in struct stat */
	uint64_t size;
	uint32_t atime;		/* seconds since 1970, unsigned as in the draft: until 2106 */
	uint32_t mtime;
	int64_t asked_ns;	/* of an answer to lstat, stat, fstat: when it was asked for (clock_now); else 0 */
};

struct sftp_statvfs {		/* statvfs@openssh.com, fields as in struct statvfs */
	uint64_t bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax;
};

struct sftp_name {		/* one entry of a listing; valid during the call-back only */
	const char *name;
	size_t len;
	const struct sftp_attrs *attrs;
};

/* What an answer holds; pointers are valid during the completion only. */
struct sftp_reply {
	int error;			/* 0, -errno, or SFTP_UNKNOWN */
	struct sftp_attrs attrs;	/* lstat stat fstat */
	const char *text;		/* readlink realpath: NUL-terminated */
	size_t len;			/* bytes read (short only at end of file), or the length of text; copy: see there */
	struct sftp_file *file;		/* open: now the caller's, ended by sftp_close */
	struct sftp_statvfs statvfs;
	int64_t sent_ns;		/* clock_now() when the request was handed to the channel */
	int64_t received_ns;		/* clock_now() when its answer was read */
};

typedef void sftp_done(void *arg, const struct sftp_reply *reply);

/* ---- the server ---- */

struct sftp_options {
	int connections;	/* most connections at once; the first carries control, and data too when it is the only one */
	/*
	 * Of these, how many may carry data to a near server. Each is a chain of processes, here and there; where they share few cores, more chains only
	 * wake one another: on 2 cores 512 MiB took 2.4 s over four and 1.8 s over one. 0: a quarter of this machine's cores. Far away it is all of them.
	 */
	int near_data;
	int64_t timeout_ns;	/* how long an operation waits for a connection; 0 for ever */
	int64_t alive_ns;	/* a peer that answers nothing for this long is dead; default 15 s */
	uint32_t max_read;	/* most bytes a request; 0: what limits@openssh.com allows */
	uint32_t max_write;
	uint64_t max_listing;	/* a listing with more bytes ends with -EOVERFLOW; 0: 1 GiB, millions of entries */
	/*
	 * A session that broke leaves a server process behind which may still carry out what it has received. Changes that were sent and not
	 * answered are not sent again, nor looked for, until it has had so much time. 0: no such process can be.
	 */
	int64_t settle_ns;
	/* For the connections that carry no control, while the server is near (below POOL_FAR_NS); NULL: the same. Must outlive the sftp too. */
	struct channel_maker *data_maker;
	bool direct;		/* reserved for debugging: no coalescing */
};

/*
 * Connects (blocking, until the first connection speaks SFTP or fails for good or `options->timeout_ns` has passed). 0, or -errno with one
 * line in `why`. The maker must outlive the sftp. Call after any fork: threads start here.
 */
int sftp_connect(struct channel_maker *maker, const struct sftp_options *options, struct sftp **ret_sftp, struct buf *why);

/*
 * Requests that are submitted between these two wake the I/O threads that sleep only at the second: a flight of hundreds costs one wake-up. For a
 * moment, without waiting for anything in between. What other threads submit meanwhile leaves with the first sftp_go().
 */
void sftp_hold(struct sftp *sftp);
void sftp_go(struct sftp *sftp);

/* Close the files first. Requests still waiting complete with -ENOTCONN; returns when all completions have run and all threads have ended. NULL is fine. */
void sftp_free(struct sftp *sftp);

/* What the server offers (the version reply's extensions), known once connected. */
enum sftp_feature {
	SFTP_HAS_POSIX_RENAME = 1, SFTP_HAS_HARDLINK = 2, SFTP_HAS_FSYNC = 4, SFTP_HAS_STATVFS = 8, SFTP_HAS_LSETSTAT = 16,
	SFTP_HAS_LIMITS = 32, SFTP_HAS_COPY_DATA = 64, SFTP_HAS_EXPAND_PATH = 128,
};
unsigned int sftp_features(const struct sftp *sftp);
uint32_t sftp_max_handles(const struct sftp *sftp);	/* most that a connection may have open (limits@openssh.com); 0: the server does not say */
uint32_t sftp_max_read(const struct sftp *sftp);	/* most bytes of one sftp_read */
uint32_t sftp_max_write(const struct sftp *sftp);

/* Bytes of writes that are worth having under way together, as far as the server's distance is known: more would not reach it any sooner. */
size_t sftp_worth_flying(const struct sftp *sftp);

/* JSON: per connection round-trip time, bytes, requests, reconnects; per operation count and latency (p50, p99). */
void sftp_stats(struct sftp *sftp, struct buf *ret_json);

/* ---- by path ---- */

int sftp_lstat(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);
int sftp_stat(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);
/* nofollow: lsetstat@openssh.com where the server has it (else -EOPNOTSUPP for a request that would follow a symlink). */
int sftp_setstat(struct sftp *sftp, enum sftp_lane lane, const char *path, const struct sftp_attrs *attrs, bool nofollow, sftp_done *done, void *arg);
int sftp_readlink(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);
int sftp_realpath(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);
int sftp_symlink(struct sftp *sftp, enum sftp_lane lane, const char *target, const char *path, sftp_done *done, void *arg);
int sftp_mkdir(struct sftp *sftp, enum sftp_lane lane, const char *path, uint32_t mode, sftp_done *done, void *arg);
int sftp_rmdir(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);
int sftp_remove(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);
/* Version 3's rename, which refuses an existing target (OpenSSH: link and unlink for files). */
int sftp_rename(struct sftp *sftp, enum sftp_lane lane, const char *from, const char *to, sftp_done *done, void *arg);
int sftp_posix_rename(struct sftp *sftp, enum sftp_lane lane, const char *from, const char *to, sftp_done *done, void *arg);
int sftp_hardlink(struct sftp *sftp, enum sftp_lane lane, const char *from, const char *to, sftp_done *done, void *arg);
int sftp_statvfs(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_done *done, void *arg);

/*
 * A whole directory: `entry` for every entry in the server's order, READDIRs pipelined, then `done`. `entry` runs on the I/O thread and
 * must be quick; it returns false to stop early (`done` then says error 0). A listing that a broken connection cut is begun again
 * from the start after `restart` (may be NULL: then it ends with SFTP_UNKNOWN).
 */
typedef bool sftp_entry(void *arg, const struct sftp_name *name);
typedef void sftp_restart(void *arg);
int sftp_list(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_entry *entry, sftp_restart *restart, sftp_done *done, void *arg);

/* ---- open files ---- */

#define SFTP_OPEN_READ 0x01	/* SSH_FXF_* */
#define SFTP_OPEN_WRITE 0x02
#define SFTP_OPEN_APPEND 0x04
#define SFTP_OPEN_CREAT 0x08
#define SFTP_OPEN_TRUNC 0x10
#define SFTP_OPEN_EXCL 0x20

/* An open file that is shorter than what was acknowledged as written, or no regular file, when it is reopened after a break is -ESTALE. A
 * truncation by path (sftp_setstat) is not known to it: sftp_fsetstat or sftp_fstat on the file itself are. */

/* reply->file is the new file. `attrs` may be NULL (only mode is used). The lane is where it is opened first. */
int sftp_open(struct sftp *sftp, enum sftp_lane lane, const char *path, uint32_t flags, const struct sftp_attrs *attrs, sftp_done *done, void *arg);

/* The file was renamed (or its directory was): where to reopen it after a break. 0, -ENOMEM, -ENAMETOOLONG. */
int sftp_file_moved(struct sftp_file *file, const char *new_path);
/* Such a rename is being asked for: a reopening that does not find the file looks there too. NULL: it did not happen. sftp_file_moved
 * ends it as well. */
int sftp_file_moving(struct sftp_file *file, const char *next_path);
/* Its name is being removed or given to another file, or was: what is at its path is not opened for it any more. Say so before the request
 * is sent; false: it did not happen. Where the file is open it stays usable; after a break it is -ESTALE. */
void sftp_file_gone(struct sftp_file *file, bool gone);

/* It was made this short in another way than through this file: what is reopened after a break may be so short. */
void sftp_file_cut(struct sftp_file *file, uint64_t size);

/* Up to `len` ≤ sftp_max_read bytes into `data`, which must stay until `done`. Reads again by itself after a short answer. */
int sftp_read(struct sftp_file *file, uint64_t offset, void *data, size_t len, sftp_done *done, void *arg);
/* `len` ≤ sftp_max_write bytes of `data`, which must stay until `done`: it is sent again after a break. */
int sftp_write(struct sftp_file *file, uint64_t offset, const void *data, size_t len, sftp_done *done, void *arg);
int sftp_fstat(struct sftp_file *file, sftp_done *done, void *arg);
int sftp_fsetstat(struct sftp_file *file, const struct sftp_attrs *attrs, sftp_done *done, void *arg);
int sftp_fsync(struct sftp_file *file, sftp_done *done, void *arg);	/* -EOPNOTSUPP without the extension */
/* copy-data: on the server, from one open file to another (`len` 0: up to the end). -EOPNOTSUPP: not here, copy it yourself. Where the source
 * ends before `len` that is no error: reply->len is less then, not how much was copied. */
int sftp_copy(struct sftp_file *from, uint64_t from_offset, uint64_t len, struct sftp_file *to, uint64_t to_offset, sftp_done *done, void *arg);

/* Closes on every connection; requests on it must have completed. The file is gone when this returns; `done` may be NULL. Always
 * takes the file, whatever it returns. */
int sftp_close(struct sftp_file *file, sftp_done *done, void *arg);
/* The same, but it need not leave at once: with the connection's next request, at the latest 20 ms from now, or at sftp_hurry(). So does
 * a close without `done`. */
int sftp_close_quietly(struct sftp_file *file, sftp_done *done, void *arg);
void sftp_hurry(struct sftp *sftp);	/* what may leave later leaves now: somebody waits for it */

/* ---- waiting ---- */

/*
 * For threads that may wait (start-up, queue/store.h): pass sftp_wait_done and a struct sftp_wait as done and arg of any call,
 * then sftp_wait_for(). The reply's text is copied into `text`.
 */
struct sftp_wait;
struct sftp_wait *sftp_wait_new(void);
void sftp_wait_free(struct sftp_wait *wait);
void sftp_wait_done(void *arg, const struct sftp_reply *reply);
/* Blocks; returns the reply's error; `ret_reply` and `text` may be NULL. The wait may then be used again. */
int sftp_wait_for(struct sftp_wait *wait, struct sftp_reply *ret_reply, struct buf *text);

#endif
