/* peer_ops: carries requests out on a directory, for peer.c. */
#ifndef CLAIMFS_TESTS_FAKE_PEER_OPS_H
#define CLAIMFS_TESTS_FAKE_PEER_OPS_H

#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "peer.h"
#include "sftp/codec.h"

#define PEER_HANDLES 512

struct peer_handle {
	bool used;
	bool append;
	int fd;
	DIR *dir;
	bool lied;
};

struct peer_ops {
	const char *root;
	bool short_read;	/* for the next request */
	bool lies;
	enum peer_listing lists;
	unsigned int listed;	/* names made up so far */
	uint64_t limit;		/* bytes of a read or write */
	atomic_int handle_count;
	struct peer_handle handles[PEER_HANDLES];
};

/* The answer's type, id and body into `answer`; `body` stands behind the id. */
void peer_carry_out(struct peer_ops *ops, uint8_t type, uint32_t id, struct reader *body, struct writer *answer);
void peer_ops_release(struct peer_ops *ops);

#endif
