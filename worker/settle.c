/*
 * settle: `done`, `put`, `fail` and `release` lines and what their answers mean.
 *
 * A commit that the disk refuses (it is full, say) is neither done nor the unit's fault: the unit is released, and the next take waits a while.
 */
#include "worker/settle.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/job.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/resume.h"
#include "worker/supply.h"

#define SETTLE_MAX_PUT (16u << 20)	/* bytes of outputs in lines that are not answered */
#define SETTLE_MEASURED 16		/* of short jobs: if fewer in a row than SETTLE_SMALL are small by then, they are let be */
#define SETTLE_GATHER_NS (5 * NS_PER_MS)	/* units that end within it are committed together: nobody waits for a commit but the run's end */
#define SETTLE_SMALL 4			/* so many in a row, and the next one will be small too */

void settle_init(struct pool *pool, int fd)
{
	session_init(&pool->settle.session, pool->loop, fd, pool_session_broken, pool);
	pool->settle.session.together = true;
	pool->settle.session.gather_ns = SETTLE_GATHER_NS;
	pool->settle.count = 0;
	pool->settle.put_bytes = 0;
	pool->settle.small = pool->settle.measured = 0;
}

void settle_flush(struct pool *pool)
{
	pool->settle.session.hurry = pool->busy == 0 || pool->phase != POOL_WORKING;
	session_flush(&pool->settle.session);
}

void settle_release(struct pool *pool)
{
	session_close(&pool->settle.session);
}

static void finish(struct unit *unit)
{
	unit->pool->settle.count--;
	unit_free(unit);
}

static void drop_work(struct aside_job *job)
{
	resume_drop(container_of(job, struct unit, job));
}

static void drop_done(struct aside_job *job)
{
	finish(container_of(job, struct unit, job));
}

/* Done or set aside: nobody goes on with it. */
static void finish_for_good(struct unit *unit)
{
	if (!unit->resumable) {
		finish(unit);
		return;
	}
	unit->job.work = drop_work;
	unit->job.done = drop_done;
	aside_submit(unit->pool->aside, &unit->job);
}

/* --halt counts a failure at once: the next job must not begin while the queue is told. */
static void count_failing(struct unit *unit, bool failing)
{
	if (failing && !unit->failing)
		unit->pool->counts.failing++;
	else if (!failing && unit->failing)
		unit->pool->counts.failing--;
	unit->failing = failing;
}

/* ---- answers: verdict × what was said ---- */

static void send_line(struct unit *unit);

static void commit_good(struct unit *unit, const char *rest)
{
	(void)rest;
	unit->pool->counts.done++;
	supply_recover(unit->pool);
	report_unit(unit, "done", NULL);
	finish_for_good(unit);
}

static void done_before(struct unit *unit, const char *rest)
{
	unit->pool->counts.already++;
	report_unit(unit, "done before", rest);
	finish_for_good(unit);
}

static void fail_good(struct unit *unit, const char *rest)
{
	struct pool *pool = unit->pool;

	(void)rest;
	if (unit->hedge) {	/* the other attempt decides */
		report_unit(unit, "the second attempt failed:", buf_text(&unit->why));
		finish(unit);
		return;
	}
	pool->counts.failed++;
	report_failed(unit);
	finish_for_good(unit);
}

static void claim_lost(struct unit *unit, const char *rest)
{
	unit->pool->counts.lost++;
	report_say(unit->pool, LOG_LEVEL_WARN, "unit %s: the claim was lost, its work is dropped: %s", unit->coded, rest);
	finish(unit);
}

static void input_changed(struct unit *unit, const char *rest)
{
	unit->pool->counts.lost++;
	report_say(unit->pool, LOG_LEVEL_WARN, "unit %s: its work is dropped and it will be done again: %s", unit->coded, rest);
	finish(unit);
}

static void disk_trouble(struct unit *unit, const char *rest)
{
	report_say(unit->pool, LOG_LEVEL_WARN, "unit %s: can't be %s, so it is given back: %s", unit->coded,
		   unit->verdict == UNIT_DONE ? "published" : "set aside", rest);
	supply_back_off(unit->pool);
	unit->verdict = UNIT_RELEASED;
	send_line(unit);
}

static void release_good(struct unit *unit, const char *rest)
{
	(void)rest;
	unit->pool->counts.released++;
	report_unit(unit, "released", NULL);
	finish(unit);
}

/* It will come back by itself when its lease ends, or is no longer ours to give. */
static void release_bad(struct unit *unit, const char *rest)
{
	unit->pool->counts.released++;
	report_say(unit->pool, LOG_LEVEL_INFO, "unit %s: could not be given back: %s", unit->coded, rest);
	finish(unit);
}

static const struct {
	const char *says;
	void (*handle[3])(struct unit *unit, const char *rest);		/* by enum unit_verdict */
} answers[] = {
	{ "ok", { commit_good, fail_good, release_good } },
	{ "already", { done_before, done_before, release_good } },
	{ "error ESTALE", { claim_lost, claim_lost, release_good } },
	{ "error EACCES", { claim_lost, claim_lost, release_good } },
	{ "error ENOENT", { claim_lost, claim_lost, release_good } },
	{ "error EEXIST", { done_before, done_before, release_good } },
	{ "error EAGAIN", { input_changed, input_changed, release_good } },
	{ "", { disk_trouble, disk_trouble, release_bad } },
};

