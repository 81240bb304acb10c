/*
 * claimctl retry: failed units become todo again.
 */
#include "tools/change.h"
#include "tools/command.h"

static struct change retry = { .command = "retry", .dir = "failed", .did = "retried", .missing = "no such unit has failed" };

const struct command cmd_retry = {
	.name = "retry",
	.summary = "let failed units be worked on again",
	.usage = "retry QUEUE UNIT... | --all",
	.description = "Puts units from failed/ back into todo/; their attempts are counted anew. What `rm failed/UNIT' does, for many at once.\n",
	.examples = "  claimctl retry /mnt/disk/queue a/b.jpg\n"
		    "  claimctl retry /mnt/disk/queue --all\n",
	.options = change_options,
	.set = change_set,
	.run = change_run,
	.target = &retry,
};
