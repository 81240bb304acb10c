/* test_ahead: files guessed while a directory is read in order: when, how many, and that a guess never hides a change. */
#include <semaphore.h>
#include <sys/stat.h>

#include "tests/fake/files.h"
#include "tree/ahead.h"

#define COUNT 60

static void name_of(int i, char ret_name[16])
{
	snprintf(ret_name, 16, "f%03d", (i * 7) % COUNT);	/* the server lists them in an order of its own */
}

static void put_files(void)
{
	char name[16], text[32];
	int i;

	for (i = 0; i < COUNT; i++) {
		name_of(i, name);
		snprintf(text, sizeof(text), "text %s", name);
		rig_put(&files.rig, name, text, strlen(text));
	}
}

/* ---- a reader of directories ---- */

struct lister {
	struct reply reply;
	char names[COUNT + 8][16];
	int count;
	off_t next;
	bool full;
	sem_t done;
};

static bool take_dirent(struct reply *reply, const char *name, const struct stat *st, const struct tree_entry *plus, off_t next)
{
	struct lister *lister = container_of(reply, struct lister, reply);

	(void)st;
	(void)plus;
	if (lister->count == COUNT + 8)
		return false;
	if (name[0] == 'f')
		snprintf(lister->names[lister->count++], 16, "%s", name);
	lister->next = next;
	lister->full = true;
	return true;
}

static void take_end(struct reply *reply)
{
	sem_post(&container_of(reply, struct lister, reply)->done);
}

static void take_error(struct reply *reply, int error)
{
	(void)error;
	take_end(reply);
}

/* Lists the root; the names in the server's order. */
static void list_root(struct lister *lister)
{
	static const struct reply_ops ops = { .dirent = take_dirent, .dirents = take_end, .error = take_error };
	struct awaited *awaited = files_ask();
	struct handle *handle;

	memset(lister, 0, sizeof(*lister));
	lister->reply.ops = &ops;
	sem_init(&lister->done, 0, 0);
	real_ops.opendir(files.tree, files.tree->root, &awaited->reply);
	assert_int_equal(awaited_wait(awaited), 0);
	handle = awaited->opened.handle;
	files_done_with(awaited);
	do {
		lister->full = false;
		handle->ops->readdir(handle, lister->next, false, &lister->reply);
		sem_wait(&lister->done);
	} while (lister->full);
	sem_destroy(&lister->done);
	files_release(handle);
	assert_int_equal(lister->count, COUNT);
}

static void read_named(const char *name)
{
	struct handle *handle = files_open(name, O_RDONLY);
	char text[32];

	snprintf(text, sizeof(text), "text %s", name);
	files_expect_read(handle, 0, 4096, text, strlen(text));
	files_release(handle);
}

static void read_nth(int i)
{
	char name[16];

	snprintf(name, sizeof(name), "f%03d", i);
	read_named(name);
}

/* Leftovers are closed when the tree stops; here so that tear_down() finds all handles closed. */
static void stop_guessing(void)
{
	ahead_stop(files.tree->ahead);
}

/* Guesses are under way; the peer has answered all it was asked so far when the count stays the same for a request of our own. */
static void settle(void)
{
	unsigned int before;

	do {
		before = peer_count(files.rig.peer, FXP_OPEN);
		files_forget(files_look_up("f000"));
	} while (peer_count(files.rig.peer, FXP_OPEN) != before);
}

/* ---- tests ---- */

#define TRIES 8

/*
 * `guessed`, on a mount of its own, says whether the counts are those of guesses that came in time. On a busy machine a guess may grow too old before
 * the program comes to its file, rightly; not every time.
 */
static void in_time(bool (*guessed)(void))
{
	int tries;

	put_files();
	for (tries = 1; !guessed(); tries++) {
		assert_true(tries < TRIES);
		stop_guessing();
		assert_int_equal(files_tear_down(NULL), 0);
		assert_int_equal(files_set_up(NULL), 0);
		put_files();
	}
	stop_guessing();
}

static bool guessed_in_sorted_order(void)
{
	struct lister lister;
	unsigned int before;
	int i;

	list_root(&lister);
	for (i = 0; i < 4; i++)
		read_nth(i);
	settle();
	before = peer_count(files.rig.peer, FXP_OPEN);
	for (i = 4; i < COUNT; i++)
		read_nth(i);
	return before > 6 && peer_count(files.rig.peer, FXP_OPEN) == COUNT;	/* it has gone ahead, and opened each once */
}

