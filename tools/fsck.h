/*
 * fsck: what the files of `claimctl fsck` share: what was found on the disk, what is wrong with it, and what was done.
 *
 *   fsck_read   lists the store and reads the logs ─▶ units, markers, claims, nodes
 *   fsck_check  holds them against each other, in the order in which the protocol makes them
 *   fsck_mend   does what the protocol allows anybody: sweep, begin a generation, append a log of its own
 *   fsck_report a line for each finding, counts at the end
 *
 * The queue may be in use: nothing is believed to be missing because a listing, which takes time, did not show it. The store is read in this
 * order: claims, redo, failed, done, nodes, logs. A node makes the marker, then writes its record, then sweeps its claims.
 */
#ifndef CLAIMFS_TOOLS_FSCK_H
#define CLAIMFS_TOOLS_FSCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/qconf.h"
#include "queue/layout.h"
#include "queue/record.h"

#define FSCK_LONG_STALE 20		/* leases without a heartbeat: a node is long gone */
#define FSCK_MAX_GAP 1000		/* generations or claims missing in a row: more are no accident, and are not made */

struct fsck_unit {
	struct hash128 hash;
	struct hash128 key;		/* of its highest done record */
	char *name;			/* of the input that is there; NULL: none is */
	uint32_t generation;		/* the highest one that anything speaks of */
	uint32_t redo_max, redo_count;	/* names in redo/ */
	uint32_t marker;		/* highest generation with a marker, + 1; 0: none. With key = content: by its own record */
	uint32_t failed;		/* the same, of failed/ */
	uint32_t record;		/* the same, of done records */
};

struct fsck_marker {
	struct hash128 key;
	uint32_t generation;
	bool recorded;			/* a log has a done record of it */
};

struct fsck_node {			/* a file in nodes/ */
	char name[LAYOUT_MAX_NODE + 24];
	size_t node_len;		/* NODE is so much of it */
	enum layout_node_file kind;
};

enum fsck_kind {
	FSCK_CONF, FSCK_DIR, FSCK_NAME, FSCK_GAP, FSCK_OVER, FSCK_UNRECORDED, FSCK_STRAY, FSCK_UNMARKED, FSCK_BOTH, FSCK_REDO, FSCK_NODE,
	FSCK_TMP, FSCK_RESUME, FSCK_OUTPUT, FSCK_LINE, FSCK_TORN, FSCK_KINDS
};

enum fsck_outcome {
	FSCK_NOTE,			/* harmless */
	FSCK_PROBLEM,			/* for a person to look at */
	FSCK_MENDED,			/* or would be, in a dry run */
	FSCK_FAILED,			/* could not be mended */
	FSCK_OUTCOMES
};

struct fsck_options {
	bool dry_run;
	bool json;
	bool redo_missing;
	bool no_outputs;
};

struct fsck {
	const struct fsck_options *options;
	const char *dir;
	int fd;				/* of `dir` */
	struct qconf conf;
	int64_t now;			/* the disk's clock, seconds; INT64_MIN: not known, so nothing is old */

	struct fsck_unit *units;
	size_t unit_count, unit_cap;
	struct map unit_by_hash;	/* UNIT → index + 1 */
	struct fsck_marker *markers;
	size_t marker_count, marker_cap;
	struct map marker_by_key;	/* KEY and generation → index + 1 */
	struct layout_claim *claims;
	size_t claim_count, claim_cap;
	struct fsck_node *nodes;
	size_t node_count, node_cap;
	struct map live;		/* NODE whose heartbeat is not long stale */
	struct map recorded_names;	/* key = content: names in done records */

	/* fsck_mend */
	char node[LAYOUT_MAX_NODE + 1];	/* "": none yet */
	bool free_made;
	struct buf log;			/* records to be written */
	size_t log_count;

	/* fsck_report */
	size_t counts[FSCK_OUTCOMES];
	bool outputs_missing;		/* that was said, and nothing was done about it */
};

/* fsck_read.c: 0, or -errno after it was said */
int fsck_read_time(struct fsck *fsck);
int fsck_read_store(struct fsck *fsck);
int fsck_read_inputs(struct fsck *fsck);
struct fsck_unit *fsck_unit_get(struct fsck *fsck, const struct hash128 *hash);		/* NULL: out of memory */
struct fsck_unit *fsck_unit_find(const struct fsck *fsck, const struct hash128 *hash);	/* NULL: none */
struct fsck_marker *fsck_marker_find(const struct fsck *fsck, const struct hash128 *key, uint32_t generation);

/* fsck_logs.c */
int fsck_read_logs(struct fsck *fsck);

/* fsck_check.c */
int fsck_check(struct fsck *fsck);

/* fsck_mend.c: 0 or -errno */
int fsck_mend_dir(struct fsck *fsck, const char *path);
int fsck_mend_remove(struct fsck *fsck, const char *path);
int fsck_mend_tmp(struct fsck *fsck, const char *path);
int fsck_mend_gap(struct fsck *fsck, const char *path);
int fsck_mend_redo(struct fsck *fsck, const char *path);			/* -EEXIST: it is there */
int fsck_mend_record(struct fsck *fsck, const struct record *record);	/* kept for fsck_mend_log() */
int fsck_mend_log(struct fsck *fsck);
void fsck_mend_end(struct fsck *fsck);

/* fsck_report.c: `unit` may be NULL; `error` is that of FSCK_FAILED. */
void fsck_report(struct fsck *fsck, enum fsck_kind kind, enum fsck_outcome outcome, int error, const char *path, const char *unit,
		 const char *detail);
/* As mended, or as failed with the error; in a dry run as what would be mended. */
void fsck_report_mend(struct fsck *fsck, enum fsck_kind kind, int error, const char *path, const char *unit);
void fsck_report_end(const struct fsck *fsck, size_t inputs, size_t done, size_t failed);

#endif
