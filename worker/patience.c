/* patience: see patience.h. */
#include "worker/patience.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

#define PATIENCE_NS (5 * NS_PER_S)

struct patience {
	const char *what;
	const atomic_size_t *count;
	int64_t begun_ns;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t ended_cond;
	bool ended;
};

static void *speak(void *arg)
{
	struct patience *patience = arg;
	int64_t next = patience->begun_ns + PATIENCE_NS;

	pthread_mutex_lock(&patience->mutex);
	while (!patience->ended) {
		clock_cond_wait(&patience->ended_cond, &patience->mutex, next);
		if (patience->ended || clock_now() < next)
			continue;
		log_info("still %s: %zu units so far, after %lld s", patience->what, atomic_load(patience->count),
			 (long long)((clock_now() - patience->begun_ns) / NS_PER_S));
		next = clock_now() + PATIENCE_NS;
	}
	pthread_mutex_unlock(&patience->mutex);
	return NULL;
}

struct patience *patience_begin(const char *what, const atomic_size_t *count)
{
	struct patience *patience = calloc(1, sizeof(*patience));

	if (!patience)
		return NULL;
	patience->what = what;
	patience->count = count;
	patience->begun_ns = clock_now();
	if (clock_cond_init(&patience->ended_cond) < 0)
		goto fail;
	pthread_mutex_init(&patience->mutex, NULL);
	if (pthread_create(&patience->thread, NULL, speak, patience) == 0)
		return patience;
	pthread_mutex_destroy(&patience->mutex);
	pthread_cond_destroy(&patience->ended_cond);
fail:
	free(patience);
	return NULL;
}

void patience_end(struct patience *patience)
{
	if (!patience)
		return;
	pthread_mutex_lock(&patience->mutex);
	patience->ended = true;
	pthread_cond_signal(&patience->ended_cond);
	pthread_mutex_unlock(&patience->mutex);
	pthread_join(patience->thread, NULL);
	pthread_mutex_destroy(&patience->mutex);
	pthread_cond_destroy(&patience->ended_cond);
	free(patience);
}
