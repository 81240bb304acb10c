/*
 * test_append: files opened with O_APPEND: every record is there once, whatever becomes of the answers and whatever others do to the file. What another
 * node does is done on the peer's disk.
 */
#include <sys/stat.h>

#include "tests/fake/files.h"

static void on_disk(const char *name, const char *text, bool anew)
{
	char path[200];
	int fd;

	rig_path(&files.rig, name, path, sizeof(path));
	fd = open(path, O_WRONLY | (anew ? O_TRUNC : O_APPEND));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_append(void **state)
{
	struct handle *one, *two;

	(void)state;
	rig_put(&files.rig, "a", "head ", 5);
	one = files_open("a", O_WRONLY | O_APPEND);
	two = files_open("a", O_RDWR | O_APPEND);
	assert_int_equal(files_write(one, 5, "one ", 4), 0);
	assert_int_equal(files_write(two, 5, "two ", 4), 0);	/* as if it knew of nothing */
	files_expect_read(two, 0, 100, "head one two ", 13);
	rig_put(&files.rig, "b", "x", 1);
	files_close(one);
	files_close(two);
}

/* What the kernel is asked to drop: it has not done so until pages_are_gone(). */
static struct {
	unsigned int asked;
	uint64_t offset;
	struct node *node;
	void (*done)(void *arg);
	void *arg;
} pages;

static void keep_pages(void *arg, struct node *node, uint64_t offset, void (*done)(void *done_arg), void *done_arg)
{
	(void)arg;
	pages.asked++;
	pages.node = node;
	pages.offset = offset;
	pages.done = done;
	pages.arg = done_arg;
}

static bool only_one_is_open(void *arg)
{
	(void)arg;
	return peer_open_handles(files.rig.peer) == 1;
}

/* The kernel's pages are passed by: who has the file open through them must find what was appended once the program was told that it is there. */
static void test_pages_of_readers_are_dropped_first(void **state)
{
	struct handle *appender, *reader;
	struct awaited *told;

	(void)state;
	memset(&pages, 0, sizeof(pages));
	files.tree->invalidate_pages = keep_pages;
	rig_put(&files.rig, "a", "head ", 5);
	appender = files_open("a", O_WRONLY | O_APPEND);
	assert_int_equal(files_write(appender, 5, "one ", 4), 0);
	assert_int_equal(pages.asked, 0);	/* nobody else has it open: the next open drops them */
	reader = files_open("a", O_RDONLY);
	told = files_begin_write(appender, 9, "two ", 4);
	assert_int_equal(pages.asked, 1);
	assert_int_equal(pages.offset, 9);
	assert_ptr_equal(pages.node, reader->node);
	files_expect_read(reader, 0, 100, "head one two ", 13);		/* what fills them from now on is right */
	assert_false(awaited_came(told));
	pages.done(pages.arg);
	assert_int_equal(files_end(told), 0);
	files_release(reader);
	assert_true(rig_until(only_one_is_open, NULL));		/* what it read may be let go a moment later */
	assert_int_equal(files_write(appender, 13, "three", 5), 0);
	assert_int_equal(pages.asked, 1);
	files_close(appender);
	files_expect_content("a", "head one two three", 18);
}

/* The kernel writes a page out before it drops it, through any handle, and waits for that: this must not wait in turn for pages to be dropped. */
static void test_a_page_written_out_drops_none(void **state)
{
	struct awaited *told = files_ask();
	struct handle *appender, *mapper;

	(void)state;
	memset(&pages, 0, sizeof(pages));
	files.tree->invalidate_pages = keep_pages;
	rig_put(&files.rig, "a", "head", 4);
	appender = files_open("a", O_WRONLY | O_APPEND);
	mapper = files_open("a", O_RDWR);
	appender->ops->write_page(appender, 0, "HEAD", 4, &told->reply);
	assert_int_equal(files_end(told), 0);
	assert_int_equal(pages.asked, 0);
	files_close(mapper);
	files_close(appender);
	files_expect_content("a", "HEAD", 4);
}

/* It stays open on the server for the sake of another that is open: who removes the file must not wait for that one's end. */
static void test_removal_waits_for_no_lender(void **state)
{
	struct awaited *told = files_ask();
	struct handle *lender, *borrower;

	(void)state;
	rig_put(&files.rig, "a", "head", 4);
	lender = files_open("a", O_RDWR);
	borrower = files_open("a", O_RDWR | O_APPEND);
	borrower->ops->write_page(borrower, 0, "HEAD", 4, &told->reply);
	assert_int_equal(files_end(told), 0);
	assert_int_equal(files_flush(borrower), 0);
	files_release(lender);
	told = files_ask();
	real_ops.unlink(files.tree, files.tree->root, "a", &told->reply);
	assert_int_equal(files_end(told), 0);
	files_expect_read(borrower, 0, 100, "HEAD", 4);
	files_release(borrower);
}

static void test_answer_lost(void **state)
{
	struct handle *handle;
	char text[400] = "head ";
	int i;

	(void)state;
	rig_put(&files.rig, "a", "head ", 5);
	handle = files_open("a", O_WRONLY | O_APPEND);
	for (i = 0; i < 30; i++) {
		peer_rule(files.rig.peer, FXP_WRITE, 0, 1, i % 3 ? PEER_CUT_AFTER : PEER_CUT_BEFORE);
		assert_int_equal(files_write(handle, 0, "again ", 6), 0);
		assert_int_equal(files_flush(handle), 0);
		strcat(text, "again ");
	}
	files_release(handle);
	files_expect_content("a", text, strlen(text));
}

/* The next FSTAT is carried out and not answered, nor is the WRITE after it: how long the file was before isn't known. Nobody gets in until let_in(). */
static void lose_both_answers(bool carried_out)
{
	peer_rules_clear(files.rig.peer);
	peer_rule(files.rig.peer, FXP_FSTAT, 0, 1, PEER_DROP);
	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, carried_out ? PEER_CUT_AFTER : PEER_CUT_BEFORE);
	peer_refuse(files.rig.peer, 0, PEER_FOR_EVER, -EAGAIN);
}

