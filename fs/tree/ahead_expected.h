/*
 * ahead_expected: files that programs of this machine were promised (the inputs of units they took), in the order in which they were: who opens one will
 * most likely open the next ones too, whatever order their directory has. Several programs go through stretches of the list side by side.
 *
 *   add() ─▶ list ─▶ opened(): those after it that are worth opening now, as many as are needed within a guess's lifetime, half of them at a time
 *
 * No locks, no requests: the owner (ahead.c) holds its lock over every call here.
 */
#ifndef CLAIMFS_TREE_AHEAD_EXPECTED_H
#define CLAIMFS_TREE_AHEAD_EXPECTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "sftp/client.h"

#define EXPECTED_MAX 8192	/* of more, the oldest are forgotten */
#define EXPECTED_WINDOW 256	/* most that are opened before one is asked for … */
#define EXPECTED_BYTES (4ull * 1024 * 1024)	/* … unless they are larger than this together */

struct expected_file {
	char *path;		/* NULL: none, or it was opened */
	struct sftp_attrs attrs;
	bool guessed;
};

struct ahead_expected {
	struct expected_file *ring;	/* number % EXPECTED_MAX; NULL: nothing was ever expected */
	struct map places;		/* path → number + 1 */
	uint64_t next;			/* number of the next one */
	int64_t opened_ns;		/* when one was opened last */
	int64_t pace_ns;		/* from one to the next, about; 0: not known */
};

void expected_init(struct ahead_expected *expected);
void expected_release(struct ahead_expected *expected);

struct expected_next {		/* one to be guessed; good until the next call */
	const char *name;
	const struct sftp_attrs *attrs;
};

/* The path on the server, and what was told of it. When there is no memory it is not expected. */
void expected_add(struct ahead_expected *expected, const char *path, const struct sftp_attrs *attrs);

/*
 * It was opened at `now`. False: nobody expected it. *ret_count of those after it in its directory are to be guessed, at most `most` and
 * EXPECTED_WINDOW.
 */
bool expected_opened(struct ahead_expected *expected, const char *path, int64_t now, int64_t lifetime_ns, unsigned int most,
		     struct expected_next ret_next[EXPECTED_WINDOW], unsigned int *ret_count);

/* A guess grew too old: programs are slower than it seemed. */
void expected_missed(struct ahead_expected *expected);

#endif
