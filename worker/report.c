/*
 * report: lines for people on standard error, values for the queue.
 */
#include "worker/report.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/pct.h"
#include "worker/options.h"
#include "worker/pool.h"

#define SHELL_NOT_FOUND 127
#define SHELL_NOT_EXECUTABLE 126
#define REPORT_MAX_VALUES 8192		/* of a resident command's own */
#define REPORT_MAX_WORDS 200		/* of standard error in one line */

void report_say(struct pool *pool, enum log_level level, const char *format, ...)
{
	va_list args;

	if (level > log_get_level())
		return;
	bar_hide(pool->bar);
	va_start(args, format);
	log_message(level, format, args);
	va_end(args);
}

/* ---- why a unit failed ---- */

/* The last line with something in it. */
static void add_last_words(struct buf *to, const char *text, size_t len)
{
	size_t start;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ' || text[len - 1] == '\r'))
		len--;
	for (start = len; start > 0 && text[start - 1] != '\n'; start--)
		;
	if (len == start)
		return;
	if (len - start > REPORT_MAX_WORDS)
		len = start + REPORT_MAX_WORDS;
	buf_adds(to, ": ");
	buf_add(to, text + start, len - start);
}

static void add_why(struct unit *unit, const struct run_result *result, bool timed_out, const struct buf *words)
{
	struct buf *why = &unit->why;

	buf_reset(why);
	if (timed_out)
		buf_addf(why, "timed out after %g s", (double)unit->pool->options->timeout_ns / NS_PER_S);
	else if (result->out_of_memory)
		buf_addf(why, "needed more than the %.4g MiB of --memory", (double)unit->pool->options->memory / (1 << 20));
	else if (WIFSIGNALED(result->status))
		buf_addf(why, "killed by signal %d (%s)", WTERMSIG(result->status), strsignal(WTERMSIG(result->status)));
	else
		buf_addf(why, "exit status %d", WEXITSTATUS(result->status));
	if (words->len > 0)
		add_last_words(why, words->data, words->len);
}

/* ---- values ---- */

static void add_bytes(struct buf *to, const char *name, int64_t bytes)
{
	if (bytes >= 0)
		buf_addf(to, " %s=%" PRId64, name, bytes);
}

/* Nothing is said of what took no time. */
static void add_time(struct buf *to, const char *name, int64_t ns)
{
	if (ns >= 100 * NS_PER_US)
		buf_addf(to, " %s=%.4f", name, (double)ns / NS_PER_S);
}

static void add_times(struct buf *to, const struct run_result *result)
{
	add_time(to, "spawn", result->spawn_ns);
	add_time(to, "rwait", result->read_wait_ns);
	add_time(to, "wwait", result->write_wait_ns);
	add_time(to, "ready", result->ready_ns);
	add_time(to, "claim", result->claim_ns);
	add_time(to, "look", result->look_ns);
	add_time(to, "turn", result->turn_ns);
	add_time(to, "idle", result->idle_ns);
	add_time(to, "tail", result->tail_ns);
}

static void add_stderr(struct buf *to, const char *text, size_t len)
{
	if (len == 0)
		return;
	buf_adds(to, " stderr=");
	pct_encode_value(to, text, len);
}

void report_values(struct unit *unit, const struct run_result *result, const struct tail *tail, bool timed_out)
{
	struct buf *to = &unit->values, words = BUF_INIT;

	buf_reset(to);
	if (WIFSIGNALED(result->status))
		buf_addf(to, "signal=%d", WTERMSIG(result->status));
	else
		buf_addf(to, "status=%d", WEXITSTATUS(result->status));
	buf_addf(to, " wall=%.3f user=%.3f sys=%.3f", (double)result->wall_ns / NS_PER_S, (double)result->user_ns / NS_PER_S,
		 (double)result->sys_ns / NS_PER_S);
	add_bytes(to, "maxrss", result->max_rss);
	add_bytes(to, "grouppeak", result->group_peak > 0 ? result->group_peak : -1);
	add_bytes(to, "read", result->read_bytes);
	add_bytes(to, "written", result->written_bytes);
	add_times(to, result);
	if (tail) {
		tail_text(tail, &words);
		add_why(unit, result, timed_out, &words);
		if (timed_out || result->out_of_memory)
			buf_addf(&words, "%sclaim-worker: %.*s\n", words.len > 0 && words.data[words.len - 1] != '\n' ? "\n" : "",
				 (int)strcspn(buf_text(&unit->why), ":"), buf_text(&unit->why));
		add_stderr(to, words.data, words.len);
	}
	buf_release(&words);
}

