/*
 * commit: what is held becomes done (queue.md, "Finish"). A batch goes through these steps together, each one flight:
 *
 *   check (verify where in doubt; done by another?) ─▶ input unchanged? ─▶ publish (fsync, rename) ─▶ LINK claim → marker ─▶ fsync done/KK when durable
 *
 * What the LINK's answer means:
 *
 *   ok                                  this commit made the marker
 *   failure, the marker is there        `already`, and logged as done; but one of this mount's own, left by a LINK of this very claim that
 *                                       was never answered, is `ok`
 *   failure, the claim is missing       lost, never linked again
 *   failure, neither                    the disk's limit of links: the claim is moved to another heartbeat file, and once more
 *   no answer                           look at the marker; if it is not there, verify, then once more
 *
 * One commit per KEY.G is in flight at a time within a mount.
 */
#include "queue/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "queue/owner.h"

#define LINK_TRIES 6
#define LATE_NS (5 * NS_PER_S)		/* what was claimed that long ago may have been done by a second attempt: none is begun sooner unasked (hedge.c) */

void ending_settle(struct queue *queue, struct ending *ending, int error)
{
	(void)queue;
	ending->finish->error = error == STORE_FAILURE || error == STORE_UNKNOWN ? -EIO : error;
	ending->settled = true;
}

/* The claim is not this mount's any more: verify has given up what was still there. */
static void settle_lost(struct queue *queue, struct ending *ending)
{
	char path[LAYOUT_PATH];

	pthread_mutex_lock(&queue->lock);
	if (ending->held->makes) {
		layout_staged(path, ending->held->stand.node, &ending->held->claim);
		sweep_path_locked(queue, path, true);
	}
	lease_end(queue->lease, &ending->held->stand, 1);
	held_drop_locked(queue, ending->held);
	ending->held = NULL;
	queue->viewed_ns = INT64_MIN;
	pthread_mutex_unlock(&queue->lock);
	ending_settle(queue, ending, -ESTALE);
}

/* ---- the input must be what was claimed ---- */

static void drop_changed(struct queue *queue, struct ending *ending)
{
	struct unit *at;

	pthread_mutex_lock(&queue->lock);
	at = units_at(&queue->index.units, ending->held->unit);
	if (at->dir != UNITS_NONE)
		queue->index.dirs[at->dir]->dirty = true;
	queue->viewed_ns = INT64_MIN;
	release_held_locked(queue, ending->held, DEBT_FREE);
	ending->held = NULL;
	pthread_mutex_unlock(&queue->lock);
	ending_settle(queue, ending, -EAGAIN);
}

static void check_inputs(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	struct buf path = BUF_INIT;
	size_t i;

	if (queue->conf.key == QCONF_KEY_NAME)
		return;
	for (i = 0; i < count; i++) {
		buf_reset(&path);
		if (list[i].settled)
			continue;
		if (index_input(&queue->index, list[i].held->name, &path) < 0)
			ending_settle(queue, &list[i], -ENOMEM);
		else
			list[i].op = flight_lstat(&flight, path.data);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		const struct store_op *op = flight_op(&flight, list[i].op);

		if (list[i].settled)
			continue;
		if (op->error && op->error != -ENOENT)
			ending_settle(queue, &list[i], op->error);
		else if (op->error || op->attrs.size != list[i].held->input.size || op->attrs.mtime != list[i].held->input.mtime)
			drop_changed(queue, &list[i]);
	}
	buf_release(&path);
	flight_release(&flight);
}

/* ---- the deciding link ---- */

/* Has this mount answered `ok` for KEY.G before? Only contents share a key. */
static bool answered_before(struct queue *queue, const struct held *held)
{
	char key[CONTENT_MAP_KEY];
	bool answered;

	content_map_key(held_key(held), held->claim.generation, key);
	pthread_mutex_lock(&queue->lock);
	if (queue->conf.key == QCONF_KEY_CONTENT)
		answered = map_get(&queue->answered, key, sizeof(key));
	else
		answered = units_at(&queue->index.units, held->unit)->flags & UNIT_DONE;
	pthread_mutex_unlock(&queue->lock);
	return answered;
}

static void settle_done(struct queue *queue, struct ending *ending, const char *by);

/* The marker is there: whose is it? */
static void settle_marker(struct queue *queue, struct ending *ending, const struct buf *text)
{
	struct owner owner;

	if (owner_parse(buf_text(text), text->len, &owner) < 0) {
		/* Somebody wrote a file of that name: the unit is done, by nobody knows whom. */
		settle_done(queue, ending, "unknown");
	} else if (lease_was_node(queue->lease, owner.node) && !answered_before(queue, ending->held)) {
		settle_done(queue, ending, NULL);
	} else {
		settle_done(queue, ending, owner.node);
	}
}

