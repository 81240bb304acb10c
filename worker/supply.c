/*
 * supply: one take is under way at a time. It asks for what is missing, and waits in the mount when nothing is free: units that
 * others hold may come back.
 */
#include "worker/supply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"

#define SUPPLY_MAX_TAKE 1024
#define SUPPLY_MAX_AHEAD_PER_SLOT 8
#define SUPPLY_SHORT_JOB_NS (50 * NS_PER_MS)	/* shorter: keep one ready for every slot */
#define SUPPLY_FETCH_SHARE 50			/* fetching below a fiftieth of a job's time is not worth holding more for */
#define SUPPLY_MAX_SAMPLE_NS NS_PER_S		/* longer: the take waited for units, not for the network */
#define SUPPLY_FIRST_BACKOFF_NS NS_PER_S
#define SUPPLY_MAX_BACKOFF_NS (30 * NS_PER_S)

static void take_answered(struct session_command *command, char *line);

static void again_fired(struct loop_timer *timer)
{
	(void)timer;		/* the pump runs after every turn of the loop */
}

void supply_init(struct pool *pool, int fd)
{
	struct supply *supply = &pool->supply;

	memset(supply, 0, sizeof(*supply));
	session_init(&supply->session, pool->loop, fd, pool_session_broken, pool);
	list_init(&supply->command.link);
	supply->command.answer = take_answered;
	supply->command.may_end = true;
	list_init(&supply->ready);
	loop_timer_init(&supply->again, again_fired);
}

void supply_release(struct pool *pool)
{
	session_close(&pool->supply.session);
	loop_timer_stop(&pool->supply.again);
}

static void mean(int64_t *value, int64_t sample)
{
	*value = *value ? *value + (sample - *value) / 8 : sample;
}

void supply_job_took(struct pool *pool, int64_t wall_ns)
{
	mean(&pool->supply.job_ns, wall_ns > 0 ? wall_ns : 1);
}

unsigned int supply_ahead(unsigned int slots, int64_t fetch_ns, int64_t job_ns)
{
	int64_t wanted;

	if (job_ns <= 0)
		return 0;
	if (fetch_ns < job_ns / SUPPLY_FETCH_SHARE)
		return 0;
	wanted = (int64_t)((double)fetch_ns * slots * 1.5 / (double)job_ns) + 1;
	if (job_ns < SUPPLY_SHORT_JOB_NS && wanted < slots)
		wanted = slots;
	return wanted < (int64_t)slots * SUPPLY_MAX_AHEAD_PER_SLOT ? (unsigned int)wanted : slots * SUPPLY_MAX_AHEAD_PER_SLOT;
}

static unsigned int units_wanted(const struct pool *pool)
{
	const struct supply *supply = &pool->supply;
	int64_t ahead = pool->options->ahead, wanted;

	if (ahead == OPTIONS_AHEAD_AUTO)
		ahead = supply_ahead(pool->slot_count, supply->fetch_ns, supply->job_ns);
	wanted = (int64_t)(pool->slot_count - pool->busy) + ahead - supply->ready_count - supply->preparing;
	if (wanted > SUPPLY_MAX_TAKE)
		wanted = SUPPLY_MAX_TAKE;
	return wanted > 0 ? (unsigned int)wanted : 0;
}

void supply_pump(struct pool *pool)
{
	struct supply *supply = &pool->supply;
	unsigned int wanted = units_wanted(pool);
	char line[32];

	if (supply->taking || supply->ended || supply->stopped || wanted == 0 || loop_timer_is_set(&supply->again))
		return;
	snprintf(line, sizeof(line), "take %u wait", wanted);
	supply->taking = true;
	supply->sent_ns = clock_now();
	session_send(&supply->session, &supply->command, line);
}

/* ---- a unit on its way to ready ---- */

static void look_work(struct aside_job *job)
{
	unit_look(container_of(job, struct unit, job));
}

static void look_done(struct aside_job *job)
{
	struct unit *unit = container_of(job, struct unit, job);
	struct pool *pool = unit->pool;
	int64_t took = clock_now() - unit->taken_ns;

	pool->supply.preparing--;
	if (pool->supply.stopped) {
		settle_unit(pool, unit, UNIT_RELEASED);
		return;
	}
	mean(&pool->supply.fetch_ns, took < SUPPLY_MAX_SAMPLE_NS ? took : SUPPLY_MAX_SAMPLE_NS);
	list_append(&pool->supply.ready, &unit->link);
	pool->supply.ready_count++;
}

static void add_unit(struct pool *pool, const char *coded)
{
	struct unit *unit;
	int error = unit_new(pool, pool->place, coded, &unit);

	if (error) {
		report_say(pool, LOG_LEVEL_ERROR, "%s: the mount named a unit that can't be worked on: %s", coded, log_strerror(error));
		return;
	}
	pool->counts.taken++;
	unit->taken_ns = pool->supply.sent_ns;
	if (pool->supply.stopped) {
		settle_unit(pool, unit, UNIT_RELEASED);
		return;
	}
	unit->job.work = look_work;
	unit->job.done = look_done;
	pool->supply.preparing++;
	aside_submit(pool->aside, &unit->job);
}

/* "error EIO text"; but a unit may have such a name: then it is there. */
static bool is_error(const struct pool *pool, const char *line)
{
	struct buf path = BUF_INIT;
	struct stat st;
	bool is = false;

	if (strncmp(line, "error E", 7) == 0 && !strchr(line, '\t'))
		is = place_in(pool->place, line, &path) < 0 || lstat(buf_text(&path), &st) < 0;
	buf_release(&path);
	return is;
}

static void take_answered(struct session_command *command, char *line)
{
	struct pool *pool = container_of(command, struct pool, supply.command);
	char *name, *save = NULL;

	pool->supply.taking = false;
	if (!line) {
		pool->supply.ended = true;
		return;
	}
	if (is_error(pool, line)) {
		report_say(pool, LOG_LEVEL_WARN, "can't take units of %s, will try again: %s", pool->place->queue, line + strlen("error "));
		supply_back_off(pool);
		return;
	}
	for (name = strtok_r(line, "\t", &save); name; name = strtok_r(NULL, "\t", &save))
		add_unit(pool, name);
}

struct unit *supply_pop(struct pool *pool)
{
	struct list *link = list_pop(&pool->supply.ready);

	if (!link)
		return NULL;
	pool->supply.ready_count--;
	return list_entry(link, struct unit, link);
}

void supply_push_back(struct pool *pool, struct unit *unit)
{
	list_prepend(&pool->supply.ready, &unit->link);
	pool->supply.ready_count++;
}

void supply_stop(struct pool *pool)
{
	struct unit *unit;

	pool->supply.stopped = true;
	while ((unit = supply_pop(pool)))
		settle_unit(pool, unit, UNIT_RELEASED);
}

void supply_back_off(struct pool *pool)
{
	struct supply *supply = &pool->supply;

	supply->backoff_ns = supply->backoff_ns ? supply->backoff_ns * 2 : SUPPLY_FIRST_BACKOFF_NS;
	if (supply->backoff_ns > SUPPLY_MAX_BACKOFF_NS)
		supply->backoff_ns = SUPPLY_MAX_BACKOFF_NS;
	loop_timer_set(pool->loop, &supply->again, clock_now() + supply->backoff_ns);
}

void supply_recover(struct pool *pool)
{
	pool->supply.backoff_ns = 0;
}

bool supply_empty(const struct pool *pool)
{
	return pool->supply.ready_count == 0 && pool->supply.preparing == 0;
}
