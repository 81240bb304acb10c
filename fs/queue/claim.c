/*
 * claim: a batch of units in one flight (queue.md, "Claim"). For each, in this order:
 *
 *   LINK heartbeat → claims/UNIT.G.(m+1)
 *   LSTAT marker (when KEY is known), the claim that was judged stale, the input; failed/UNIT.G and redo/UNIT.(G+1), each or all at once (marks.c)
 *
 * and what the answers mean:
 *
 *   LINK      looks                             then
 *   ok        all absent, stale one unchanged   claimed (verified first when the answers took long or one never came)
 *   ok        marker, failed or redo is there   no one's: dropped, and swept
 *   ok        stale one changed, input changed  withdrawn: freed
 *   failure   the name is there                 somebody else's: -EBUSY (presumed without a look where any unit would do)
 *   failure   it is not                         the disk's limit of links: once more from another file
 *   no answer the owner inside is this node     claimed, verified first
 *   no answer not there, or nobody could tell   it may come late: to be healed
 */
#include "queue/inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/owner.h"

static bool key_known(const struct queue *queue)
{
	return queue->conf.key != QCONF_KEY_CONTENT;
}

/* Its output is that of another unit held here, or would lie outside the queue. */
bool claim_output_taken_locked(struct queue *queue, uint32_t unit)
{
	struct buf name = BUF_INIT, stage = BUF_INIT;
	bool taken;

	taken = index_name(&queue->index, unit, &name) < 0 || qconf_stage(&queue->conf, name.data, &stage) < 0 ||
		map_get_str(&queue->held_by_stage, buf_text(&stage));
	buf_release(&name);
	buf_release(&stage);
	return taken;
}

bool claim_ready_locked(struct queue *queue, uint32_t unit, struct attempt *ret_attempt)
{
	struct unit *at = units_at(&queue->index.units, unit);
	struct index_clock clock;

	memset(ret_attempt, 0, sizeof(*ret_attempt));
	if (at->state != QUEUE_TODO || (at->flags & UNIT_BUSY))
		return false;
	queue_clock(queue, &clock);
	index_chance(&queue->index, unit, &clock, &ret_attempt->chance);
	if (!ret_attempt->chance.claimable || claim_output_taken_locked(queue, unit))
		return false;
	at->flags |= UNIT_BUSY;
	ret_attempt->unit = unit;
	return true;
}

static void settle(struct attempt *attempt, int error)
{
	attempt->error = error;
	attempt->settled = true;
}

/* Makes the held claims, which reserve names and outputs within this mount. */
static void prepare(struct queue *queue, struct attempt *list, size_t count, struct ctl *owner)
{
	struct buf name = BUF_INIT;
	size_t i;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		struct attempt *attempt = &list[i];
		struct unit *at = units_at(&queue->index.units, attempt->unit);
		int error;

		buf_reset(&name);
		error = index_name(&queue->index, attempt->unit, &name);
		if (!error)
			error = held_new(queue, attempt->unit, name.data, owner, &attempt->held);
		if (!error) {
			attempt->held->claim = (struct layout_claim) { at->hash, at->generation, attempt->chance.next };
			attempt->held->attempt = attempt->chance.attempts + attempt->chance.hedged + 1;
			attempt->held->key = at->hash;
			attempt->held->has_key = key_known(queue);
			error = held_add_locked(queue, attempt->held);
		}
		if (error)
			settle(attempt, error);
	}
	pthread_mutex_unlock(&queue->lock);
	buf_release(&name);
}

static void add_claim(struct queue *queue, struct flight *flight, const struct marks *marks, struct attempt *attempt, const struct lease_stand *stand)
{
	struct layout_claim claim = attempt->held->claim;
	struct buf input = BUF_INIT;
	char path[LAYOUT_PATH];

	layout_claim(path, &claim);
	attempt->link = flight_link(flight, stand->path, path);
	if (key_known(queue)) {
		layout_marker(path, &claim.unit, claim.generation);
		attempt->marker = flight_lstat(flight, path);
	}
	marks_add(marks, flight, attempt);
	if (attempt->chance.stale) {
		claim.number = attempt->chance.stale;
		layout_claim(path, &claim);
		attempt->stale = flight_lstat(flight, path);
	}
	if (index_input(&queue->index, attempt->held->name, &input) < 0)
		flight->error = -ENOMEM;
	else
		attempt->input = flight_lstat(flight, input.data);
	buf_release(&input);
}

