/* keep_db: see keep_db.h. */
#include "tree/keep_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "cache/db.h"
#include "queue/remember.h"

struct keep_db {
	struct keep keep;
	struct db *db;
};

static struct db *db_of(struct keep *keep)
{
	return ((struct keep_db *)keep)->db;
}

static int keep_walk(struct keep *keep, const char *prefix, keep_each *each, void *arg)
{
	return db_walk(db_of(keep), prefix, each, arg);
}

static int keep_begin(struct keep *keep)
{
	return db_begin(db_of(keep));
}

static int keep_put(struct keep *keep, const char *key, const void *value, size_t len)
{
	return db_put(db_of(keep), key, strlen(key), value, len);
}

static int keep_clear(struct keep *keep)
{
	return db_clear(db_of(keep));
}

static int keep_commit(struct keep *keep)
{
	return db_commit(db_of(keep));
}

static void keep_abort(struct keep *keep)
{
	db_abort(db_of(keep));
}

static void keep_free(struct keep *keep)
{
	db_close(db_of(keep));
	free(keep);
}

static const struct keep_ops keep_db_ops = {
	.walk = keep_walk, .begin = keep_begin, .put = keep_put, .clear = keep_clear, .commit = keep_commit, .abort = keep_abort,
	.free = keep_free,
};

static int db_path(const char *cache_dir, const char *scope, const char *path, struct buf *ret)
{
	char hex[HASH_HEX_LEN + 1];
	struct buf name = BUF_INIT;
	struct hash128 hash;
	int error;

	buf_add(&name, scope, strlen(scope) + 1);
	buf_adds(&name, path);
	error = buf_error(&name);
	if (!error) {
		hash = hash128_of(name.data, name.len);
		hash128_hex(&hash, hex);
		buf_addf(ret, "%s/%s", cache_dir, hex);
		error = buf_error(ret);
	}
	buf_release(&name);
	return error;
}

int keep_db_open(const char *cache_dir, const char *scope, const char *path, struct keep **ret_keep)
{
	struct keep_db *keep = calloc(1, sizeof(*keep));
	struct buf dir = BUF_INIT;
	int error = keep ? db_path(cache_dir, scope, path, &dir) : -ENOMEM;

	if (!error)
		error = db_open(dir.data, REMEMBER_FORMAT, &keep->db);
	buf_release(&dir);
	if (error) {
		free(keep);
		return error;
	}
	keep->keep.ops = &keep_db_ops;
	*ret_keep = &keep->keep;
	return 0;
}
