/* damage: see damage.h. */
#include "tree/damage.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
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

/* The first that is `path` or below it goes to *ret_path, a copy. False: there is none, or no memory. */
static bool find_below_locked(const struct damage *damage, const char *path, char **ret_path)
{
	size_t cursor = 0, key_len, len = strlen(path);
	const void *key;

	while (map_next(&damage->errors, &cursor, &key, &key_len)) {
		if (key_len < len || memcmp(key, path, len) != 0 || (key_len > len && ((const char *)key)[len] != '/'))
			continue;
		*ret_path = strndup(key, key_len);
		return *ret_path != NULL;
	}
	return false;
}

void damage_move(struct damage *damage, const char *path, const char *new_path)
{
	struct buf to = BUF_INIT;
	char *from;
	void *error;

	if (!strstr(path, BELOW) && !strstr(new_path, BELOW))
		return;
	pthread_mutex_lock(&damage->lock);
	map_remove_str(&damage->errors, new_path);	/* what stood there is replaced */
	while (find_below_locked(damage, path, &from)) {
		error = map_remove_str(&damage->errors, from);
		buf_reset(&to);
		buf_addf(&to, "%s%s", new_path, from + strlen(path));
		if (strstr(buf_text(&to), BELOW) && map_set_str(&damage->errors, to.data, error, NULL) < 0)
			damage->all = true;
		damage->all |= buf_error(&to) != 0;
		free(from);
	}
	pthread_mutex_unlock(&damage->lock);
	buf_release(&to);
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