/* ---- resident commands ---- */

static bool value_good(const char *word, size_t len)
{
	size_t i, name = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");

	if (name == 0 || name >= len || word[name] != '=' || word[0] < 'a')
		return false;
	for (i = name; i < len; i++) {
		unsigned char c = (unsigned char)word[i];

		if (c < 0x20 || c == 0x7f || (c == '%' && (i + 2 >= len || !isxdigit((unsigned char)word[i + 1]) ||
							     !isxdigit((unsigned char)word[i + 2]))))
			return false;
	}
	return true;
}

static bool values_good(const char *values)
{
	size_t len;

	if (strlen(values) > REPORT_MAX_VALUES)
		return false;
	for (; *values; values += len + (values[len] == ' ')) {
		len = strcspn(values, " ");
		if (len > 0 && !value_good(values, len))
			return false;
	}
	return true;
}

static void add_answered(struct unit *unit, const struct run_result *times, int status)
{
	struct buf *to = &unit->values;

	buf_reset(to);
	buf_addf(to, "status=%d wall=%.3f", status, (double)unit->wall_ns / NS_PER_S);
	add_time(to, "user", times->user_ns);
	add_bytes(to, "maxrss", times->max_rss);
	add_times(to, times);
}

void report_wall(struct unit *unit, const struct run_result *times, const char *values)
{
	struct buf *to = &unit->values;

	add_answered(unit, times, 0);
	if (values && values_good(values))
		buf_addf(to, " %s", values);
}

void report_said(struct unit *unit, const struct run_result *times, const char *reason, const struct tail *tail)
{
	struct buf words = BUF_INIT;

	add_answered(unit, times, 1);
	tail_text(tail, &words);
	if (words.len > 0 && words.data[words.len - 1] != '\n')
		buf_addch(&words, '\n');
	buf_adds(&words, reason);
	add_stderr(&unit->values, words.data, words.len);
	buf_reset(&unit->why);
	buf_adds(&unit->why, reason);
	buf_release(&words);
}

/* ---- a command that can't be run ---- */

void report_start_failure(struct unit *unit, int error)
{
	const struct worker_options *options = unit->pool->options;

	buf_reset(&unit->why);
	buf_addf(&unit->why, "can't run '%s' for it: %s", options->command[0], log_strerror(error));
	buf_reset(&unit->values);
	buf_addf(&unit->values, "status=%d", error == -ENOENT ? SHELL_NOT_FOUND : SHELL_NOT_EXECUTABLE);
	add_stderr(&unit->values, buf_text(&unit->why), unit->why.len);
}

/* ---- lines ---- */

void report_unit(struct unit *unit, const char *what, const char *detail)
{
	struct pool *pool = unit->pool;

	if (!pool->options->verbose)
		return;
	if (detail && *detail)
		report_say(pool, LOG_LEVEL_INFO, "%s %s (%s)", what, unit->name, detail);
	else if (unit->wall_ns > 0)
		report_say(pool, LOG_LEVEL_INFO, "%s %s (%.2f s)", what, unit->name, (double)unit->wall_ns / NS_PER_S);
	else
		report_say(pool, LOG_LEVEL_INFO, "%s %s", what, unit->name);
}

void report_failed(struct unit *unit)
{
	report_say(unit->pool, LOG_LEVEL_WARN, "unit %s failed: %s", unit->name, buf_text(&unit->why));
}

/* One write a line, so that lines of jobs don't mix. */
void report_stderr(struct pool *pool, const struct unit *unit, const char *line, size_t len)
{
	const char *name = unit ? unit->name : pool->options->command[0];
	struct buf text = BUF_INIT;

	pct_encode(&text, name, strlen(name));
	buf_adds(&text, ": ");
	buf_add(&text, line, len);
	buf_addch(&text, '\n');
	bar_hide(pool->bar);
	if (!buf_error(&text))
		io_write_all(STDERR_FILENO, text.data, text.len);
	buf_release(&text);
}

void report_summary(struct pool *pool)
{
	const struct pool_counts *counts = &pool->counts;

	if (pool->options->verbose)
		log_info("%" PRIu64 " done, %" PRIu64 " done before by others, %" PRIu64 " failed, %" PRIu64 " lost, %" PRIu64 " released",
			 counts->done, counts->already, counts->failed, counts->lost, counts->released);
	if (counts->failed > 0)
		log_warn("%" PRIu64 " unit%s failed: %s/failed says why; `claimctl retry %s --all' makes them work again", counts->failed,
			 counts->failed == 1 ? "" : "s", pool->place->queue, pool->place->queue);
}