static void settle_answered(struct session_command *command, char *line)
{
	struct unit *unit = container_of(command, struct unit, command);
	size_t i, len;

	if (unit->putting)
		unit->pool->settle.put_bytes -= (size_t)unit->out_bytes;
	unit->putting = false;
	count_failing(unit, false);
	if (unit->overtaken) {
		finish_for_good(unit);	/* the line was on its way when that was found */
		return;
	}
	if (!line)
		line = "error EPROTO end of file";	/* the session says it only for a take */
	for (i = 0; ; i++) {
		len = strlen(answers[i].says);
		if (strncmp(line, answers[i].says, len) == 0 && (len == 0 || line[len] == ' ' || line[len] == '\0'))
			break;
	}
	answers[i].handle[unit->verdict](unit, line + len + (line[len] == ' '));
}

/* ---- lines ---- */

/* The start of the line that commits the unit, and its output if that goes with it. */
static void add_done(const struct unit *unit, struct buf *line)
{
	if (unit->putting)
		buf_addf(line, "put %zu %03o %s", unit->put.len, (unsigned int)unit->staged_mode & 0777, unit->coded);
	else
		buf_addf(line, "done %s", unit->coded);
}

static void send_line(struct unit *unit)
{
	static const char *const verbs[] = { [UNIT_FAILED] = "fail", [UNIT_RELEASED] = "release" };
	struct pool *pool = unit->pool;
	struct buf line = BUF_INIT;

	if (unit->verdict == UNIT_DONE)
		add_done(unit, &line);
	else
		buf_addf(&line, "%s %s", verbs[unit->verdict], unit->coded);
	if (unit->verdict != UNIT_RELEASED && unit->values.len > 0)
		buf_addf(&line, " %s", buf_text(&unit->values));
	unit->command.answer = settle_answered;
	unit->command.may_end = false;
	if (buf_error(&line))
		pool_session_broken(pool, buf_error(&line));
	else if (unit->verdict == UNIT_DONE && unit->putting)
		session_send_data(&pool->settle.session, &unit->command, buf_text(&line), unit->put.data, unit->put.len);
	else
		session_send(&pool->settle.session, &unit->command, buf_text(&line));
	buf_release(&line);
	buf_release(&unit->put);
}

static void publish_work(struct aside_job *job)
{
	unit_publish(container_of(job, struct unit, job));
}

bool settle_outputs_small(const struct pool *pool)
{
	return pool->settle.small >= SETTLE_SMALL;
}

/* Must be looked at, though it costs as much as the job did: else nobody would ever know how large they are. */
static bool is_learning(const struct pool *pool)
{
	return pool->kind->stays && !settle_outputs_small(pool) && pool->settle.measured < SETTLE_MEASURED;
}

static void send_done(struct unit *unit)
{
	struct settle *settle = &unit->pool->settle;

	settle->measured++;
	if (unit->out_bytes >= 0 && unit->out_small)
		settle->small++;
	else if (unit->out_bytes >= 0)
		settle->small = settle->measured = 0;
	unit_forget_staged(unit);
	if (unit->out_dir && unit->out_bytes >= 0)
		buf_addf(&unit->values, " out=%" PRId64, unit->out_bytes);
	if (buf_error(&unit->values))
		buf_reset(&unit->values);	/* the unit counts, not its figures */
	send_line(unit);
}

static void publish_done(struct aside_job *job)
{
	struct unit *unit = container_of(job, struct unit, job);

	if (unit->error)
		disk_trouble(unit, log_strerror(unit->error));
	else
		send_done(unit);
}

/*
 * What a job has just written to this machine's disk is still in its page cache: a small file is read here, without the detour. Of more than the
 * mount is to keep for lines it has not answered none goes with its line.
 */
static bool put_small(struct unit *unit)
{
	struct settle *settle = &unit->pool->settle;

	if (settle->put_bytes + UNIT_MAX_PUT > SETTLE_MAX_PUT || !unit_load(unit))
		return false;
	settle->put_bytes += (size_t)unit->out_bytes;
	send_done(unit);
	return true;
}

static void keep_work(struct aside_job *job)
{
	struct unit *unit = container_of(job, struct unit, job);

	unit->error = resume_keep(unit);
}

static void keep_done(struct aside_job *job)
{
	struct unit *unit = container_of(job, struct unit, job);

	if (unit->error)
		report_say(unit->pool, LOG_LEVEL_WARN, "unit %s: can't keep what its job left, the next attempt begins anew: %s", unit->coded,
			   log_strerror(unit->error));
	send_line(unit);
}

void settle_overtaken(struct unit *unit)
{
	unit->pool->settle.count++;
	finish_for_good(unit);
}

void settle_unit(struct pool *pool, struct unit *unit, enum unit_verdict verdict)
{
	unit->verdict = verdict;
	count_failing(unit, verdict == UNIT_FAILED && !unit->hedge);
	pool->settle.count++;
	if (verdict == UNIT_RELEASED && unit->keep && !pool->broken) {
		unit->job.work = keep_work;
		unit->job.done = keep_done;
		aside_submit(pool->aside, &unit->job);
		return;
	}
	if (verdict != UNIT_DONE || (unit->skim && !unit->staged && !is_learning(pool))) {
		send_line(unit);
		return;
	}
	if (unit->staged && put_small(unit))
		return;
	unit->job.work = publish_work;
	unit->job.done = publish_done;
	aside_submit(pool->aside, &unit->job);
}
