/* wait: blocking on a completion, for threads that may. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sftp/client.h"

struct sftp_wait {
	pthread_mutex_t lock;	/* guards the rest */
	pthread_cond_t landed;
	bool done;
	struct sftp_reply reply;
	struct buf text;
};

struct sftp_wait *sftp_wait_new(void)
{
	struct sftp_wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	pthread_mutex_init(&wait->lock, NULL);
	clock_cond_init(&wait->landed);
	return wait;
}

void sftp_wait_free(struct sftp_wait *wait)
{
	if (!wait)
		return;
	buf_release(&wait->text);
	pthread_cond_destroy(&wait->landed);
	pthread_mutex_destroy(&wait->lock);
	free(wait);
}

/* Signals under the lock: once the waiter has it, this thread does not touch the wait any more. */
void sftp_wait_done(void *arg, const struct sftp_reply *reply)
{
	struct sftp_wait *wait = arg;

	pthread_mutex_lock(&wait->lock);
	wait->reply = *reply;
	buf_reset(&wait->text);
	if (reply->text)
		buf_add(&wait->text, reply->text, reply->len);
	wait->reply.text = NULL;
	wait->done = true;
	pthread_cond_signal(&wait->landed);
	pthread_mutex_unlock(&wait->lock);
}

int sftp_wait_for(struct sftp_wait *wait, struct sftp_reply *ret_reply, struct buf *text)
{
	int error;

	pthread_mutex_lock(&wait->lock);
	while (!wait->done)
		clock_cond_wait(&wait->landed, &wait->lock, INT64_MAX);
	wait->done = false;
	error = wait->reply.error;
	if (!error && buf_error(&wait->text))
		error = buf_error(&wait->text);
	if (ret_reply)
		*ret_reply = wait->reply;
	if (text && wait->text.len)
		buf_add(text, wait->text.data, wait->text.len);
	pthread_mutex_unlock(&wait->lock);
	return error;
}
