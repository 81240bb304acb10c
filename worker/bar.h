/*
 * bar: the last line of the terminal while the worker works: how far the whole queue is, and what this worker does. None when standard error is
 * no terminal.
 */
#ifndef CLAIMFS_WORKER_BAR_H
#define CLAIMFS_WORKER_BAR_H

#include "base/buf.h"

struct pool;
struct bar;

int bar_new(struct pool *pool, struct bar **ret_bar);	/* *ret_bar is NULL where there is to be none. 0 or -errno */
void bar_hide(struct bar *bar);				/* something else is about to be written; it comes back by itself */
void bar_end(struct bar *bar);				/* leaves it as it is, once and for all */
void bar_free(struct bar *bar);				/* after the aside it uses; NULL is fine for all of them */

struct bar_facts {
	double total, done, failed;	/* of the queue; total < 0: not known */
	double rate;			/* units a second; < 0: not known */
	double eta_s;			/* < 0: not known */
	unsigned int running;		/* here */
	unsigned long long done_here;
};

/* From the text of progress.json. 0, or -EINVAL. */
int bar_read_facts(const char *json, size_t len, struct bar_facts *ret_facts);
void bar_format(const struct bar_facts *facts, unsigned int columns, struct buf *to);	/* at most `columns` columns */

#endif
