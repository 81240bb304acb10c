/*
 * list: a whole directory: OPENDIR, several READDIRs at once, CLOSE.
 *
 *   OPENING ──HANDLE──▶ READING ──EOF, an error, or enough──▶ ENDING (READDIRs still out) ──▶ gone
 *      ▲                   └─────────the session ended───────┐
 *      └──────────────────restart()◀─────────────────────────┘
 *
 * OpenSSH answers READDIRs in order, 100 names each; those beyond the end answer EOF. A handle belongs to one session; everything after
 * OPENDIR runs on that connection's I/O thread, so the state needs no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sftp/client.h"
#include "sftp/conn.h"
#include "sftp/pool.h"

#define WINDOW_FIRST 8		/* READDIRs at once, at first */
#define WINDOW_MOST 32
#define ANSWER_FULL 100		/* names: OpenSSH's answers; one with fewer is the last, most likely */
#define RESTARTS_MOST 20	/* a server that breaks every listing isn't asked for ever */
#define FRUITLESS_MOST 100	/* answers in a row without a name that can be used: nor is one that goes on so */
#define LISTING_MOST (1ull << 30)
#define ENTRY_COST 64		/* bytes that an entry takes beside its name, about */

struct listing {
	struct sftp *sftp;
	enum sftp_lane lane;
	sftp_entry *entry;
	sftp_restart *restart;
	sftp_done *done;
	void *arg;
	struct conn *conn;
	uint32_t session;
	unsigned int window;
	unsigned int outstanding;
	unsigned int restarts;
	unsigned int fruitless;
	uint64_t bytes;		/* of the entries so far */
	bool ending;		/* no further READDIR */
	bool told;		/* `done` was called */
	bool broken;
	bool delivered;		/* some entry was */
	size_t handle_len;
	char handle[PROTO_MAX_HANDLE];
	char path[];
};

static int open_listing(struct listing *listing);

static void listing_free(struct listing *listing)
{
	free(listing);
}

static void tell(struct listing *listing, struct answer *answer, int error)
{
	if (listing->told)
		return;
	listing->told = true;
	answer->reply.error = error;
	answer->reply.len = 0;
	if (listing->done)
		listing->done(listing->arg, &answer->reply);
}

static bool session_ended(int error)
{
	return error == SFTP_UNKNOWN;
}

/* No further names are wanted, or can be had. */
static void stop(struct listing *listing)
{
	if (!listing->ending && !listing->broken)
		conn_close_handle(listing->conn, listing->handle, listing->handle_len);
	listing->ending = true;
}

/* A listing without an end must not fill the memory here. */
static int count_entry(struct listing *listing, size_t name_len)
{
	const uint64_t most = listing->sftp->options.max_listing ? listing->sftp->options.max_listing : LISTING_MOST;

	listing->fruitless = 0;
	listing->delivered = true;
	listing->bytes += name_len + ENTRY_COST;
	if (listing->bytes <= most)
		return 0;
	log_warn("the server's list of %s does not end after %llu MiB: given up", listing->path, (unsigned long long)(most >> 20));
	return -EOVERFLOW;
}

/* Deliver what one answer holds. 0, -EPROTO or -EOVERFLOW. */
static int deliver(struct listing *listing, struct answer *answer)
{
	static long long warned_ns;
	struct sftp_attrs attrs;
	struct sftp_name name = { .attrs = &attrs };
	uint32_t left;
	int error;

	if (listing->fruitless++ >= FRUITLESS_MOST)
		return -EPROTO;
	for (left = answer->name_count; left && !listing->ending; left--) {
		name.name = reader_name(&answer->names, &name.len, &attrs);
		if (answer->names.bad)
			return -EPROTO;
		if (!codec_name_ok(name.name, name.len)) {
			bool dots = name.len <= 2 && !strncmp(name.name, "..", name.len) && name.len;

			if (!dots && log_allowed(&warned_ns))
				log_warn("the server lists a name in %s that no file can have: dropped", listing->path);
			continue;
		}
		error = count_entry(listing, name.len);
		if (error)
			return error;
		if (!listing->entry(listing->arg, &name))
			stop(listing);
	}
	return 0;
}

