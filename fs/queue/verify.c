/*
 * verify: is a claim still this mount's, after a lapse or an answer that never came (queue.md, "Verify")? In this order, each step after
 * the answers of the one before:
 *
 *   heartbeat ─▶ owner inside claims/UNIT.G.N ─▶ N+1 absent ─▶ marker, failed, redo/UNIT.(G+1) absent
 *
 * A hedge has no N+1, and that the other attempt failed is no reason to end it.
 *
 * A claim that is still this mount's on the disk but is not its turn any more is given up as lost, so that nothing hangs on it; one whose
 * generation is over is swept.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "queue/owner.h"

#define CHUNK 256

struct checks {
	struct buf text;
	size_t read, next, marker, failed, redo;
	bool ours;			/* on the disk the claim is this mount's */
	bool over;			/* its generation is */
};

static int owner_error(struct queue *queue, const struct verify *verify, const struct checks *checks, int error)
{
	struct owner owner;

	(void)queue;
	if (error)
		return error == -ENOENT ? -ESTALE : error;
	if (buf_error(&checks->text))
		return -ENOMEM;
	if (owner_parse(buf_text(&checks->text), checks->text.len, &owner) < 0)
		return -ESTALE;
	return owner.kind == OWNER_LIVE && strcmp(owner.node, verify->held->stand.node) == 0 ? 0 : -ESTALE;
}

static void read_owners(struct queue *queue, struct verify *list, struct checks *checks, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count; i++) {
		layout_claim(path, &list[i].held->claim);
		if (!list[i].error)
			checks[i].read = flight_read(&flight, path, 0, OWNER_MAX_BYTES, &checks[i].text);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (list[i].error)
			continue;
		list[i].error = owner_error(queue, &list[i], &checks[i], flight_error(&flight, checks[i].read));
		checks[i].ours = list[i].error == 0;
	}
	flight_release(&flight);
}

/* What must not be there: 0, -ESTALE if it is, else the error. */
static int absent(const struct flight *flight, size_t op)
{
	int error = flight_error(flight, op);

	return error == -ENOENT ? 0 : error == 0 ? -ESTALE : error;
}

static void look_around(struct queue *queue, struct verify *list, struct checks *checks, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	struct layout_claim next;
	char path[LAYOUT_PATH];
	size_t i;

	/* The successors of all come first: the server answers in order, so the markers are looked at last. */
	for (i = 0; i < count; i++) {
		next = list[i].held->claim;
		if (next.number == LAYOUT_HEDGE)
			continue;
		next.number++;
		layout_claim(path, &next);
		checks[i].next = flight_lstat(&flight, path);
	}
	for (i = 0; i < count; i++) {
		const struct held *held = list[i].held;

		layout_marker(path, held_key(held), held->claim.generation);
		checks[i].marker = flight_lstat(&flight, path);
		if (!held_is_hedge(held)) {
			layout_failed(path, &held->claim.unit, held->claim.generation);
			checks[i].failed = flight_lstat(&flight, path);
		}
		layout_redo(path, &held->claim.unit, held->claim.generation + 1);
		checks[i].redo = flight_lstat(&flight, path);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (list[i].error)
			continue;
		/* A content's marker may be another unit's: that this one is done as well takes a record. */
		checks[i].over = (queue->conf.key != QCONF_KEY_CONTENT && !flight_error(&flight, checks[i].marker)) ||
				 (!held_is_hedge(list[i].held) && !flight_error(&flight, checks[i].failed)) ||
				 !flight_error(&flight, checks[i].redo);
		if (!held_is_hedge(list[i].held))
			list[i].error = absent(&flight, checks[i].next);
		if (!list[i].error)
			list[i].error = absent(&flight, checks[i].marker);
		if (!list[i].error && !held_is_hedge(list[i].held))
			list[i].error = absent(&flight, checks[i].failed);
		if (!list[i].error)
			list[i].error = absent(&flight, checks[i].redo);
	}
	flight_release(&flight);
}

static void verify_chunk(struct queue *queue, struct verify *list, size_t count)
{
	struct checks *checks = calloc(count, sizeof(*checks));
	uint32_t lapses = 0;
	size_t i;
	int error;

	error = checks ? lease_renew(queue->lease, &lapses) : -ENOMEM;
	for (i = 0; i < count; i++)
		list[i].error = lease_gone(queue->lease, &list[i].held->stand) ? -ESTALE : error;
	if (checks && !error) {
		read_owners(queue, list, checks, count);
		look_around(queue, list, checks, count);
		pthread_mutex_lock(&queue->lock);
		for (i = 0; i < count; i++) {
			if (!list[i].error)
				list[i].held->stand.lapses = lapses;
			else if (checks[i].over)
				sweep_claims_locked(queue, &list[i].held->claim);
			/* queue.md, "Heal": it would block the unit once its successors are free. */
			else if (list[i].error == -ESTALE && checks[i].ours)
				debt_add_locked(queue, DEBT_LOST, list[i].held);
			buf_release(&checks[i].text);
		}
		pthread_mutex_unlock(&queue->lock);
	}
	free(checks);
}

void verify_claims(struct queue *queue, struct verify *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i += CHUNK)
		verify_chunk(queue, list + i, count - i < CHUNK ? count - i : CHUNK);
}
