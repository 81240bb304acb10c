/*
 * top_draw: the screen, from 40×10 up. Names are other nodes' word: what is no printable character of the terminal's is shown as '?'.
 *
 *   claimctl top                                                     12:03:20
 *    QUEUE           DONE                                     RATE       ETA      a row a queue, the selected one marked
 *    …
 *   counts, where the time went                                                   of the selected queue
 *    NODE            STATE  BEAT   HELD   DONE   FAILED   LOST                    or, after 'f', its failed units and a ticket
 *    …
 *   keys
 */
#include "tools/top.h"

#include <curses.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/log.h"

enum { PAIR_DONE = 1, PAIR_FAILED, PAIR_CLAIMED, PAIR_SYSTEM };

#define OLD_NS (10 * NS_PER_S)		/* so long without an answer is said */
#define MAX_TEXT 512

/* ---- text ---- */

/* As much of `text` as has room in `columns`, and blanks up to there. */
static void put_padded(const char *text, int columns)
{
	mbstate_t state = { 0 };
	wchar_t wide;
	size_t len = strlen(text), used;
	int width;

	while (len > 0 && columns > 0) {
		used = mbrtowc(&wide, text, len, &state);
		width = used > 0 && used <= len ? wcwidth(wide) : -1;
		if (used == 0 || used > len) {
			memset(&state, 0, sizeof(state));
			used = 1;
		}
		if (width > columns)
			break;
		if (width < 0)
			addch('?');
		else
			addnstr(text, (int)used);
		columns -= width < 0 ? 1 : width;
		text += used;
		len -= used;
	}
	for (; columns > 0; columns--)
		addch(' ');
}