/* ---- what the looks say ---- */

/* Somebody did or set aside this generation, or began the next: the claim is no one's. */
static bool is_over(struct queue *queue, struct flight *flight, struct attempt *attempt)
{
	struct layout_claim *claim = &attempt->held->claim;
	enum look marker = key_known(queue) ? flight_look(flight, attempt->marker) : LOOK_ABSENT;
	enum look failed = attempt->is_failed, redo = attempt->is_redone;
	struct index_clock clock;

	attempt->doubtful |= marker == LOOK_UNKNOWN || failed == LOOK_UNKNOWN || redo == LOOK_UNKNOWN;
	if (marker != LOOK_THERE && failed != LOOK_THERE && redo != LOOK_THERE)
		return false;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	if (redo == LOOK_THERE)
		index_generation(&queue->index, attempt->unit, claim->generation + 1);
	if (failed == LOOK_THERE)
		index_mark(&queue->index, attempt->unit, claim->generation, UNIT_FAILED);
	if (marker == LOOK_THERE)
		index_mark(&queue->index, attempt->unit, claim->generation, UNIT_DONE);
	if (marker == LOOK_THERE || redo == LOOK_THERE)
		sweep_generation_locked(queue, claim);
	else
		sweep_claims_locked(queue, claim);
	index_update(&queue->index, attempt->unit, &clock, queue_time(queue));
	pthread_mutex_unlock(&queue->lock);
	attempt->found_done = marker == LOOK_THERE && redo != LOOK_THERE;
	return true;
}

/* 0, or -EAGAIN: the claim must be withdrawn, since the one judged stale moved or the input is another one now. */
static int look_closer(struct queue *queue, struct flight *flight, struct attempt *attempt)
{
	const struct store_op *input = flight_op(flight, attempt->input), *stale = flight_op(flight, attempt->stale);
	struct held *held = attempt->held;
	struct hash128 hash;

	if (attempt->chance.stale && (stale->error || stale->attrs.mtime != attempt->chance.stale_mtime))
		return -EAGAIN;
	if (input->error)
		return -EAGAIN;
	held->input = input->attrs;
	held->asked_ns = input->sent_ns;
	hash = layout_unit(held->name, queue->conf.key != QCONF_KEY_NAME, held->input.size, held->input.mtime);
	return S_ISREG(input->attrs.mode) && hash128_equal(&hash, &held->claim.unit) ? 0 : -EAGAIN;
}

static void withdraw(struct queue *queue, struct attempt *attempt)
{
	struct unit *at = units_at(&queue->index.units, attempt->unit);

	pthread_mutex_lock(&queue->lock);
	debt_add_locked(queue, DEBT_FREE, attempt->held);
	/* What it was taken for may be wrong: look at the whole directory again. */
	if (at->dir != UNITS_NONE)
		queue->index.dirs[at->dir]->dirty = true;
	queue->viewed_ns = INT64_MIN;
	pthread_mutex_unlock(&queue->lock);
	settle(attempt, -EBUSY);
}

static void judge(struct queue *queue, struct flight *flight, struct attempt *attempt)
{
	const struct store_op *link = flight_op(flight, attempt->link), *last = flight_op(flight, attempt->input);
	int64_t most_ns = queue->conf.lease_ns / 3;

	if (is_over(queue, flight, attempt)) {
		settle(attempt, -ENOENT);
		return;
	}
	if (look_closer(queue, flight, attempt) < 0) {
		withdraw(queue, attempt);
		return;
	}
	if (last->received_ns - link->sent_ns > most_ns || attempt->looked_ns - link->sent_ns > most_ns || !lease_good(queue->lease, &attempt->held->stand))
		attempt->doubtful = true;
}

/* ---- a LINK that failed, or was not answered ---- */

static void lost_locked(struct queue *queue, struct attempt *attempt, int64_t mtime, const struct index_clock *clock)
{
	index_claim_put(&queue->index, &attempt->held->claim, mtime, clock);
	index_update(&queue->index, attempt->unit, clock, queue_time(queue));
	settle(attempt, -EBUSY);
}

