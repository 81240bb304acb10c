/*
 * db: what a mount keeps on the local disk between its lives, in LMDB. Only db.c includes LMDB.
 *
 * Everything in it can be made anew: a database that is damaged, of another format or of another owner is thrown away and begun empty. It is
 * opened by one mount at a time (a lock on its directory); a second one goes without.
 *
 * Format: the key "format" holds the caller's format string. To change what is kept under a format, change that string: older databases
 * are then thrown away.
 *
 * Must be opened after the last fork. A db is used by one thread at a time; the caller locks.
 */
#ifndef CLAIMFS_CACHE_DB_H
#define CLAIMFS_CACHE_DB_H

#include <stddef.h>
#include <stdint.h>

struct db;

/* Opens (or makes) the database in the directory `path`, whose parents are made. 0; -EBUSY another process has it; -errno. */
int db_open(const char *path, const char *format, struct db **ret_db);
void db_close(struct db *db);		/* NULL is fine */

/* Calls for each key that begins with `prefix`, in the order of keys; ends early with what `each` returns when that is not 0. What it gets is
 * valid during the call only. */
typedef int db_each(void *arg, const void *key, size_t key_len, const void *value, size_t value_len);
int db_walk(struct db *db, const char *prefix, db_each *each, void *arg);

/* One change at a time: all of it is there afterwards, or nothing. */
int db_begin(struct db *db);
int db_put(struct db *db, const void *key, size_t key_len, const void *value, size_t value_len);	/* what is there already is not written */
int db_clear(struct db *db);		/* all but the format */
int db_commit(struct db *db);		/* ends it, whatever it returns */
void db_abort(struct db *db);

#endif
