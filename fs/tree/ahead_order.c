/* ahead_order: see ahead_order.h. */
#include "tree/ahead_order.h"

#include <stdlib.h>
#include <string.h>

#define SURE 2			/* steps in a row that make an order */
#define SURE_MOST 64		/* … after many guesses for nothing */
#define STEP_MOST 3		/* entries between two that are opened: directories, files that are left alone */
#define PACE_GROWTH 8		/* a pause is not the pace: it counts for at most so many times what the pace was … */
#define PACE_LEAST 1000000	/* … or a millisecond */
#define LIFE_TIMES 6		/* twice three: there are two trips to the first bytes of a file; and one more */
#define LIFE_LEAST 50000000	/* near by, guesses need not be so fresh that few are worth making */

void ahead_order_init(struct ahead_order *order, size_t count, const char *(*name)(const void *names, size_t place), const void *names)
{
	memset(order, 0, sizeof(*order));
	order->count = count;
	order->name = name;
	order->names = names;
	order->enough = SURE;
	order->proven = -1;
}

void ahead_order_release(struct ahead_order *order)
{
	free(order->by_name);
	order->by_name = NULL;
}

/* ---- where a name is ---- */

static int compare(const void *a, const void *b, void *arg)
{
	const struct ahead_order *order = arg;

	return strcmp(order->name(order->names, *(const uint32_t *)a), order->name(order->names, *(const uint32_t *)b));
}

static bool sort(struct ahead_order *order)
{
	size_t i;

	if (order->by_name)
		return true;
	order->by_name = calloc(order->count ? order->count : 1, sizeof(*order->by_name));
	if (!order->by_name)
		return false;
	for (i = 0; i < order->count; i++)
		order->by_name[i] = (uint32_t)i;
	qsort_r(order->by_name, order->count, sizeof(*order->by_name), compare, order);
	return true;
}

static bool find(const struct ahead_order *order, const char *name, size_t ret_at[AHEAD_WAYS])
{
	size_t low = 0, high = order->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int sign = strcmp(order->name(order->names, order->by_name[middle]), name);

		if (!sign) {
			ret_at[AHEAD_BY_NAME] = middle;
			ret_at[AHEAD_BY_PLACE] = order->by_name[middle];
			return true;
		}
		if (sign < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* ---- what the program does ---- */

static void note_way(struct ahead_order *order, int way, size_t at)
{
	bool step = order->begun && at > order->at[way] && at - order->at[way] <= STEP_MOST;

	order->steps[way] = step ? order->steps[way] + 1 : 0;
	if (!step) {
		if (order->proven == way && at < STEP_MOST)
			order->steps[way] = order->enough;	/* once more from the start */
		order->next[way] = at + 1;
	}
	order->at[way] = at;
	if (order->next[way] <= at)
		order->next[way] = at + 1;
}

static void note_pace(struct ahead_order *order, int64_t now)
{
	int64_t since = now - order->opened_ns, most = order->pace_ns * PACE_GROWTH;
	bool prompt = order->prompt;

	order->prompt = false;
	if (!order->begun || !prompt)
		return;
	if (most < PACE_LEAST)
		most = PACE_LEAST;
	if (order->pace_ns && since > most)
		since = most;
	order->pace_ns = order->pace_ns ? (order->pace_ns * 3 + since) / 4 : since;
}

static enum ahead_way best_way(const struct ahead_order *order)
{
	return order->steps[AHEAD_BY_NAME] >= order->steps[AHEAD_BY_PLACE] ? AHEAD_BY_NAME : AHEAD_BY_PLACE;
}

bool ahead_order_opened(struct ahead_order *order, const char *name, int64_t now)
{
	size_t at[AHEAD_WAYS];
	int way;

	if (!sort(order) || !find(order, name, at))
		return false;
	if (order->begun && at[AHEAD_BY_NAME] == order->at[AHEAD_BY_NAME])
		return true;		/* the same again */
	for (way = 0; way < AHEAD_WAYS; way++)
		note_way(order, way, at[way]);
	note_pace(order, now);
	order->opened_ns = now;
	order->begun = true;
	if (order->steps[best_way(order)] >= order->enough)
		order->proven = best_way(order);
	return true;
}

/* ---- what comes next ---- */

int64_t ahead_order_lifetime(const struct ahead_order *order, int64_t way_ns, int64_t most_ns)
{
	int64_t needed = (way_ns > order->pace_ns ? way_ns : order->pace_ns) * LIFE_TIMES;

	if (!order->pace_ns)
		return most_ns;
	if (needed < LIFE_LEAST)
		needed = LIFE_LEAST;
	return needed < most_ns ? needed : most_ns;
}

unsigned int ahead_order_wanted(const struct ahead_order *order, int64_t lifetime_ns, unsigned int most)
{
	unsigned int steps = order->steps[best_way(order)], wanted = steps < most ? steps * 4 : most;
	int64_t in_time = order->pace_ns > 0 ? lifetime_ns / 2 / order->pace_ns : most;

	if (steps < order->enough)
		return 0;
	if (wanted > most)
		wanted = most;
	return in_time < (int64_t)wanted ? (unsigned int)in_time : wanted;
}

bool ahead_order_next(struct ahead_order *order, size_t far, size_t *ret_place)
{
	enum ahead_way way = best_way(order);
	size_t next = order->next[way];

	if (next >= order->count || next > order->at[way] + far)
		return false;
	order->next[way]++;
	*ret_place = way == AHEAD_BY_NAME ? order->by_name[next] : next;
	return true;
}

bool ahead_order_coming(const struct ahead_order *order, size_t place)
{
	size_t i;
	int way;

	if (!order->begun || !order->by_name)
		return false;
	for (way = 0; way < AHEAD_WAYS; way++) {
		if (order->steps[way] < order->enough)
			continue;
		for (i = order->at[way] + 1; i < order->count && i <= order->at[way] + STEP_MOST; i++)
			if ((way == AHEAD_BY_NAME ? order->by_name[i] : i) == place)
				return true;
	}
	return false;
}

void ahead_order_kept(struct ahead_order *order, bool prompt)
{
	order->enough = SURE;
	order->prompt = prompt;
	order->kept = true;
}

/* If the others were of use, the program has only halted: it may still come to what was guessed. */
void ahead_order_missed(struct ahead_order *order)
{
	int way;

	for (way = 0; way < AHEAD_WAYS; way++)
		order->next[way] = order->at[way] + 1;
	if (!order->kept) {
		order->proven = -1;
		if (order->enough < SURE_MOST)
			order->enough *= 2;
	}
	order->kept = false;
}

void ahead_order_inherit(struct ahead_order *order, const struct ahead_order *from)
{
	order->proven = from->proven;
	order->enough = from->enough;
	order->pace_ns = from->pace_ns;
}
