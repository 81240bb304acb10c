/*
 * report: what the worker tells people, and what it tells the queue about a unit that ended.
 */
#ifndef CLAIMFS_WORKER_REPORT_H
#define CLAIMFS_WORKER_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "worker/run.h"
#include "worker/tail.h"
#include "worker/unit.h"

struct pool;

/*
 * Fills unit->values with the record's k=v values: status or signal, wall, user, sys (seconds), maxrss, in, read, written (bytes), spawn, rwait, wwait,
 * ready, claim, look, turn, idle (seconds; claimfs-queue(7)), and
 * with `tail` stderr; and, with `tail`, unit->why with the reason for people. `timed_out`: the worker ended it.
 */
void report_values(struct unit *unit, const struct run_result *result, const struct tail *tail, bool timed_out);

/* Values of a unit that a resident command was through with: the times (`user` is all of its processor time), maxrss, and its own `k=v …`, left out when they are not well formed. */
void report_wall(struct unit *unit, const struct run_result *times, const char *values);
/* Values and reason of a unit that a resident command has failed; times as above. */
void report_said(struct unit *unit, const struct run_result *times, const char *reason, const struct tail *tail);

/* The same for a unit whose command could not be started: as a shell would say it, 126 or 127. */
void report_start_failure(struct unit *unit, int error);

/* A log message that does not get into the bar's way. */
void report_say(struct pool *pool, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

void report_unit(struct unit *unit, const char *what, const char *detail);	/* only with -v */
void report_failed(struct unit *unit);
void report_stderr(struct pool *pool, const struct unit *unit, const char *line, size_t len);	/* unit may be NULL: of many */
void report_summary(struct pool *pool);

#endif