static void test_sorted_order(void **state)
{
	(void)state;
	in_time(guessed_in_sorted_order);
}

static bool guessed_in_servers_order(void)
{
	struct lister lister;
	int i;

	list_root(&lister);
	for (i = 0; i < COUNT; i++)
		read_named(lister.names[i]);
	/* Lookups were answered from guesses. */
	return peer_count(files.rig.peer, FXP_OPEN) == COUNT && peer_count(files.rig.peer, FXP_LSTAT) < COUNT + COUNT / 2;
}

static void test_servers_order(void **state)
{
	(void)state;
	in_time(guessed_in_servers_order);
}

/* In whatever order they were promised, without a listing; one that is too large is not. */
static void test_promised(void **state)
{
	char name[16], path[17];
	int i;

	(void)state;
	put_files();
	for (i = 0; i < COUNT; i++) {
		name_of(i, name);
		snprintf(path, sizeof(path), "/%s", name);
		ahead_expect(files.tree->ahead, path, &(struct sftp_attrs){ .size = i == COUNT - 1 ? AHEAD_FILE + 1 : 9 });
	}
	for (i = 0; i < COUNT - 1; i++) {
		name_of(i, name);
		read_named(name);
	}
	settle();
	assert_int_equal(peer_count(files.rig.peer, FXP_OPEN), COUNT - 1);	/* each once */
	assert_int_equal(peer_count(files.rig.peer, FXP_OPENDIR), 0);
	assert_true(peer_count(files.rig.peer, FXP_LSTAT) < COUNT + COUNT / 2 + 10);	/* lookups were answered from guesses, but for the first ones */
	stop_guessing();
}

static void promise_all(const struct sftp_attrs *attrs)
{
	char path[17] = "/";
	int i;

	for (i = 0; i < COUNT; i++) {
		name_of(i, path + 1);
		ahead_expect(files.tree->ahead, path, attrs);
	}
}

/* As a look at one of them told that was sent just now. */
static struct sftp_attrs looked_now(void)
{
	return (struct sftp_attrs) {
		.flags = SFTP_ATTR_SIZE | SFTP_ATTR_OWNER | SFTP_ATTR_MODE | SFTP_ATTR_TIMES, .mode = S_IFREG | 0644, .size = 9, .asked_ns = clock_now(),
	};
}

/* The kernel keeps names for a while after a file was closed: all are forgotten at the end. */
static void read_all_kept(const char *changed, const char *text)
{
	struct node *nodes[COUNT];
	struct handle *handle;
	char name[16], usual[32];
	int i;

	for (i = 0; i < COUNT; i++) {
		name_of(i, name);
		snprintf(usual, sizeof(usual), "text %s", name);
		nodes[i] = files_look_up(name);
		assert_int_equal(files_open_node(nodes[i], O_RDONLY, &handle, NULL), 0);
		if (changed && strcmp(name, changed) == 0)
			files_expect_read(handle, 0, 4096, text, strlen(text));
		else
			files_expect_read(handle, 0, 4096, usual, strlen(usual));
		files_release(handle);
	}
	for (i = 0; i < COUNT; i++)
		files_forget(nodes[i]);
}

static bool guessed_as_known(void)
{
	struct sftp_attrs attrs = looked_now();

	promise_all(&attrs);
	read_all_kept(NULL, NULL);
	settle();
	return peer_count(files.rig.peer, FXP_OPEN) == COUNT && peer_count(files.rig.peer, FXP_LSTAT) < COUNT / 2;
}

/* What was told of them when they were promised is not asked for again. */
static void test_known(void **state)
{
	(void)state;
	in_time(guessed_as_known);
}

/* … unless it is old, or may be older than a change that this mount made: even one whose name is known no more. */
static void test_known_before_an_own_change(void **state)
{
	struct sftp_attrs attrs;
	struct awaited *awaited;
	struct handle *handle;

	(void)state;
	put_files();
	attrs = looked_now();
	promise_all(&attrs);
	handle = files_open("f030", O_WRONLY);
	assert_int_equal(files_write(handle, 0, "TEXT f030, longer", 17), 0);
	files_close(handle);
	read_all_kept("f030", "TEXT f030, longer");
	attrs = looked_now();
	promise_all(&attrs);
	rig_put(&files.rig, "other", "another file", 12);
	awaited = files_ask();
	real_ops.rename(files.tree, files.tree->root, "other", files.tree->root, "f030", 0, &awaited->reply);
	assert_int_equal(files_end(awaited), 0);
	read_all_kept("f030", "another file");
	stop_guessing();
}

