/*
 * claimctl top: queues as they go, on a terminal. Keys are listened to ten times a second, so that a queue that does not answer never holds up `q'.
 */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/site.h"
#include "tools/top.h"

#define KEY_WAIT_MS 100
#define MIN_INTERVAL_NS (NS_PER_S / 5)
#define ESCAPE 27

struct top_words {
	int64_t interval_ns;
};

static struct top_words top_words = { .interval_ns = NS_PER_S };

static const struct args_option table[] = {
	{ 'd', "interval", "TIME", "read the queues so often (1s)" },
	{ 0, NULL, NULL, NULL },
};

static int top_set(void *target, int key, const char *value, struct buf *why)
{
	struct top_words *words = target;

	(void)key;
	if (conf_parse_duration(value, &words->interval_ns) < 0 || words->interval_ns < MIN_INTERVAL_NS) {
		buf_adds(why, "a time of at least 200ms");
		return -EINVAL;
	}
	return 0;
}

/* ---- keys ---- */

static void move_unit(struct top *top, long by)
{
	size_t count = top->queues[top->selected].failed.count;
	long unit = (long)top->unit + by;

	top->unit = unit < 0 ? 0 : (size_t)unit >= count ? (count ? count - 1 : 0) : (size_t)unit;
}

static void move_queue(struct top *top, long by)
{
	long queue = (long)top->selected + by;

	if (queue < 0 || (size_t)queue >= top->queue_count)
		return;
	top->selected = (size_t)queue;
	top->first_node = 0;
}

static void page(struct top *top, long direction)
{
	long rows = (long)top_rows(top);

	if (top->failures)
		move_unit(top, direction * rows);
	else
		top->first_node = direction < 0 && top->first_node < (size_t)rows ? 0 : top->first_node + (size_t)(direction * rows);
}

static void show_failures(struct top *top, bool on)
{
	top->failures = on;
	top->unit = 0;
	top_ask_locked(top);
}

/* True: it is over. */
static bool act_locked(struct top *top, int key)
{
	long by = key == KEY_UP || key == 'k' ? -1 : 1;

	switch (key) {
	case 'q':
	case 'Q':
		return true;
	case KEY_UP:
	case KEY_DOWN:
	case 'j':
	case 'k':
		if (top->failures)
			move_unit(top, by);
		else
			move_queue(top, by);
		break;
	case KEY_NPAGE:
	case ' ':
		page(top, 1);
		break;
	case KEY_PPAGE:
		page(top, -1);
		break;
	case 'f':
		show_failures(top, !top->failures);
		break;
	case ESCAPE:
		show_failures(top, false);
		break;
	case 'r':
		top_ask_locked(top);
		break;
	default:
		break;
	}
	return false;
}

/* ---- the terminal ---- */

/* Why not, for people; NULL: it can be drawn on. */
static const char *terminal_unfit(void)
{
	bool moves;
	int error;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return "standard input and output are no terminal";
	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return "the kind of terminal in TERM is not known";
	moves = tigetstr("cup") && tigetstr("clear");
	del_curterm(cur_term);
	return moves ? NULL : "this terminal (TERM) can't move its cursor";
}

static int begin_screen(void)
{
	if (!newterm(NULL, stdout, stdin))
		return -ENODEV;
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
	timeout(KEY_WAIT_MS);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_BLUE, -1);
		init_pair(2, COLOR_RED, -1);
		init_pair(3, COLOR_YELLOW, -1);
		init_pair(4, COLOR_CYAN, -1);
	}
	return 0;
}

static int run_screen(struct top *top)
{
	bool over = false;
	int key, error = begin_screen();

	if (error)
		return error;
	while (!over) {
		pthread_mutex_lock(&top->lock);
		top_draw_locked(top);
		pthread_mutex_unlock(&top->lock);
		key = getch();	/* the size of the terminal, too, comes as a key */
		pthread_mutex_lock(&top->lock);
		over = act_locked(top, key);
		pthread_mutex_unlock(&top->lock);
	}
	endwin();
	return 0;
}

/* ---- start ---- */

static int add_queue(struct top_queue *queue, const char *dir)
{
	const char *slash = strrchr(dir, '/');
	struct site site;
	int error = site_open("top", dir, &site);

	if (error)
		return error;
	site_release(&site);
	queue->dir = dir;
	queue->name = slash && slash[1] ? slash + 1 : dir;
	return 0;
}

static int top_run(char **operands, void *target)
{
	const struct top_words *words = target;
	static struct top top;		/* the reader may outlive this call */
	const char *unfit;
	int error = 0;

	setlocale(LC_ALL, "");
	top.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	top.interval_ns = words->interval_ns;
	while (operands[top.queue_count])
		top.queue_count++;
	top.queues = calloc(top.queue_count, sizeof(*top.queues));
	for (size_t i = 0; top.queues && !error && i < top.queue_count; i++)
		error = add_queue(&top.queues[i], operands[i]);
	if (error)
		return COMMAND_FAILED;
	unfit = terminal_unfit();
	if (unfit) {
		log_error("top: %s: use `claimctl status %s', or `claimctl status --json' for programs", unfit, operands[0]);
		return COMMAND_FAILED;
	}
	error = top.queues ? top_read_start(&top) : -ENOMEM;
	if (!error)
		error = run_screen(&top);
	if (error)
		log_error("top: can't begin: %s", log_strerror(error));
	return error ? COMMAND_FAILED : 0;
}

const struct command cmd_top = {
	.name = "top",
	.summary = "queues as they go, on a terminal: nodes, rates, failures",
	.usage = "top [-d TIME] QUEUE...",
	.description = "Shows, until q: how far each queue is, at what rate and until when, where its time goes and who works on it. Keys: up and down (or k\n"
		       "and j) choose a queue, f shows the failed units and what they said, PgUp and PgDn turn pages, r reads now.\n",
	.examples = "  claimctl top /mnt/disk/queue\n"
		    "  claimctl top -d 5s /mnt/disk/stage1 /mnt/disk/stage2\n"
		    "  ssh -t laptop claimctl top /mnt/disk/queue\n",
	.options = table,
	.set = top_set,
	.run = top_run,
	.target = &top_words,
};
