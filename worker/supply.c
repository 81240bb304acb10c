/*
 * supply: one take is under way at a time. It asks for what is missing, and waits in the mount when nothing is free: units that
 * others hold may come back.
 */
#include "worker/supply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/meminfo.h"
#include "base/map.h"
#include "base/pct.h"
#include "worker/job.h"
#include "worker/options.h"
#include "worker/order.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/resume.h"

#define SUPPLY_MAX_TAKE 4096
#define SUPPLY_MAX_AHEAD_PER_SLOT 64
#define SUPPLY_MAX_ARGUMENTS (512u << 10)	/* bytes of inputs in one command */
#define SUPPLY_FIRST_DELAY_NS NS_PER_S		/* before a failed job is tried again; doubles each time */
#define SUPPLY_MAX_DELAY_NS (60 * NS_PER_S)
#define SUPPLY_SHORT_JOB_NS (50 * NS_PER_MS)	/* shorter: keep one ready for every slot */
#define SUPPLY_TOGETHER_NS (10 * NS_PER_MS)	/* what short jobs get through in this time is taken together: one trip for all of them */
#define SUPPLY_FETCH_SHARE 50			/* fetching below a fiftieth of a job's time is not worth holding more for */
#define SUPPLY_MAX_SAMPLE_NS NS_PER_S		/* longer: the take waited for units, not for the network */
#define SUPPLY_SKIM_NS (5 * NS_PER_MS)
#define SUPPLY_MEAN_ENOUGH 64			/* samples after which a mean has forgotten what was before */
#define SUPPLY_FAR_NS (5 * NS_PER_MS)
#define SUPPLY_READ_SHARE 8			/* of the available memory, for inputs read ahead */
#define SUPPLY_WATCH_NS NS_PER_S
#define SUPPLY_FIRST_BACKOFF_NS NS_PER_S
#define SUPPLY_MAX_BACKOFF_NS (30 * NS_PER_S)

static void delay_fired(struct loop_timer *timer);
static void take_answered(struct session_command *command, char *line);
static void claim_answered(struct session_command *command, char *line);

static void again_fired(struct loop_timer *timer)
{
	(void)timer;		/* the pump runs after every turn of the loop */
}

void supply_init(struct pool *pool, int fd)
{
	struct supply *supply = &pool->supply;
	int64_t available = meminfo_bytes("MemAvailable");

	memset(supply, 0, sizeof(*supply));
	session_init(&supply->session, pool->loop, fd, pool_session_broken, pool);
	list_init(&supply->command.link);
	list_init(&supply->ready);
	list_init(&supply->delayed);
	supply->read_limit = available > 0 ? available / SUPPLY_READ_SHARE : 0;
	loop_timer_init(&supply->again, again_fired);
	loop_timer_init(&supply->delay, delay_fired);
}

void supply_release(struct pool *pool)
{
	session_close(&pool->supply.session);
	buf_release(&pool->supply.claiming);
	loop_timer_stop(&pool->supply.again);
	loop_timer_stop(&pool->supply.delay);
}

static void mean(int64_t *value, int64_t sample)
{
	*value = *value ? *value + (sample - *value) / 8 : sample;
}

/* Falls slowly: now and then a claim waits for the mount to look at the queue anew, and the slots must not wait with it. */
static void peak(int64_t *value, int64_t sample)
{
	*value -= *value / 64;
	if (*value < sample)
		*value = sample;
}

void supply_job_took(struct pool *pool, int64_t wall_ns, unsigned int units)
{
	int64_t sample = wall_ns > 0 ? wall_ns : 1;

	/* Of a larger batch the last so many say it all. */
	for (units = units < SUPPLY_MEAN_ENOUGH ? units : SUPPLY_MEAN_ENOUGH; units > 0; units--)
		mean(&pool->supply.job_ns, sample);
}

unsigned int supply_ahead(unsigned int slots, int64_t fetch_ns, int64_t job_ns)
{
	int64_t wanted;

	if (job_ns <= 0)
		return 0;
	if (fetch_ns < job_ns / SUPPLY_FETCH_SHARE)
		return 0;
	wanted = (int64_t)((double)fetch_ns * slots * 1.25 / (double)job_ns) + 1;
	if (job_ns < SUPPLY_SHORT_JOB_NS && wanted < slots)
		wanted = slots;
	return wanted < (int64_t)slots * SUPPLY_MAX_AHEAD_PER_SLOT ? (unsigned int)wanted : slots * SUPPLY_MAX_AHEAD_PER_SLOT;
}

unsigned int supply_together(unsigned int slots, int64_t job_ns)
{
	int64_t together = job_ns > 0 && job_ns < SUPPLY_SHORT_JOB_NS ? SUPPLY_TOGETHER_NS * slots / job_ns : 0;

	return together < (int64_t)slots * SUPPLY_MAX_AHEAD_PER_SLOT ? (unsigned int)together : slots * SUPPLY_MAX_AHEAD_PER_SLOT;
}