/* ---- what the kernel is given with the answer to an open ---- */

static struct given {
	char text[32];		/* the last one, as a string */
	struct node *node;
	int count;
} given;

static bool take_pages(void *arg, struct node *node, const void *data, size_t len)
{
	(void)arg;
	assert_true(len < sizeof(given.text));
	memcpy(given.text, data, len);
	given.text[len] = '\0';
	given.node = node;
	given.count++;
	return true;
}

/* Opens it; was it given, and told to be kept? */
static bool is_given(const char *name)
{
	struct node *node = files_look_up(name);
	int before = given.count;
	struct handle *handle;
	char text[32];
	bool keep;

	assert_int_equal(files_open_node(node, O_RDONLY, &handle, &keep), 0);
	if (given.count > before) {
		snprintf(text, sizeof(text), "text %s", name);
		assert_string_equal(given.text, text);
		assert_ptr_equal(given.node, node);
		assert_true(keep);
	}
	files_release(handle);
	files_forget(node);
	return given.count > before;
}


/* Not of what the kernel may hold pages: f020 has been open before and f030 is open for writing; nor of much: f040. */
static bool given_with_their_opens(void)
{
	char name[16], large[70000] = "text f040";
	struct node *known = files_look_up("f020");
	struct handle *handle;
	int i;

	files.tree->store_pages = take_pages;
	rig_put(&files.rig, "f040", large, sizeof(large));
	assert_int_equal(files_open_node(known, O_RDONLY, &handle, NULL), 0);
	files_release(handle);
	handle = files_open("f030", O_WRONLY);
	promise_all(&(struct sftp_attrs){ .size = 9 });
	given.count = 0;
	for (i = 0; i < COUNT; i++) {
		name_of(i, name);
		settle();
		if (is_given(name))
			assert_true(i > 0 && strcmp(name, "f020") != 0 && strcmp(name, "f030") != 0 && strcmp(name, "f040") != 0);
	}
	files_close(handle);
	files_forget(known);
	return given.count > COUNT / 2;
}

static void test_given_with_the_open(void **state)
{
	(void)state;
	in_time(given_with_their_opens);
}

static void test_no_order_no_guesses(void **state)
{
	struct lister lister;
	int i;

	(void)state;
	put_files();
	list_root(&lister);
	for (i = 0; i < 20; i++)
		read_nth((i * 23 + 5) % COUNT);
	settle();
	assert_int_equal(peer_count(files.rig.peer, FXP_OPEN), 20);
	stop_guessing();
}

static bool was_listed(void *arg)
{
	(void)arg;
	return peer_count(files.rig.peer, FXP_READDIR) > 0;
}

static bool guessed_without_listing(void)
{
	int i;

	read_nth(0);
	settle();
	assert_int_equal(peer_count(files.rig.peer, FXP_OPENDIR), 0);
	read_nth(1);
	assert_true(rig_until(was_listed, NULL));
	for (i = 2; i < COUNT; i++)
		read_nth(i);
	return peer_count(files.rig.peer, FXP_OPEN) == COUNT && peer_count(files.rig.peer, FXP_OPENDIR) == 1 &&
	       peer_count(files.rig.peer, FXP_LSTAT) < 2 * COUNT;
}

/* A program that knows the names: the directory is listed for its sake, once. */
static void test_without_listing(void **state)
{
	(void)state;
	in_time(guessed_without_listing);
}

/* Names that are in no listing: looked for again, but ever more rarely. */
static void test_strangers(void **state)
{
	char name[24];
	int i;

	(void)state;
	put_files();
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "late-%d", i);
		rig_put(&files.rig, name, "x", 1);
		files_release(files_open(name, O_RDONLY));
	}
	settle();
	assert_in_range(peer_count(files.rig.peer, FXP_OPENDIR), 1, 4);
	stop_guessing();
}

