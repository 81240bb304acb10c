/*
 * stats: what an sftp has done, counted by its I/O threads without locks; read at any time by any thread. A reader sees each
 * number right, not all of them at one instant.
 */
#ifndef CLAIMFS_SFTP_STATS_H
#define CLAIMFS_SFTP_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "sftp/request.h"

#define STATS_BUCKETS 40	/* bucket i: latencies of less than 2^i µs, and not less than 2^(i-1) */

struct stats_op {
	atomic_ullong count;
	atomic_ullong errors;
	atomic_ullong bytes;
	atomic_ullong latency[STATS_BUCKETS];
};

struct stats {
	struct stats_op ops[OP_COUNT];
};

struct stats_conn {
	atomic_ullong sent_bytes;
	atomic_ullong received_bytes;
	atomic_ullong requests;
	atomic_ullong reconnects;
	atomic_ullong ignored;		/* answers nobody had asked for */
	atomic_llong rtt_ns;		/* a moving mean; 0: not known yet */
	atomic_llong rtt_least_ns;	/* the shortest so far: how far the server is, whatever its load; 0: not known yet */
};

void stats_count(struct stats *stats, const struct op *op, int error, uint64_t bytes, int64_t latency_ns);
void stats_count_conn(struct stats_conn *conn, int64_t rtt_ns);	/* 0: this one does not measure it */

/* The latency below which `percent` of an operation's lie, in seconds; 0 when there were none. */
double stats_percentile(const struct stats_op *op, unsigned int percent);

/* For sftp_stats(): one connection as stats_json_*() sees it. */
struct stats_conn_view {
	const struct stats_conn *counts;
	const char *state;
	unsigned int waiting;
};

void stats_json(const struct stats *stats, const struct stats_conn_view *conns, int conn_count, struct buf *ret_json);

#endif