static int read_on(struct listing *listing);

/* Begin again, or say that it is lost. */
static void begin_again(struct listing *listing, struct answer *answer)
{
	int error = SFTP_UNKNOWN;

	if ((listing->restart || !listing->delivered) && listing->restarts++ < RESTARTS_MOST) {
		if (listing->delivered)
			listing->restart(listing->arg);
		listing->delivered = false;
		listing->broken = false;
		error = open_listing(listing);
		if (!error)
			return;
	}
	tell(listing, answer, error);
	listing_free(listing);
}

static void listed(struct request *request, struct answer *answer)
{
	struct listing *listing = request->arg;
	int error = answer->reply.error;

	listing->outstanding--;
	if (session_ended(error))
		listing->broken = true;
	else if (!error && !answer->eof && !listing->ending)
		error = deliver(listing, answer);
	/* After an answer that looks like the last, those still out will tell: most directories are small. */
	if (!listing->broken && !listing->ending && !error && !answer->eof &&
	    (answer->name_count >= ANSWER_FULL || listing->outstanding == 0)) {
		listing->window = listing->window * 2 < WINDOW_MOST ? listing->window * 2 : WINDOW_MOST;
		error = read_on(listing);
	}
	if (error || answer->eof || listing->ending) {
		stop(listing);
		if (!listing->broken)
			tell(listing, answer, error);
	}
	if (listing->outstanding)
		return;
	if (listing->told)
		listing_free(listing);
	else
		begin_again(listing, answer);
}

/* On the I/O thread that owns the handle: fill the window. */
static int read_on(struct listing *listing)
{
	while (listing->outstanding < listing->window) {
		struct request *request = request_new(OP_READDIR, 4 + listing->handle_len, NULL, listing);
		struct writer writer;

		if (!request)
			return listing->outstanding ? 0 : -ENOMEM;
		writer_init(&writer, request->body, request->body_len);
		writer_string(&writer, listing->handle, listing->handle_len);
		request->finish = listed;
		request->bound = true;
		request->session = listing->session;
		request->lane = listing->lane;
		listing->outstanding++;
		conn_own(listing->conn, request);
	}
	return 0;
}

static void finish_opendir(struct request *request, struct answer *answer)
{
	struct listing *listing = request->arg;
	int error = answer->reply.error;

	if (!error) {
		listing->conn = request->conn;
		listing->session = atomic_load(&listing->conn->session);
		listing->handle_len = answer->handle_len;
		memcpy(listing->handle, answer->handle, answer->handle_len);
		listing->window = WINDOW_FIRST;
		listing->fruitless = 0;
		listing->bytes = 0;
		listing->ending = false;
		error = read_on(listing);
	}
	if (!error)
		return;
	tell(listing, answer, error);
	listing_free(listing);
}

static int open_listing(struct listing *listing)
{
	size_t len = strlen(listing->path);
	struct request *request = request_new(OP_OPENDIR, 4 + len, NULL, listing);
	struct writer writer;

	if (!request)
		return -ENOMEM;
	writer_init(&writer, request->body, request->body_len);
	writer_string(&writer, listing->path, len);
	request->finish = finish_opendir;
	pool_submit(listing->sftp, listing->lane, request);
	return 0;
}

int sftp_list(struct sftp *sftp, enum sftp_lane lane, const char *path, sftp_entry *entry, sftp_restart *restart, sftp_done *done,
	      void *arg)
{
	size_t len = strlen(path);
	struct listing *listing;
	int error;

	if (len > PROTO_MAX_PATH)
		return -ENAMETOOLONG;
	listing = calloc(1, sizeof(*listing) + len + 1);
	if (!listing)
		return -ENOMEM;
	listing->sftp = sftp;
	listing->lane = lane;
	listing->entry = entry;
	listing->restart = restart;
	listing->done = done;
	listing->arg = arg;
	memcpy(listing->path, path, len);
	error = open_listing(listing);
	if (error)
		listing_free(listing);
	return error;
}
