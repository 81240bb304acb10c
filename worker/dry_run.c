/*
 * dry_run: walks todo/ in its own order, which is the one units would be taken in; or in that of --order.
 */
#include "worker/dry_run.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/quote.h"
#include "worker/expand.h"
#include "worker/options.h"
#include "worker/order.h"
#include "worker/place.h"

static int print_command(char *const *argv)
{
	struct buf line = BUF_INIT;
	int error;

	for (; *argv; argv++) {
		if (line.len > 0)
			buf_addch(&line, ' ');
		quote_for_people(&line, *argv);
	}
	buf_addch(&line, '\n');
	error = buf_error(&line) ? buf_error(&line) : io_write_all(STDOUT_FILENO, line.data, line.len);
	buf_release(&line);
	return error;
}

/* With --batch one unit stands for many, and with --resident the command is printed without one. */
static int print_unit(const struct worker_options *options, const struct place *place, const char *name)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	struct expand_unit unit = { .name = name, .attempt = 1 };
	char *inputs[2] = { NULL, NULL }, **argv = NULL;
	int error = place_in(place, name, &in);

	if (!error)
		error = place_out(place, name, &out);
	unit.in = inputs[0] = (char *)buf_text(&in);
	unit.out = buf_text(&out);
	if (options->batch != OPTIONS_BATCH_NONE)
		unit.inputs = inputs;
	if (!error)
		error = expand_command(options->command, &unit, &argv);
	if (!error)
		error = print_command(argv);
	expand_free(argv);
	buf_release(&in);
	buf_release(&out);
	return error;
}

static int walk_ordered(const struct worker_options *options, const struct place *place)
{
	int64_t left = options->max_units ? options->max_units : INT64_MAX;
	struct order *order;
	const char *name;
	int error = order_new(place, options->order, &order);

	while (!error && left-- > 0 && (name = order_next(order)))
		error = print_unit(options, place, name);
	order_free(order);
	return error;
}

static int walk(const struct worker_options *options, const struct place *place, const char *todo)
{
	char *const paths[] = { (char *)todo, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int64_t left = options->max_units ? options->max_units : INT64_MAX;
	FTSENT *entry;
	int error = 0;

	if (!walk)
		return -errno;
	while (!error && left > 0 && (errno = 0, entry = fts_read(walk))) {
		if (entry->fts_info != FTS_F)
			continue;
		error = print_unit(options, place, entry->fts_path + strlen(todo) + 1);
		left--;
	}
	if (!error && errno)
		error = -errno;
	fts_close(walk);
	return error;
}

int dry_run(const struct worker_options *options, const struct place *place)
{
	struct buf todo = BUF_INIT;
	int error;

	buf_addf(&todo, "%s/todo", place->queue);
	error = buf_error(&todo);
	if (!error && options->order != ORDER_AS_TAKEN && !options->resident)
		error = walk_ordered(options, place);
	else if (!error)
		error = options->resident ? print_command(options->command) : walk(options, place, buf_text(&todo));
	if (error)
		log_error("can't list what there is to do: %s", log_strerror(error));
	buf_release(&todo);
	return error ? 1 : 0;
}
