/*
 * pool_choose: which connection carries what: each request as it is sent, and as it is given back; and when the load is reason to open another.
 */
#include "sftp/pool.h"

#include <errno.h>

#include "base/clock.h"

#define FSYNC_WEIGHT 8			/* of an fsync in the mean */

static uint64_t load_of(const struct conn *conn)
{
	return atomic_load(&conn->load);
}

static unsigned int slow_on(const struct conn *conn)
{
	return atomic_load(&conn->slow);
}

static struct conn *first_data_conn(const struct sftp *sftp)
{
	int i;

	for (i = 1; i < sftp->count; i++)
		if (conn_is_up(sftp->conns[i]))
			return sftp->conns[i];
	return NULL;
}

bool pool_is_far(const struct sftp *sftp)
{
	return atomic_load(&sftp->conns[0]->stats.rtt_least_ns) >= POOL_FAR_NS;
}

/* How many data connections are worth having. */
static int data_wanted(const struct sftp *sftp)
{
	int most = sftp->count - 1;

	return pool_is_far(sftp) || sftp->options.near_data > most ? most : sftp->options.near_data;
}

/*
 * The data connection that is up and the least loaded, NULL when none is. No more of them than are wanted, though another be there for the sake
 * of what takes long, unless all of these are held up by such an operation.
 */
static struct conn *free_data_conn(const struct sftp *sftp)
{
	const int wanted = data_wanted(sftp);
	struct conn *best = NULL;
	int i, seen = 0;

	for (i = 1; i < sftp->count; i++) {
		struct conn *conn = sftp->conns[i];

		if (!conn_is_up(conn))
			continue;
		if (++seen > wanted && best && !slow_on(best))
			break;
		if (!best || slow_on(conn) < slow_on(best) || (slow_on(conn) == slow_on(best) && load_of(conn) < load_of(best)))
			best = conn;
	}
	return best;
}

static bool fsync_is_slow(const struct sftp *sftp)
{
	return atomic_load(&sftp->fsync_ns) >= POOL_FSYNC_NS;
}

void pool_fsynced(struct sftp *sftp, int64_t took_ns)
{
	int64_t mean = atomic_load(&sftp->fsync_ns);

	atomic_store(&sftp->fsync_ns, mean + (took_ns - mean) / FSYNC_WEIGHT);
}

/* The least loaded data connection on which the file is open; of all that are up, without a file. NULL when there is none. */
static struct conn *least_loaded(const struct sftp *sftp, struct sftp_file *file)
{
	struct conn *best = NULL;
	int i;

	for (i = 1; i < sftp->count; i++) {
		struct conn *conn = sftp->conns[i];
		bool usable = file ? file_usable(file, conn) != NULL : conn_is_up(conn);

		if (usable && (!best || load_of(conn) < load_of(best)))
			best = conn;
	}
	return best;
}

/* For what is opened to be fsynced. */
static struct conn *fsync_conn(const struct sftp *sftp)
{
	return fsync_is_slow(sftp) ? least_loaded(sftp, NULL) : free_data_conn(sftp);
}

/* `load`: what lies on the least loaded that is up. One that is being connected will take its part of it. */
static void want_another(struct sftp *sftp, uint64_t load)
{
	int64_t now = clock_now();
	uint64_t connecting = 0;
	int i;

	for (i = 1; i < sftp->count; i++)
		connecting += atomic_load(&sftp->conns[i]->state) == CONN_CONNECTING;
	if (connecting && load <= connecting * POOL_BUSY_LOAD)
		return;
	for (i = 1; i < sftp->count; i++) {
		struct conn *conn = sftp->conns[i];

		if (atomic_load(&conn->state) == CONN_IDLE && atomic_load(&conn->retry_ns) <= now) {
			conn_want(conn);
			return;
		}
	}
}

static bool is_bulk(const struct request *request)
{
	if (request->op->kind != OP_READ && request->op->kind != OP_WRITE)
		return false;
	return request->len >= POOL_BULK_BYTES || atomic_load(&request->slot->file->outstanding) > POOL_FIRST_LOAD;
}