static void begin_in_order(void)
{
	struct lister lister;
	int i;

	put_files();
	list_root(&lister);
	for (i = 0; i < 5; i++)
		read_nth(i);
	settle();
	assert_true(peer_count(files.rig.peer, FXP_OPEN) > 7);
}

/* What this mount changes is seen at once, guessed or not. */
static void test_own_changes(void **state)
{
	struct awaited *awaited = files_ask();
	struct handle *handle;
	struct node *node;

	(void)state;
	begin_in_order();
	handle = files_open("f005", O_WRONLY);
	assert_int_equal(files_write(handle, 0, "TEXT f005, longer", 17), 0);
	files_close(handle);
	handle = files_open("f005", O_RDONLY);
	files_expect_read(handle, 0, 4096, "TEXT f005, longer", 17);
	files_release(handle);
	node = files_look_up("f006");
	assert_int_equal(files_end(files_begin_truncate(node, 4)), 0);
	files_forget(node);
	handle = files_open("f006", O_RDONLY);
	files_expect_read(handle, 0, 4096, "text", 4);
	files_release(handle);
	real_ops.rename(files.tree, files.tree->root, "f050", files.tree->root, "f007", 0, &awaited->reply);
	assert_int_equal(files_end(awaited), 0);
	handle = files_open("f007", O_RDONLY);
	files_expect_read(handle, 0, 4096, "text f050", 9);
	files_release(handle);
	stop_guessing();
}

static void test_removed(void **state)
{
	struct awaited *awaited = files_ask();

	(void)state;
	begin_in_order();
	real_ops.unlink(files.tree, files.tree->root, "f005", &awaited->reply);
	assert_int_equal(files_end(awaited), 0);
	awaited = files_ask();
	real_ops.lookup(files.tree, files.tree->root, "f005", &awaited->reply);
	assert_int_equal(files_end(awaited), -ENOENT);
	stop_guessing();
}

static _Atomic int64_t shift_ns;

static int64_t shifted(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec + shift_ns;
}

/* Another node's changes are seen as soon as attributes may not be older. */
static void test_old_guesses_are_dropped(void **state)
{
	unsigned int before;
	struct handle *handle;

	(void)state;
	begin_in_order();
	rig_put(&files.rig, "f005", "changed", 7);
	before = peer_count(files.rig.peer, FXP_OPEN);
	shift_ns = 2 * NS_PER_S;
	clock_set_source(shifted);
	handle = files_open("f005", O_RDONLY);
	files_expect_read(handle, 0, 4096, "changed", 7);
	assert_true(peer_count(files.rig.peer, FXP_OPEN) > before);
	files_release(handle);
	stop_guessing();
	clock_set_source(NULL);
}

/* A program that takes long over each file gets no guesses that would be too old when it comes to them. */
static void test_slow_programs(void **state)
{
	struct lister lister;
	unsigned int i;

	(void)state;
	put_files();
	list_root(&lister);
	shift_ns = 0;
	clock_set_source(shifted);
	for (i = 0; i < 20; i++) {
		read_nth((int)i);
		shift_ns += 700 * NS_PER_MS;
	}
	settle();
	clock_set_source(NULL);
	assert_true(peer_count(files.rig.peer, FXP_OPEN) <= 30);
	stop_guessing();
}

static void test_guess_under_way_is_waited_for(void **state)
{
	struct lister lister;
	struct awaited *awaited;
	struct handle *handle;
	struct node *node;
	int i;

	(void)state;
	put_files();
	list_root(&lister);
	for (i = 0; i < 3; i++)
		read_nth(i);
	settle();
	node = files_look_up("f003");
	awaited = files_ask();
	real_ops.open(files.tree, node, O_RDONLY, &awaited->reply);
	assert_int_equal(awaited_wait(awaited), 0);
	handle = awaited->opened.handle;
	files_done_with(awaited);
	files_expect_read(handle, 0, 100, "text f003", 9);
	files_release(handle);
	files_forget(node);
	stop_guessing();
}

static unsigned long long lookup_hits(void)
{
	return atomic_load(&files.tree->figures.caches[FIGURES_LOOKUPS].hits);
}

#define OPENED 6

