/*
 * history: what the clients of a torture run asked and were told, and what a witness saw on the disk; one line an event, one file a writer.
 *
 *   TIME[/OWN] CLIENT NODE EVENT UNIT [DETAIL…]
 *
 * TIME is nanoseconds of CLOCK_BOOTTIME: all hosts of a run are namespaces of one machine, so it is the server's time too. OWN is the client's own
 * wall clock, perhaps hours wrong: it is kept for the reader, and no judgement rests on it. UNIT is percent-encoded, "-" where none is meant. Lines
 * are written with one write(2) each, so that a killed client leaves whole lines and perhaps one part line, which is ignored.
 *
 *   client:   take -                    about to ask for a unit
 *             took UNIT ATTEMPT         told: it is yours
 *             hedged UNIT ATTEMPT       told: it is yours beside another, as was asked for (a claim-worker's job writes `took` there too)
 *             commit UNIT DIGEST        about to write `done` (the output is staged whole, DIGEST is its hash)
 *             ok | already NODE | stale the answer; `refused` for any other error
 *             give UNIT, gave UNIT      about to release, and its answer
 *             fail UNIT, failed UNIT    about to set aside, and its answer
 *             gone                      no answer came, or the session was given up: what was held or asked is unknown from here on
 *   disk:     events in the server's order. Each detail begins with the last moment at which it had surely not happened (TIME: it had);
 *             NODE is host.incarnation, or "?" for what was removed before the witness could read whose it was
 *             beat - , link UNIT G.N (a claim was made; N is 0: a hedge), freed | lost | moved | swept UNIT G.N, marker UNIT G, unmarked UNIT G,
 *             aside UNIT G (failed/), began UNIT G (redo/), blind (events were lost: nothing can be judged)
 *   nemesis:  kill | stop | cont | cut | mend NODE
 *   run:      redo UNIT, retry UNIT     the user's, about to be asked
 *             quiet - UNITS TODO CLAIMS DONE FAILED ONCE   what a mount shows while no client asks; ONCE: units that stand in exactly one
 *             shown UNIT OWNER          then: a ticket in claims/, and the node.incarnation it names
 *             end UNIT STATE DIGEST     a unit's state at the end (todo claims done failed none) and its output's hash or "-"
 */
#ifndef CLAIMFS_TESTS_HISTORY_H
#define CLAIMFS_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum event_kind {
	EVENT_TAKE, EVENT_TOOK, EVENT_HEDGED, EVENT_COMMIT, EVENT_OK, EVENT_ALREADY, EVENT_STALE, EVENT_REFUSED, EVENT_GIVE, EVENT_GAVE, EVENT_FAIL,
	EVENT_FAILED, EVENT_GONE, EVENT_BEAT, EVENT_LINK, EVENT_FREED, EVENT_LOST, EVENT_MOVED, EVENT_SWEPT, EVENT_MARKER, EVENT_UNMARKED,
	EVENT_ASIDE, EVENT_BEGAN, EVENT_BLIND, EVENT_KILL, EVENT_STOP, EVENT_CONT, EVENT_CUT, EVENT_MEND, EVENT_REDO, EVENT_RETRY, EVENT_QUIET,
	EVENT_SHOWN, EVENT_END, EVENT_KINDS
};

struct event {
	int64_t time_ns;
	int64_t since_ns;	/* disk: it had not happened then; others: as time_ns */
	char *client;
	char *node;
	char *unit;
	char *detail;		/* "" if none; disk: what follows the moment */
	size_t number;		/* in the order of reading, later of time */
	unsigned int generation, claim;		/* disk: G and N, 0 where not said */
	enum event_kind kind;
};

struct history {
	struct event *events;
	size_t count;
	size_t room;
};

const char *event_name(enum event_kind kind);
bool event_of_disk(enum event_kind kind);

/* Adds the lines of `file` (named `name` in messages). 0, or -EINVAL after a message for a whole line that is none. */
int history_read(struct history *history, FILE *file, const char *name);
void history_sort(struct history *history);	/* by time; equal times keep the order of reading */
void history_release(struct history *history);

/* ---- judging: judge.c and judge_disk.c ---- */

enum promise {
	PROMISE_ONE_COMMIT,	/* one marker a generation, and each `ok` has one of its own */
	PROMISE_NO_UNIT_LOST,	/* it is somewhere at the end; no claim is removed while its generation runs; an acknowledged commit counts */
	PROMISE_DONE_IS_THERE,	/* what is done has an output that somebody staged, whole */
	PROMISE_ONE_OWNER,	/* no unit is given out while another's lease of it is live, by the server's time, but for a hedge */
	PROMISE_ATTEMPTS_RISE,
	PROMISE_TOLD_IS_TRUE,	/* what a client is told is on the disk */
	PROMISE_SUM,		/* inputs = todo + claims + done + failed at every quiet point, each in one */
	PROMISE_DEAD_FREED,	/* no dead node's claim is shown after a lease and a refresh */
	PROMISES
};

extern const char *const promise_names[PROMISES];

struct verdict {
	int broken[PROMISES];	/* how often */
	bool blind;		/* events are missing: no verdict */
	/* not promises, but said */
	int units;
	int committed;		/* done with an acknowledged commit */
	int executions;		/* how often a unit was taken */
	int duplicates;		/* takes beyond one a generation of a unit, given back ones and hedges apart */
	int hedges;		/* takes that were hedges */
	int withdrawn;		/* claims made beside a live one that nobody was told of */
	int quiet;		/* quiet points */
	int redone;		/* generations after the first */
};

/* Judges a sorted history. Every breach is told on `out` with the unit's story. 0 or -ENOMEM. */
int history_judge(const struct history *history, int64_t lease_ns, FILE *out, struct verdict *ret_verdict);

#endif