static void lost_race(struct queue *queue, struct attempt *attempt, const struct store_op *stat)
{
	struct index_clock clock;

	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	lost_locked(queue, attempt, stat->attrs.mtime, &clock);
	queue->link_doubt = false;
	pthread_mutex_unlock(&queue->lock);
}

static bool link_refused(const struct flight *flight, const struct attempt *attempt)
{
	int error = flight_error(flight, attempt->link);

	return !attempt->settled && (error == STORE_FAILURE || error == -EEXIST);
}

/*
 * A look for each lost race would cost a round trip. A LINK that failed before another one from the same file succeeded met no limit of links: the
 * name was there. Those at the end of a flight are left alone too, once: if the next flight has no success either, they are looked at. Until
 * then they are as they were in this mount's eyes, so that nothing is said to be taken that is not.
 */
static void presume_lost(struct queue *queue, const struct flight *flight, struct attempt *list, size_t count)
{
	struct index_clock clock;
	size_t i, sure = 0;
	bool doubt;

	for (i = 0; i < count; i++)
		if (!list[i].settled && !flight_error(flight, list[i].link))
			sure = i + 1;
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	queue->link_doubt &= !sure;
	doubt = queue->link_doubt;
	for (i = 0; i < count && !doubt; i++) {
		if (!list[i].any || !link_refused(flight, &list[i]))
			continue;
		queue->link_doubt = i >= sure;
		if (i < sure)
			lost_locked(queue, &list[i], queue_time(queue), &clock);
		else
			settle(&list[i], -EBUSY);
	}
	pthread_mutex_unlock(&queue->lock);
}

/* Nobody could say whether the LINK without an answer was made, or whose the claim is. */
static void may_come(struct queue *queue, const struct attempt *attempt)
{
	pthread_mutex_lock(&queue->lock);
	heal_add_locked(queue, &attempt->held->claim, &attempt->held->stand, false);
	pthread_mutex_unlock(&queue->lock);
}

static void look_who(struct queue *queue, struct attempt *attempt, int link, const struct store_op *stat, const struct store_op *read,
		     const struct buf *text)
{
	const struct lease_stand *stand = &attempt->held->stand;
	bool unknown = link == STORE_UNKNOWN, told = !stat->error && !read->error;
	struct owner owner;

	if (unknown && told && owner_parse(buf_text(text), text->len, &owner) == 0 && owner.kind == OWNER_LIVE &&
	    strcmp(owner.node, stand->node) == 0) {
		attempt->doubtful = true;
		return;
	}
	if (unknown && !told)
		may_come(queue, attempt);
	if (stat->error && stat->error != -ENOENT) {
		settle(attempt, stat->error);
	} else if (stat->error == -ENOENT || read->error == -ENOENT) {
		attempt->full = !unknown ? lease_full(queue->lease, stand) : 0;
		attempt->again = !unknown;
		settle(attempt, -EIO);
	} else {
		lost_race(queue, attempt, stat);
	}
}

/* The heartbeat file's name or claims/ is not there: another file, the directory made, and once more. */
static void source_gone(struct queue *queue, struct attempt *attempt)
{
	struct flight flight = FLIGHT_INIT;

	flight_mkdir(&flight, LAYOUT_CLAIMS);
	flight_run(&flight, queue->store);
	flight_release(&flight);
	lease_full(queue->lease, &attempt->held->stand);
	attempt->again = true;
	settle(attempt, -EIO);
}

/* Looks at the names of all LINKs that did not succeed, in one flight. */
static void look_at_failures(struct queue *queue, struct flight *flight, struct attempt *list, size_t count)
{
	struct flight looks = FLIGHT_INIT;
	struct buf *texts = calloc(count, sizeof(*texts));
	size_t i, at = 0;
	char path[LAYOUT_PATH];
	int error;

	for (i = 0; i < count && texts; i++) {
		if (list[i].settled || !flight_error(flight, list[i].link))
			continue;
		layout_claim(path, &list[i].held->claim);
		flight_lstat(&looks, path);
		flight_read(&looks, path, 0, OWNER_MAX_BYTES, &texts[i]);
	}
	flight_run(&looks, queue->store);
	for (i = 0; i < count; i++) {
		error = flight_error(flight, list[i].link);
		if (list[i].settled || !error)
			continue;
		if (!texts && error == STORE_UNKNOWN)
			may_come(queue, &list[i]);
		if (!texts)
			settle(&list[i], -ENOMEM);
		else if (error == -ENOENT)
			source_gone(queue, &list[i]);
		else if (error != STORE_FAILURE && error != STORE_UNKNOWN && error != -EEXIST && error != -EMLINK)
			settle(&list[i], error);
		else
			look_who(queue, &list[i], error, flight_op(&looks, at), flight_op(&looks, at + 1), &texts[i]);
		at += 2;
		if (texts)
			buf_release(&texts[i]);
	}
	free(texts);
	flight_release(&looks);
}

