/*
 * record: one line of a queue's log, .claimfs/log/NODE. A log is appended by the one node it is named after and read by all others: it is an
 * index of what happened, never the truth (claimfs-queue(7)). Which node a record is of is said by the file's name.
 *
 *   1 done UNIT G TIME N KEY NAME [k=v …]\n         fields are separated by one space
 *   │ │    │    │ │    │ │   └ percent-encoded as a value: no space in it
 *   │ │    │    │ │    │ └ 32 hex digits, or "-": the same as UNIT (always, but for key = content)
 *   │ │    │    │ │    └ attempt (for redo: 0)
 *   │ │    │    │ └ seconds since 1970, the server's clock
 *   │ │    │    └ generation; for redo the one that begins
 *   │ │    └ 32 hex digits
 *   │ └ done failed lost redo
 *   └ version of the format
 *
 * A lost record is the claimant's own, or, with the values `of=NODE beat=TIME`, of the node that took the claim over: whose it was, and when
 * that one's heart beat last.
 *
 * The lines of a merged log (merge.h) say in the value `from=LOG:BEGIN:END` in which log, and so of which node, and at which bytes each stood first.
 *
 * Format 1. To change it: a new k=v value needs no new version, readers skip names they do not know; a change to the fixed fields gets
 * the number 2, which readers of 1 skip as they skip every line that is not well formed. An append that was cut or written twice is
 * harmless: lines are idempotent, and a writer that is not sure how the last one ended begins with a newline (empty lines mean nothing).
 */
#ifndef CLAIMFS_QUEUE_RECORD_H
#define CLAIMFS_QUEUE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"

#define RECORD_MAX_NAME 4096		/* bytes of a unit's name, decoded */
#define RECORD_MAX_VALUES 16384		/* bytes of all values as they stand there */
#define RECORD_MAX_LINE 32768		/* of a whole line, with its newline */
#define RECORD_MAX_SECONDS 1e9		/* that a value can mean: what says more means nothing, and must not make nonsense of sums */
#define RECORD_MAX_BYTES 1e18

enum record_what { RECORD_DONE, RECORD_FAILED, RECORD_LOST, RECORD_REDO, RECORD_WHATS };

struct record {
	enum record_what what;
	struct hash128 unit;
	struct hash128 key;		/* equal to unit but for key = content */
	uint32_t generation;
	uint32_t attempt;
	int64_t time;
	const char *name;		/* decoded, NUL-terminated */
	const char *values;		/* "k=v k=v" with encoded values; "" or (for record_format) NULL: none */
};

/* Appends the line with its newline. 0, -EINVAL (the name or values could not be read back), -ENOMEM. */
int record_format(const struct record *record, struct buf *to);

/*
 * Reads one line of `len` bytes without its newline, decoding in place: `line` must have room for a NUL at line[len], and the
 * record points into it. 0; -ENODATA for an empty line; -EINVAL for anything else than a whole line of format 1.
 */
int record_parse(char *line, size_t len, struct record *ret_record);

/* Are these values of records, ctl lines and tickets: "k=v k=v …", names of [a-z0-9_] that begin with a letter, at most
 * RECORD_MAX_VALUES bytes, no control characters, every % followed by two hex digits. NULL and "" are. */
bool record_values_good(const char *values);

/* The value of `name` as it stands there, encoded, of *ret_len bytes; NULL: none. The values must be good. */
const char *record_find_value(const char *values, const char *name, size_t *ret_len);

/* The value of `name`, decoded, appended to `ret_value`. 0, -ENOENT, -ENOMEM. The values must be good. */
int record_value(const char *values, const char *name, struct buf *ret_value);

/* May this be a unit's name: a relative path of 1 … RECORD_MAX_NAME bytes, no component empty, ".", ".." or over 255 bytes. */
bool record_name_good(const char *name);

#endif