/* Data connections that are up, or about to be. */
static int data_there(const struct sftp *sftp)
{
	int i, count = 0;

	for (i = 1; i < sftp->count; i++)	/* in this order: one may come up meanwhile */
		count += atomic_load(&sftp->conns[i]->state) == CONN_CONNECTING || conn_is_up(sftp->conns[i]);
	return count;
}

/*
 * Is the load of what is there reason to open another data connection? One beside an operation that takes long is always worth having, and where
 * fsyncs do, each file to be fsynced may have one of its own.
 */
static void grow(struct sftp *sftp, const struct request *request)
{
	bool slow = request->op->slow, bulk = slow || is_bulk(request), spread = request->lane == SFTP_FSYNC && fsync_is_slow(sftp);
	const struct conn *data = spread ? fsync_conn(sftp) : free_data_conn(sftp);
	uint64_t load = load_of(data ? data : sftp->conns[0]);

	if (data_there(sftp) >= (spread ? sftp->count - 1 : data_wanted(sftp) + (slow ? 1 : 0)))
		return;
	if (data && (slow || (spread && load)))
		want_another(sftp, load);
	else if (data ? load > POOL_BUSY_LOAD : bulk || load > POOL_FIRST_LOAD)
		want_another(sftp, load);
}

/* For what takes long: rather wait for the first data connection than hold up the control lane. */
static struct conn *slow_conn(struct sftp *sftp)
{
	struct conn *data = free_data_conn(sftp);

	if (data || sftp->count == 1)
		return data;
	if (atomic_load(&sftp->conns[1]->retry_ns) > clock_now())
		return NULL;
	conn_want(sftp->conns[1]);
	return sftp->conns[1];
}

static void warm_more(struct sftp_file *file)
{
	struct sftp *sftp = file->sftp;
	int i, left = data_wanted(sftp);

	for (i = 1; i < sftp->count; i++)
		left -= file_usable(file, sftp->conns[i]) != NULL;
	for (i = 1; i < sftp->count && left > 0; i++) {
		if (!conn_is_up(sftp->conns[i]) || file_usable(file, sftp->conns[i]))
			continue;
		file_warm(file, sftp->conns[i]);
		left--;
	}
}

/*
 * Bulk on an open file: where it is open already, so that nothing waits for an open; others are opened ahead. The control connection may carry
 * the first of it, but what would hold it up rather waits for a data connection.
 */
static struct conn *bulk_conn(struct sftp_file *file, struct conn *home)
{
	bool home_usable = file_usable(file, home), striped = atomic_load(&file->outstanding) > POOL_STRIPE_BYTES;
	struct conn *best, *data;

	if (striped)
		warm_more(file);
	if (home_usable && home->index && !striped)
		return home;
	best = least_loaded(file->sftp, file);
	if (best)
		return best;
	data = free_data_conn(file->sftp);
	if (data)
		file_warm(file, data);
	if (data && striped && !file_refused(file, data))
		return data;
	return home_usable ? home : NULL;
}

static struct conn *any_usable(struct sftp_file *file)
{
	int i;

	for (i = 0; i < file->sftp->count; i++)
		if (file_usable(file, file->sftp->conns[i]))
			return file->sftp->conns[i];
	return NULL;
}

/* It is open nowhere (any more): it gets a new home. */
static struct conn *new_home(struct sftp_file *file)
{
	struct sftp *sftp = file->sftp;
	struct conn *conn = file->lane == SFTP_DATA ? free_data_conn(sftp) : NULL;

	if (!conn)
		conn = sftp->conns[0];
	atomic_store(&file->home, conn->index);
	return conn;
}

/* A copy goes beside what takes long already, where there is a connection for it. */
static bool is_held_up(const struct conn *home, const struct conn *other, const struct request *request)
{
	return request->op->kind == OP_COPY && other && slow_on(home) > slow_on(other);
}

static struct conn *slow_file_conn(struct sftp_file *file, struct conn *home, const struct request *request)
{
	struct conn *stay = home->index && file_usable(file, home) ? home : NULL, *conn;

