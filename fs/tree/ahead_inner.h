/*
 * ahead_inner: what ahead.c (which files are worth opening ahead, and who gets them) and ahead_guess.c (one file that is opened ahead) share.
 *
 *   guess_new ──▶ guess_send ──▶ OPEN, LSTAT if need be ──▶ landed ─┬▶ kept, until guess_hand_over, guess_drop_locked
 *                                                                   └▶ to who waits for it; or no good, or dropped meanwhile: guess_free
 */
#ifndef CLAIMFS_TREE_AHEAD_INNER_H
#define CLAIMFS_TREE_AHEAD_INNER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "tree/ahead.h"
#include "tree/ahead_expected.h"
#include "tree/ahead_order.h"
#include "tree/ahead_strangers.h"
#include "tree/file_state.h"
#include "tree/flight.h"
#include "tree/listing.h"

struct ahead_dir {
	struct list link;		/* of ahead->dirs, the one used last first */
	struct node *node;		/* held */
	struct listing *listing;	/* held */
	struct ahead_order order;
	unsigned int guesses;
	uint64_t bytes;			/* of guesses */
};

struct guess {
	struct list link;		/* of ahead->guesses, or of those to be let go */
	struct flight flight;
	struct ahead *ahead;
	struct ahead_dir *dir;		/* NULL: it has been forgotten, or it is expected */
	bool expected;
	struct node *node;		/* held */
	size_t place;			/* in the listing */
	struct real *real;
	struct open_file *of;
	struct sftp_file *file;
	struct sftp_attrs attrs;
	uint64_t bytes;
	uint64_t stamp;			/* real->changes when it was sent */
	int64_t sent_ns;
	int64_t lifetime_ns;
	bool known;			/* its attributes are: nobody needs to look */
	bool landed;
	bool looked;			/* its attributes were given out, or are awaited: who asks twice wants to know */
	bool dropped;
	ahead_looked *lookup;		/* who waits for its attributes */
	void *lookup_arg;
	ahead_claimed *claimed;		/* who waits for it to land */
	void *arg;
};

struct ahead {
	struct tree *tree;
	pthread_mutex_t lock;		/* guards everything here, guesses included */
	struct list dirs;
	struct list guesses;
	struct strangers strangers;
	struct ahead_expected expected;
	unsigned int expected_count;	/* guesses of it */
	int64_t oldest_ns;		/* no guess is too old before */
	int64_t way_ns;			/* there and back, about; 0: not known */
	bool stopped;
};

/* Small enough, by what a listing or the server says. */
bool guess_is_worth_it(const struct sftp_attrs *attrs);

/* The guess of a node, or NULL. */
struct guess *guess_find_locked(struct ahead *ahead, const struct node *node);

/*
 * One more, on the list, to be sent. `attrs`: what a look told that was sent at attrs->asked_ns; NULL, or asked_ns 0: nobody has looked. They need not be
 * asked for again while they are young, and this mount can't have changed the file since. NULL: it is guessed already, or there is no memory. Under the lock.
 */
struct guess *guess_new(struct ahead *ahead, struct node *parent, const char *name, const struct sftp_attrs *attrs, int64_t lifetime_ns);

/* Without the lock. */
void guess_send(struct guess *guess);

/* ahead->oldest_ns takes it into account. Under the lock. */
void guess_live_locked(struct guess *guess);

/* Has it outlived what it was given? And is it what a new look would show? (Takes real->lock.) */
bool guess_is_old(const struct guess *guess, int64_t now_ns);
bool guess_is_fresh(const struct guess *guess);

/* Off the list, and no longer its directory's. */
void guess_forget_locked(struct guess *guess);

/* Landed ones onto `ret_gone`, for guess_free_all(); those under way follow when they land. */
void guess_drop_locked(struct guess *guess, struct list *ret_gone);
void guess_free_all(struct list *gone);

/* Nothing of it is under way and nobody waits. Without the lock. */
void guess_free(struct guess *guess);

/* Answers a lookup (NULL: none) with the attributes of a guess that was sent at `sent_ns`, or with NULL. */
void guess_answer_lookup(ahead_looked *lookup, void *arg, const struct sftp_attrs *attrs, int64_t sent_ns);

/* It is the kernel's: the guess goes, its handle stays. Without the lock. */
void guess_hand_over(struct guess *guess, ahead_claimed *claimed, void *arg);

#endif
