/*
 * peer: an SFTP server of the tests, over a directory, on socket pairs, that can be told to misbehave: cut, drop, delay, reorder, shorten and lie.
 *
 *   rule: which requests (type, how many to let pass, how many to hit) × what to do with them
 *
 * Each session is a thread. Thread-safe.
 */
#ifndef CLAIMFS_TESTS_FAKE_PEER_H
#define CLAIMFS_TESTS_FAKE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "sftp/channel.h"
#include "sftp/proto.h"

enum peer_action {
	PEER_CUT_BEFORE,	/* close the connection without carrying it out */
	PEER_CUT_AFTER,		/* carry it out, then close without an answer */
	PEER_DROP,		/* carry it out, never answer */
	PEER_FAIL,		/* answer FAILURE without carrying it out */
	PEER_SHORT,		/* a read: only half of the bytes (at least one) */
	PEER_TWICE,		/* the answer, and again */
	PEER_STRANGER,		/* first an answer that nobody asked for */
	PEER_WRONG_TYPE,	/* an answer of a type that does not fit */
	PEER_TRUNCATED,		/* an answer whose inner length leads beyond its end */
	PEER_OVERLONG,		/* a read: more bytes than asked for */
	PEER_HUGE,		/* a packet of 4 GiB is announced */
	PEER_GARBAGE,		/* bytes that are no packet */
	PEER_HOLD,		/* carry it out, answer at peer_release() */
	PEER_LATE,		/* close at once, carry it out at peer_release(): an old server process */
	PEER_ACTIONS
};

enum peer_listing {
	PEER_LISTS_TRULY,
	PEER_LISTS_NOTHING,	/* answers without a name, and no end */
	PEER_LISTS_DOTS,	/* ".", and no end */
	PEER_LISTS_ON,		/* other names, and no end */
};

#define PEER_ANY 0
#define PEER_FOR_EVER 0xffffffffu
#define PEER_MAX_RULES 16

struct peer;

/* Serves `root`. NULL: out of memory. */
struct peer *peer_new(const char *root);
void peer_free(struct peer *peer);		/* after the sftp that uses it */
struct channel_maker *peer_maker(struct peer *peer);

/* From now on: `skip` requests of `type` (FXP_*; PEER_ANY) pass, the next `count` get `action`. */
void peer_rule(struct peer *peer, uint8_t type, unsigned int skip, unsigned int count, enum peer_action action);
void peer_rules_clear(struct peer *peer);
bool peer_rules_done(struct peer *peer);	/* each has hit as often as it was to */

void peer_release(struct peer *peer);		/* of PEER_HOLD and PEER_LATE */
void peer_cut_all(struct peer *peer);		/* every session, now */
void peer_cut(struct peer *peer, unsigned int session);	/* the session made as the nth, from 0 */
void peer_stall(struct peer *peer, bool on);	/* read and answer nothing */
void peer_reverse(struct peer *peer, bool on);	/* answer what came together in reverse order */
void peer_plain(struct peer *peer, bool on);	/* offer no extensions (sessions to come) */
void peer_lies(struct peer *peer, bool on);	/* list "..", "a/b", "" and more */
void peer_lists(struct peer *peer, enum peer_listing how);
void peer_limits(struct peer *peer, uint64_t bytes);	/* limits@openssh.com of sessions to come */
void peer_refuse(struct peer *peer, unsigned int skip, unsigned int count, int error);	/* openings: let `skip` pass, fail `count` */

unsigned int peer_sessions(struct peer *peer);	/* made so far */
unsigned int peer_count(struct peer *peer, uint8_t type);	/* requests of a type so far; PEER_ANY: all */
int peer_open_handles(struct peer *peer);	/* of live sessions */

#endif
