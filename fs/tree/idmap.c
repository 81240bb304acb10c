/*
 * idmap: see idmap.h. A few lines as a rule: two small maps.
 */
#include "tree/idmap.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"

#define IDMAP_MAX_FILE (1 << 20)

struct idmap_pair {
	uint32_t local;
	uint32_t remote;
};

struct idmap {
	bool strict;
	struct map by_local;
	struct map by_remote;	/* the same pairs, owned by `pairs` */
	struct idmap_pair *pairs;
	size_t count;
};

void idmap_free(struct idmap *map)
{
	if (!map)
		return;
	map_release(&map->by_local);
	map_release(&map->by_remote);
	free(map->pairs);
	free(map);
}

static int local_id(const char *name, bool group, uint32_t *ret_id)
{
	const struct passwd *user;
	const struct group *entry;

	if (group) {
		entry = getgrnam(name);
		if (!entry)
			return -ENOENT;
		*ret_id = entry->gr_gid;
		return 0;
	}
	user = getpwnam(name);
	if (!user)
		return -ENOENT;
	*ret_id = user->pw_uid;
	return 0;
}

static int add_pair(struct idmap *map, uint32_t local, uint32_t remote)
{
	struct idmap_pair *pair = &map->pairs[map->count++];

	pair->local = local;
	pair->remote = remote;
	if (map_set(&map->by_local, &pair->local, sizeof(pair->local), pair, NULL))
		return -ENOMEM;
	return map_set(&map->by_remote, &pair->remote, sizeof(pair->remote), pair, NULL);
}

/* One line, cut at its end. Names nobody has here are left out, as sshfs does. */
static int parse_line(struct idmap *map, char *line, bool groups, struct buf *why)
{
	char *colon = strchr(line, ':');
	int64_t remote;
	uint32_t local;

	if (!*line || *line == '#')
		return 0;
	if (!colon) {
		buf_addf(why, "expected NAME:ID, found \"%s\"", line);
		return -EINVAL;
	}
	*colon = '\0';
	if (conf_parse_number(colon + 1, 0, UINT32_MAX - 1, &remote)) {
		buf_addf(why, "\"%s\" is no id", colon + 1);
		return -EINVAL;
	}
	if (local_id(line, groups, &local))
		return 0;
	return add_pair(map, local, (uint32_t)remote);
}

static int parse_text(struct idmap *map, const char *file, char *text, bool groups, struct buf *why)
{
	struct buf reason = BUF_INIT;
	int number = 0, error = 0;
	char *line;

	while (!error && (line = strsep(&text, "\n"))) {
		number++;
		error = parse_line(map, line, groups, &reason);
	}
	if (error)
		buf_addf(why, "%s:%d: %s", file, number, error == -EINVAL ? buf_text(&reason) : log_strerror(error));
	buf_release(&reason);
	return error;
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	while ((text = strchr(text, '\n'))) {
		lines++;
		text++;
	}
	return lines;
}

int idmap_load(const char *file, bool groups, bool strict, struct idmap **ret_map, struct buf *why)
{
	struct buf text = BUF_INIT;
	struct idmap *map;
	int error;

	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->strict = strict;
	error = io_read_file(file, IDMAP_MAX_FILE, &text);
	if (error < 0) {
		buf_addf(why, "%s: %s", file, log_strerror(error));
		goto fail;
	}
	buf_addch(&text, '\n');
	error = buf_error(&text);
	if (error)
		goto fail;
	map->pairs = calloc(count_lines(text.data), sizeof(*map->pairs));
	error = map->pairs ? parse_text(map, file, text.data, groups, why) : -ENOMEM;
	if (error)
		goto fail;
	buf_release(&text);
	*ret_map = map;
	return 0;
fail:
	buf_release(&text);
	idmap_free(map);
	return error;
}

int idmap_to_local(const struct idmap *map, uint32_t id, uint32_t *ret_id)
{
	const struct idmap_pair *pair = map_get(&map->by_remote, &id, sizeof(id));

	if (!pair && map->strict)
		return -EPERM;
	*ret_id = pair ? pair->local : id;
	return 0;
}

int idmap_to_remote(const struct idmap *map, uint32_t id, uint32_t *ret_id)
{
	const struct idmap_pair *pair = map_get(&map->by_local, &id, sizeof(id));

	if (!pair && map->strict)
		return -EPERM;
	*ret_id = pair ? pair->remote : id;
	return 0;
}
