/*
 * supply: takes units through a ctl session of its own and keeps enough of them ready.
 *
 * With --order names are claimed one after another, those that were in todo/ at the start; then, what is left or new is taken as it comes.
 *
 * How many are kept beyond what runs follows what was measured: enough that no slot waits for a claim, and no more, since what a
 * worker holds nobody else can take, and is a lost attempt when the worker is killed.
 */
#ifndef CLAIMFS_WORKER_SUPPLY_H
#define CLAIMFS_WORKER_SUPPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/session.h"
#include "worker/unit.h"

struct pool;

struct supply {
	struct session session;
	struct session_command command;
	struct buf claiming;		/* with --order: what a claim was sent for, as a word of ctl */
	bool taking;			/* a take or claim is unanswered */
	bool ended;			/* the queue says that all is done or failed */
	bool stopped;			/* we want no more */
	int64_t sent_ns;		/* of the take */
	struct list ready;
	unsigned int ready_count;
	struct list delayed;		/* by due_ns: they failed and will be tried again */
	unsigned int delayed_count;
	struct loop_timer delay;
	unsigned int preparing;
	int64_t read_limit;		/* bytes of inputs that may be read ahead: what memory allows */
	struct loop_timer again;	/* set: no take before it fires */
	int64_t backoff_ns;
	int64_t fetch_ns;		/* from take to ready, the longest lately; 0: not known */
	int64_t look_ns;		/* of a look at an input that nothing stood in the way of: how far the disk is; a moving mean */
	int64_t job_ns;			/* of a job, a moving mean; 0: not known */
};

void supply_init(struct pool *pool, int fd);
void supply_release(struct pool *pool);		/* closes the session */

void supply_pump(struct pool *pool);		/* takes more, if more are wanted */
/* A unit that was claimed: "N NAME", its attempt and its name as ctl says it; is it a second attempt? */
void supply_add(struct pool *pool, const char *coded, bool hedge);
/* Is this the answer for a unit that somebody else has, or that is done? That is no trouble. NULL: the session ended. */
bool supply_is_taken(const char *answer);
bool supply_ready(const struct pool *pool);	/* there is something to be started now */
void supply_pop(struct pool *pool, struct list *ret_units);	/* what one job is to get: one unit, or a batch */
void supply_push_back(struct pool *pool, struct unit *unit);	/* it has to be run, again or elsewhere */
/* Its job failed (values are set): it is tried again later while --retries allow it, else it is settled as failed. */
void supply_failed(struct pool *pool, struct unit *unit);
/* The resident command that had it died: that was one attempt. */
void supply_died(struct pool *pool, struct unit *unit);
void supply_give_back(struct pool *pool);	/* what is ready is released */
void supply_stop(struct pool *pool);		/* likewise, and what waits to be tried again; takes no more */
void supply_job_took(struct pool *pool, int64_t wall_ns, unsigned int units);	/* each of so many, about */
void supply_back_off(struct pool *pool);	/* the disk is in trouble: the next take waits, longer each time */
void supply_recover(struct pool *pool);		/* it is not */
bool supply_empty(const struct pool *pool);	/* nothing ready and nothing on its way there */

/* How many to keep ready beyond the running ones: for the tests. */
unsigned int supply_ahead(unsigned int slots, int64_t fetch_ns, int64_t job_ns);

/* How many units more to hold where jobs are short, so that claims are made several in one trip. */
unsigned int supply_together(unsigned int slots, int64_t job_ns);

#endif