/* ---- a batch ---- */

static void fly(struct queue *queue, struct attempt *list, size_t count, const struct lease_stand *stand)
{
	struct flight flight = FLIGHT_INIT;
	bool failures = false, found = false;
	struct marks marks;
	size_t i;

	marks_begin(queue, count, &marks);
	for (i = 0; i < count; i++) {
		list[i].held->stand = *stand;
		add_claim(queue, &flight, &marks, &list[i], stand);
	}
	marks_add_last(&marks, &flight);
	flight_run(&flight, queue->store);
	marks_end(queue, &marks, &flight, list, count);
	for (i = 0; i < count; i++)
		failures |= flight_error(&flight, list[i].link) != 0;
	if (failures)
		presume_lost(queue, &flight, list, count);
	for (i = 0, failures = false; i < count; i++)
		failures |= !list[i].settled && flight_error(&flight, list[i].link);
	if (failures)
		look_at_failures(queue, &flight, list, count);
	for (i = 0; i < count; i++) {
		if (!list[i].settled)
			judge(queue, &flight, &list[i]);
		found |= list[i].found_done;
	}
	if (found)
		found_done_log(queue, list, count);
	flight_release(&flight);
}

static void verify_doubtful(struct queue *queue, struct attempt *list, size_t count)
{
	struct verify *verify = calloc(count, sizeof(*verify));
	size_t i, doubtful = 0;

	for (i = 0; i < count && verify; i++)
		if (!list[i].settled && list[i].doubtful)
			verify[doubtful++].held = list[i].held;
	if (doubtful)
		verify_claims(queue, verify, doubtful);
	for (i = 0, doubtful = 0; i < count; i++) {
		if (list[i].settled || !list[i].doubtful)
			continue;
		if (!verify)
			withdraw(queue, &list[i]);
		else if (verify[doubtful++].error)
			withdraw(queue, &list[i]);
	}
	free(verify);
}

/* Whose claim it is is known: a ticket needs no look inside it. */
static void sign_locked(struct queue *queue, const struct held *held)
{
	struct index_claim *claim = index_claim_find(&queue->index, held->unit, held->claim.generation, held->claim.number);
	char node[LAYOUT_MAX_NODE + 1];
	uint32_t epoch;

	if (!claim || !lease_node(queue->lease, node, &epoch) || epoch != held->stand.epoch)
		return;
	claim->owner = nodes_get_locked(queue, node);
	claim->pid = queue->options.pid;
}

static void accept_locked(struct queue *queue, struct attempt *attempt, const struct index_clock *clock)
{
	struct unit *at = units_at(&queue->index.units, attempt->unit);
	struct held *held = attempt->held;

	held->claimed = true;
	held->since = queue_time(queue);
	held->claimed_ns = clock_now();
	at->flags |= UNIT_HELD;
	index_claim_put(&queue->index, &held->claim, held->since, clock);
	sign_locked(queue, held);
	index_update(&queue->index, attempt->unit, clock, held->since);
	settle(attempt, 0);
}

static bool is_exhausted(const struct queue *queue, const struct attempt *attempt)
{
	return !held_is_hedge(attempt->held) && attempt->chance.attempts >= (uint64_t)queue->conf.attempts;
}

static bool is_to_be_hashed(const struct queue *queue, const struct attempt *attempt)
{
	return !attempt->settled && !is_exhausted(queue, attempt);
}

