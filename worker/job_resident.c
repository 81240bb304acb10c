/*
 * job_resident: a process that stays, one a slot, for programs that load a model first.
 *
 *   worker ──▶ its standard input     in<TAB>out<TAB>name     one unit at a time; bytes below 0x20, 0x7f and % as %XX
 *   worker ◀── its standard output    ok [k=v …] | fail reason
 *
 * `out` is a path below stage/; while outputs are small, one on this machine's disk: what is found there goes to the mount with the line that ends the unit.
 *
 * End of file on its standard input: nothing more is wanted. A process that dies, or says anything else, costs its unit one attempt and
 * is started again for the next; after the queue's `attempts` of them the unit has failed.
 */
#include "worker/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/pct.h"
#include "worker/batch_dir.h"
#include "worker/expand.h"
#include "worker/options.h"
#include "worker/pool.h"
#include "worker/report.h"
#include "worker/slot.h"
#include "worker/usage.h"

#define RESIDENT_MAX_ANSWER 65536
#define RESIDENT_MAX_SHOWN 100	/* bytes of a wrong one */
#define STRING_OF(word) #word
#define STRING(macro) STRING_OF(macro)
#define RESIDENT_MUTE_NS (2 * NS_PER_S)
#define RESIDENT_MEASURED_NS (20 * NS_PER_MS)	/* looks at /proc would cost as much as what takes less */

struct resident {
	struct slot *slot;
	struct loop_fd in_watch;	/* its standard input, watched while some of a question is left */
	int in_fd;
	struct loop_fd out_watch;	/* its standard output */
	struct loop_timer mute_timer;	/* its output is closed and it has not ended yet */
	struct buf question;
	struct buf answer;
	char *said;			/* in `answer`: the line that slot_event(ANSWER) is about */
	bool asked;			/* once at least */
	bool peak_known;		/* what usage_peak() says is of this unit */
	int64_t cpu_ns;			/* usage_cpu_ns() when it was given its unit */
	int64_t children_ns;		/* usage_children_cpu_ns(), the last time it was asked */
};

static int resident_check(const struct worker_options *options, struct buf *why)
{
	int i;

	for (i = 0; options->command[i]; i++) {
		if (!expand_has_word(options->command[i]) && strcmp(options->command[i], EXPAND_INPUTS) != 0)
			continue;
		buf_addf(why, "'%s' changes with the unit, but with --resident the command is started once: it reads in<TAB>out<TAB>name "
			 "from its standard input", options->command[i]);
		return -EINVAL;
	}
	return 0;
}

/* ---- talking ---- */

/* The process is gone or has closed its input: its end says what that means. */
static void write_question(struct resident *resident)
{
	struct slot *slot = resident->slot;
	ssize_t len;

	while (resident->question.len > 0) {
		len = write(resident->in_fd, resident->question.data, resident->question.len);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN) {
			loop_watch(slot->pool->loop, &resident->in_watch, resident->in_fd, EPOLLOUT);
			return;
		}
		if (len < 0)
			break;
		buf_drop(&resident->question, (size_t)len);
	}
	buf_reset(&resident->question);
	loop_unwatch(slot->pool->loop, &resident->in_watch);
}

static void in_ready(struct loop_fd *watch, uint32_t events)
{
	(void)events;
	write_question(container_of(watch, struct resident, in_watch));
}

static void add_field(struct buf *to, const char *text, char end)
{
	pct_encode(to, text, strlen(text));
	buf_addch(to, end);
}

/* A place for the output on this machine's disk. False: it goes to stage/. */
static bool find_local(struct slot *slot, struct unit *unit, struct buf *ret_path)
{
	if (!settle_outputs_small(slot->pool) || (!slot->dir && batch_dir_new(&slot->dir) < 0) || batch_dir_prepare(slot->dir, unit) < 0)
		return false;
	batch_dir_out(slot->dir, unit, ret_path);
	return buf_error(ret_path) == 0;
}

/* Until the first unit it loaded what it needs for all: that counts for it. */
static void begin_usage(struct slot *slot)
{
	struct resident *resident = slot->resident;
	bool is_reset = resident->asked && slot->pool->supply.job_ns >= RESIDENT_MEASURED_NS && usage_reset_peak(slot->pid);

	resident->peak_known = !resident->asked || is_reset;
	resident->cpu_ns = usage_cpu_ns(slot->pid);
	resident->asked = true;
}

static void end_usage(struct slot *slot, const struct unit *unit)
{
	struct resident *resident = slot->resident;
	int64_t children_ns = resident->children_ns;

	if (unit->wall_ns >= RESIDENT_MEASURED_NS)
		resident->children_ns = usage_children_cpu_ns(slot->pid);
	slot->result.user_ns = usage_cpu_ns(slot->pid) - resident->cpu_ns + resident->children_ns - children_ns;
	slot->result.max_rss = resident->peak_known ? usage_peak(slot->pid) : -1;
}

