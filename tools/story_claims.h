/*
 * story_claims: who is at a unit now. No log tells of a claim before it ends; the claim itself lies in .claimfs/claims.
 */
#ifndef CLAIMFS_TOOLS_STORY_CLAIMS_H
#define CLAIMFS_TOOLS_STORY_CLAIMS_H

#include <stdint.h>

#include "queue/layout.h"
#include "base/qconf.h"

struct story_claim {
	const char *unit;
	char node[LAYOUT_MAX_NODE + 1];
	int64_t beat;			/* the node's last heartbeat, the server's seconds */
	int64_t pid;			/* of the mount; 0: not said */
	uint32_t generation, number;
};

typedef void story_take_claim(void *arg, const struct story_claim *claim);

/*
 * Calls `take` for each of these units (ends with NULL) that is neither done nor failed and whose newest claim is a node's, neither given back nor
 * lost. That node may be silent: `beat` tells. 0 or -errno; a unit whose input is not there has no claim.
 */
int story_claims(const char *dir, const struct qconf *conf, char *const *units, story_take_claim *take, void *arg);

#endif
