/*
 * memo_store: results of commands by what they depend on, in a directory that many nodes share.
 *
 *   STORE/KK/KEY        one result: "memo 1 STATUS LENGTH\n" and LENGTH bytes of standard output; linked into place whole, never changed
 *   STORE/KK/KEY.run    somebody is computing it: its mtime is set every few seconds
 *   STORE/KK/KEY.*.tmp  a result on its way
 *
 * KEY is the XXH3-128 of the command's words and of the contents of the files it depends on, KK its first two digits. Two that compute the same at
 * once are no harm: the first result linked is the one both give.
 *
 * Format 1. To change it: a new number in the first line; readers take a file they don't understand for none.
 */
#ifndef CLAIMFS_TOOLS_MEMO_STORE_H
#define CLAIMFS_TOOLS_MEMO_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"

/* 0, or -errno with the file that could not be read in `why`. */
int memo_key(char *const *command, char *const *files, size_t file_count, struct hash128 *ret_key, struct buf *why);

struct memo_place {
	struct buf result;	/* paths */
	struct buf running;
};

int memo_place_init(struct memo_place *place, const char *store, const struct hash128 *key);	/* makes the directories; 0 or -errno */
void memo_place_release(struct memo_place *place);

/* 0 with the result; -ENOENT when there is none, or none that can be read. */
int memo_read(const struct memo_place *place, int *ret_status, struct buf *ret_output);

/* 0; -EEXIST when there was one already, unless it is to be replaced. */
int memo_write(const struct memo_place *place, int status, const void *output, size_t len, bool replace);

/* Begins to compute: 0; -EBUSY while another does, or did until moments ago (`watch` is this caller's, zeroed at first). */
struct memo_watch {
	int64_t mtime_ns;
	int64_t since_ns;
	bool seen;
};
int memo_begin(const struct memo_place *place, struct memo_watch *watch);
void memo_beat(const struct memo_place *place);		/* every MEMO_BEAT_NS */
void memo_end(const struct memo_place *place);

#define MEMO_BEAT_NS (5LL * 1000000000)

#endif