/* Those that are to `look`: if a marker is there by now, it says how they ended. */
static void look_for_markers(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	struct buf *texts;
	size_t i = 0;

	while (i < count && !list[i].look)
		i++;
	if (i == count)
		return;
	texts = calloc(count, sizeof(*texts));
	for (; i < count && texts; i++) {
		if (!list[i].look)
			continue;
		layout_marker(path, held_key(list[i].held), list[i].held->claim.generation);
		list[i].op = flight_read(&flight, path, 0, OWNER_MAX_BYTES, &texts[i]);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		int error = texts ? flight_error(&flight, list[i].op) : -ENOMEM;

		if (!list[i].look)
			continue;
		list[i].look = false;
		if (!error)
			error = buf_error(&texts[i]);
		if (!error)
			settle_marker(queue, &list[i], &texts[i]);
		else if (error != -ENOENT)
			ending_settle(queue, &list[i], error);
		if (texts)
			buf_release(&texts[i]);
	}
	free(texts);
	flight_release(&flight);
}

/* A LINK of a marker was never answered: it may have been made. */
static void check_unanswered(struct queue *queue, struct ending *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		list[i].look = !list[i].settled && list[i].held->unanswered;
	look_for_markers(queue, list, count);
}

/* Claims that are gone: where a marker is there, the key is done, by somebody else or by a LINK of this very claim that came late. */
static void settle_gone(struct queue *queue, struct ending *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		list[i].look = list[i].gone;
	look_for_markers(queue, list, count);
	for (i = 0; i < count; i++)
		if (list[i].gone && !list[i].settled)
			settle_lost(queue, &list[i]);
}

void ending_check(struct queue *queue, struct ending *list, size_t count)
{
	struct verify *verify = calloc(count, sizeof(*verify));
	size_t i, at, verified = 0;

	check_unanswered(queue, list, count);
	for (i = 0; i < count; i++) {
		list[i].gone = false;
		if (list[i].settled || held_is_sure(queue, list[i].held))
			continue;
		if (verify)
			verify[verified++].held = list[i].held;
		else
			ending_settle(queue, &list[i], -ENOMEM);
	}
	if (verified)
		verify_claims(queue, verify, verified);
	for (i = at = 0; i < count && at < verified; i++) {
		if (list[i].settled || verify[at].held != list[i].held)
			continue;
		if (verify[at].error == -ESTALE)
			list[i].gone = true;
		else if (verify[at].error)
			ending_settle(queue, &list[i], verify[at].error);
		at++;
	}
	free(verify);
	settle_gone(queue, list, count);
}

/* A link to `stand`, renamed over the claim. */
static int link_over(struct queue *queue, const struct held *held, const struct lease_stand *stand)
{
	struct flight flight = FLIGHT_INIT;
	char once[LAYOUT_PATH], path[LAYOUT_PATH];
	size_t link;
	int error;

	layout_once(once, stand->node, "move", lease_once(queue->lease));
	layout_claim(path, &held->claim);
	link = flight_link(&flight, stand->path, once);
	flight_rename(&flight, once, path);
	flight_remove(&flight, once);
	flight_run(&flight, queue->store);
	error = flight_error(&flight, link) ? flight_error(&flight, link) : flight_error(&flight, link + 1);
	flight_release(&flight);
	if (error == STORE_UNKNOWN) {
		/* Should the rename come late, after this claim was given back, it is healed. */
		pthread_mutex_lock(&queue->lock);
		heal_add_locked(queue, &held->claim, &held->stand, true);
		pthread_mutex_unlock(&queue->lock);
	}
	return error;
}

/* The disk's limit of links is met: the claim moves to another heartbeat file. The current one may be full too, so twice. */
static void move_claim(struct queue *queue, struct ending *ending)
{
	struct held *held = ending->held;
	uint64_t full = lease_full(queue->lease, &held->stand);
	struct lease_stand stand;
	uint32_t one;
	int error = STORE_FAILURE, tries;

	for (tries = 0; tries < 2 && error == STORE_FAILURE; tries++) {
		one = 1;
		if (lease_begin(queue->lease, &one, &stand) < 0)
			return;
		error = stand.epoch == held->stand.epoch ? link_over(queue, held, &stand) : -ESTALE;
		if (error)
			lease_end(queue->lease, &stand, 1);
		if (error == STORE_FAILURE)
			full = lease_full(queue->lease, &stand);
	}
	if (error)
		return;
	if (full)
		lease_learn(queue->lease, full);
	lease_end(queue->lease, &held->stand, 1);
	stand.lapses = held->stand.lapses;
	held->stand = stand;
}

static void make_marker_dirs(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count; i++) {
		if (!list[i].no_dir)
			continue;
		list[i].no_dir = false;
		if (!flight.count)
			flight_mkdir(&flight, LAYOUT_DONE);
		layout_marker_dir(path, held_key(list[i].held));
		flight_mkdir(&flight, path);
	}
	flight_run(&flight, queue->store);
	flight_release(&flight);
}

