/*
 * order: what stood in todo/ when the worker began, sorted as --order wants it, one name after another.
 */
#ifndef CLAIMFS_WORKER_ORDER_H
#define CLAIMFS_WORKER_ORDER_H

#include "worker/options.h"
#include "worker/place.h"

struct order;

/* Lists todo/, and looks at every input's size when it is wanted; blocks as long as that takes, and says so when it is long. 0, with NULL for ORDER_AS_TAKEN; or -errno. */
int order_new(const struct place *place, enum order_how how, struct order **ret_order);
void order_free(struct order *order);		/* NULL is fine */

/* The next unit's name, bytes as they are, the order's; NULL: there are no more. */
const char *order_next(struct order *order);

#endif
