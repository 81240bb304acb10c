/*
 * lease: NODE.free and NODE.lost, what a released and a lost claim become links to.
 */
#include "queue/lease_inner.h"

#include <string.h>

#include "base/buf.h"
#include "queue/flight.h"

/* Makes NODE.free or NODE.lost. It counts once its mtime is seen to be right: a claim must never turn into a link to anything else. */
static int make_given_back(struct lease *lease, bool lost, const char *path)
{
	int64_t mtime = lost ? 0 : 1;
	struct flight flight = FLIGHT_INIT;
	struct buf text = BUF_INIT;
	size_t create, utime, stat;
	int error;

	error = lease_make_text(lease, lease->node, lost ? OWNER_LOST : OWNER_FREE, &text);
	if (error)
		goto out;
	create = flight_create(&flight, path, text.data, text.len);
	flight_run(&flight, lease->store);
	error = flight_error(&flight, create);
	/* The name is this node's alone: if it is there, an earlier try made it. One that was not answered may still be written, and so get
	 * another mtime, later: it is not used. */
	if (error == STORE_UNKNOWN)
		error = -EIO;
	if (error && error != STORE_FAILURE && error != -EEXIST)
		goto out;
	flight_reset(&flight);
	utime = flight_utime(&flight, path, mtime);
	stat = flight_lstat(&flight, path);
	flight_run(&flight, lease->store);
	error = flight_error(&flight, utime) ? flight_error(&flight, utime) : flight_error(&flight, stat);
	if (!error && (flight_op(&flight, stat)->attrs.mtime != mtime || flight_op(&flight, stat)->attrs.size != text.len))
		error = -EIO;
out:
	flight_release(&flight);
	buf_release(&text);
	return error;
}

int lease_given_back(struct lease *lease, bool lost, char ret_path[LAYOUT_PATH])
{
	uint32_t *file = lost ? &lease->lost_file : &lease->free_file;
	uint64_t *links = lost ? &lease->lost_links : &lease->free_links;
	bool *made = lost ? &lease->lost_made : &lease->free_made;
	int error = 0;

	pthread_mutex_lock(&lease->lock);
	lease_take_files_locked(lease);
	if (!lease->node[0]) {
		pthread_mutex_unlock(&lease->lock);
		error = lease_make_node(lease);
		pthread_mutex_lock(&lease->lock);
		if (error)
			goto out;
	}
	if (*made && *links + 1 >= lease->back_limit) {
		*made = false;
		++*file;
	}
	layout_given_back(ret_path, lease->node, lost, *file);
	if (!*made) {
		pthread_mutex_unlock(&lease->lock);
		error = make_given_back(lease, lost, ret_path);
		pthread_mutex_lock(&lease->lock);
		*links = 0;
		*made = !error;
		*file += error == -EIO;		/* half made: another name next time */
	}
	*links += !error;
out:
	lease_leave_files_locked(lease);
	pthread_mutex_unlock(&lease->lock);
	return error;
}

void lease_given_back_full(struct lease *lease, bool lost)
{
	uint64_t *links = lost ? &lease->lost_links : &lease->free_links;

	pthread_mutex_lock(&lease->lock);
	if (*links < lease->back_limit)
		lease->back_limit = *links > 2 ? *links : 2;
	*links = lease->back_limit;
	pthread_mutex_unlock(&lease->lock);
}