/* No marker is there after a LINK that failed with `error`: what next? Leaves it open for another round, or settles it. */
static void no_marker(struct queue *queue, struct ending *ending, int error, int claim_error)
{
	struct held *held = ending->held;

	if (claim_error == -ENOENT) {
		settle_lost(queue, ending);
	} else if (claim_error) {
		ending_settle(queue, ending, claim_error);
	} else if (error == STORE_UNKNOWN) {
		held->unanswered = true;
		ending_check(queue, ending, 1);
	} else if (error == -ENOENT) {
		ending->no_dir = true;
	} else if (error == STORE_FAILURE || error == -EMLINK || error == -EEXIST) {
		move_claim(queue, ending);
	} else {
		ending_settle(queue, ending, error);
	}
}

static void look_at_markers(struct queue *queue, struct ending *list, const int *errors, size_t count)
{
	struct buf *texts = calloc(count, sizeof(*texts));
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i;

	for (i = 0; i < count && texts; i++) {
		if (list[i].settled)
			continue;
		layout_marker(path, held_key(list[i].held), list[i].held->claim.generation);
		list[i].op = flight_read(&flight, path, 0, OWNER_MAX_BYTES, &texts[i]);
		layout_claim(path, &list[i].held->claim);
		flight_lstat(&flight, path);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		int error = texts ? flight_error(&flight, list[i].op) : -ENOMEM;

		if (list[i].settled)
			continue;
		if (errors[i] == STORE_UNKNOWN)
			list[i].held->unanswered = true;
		if (!error && !buf_error(&texts[i]))
			settle_marker(queue, &list[i], &texts[i]);
		else if (error == -ENOENT)
			no_marker(queue, &list[i], errors[i], flight_error(&flight, list[i].op + 1));
		else
			ending_settle(queue, &list[i], error ? error : -ENOMEM);
		if (texts)
			buf_release(&texts[i]);
	}
	free(texts);
	flight_release(&flight);
	make_marker_dirs(queue, list, count);
}

/* One round: LINKs, then looks for those that were not simply done. True while some are open. */
static bool link_round(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	int *errors = calloc(count, sizeof(*errors));
	char from[LAYOUT_PATH], to[LAYOUT_PATH];
	bool open = false;
	size_t i;

	for (i = 0; i < count && errors; i++) {
		if (list[i].settled)
			continue;
		layout_claim(from, &list[i].held->claim);
		layout_marker(to, held_key(list[i].held), list[i].held->claim.generation);
		list[i].op = flight_link(&flight, from, to);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		if (list[i].settled)
			continue;
		if (!errors) {
			ending_settle(queue, &list[i], -ENOMEM);
			continue;
		}
		errors[i] = flight_error(&flight, list[i].op);
		if (!errors[i])
			settle_done(queue, &list[i], NULL);
		else
			open = true;
	}
	flight_release(&flight);
	if (open)
		look_at_markers(queue, list, errors, count);
	for (i = 0, open = false; i < count; i++)
		open |= !list[i].settled;
	free(errors);
	return open;
}

/* ---- done ---- */

static void remember_answer_locked(struct queue *queue, const struct held *held)
{
	char key[CONTENT_MAP_KEY];

	if (queue->conf.key != QCONF_KEY_CONTENT)
		return;
	content_map_key(held_key(held), held->claim.generation, key);
	map_set(&queue->answered, key, sizeof(key), queue, NULL);
}

/* The marker stands, made by this commit (`by` NULL) or by another node. */
static void settle_done(struct queue *queue, struct ending *ending, const char *by)
{
	struct held *held = ending->held;
	struct buf values = BUF_INIT;
	struct record record = held_record(queue, held, RECORD_DONE);
	char path[LAYOUT_PATH];

	record.values = ending->finish->values;
	if (by) {
		record.attempt = 0;
		buf_addf(&values, "by=%s", by);
		snprintf(ending->finish->node, sizeof(ending->finish->node), "%s", by);
	} else {
		buf_adds(&values, record.values ? record.values : "");
		if (held->asked_ns)
			held_add_size(&values, "in", held->input.size);
		if (ending->sized)
			held_add_size(&values, "out", ending->size);
	}
	hedge_values(held, !by, &values);
	if (buf_error(&values) == 0)
		record.values = buf_text(&values);
	if (record.values && !record_values_good(record.values))
		record.values = NULL;
	pthread_mutex_lock(&queue->lock);
	if (!by)
		remember_answer_locked(queue, held);
	logs_add_locked(queue, &record);
	sweep_generation_locked(queue, &held->claim);
	/* What was made once and has been moved away is not there any more. */
	if (held->makes > (ending->published && !ending->put ? 1u : 0u)) {
		layout_staged(path, held->stand.node, &held->claim);
		sweep_path_locked(queue, path, true);
	}
	lease_end(queue->lease, &held->stand, 1);
	/* The durable step below still needs its key. */
	ending->key = *held_key(held);
	held_drop_locked(queue, held);
	ending->held = NULL;
	pthread_mutex_unlock(&queue->lock);
	buf_release(&values);
	ending_settle(queue, ending, by || ending->finish->verb != QUEUE_VERB_DONE ? -EEXIST : 0);
}

