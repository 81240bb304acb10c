/* stats: see stats.h. */
#include "sftp/stats.h"

#include "base/clock.h"

#define RTT_WEIGHT 8			/* a new measurement counts an eighth, as TCP does it */

static void add(atomic_ullong *counter, uint64_t more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static unsigned int bucket_of(int64_t latency_ns)
{
	uint64_t us = latency_ns > 0 ? (uint64_t)(latency_ns / NS_PER_US) : 0;
	unsigned int bucket = us ? 64u - (unsigned int)__builtin_clzll(us) : 0;

	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

void stats_count(struct stats *stats, const struct op *op, int error, uint64_t bytes, int64_t latency_ns)
{
	struct stats_op *counts = &stats->ops[op->kind];

	add(&counts->count, 1);
	if (error)
		add(&counts->errors, 1);
	if (bytes)
		add(&counts->bytes, bytes);
	add(&counts->latency[bucket_of(latency_ns)], 1);
}

void stats_count_conn(struct stats_conn *conn, int64_t rtt_ns)
{
	int64_t mean = atomic_load_explicit(&conn->rtt_ns, memory_order_relaxed);
	int64_t least = atomic_load_explicit(&conn->rtt_least_ns, memory_order_relaxed);

	add(&conn->requests, 1);
	if (rtt_ns <= 0)
		return;
	mean = mean ? mean + (rtt_ns - mean) / RTT_WEIGHT : rtt_ns;
	atomic_store_explicit(&conn->rtt_ns, mean ? mean : 1, memory_order_relaxed);
	if (!least || rtt_ns < least)
		atomic_store_explicit(&conn->rtt_least_ns, rtt_ns, memory_order_relaxed);
}

double stats_percentile(const struct stats_op *op, unsigned int percent)
{
	unsigned long long counts[STATS_BUCKETS], total = 0, below = 0;
	unsigned int i;

	for (i = 0; i < STATS_BUCKETS; i++) {
		counts[i] = atomic_load_explicit(&op->latency[i], memory_order_relaxed);
		total += counts[i];
	}
	for (i = 0; i < STATS_BUCKETS && total; i++) {
		double wanted = (double)total * percent / 100.0;

		if ((double)(below + counts[i]) >= wanted && counts[i]) {
			double low = i ? (double)(1ull << (i - 1)) : 0, high = (double)(1ull << i);

			return (low + (high - low) * (wanted - (double)below) / (double)counts[i]) / 1e6;
		}
		below += counts[i];
	}
	return 0;
}
