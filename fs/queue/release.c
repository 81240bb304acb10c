/*
 * release: giving claims back (queue.md, "Release, withdraw, lose").
 *
 *   LINK NODE.free → tmp/NODE/back-n    RENAME tmp/NODE/back-n → claims/UNIT.G.N    REMOVE tmp/NODE/back-n       (one flight)
 *
 * It is a debt until the RENAME is acknowledged. One that was sent before reads the owner first: if the claim is free or lost already, or
 * another's, it is paid. What heal.c saw appear reads the owner first as well.
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>

#include "queue/owner.h"

#define DEBTS 256			/* a flight */

struct payment {
	struct debt *debt;
	struct buf text;
	size_t op;
	bool paid;
	bool due;			/* rename now */
	bool lost;
};

void debt_add_locked(struct queue *queue, enum debt_kind kind, struct held *held)
{
	struct debt *debt = held->debt;

	if (!debt)
		return;
	held->debt = NULL;
	*debt = (struct debt) { .kind = kind, .claim = held->claim, .stand = held->stand };
	debt_due_locked(queue, debt);
}

void debt_due_locked(struct queue *queue, struct debt *debt)
{
	list_append(&queue->debts, &debt->link);
	keeper_wake_locked(queue);
}

void release_held_locked(struct queue *queue, struct held *held, enum debt_kind kind)
{
	char path[LAYOUT_PATH];

	debt_add_locked(queue, kind, held);
	if (held->makes) {
		layout_staged(path, held->stand.node, &held->claim);
		sweep_path_locked(queue, path, true);
	}
	lease_end(queue->lease, &held->stand, 1);
	held_drop_locked(queue, held);
}

/* ---- who owns it ---- */

static void read_owner(struct queue *queue, struct payment *payment, int error)
{
	const struct debt *debt = payment->debt;
	struct owner owner;

	if (error == -ENOENT) {
		payment->paid = debt->kind != DEBT_HEAL || debt->sent;	/* swept */
	} else if (!error && !buf_error(&payment->text)) {
		if (owner_parse(buf_text(&payment->text), payment->text.len, &owner) < 0 || owner.kind != OWNER_LIVE ||
		    !lease_was_node(queue->lease, owner.node)) {
			payment->paid = true;
			return;
		}
		payment->due = true;
		payment->lost = debt->kind == DEBT_LOST || (debt->kind == DEBT_HEAL && !lease_good(queue->lease, &debt->stand));
	}
}

static void read_owners(struct queue *queue, struct payment *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count; i++) {
		const struct debt *debt = list[i].debt;

		list[i].lost = debt->kind == DEBT_LOST;
		list[i].due = debt->kind != DEBT_HEAL && !debt->sent;
		layout_claim(path, &debt->claim);
		if (!list[i].due)
			list[i].op = flight_read(&flight, path, 0, OWNER_MAX_BYTES, &list[i].text);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (!list[i].due)
			read_owner(queue, &list[i], flight_error(&flight, list[i].op));
		buf_release(&list[i].text);
	}
	flight_release(&flight);
}

/* ---- link and rename ---- */

static void given_back(struct queue *queue, struct payment *payment)
{
	struct index_clock clock;
	uint32_t unit;

	payment->paid = true;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	index_claim_put(&queue->index, &payment->debt->claim, payment->lost ? INDEX_LOST_MTIME : INDEX_FREE_MTIME, &clock);
	unit = units_find(&queue->index.units, &payment->debt->claim.unit);
	if (unit != UNITS_NONE)
		index_update(&queue->index, unit, &clock, queue_time(queue));
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
}

static void rename_back(struct queue *queue, struct payment *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char given[LAYOUT_PATH], once[LAYOUT_PATH], path[LAYOUT_PATH], node[LAYOUT_MAX_NODE + 1];
	struct lease_stand stand = { .epoch = 0 };
	bool no_tmp = false;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!list[i].due)
			continue;
		if (lease_given_back(queue->lease, list[i].lost, given) < 0 || !lease_node(queue->lease, node, &stand.epoch)) {
			list[i].due = false;
			continue;
		}
		layout_once(once, node, "back", lease_once(queue->lease));
		layout_claim(path, &list[i].debt->claim);
		list[i].op = flight_link(&flight, given, once);
		flight_rename(&flight, once, path);
		flight_remove(&flight, once);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (!list[i].due)
			continue;
		list[i].debt->sent = true;
		if (!flight_error(&flight, list[i].op + 1))
			given_back(queue, &list[i]);
		else if (flight_error(&flight, list[i].op) == -ENOENT)
			no_tmp = true;
		else if (flight_error(&flight, list[i].op) == STORE_FAILURE || flight_error(&flight, list[i].op) == -EMLINK)
			lease_given_back_full(queue->lease, list[i].lost);
	}
	flight_release(&flight);
	if (no_tmp)
		lease_abandon(queue->lease, &stand);
}

/* ---- paying ---- */

static size_t collect(struct queue *queue, struct list *from, struct payment *list)
{
	struct list *at;
	size_t count = 0;

	(void)queue;
	while (count < DEBTS && (at = list_pop(from)) != NULL)
		list[count++] = (struct payment) { .debt = list_entry(at, struct debt, link) };
	return count;
}

static void pay_some(struct queue *queue, struct payment *list, size_t count)
{
	size_t i;
	int tries;

	/* Twice: what failed for want of links or of tmp/ succeeds the second time. */
	for (tries = 0; tries < 2; tries++) {
		struct payment open[DEBTS];
		size_t opened = 0;

		for (i = 0; i < count; i++)
			if (!list[i].paid)
				open[opened++] = (struct payment) { .debt = list[i].debt };
		if (!opened)
			break;
		read_owners(queue, open, opened);
		rename_back(queue, open, opened);
		for (i = opened = 0; i < count; i++)
			if (!list[i].paid)
				list[i].paid = open[opened++].paid;
	}
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		struct debt *debt = list[i].debt;

		if (list[i].paid)
			free(debt);
		else
			list_append(debt->kind == DEBT_HEAL && !debt->sent ? &queue->heals : &queue->debts, &debt->link);
	}
	pthread_mutex_unlock(&queue->lock);
}

void debts_pay(struct queue *queue)
{
	struct payment list[DEBTS];
	struct list due;
	size_t count;

	list_init(&due);
	pthread_mutex_lock(&queue->lock);
	while (queue->paying)
		pthread_cond_wait(&queue->changed, &queue->lock);
	queue->paying = true;
	list_splice(&due, &queue->debts);
	pthread_mutex_unlock(&queue->lock);
	while ((count = collect(queue, &due, list)) > 0)
		pay_some(queue, list, count);
	pthread_mutex_lock(&queue->lock);
	queue->paying = false;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}