static void make_durable(struct queue *queue, struct ending *list, size_t count)
{
	struct flight flight = FLIGHT_INIT;
	char path[LAYOUT_PATH];
	size_t i;

	if (!queue->conf.durable)
		return;
	for (i = 0; i < count; i++) {
		if (list[i].finish->error != 0 && list[i].finish->error != -EEXIST)
			continue;
		layout_marker_dir(path, &list[i].key);
		list[i].op = flight_fsync(&flight, path);
	}
	flight_run(&flight, queue->store);
	for (i = 0; i < count; i++) {
		int error = list[i].finish->error;

		/* Done it is, but whether for good nobody can say: the caller learns that. */
		if ((error == 0 || error == -EEXIST) && flight_error(&flight, list[i].op) < 0 &&
		    flight_error(&flight, list[i].op) != -EOPNOTSUPP)
			ending_settle(queue, &list[i], flight_error(&flight, list[i].op));
	}
	flight_release(&flight);
}

/* ---- done by another meanwhile ---- */

/* Of second attempts, and those that were claimed `age_ns` ago or longer. */
static void look_for_others(struct queue *queue, struct ending *list, size_t count, int64_t age_ns)
{
	int64_t now = clock_now();
	size_t i;

	for (i = 0; i < count; i++)
		list[i].look = !list[i].settled && (held_is_hedge(list[i].held) || now - list[i].held->claimed_ns >= age_ns);
	look_for_markers(queue, list, count);
}

void check_claims(struct queue *queue, struct ending *list, size_t count)
{
	ending_check(queue, list, count);
	look_for_others(queue, list, count, 0);
}

static void commit_batch(struct queue *queue, struct ending *list, size_t count)
{
	int64_t began = clock_now();
	int tries;
	size_t i;

	ending_check(queue, list, count);
	/* A late output is whole, but one that is not needed had better not replace what others may be reading. */
	look_for_others(queue, list, count, LATE_NS);
	check_inputs(queue, list, count);
	publish_outputs(queue, list, count);
	/* Publishing may have taken long. */
	ending_check(queue, list, count);
	for (i = 0, tries = 0; i < count; i++)
		if (!list[i].settled)
			tries = LINK_TRIES;
	while (tries > 0 && link_round(queue, list, count) && !store_cancelled(queue->store))
		tries--;
	for (i = 0; i < count; i++)
		if (!list[i].settled)
			ending_settle(queue, &list[i], -EIO);
	make_durable(queue, list, count);
	pthread_mutex_lock(&queue->lock);
	queue->commit_s += (double)(clock_now() - began) / NS_PER_S;
	pthread_mutex_unlock(&queue->lock);
}

/* ---- one commit per KEY.G ---- */

/* Moves those to the front whose KEY.G nobody commits, and enters them. How many. */
static size_t reserve_locked(struct queue *queue, struct ending *list, size_t count)
{
	char key[CONTENT_MAP_KEY];
	struct ending swap;
	size_t i, ready = 0;

	for (i = 0; i < count; i++) {
		content_map_key(held_key(list[i].held), list[i].held->claim.generation, key);
		if (map_get(&queue->committing, key, sizeof(key)))
			continue;
		/* Memory short: it is not kept from others, who find the marker. */
		map_set(&queue->committing, key, sizeof(key), queue, NULL);
		memcpy(list[i].map_key, key, sizeof(key));
		swap = list[ready];
		list[ready++] = list[i];
		list[i] = swap;
	}
	return ready;
}

void commit_claims(struct queue *queue, struct ending *list, size_t count)
{
	size_t ready, i;

	while (count > 0) {
		pthread_mutex_lock(&queue->lock);
		while ((ready = reserve_locked(queue, list, count)) == 0)
			pthread_cond_wait(&queue->changed, &queue->lock);
		pthread_mutex_unlock(&queue->lock);
		commit_batch(queue, list, ready);
		pthread_mutex_lock(&queue->lock);
		for (i = 0; i < ready; i++)
			map_remove(&queue->committing, list[i].map_key, sizeof(list[i].map_key));
		pthread_cond_broadcast(&queue->changed);
		pthread_mutex_unlock(&queue->lock);
		list += ready;
		count -= ready;
	}
}
