/*
 * ahead_order: which file of a directory comes next: a program goes through a listing in sorted order (a shell's *), or in the server's.
 *
 *   opened ─▶ a step to one of the next names? ─▶ enough in a row ─▶ wanted(): so many of next() are worth opening
 *                                                     ▲
 *   kept / missed: guesses of which none was wanted double what is enough; one that was wanted makes it as before
 *
 * No locks, no requests: the owner (ahead.c) holds its lock over every call here.
 */
#ifndef CLAIMFS_TREE_AHEAD_ORDER_H
#define CLAIMFS_TREE_AHEAD_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ahead_way { AHEAD_BY_NAME, AHEAD_BY_PLACE, AHEAD_WAYS };

struct ahead_order {
	const char *(*name)(const void *names, size_t place);
	const void *names;
	size_t count;
	uint32_t *by_name;		/* places, sorted by name; NULL: not yet */
	size_t at[AHEAD_WAYS];		/* where the program is */
	size_t next[AHEAD_WAYS];	/* what comes after the last guess */
	unsigned int steps[AHEAD_WAYS];	/* it made in a row */
	unsigned int enough;		/* of them to believe in */
	int proven;			/* the way it went through these names before; -1: none */
	bool begun;
	bool kept;			/* a guess was of use since others were not */
	bool prompt;			/* what is opened now had been guessed, and was there */
	int64_t opened_ns;
	int64_t pace_ns;		/* from one open to the next, about, when nothing was waited for; 0: not known */
};

/* The names stay as they are. Nothing is allocated before the first open. */
void ahead_order_init(struct ahead_order *order, size_t count, const char *(*name)(const void *names, size_t place), const void *names);
void ahead_order_release(struct ahead_order *order);

/* It was opened at `now`. False: it is none of the names, or there is no memory. */
bool ahead_order_opened(struct ahead_order *order, const char *name, int64_t now);

/* How old a guess may become, when an answer is `way_ns` away: what the program needs as far as that is known, and never more than `most_ns`. */
int64_t ahead_order_lifetime(const struct ahead_order *order, int64_t way_ns, int64_t most_ns);

/* So many names ahead the program comes to while guesses of that lifetime are good. 0: it is not known where it goes. */
unsigned int ahead_order_wanted(const struct ahead_order *order, int64_t lifetime_ns, unsigned int most);

/* The next one to guess, at most `far` from where the program is, as a place among the names. False: none. */
bool ahead_order_next(struct ahead_order *order, size_t far, size_t *ret_place);

/* Is that place one of the very next that the program comes to, beyond doubt? */
bool ahead_order_coming(const struct ahead_order *order, size_t place);

/* A guess was what the program opens (say so before ahead_order_opened()), and has been answered if `prompt`; or it became too old. */
void ahead_order_kept(struct ahead_order *order, bool prompt);
void ahead_order_missed(struct ahead_order *order);

/* A newer listing of the directory: what was learned of the program's way stays. */
void ahead_order_inherit(struct ahead_order *order, const struct ahead_order *from);

#endif
