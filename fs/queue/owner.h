/*
 * owner: what a heartbeat file says, and so (being links to one) every claim and every done marker: whose it is.
 *
 *   claimfs 1\nnode NODE\nkind live|free|lost\nhost HOST\npid N\nstart SECONDS\n
 *
 * Format 1. To change it: add lines; readers skip lines they do not know. A file that does not begin so has no owner.
 */
#ifndef CLAIMFS_QUEUE_OWNER_H
#define CLAIMFS_QUEUE_OWNER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "queue/layout.h"

#define OWNER_MAX_BYTES 1024

enum owner_kind { OWNER_LIVE, OWNER_FREE, OWNER_LOST };

struct owner {
	char node[LAYOUT_MAX_NODE + 1];
	enum owner_kind kind;
	int64_t pid;		/* 0: not said */
	int64_t start;
};

void owner_format(const struct owner *owner, const char *host, struct buf *to);

/* 0, or -EINVAL when the text is no owner's. Reads at most OWNER_MAX_BYTES. */
int owner_parse(const char *text, size_t len, struct owner *ret_owner);

#endif
