/* The local database: what is kept, what is thrown away, and who may open it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io.h"
#include "cache/db.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/claimfs-db-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(in_dir("cache/data.mdb"));
	unlink(in_dir("cache/lock"));
	rmdir(in_dir("cache"));
	return rmdir(dir);
}

static int add_to(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	buf_addf(arg, "%.*s=%.*s;", (int)key_len, (const char *)key, (int)value_len, (const char *)value);
	return 0;
}

static void assert_holds(struct db *db, const char *prefix, const char *expected)
{
	struct buf text = BUF_INIT;

	assert_int_equal(db_walk(db, prefix, add_to, &text), 0);
	assert_string_equal(buf_text(&text), expected);
	buf_release(&text);
}

static void put(struct db *db, const char *key, const char *value)
{
	assert_int_equal(db_put(db, key, strlen(key), value, strlen(value)), 0);
}

static struct db *open_db(const char *format)
{
	struct db *db = NULL;

	assert_int_equal(db_open(in_dir("cache"), format, &db), 0);
	return db;
}

static void keeps_what_was_committed(void **state)
{
	struct db *db = open_db("one");

	(void)state;
	assert_int_equal(db_begin(db), 0);
	put(db, "u2", "b");
	put(db, "u1", "a");
	put(db, "v1", "c");
	assert_int_equal(db_commit(db), 0);
	assert_int_equal(db_begin(db), 0);
	put(db, "u3", "never");
	db_abort(db);
	db_close(db);
	db = open_db("one");
	assert_holds(db, "u", "u1=a;u2=b;");
	assert_holds(db, "w", "");
	db_close(db);
}

static struct timespec written(void)
{
	struct stat stat_;

	assert_int_equal(stat(in_dir("cache/data.mdb"), &stat_), 0);
	return stat_.st_mtim;
}

static void what_is_there_already_is_not_written(void **state)
{
	struct db *db = open_db("one");
	struct timespec before;

	(void)state;
	assert_int_equal(db_begin(db), 0);
	put(db, "u1", "a");
	put(db, "u2", "");
	assert_int_equal(db_commit(db), 0);
	before = written();
	assert_int_equal(db_begin(db), 0);
	put(db, "u1", "a");
	put(db, "u2", "");
	assert_int_equal(db_commit(db), 0);
	assert_memory_equal(&before, &(struct timespec[]) { written() }, sizeof(before));
	/* Long enough for the filesystem's clock to have moved. */
	usleep(20000);
	assert_int_equal(db_begin(db), 0);
	put(db, "u1", "b");
	assert_int_equal(db_commit(db), 0);
	assert_memory_not_equal(&before, &(struct timespec[]) { written() }, sizeof(before));
	assert_holds(db, "u", "u1=b;u2=;");
	db_close(db);
}

static void clears_all_but_the_format(void **state)
{
	struct db *db = open_db("one");

	(void)state;
	assert_int_equal(db_begin(db), 0);
	put(db, "u1", "a");
	assert_int_equal(db_clear(db), 0);
	put(db, "u9", "z");
	assert_int_equal(db_commit(db), 0);
	db_close(db);
	db = open_db("one");
	assert_holds(db, "u", "u9=z;");
	db_close(db);
}

static void another_format_begins_anew(void **state)
{
	struct db *db = open_db("one");

	(void)state;
	assert_int_equal(db_begin(db), 0);
	put(db, "u1", "a");
	assert_int_equal(db_commit(db), 0);
	db_close(db);
	db = open_db("two");
	assert_holds(db, "u", "");
	db_close(db);
}

static void damage_begins_anew(void **state)
{
	static const char junk[8192] = "this is no database";
	struct db *db;

	(void)state;
	assert_int_equal(io_mkdirs(in_dir("cache"), 0700), 0);
	assert_int_equal(io_write_file(in_dir("cache/data.mdb"), junk, sizeof(junk), 0600), 0);
	db = open_db("one");
	assert_holds(db, "u", "");
	db_close(db);
	assert_int_equal(truncate(in_dir("cache/data.mdb"), 100), 0);
	db = open_db("one");
	assert_holds(db, "u", "");
	db_close(db);
}

static void a_second_one_is_refused(void **state)
{
	struct db *db = open_db("one"), *second = NULL;

	(void)state;
	assert_int_equal(db_open(in_dir("cache"), "one", &second), -EBUSY);
	db_close(db);
	second = open_db("one");
	db_close(second);
}

static int stop_at_first(void *arg, const void *key, size_t key_len, const void *value, size_t value_len)
{
	(void)key, (void)key_len, (void)value, (void)value_len;
	++*(int *)arg;
	return -ECANCELED;
}

static void a_walk_ends_with_what_each_says(void **state)
{
	struct db *db = open_db("one");
	int calls = 0;

	(void)state;
	assert_int_equal(db_begin(db), 0);
	put(db, "u1", "a");
	put(db, "u2", "b");
	assert_int_equal(db_commit(db), 0);
	assert_int_equal(db_walk(db, "u", stop_at_first, &calls), -ECANCELED);
	assert_int_equal(calls, 1);
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_what_was_committed, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(what_is_there_already_is_not_written, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(clears_all_but_the_format, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(another_format_begins_anew, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(damage_begins_anew, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_second_one_is_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_walk_ends_with_what_each_says, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
