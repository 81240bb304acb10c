/*
 * flight: several requests sent to the server together, and one call when all of them are answered.
 *
 *   flight_begin ─▶ { leg = flight_leg(); flight_sent(leg, sftp_…(…, flight_done, leg)) } … ─▶ flight_go ─▶ landed(flight)
 *
 * `landed` runs once, on an I/O thread or within flight_go(). Requests of one flight on the control lane are carried out in order.
 */
#ifndef CLAIMFS_TREE_FLIGHT_H
#define CLAIMFS_TREE_FLIGHT_H

#include <stdatomic.h>

#include "sftp/client.h"

#define FLIGHT_LEGS 4

struct flight;

struct flight_leg {			/* one request; results as in struct sftp_reply */
	struct flight *flight;
	int error;
	struct sftp_attrs attrs;
	struct sftp_statvfs statvfs;
	char *text;			/* the flight's */
};

struct flight {
	atomic_uint pending;
	unsigned int count;
	void (*landed)(struct flight *flight);
	struct flight_leg legs[FLIGHT_LEGS];
};

void flight_init(struct flight *flight);
void flight_clear(struct flight *flight);
void flight_begin(struct flight *flight, void (*landed)(struct flight *flight));	/* forgets what an earlier flight brought */
struct flight_leg *flight_leg(struct flight *flight);
void flight_sent(struct flight_leg *leg, int error);	/* what the sftp_ call returned */
void flight_go(struct flight *flight);

void flight_done(void *leg, const struct sftp_reply *reply);	/* sftp_done */

#endif
