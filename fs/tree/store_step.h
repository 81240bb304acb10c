/*
 * store_step: the steps of a slot (store_flight.h), the answers they wait for, and what several operations end with. Private to the store_….c here.
 *
 *   step_begin ─▶ { step_expect ─▶ submit ─▶ step_sent } … ─▶ step_answer(0) ─▶ all answers are there ─▶ next
 *
 * Called on the thread that sends the flight or, from the second step on, on the I/O thread of the last answer. `next` may end the slot, and the
 * flight with it, before step_answer() returns: the slot must not be touched after it.
 */
#ifndef CLAIMFS_TREE_STORE_STEP_H
#define CLAIMFS_TREE_STORE_STEP_H

#include "tree/store_flight.h"

static inline struct sftp *step_sftp(const struct slot *slot)
{
	return slot->flight->store->sftp;
}

void step_begin(struct slot *slot, void (*next)(struct slot *slot));
void step_expect(struct slot *slot);			/* before each request of the step */
void step_sent(struct slot *slot, int error);		/* after it: what submitting it said; < 0: no answer will come */
void step_answer(struct slot *slot, int error);		/* one answer more is there, or all requests are sent; the first error stays */

/* A step of one request: `call` submits it, and answers to one of step_on_…(). */
#define STEP(slot, next, call)                  \
	do {                                    \
		step_begin((slot), (next));     \
		step_expect(slot);              \
		step_sent((slot), (call));      \
		step_answer((slot), 0);         \
	} while (0)

/* Completions of sftp/client.h. `arg` is the slot; of step_on_chunk its chunk. */
void step_on_done(void *arg, const struct sftp_reply *reply);
void step_on_attrs(void *arg, const struct sftp_reply *reply);		/* into slot->attrs */
void step_on_open(void *arg, const struct sftp_reply *reply);		/* into slot->file */
void step_on_open2(void *arg, const struct sftp_reply *reply);		/* into slot->file2 */
void step_on_chunk(void *arg, const struct sftp_reply *reply);		/* into chunk->got */

/* Closes what only was read, if it is open: nobody waits for the answer. */
void step_close_quietly(struct sftp_file **file);

/* The `next` that ends what only a disk can refuse, an open file's bytes: SFTP says "failure" for a full one too, so look. */
void step_write_end(struct slot *slot);

/* Cuts `len` bytes at `data`, from `offset` of the file on, into slot->chunks of at most `most`. 0 or -ENOMEM. */
int step_chunks(struct slot *slot, char *data, size_t len, uint64_t offset, size_t most);

void store_start_copy(struct slot *slot, const char *path, const char *path2);	/* of STORE_COPY, for slot_kinds */

#endif
