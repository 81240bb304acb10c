/* ahead_expected: see ahead_expected.h. */
#include "tree/ahead_expected.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define SLOWEST_NS NS_PER_S	/* a longer pause says no more */

void expected_init(struct ahead_expected *expected)
{
	memset(expected, 0, sizeof(*expected));
	map_init(&expected->places);
}

void expected_release(struct ahead_expected *expected)
{
	size_t i;

	for (i = 0; expected->ring && i < EXPECTED_MAX; i++)
		free(expected->ring[i].path);
	free(expected->ring);
	map_release(&expected->places);
	expected_init(expected);
}

static struct expected_file *file_at(const struct ahead_expected *expected, uint64_t number)
{
	return &expected->ring[number % EXPECTED_MAX];
}

static void forget(struct ahead_expected *expected, struct expected_file *file)
{
	if (file->path)
		map_remove_str(&expected->places, file->path);
	free(file->path);
	*file = (struct expected_file){ .path = NULL };
}

/* Its number; false: it is not expected. */
static bool find(const struct ahead_expected *expected, const char *path, uint64_t *ret_number)
{
	uintptr_t place = expected->ring ? (uintptr_t)map_get_str(&expected->places, path) : 0;

	*ret_number = (uint64_t)place - 1;
	return place;
}

void expected_add(struct ahead_expected *expected, const char *path, const struct sftp_attrs *attrs)
{
	struct expected_file *file;
	uint64_t number;

	if (!expected->ring && !(expected->ring = calloc(EXPECTED_MAX, sizeof(*expected->ring))))
		return;
	if (find(expected, path, &number))
		forget(expected, file_at(expected, number));
	file = file_at(expected, expected->next);
	forget(expected, file);
	file->path = strdup(path);
	file->attrs = *attrs;
	if (file->path && map_set_str(&expected->places, path, (void *)(uintptr_t)(expected->next + 1), NULL) < 0) {
		free(file->path);
		file->path = NULL;
	}
	expected->next++;
}

/* ---- how far ahead ---- */

static void learn_pace(struct ahead_expected *expected, int64_t now)
{
	int64_t since = expected->opened_ns ? now - expected->opened_ns : SLOWEST_NS;

	if (since > SLOWEST_NS)
		since = SLOWEST_NS;
	expected->pace_ns = expected->pace_ns ? (expected->pace_ns * 3 + since) / 4 : SLOWEST_NS;
	expected->opened_ns = now;
}

void expected_missed(struct ahead_expected *expected)
{
	expected->pace_ns = SLOWEST_NS;
}

/* What is needed in half of a guess's life: the other half is for what holds a program up. */
static unsigned int window(const struct ahead_expected *expected, int64_t lifetime_ns)
{
	int64_t wanted = lifetime_ns / 2 / (expected->pace_ns > 0 ? expected->pace_ns : 1);

	return wanted < EXPECTED_WINDOW ? (unsigned int)wanted : EXPECTED_WINDOW;
}

/* The length of the directory's part, with its slash. */
static size_t dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

static bool same_dir(const char *path, const char *other)
{
	size_t len = dir_len(path);

	return dir_len(other) == len && memcmp(path, other, len) == 0;
}

/* So many of those that come after `number` are guessed already, and their bytes. */
static unsigned int guessed(const struct ahead_expected *expected, uint64_t number, unsigned int far, uint64_t *ret_bytes)
{
	unsigned int i, count = 0;

	*ret_bytes = 0;
	for (i = 1; i <= far && number + i < expected->next; i++) {
		const struct expected_file *file = file_at(expected, number + i);

		count += file->guessed;
		*ret_bytes += file->guessed ? file->attrs.size : 0;
	}
	return count;
}

bool expected_opened(struct ahead_expected *expected, const char *path, int64_t now, int64_t lifetime_ns, unsigned int most,
		     struct expected_next ret_next[EXPECTED_WINDOW], unsigned int *ret_count)
{
	struct expected_file *file;
	unsigned int far, i;
	uint64_t number, bytes;

	*ret_count = 0;
	if (!find(expected, path, &number))
		return false;
	learn_pace(expected, now);
	far = window(expected, lifetime_ns);
	/* Many together: each batch of requests wakes the same processes, however many are in it. */
	if (guessed(expected, number, far, &bytes) <= far / 2) {
		for (i = 1; i <= far && number + i < expected->next && *ret_count < most && bytes < EXPECTED_BYTES; i++) {
			file = file_at(expected, number + i);
			if (!file->path || file->guessed || !same_dir(path, file->path))
				continue;
			file->guessed = true;
			bytes += file->attrs.size;
			ret_next[(*ret_count)++] = (struct expected_next){ file->path + dir_len(file->path), &file->attrs };
		}
	}
	forget(expected, file_at(expected, number));
	return true;
}
