/*
 * site: the queue a command is about, as it was named on the command line.
 */
#ifndef CLAIMFS_TOOLS_SITE_H
#define CLAIMFS_TOOLS_SITE_H

#include "base/buf.h"
#include "base/qconf.h"

struct site {
	const char *dir;
	struct qconf conf;
};

/*
 * Reads the settings of the queue at `dir`, which must be seen through a mount of claimfs. 0, or -errno after saying why, for `command`.
 */
int site_open(const char *command, const char *dir, struct site *ret_site);
void site_release(struct site *site);

/* Only the settings: for a plain directory too. 0; -ENOENT: no queue; -errno with one line in `why`. */
int site_read_conf(const char *dir, struct qconf *ret_conf, struct buf *why);

#endif
