/*
 * place: places and lives, as place.c and queues.c share them. What they are is said in queues.h.
 */
#ifndef CLAIMFS_TREE_PLACE_H
#define CLAIMFS_TREE_PLACE_H

#include <pthread.h>

#include "base/clock.h"
#include "base/map.h"
#include "tree/queues.h"

#define CLOSE_NS (10 * NS_PER_S)	/* at the end of a mount claims are given back within this, or left to the lease */

enum place_state { PLACE_UNKNOWN, PLACE_NONE, PLACE_BROKEN, PLACE_OPEN };

struct live {
	struct queues *queues;
	struct store *store;
	struct queue *queue;
	struct keep *keep;		/* NULL: none */
	char *path;			/* of the queue's directory, as the place's */
	struct buf conf;		/* queue.conf's text when it was opened */
	int64_t opened_s;
	unsigned int refs;		/* atomic */
	unsigned int sessions;		/* atomic: ctl's, each of which holds a ref as well */
	struct work_job closing;	/* the end of the mount lets go of it */
	struct live *next;		/* queues->lives; by queues->lock */
};

struct place {
	struct queues *queues;		/* not to be used once queues_free() has returned */
	char *path;
	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t changed;
	unsigned int refs;
	enum place_state state;
	bool checking;			/* a thread is looking; others wait for it or go on with what is known */
	struct store *look;		/* what it looks through */
	bool told;			/* that queue.conf was changed; the looking thread's */
	bool ending;
	int64_t checked_ns;		/* 0: never */
	struct live *live;		/* held; PLACE_OPEN */
	struct buf why;			/* PLACE_BROKEN */
};

struct queues {
	struct tree *tree;
	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t changed;
	struct map places;		/* path → place, held */
	struct live *lives;
	unsigned int busy;		/* jobs under way, and lives that are not closed yet */
	bool ending;
};

/* With one ref. NULL: out of memory. */
struct place *place_new(struct queues *queues, const char *path);

/* Looks at the directory, unless another thread does: then waits for that. Blocks. */
void place_check(struct place *place);

/* The same in the background. */
void place_recheck(struct place *place);

/* What is known; and whether it is time to look again (of a queue that is open: told to one caller only). */
enum place_state place_known(struct place *place, bool *ret_stale);

#endif
