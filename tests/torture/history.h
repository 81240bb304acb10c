/*
 * history: what the clients of a torture run asked and were told, one line an event, one file a client.
 *
 *   TIME CLIENT NODE EVENT UNIT [DETAIL…]
 *
 * TIME is nanoseconds of CLOCK_BOOTTIME: all hosts of a run are namespaces of one machine, so it is the server's time too; a client's
 * own (perhaps wrong) wall clock plays no part in it. UNIT is percent-encoded, "-" where none is meant. Lines are written with one
 * write(2) each, so that a killed client leaves whole lines and perhaps one part line, which is ignored.
 *
 *   client:   took UNIT ATTEMPT         a take answered with it
 *             commit UNIT DIGEST        about to write `done` (the output is staged whole, DIGEST is its hash)
 *             ok | already | stale UNIT the answer; `refused` for any other error
 *             give UNIT, gave UNIT      about to release, and its answer
 *             fail UNIT, failed UNIT    about to set aside, and its answer
 *             gone                      the mount went away: what was held or asked is unknown from here on
 *   nemesis:  kill | stop | cont | cut | mend NODE
 *   run:      redo UNIT, retry UNIT     the user's, with the new generation's number as detail
 *             end STATE UNIT DIGEST     a unit's state at the end (todo claims done failed none) and its output's hash or "-"
 */
#ifndef CLAIMFS_TESTS_HISTORY_H
#define CLAIMFS_TESTS_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum event_kind {
	EVENT_TOOK, EVENT_COMMIT, EVENT_OK, EVENT_ALREADY, EVENT_STALE, EVENT_REFUSED, EVENT_GIVE, EVENT_GAVE, EVENT_FAIL, EVENT_FAILED,
	EVENT_GONE, EVENT_KILL, EVENT_STOP, EVENT_CONT, EVENT_CUT, EVENT_MEND, EVENT_REDO, EVENT_RETRY, EVENT_END, EVENT_KINDS
};

struct event {
	int64_t time_ns;
	char *client;
	char *node;
	char *unit;
	char *detail;		/* "" if none */
	enum event_kind kind;
};

struct history {
	struct event *events;
	size_t count;
	size_t room;
};

const char *event_name(enum event_kind kind);

/* Adds the lines of `file` (named `name` in messages). 0, or -EINVAL after a message for a whole line that is none. */
int history_read(struct history *history, FILE *file, const char *name);
void history_sort(struct history *history);	/* by time; equal times keep the order of reading */
void history_release(struct history *history);

struct verdict {		/* how often each was broken */
	int one_commit;
	int no_unit_lost;
	int done_is_there;
	int one_owner;
	int attempts_rise;
	/* not promises, but said */
	int units;
	int committed;
	int executions;		/* how often a unit was taken */
	int duplicates;		/* takes beyond one a generation of a unit, given back ones apart */
};

/*
 * Judges a sorted history. An owner's time ends `lease_ns` after its node was stopped, cut or killed: from then on another may own the unit.
 * Every breach is told on `out` with the unit's story.
 */
void history_judge(const struct history *history, int64_t lease_ns, FILE *out, struct verdict *ret_verdict);

#endif