/* The file after six others is guessed, and no OPEN answered yet, when it is looked up. What came of it, and whether the guess answered it. */
static int look_up_under_way(bool there, bool *ret_answered)
{
	struct awaited *awaited, *opening[OPENED];
	struct lister lister;
	struct node *nodes[OPENED];
	unsigned long long before;
	char path[100], name[16];
	int i, error;

	list_root(&lister);
	snprintf(path, sizeof(path), "%s/f%03d", files.rig.dir, OPENED);
	if (!there)
		assert_int_equal(unlink(path), 0);
	for (i = 0; i < OPENED; i++) {
		snprintf(name, sizeof(name), "f%03d", i);
		nodes[i] = files_look_up(name);
	}
	peer_rule(files.rig.peer, FXP_OPEN, 0, PEER_FOR_EVER, PEER_HOLD);
	for (i = 0; i < OPENED; i++) {
		opening[i] = files_ask();
		real_ops.open(files.tree, nodes[i], O_RDONLY, &opening[i]->reply);
	}
	before = lookup_hits();
	awaited = files_ask();
	snprintf(name, sizeof(name), "f%03d", OPENED);
	real_ops.lookup(files.tree, files.tree->root, name, &awaited->reply);
	peer_rules_clear(files.rig.peer);
	peer_release(files.rig.peer);
	error = awaited_wait(awaited);
	*ret_answered = lookup_hits() > before;
	if (!error)
		files_forget(awaited->node);
	files_done_with(awaited);
	for (i = 0; i < OPENED; i++) {
		assert_int_equal(awaited_wait(opening[i]), 0);
		files_release(opening[i]->opened.handle);
		files_done_with(opening[i]);
		files_forget(nodes[i]);
	}
	stop_guessing();
	return error;
}

/* A lookup that comes before its guess has landed is answered by it, and asks for nothing itself; if that failed, the name is looked at after all. */
static void test_lookup_waits_for_its_guess(void **state)
{
	bool answered;

	(void)state;
	put_files();
	assert_int_equal(look_up_under_way(true, &answered), 0);
	assert_true(answered);
}

static void test_lookup_waits_for_a_failing_guess(void **state)
{
	bool answered;

	(void)state;
	put_files();
	assert_int_equal(look_up_under_way(false, &answered), -ENOENT);
	assert_false(answered);
}

/* Guesses that fail are nobody's error. */
static void test_failing_guesses(void **state)
{
	struct lister lister;
	char path[100];
	int i;

	(void)state;
	put_files();
	list_root(&lister);
	for (i = 3; i < COUNT; i++) {
		snprintf(path, sizeof(path), "%s/f%03d", files.rig.dir, i);
		if (i % 3 == 0)
			unlink(path);
	}
	for (i = 0; i < COUNT; i++) {
		struct awaited *awaited = files_ask();
		char name[16];

		snprintf(name, sizeof(name), "f%03d", i);
		real_ops.lookup(files.tree, files.tree->root, name, &awaited->reply);
		if (i >= 3 && i % 3 == 0) {
			assert_int_equal(files_end(awaited), -ENOENT);
			continue;
		}
		assert_int_equal(awaited_wait(awaited), 0);
		files_forget(awaited->node);
		files_done_with(awaited);
		read_named(name);
	}
	stop_guessing();
}

static void test_cut_while_guessing(void **state)
{
	struct lister lister;
	int i;

	(void)state;
	put_files();
	list_root(&lister);
	for (i = 0; i < COUNT; i++) {
		if (i % 9 == 8)
			peer_cut_all(files.rig.peer);
		read_nth(i);
	}
	stop_guessing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES_TEST(test_sorted_order), FILES_TEST(test_servers_order), FILES_TEST(test_promised), FILES_TEST(test_known),
		FILES_TEST(test_known_before_an_own_change), FILES_TEST(test_given_with_the_open), FILES_TEST(test_no_order_no_guesses),
		FILES_TEST(test_without_listing),
		FILES_TEST(test_strangers), FILES_TEST(test_own_changes), FILES_TEST(test_removed),
		FILES_TEST(test_old_guesses_are_dropped), FILES_TEST(test_slow_programs), FILES_TEST(test_guess_under_way_is_waited_for),
		FILES_TEST(test_lookup_waits_for_its_guess), FILES_TEST(test_lookup_waits_for_a_failing_guess),
		FILES_TEST(test_failing_guesses), FILES_TEST(test_cut_while_guessing),
	};

	log_open("test_ahead", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
