/*
 * fsx: what its files share: the model of a few files, which a mount is compared with. One thread, no locks.
 *
 *   struct run ──objects──▶ struct object (a file, by name or unlinked: its bytes) ◀── struct open_handle (a descriptor)
 *
 * An object is opened through one side (mount) at a time; another side may open it once it is closed there: close-to-open.
 */
#ifndef CLAIMFS_SOAK_FSX_H
#define CLAIMFS_SOAK_FSX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SIDES 2
#define NAMES 5
#define OBJECTS 16
#define HANDLES 10
#define LOG_LINES 4000
#define LOG_LINE 120
#define LOG_SHOWN 60

struct object {
	bool used;
	int name;			/* index, -1: unlinked */
	int side;			/* where its handles are, while it has any */
	int handles;
	size_t size;
	uint8_t *data;			/* of run->max_size bytes; zeroes behind size */
};

struct open_handle {
	struct object *object;		/* NULL: free */
	int fd;
	int flags;
};

struct run {
	const char *dir[SIDES];
	int sides;
	const char *disk;		/* the server's own view, or NULL */
	const char *control;		/* of the fault pipe, or NULL */
	long children_of;		/* process whose children are killed, 0: none */
	long cut_every;			/* operations, about */
	uint64_t seed;
	uint64_t state;			/* of the random numbers */
	long ops;
	long op;			/* the present one */
	long cuts;
	size_t max_size;
	size_t max_len;
	uint8_t *buffer;		/* of max_size bytes */
	struct object objects[OBJECTS];
	struct open_handle handles[HANDLES];
	char (*log)[LOG_LINE];
	long logged;
	char suspect[16];
};

/* ---- fsx_model.c ---- */

void run_init(struct run *run);		/* after seed and sizes are set */
void run_end(struct run *run);
uint32_t run_random(struct run *run, uint32_t below);
bool run_chance(struct run *run, uint32_t percent);
void run_fill(struct run *run, void *data, size_t len);

/* One operation, for whoever has to understand a mismatch. */
void run_log(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints why, seed, operation number and the last operations; ends the process with 1. */
_Noreturn void run_fail(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

void run_suspect(struct run *run, const struct object *object);	/* should it fail: all logged operations on this one are shown */
bool run_cuts(const struct run *run);	/* are connections being cut? */
bool run_may_lose(const struct run *run, const struct object *object);	/* it has no name, so it may go with its connection */
int run_index(const struct run *run, const struct object *object);
struct object *object_named(struct run *run, int name);
struct object *object_new(struct run *run, int name);		/* NULL: none is free */
void object_unlinked(struct object *object);
void object_write(struct object *object, size_t offset, const void *data, size_t len);
void object_truncate(struct object *object, size_t size);
struct open_handle *handle_any(struct run *run);		/* NULL: none is open */
struct open_handle *handle_new(struct run *run, struct object *object, int side, int fd, int flags);	/* NULL: none is free */
void handle_end(struct open_handle *handle);			/* the descriptor is the caller's */

/* What was read of [offset, offset + asked) is what the model has, the end of the file included. False: it is not, but the file may be lost
 * (run_may_lose): writes to it may have failed, which the next fsync or close will say. */
bool run_compare(struct run *run, const struct object *object, size_t offset, size_t asked, const uint8_t *got, ssize_t len, const char *how);

/* ---- fsx_cut.c ---- */

void cut_something(struct run *run);

#endif
