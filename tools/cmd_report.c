/*
 * claimctl report: the whole story of a queue as one page.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/progress_read.h"
#include "tools/report_page.h"
#include "tools/site.h"

enum { KEY_PRICE = 256 };

struct report_words {
	const char *output;
	double price;
};

static struct report_words report_words = { .price = -1 };

static const struct args_option table[] = {
	{ 'o', "output", "FILE", "write the page here, whole or not at all (standard output)" },
	{ KEY_PRICE, "price", "N", "what a node costs an hour: the page says what the queue has cost" },
	{ 0, NULL, NULL, NULL },
};

static int report_set(void *target, int key, const char *value, struct buf *why)
{
	struct report_words *words = target;
	char *end;

	if (key == 'o') {
		words->output = value;
		return 0;
	}
	words->price = strtod(value, &end);
	if (end == value || *end != '\0' || !isfinite(words->price) || words->price < 0) {
		buf_adds(why, "a price is a number, as 0.12");
		return -EINVAL;
	}
	return 0;
}

/* A mount knows how many units there are; the plain directory does not. */
static void learn_total(const char *queue, struct report_options *options)
{
	struct progress_facts facts;

	options->total = -1;
	if (progress_read(queue, &facts) < 0)
		return;
	options->total = facts.total;
	options->todo = facts.todo + facts.claimed;
	progress_release(&facts);
}

static int write_page(const char *output, const struct buf *page)
{
	int error;

	if (output && strcmp(output, "-") != 0)
		error = io_write_file(output, page->data, page->len, 0666);
	else
		error = io_write_all(STDOUT_FILENO, page->data, page->len);
	if (error)
		log_error("report: can't write %s: %s", output ? output : "standard output", log_strerror(error));
	return error;
}

static int report_run(char **operands, void *target)
{
	const struct report_words *words = target;
	struct report_options options = { .price = words->price };
	struct buf why = BUF_INIT, page = BUF_INIT;
	struct report *report = NULL;
	struct qconf conf;
	char *real;
	int error;

	if (operands[1]) {
		log_error("report: one queue a page: claimctl report QUEUE -o FILE");
		return COMMAND_USAGE;
	}
	error = site_read_conf(operands[0], &conf, &why);	/* a plain directory will do */
	if (error) {
		log_error("report: %s%s", why.len ? buf_text(&why) : operands[0], why.len ? "" : " is no queue");
		buf_release(&why);
		return COMMAND_FAILED;
	}
	qconf_release(&conf);
	real = realpath(operands[0], NULL);
	options.queue = real && strrchr(real, '/')[1] ? strrchr(real, '/') + 1 : operands[0];
	error = report_read(operands[0], &report, &why);
	if (!error) {
		learn_total(operands[0], &options);
		error = report_page(report, &options, &page);
	}
	if (error)
		log_error("report: can't read %s: %s", why.len ? buf_text(&why) : operands[0], log_strerror(error));
	else
		error = write_page(words->output, &page);
	report_free(report);
	free(real);
	buf_release(&why);
	buf_release(&page);
	return error ? COMMAND_FAILED : 0;
}

const struct command cmd_report = {
	.name = "report",
	.summary = "what happened, as one page to look at",
	.usage = "report [-o FILE] [--price N] QUEUE",
	.description = "Writes an HTML page with its drawings inside: throughput, a lane a node, lost claims and preemptions, how long units took, where\n"
		       "the time went, the slowest and the failed units, and the cost. It needs nothing else: send it to whom you like.\n",
	.examples = "  claimctl report /mnt/disk/queue -o report.html\n"
		    "  claimctl report --price 0.12 /mnt/disk/queue >report.html\n"
		    "  ssh disk claimctl report /srv/queue | cat >report.html\n",
	.options = table,
	.set = report_set,
	.run = report_run,
	.target = &report_words,
};
