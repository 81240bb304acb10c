/*
 * stage: where the outputs of held units are kept until they are published.
 */
#include "queue/inner.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The held claim whose output `path` is or is below; what follows the output's path goes to *ret_rest. */
static struct held *find_above(struct queue *queue, const char *path, const char **ret_rest)
{
	char head[PATH_MAX];
	size_t len = strlen(path);
	struct held *held;

	if (len == 0 || len >= sizeof(head))
		return NULL;
	memcpy(head, path, len + 1);
	for (;;) {
		held = map_get_str(&queue->held_by_stage, head);
		if (held && held->claimed) {
			*ret_rest = path + len;
			return held;
		}
		while (len > 0 && head[len - 1] != '/')
			len--;
		if (len == 0)
			return NULL;
		head[--len] = '\0';
	}
}

enum queue_kind queue_stage(struct queue *queue, const char *path, bool to_make, struct buf *ret_path)
{
	enum queue_kind kind = QUEUE_NOTHING;
	char staged[LAYOUT_PATH];
	struct held *held;
	const char *rest;

	pthread_mutex_lock(&queue->lock);
	held = find_above(queue, path, &rest);
	if (held && (to_make || held->makes > 0)) {
		held->makes += to_make;
		layout_staged(staged, held->stand.node, &held->claim);
		buf_adds(ret_path, staged);
		buf_adds(ret_path, rest);
		kind = QUEUE_TICKET;
	} else if (!held && (!path[0] || map_get_str(&queue->stage_dirs, path))) {
		kind = QUEUE_DIR;
	}
	pthread_mutex_unlock(&queue->lock);
	return kind;
}


/* Gathers what stands directly in `dir`: base name → 1 for a directory, 2 for an output. */
static int gather(struct queue *queue, const char *dir, struct map *names)
{
	size_t dir_len = strlen(dir), len;
	const struct held *held;
	const char *base, *slash;
	struct list *at;
	int error = 0;

	list_for_each(at, &queue->held) {
		held = list_entry(at, struct held, link);
		if (!held->claimed || strncmp(held->stage, dir, dir_len) != 0 || (dir_len && held->stage[dir_len] != '/'))
			continue;
		base = held->stage + dir_len + (dir_len > 0);
		slash = strchr(base, '/');
		len = slash ? (size_t)(slash - base) : strlen(base);
		error = len ? map_set(names, base, len, (void *)(uintptr_t)(slash ? 1 : 2), NULL) : 0;
		if (error)
			break;
	}
	return error;
}

int queue_stage_list(struct queue *queue, const char *dir, queue_emit *emit, void *arg)
{
	struct queue_entry entry = { .kind = QUEUE_NOTHING };
	struct map names = MAP_INIT;
	char name[NAME_MAX + 1];
	const void *key;
	size_t cursor = 0, len;
	void *kind;
	int error;

	pthread_mutex_lock(&queue->lock);
	error = gather(queue, dir, &names);
	pthread_mutex_unlock(&queue->lock);
	while (!error && (kind = map_next(&names, &cursor, &key, &len)) != NULL) {
		if (len >= sizeof(name))
			continue;
		memcpy(name, key, len);
		name[len] = '\0';
		entry.kind = (uintptr_t)kind == 1 ? QUEUE_DIR : QUEUE_TICKET;
		if (!emit(arg, name, &entry, cursor))
			break;
	}
	map_release(&names);
	return error;
}
