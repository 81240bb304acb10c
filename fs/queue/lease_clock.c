/*
 * lease: the server's clock. Each heartbeat says: at some moment between its sending and its answer the server's clock showed a second that
 * began at `mtime`. So (server's clock - clock_now()) lies in an interval; those of many heartbeats, cut with each other, narrow it to
 * less than the second SFTP shows. An interval that does not meet the others means that the server's clock was set: it begins anew.
 */
#include "queue/lease_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "queue/flight.h"

/* The intervals are widened by this a second for drift between the two clocks. */
#define DRIFT_PPM 200

void lease_clock_init(struct lease_clock *clock)
{
	memset(clock, 0, sizeof(*clock));
}

void lease_clock_sample(struct lease_clock *clock, int64_t mtime, int64_t sent_ns, int64_t received_ns)
{
	int64_t min = mtime * NS_PER_S - received_ns, max = (mtime + 1) * NS_PER_S - sent_ns;
	int64_t drift = (received_ns - clock->sampled_ns) / (1000000 / DRIFT_PPM);

	if (mtime < 0 || mtime > UINT32_MAX)
		return;
	if (clock->known) {
		clock->min -= drift;
		clock->max += drift;
		if (min <= clock->max && max >= clock->min) {
			min = min > clock->min ? min : clock->min;
			max = max < clock->max ? max : clock->max;
		}
	}
	clock->known = true;
	clock->min = min;
	clock->max = max;
	clock->sampled_ns = received_ns;
}

bool lease_time(struct lease *lease, int64_t now_ns, int64_t *ret_min, int64_t *ret_max)
{
	struct lease_clock clock;

	pthread_mutex_lock(&lease->lock);
	clock = lease->clock;
	pthread_mutex_unlock(&lease->lock);
	if (!clock.known)
		return false;
	*ret_min = now_ns + clock.min;
	*ret_max = now_ns + clock.max;
	return true;
}

int lease_probe(struct lease *lease)
{
	struct flight flight = FLIGHT_INIT;
	char name[LAYOUT_PATH];
	size_t create, stat;
	int error;

	snprintf(name, sizeof(name), "%s/%s%016llx", LAYOUT_TMP, LAYOUT_PROBE, (unsigned long long)clock_random());
	create = flight_create(&flight, name, "", 0);
	flight_run(&flight, lease->store);
	error = flight_error(&flight, create);
	if (!error) {
		int64_t sent = flight_op(&flight, create)->sent_ns, received = flight_op(&flight, create)->received_ns;

		flight_reset(&flight);
		stat = flight_lstat(&flight, name);
		flight_remove(&flight, name);
		flight_run(&flight, lease->store);
		error = flight_error(&flight, stat);
		if (!error) {
			pthread_mutex_lock(&lease->lock);
			lease_clock_sample(&lease->clock, flight_op(&flight, stat)->attrs.mtime, sent, received);
			pthread_mutex_unlock(&lease->lock);
		}
	}
	flight_release(&flight);
	return error;
}
