/* damage: see damage.h. */
#include "tree/damage.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define BELOW "/.claimfs/tmp/"

struct damage {
	pthread_mutex_t lock;		/* guards what follows */
	struct map errors;		/* path → errno */
	bool all;			/* there was no memory for one */
};

int damage_new(struct damage **ret_damage)
{
	struct damage *damage = calloc(1, sizeof(*damage));

	if (!damage)
		return -ENOMEM;
	pthread_mutex_init(&damage->lock, NULL);
	map_init(&damage->errors);
	*ret_damage = damage;
	return 0;
}

void damage_free(struct damage *damage)
{
	if (!damage)
		return;
	map_release(&damage->errors);
	pthread_mutex_destroy(&damage->lock);
	free(damage);
}

void damage_note(struct damage *damage, const char *path, int error)
{
	if (!strstr(path, BELOW))
		return;
	pthread_mutex_lock(&damage->lock);
	if (map_set_str(&damage->errors, path, (void *)(intptr_t)-error, NULL) < 0)
		damage->all = true;
	pthread_mutex_unlock(&damage->lock);
}

void damage_mend(struct damage *damage, const char *path)
{
	if (!strstr(path, BELOW))
		return;
	pthread_mutex_lock(&damage->lock);
	map_remove_str(&damage->errors, path);
	pthread_mutex_unlock(&damage->lock);
}

int damage_at(struct damage *damage, const char *path)
{
	int error;

	if (!damage)
		return 0;
	pthread_mutex_lock(&damage->lock);
	error = -(int)(intptr_t)map_get_str(&damage->errors, path);
	if (!error && damage->all && strstr(path, BELOW))
		error = -ENOMEM;
	pthread_mutex_unlock(&damage->lock);
	return error;
}
