/*
 * bar: progress.json is read aside once a second, and the line drawn anew.
 */
#include "worker/bar.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "worker/aside.h"
#include "worker/options.h"
#include "worker/pool.h"

#define BAR_INTERVAL_NS NS_PER_S
#define BAR_MAX_JSON (4u << 20)
#define BAR_DEFAULT_COLUMNS 80
#define BAR_MIN_COLUMNS 20
#define BAR_MAX_WIDTH 40
#define BAR_MIN_WIDTH 10
#define BAR_CLEAR "\r\033[K"

struct bar {
	struct pool *pool;
	struct loop_timer timer;
	struct aside_job job;
	bool reading;
	bool shown;
	char *path;
	struct buf text;	/* the job's while `reading` */
	struct bar_facts facts;
};

/* ---- facts ---- */

static double number_of(const cJSON *object, const char *name, double otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

int bar_read_facts(const char *json, size_t len, struct bar_facts *ret_facts)
{
	cJSON *root = cJSON_ParseWithLength(json, len);
	const cJSON *units, *rate;

	if (!root)
		return -EINVAL;
	units = cJSON_GetObjectItemCaseSensitive(root, "units");
	rate = cJSON_GetObjectItemCaseSensitive(root, "rate");
	ret_facts->total = number_of(units, "total", -1);
	ret_facts->done = number_of(units, "done", 0);
	ret_facts->failed = number_of(units, "failed", 0);
	ret_facts->rate = number_of(rate, "last_minute", -1);
	ret_facts->eta_s = number_of(root, "eta", -1);
	cJSON_Delete(root);
	return 0;
}

/* ---- the line ---- */

static void add_eta(struct buf *to, double seconds)
{
	if (seconds < 0 || seconds > 1e9)
		return;
	if (seconds < 3600)
		buf_addf(to, "  %d:%02d to go", (int)seconds / 60, (int)seconds % 60);
	else if (seconds < 86400 * 2)
		buf_addf(to, "  %d:%02d h to go", (int)seconds / 3600, (int)seconds % 3600 / 60);
	else
		buf_addf(to, "  %d days to go", (int)(seconds / 86400));
}

static void add_blocks(struct buf *to, const struct bar_facts *facts, unsigned int width)
{
	double share = facts->total > 0 ? facts->done / facts->total : 1;
	unsigned int i, full = share >= 1 ? width : share > 0 ? (unsigned int)(share * width) : 0;

	buf_addch(to, '[');
	for (i = 0; i < width; i++)
		buf_addch(to, i < full ? '#' : '.');
	buf_adds(to, "] ");
}

void bar_format(const struct bar_facts *facts, unsigned int columns, struct buf *to)
{
	struct buf words = BUF_INIT;
	size_t start = to->len;

	if (facts->total >= 0)
		buf_addf(&words, "%.0f/%.0f", facts->done, facts->total);
	if (facts->failed > 0)
		buf_addf(&words, "  %.0f failed", facts->failed);
	if (facts->rate > 0)
		buf_addf(&words, facts->rate >= 1 ? "  %.1f/s" : "  %.1f/min", facts->rate >= 1 ? facts->rate : facts->rate * 60);
	if (facts->total > facts->done + facts->failed)
		add_eta(&words, facts->eta_s);
	buf_addf(&words, "  here: %u running, %llu done", facts->running, facts->done_here);
	if (facts->total >= 0 && columns > words.len + BAR_MIN_WIDTH + 3) {
		size_t width = columns - words.len - 3;

		add_blocks(to, facts, width > BAR_MAX_WIDTH ? BAR_MAX_WIDTH : (unsigned int)width);
	}
	buf_adds(to, buf_text(&words));
	buf_release(&words);
	if (!buf_error(to) && to->len - start > columns)
		buf_truncate(to, start + columns);
}

static unsigned int terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < BAR_MIN_COLUMNS)
		return BAR_DEFAULT_COLUMNS;
	return size.ws_col;
}

static void draw(struct bar *bar)
{
	struct buf line = BUF_INIT;

	bar->facts.running = bar->pool->busy;
	bar->facts.done_here = bar->pool->counts.done + bar->pool->counts.already;
	buf_adds(&line, BAR_CLEAR);
	bar_format(&bar->facts, terminal_columns() - 1, &line);
	if (!buf_error(&line))
		io_write_all(STDERR_FILENO, line.data, line.len);
	buf_release(&line);
	bar->shown = true;
}

/* ---- life ---- */

static void read_work(struct aside_job *job)
{
	struct bar *bar = container_of(job, struct bar, job);

	buf_reset(&bar->text);
	if (io_read_file(bar->path, BAR_MAX_JSON, &bar->text) < 0)
		buf_reset(&bar->text);
}

static void read_done(struct aside_job *job)
{
	struct bar *bar = container_of(job, struct bar, job);

	bar->reading = false;
	if (bar->text.len > 0)
		bar_read_facts(bar->text.data, bar->text.len, &bar->facts);
	draw(bar);
}

static void timer_fired(struct loop_timer *timer)
{
	struct bar *bar = container_of(timer, struct bar, timer);

	loop_timer_set(bar->pool->loop, &bar->timer, clock_now() + BAR_INTERVAL_NS);
	if (bar->reading) {
		draw(bar);
		return;
	}
	bar->reading = true;
	aside_submit(bar->pool->aside, &bar->job);
}

int bar_new(struct pool *pool, struct bar **ret_bar)
{
	struct bar *bar;

	*ret_bar = NULL;
	if (pool->options->quiet || !isatty(STDERR_FILENO))
		return 0;
	bar = calloc(1, sizeof(*bar));
	if (!bar || asprintf(&bar->path, "%s/progress.json", pool->place->queue) < 0) {
		free(bar);
		return -ENOMEM;
	}
	bar->pool = pool;
	bar->facts.total = bar->facts.rate = bar->facts.eta_s = -1;
	bar->job.work = read_work;
	bar->job.done = read_done;
	list_init(&bar->job.link);
	loop_timer_init(&bar->timer, timer_fired);
	loop_timer_set(pool->loop, &bar->timer, clock_now());
	*ret_bar = bar;
	return 0;
}

void bar_hide(struct bar *bar)
{
	if (!bar || !bar->shown)
		return;
	bar->shown = false;
	io_write_all(STDERR_FILENO, BAR_CLEAR, strlen(BAR_CLEAR));
}

/* The queue said so. */
static bool all_ended(const struct pool *pool)
{
	return pool->supply.ended && !pool->options->max_units && !pool->broken;
}

void bar_end(struct bar *bar)
{
	if (!bar || !loop_timer_is_set(&bar->timer))
		return;
	loop_timer_stop(&bar->timer);
	if (all_ended(bar->pool) && bar->facts.total >= bar->facts.failed)
		bar->facts.done = bar->facts.total - bar->facts.failed;	/* newer than what was read */
	draw(bar);
	bar->shown = false;
	io_write_all(STDERR_FILENO, "\n", 1);
}

void bar_free(struct bar *bar)
{
	if (!bar)
		return;
	loop_timer_stop(&bar->timer);
	free(bar->path);
	buf_release(&bar->text);
	free(bar);
}
