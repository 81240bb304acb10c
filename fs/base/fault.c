/*
 * fault: switches that make calls fail in tests.
 */
#include "base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"

#define FAULT_MAX 16
#define FAULT_NAME_MAX 48

struct fault_switch {
	char name[FAULT_NAME_MAX];
	int64_t after;
	int64_t count;		/* 0: for ever */
	int64_t calls;
};

static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault_switch fault_switches[FAULT_MAX];	/* under fault_lock; ends with an empty name or at its size */
static atomic_bool fault_any;				/* spares the lock when nothing is set */

/* name[:after[:count]], in place. */
static int fault_parse_one(char *text, struct fault_switch *ret)
{
	struct fault_switch parsed = { .count = 0 };
	char *after, *count = NULL;

	after = strchr(text, ':');
	if (after)
		*after++ = '\0';
	if (after)
		count = strchr(after, ':');
	if (count)
		*count++ = '\0';
	if (!*text || strlen(text) >= sizeof(parsed.name))
		return -EINVAL;
	memcpy(parsed.name, text, strlen(text) + 1);
	if (after && conf_parse_number(after, 0, INT64_MAX / 2, &parsed.after))
		return -EINVAL;
	if (count && conf_parse_number(count, 0, INT64_MAX / 2, &parsed.count))
		return -EINVAL;
	*ret = parsed;
	return 0;
}

static int fault_parse(const char *text, struct fault_switch ret[FAULT_MAX], size_t *ret_count)
{
	char *copy = strdup(text), *rest = copy, *word;
	size_t count = 0;
	int error = 0;

	if (!copy)
		return -ENOMEM;
	while (!error && (word = strsep(&rest, ",")) != NULL) {
		if (!*word && !rest && !count)
			break;
		error = count == FAULT_MAX ? -EINVAL : fault_parse_one(word, &ret[count++]);
	}
	free(copy);
	*ret_count = count;
	return error;
}

int fault_set(const char *text)
{
	struct fault_switch parsed[FAULT_MAX] = { 0 };
	size_t count = 0;
	int error = 0;

	if (text)
		error = fault_parse(text, parsed, &count);
	if (error)
		return error;
	pthread_mutex_lock(&fault_lock);
	memcpy(fault_switches, parsed, sizeof(parsed));
	atomic_store(&fault_any, count > 0);
	pthread_mutex_unlock(&fault_lock);
	return 0;
}

static int fault_init_wall(const char *text)
{
	bool negative = *text == '-';
	int64_t offset;

	if (conf_parse_duration(text + negative, &offset)) {
		log_error("CLAIMFS_FAULT_WALL_OFFSET=%s: not a number of seconds", text);
		return -EINVAL;
	}
	clock_shift_wall(negative ? -offset : offset);
	return 0;
}

int fault_init(void)
{
	const char *faults = getenv("CLAIMFS_FAULT"), *wall = getenv("CLAIMFS_FAULT_WALL_OFFSET");

	if (faults && fault_set(faults)) {
		log_error("CLAIMFS_FAULT=%s: not of the form name[:after[:count]],...", faults);
		return -EINVAL;
	}
	return wall && *wall ? fault_init_wall(wall) : 0;
}

bool fault_hit(const char *name)
{
	bool hit = false;

	if (!atomic_load_explicit(&fault_any, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&fault_lock);
	for (size_t i = 0; i < FAULT_MAX && fault_switches[i].name[0]; i++) {
		struct fault_switch *fault = &fault_switches[i];

		if (strcmp(fault->name, name))
			continue;
		fault->calls++;
		if (fault->calls > fault->after && (!fault->count || fault->calls <= fault->after + fault->count))
			hit = true;
	}
	pthread_mutex_unlock(&fault_lock);
	return hit;
}
