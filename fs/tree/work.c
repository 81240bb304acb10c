/*
 * work: a pool of threads that grows while jobs wait and shrinks when it has nothing to do.
 */
#include "tree/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"

#define IDLE_NS (10 * NS_PER_S)

struct work {
	pthread_mutex_t lock;	/* guards all */
	pthread_cond_t changed;
	struct list jobs;
	size_t waiting;		/* jobs on the list */
	size_t threads;
	size_t idle;
	bool ending;
};

/* The next job; NULL: this thread is to end. The last thread stays while the work lives. */
static struct work_job *next_job_locked(struct work *work)
{
	int timed_out = 0;

	work->idle++;
	while (work->waiting == 0 && !work->ending) {
		if (timed_out && work->threads > 1)
			break;
		timed_out = clock_cond_wait(&work->changed, &work->lock, clock_now() + IDLE_NS) == -ETIMEDOUT;
	}
	work->idle--;
	if (work->waiting == 0)
		return NULL;
	work->waiting--;
	return list_entry(list_pop(&work->jobs), struct work_job, link);
}

static void *work_main(void *arg)
{
	struct work *work = arg;
	struct work_job *job;

	pthread_mutex_lock(&work->lock);
	while ((job = next_job_locked(work))) {
		pthread_mutex_unlock(&work->lock);
		job->run(job);
		pthread_mutex_lock(&work->lock);
	}
	work->threads--;
	pthread_cond_broadcast(&work->changed);
	pthread_mutex_unlock(&work->lock);
	return NULL;
}

/* Signals are for the main thread; the new one takes none. */
static int start_thread_locked(struct work *work)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, work_main, work);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	pthread_detach(thread);
	work->threads++;
	return 0;
}

int work_new(struct work **ret_work)
{
	struct work *work = calloc(1, sizeof(*work));
	int error;

	if (!work)
		return -ENOMEM;
	list_init(&work->jobs);
	pthread_mutex_init(&work->lock, NULL);
	error = clock_cond_init(&work->changed);
	if (error)
		goto fail;
	pthread_mutex_lock(&work->lock);
	error = start_thread_locked(work);
	pthread_mutex_unlock(&work->lock);
	if (error) {
		pthread_cond_destroy(&work->changed);
		goto fail;
	}
	*ret_work = work;
	return 0;
fail:
	pthread_mutex_destroy(&work->lock);
	free(work);
	return error;
}

void work_submit(struct work *work, struct work_job *job)
{
	pthread_mutex_lock(&work->lock);
	list_append(&work->jobs, &job->link);
	work->waiting++;
	/* A thread that can't be had is no error: those there are get to the job. */
	if (work->waiting > work->idle && work->threads < WORK_MAX_THREADS)
		(void)start_thread_locked(work);
	pthread_cond_signal(&work->changed);
	pthread_mutex_unlock(&work->lock);
}

void work_free(struct work *work)
{
	if (!work)
		return;
	pthread_mutex_lock(&work->lock);
	work->ending = true;
	pthread_cond_broadcast(&work->changed);
	while (work->threads > 0)
		clock_cond_wait(&work->changed, &work->lock, INT64_MAX);
	pthread_mutex_unlock(&work->lock);
	pthread_cond_destroy(&work->changed);
	pthread_mutex_destroy(&work->lock);
	free(work);
}