/* Hashes what is claimed, all together. */
static void look_at_contents(struct queue *queue, struct attempt *list, size_t count)
{
	struct content_look *looks = calloc(count, sizeof(*looks));
	size_t i, looked = 0;

	for (i = 0; i < count && looks; i++)
		if (is_to_be_hashed(queue, &list[i]))
			looks[looked++].held = list[i].held;
	if (looked)
		content_look(queue, looks, looked);
	for (i = 0, looked = 0; i < count; i++)
		if (is_to_be_hashed(queue, &list[i]))
			list[i].content = looks ? looks[looked++].error : -ENOMEM;
	free(looks);
}

/* Claimed on the disk: set it aside if too many attempts were lost; its content may be done already; else it is the caller's. */
static void take_over(struct queue *queue, struct attempt *attempt)
{
	struct index_clock clock;
	int error = attempt->content;

	if (is_exhausted(queue, attempt)) {
		error = fail_exhausted(queue, attempt->held, attempt->chance.attempts);
		settle(attempt, error ? error : -ENOENT);
	} else if (error) {
		settle(attempt, error > 0 ? -ENOENT : error);
	}
	pthread_mutex_lock(&queue->lock);
	queue_clock(queue, &clock);
	if (!attempt->settled)
		accept_locked(queue, attempt, &clock);
	else if (error < 0)
		debt_add_locked(queue, DEBT_FREE, attempt->held);
	pthread_mutex_unlock(&queue->lock);
}

static void finish(struct queue *queue, struct attempt *list, size_t count)
{
	size_t i;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		units_at(&queue->index.units, list[i].unit)->flags &= (uint8_t)~UNIT_BUSY;
		queue->claims_tried += list[i].held && list[i].held->stand.node[0];
		queue->claims_lost += list[i].held && (list[i].error == -EBUSY || list[i].error == -ENOENT);
		if (list[i].error && list[i].held) {
			if (list[i].held->stand.node[0])
				lease_end(queue->lease, &list[i].held->stand, 1);
			held_drop_locked(queue, list[i].held);
			list[i].held = NULL;
		}
	}
	queue_changed_locked(queue);
	pthread_mutex_unlock(&queue->lock);
}

/* One stand's worth: as many of the unsettled as the heartbeat file has room for. */
static int claim_some(struct queue *queue, struct attempt *list, size_t count)
{
	struct lease_stand stand;
	uint32_t room = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
	size_t i, open = 0;
	bool taken_over = false;
	int error;

	error = lease_begin(queue->lease, &room, &stand);
	for (i = 0; i < count && error; i++)
		settle(&list[i], error);
	if (error)
		return error;
	open = room;
	fly(queue, list, open, &stand);
	verify_doubtful(queue, list, open);
	for (i = 0; i < open; i++)
		taken_over |= !list[i].settled && list[i].chance.stale;
	if (taken_over)
		found_stale_log(queue, list, open);
	if (queue->conf.key == QCONF_KEY_CONTENT)
		look_at_contents(queue, list, open);
	for (i = 0; i < open; i++)
		if (!list[i].settled)
			take_over(queue, &list[i]);
	return (int)open;
}

void claim_units(struct queue *queue, struct attempt *list, size_t count, struct ctl *owner)
{
	struct attempt swap;
	size_t i, begin = 0, tries;
	int done;

	prepare(queue, list, count, owner);
	/* Those that are settled already go to the front, out of the way. */
	for (i = 0; i < count; i++)
		if (list[i].settled) {
			swap = list[begin];
			list[begin++] = list[i];
			list[i] = swap;
		}
	while (begin < count) {
		done = claim_some(queue, list + begin, count - begin);
		if (done <= 0)
			break;
		for (i = 0, tries = 0; i < (size_t)done; i++)
			tries += list[begin + i].again;
		/* The disk's limit of links was met: "then try once more". */
		for (i = 0; i < (size_t)done && tries; i++) {
			struct attempt *attempt = &list[begin + i];

			if (!attempt->again)
				continue;
			attempt->again = attempt->settled = false;
			attempt->error = 0;
			lease_end(queue->lease, &attempt->held->stand, 1);
			if (claim_some(queue, attempt, 1) < 0)
				attempt->held->stand.node[0] = '\0';
			else if (!attempt->again && attempt->full)
				lease_learn(queue->lease, attempt->full);
			attempt->again = false;
		}
		begin += (size_t)done;
	}
	finish(queue, list, count);
}
