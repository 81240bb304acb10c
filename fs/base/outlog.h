/*
 * outlog: what many short jobs wrote, packed: one growing file of their output and one of an index, not two files a job.
 *
 *   NAME.out    frames, as they came: "o LENGTH\n" or "e LENGTH\n" (standard output, standard error) and LENGTH bytes
 *   NAME.idx    a line for each unit that ended: "1 UNIT BEGIN END TIME HOW\n": its frames are the bytes BEGIN … END of NAME.out;
 *               UNIT is percent-encoded as a value; TIME in milliseconds since 1970; HOW is one word (done, failed, released).
 *               HOW "running", with END = BEGIN, says that its job has not ended: its frames are all from BEGIN, until a later line says where
 *               they end. If its writer is killed none does.
 *
 * The units of a batch share their frames. A line that is not whole or not well formed means nothing, and so do frames no line names.
 * Format 1. To change it: another number at the head of the lines; readers skip those they don't know.
 */
#ifndef CLAIMFS_BASE_OUTLOG_H
#define CLAIMFS_BASE_OUTLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define OUTLOG_OUTPUT 'o'
#define OUTLOG_ERROR 'e'
#define OUTLOG_OVERTAKEN "overtaken"	/* HOW of a job that was ended since another attempt had done its unit */

/* ---- writing: one writer a name ---- */

struct outlog;

int outlog_new(const char *dir, const char *name, struct outlog **ret_log);	/* makes `dir`; 0 or -errno */
void outlog_free(struct outlog *log);		/* NULL is fine */

void outlog_begin(struct outlog *log);		/* what comes now belongs to the next units */
void outlog_add(struct outlog *log, char kind, const void *data, size_t len);
void outlog_running(struct outlog *log, const char *unit, int64_t time_ms);	/* a unit whose job has not ended; before outlog_unit(), or never */
void outlog_unit(struct outlog *log, const char *unit, int64_t time_ms, const char *how);
int outlog_flush(struct outlog *log);		/* 0, or -errno of anything since the last time: the log is a help, not a promise */

/* ---- reading ---- */

struct outlog_entry {
	const char *path;	/* of the .out file */
	uint64_t begin;
	uint64_t end;
	int64_t time_ms;
	const char *how;
	bool running;		/* no end was told: up to the end of the file, where a frame may be cut off */
};

/* Calls `found` for every line about `unit` in the index files of `dir`, in no order. 0 or -errno; what `found` returns, if not 0, ends it. */
typedef int outlog_found(void *arg, const struct outlog_entry *entry);
int outlog_find(const char *dir, const char *unit, outlog_found *found, void *arg);

/* Copies an entry's frames to two descriptors (-1: left out). 0; -EINVAL when they are not well formed; -errno. */
int outlog_copy(const struct outlog_entry *entry, int out_fd, int err_fd);

/* One line of an index, without its newline; it is changed. 0 or -EINVAL. */
int outlog_parse(char *line, const char **ret_unit, struct outlog_entry *ret_entry);

#endif
