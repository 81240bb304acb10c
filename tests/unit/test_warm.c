/* test_warm: directories that are worked in are looked at before the kernel asks again; and what the server takes away is not believed in for long. */
#include <sys/stat.h>

#include "tests/fake/files.h"
#include "tree/warm.h"

static _Atomic int64_t shift_ns;

static int64_t shifted(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec + shift_ns;
}

static void later(int ms)
{
	shift_ns += ms * NS_PER_MS;
}

static int set_up(void **state)
{
	shift_ns = 0;
	clock_set_source(shifted);
	return files_set_up(state);
}

static int tear_down(void **state)
{
	int failed;

	warm_stop(files.tree->warm);	/* so that no node is left */
	failed = files_tear_down(state);
	clock_set_source(NULL);
	return failed;
}

static void make_dir(const char *name)
{
	char path[300];

	rig_path(&files.rig, name, path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
}

static void remove_dir(const char *name)
{
	char path[300];

	rig_path(&files.rig, name, path, sizeof(path));
	assert_int_equal(rmdir(path), 0);
}

static int look_up(struct node *dir, const char *name, struct node **ret_node, double *ret_ttl)
{
	struct awaited *awaited = files_ask();
	int error;

	real_ops.lookup(files.tree, dir, name, &awaited->reply);
	error = awaited_wait(awaited);
	if (!error) {
		*ret_node = awaited->node;
		if (ret_ttl)
			*ret_ttl = awaited->attr_ttl;
	}
	files_done_with(awaited);
	return error;
}

static struct node *expect(struct node *dir, const char *name)
{
	struct node *node = NULL;

	assert_int_equal(look_up(dir, name, &node, NULL), 0);
	return node;
}

/* What programs do in a directory: look for a name that is not there. It comes back when all that was sent before is answered, too. */
static void work_in(struct node *dir)
{
	struct node *node;

	assert_int_equal(look_up(dir, "missing", &node, NULL), -ENOENT);
}

static unsigned int asked(void)
{
	return peer_count(files.rig.peer, FXP_LSTAT);
}

/* ---- tests ---- */

static void test_kept_warm(void **state)
{
	struct node *a, *b;
	unsigned int before;
	double ttl = 9;
	int i;

	(void)state;
	make_dir("a");
	make_dir("a/b");
	a = expect(files.tree->root, "a");
	b = expect(a, "b");
	for (i = 0; i < 20; i++) {
		work_in(b);
		later(200);
	}
	before = asked();
	assert_int_equal(look_up(files.tree->root, "a", &a, &ttl), 0);
	assert_ptr_equal(b->parent, a);
	assert_int_equal(look_up(a, "b", &b, NULL), 0);
	assert_int_equal(asked(), before);		/* not a trip for both of them */
	assert_true(ttl == 0);				/* and their attributes are asked for when they are wanted */
	for (i = 0; i < 2; i++) {
		files_forget(a);
		files_forget(b);
	}
}

static void test_not_too_often(void **state)
{
	struct node *a;
	unsigned int before;
	int i;

	(void)state;
	make_dir("a");
	a = expect(files.tree->root, "a");
	before = asked();
	for (i = 0; i < 100; i++) {		/* two seconds */
		work_in(a);
		later(20);
	}
	assert_in_range(asked() - before - 100, 2, 4);
	files_forget(a);
}

/* A walk through many directories: none is looked at for nothing. */
static void test_passing_through(void **state)
{
	unsigned int before;
	struct node *dir;
	char name[16];
	int i;

	(void)state;
	before = asked();
	for (i = 0; i < 3 * WARM_DIRS; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		make_dir(name);
		dir = expect(files.tree->root, name);
		work_in(dir);
		work_in(dir);
		files_forget(dir);
		later(100);
	}
	assert_int_equal(asked() - before, 3 * 3 * WARM_DIRS);
}

static void test_removed_elsewhere(void **state)
{
	struct node *a, *again;
	int i;

	(void)state;
	make_dir("a");
	a = expect(files.tree->root, "a");
	for (i = 0; i < 10; i++) {
		work_in(a);
		later(200);
	}
	remove_dir("a");
	later(1001);
	assert_int_equal(look_up(files.tree->root, "a", &again, NULL), -ENOENT);
	rig_put(&files.rig, "a", "a file", 6);
	work_in(a);
	again = expect(files.tree->root, "a");
	assert_ptr_not_equal(again, a);
	files_forget(again);
	files_forget(a);
}

static void test_removed_here(void **state)
{
	struct awaited *awaited = files_ask();
	struct node *a, *again;
	int i;

	(void)state;
	make_dir("a");
	a = expect(files.tree->root, "a");
	for (i = 0; i < 5; i++) {
		work_in(a);
		later(200);
	}
	real_ops.rmdir(files.tree, files.tree->root, "a", &awaited->reply);
	assert_int_equal(files_end(awaited), 0);
	assert_int_equal(look_up(files.tree->root, "a", &again, NULL), -ENOENT);
	files_forget(a);
}

/* After a pause: the kernel asks for one after the other, but they were all looked at with the first. */
static void test_after_a_pause(void **state)
{
	struct node *a, *b, *c;
	unsigned int before;
	int i;

	(void)state;
	make_dir("a");
	make_dir("a/b");
	make_dir("a/b/c");
	a = expect(files.tree->root, "a");
	b = expect(a, "b");
	c = expect(b, "c");
	work_in(c);
	later(5000);
	before = asked();
	assert_int_equal(look_up(files.tree->root, "a", &a, NULL), 0);
	assert_in_range(asked() - before, 3, 4);	/* is the peer alive, after so long? */
	before = asked();
	assert_int_equal(look_up(a, "b", &b, NULL), 0);
	assert_int_equal(look_up(b, "c", &c, NULL), 0);
	assert_int_equal(asked(), before);
	for (i = 0; i < 2; i++) {
		files_forget(c);
		files_forget(b);
		files_forget(a);
	}
}

/* What the kernel asks before it has to is a question of consequence: mkdir as a lock. */
static void test_doubt(void **state)
{
	struct node *a, *again;
	int i;

	(void)state;
	make_dir("a");
	a = expect(files.tree->root, "a");
	for (i = 0; i < 10; i++) {
		work_in(a);
		later(200);
	}
	again = expect(files.tree->root, "a");		/* from what was seen */
	remove_dir("a");
	assert_int_equal(look_up(files.tree->root, "a", &again, NULL), -ENOENT);
	files_forget(a);
	files_forget(a);
}

static bool is_held(void *arg)
{
	(void)arg;
	return peer_rules_done(files.rig.peer);
}

static void test_answer_after_the_end(void **state)
{
	struct node *a;

	(void)state;
	make_dir("a");
	a = expect(files.tree->root, "a");
	work_in(a);
	later(800);
	peer_rule(files.rig.peer, FXP_LSTAT, 0, 1, PEER_HOLD);
	warm_used(files.tree->warm, a);
	warm_stop(files.tree->warm);
	warm_used(files.tree->warm, a);			/* nothing any more */
	assert_true(rig_until(is_held, NULL));
	peer_release(files.rig.peer);
	work_in(a);
	files_forget(a);
}

#define WARM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WARM_TEST(test_kept_warm),
		WARM_TEST(test_not_too_often),
		WARM_TEST(test_passing_through),
		WARM_TEST(test_removed_elsewhere),
		WARM_TEST(test_removed_here),
		WARM_TEST(test_after_a_pause),
		WARM_TEST(test_doubt),
		WARM_TEST(test_answer_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
