/*
 * claimctl redo: done units become todo again.
 */
#include "tools/change.h"
#include "tools/command.h"

static struct change redo = { .command = "redo", .dir = "done", .did = "to be done again", .missing = "no such unit is done" };

const struct command cmd_redo = {
	.name = "redo",
	.summary = "have done units done again",
	.usage = "redo QUEUE UNIT... | --all",
	.description = "Puts units from done/ back into todo/. Their outputs stay until they are replaced. What `rm done/UNIT' does, for many at once.\n",
	.examples = "  claimctl redo /mnt/disk/queue a/b.jpg\n"
		    "  claimctl redo /mnt/disk/queue --all\n",
	.options = change_options,
	.set = change_set,
	.run = change_run,
	.target = &redo,
};