static void resident_ask(struct slot *slot)
{
	struct resident *resident = slot->resident;
	struct unit *unit = slot_first(slot);
	struct buf local = BUF_INIT;

	begin_usage(slot);
	unit->local = find_local(slot, unit, &local);
	add_field(&resident->question, unit->in, '\t');
	add_field(&resident->question, unit->local ? buf_text(&local) : unit->out, '\t');
	add_field(&resident->question, unit->name, '\n');
	write_question(resident);
	buf_release(&local);
}

static void close_output(struct resident *resident)
{
	int fd = resident->out_watch.fd;

	if (fd < 0)
		return;
	loop_unwatch(resident->slot->pool->loop, &resident->out_watch);
	close(fd);
}

/* It may come without a question: what WAITING says of that is in the slot's table. */
static void hear(struct resident *resident, char *line)
{
	struct slot *slot = resident->slot;

	if (slot->state == SLOT_WAITING)
		report_say(slot->pool, LOG_LEVEL_WARN, "'%s' said '%.100s' when it had no unit: it is ended, and started again for the next",
			   slot->pool->options->command[0], line);
	resident->said = line;
	slot_event(slot, SLOT_ANSWER);
	resident->said = NULL;
}

/*
 * What comes behind one that is too long is never an answer: by then the process is told to end. Nor is what came with an answer: the next unit, which may
 * be given at once, was not asked yet.
 */
static void read_answers(struct resident *resident)
{
	static char too_long[] = "(more than " STRING(RESIDENT_MAX_ANSWER) " bytes in a line)";
	char *newline;

	while (resident->answer.len > 0 && (newline = memchr(resident->answer.data, '\n', resident->answer.len))) {
		size_t len = (size_t)(newline + 1 - resident->answer.data);

		*newline = '\0';
		resident->slot->unasked |= resident->answer.len > len;
		hear(resident, resident->answer.data);
		buf_drop(&resident->answer, len);
	}
	if (resident->answer.len > 0 && resident->slot->state == SLOT_WAITING) {	/* the beginning of a line */
		hear(resident, resident->answer.data);
		buf_reset(&resident->answer);
	}
	if (resident->answer.len > RESIDENT_MAX_ANSWER) {
		buf_reset(&resident->answer);
		hear(resident, too_long);
	}
}

/* Most likely it is just ending. If it is not, it is ended: it can't answer any more. */
static void mute(struct resident *resident)
{
	if (resident->slot->state == SLOT_WAITING)
		slot_event(resident->slot, SLOT_STOP);
	else
		loop_timer_set(resident->slot->pool->loop, &resident->mute_timer, clock_now() + RESIDENT_MUTE_NS);
}

static void mute_fired(struct loop_timer *timer)
{
	run_signal_group(container_of(timer, struct resident, mute_timer)->slot->pid, SIGKILL);
}

static void out_ready(struct loop_fd *watch, uint32_t events)
{
	struct resident *resident = container_of(watch, struct resident, out_watch);
	char data[4096];
	ssize_t len;

	(void)events;
	do {
		len = read(watch->fd, data, sizeof(data));
	} while (len < 0 && errno == EINTR);
	if (len > 0) {
		buf_add(&resident->answer, data, (size_t)len);
		read_answers(resident);
	} else if (len == 0 || errno != EAGAIN) {
		close_output(resident);
		mute(resident);
	}
}

/* Nothing it said by now is about a unit that it gets only now. */
static void resident_listen(struct slot *slot)
{
	if (slot->resident->out_watch.fd >= 0)
		out_ready(&slot->resident->out_watch, EPOLLIN);
}

/* ---- life ---- */

static void resident_release(struct slot *slot)
{
	struct resident *resident = slot->resident;

	if (!resident)
		return;
	loop_unwatch(slot->pool->loop, &resident->in_watch);
	loop_timer_stop(&resident->mute_timer);
	io_close(&resident->in_fd);
	close_output(resident);
	buf_release(&resident->question);
	buf_release(&resident->answer);
	free(resident);
	slot->resident = NULL;
	batch_dir_unref(slot->dir);
	slot->dir = NULL;
}

static int resident_new(struct slot *slot, int in_fd, int out_fd)
{
	struct resident *resident = calloc(1, sizeof(*resident));
	int error;

	if (!resident)
		return -ENOMEM;
	resident->slot = slot;
	resident->in_fd = -1;
	loop_fd_init(&resident->in_watch, in_ready);
	loop_fd_init(&resident->out_watch, out_ready);
	loop_timer_init(&resident->mute_timer, mute_fired);
	error = io_set_nonblock(in_fd, true);
	if (!error)
		error = io_set_nonblock(out_fd, true);
	if (!error)
		error = loop_watch(slot->pool->loop, &resident->out_watch, out_fd, EPOLLIN);
	if (error) {
		free(resident);
		return error;
	}
	resident->in_fd = in_fd;
	slot->resident = resident;
	return 0;
}

static int resident_spawn(struct slot *slot, int in_fd, int out_fd)
{
	struct pool *pool = slot->pool;
	const struct expand_unit words = { .job = slot->job, .queue = pool->place->queue };
	char **envp = NULL;
	int error = expand_environment(pool->environment, &words, &envp);

	if (!error)
		error = slot_spawn(slot, pool->options->command, envp, in_fd, out_fd);
	expand_free(envp);
	return error;
}