static void let_in(void)
{
	files_await_rules();
	peer_refuse(files.rig.peer, 0, 0, 0);
}

static void test_others_append_meanwhile(void **state)
{
	struct handle *handle;
	bool carried_out;

	(void)state;
	for (carried_out = false;; carried_out = true) {
		rig_put(&files.rig, "a", "head ", 5);
		handle = files_open("a", O_WRONLY | O_APPEND);
		on_disk("a", "before ", false);
		lose_both_answers(carried_out);
		assert_int_equal(files_write(handle, 5, "ours ", 5), 0);
		files_await_rules();
		on_disk("a", "after ", false);
		let_in();
		assert_int_equal(files_write(handle, 5, "next", 4), 0);
		files_close(handle);
		if (carried_out)
			break;
		files_expect_content("a", "head before after ours next", 27);
	}
	files_expect_content("a", "head before ours after next", 27);
}

static bool is_written(void *arg)
{
	(void)arg;
	return peer_count(files.rig.peer, FXP_WRITE) > 0;
}

/* While the first append is under way a second is queued, and behind it what `later` does, which the server has not done when that one's answers are lost. */
static void append_before(struct handle *handle, struct node *node, void (*later)(struct node *node, struct handle *writer), struct handle *writer)
{
	struct stat st = { .st_mode = S_IFREG, .st_size = 5 };

	peer_rule(files.rig.peer, FXP_WRITE, 0, 1, PEER_HOLD);
	assert_int_equal(files_write(handle, 5, "one ", 4), 0);
	assert_true(rig_until(is_written, NULL));
	assert_int_equal(files_write(handle, 9, "two ", 4), 0);
	later(node, writer);
	file_overlay(files.tree, node, &(struct sftp_attrs){ .asked_ns = clock_now() }, &st);	/* somebody lists the directory */
	lose_both_answers(true);
	peer_release(files.rig.peer);
	let_in();
}

static void write_far_behind(struct node *node, struct handle *writer)
{
	(void)node;
	assert_int_equal(files_write(writer, 1000, "far", 3), 0);
}

static void test_before_a_queued_write(void **state)
{
	static const char start[] = "head one two ";
	struct handle *handle, *writer;
	struct node *node;
	char text[1003] = { 0 };

	(void)state;
	rig_put(&files.rig, "a", "head ", 5);
	writer = files_open("a", O_WRONLY);
	handle = files_open("a", O_WRONLY | O_APPEND);
	node = files_look_up("a");
	append_before(handle, node, write_far_behind, writer);
	files_close(handle);
	files_close(writer);
	files_forget(node);
	memcpy(text, start, sizeof(start) - 1);
	memcpy(text + 1000, "far", 3);
	files_expect_content("a", text, sizeof(text));
}

static struct awaited *lengthened;

static void make_it_longer(struct node *node, struct handle *writer)
{
	(void)writer;
	lengthened = files_begin_truncate(node, 20);
}

static void test_before_a_queued_truncation(void **state)
{
	struct handle *handle;
	struct node *node;

	(void)state;
	rig_put(&files.rig, "a", "head ", 5);
	handle = files_open("a", O_WRONLY | O_APPEND);
	node = files_look_up("a");
	append_before(handle, node, make_it_longer, NULL);
	assert_int_equal(files_end(lengthened), 0);
	files_close(handle);
	files_forget(node);
	files_expect_content("a", "head one two \0\0\0\0\0\0\0", 20);
}

/* A log is rotated by cutting it (logrotate's copytruncate). */
static void test_another_cuts_it(void **state)
{
	struct handle *handle;
	bool carried_out;

	(void)state;
	for (carried_out = false;; carried_out = true) {
		rig_put(&files.rig, "a", "a long log of yesterday ", 24);
		handle = files_open("a", O_WRONLY | O_APPEND);
		on_disk("a", "new ", true);
		lose_both_answers(carried_out);
		assert_int_equal(files_write(handle, 24, "ours ", 5), 0);
		let_in();
		files_close(handle);
		files_expect_content("a", "new ours ", 9);
		if (carried_out)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES_TEST(test_append), FILES_TEST(test_pages_of_readers_are_dropped_first), FILES_TEST(test_a_page_written_out_drops_none), FILES_TEST(test_removal_waits_for_no_lender),
		FILES_TEST(test_answer_lost),
		FILES_TEST(test_others_append_meanwhile), FILES_TEST(test_before_a_queued_write), FILES_TEST(test_before_a_queued_truncation), FILES_TEST(test_another_cuts_it),
	};

	log_open("test_append", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
