/*
 * hedge: see hedge.h. Both commands go through the session that settles, since the other one waits in its take.
 */
#include "worker/hedge.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/supply.h"

#define HEDGE_STARVED_NS NS_PER_S		/* a take that waits longer waits for units */
#define HEDGE_AGAIN_NS (2 * NS_PER_S)
#define CHECK_FIRST_NS (5 * NS_PER_S)		/* of a unit's time; shorter jobs are over before it was worth asking */
#define CHECK_EVERY_NS NS_PER_S			/* at most this often, */
#define CHECK_SHARE 20				/* and each such part of the time it has taken */

static void again_fired(struct loop_timer *timer)
{
	(void)timer;		/* the pump runs after every turn of the loop */
}

void hedge_init(struct pool *pool)
{
	list_init(&pool->hedge.command.link);
	loop_timer_init(&pool->hedge.again, again_fired);
}

void hedge_release(struct pool *pool)
{
	loop_timer_stop(&pool->hedge.again);
}

/* ---- asking for a unit ---- */

/* "ok 2 NAME" */
static void hedge_answered(struct session_command *command, char *line)
{
	struct pool *pool = container_of(command, struct pool, hedge.command);

	pool->hedge.asking = false;
	if (line && strncmp(line, "ok ", 3) == 0) {
		supply_add(pool, line + 3, true);
		return;
	}
	if (!supply_is_taken(line))
		report_say(pool, LOG_LEVEL_WARN, "can't ask for a second attempt, will try again: %s", line ? line : "end of file");
	loop_timer_set(pool->loop, &pool->hedge.again, clock_now() + HEDGE_AGAIN_NS);
}

static bool is_starved(const struct pool *pool)
{
	const struct supply *supply = &pool->supply;

	return supply->taking && !supply->ended && !supply->stopped && supply_empty(pool) && pool->busy < pool->slot_count &&
	       clock_now() - supply->sent_ns > HEDGE_STARVED_NS;
}

void hedge_pump(struct pool *pool)
{
	struct hedge *hedge = &pool->hedge;

	if (!pool->options->hedge || hedge->asking || loop_timer_is_set(&hedge->again))
		return;
	if (!is_starved(pool)) {
		/* Nothing else may happen to the loop while a take waits. */
		if (pool->supply.taking && pool->busy < pool->slot_count)
			loop_timer_set(pool->loop, &hedge->again, clock_now() + HEDGE_AGAIN_NS);
		return;
	}
	hedge->asking = true;
	hedge->command.answer = hedge_answered;
	hedge->command.may_end = false;
	session_send(&pool->settle.session, &hedge->command, "hedge");
}

/* ---- asking after a unit ---- */

static struct slot *slot_with(struct pool *pool, const struct unit *unit)
{
	unsigned int i;

	for (i = 0; i < pool->slot_count; i++)
		if (pool->slots[i].count == 1 && slot_first(&pool->slots[i]) == unit)
			return &pool->slots[i];
	return NULL;
}

/* Its job may have ended meanwhile: then its own line is answered after this one, by `error EACCES` (settle.c). */
static void check_answered(struct session_command *command, char *line)
{
	struct unit *unit = container_of(command, struct unit, check);
	struct slot *slot;

	unit->checking = false;
	if (!line || strncmp(line, "already", 7) != 0)
		return;
	unit->overtaken = true;
	unit->pool->counts.already++;
	report_unit(unit, "done before", line + strlen("already") + (line[7] == ' '));
	slot = slot_with(unit->pool, unit);
	if (slot)
		slot_event(slot, SLOT_OVERTAKEN);
}

void hedge_check(struct slot *slot)
{
	struct pool *pool = slot->pool;
	int64_t now = clock_now(), took = now - slot->started_ns;
	struct buf line = BUF_INIT;
	struct unit *unit;

	if (slot->state != SLOT_RUNNING || slot->count != 1)
		return;
	unit = slot_first(slot);
	if (unit->checking || unit->overtaken || now < unit->check_ns || (!unit->hedge && took < CHECK_FIRST_NS))
		return;
	unit->check_ns = now + (took / CHECK_SHARE > CHECK_EVERY_NS ? took / CHECK_SHARE : CHECK_EVERY_NS);
	buf_addf(&line, "check %s", unit->coded);
	unit->check.answer = check_answered;
	unit->check.may_end = false;
	if (buf_error(&line) == 0) {
		unit->checking = true;
		session_send(&pool->settle.session, &unit->check, buf_text(&line));
	}
	buf_release(&line);
}