/* How many to hold beyond what the free slots can have at once, so that none waits. */
static int64_t units_ahead(const struct pool *pool)
{
	const struct supply *supply = &pool->supply;

	if (pool->options->ahead != OPTIONS_AHEAD_AUTO)
		return pool->options->ahead;
	if (pool->kind->batches && supply->job_ns > 0)
		return (int64_t)pool->batch.now * pool->slot_count;
	return supply_ahead(pool->slot_count, supply->fetch_ns, supply->job_ns);
}

static int64_t units_together(const struct pool *pool)
{
	if (pool->options->ahead != OPTIONS_AHEAD_AUTO || pool->kind->batches)
		return 0;
	return supply_together(pool->slot_count, pool->supply.job_ns);
}

static unsigned int units_wanted(const struct pool *pool)
{
	const struct supply *supply = &pool->supply;
	int64_t each = pool->kind->batches ? pool->batch.now : 1, together = units_together(pool);
	int64_t wanted = (int64_t)(pool->slot_count - pool->busy) * each + units_ahead(pool) + together;

	wanted -= supply->ready_count + supply->preparing;
	if (wanted <= together / 2)	/* what is there lasts, and more will be wanted before long */
		return 0;
	if (pool->options->max_units > 0 && wanted > pool->options->max_units - (int64_t)pool->counts.taken)
		wanted = pool->options->max_units - (int64_t)pool->counts.taken;
	if (wanted > SUPPLY_MAX_TAKE)
		wanted = SUPPLY_MAX_TAKE;
	return wanted > 0 ? (unsigned int)wanted : 0;
}

/* With --order, as long as there are names left: this very one. */
static bool send_claim(struct pool *pool)
{
	struct supply *supply = &pool->supply;
	const char *name = pool->order ? order_next(pool->order) : NULL;
	struct buf line = BUF_INIT;

	if (!name)
		return false;
	buf_reset(&supply->claiming);
	pct_encode_value(&supply->claiming, name, strlen(name));
	buf_addf(&line, "claim %s", buf_text(&supply->claiming));
	if (buf_error(&line) || buf_error(&supply->claiming)) {
		pool_session_broken(pool, -ENOMEM);
	} else {
		supply->taking = true;
		supply->sent_ns = clock_now();
		supply->command.answer = claim_answered;
		supply->command.may_end = false;
		session_send(&supply->session, &supply->command, buf_text(&line));
	}
	buf_release(&line);
	return true;
}

void supply_pump(struct pool *pool)
{
	struct supply *supply = &pool->supply;
	unsigned int wanted = units_wanted(pool);
	char line[32];

	if (pool->options->max_units > 0 && (int64_t)pool->counts.taken >= pool->options->max_units)
		supply->ended = true;
	if (supply->taking || supply->ended || supply->stopped || wanted == 0 || loop_timer_is_set(&supply->again))
		return;
	/* Looks at inputs end in any order: with --order the one before is ready first. */
	if (pool->order && supply->preparing > 0)
		return;
	if (send_claim(pool))
		return;
	snprintf(line, sizeof(line), "take %u wait attempt", wanted);
	supply->command.answer = take_answered;
	supply->command.may_end = true;
	supply->taking = true;
	supply->sent_ns = clock_now();
	session_send(&supply->session, &supply->command, line);
}

/* ---- a unit on its way to ready ---- */

static void become_ready(struct pool *pool, struct unit *unit)
{
	int64_t took;

	unit->ready_ns = clock_now();
	took = unit->ready_ns - unit->taken_ns;
	peak(&pool->supply.fetch_ns, took < SUPPLY_MAX_SAMPLE_NS ? took : SUPPLY_MAX_SAMPLE_NS);
	list_append(&pool->supply.ready, &unit->link);
	pool->supply.ready_count++;
}

static void look_work(struct aside_job *job)
{
	struct unit *unit = container_of(job, struct unit, job);

	unit_look(unit);
	if (unit->pool->options->checkpoint_signal)
		resume_find(unit);
}

static void look_done(struct aside_job *job)
{
	struct unit *unit = container_of(job, struct unit, job);
	struct pool *pool = unit->pool;

	pool->supply.preparing--;
	if (unit->look_ns > 0 && unit->look_tells)
		mean(&pool->supply.look_ns, unit->look_ns);
	if (pool->supply.stopped)
		settle_unit(pool, unit, UNIT_RELEASED);
	else
		become_ready(pool, unit);
}

/*
 * Reading ahead helps when the disk is far; for a file of a near disk it only costs. Each of the units
 * held may take its share of the memory.
 */
