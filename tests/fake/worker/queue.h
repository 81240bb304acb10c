/*
 * queue: a queue for tests of the worker: threads that answer ctl lines over sockets, and plain files in a temporary directory. The worker
 * runs in a process of its own, as it does in life, and runs real processes.
 */
#ifndef CLAIMFS_TESTS_FAKE_WORKER_QUEUE_H
#define CLAIMFS_TESTS_FAKE_WORKER_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "worker/options.h"
#include "worker/place.h"

#define MAX_UNITS 64

enum fake_state { FAKE_TODO, FAKE_CLAIMED, FAKE_DONE, FAKE_FAILED };

struct fake_unit {
	char name[64];
	enum fake_state state;
	int takes;
	char values[16384];		/* of its done or fail */
};

struct fake {
	char dir[64];
	struct place place;
	struct memory *memory;		/* the pool's; NULL, or the test's */
	int fds[2][2];			/* [take, finish][worker's, ours] */
	pthread_t threads[2];
	bool served;			/* the threads run, or wait to be joined */
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t change;
	struct fake_unit units[MAX_UNITS];
	int count;
	int releases;
	int puts;			/* units done by a put */
	const char *done_answer;	/* instead of ok, for the first done */
	bool closed[2];
};

void put_file(const char *dir, const char *name, const char *text);
bool has_file(struct fake *fake, const char *name);
void fake_add(struct fake *fake, const char *name);
void fake_begin(struct fake *fake, int units);
void fake_serve_all(struct fake *fake);
void fake_join(struct fake *fake);	/* once the worker has ended: nothing is written any more */
void fake_end(struct fake *fake);
pid_t worker_start(struct fake *fake, struct worker_options *options, char *const *command);
int worker_wait(pid_t pid);
int worker_run(struct fake *fake, struct worker_options *options, char *const *command);
void wait_for_file(struct fake *fake, const char *name);
void wait_for_death(pid_t pid);
pid_t read_pid(struct fake *fake, const char *name);
int count_state(struct fake *fake, enum fake_state state);
struct worker_options options_of(int slots);

#endif
