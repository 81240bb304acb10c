/*
 * pool: one server and its connections: which of them carries what. Internal to the engine.
 *
 * Connection 0 carries the control lane; the others, opened when the load asks for them, the data lane. While no data connection is up,
 * data goes over connection 0; else no more than the first STRIPE_BYTES of a file that was opened there. A small request on an open file goes
 * where the file was opened; large ones are spread over the data connections once more than STRIPE_BYTES of a file are under way.
 *
 * Near a server no more than options.near_data of them are used, and one besides for what takes long (fsync, copy): two copies go side by side, and
 * what may not wait for one goes beside it. Of files that are opened to be fsynced there may be many: where that takes long they are spread over all.
 */
#ifndef CLAIMFS_SFTP_POOL_H
#define CLAIMFS_SFTP_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "sftp/channel.h"
#include "sftp/client.h"
#include "sftp/conn.h"
#include "sftp/handle.h"
#include "sftp/stats.h"

#define POOL_MAX_CONNS 64
#define POOL_BULK_BYTES (32u * 1024)	/* a read or write of so much is bulk, and so are many of one file */
#define POOL_STRIPE_BYTES (1024u * 1024)
#define POOL_BUSY_LOAD (1024u * 1024)	/* a data connection with more is reason to open another */
#define POOL_FIRST_LOAD (256u * 1024)	/* load of connection 0 that is reason to open the first data connection */
/*
 * From this round trip on the data maker is not used: the ssh program takes 2 MiB (CHAN_SES_WINDOW_DEFAULT of OpenSSH's channels.h) a round trip and
 * connection and no more, which from here on is less than libssh2 moves.
 */
#define POOL_FAR_NS (5 * NS_PER_MS)
/*
 * Of writes, for each connection to a near server: sshd's window (CHAN_SES_WINDOW_DEFAULT). What is more waits in ssh's buffers and leaves the processors'
 * caches there: with 16 MiB a file of 256 MiB took 1.44 s of CPU in all processes, with 2 MiB 1.36 s (medians of 14 pairs).
 */
#define POOL_NEAR_FLYING (2048u * 1024)
#define POOL_FSYNC_NS (200 * NS_PER_US)	/* a disk that takes longer for an fsync than it takes to wake another chain of processes is asked for several at once */
#define POOL_REQUEST_COST 4096u		/* what a request weighs beside its data */

enum pool_start { POOL_STARTING, POOL_STARTED, POOL_FAILED };

struct sftp {
	struct channel_maker *maker;
	struct sftp_options options;
	int count;
	struct conn *conns[POOL_MAX_CONNS];
	int cancel_fd;			/* readable once closing, for makers and back-offs */
	atomic_bool closing;
	atomic_uint holding;		/* threads between sftp_hold() and sftp_go() */
	atomic_uint features;
	atomic_uint max_read;
	atomic_uint max_handles;
	atomic_uint max_write;
	atomic_llong fsync_ns;		/* what the server takes for an fsync: a moving mean */
	struct stats stats;
	pthread_t minder;
	bool minding;
	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t changed;
	enum pool_start start;
	int start_error;
	struct buf start_why;
};

bool pool_is_far(const struct sftp *sftp);

/* Sends a request: sets its deadline, chooses its connection. It is finished once, whatever happens. */
void pool_submit(struct sftp *sftp, enum sftp_lane lane, struct request *request);

/* A request that its connection gave back, or that may not go where it was sent. */
void pool_reroute(struct sftp *sftp, struct request *request);

/* Reports from connections. `error` 0: it speaks SFTP, with these limits. */
void pool_connected(struct conn *conn, const struct limits *limits);
void pool_failed(struct conn *conn, int error, const char *why);
void pool_down(struct conn *conn);	/* the minder must look after its requests */

/* An fsync was answered, `took_ns` after the server could begin with it. I/O threads. */
void pool_fsynced(struct sftp *sftp, int64_t took_ns);

/* Has any other connection's peer been heard since? */
bool pool_heard_since(const struct sftp *sftp, const struct conn *but, int64_t since_ns);

/* For the tests: how many connections are up. */
int pool_up_count(const struct sftp *sftp);

#endif