static int64_t read_ahead_limit(const struct pool *pool)
{
	const struct supply *supply = &pool->supply;
	unsigned int held = pool->slot_count + supply->ready_count + supply->preparing;

	if (supply->look_ns < SUPPLY_FAR_NS)
		return 0;
	return supply->read_limit / (held > 0 ? held : 1);
}

/* Each look at a file of the unit is a round trip for the disk. What is that short in all does not wait for it: the mount reads ahead by itself. */
static bool is_skimmed(const struct pool *pool)
{
	return pool->supply.job_ns > 0 && pool->supply.job_ns < SUPPLY_SKIM_NS;
}

/* Are few looks under way and nothing is being published? Then a look's time is that of the way to the disk, and not of what stands before it. */
static bool is_quiet(const struct pool *pool)
{
	return pool->supply.preparing <= pool->slot_count && pool->settle.count == 0;
}

void supply_add(struct pool *pool, const char *coded, bool hedge)
{
	struct unit *unit;
	char *name;
	unsigned long attempt = strtoul(coded, &name, 10);
	int error = *name == ' ' ? unit_new(pool, pool->place, name + 1, &unit) : -EPROTO;

	if (error) {
		report_say(pool, LOG_LEVEL_ERROR, "%s: the mount named a unit that can't be worked on: %s", coded, log_strerror(error));
		return;
	}
	pool->counts.taken++;
	unit->attempt = (unsigned int)attempt;
	unit->hedge = hedge;
	unit->taken_ns = pool->supply.sent_ns;
	unit->claimed_ns = clock_now();
	if (pool->supply.stopped) {
		settle_unit(pool, unit, UNIT_RELEASED);
		return;
	}
	unit->skim = is_skimmed(pool);
	if (unit->skim) {
		become_ready(pool, unit);
		return;
	}
	unit->read_ahead = read_ahead_limit(pool);
	unit->job.work = look_work;
	unit->job.done = look_done;
	pool->supply.preparing++;
	unit->look_tells = is_quiet(pool);
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

/* All is done or failed. Who watches asks again after a while: there may be new inputs. */
static void take_ended(struct pool *pool)
{
	if (pool->options->watch)
		loop_timer_set(pool->loop, &pool->supply.again, clock_now() + SUPPLY_WATCH_NS);
	else
		pool->supply.ended = true;
}

static void take_answered(struct session_command *command, char *line)
{
	struct pool *pool = container_of(command, struct pool, supply.command);
	char *name, *save = NULL;

	pool->supply.taking = false;
	if (!line) {
		take_ended(pool);
		return;
	}
	if (is_error(pool, line)) {
		report_say(pool, LOG_LEVEL_WARN, "can't take units of %s, will try again: %s", pool->place->queue, line + strlen("error "));
		supply_back_off(pool);
		return;
	}
	for (name = strtok_r(line, "\t", &save); name; name = strtok_r(NULL, "\t", &save))
		supply_add(pool, name, false);
}

bool supply_is_taken(const char *answer)
{
	return answer && (strncmp(answer, "error EBUSY", 11) == 0 || strncmp(answer, "error ENOENT", 12) == 0);
}

/* "ok 2": its attempt. If it is taken, the next one is claimed. */
static void claim_answered(struct session_command *command, char *line)
{
	struct pool *pool = container_of(command, struct pool, supply.command);
	struct buf unit = BUF_INIT;

	pool->supply.taking = false;
	if (line && strncmp(line, "ok ", 3) == 0) {
		buf_addf(&unit, "%s %s", line + 3, buf_text(&pool->supply.claiming));
		if (buf_error(&unit))
			pool_session_broken(pool, -ENOMEM);
		else
			supply_add(pool, buf_text(&unit), false);
		buf_release(&unit);
	} else if (!supply_is_taken(line)) {
		report_say(pool, LOG_LEVEL_WARN, "unit %s: can't be claimed, will be later: %s", buf_text(&pool->supply.claiming),
			   line ? line : "end of file");
		supply_back_off(pool);
	}
}

/* ---- out ---- */

static struct unit *pop_one(struct supply *supply)
{
	struct list *link = list_pop(&supply->ready);

	if (!link)
		return NULL;
	supply->ready_count--;
	return list_entry(link, struct unit, link);
}

/* Enough of the ready ones for a full batch each; fewer when nothing more is on its way. */
bool supply_ready(const struct pool *pool)
{
	const struct supply *supply = &pool->supply;

	if (supply->ready_count == 0)
		return false;
	return !pool->kind->batches || supply->ready_count >= pool->batch.now || supply->preparing == 0;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* May it share a command with those in `bases`: its output needs a name of its own among theirs. */
static bool fits(struct map *bases, struct unit *unit)
{
	const char *in = base_of(unit->in), *out = base_of(unit->out);

	if (map_get_str(bases, in) || map_get_str(bases, out))
		return false;
	return map_set_str(bases, in, unit, NULL) == 0 && map_set_str(bases, out, unit, NULL) == 0;
}

/* What is left is shared among the slots that have nothing to do. */
static unsigned int batch_share(const struct pool *pool)
{
	unsigned int idle = pool->slot_count - pool->busy, ready = pool->supply.ready_count + pool->supply.preparing;
	unsigned int share = idle > 0 ? (ready + idle - 1) / idle : ready;

	return share < pool->batch.now ? share : pool->batch.now;
}

static void pop_batch(struct pool *pool, struct list *ret_units)
{
	struct supply *supply = &pool->supply;
	unsigned int want = batch_share(pool), count = 0;
	struct list *position, *next;
	struct map bases = MAP_INIT;
	size_t bytes = 0;

	list_for_each_safe(position, next, &supply->ready) {
		struct unit *unit = list_entry(position, struct unit, link);

		if (count > 0 && (unit->alone || bytes + strlen(unit->in) > SUPPLY_MAX_ARGUMENTS || !fits(&bases, unit)))
			continue;
		if (count == 0)
			fits(&bases, unit);
		bytes += strlen(unit->in) + 1 + sizeof(char *);
		list_remove(&unit->link);
		list_append(ret_units, &unit->link);
		supply->ready_count--;
		if (++count >= want || unit->alone)
			break;
	}
	map_release(&bases);
}

void supply_pop(struct pool *pool, struct list *ret_units)
{
	struct unit *unit;

	if (pool->kind->batches) {
		pop_batch(pool, ret_units);
		return;
	}
	unit = pop_one(&pool->supply);
	if (unit)
		list_append(ret_units, &unit->link);
}

void supply_push_back(struct pool *pool, struct unit *unit)
{
	if (pool->supply.stopped) {
		settle_unit(pool, unit, UNIT_RELEASED);
		return;
	}
	list_prepend(&pool->supply.ready, &unit->link);
	pool->supply.ready_count++;
}

/* ---- again ---- */

static void set_delay(struct pool *pool)
{
	struct supply *supply = &pool->supply;

	if (list_empty(&supply->delayed))
		loop_timer_stop(&supply->delay);
	else
		loop_timer_set(pool->loop, &supply->delay, list_entry(supply->delayed.next, struct unit, link)->due_ns);
}

static void delay_fired(struct loop_timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, supply.delay);
	struct supply *supply = &pool->supply;
	int64_t now = clock_now();

	while (!list_empty(&supply->delayed) && list_entry(supply->delayed.next, struct unit, link)->due_ns <= now) {
		struct unit *unit = list_entry(list_pop(&supply->delayed), struct unit, link);

		unit->ready_ns = now;
		list_append(&supply->ready, &unit->link);
		supply->delayed_count--;
		supply->ready_count++;
	}
	set_delay(pool);
}

/* Half to one and a half of the nominal delay: what failed together need not be tried again together. */
static int64_t delay_of(unsigned int failures)
{
	int64_t delay = SUPPLY_FIRST_DELAY_NS;

	while (--failures > 0 && delay < SUPPLY_MAX_DELAY_NS)
		delay *= 2;
	return delay / 2 + (int64_t)(clock_random() % (uint64_t)delay);
}

void supply_failed(struct pool *pool, struct unit *unit)
{
	struct list *position;

	if (++unit->failures > pool->options->retries || pool->supply.stopped) {
		settle_unit(pool, unit, UNIT_FAILED);
		return;
	}
	report_unit(unit, "will be tried again:", buf_text(&unit->why));
	unit->due_ns = clock_now() + delay_of(unit->failures);
	list_for_each(position, &pool->supply.delayed)
		if (list_entry(position, struct unit, link)->due_ns > unit->due_ns)
			break;
	list_append(position, &unit->link);
	pool->supply.delayed_count++;
	set_delay(pool);
}

void supply_died(struct pool *pool, struct unit *unit)
{
	if ((int64_t)++unit->deaths >= pool->place->conf.attempts)
		settle_unit(pool, unit, UNIT_FAILED);
	else
		supply_push_back(pool, unit);
}

void supply_give_back(struct pool *pool)
{
	struct unit *unit;

	while ((unit = pop_one(&pool->supply)))
		settle_unit(pool, unit, UNIT_RELEASED);
}

void supply_stop(struct pool *pool)
{
	struct supply *supply = &pool->supply;
	struct list *link;

	supply->stopped = true;
	supply_give_back(pool);
	while ((link = list_pop(&supply->delayed))) {
		supply->delayed_count--;
		settle_unit(pool, list_entry(link, struct unit, link), UNIT_RELEASED);
	}
	loop_timer_stop(&supply->delay);
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
	return pool->supply.ready_count == 0 && pool->supply.preparing == 0 && pool->supply.delayed_count == 0;
}
