/*
 * store_mem: queue/store.h in memory, for tests: a disk with a clock of its own and everything that can go wrong.
 *
 * One disk (struct mem_disk) has any number of mounts (struct store), each with faults of its own. Files are inodes with link counts, mtimes in whole
 * seconds of the disk's clock, directories are made by paths ("a/b"); "." and "/." mean what they mean on a disk.
 *
 * Thread-safe. Each operation is atomic; a flight's operations are carried out in order, interleaved with those of other mounts.
 */
#ifndef CLAIMFS_TESTS_STORE_MEM_H
#define CLAIMFS_TESTS_STORE_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "queue/store.h"

struct mem_disk;

struct mem_disk *mem_disk_new(void);
void mem_disk_free(struct mem_disk *disk);

/* ---- the clock: begins at 1,700,000,000 s and runs with clock_now(), plus what is added ---- */

int64_t mem_disk_time(struct mem_disk *disk);			/* seconds */
void mem_disk_shift(struct mem_disk *disk, int64_t seconds);	/* the server's clock is set */

/* ---- looking and changing behind everybody's back ---- */

bool mem_disk_exists(struct mem_disk *disk, const char *path);
int mem_disk_write(struct mem_disk *disk, const char *path, const void *data, size_t len);	/* made with its directories */
int mem_disk_puts(struct mem_disk *disk, const char *path, const char *text);
int mem_disk_read(struct mem_disk *disk, const char *path, struct buf *ret);
int mem_disk_mkdirs(struct mem_disk *disk, const char *path);
int mem_disk_link(struct mem_disk *disk, const char *from, const char *to);
int mem_disk_remove(struct mem_disk *disk, const char *path);
int mem_disk_set_mtime(struct mem_disk *disk, const char *path, int64_t mtime);
int mem_disk_mtime(struct mem_disk *disk, const char *path, int64_t *ret_mtime);
/* Base names in a directory, each with its NUL; how many, or -errno. */
int mem_disk_list(struct mem_disk *disk, const char *path, struct buf *ret_names);
void mem_disk_set_link_limit(struct mem_disk *disk, uint32_t links);	/* names of one inode; 0: none */
void mem_disk_set_full(struct mem_disk *disk, bool full);		/* nothing can be created or grow */

/* ---- mounts ---- */

struct store *mem_mount(struct mem_disk *disk);
void mem_unmount(struct store *store);
void mem_cancel(struct store *store);			/* store_cancelled() from now on */

/*
 * A fault, for the next `count` operations of `kind` whose path or path2 holds `part` (NULL: any), after `skip` of them:
 *   MEM_LOSE_ANSWER   carried out, but the answer never comes: STORE_UNKNOWN (idempotent ones: -ETIMEDOUT)
 *   MEM_LOSE_REQUEST  not carried out: the same answers
 *   MEM_LATE          not carried out now: STORE_UNKNOWN; an old server does it at mem_do_late()
 *   MEM_FAIL          not carried out: `error`
 *   MEM_SLOW          carried out, and answered `slow_ns` of clock_now() later (the test's clock is moved by `advance`)
 */
enum mem_fault_kind { MEM_LOSE_ANSWER, MEM_LOSE_REQUEST, MEM_LATE, MEM_FAIL, MEM_SLOW };

struct mem_fault {
	enum mem_fault_kind fault;
	enum store_kind kind;
	const char *part;		/* kept by reference */
	int skip;
	int count;
	int error;			/* MEM_FAIL */
	void (*advance)(void *arg);	/* MEM_SLOW: called while the answer is on its way, without the disk's lock */
	void *arg;
};

void mem_fault(struct store *store, const struct mem_fault *fault);
void mem_clear_faults(struct store *store);
int mem_do_late(struct store *store);			/* what was late is done now; how many */

/* From the operation number `at` on (counted from now, 0 first) nothing reaches the disk any more: a node that died. */
void mem_cut(struct store *store, int64_t at);
void mem_uncut(struct store *store);
bool mem_is_cut(struct store *store);			/* nothing reaches the disk now */

/* Called before each operation is carried out, without the disk's lock: tests run another mount's steps in between. */
typedef void mem_hook(void *arg, const struct store_op *op);
void mem_set_hook(struct store *store, mem_hook *hook, void *arg);

uint64_t mem_flights(struct store *store);		/* round trips: flights and listings */
uint64_t mem_flights_here(void);			/* those of the calling thread, on all mounts */
uint64_t mem_count(struct store *store, enum store_kind kind);

/* From now on a listing of `path` (kept by reference; of what is below it, if it ends with a slash) takes `us` microseconds. How many there were since, and
 * the shortest time from the begin of one to that of the next (INT64_MAX: there were not two). */
void mem_slow_listings(struct store *store, const char *path, unsigned int us);
uint64_t mem_slowed(struct store *store);
int64_t mem_slowed_gap(struct store *store);

#endif