	if (stay && !is_held_up(home, free_data_conn(file->sftp), request))
		return stay;
	conn = slow_conn(file->sftp);
	return conn && !file_refused(file, conn) ? conn : stay;
}

static struct conn *file_conn(struct sftp_file *file, const struct request *request)
{
	struct sftp *sftp = file->sftp;
	struct conn *home = sftp->conns[atomic_load(&file->home)], *conn = NULL;

	if (request->op->slow)
		conn = slow_file_conn(file, home, request);
	else if (file->flags & SFTP_OPEN_APPEND)
		conn = file_usable(file, home) ? home : NULL;	/* in order, so never spread */
	else if (is_bulk(request))
		conn = bulk_conn(file, home);
	if (conn)
		return conn;
	if (file_usable(file, home) || (file->lane == SFTP_CONTROL && !any_usable(file)))
		return home;
	conn = any_usable(file);
	return conn ? conn : new_home(file);
}

static struct conn *choose(struct sftp *sftp, enum sftp_lane lane, const struct request *request)
{
	struct conn *conn = NULL;

	if (request->bound && request->slot)
		return request->slot->conn;
	if (request->slot && request->op->kind != OP_OPEN)
		return file_conn(request->slot->file, request);
	if (lane == SFTP_DATA)
		conn = free_data_conn(sftp);
	else if (lane == SFTP_FSYNC)
		conn = fsync_conn(sftp);
	else if (lane == SFTP_CREATE && pool_is_far(sftp))
		conn = first_data_conn(sftp);
	return conn ? conn : sftp->conns[0];
}

/* Its handles there. */
static int bind_slots(struct conn *conn, struct request *request)
{
	int error = 0;

	if (request->slot && !request->bound)
		error = file_slot(request->slot->file, conn, &request->slot);
	if (!error && request->slot2)
		error = file_slot(request->slot2->file, conn, &request->slot2);
	return error;
}

static void set_home(struct request *request, const struct conn *conn)
{
	if (request->op->kind == OP_OPEN && request->slot && !request->bound)
		atomic_store(&request->slot->file->home, conn->index);
}

static void place(struct sftp *sftp, struct request *request)
{
	struct conn *conn = choose(sftp, request->lane, request);
	int error = bind_slots(conn, request);

	if (error) {
		conn_fail(request, error);
		return;
	}
	set_home(request, conn);
	if (conn_submit(conn, request, conn->index == 0 || request->op->slow))
		return;
	/* It has broken this very moment; connection 0 takes everything but what belonged to that session. */
	conn = sftp->conns[0];
	error = request->bound ? SFTP_UNKNOWN : bind_slots(conn, request);
	if (error) {
		conn_fail(request, error);
		return;
	}
	set_home(request, conn);
	if (!conn_submit(conn, request, true))
		conn_fail(request, atomic_load(&sftp->closing) ? -ENOTCONN : SFTP_UNKNOWN);
}

void pool_submit(struct sftp *sftp, enum sftp_lane lane, struct request *request)
{
	enum op_kind kind = request->op->kind;

	request->lane = lane;
	request->submitted_ns = clock_now();
	if (sftp->options.timeout_ns)
		request->deadline_ns = request->submitted_ns + sftp->options.timeout_ns;
	request->cost = POOL_REQUEST_COST;
	if (kind == OP_READ || kind == OP_WRITE) {
		request->cost += (size_t)request->len;
		atomic_fetch_add(&request->slot->file->outstanding, request->len);
	}
	if (lane == SFTP_DATA || lane == SFTP_FSYNC || is_bulk(request) || request->op->slow)
		grow(sftp, request);
	place(sftp, request);
}

void pool_reroute(struct sftp *sftp, struct request *request)
{
	if (atomic_load(&sftp->closing))
		conn_fail(request, -ENOTCONN);
	else
		place(sftp, request);
}

size_t sftp_worth_flying(const struct sftp *sftp)
{
	int conns = data_wanted(sftp);

	return pool_is_far(sftp) ? SIZE_MAX : (size_t)(conns ? conns : 1) * POOL_NEAR_FLYING;
}