static int resident_start(struct slot *slot)
{
	int to[2] = { -1, -1 }, from[2] = { -1, -1 }, error;

	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0) {
		error = -errno;
		goto out;
	}
	error = resident_new(slot, to[1], from[0]);
	if (error)
		goto out;
	to[1] = from[0] = -1;
	error = resident_spawn(slot, to[0], from[1]);
	if (error)
		resident_release(slot);
	else
		resident_ask(slot);
out:
	io_close(&to[0]);
	io_close(&to[1]);
	io_close(&from[0]);
	io_close(&from[1]);
	return error;
}

static void resident_dismiss(struct slot *slot)
{
	loop_unwatch(slot->pool->loop, &slot->resident->in_watch);
	io_close(&slot->resident->in_fd);
}

/* ---- what it says ---- */

static void say_failed(struct slot *slot, struct unit *unit, const char *reason)
{
	struct buf why = BUF_INIT;

	buf_adds(&why, reason);
	if (pct_decode(why.data ? why.data : (char *)"") < 0) {
		buf_reset(&why);
		buf_adds(&why, reason);
	}
	report_said(unit, &slot->result, buf_text(&why), &slot->tail);
	buf_release(&why);
	supply_failed(slot->pool, unit);
}

/* Its process does not keep to the rules: it is replaced. */
static void misbehave(struct slot *slot, struct unit *unit, const char *line, const char *not)
{
	struct buf why = BUF_INIT;

	buf_adds(&why, "the resident command answered '");
	pct_encode(&why, line, strnlen(line, RESIDENT_MAX_SHOWN));
	buf_addf(&why, "' and not %s", not);
	report_say(slot->pool, LOG_LEVEL_WARN, "unit %s: %s", unit->coded, buf_text(&why));
	slot_event(slot, SLOT_KILL);
	report_said(unit, &slot->result, buf_text(&why), &slot->tail);
	buf_release(&why);
	supply_died(slot->pool, unit);
}

static bool begins(const char *line, const char *word)
{
	size_t len = strlen(word);

	return strncmp(line, word, len) == 0 && (line[len] == '\0' || line[len] == ' ' || line[len] == '\t');
}

/* A name behind the answer, "ok<TAB>name", which is cut off: is it that of this unit, as it was asked? Who says none is believed. */
static bool is_about(const struct unit *unit, char *line)
{
	char *tab = strrchr(line, '\t');
	struct buf name = BUF_INIT;
	bool same;

	if (!tab)
		return true;
	pct_encode(&name, unit->name, strlen(unit->name));
	same = !buf_error(&name) && strcmp(buf_text(&name), tab + 1) == 0;
	if (same)
		*tab = '\0';
	buf_release(&name);
	return same || !begins(line, "ok");	/* a reason may have tabs */
}

/* What it left on this machine's disk for this unit, if that is where its output goes. */
static void take_local(struct slot *slot, struct unit *unit, bool good)
{
	if (!unit->local || !slot->dir)
		return;
	batch_dir_find_out(slot->dir, unit);
	if (!good)
		unit_forget_staged(unit);
}

static void resident_answered(struct slot *slot)
{
	struct unit *unit = slot_take_unit(slot);
	char *line = slot->resident->said;
	bool about = is_about(unit, line), good = about && begins(line, "ok");

	take_local(slot, unit, good);
	unit->wall_ns = clock_now() - slot->started_ns;
	supply_job_took(slot->pool, unit->wall_ns, 1);
	slot_log_unit(slot, unit, good ? "done" : "failed");
	end_usage(slot, unit);
	if (good) {
		report_wall(unit, &slot->result, line[2] == ' ' ? line + 3 : NULL);
		settle_unit(slot->pool, unit, UNIT_DONE);
	} else if (!about) {
		misbehave(slot, unit, line, "with this unit's name");
	} else if (begins(line, "fail")) {
		say_failed(slot, unit, line[4] ? line + 5 : "no reason given");
	} else {
		misbehave(slot, unit, line, "`ok' or `fail REASON'");
	}
}

static void resident_ended(struct slot *slot)
{
	struct unit *unit = slot_take_unit(slot);

	if (unit)
		take_local(slot, unit, false);
	resident_release(slot);
	if (!unit)
		return;
	unit->wall_ns = clock_now() - slot->started_ns;
	if (slot_end_overtaken(slot, unit))
		return;
	slot_log_unit(slot, unit, slot->reason == SLOT_STOPPED ? "released" : "failed");
	if (slot->reason == SLOT_STOPPED) {
		settle_unit(slot->pool, unit, UNIT_RELEASED);
		return;
	}
	report_values(unit, &slot->result, &slot->tail, slot->reason == SLOT_TIMED_OUT);
	supply_died(slot->pool, unit);
}

const struct job_kind job_resident = {
	.check = resident_check,
	.start = resident_start,
	.listen = resident_listen,
	.ask = resident_ask,
	.ended = resident_ended,
	.answered = resident_answered,
	.dismiss = resident_dismiss,
	.release = resident_release,
	.stays = true,
};
