/*
 * aside: threads are started while jobs wait and none is idle, up to the limit. All signals stay with the main thread, which has blocked
 * them before the first thread was made.
 */
#include "worker/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/io.h"

struct aside {
	struct loop *loop;
	struct loop_fd watch;
	int wake_fd;
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t more;
	struct list todo;
	struct list finished;
	unsigned int idle;
	unsigned int waiting;		/* jobs in todo */
	bool ending;
	unsigned int count;		/* threads; the loop's alone */
	unsigned int max;
	pthread_t *threads;
};

static void *aside_thread(void *arg)
{
	struct aside *aside = arg;

	pthread_mutex_lock(&aside->lock);
	while (!aside->ending) {
		struct aside_job *job;

		if (list_empty(&aside->todo)) {
			aside->idle++;
			pthread_cond_wait(&aside->more, &aside->lock);
			aside->idle--;
			continue;
		}
		job = list_entry(list_pop(&aside->todo), struct aside_job, link);
		aside->waiting--;
		pthread_mutex_unlock(&aside->lock);
		job->work(job);
		pthread_mutex_lock(&aside->lock);
		list_append(&aside->finished, &job->link);
		io_wake(aside->wake_fd);
	}
	pthread_mutex_unlock(&aside->lock);
	return NULL;
}

static void aside_told(struct loop_fd *watch, uint32_t events)
{
	struct aside *aside = container_of(watch, struct aside, watch);
	struct list finished;
	struct list *link;

	(void)events;
	list_init(&finished);
	io_wake_clear(aside->wake_fd);
	pthread_mutex_lock(&aside->lock);
	list_splice(&finished, &aside->finished);
	pthread_mutex_unlock(&aside->lock);
	while ((link = list_pop(&finished))) {
		struct aside_job *job = list_entry(link, struct aside_job, link);

		job->done(job);
	}
}

int aside_new(struct loop *loop, unsigned int max_threads, struct aside **ret_aside)
{
	struct aside *aside = calloc(1, sizeof(*aside));
	int error = -ENOMEM;

	if (!aside)
		return -ENOMEM;
	aside->threads = calloc(max_threads, sizeof(*aside->threads));
	aside->wake_fd = io_wake_new();
	if (!aside->threads || aside->wake_fd < 0) {
		error = aside->threads ? aside->wake_fd : -ENOMEM;
		goto fail;
	}
	aside->loop = loop;
	aside->max = max_threads;
	list_init(&aside->todo);
	list_init(&aside->finished);
	loop_fd_init(&aside->watch, aside_told);
	error = loop_watch(loop, &aside->watch, aside->wake_fd, EPOLLIN);
	if (error)
		goto fail;
	pthread_mutex_init(&aside->lock, NULL);
	pthread_cond_init(&aside->more, NULL);
	*ret_aside = aside;
	return 0;
fail:
	io_close(&aside->wake_fd);
	free(aside->threads);
	free(aside);
	return error;
}

void aside_submit(struct aside *aside, struct aside_job *job)
{
	bool grow;

	pthread_mutex_lock(&aside->lock);
	list_append(&aside->todo, &job->link);
	aside->waiting++;
	grow = aside->waiting > aside->idle && aside->count < aside->max;
	pthread_cond_signal(&aside->more);
	pthread_mutex_unlock(&aside->lock);
	if (grow && pthread_create(&aside->threads[aside->count], NULL, aside_thread, aside) == 0)
		aside->count++;
	if (aside->count > 0)
		return;
	/* Not one thread could be had: do it here, late but done. */
	pthread_mutex_lock(&aside->lock);
	list_remove(&job->link);
	aside->waiting--;
	pthread_mutex_unlock(&aside->lock);
	job->work(job);
	pthread_mutex_lock(&aside->lock);
	list_append(&aside->finished, &job->link);
	pthread_mutex_unlock(&aside->lock);
	io_wake(aside->wake_fd);
}

void aside_free(struct aside *aside)
{
	unsigned int i;

	if (!aside)
		return;
	pthread_mutex_lock(&aside->lock);
	aside->ending = true;
	pthread_cond_broadcast(&aside->more);
	pthread_mutex_unlock(&aside->lock);
	for (i = 0; i < aside->count; i++)
		pthread_join(aside->threads[i], NULL);
	loop_unwatch(aside->loop, &aside->watch);
	io_close(&aside->wake_fd);
	pthread_mutex_destroy(&aside->lock);
	pthread_cond_destroy(&aside->more);
	free(aside->threads);
	free(aside);
}
