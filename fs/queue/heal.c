/*
 * heal: LINKs of claims whose answer never came (queue.md, "Heal"). An old server process may still carry one out, and as long as this mount's
 * heart beats, such a claim would look live to everybody. A listing tells names and times, not owners; to read the owner of each claim that is
 * not this mount's own would cost a fleet more than its work. So the names that may still come are kept in mind, which costs no request:
 *
 *   LINK without an answer ─▶ heals ──listed──▶ debts: its owner is read, and what is this node's is freed (release.c)
 *                               │
 *                               └─ the generation is over, the number is another's or given back, the incarnation has ended: forgotten
 *
 * Refreshes list claims/ anyway; while nobody looks, the keeper does it: often for as long as old processes are likely to live, then rarely.
 */
#include "queue/inner.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

#define HEAL_LIKELY 20			/* leases after the last one */
#define HEAL_REST 10			/* leases between two listings from then on */

void heal_add_locked(struct queue *queue, const struct layout_claim *claim, const struct lease_stand *stand, bool rename)
{
	struct debt *debt = malloc(sizeof(*debt));

	if (!debt) {
		log_error("queue: out of memory: should a claim without an answer come late, unmount to free it");
		return;
	}
	*debt = (struct debt) { .kind = DEBT_HEAL, .claim = *claim, .stand = *stand, .rename = rename };
	list_append(&queue->heals, &debt->link);
	queue->healing_ns = clock_now();
	keeper_wake_locked(queue);
}

int64_t heal_due_locked(const struct queue *queue, int64_t now)
{
	bool likely = now - queue->healing_ns < HEAL_LIKELY * queue->conf.lease_ns;

	if (list_empty(&queue->heals))
		return INT64_MAX;
	return queue->watched_ns + (likely ? queue->conf.lease_ns / 4 : HEAL_REST * queue->conf.lease_ns);
}

enum sight { SIGHT_NOTHING, SIGHT_THERE, SIGHT_OVER };

static enum sight look_for(struct queue *queue, const struct debt *debt)
{
	const struct layout_claim *claim = &debt->claim;
	uint32_t unit = units_find(&queue->index.units, &claim->unit);
	const struct index_claim *listed;
	const struct unit *at;

	if (lease_gone(queue->lease, &debt->stand))
		return SIGHT_OVER;
	if (unit == UNITS_NONE)
		return SIGHT_NOTHING;
	at = units_at(&queue->index.units, unit);
	if (at->generation > claim->generation || (at->generation == claim->generation && (at->flags & (UNIT_DONE | UNIT_FAILED))))
		return SIGHT_OVER;
	listed = index_claim_find(&queue->index, unit, claim->generation, claim->number);
	if (!listed || (at->flags & UNIT_BUSY))
		return SIGHT_NOTHING;
	/* A LINK can't come where a name is already; a RENAME can. */
	if (listed->mtime == INDEX_FREE_MTIME || listed->mtime == INDEX_LOST_MTIME || held_has_locked(queue, claim))
		return debt->rename ? SIGHT_NOTHING : SIGHT_OVER;
	return SIGHT_THERE;
}

void heal_check_locked(struct queue *queue)
{
	struct list *at, *next;

	list_for_each_safe(at, next, &queue->heals) {
		struct debt *debt = list_entry(at, struct debt, link);
		enum sight sight = look_for(queue, debt);

		if (sight == SIGHT_NOTHING)
			continue;
		list_remove(at);
		if (sight == SIGHT_OVER)
			free(debt);
		else
			debt_due_locked(queue, debt);
	}
}