/* A row of the screen, cut at its end. */
static void put_row(int y, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_row(int y, const char *format, ...)
{
	char text[MAX_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	move(y, 0);
	put_padded(text, COLS);
}

/* At most nine columns. */
static const char *duration(double seconds, char room[32])
{
	if (!(seconds >= 0) || seconds > 3e9)
		snprintf(room, 32, "-");
	else if (seconds < 100)
		snprintf(room, 32, "%.0fs", seconds);
	else if (seconds < 6000)
		snprintf(room, 32, "%dm%02ds", (int)seconds / 60, (int)seconds % 60);
	else if (seconds < 360000)
		snprintf(room, 32, "%dh%02dm", (int)seconds / 3600, (int)seconds % 3600 / 60);
	else
		snprintf(room, 32, "%.0fd", seconds / 86400);
	return room;
}

static const char *rate(double per_second, char room[32])
{
	if (per_second < 0)
		snprintf(room, 32, "-");
	else if (per_second >= 1)
		snprintf(room, 32, "%.1f/s", per_second);
	else
		snprintf(room, 32, "%.1f/min", per_second * 60);
	return room;
}

/* ---- bars ---- */

struct part {
	double share;			/* of the whole */
	int pair;
	char sign;			/* where there are no colours */
};

/* In exactly `columns`; the rounded ends of the parts add up. */
static void put_bar(const struct top *top, const struct part *parts, size_t count, int columns)
{
	double sum = 0;
	int at = 0, end;
	size_t i;

	for (i = 0; i < count; i++) {
		sum += parts[i].share;
		end = (int)(fmin(sum, 1) * columns + 0.5);
		/* Something failed is never nothing. */
		if (end == at && at < columns && parts[i].share > 0 && parts[i].pair == PAIR_FAILED)
			end++;
		attron(COLOR_PAIR(parts[i].pair));
		for (; at < end; at++) {
			if (top->utf8 && has_colors())
				addstr("\xe2\x96\x88");
			else
				addch((chtype)parts[i].sign);
		}
		attroff(COLOR_PAIR(parts[i].pair));
	}
	attron(A_DIM);
	for (; at < columns; at++)
		addch('.');
	attroff(A_DIM);
}

static void put_progress_bar(const struct top *top, const struct progress_facts *facts, int columns)
{
	double total = fmax(facts->total, 1);
	const struct part parts[] = {
		{ facts->done / total, PAIR_DONE, '#' }, { facts->failed / total, PAIR_FAILED, 'x' }, { facts->claimed / total, PAIR_CLAIMED, '>' },
	};

	put_bar(top, parts, sizeof(parts) / sizeof(parts[0]), columns);
}

/* ---- the queues ---- */

static void put_queue(const struct top *top, const struct top_queue *queue, bool selected, int y)
{
	int name = COLS < 60 ? 12 : 18, bar = COLS - name - 48;
	const struct progress_facts *facts = &queue->facts;
	char text[32], more[32];

	move(y, 0);
	attron(selected ? A_BOLD : 0);
	addch(selected ? '>' : ' ');
	put_padded(queue->name, name);
	addch(' ');
	if (!queue->known) {
		put_padded(queue->error ? log_strerror(queue->error) : "asking ...", COLS - name - 2);
	} else {
		if (bar > 4)
			put_progress_bar(top, facts, bar);
		printw(" %5.1f%% %8.0f/%-8.0f ", facts->total > 0 ? floor(facts->done / facts->total * 1000) / 10 : 0.0, facts->done, facts->total);
		printw("%10s %8s", rate(facts->rate_minute, text), facts->total > 0 ? duration(facts->eta, more) : "-");
	}
	attroff(A_BOLD);
}

static int draw_queues(const struct top *top, int y)
{
	int room = (LINES - 8) / 2, name = COLS < 60 ? 12 : 18, bar = COLS - name - 48, i;
	size_t first = 0;

	room = room < 1 ? 1 : room;
	if (top->selected >= (size_t)room)
		first = top->selected - (size_t)room + 1;
	move(y++, 0);
	attron(A_DIM);
	printw(" %-*s %-*s %5s  %8s/%-8s %10s %8s", name, "QUEUE", bar > 4 ? bar : 0, "", "", "DONE", "ALL", "RATE", "ETA");
	attroff(A_DIM);
	for (i = 0; i < room && first + (size_t)i < top->queue_count; i++)
		put_queue(top, &top->queues[first + (size_t)i], first + (size_t)i == top->selected, y++);
	return y;
}

/* ---- the selected one ---- */

static int draw_time(const struct top *top, const struct progress_facts *facts, int y)
{
	static const int pairs[] = { PAIR_DONE, PAIR_SYSTEM, PAIR_CLAIMED, PAIR_FAILED };
	static const char signs[] = "#+>x";
	struct part parts[PROGRESS_PARTS];
	struct buf text = BUF_INIT;
	double sum = 0;
	size_t i, count;

	for (count = 0; count < PROGRESS_PARTS && facts->parts[count].name; count++)
		sum += facts->parts[count].seconds;
	if (!(sum > 0))
		return y + 1;
	buf_adds(&text, "time:");
	for (i = 0; i < count; i++) {
		parts[i] = (struct part){ facts->parts[i].seconds / sum, pairs[i % 4], signs[i % 4] };
		if (parts[i].share >= 0.005)
			buf_addf(&text, " %s %.0f%% ", facts->parts[i].name, parts[i].share * 100);
	}
	put_row(y, "%s", buf_text(&text));
	if (COLS > (int)text.len + 8) {
		move(y, (int)text.len + 1);
		put_bar(top, parts, count, COLS - (int)text.len - 2);
	}
	buf_release(&text);
	if (facts->advice && LINES > 12)
		put_row(++y, "%s", facts->advice);
	return y + 1;
}

static int draw_selected(const struct top *top, const struct top_queue *queue, int y)
{
	const struct progress_facts *facts = &queue->facts;
	char text[32], hedges[64] = "";

	if (!queue->known)
		return y;
	if (facts->hedges_won + facts->hedges_lost > 0)
		snprintf(hedges, sizeof(hedges), "  hedges %.0f, %.0f won", facts->hedges_won + facts->hedges_lost, facts->hedges_won);
	put_row(y, "todo %.0f  claimed %.0f  done %.0f  failed %.0f  overall %s%s", facts->todo, facts->claimed, facts->done, facts->failed,
		rate(facts->rate_overall, text), hedges);
	if (facts->failed > 0) {
		attron(COLOR_PAIR(PAIR_FAILED));
		mvprintw(y, (int)snprintf(NULL, 0, "todo %.0f  claimed %.0f  done %.0f  ", facts->todo, facts->claimed, facts->done), "failed %.0f",
			 facts->failed);
		attroff(COLOR_PAIR(PAIR_FAILED));
	}
	y++;
	y = draw_time(top, facts, y);
	if (queue->error || clock_now() - queue->read_ns > OLD_NS) {
		attron(COLOR_PAIR(PAIR_FAILED));
		put_row(y++, "! these figures are %s old: %s", duration((double)((clock_now() - queue->read_ns) / NS_PER_S), text),
			queue->error ? log_strerror(queue->error) : "the mount does not answer");
		attroff(COLOR_PAIR(PAIR_FAILED));
	} else if (facts->warnings[0]) {
		put_row(y++, "! %s", facts->warnings[0]);
	}
	return y;
}

size_t top_rows(const struct top *top)
{
	int rows = LINES - 9 - (int)(top->queue_count < 4 ? top->queue_count : 4);

	if (top->failures)
		rows /= 2;
	return rows > 1 ? (size_t)rows : 1;
}

static void draw_nodes(struct top *top, const struct top_queue *queue, int y)
{
	const struct progress_facts *facts = &queue->facts;
	int name = COLS - 52 > 12 ? COLS - 52 : 12;
	char age[32];
	size_t i;

	if (top->first_node >= facts->node_count)
		top->first_node = facts->node_count ? facts->node_count - 1 : 0;
	attron(A_DIM);
	put_row(y++, " %-*s %-5s %7s %6s %9s %8s %8s", name, "NODE", "STATE", "BEAT", "HELD", "DONE", "FAILED", "LOST");
	attroff(A_DIM);
	for (i = top->first_node; i < facts->node_count && y < LINES - 1; i++, y++) {
		const struct progress_row *node = &facts->nodes[i];
		bool live = strcmp(node->state, "live") == 0, stale = strcmp(node->state, "stale") == 0;

		attron(live ? 0 : stale ? COLOR_PAIR(PAIR_FAILED) : A_DIM);
		move(y, 0);
		addch(' ');
		put_padded(node->name, name);
		addch(' ');
		put_padded(node->state, 5);
		printw(" %7s %6.0f %9.0f %8.0f %8.0f", duration(node->age, age), node->held, node->done, node->failed, node->lost);
		attroff(live ? 0 : stale ? COLOR_PAIR(PAIR_FAILED) : A_DIM);
	}
}

/* ---- failures ---- */

static int draw_lines(const char *line, const char *end, int y)
{
	const char *newline;
	char text[MAX_TEXT];

	for (; line < end && y < LINES - 1; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			newline = end;
		snprintf(text, sizeof(text), "%.*s", (int)(newline - line < MAX_TEXT ? newline - line : MAX_TEXT - 1), line);
		move(y++, 0);
		put_padded(text, COLS);
	}
	return y;
}

/* What it said, and why it was set aside, come first: there may be no room for the rest. */
static void draw_ticket(const struct top *top, int y)
{
	const char *text = buf_text(&top->ticket), *end = text + top->ticket.len, *words = strstr(text, "\nstderr:\n"), *why = strstr(text, "\nwhy: ");

	if (!words || (why && why < words))
		words = why;
	words = words ? words + 1 : end;
	y = draw_lines(words, end, y);
	draw_lines(text, words, y);
}

static void draw_failures(struct top *top, const struct top_queue *queue, int y)
{
	size_t rows = top_rows(top), first = 0, i;
	const struct names *failed = &queue->failed;

	if (top->unit >= failed->count)
		top->unit = failed->count ? failed->count - 1 : 0;
	if (top->unit >= rows)
		first = top->unit - rows + 1;
	attron(A_DIM);
	put_row(y++, failed->count ? " FAILED UNITS (%zu of %zu)" : " NO FAILED UNITS", top->unit + 1, failed->count);
	attroff(A_DIM);
	for (i = first; i < failed->count && i < first + rows && y < LINES - 1; i++) {
		move(y++, 0);
		attron(i == top->unit ? A_REVERSE : 0);
		addch(' ');
		put_padded(failed->list[i], COLS - 1);
		attroff(A_REVERSE);
	}
	if (failed->count == 0)
		return;
	free(top->ticket_of);
	top->ticket_of = strdup(failed->list[top->unit]);
	if (top->ticket_of && (!top->ticket_is_of || strcmp(top->ticket_of, top->ticket_is_of) != 0)) {
		top_ask_locked(top);
		return;
	}
	if (y < LINES - 1) {
		attron(A_DIM);
		mvhline(y++, 0, 0, COLS);
		attroff(A_DIM);
	}
	draw_ticket(top, y);
}

/* ---- all ---- */

static void draw_head(void)
{
	time_t now = (time_t)(clock_wall() / NS_PER_S);
	struct tm tm;
	char text[32] = "";

	if (localtime_r(&now, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	attron(A_REVERSE);
	put_row(0, " claimctl top");
	if (COLS > 30)
		mvaddstr(0, COLS - 9, text);
	attroff(A_REVERSE);
}

void top_draw_locked(struct top *top)
{
	const struct top_queue *queue = &top->queues[top->selected];
	int y;

	erase();
	draw_head();
	y = draw_queues(top, 1);
	y = draw_selected(top, queue, y + 1);
	if (y < LINES - 2) {
		if (top->failures)
			draw_failures(top, queue, y);
		else
			draw_nodes(top, queue, y);
	}
	attron(A_REVERSE);
	put_row(LINES - 1, top->failures ? " q quit  up/down unit  f back to nodes" : " q quit  up/down queue  f failures  PgUp/PgDn nodes  r read now");
	attroff(A_REVERSE);
	refresh();
}
