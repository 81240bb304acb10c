/*
 * db: see db.h. LMDB without its own locks: the directory's lock file, held by flock for as long as the database is open, keeps others out.
 */
#include "cache/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <lmdb.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"

#define MAP_BYTES ((size_t)4 << 30)	/* address space, not memory nor disk */
#define FORMAT_KEY "format"

struct db {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;		/* of db_begin() */
	int lock;
	char *path;
};

/* LMDB's own codes are negative and below every errno: the only place that knows them. */
static int db_error(int code)
{
	switch (code) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_BAD_VALSIZE:
		return -EINVAL;
	default:
		return code > 0 ? -code : -EUCLEAN;
	}
}

static int file_in(const char *dir, const char *name, struct buf *ret_path)
{
	buf_reset(ret_path);
	buf_addf(ret_path, "%s/%s", dir, name);
	return buf_error(ret_path);
}

static int take_lock(struct db *db)
{
	struct buf path = BUF_INIT;
	int error = file_in(db->path, "lock", &path);

	if (!error) {
		db->lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		error = db->lock < 0 ? -errno : flock(db->lock, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	}
	buf_release(&path);
	return error == -EWOULDBLOCK ? -EBUSY : error;
}

static int open_dbi(struct db *db)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (code)
		return db_error(code);
	code = mdb_dbi_open(txn, NULL, 0, &db->dbi);
	if (code) {
		mdb_txn_abort(txn);
		return db_error(code);
	}
	return db_error(mdb_txn_commit(txn));
}

static int open_env(struct db *db)
{
	struct buf path = BUF_INIT;
	int error = file_in(db->path, "data.mdb", &path), code;

	if (error)
		return error;
	code = mdb_env_create(&db->env);
	if (!code)
		code = mdb_env_set_mapsize(db->env, MAP_BYTES);
	/* A cache: a crash of the machine may cost it, which db_open() then sees. */
	if (!code)
		code = mdb_env_open(db->env, path.data, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOMETASYNC | MDB_NOTLS, 0600);
	buf_release(&path);
	error = code ? db_error(code) : open_dbi(db);
	if (error && db->env) {
		mdb_env_close(db->env);
		db->env = NULL;
	}
	return error;
}

static int has_format(struct db *db, const char *format)
{
	MDB_val key = { sizeof(FORMAT_KEY) - 1, (void *)(uintptr_t)FORMAT_KEY }, value;
	MDB_txn *txn;
	int error = db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));

	if (error)
		return error;
	error = db_error(mdb_get(txn, db->dbi, &key, &value));
	if (!error && (value.mv_size != strlen(format) || memcmp(value.mv_data, format, value.mv_size) != 0))
		error = -ENOENT;
	mdb_txn_abort(txn);
	return error;
}

static int write_format(struct db *db, const char *format)
{
	int error = db_begin(db);

	if (error)
		return error;
	error = db_put(db, FORMAT_KEY, sizeof(FORMAT_KEY) - 1, format, strlen(format));
	if (error) {
		db_abort(db);
		return error;
	}
	return db_commit(db);
}

static int begin_anew(struct db *db, const char *format)
{
	struct buf path = BUF_INIT;
	int error;

	if (db->env)
		mdb_env_close(db->env);
	db->env = NULL;
	error = file_in(db->path, "data.mdb", &path);
	if (!error && unlink(path.data) < 0 && errno != ENOENT)
		error = -errno;
	buf_release(&path);
	if (!error)
		error = open_env(db);
	return error ? error : write_format(db, format);
}

int db_open(const char *path, const char *format, struct db **ret_db)
{
	struct db *db = calloc(1, sizeof(*db));
	int error;

	if (!db)
		return -ENOMEM;
	db->lock = -1;
	db->path = strdup(path);
	error = db->path ? io_mkdirs(path, 0700) : -ENOMEM;
	if (!error)
		error = take_lock(db);
	if (error)
		goto fail;
	error = open_env(db);
	if (!error)
		error = has_format(db, format);
	if (error) {
		if (error != -ENOENT)
			log_info("cache %s: %s: begun anew", path, log_strerror(error));
		error = begin_anew(db, format);
	}
	if (error)
		goto fail;
	*ret_db = db;
	return 0;
fail:
	db_close(db);
	return error;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	db_abort(db);
	if (db->env)
		mdb_env_close(db->env);
	if (db->lock >= 0)
		close(db->lock);
	free(db->path);
	free(db);
}

int db_walk(struct db *db, const char *prefix, db_each *each, void *arg)
{
	size_t len = strlen(prefix);
	MDB_val key = { len, (void *)(uintptr_t)prefix }, value;
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int error = db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));
	int code;

	if (error)
		return error;
	code = mdb_cursor_open(txn, db->dbi, &cursor);
	if (!code)
		code = len ? mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE) : mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	while (!code && !error && key.mv_size >= len && memcmp(key.mv_data, prefix, len) == 0) {
		error = each(arg, key.mv_data, key.mv_size, value.mv_data, value.mv_size);
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	if (cursor)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return error ? error : code == MDB_NOTFOUND ? 0 : db_error(code);
}

int db_begin(struct db *db)
{
	return db_error(mdb_txn_begin(db->env, NULL, 0, &db->txn));
}

int db_put(struct db *db, const void *key, size_t key_len, const void *value, size_t value_len)
{
	MDB_val name = { key_len, (void *)(uintptr_t)key }, data = { value_len, (void *)(uintptr_t)value }, there;

	if (mdb_get(db->txn, db->dbi, &name, &there) == MDB_SUCCESS && there.mv_size == value_len &&
	    memcmp(there.mv_data, value, value_len) == 0)
		return 0;
	return db_error(mdb_put(db->txn, db->dbi, &name, &data, 0));
}

int db_clear(struct db *db)
{
	MDB_val key = { sizeof(FORMAT_KEY) - 1, (void *)(uintptr_t)FORMAT_KEY }, value;
	struct buf format = BUF_INIT;
	int error = db_error(mdb_get(db->txn, db->dbi, &key, &value));

	if (!error) {
		buf_add(&format, value.mv_data, value.mv_size);
		error = buf_error(&format);
	}
	if (!error)
		error = db_error(mdb_drop(db->txn, db->dbi, 0));
	if (!error)
		error = db_put(db, FORMAT_KEY, sizeof(FORMAT_KEY) - 1, format.data, format.len);
	buf_release(&format);
	return error;
}

int db_commit(struct db *db)
{
	MDB_txn *txn = db->txn;

	db->txn = NULL;
	return db_error(mdb_txn_commit(txn));
}

void db_abort(struct db *db)
{
	if (db->txn)
		mdb_txn_abort(db->txn);
	db->txn = NULL;
}
