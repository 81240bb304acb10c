/*
 * claimctl release: units claimed through this mount are given back.
 */
#include "tools/change.h"
#include "tools/command.h"

static struct change release = { .command = "release", .dir = "claims", .did = "released", .missing = "no such unit is claimed" };

const struct command cmd_release = {
	.name = "release",
	.summary = "give back units that this mount has claimed",
	.usage = "release QUEUE UNIT... | --all",
	.description = "Gives claims of this mount back; the attempts don't count. Those of other mounts are theirs (--all passes over them). What\n"
		       "`rm claims/UNIT' does, for many at once.\n",
	.examples = "  claimctl release /mnt/disk/queue a/b.jpg\n"
		    "  claimctl release /mnt/disk/queue --all\n",
	.options = change_options,
	.set = change_set,
	.run = change_run,
	.target = &release,
};
