/*
 * qconf: queue.conf, as all three programs read it, and the names a queue directory shows. See claimfs-queue(7).
 *
 * Format 1. To change it: add a name with a default that means what its absence meant; raise QCONF_FORMAT only when an
 * older program must not touch the queue, which then refuses it with a message.
 */
#ifndef CLAIMFS_BASE_QCONF_H
#define CLAIMFS_BASE_QCONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define QCONF_FORMAT 1
#define QCONF_DIR ".claimfs"
#define QCONF_PATH ".claimfs/queue.conf"
#define QCONF_MAX_BYTES 65536
#define QCONF_MIN_LEASE_S 3

enum qconf_key { QCONF_KEY_NAME, QCONF_KEY_STAT, QCONF_KEY_CONTENT };

struct qconf {
	int64_t format;
	char *input;		/* relative to the queue, may begin with ../ */
	char *output;		/* a pattern, relative to the queue */
	int key;		/* enum qconf_key */
	int64_t lease_ns;
	int64_t attempts;
	int64_t settle_ns;
	int durable;		/* 0 or 1 */
};

/* Defaults; strings are allocated. 0 or -ENOMEM. */
int qconf_init(struct qconf *conf);
void qconf_release(struct qconf *conf);

/* Parses queue.conf's text over the defaults. 0, or -EINVAL with "FILE:LINE: …" in `why`; `conf` is released on error. */
int qconf_parse(struct qconf *conf, const char *file, const char *text, size_t len, struct buf *why);

/* One setting, as `claimctl init --lease 30s` gives it: the same checks as in the file. 0 or -EINVAL with the reason in `why`. */
int qconf_set(struct qconf *conf, const char *name, const char *value, struct buf *why);

/* Is it whole: output within the queue, not below .claimfs, not below a virtual name. 0 or -EINVAL with the reason. */
int qconf_check(const struct qconf *conf, struct buf *why);
void qconf_format(const struct qconf *conf, struct buf *ret);	/* the file's text, with a comment a line */

/* Where the output of unit `name` goes, relative to the queue. 0, -EINVAL (it would leave the queue), -ENOMEM. */
int qconf_output(const struct qconf *conf, const char *name, struct buf *ret);

/* The same below stage/: the output without the fixed directory at the pattern's head ("features/{.}.npy": a/b.jpg → a/b.npy). */
int qconf_stage(const struct qconf *conf, const char *name, struct buf *ret);

/* todo claims done failed stage ctl progress progress.json; ends with NULL. */
extern const char *const qconf_virtual_names[];

/* Is this base name of an input skipped: begins with ".", or ends in .part .tmp ~ */
bool qconf_skips(const char *base_name);

#endif
