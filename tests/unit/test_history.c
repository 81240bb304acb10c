/* The checker of torture runs: a good history holds, and one that breaks each promise is caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/torture/history.h"

#define LEASE_NS 3000000000LL

static struct verdict judge(const char *text)
{
	struct history history = { 0 };
	struct verdict verdict;
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	FILE *out = fopen("/dev/null", "w");

	assert_non_null(in);
	assert_non_null(out);
	assert_int_equal(history_read(&history, in, "test"), 0);
	history_sort(&history);
	history_judge(&history, LEASE_NS, out, &verdict);
	history_release(&history);
	fclose(in);
	fclose(out);
	return verdict;
}

static int breaches(const struct verdict *verdict)
{
	return verdict->one_commit + verdict->no_unit_lost + verdict->done_is_there + verdict->one_owner + verdict->attempts_rise;
}

#define GOOD                                                   \
	"100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n" \
	"9000 run - end a done aa\n"

static void a_good_history_holds(void **state)
{
	struct verdict verdict = judge(GOOD);

	(void)state;
	assert_int_equal(breaches(&verdict), 0);
	assert_int_equal(verdict.units, 1);
	assert_int_equal(verdict.committed, 1);
	assert_int_equal(verdict.duplicates, 0);
}

static void two_commits_are_caught(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n"
				       "400 c2 n2 took a 2\n500 c2 n2 commit a bb\n600 c2 n2 ok a\n9000 run - end a done bb\n");

	(void)state;
	assert_int_equal(verdict.one_commit, 1);
	assert_int_equal(verdict.duplicates, 1);
}

static void a_redo_allows_a_second_commit(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n350 run - redo a 1\n"
				       "400 c2 n2 took a 1\n500 c2 n2 commit a bb\n600 c2 n2 ok a\n9000 run - end a done bb\n");

	(void)state;
	assert_int_equal(breaches(&verdict), 0);
}

static void done_without_a_commit_is_caught(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 1\n200 c1 n1 give a\n300 c1 n1 gave a\n9000 run - end a done aa\n");

	(void)state;
	assert_int_equal(verdict.one_commit, 1);
	assert_int_equal(verdict.done_is_there, 1);
}

static void an_unanswered_commit_may_count(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 gone -\n9000 run - end a done aa\n");

	(void)state;
	assert_int_equal(breaches(&verdict), 0);
}

static void a_lost_unit_is_caught(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n9000 run - end a todo -\n");
	struct verdict none = judge("100 c1 n1 took a 1\n9000 run - end a none -\n");

	(void)state;
	assert_int_equal(verdict.no_unit_lost, 1);
	assert_int_equal(none.no_unit_lost, 1);
}

static void a_missing_or_foreign_output_is_caught(void **state)
{
	struct verdict missing = judge("100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n9000 run - end a done -\n");
	struct verdict foreign = judge("100 c1 n1 took a 1\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n9000 run - end a done cc\n");

	(void)state;
	assert_int_equal(missing.done_is_there, 1);
	assert_int_equal(foreign.done_is_there, 1);
}

static void two_owners_are_caught(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 1\n150 c2 n2 took a 2\n200 c1 n1 commit a aa\n300 c1 n1 ok a\n"
				       "400 c2 n2 commit a bb\n500 c2 n2 already a\n9000 run - end a done aa\n");

	(void)state;
	assert_int_equal(verdict.one_owner, 1);
}

static void a_stopped_node_is_excused_after_a_lease(void **state)
{
	const char *late = "100 c1 n1 took a 1\n200 nemesis n1 stop -\n4000000000 c2 n2 took a 2\n5000000000 c2 n2 commit a bb\n"
			   "5100000000 c2 n2 ok a\n9000000000 run - end a done bb\n";
	const char *early = "100 c1 n1 took a 1\n200 nemesis n1 stop -\n2000000000 c2 n2 took a 2\n5000000000 c2 n2 commit a bb\n"
			    "5100000000 c2 n2 ok a\n9000000000 run - end a done bb\n";
	struct verdict excused = judge(late);
	struct verdict caught = judge(early);

	(void)state;
	assert_int_equal(breaches(&excused), 0);
	assert_int_equal(caught.one_owner, 1);
}

static void attempts_that_do_not_rise_are_caught(void **state)
{
	struct verdict verdict = judge("100 c1 n1 took a 2\n300 c1 n1 gone -\n400 c2 n2 took a 2\n"
				       "500 c2 n2 commit a bb\n600 c2 n2 ok a\n9000 run - end a done bb\n");
	struct verdict given = judge("100 c1 n1 took a 2\n200 c1 n1 give a\n300 c1 n1 gave a\n400 c2 n2 took a 2\n"
				     "500 c2 n2 commit a bb\n600 c2 n2 ok a\n9000 run - end a done bb\n");

	(void)state;
	assert_int_equal(verdict.attempts_rise, 1);
	assert_int_equal(breaches(&given), 0);
	assert_int_equal(given.duplicates, 0);
}

static void a_part_line_is_ignored_and_a_bad_one_refused(void **state)
{
	struct history history = { 0 };
	const char *part = GOOD "9100 c1 n1 to";
	const char *bad = "100 c1 n1 jumped a\n";
	FILE *in = fmemopen((void *)(uintptr_t)part, strlen(part), "r");

	(void)state;
	assert_int_equal(history_read(&history, in, "part"), 0);
	assert_int_equal(history.count, 4);
	fclose(in);
	in = fmemopen((void *)(uintptr_t)bad, strlen(bad), "r");
	assert_true(history_read(&history, in, "(expected)") < 0);
	fclose(in);
	history_release(&history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_history_holds),
		cmocka_unit_test(two_commits_are_caught),
		cmocka_unit_test(a_redo_allows_a_second_commit),
		cmocka_unit_test(done_without_a_commit_is_caught),
		cmocka_unit_test(an_unanswered_commit_may_count),
		cmocka_unit_test(a_lost_unit_is_caught),
		cmocka_unit_test(a_missing_or_foreign_output_is_caught),
		cmocka_unit_test(two_owners_are_caught),
		cmocka_unit_test(a_stopped_node_is_excused_after_a_lease),
		cmocka_unit_test(attempts_that_do_not_rise_are_caught),
		cmocka_unit_test(a_part_line_is_ignored_and_a_bad_one_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
