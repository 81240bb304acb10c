/*
 * flight: see flight.h. `pending` counts the requests under way, and one for the sender until flight_go().
 */
#include "tree/flight.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void flight_init(struct flight *flight)
{
	memset(flight, 0, sizeof(*flight));
}

void flight_clear(struct flight *flight)
{
	unsigned int i;

	for (i = 0; i < flight->count; i++)
		free(flight->legs[i].text);
	flight->count = 0;
}

void flight_begin(struct flight *flight, void (*landed)(struct flight *flight))
{
	flight_clear(flight);
	memset(flight->legs, 0, sizeof(flight->legs));
	flight->landed = landed;
	atomic_store(&flight->pending, 1);
}

struct flight_leg *flight_leg(struct flight *flight)
{
	struct flight_leg *leg;

	assert(flight->count < FLIGHT_LEGS);
	leg = &flight->legs[flight->count++];
	leg->flight = flight;
	atomic_fetch_add(&flight->pending, 1);
	return leg;
}

static void one_less(struct flight *flight)
{
	if (atomic_fetch_sub(&flight->pending, 1) == 1)
		flight->landed(flight);
}

void flight_sent(struct flight_leg *leg, int error)
{
	if (!error)
		return;
	leg->error = error;
	one_less(leg->flight);
}

void flight_go(struct flight *flight)
{
	one_less(flight);
}

void flight_done(void *arg, const struct sftp_reply *reply)
{
	struct flight_leg *leg = arg;

	leg->error = reply->error;
	leg->attrs = reply->attrs;
	leg->statvfs = reply->statvfs;
	if (!reply->error && reply->text) {
		leg->text = strdup(reply->text);
		if (!leg->text)
			leg->error = -ENOMEM;
	}
	one_less(leg->flight);
}
