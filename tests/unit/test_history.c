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

#define N1 "n1.11111111"
#define N2 "n2.22222222"

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
	assert_int_equal(history_judge(&history, LEASE_NS, out, &verdict), 0);
	history_release(&history);
	fclose(in);
	fclose(out);
	return verdict;
}

/* The history breaks this promise and no other. */
static void breaks(enum promise promise, const char *text)
{
	struct verdict verdict = judge(text);

	for (int i = 0; i < PROMISES; i++)
		if (!verdict.broken[i] == (i == (int)promise))
			fail_msg("%s: broken %d times in\n%s", promise_names[i], verdict.broken[i], text);
}

static struct verdict holds(const char *text)
{
	struct verdict verdict = judge(text);

	for (int i = 0; i < PROMISES; i++)
		if (verdict.broken[i])
			fail_msg("%s: broken %d times in\n%s", promise_names[i], verdict.broken[i], text);
	return verdict;
}

/* What the disk says at a second of one digit. */
#define DISK(s, node, event, unit, detail) s "000000001 disk " node " " event " " unit " " s "000000000" detail "\n"

#define BEATS DISK("1", N1, "beat", "-", "") DISK("1", N2, "beat", "-", "")
#define TAKES1 "1500000000/99 c1 n1 take -\n" DISK("2", N1, "link", "a", " 0.1") "2500000000/99 c1 n1 took a 1\n"
#define COMMITS1 "2600000000 c1 n1 commit a aa\n" DISK("3", N1, "marker", "a", " 0") "3500000000 c1 n1 ok a\n"
#define TAKES2 "4500000000 c2 n2 take -\n" DISK("5", N2, "link", "a", " 0.2") "5500000000 c2 n2 took a 2\n"
#define COMMITS2 "5600000000 c2 n2 commit a bb\n" DISK("6", N2, "marker", "a", " 0") "6500000000 c2 n2 ok a\n"
#define ENDS(what) "90000000000 run - end a " what "\n"
#define GOOD BEATS TAKES1 COMMITS1 ENDS("done aa")

static void a_good_history_holds(void **state)
{
	struct verdict verdict = holds(GOOD);

	(void)state;
	assert_int_equal(verdict.units, 1);
	assert_int_equal(verdict.committed, 1);
	assert_int_equal(verdict.executions, 1);
	assert_int_equal(verdict.duplicates, 0);
}

/* ---- one commit ---- */

static void two_oks_are_caught(void **state)
{
	(void)state;
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 COMMITS1 "4600000000 c1 n1 commit a bb\n4700000000 c1 n1 ok a\n" ENDS("done bb"));
}

static void two_markers_are_caught(void **state)
{
	(void)state;
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 COMMITS1 TAKES2 COMMITS2 ENDS("done bb"));
}

static void a_marker_without_a_claim_is_caught(void **state)
{
	(void)state;
	breaks(PROMISE_ONE_COMMIT, BEATS "2600000000 c1 n1 commit a aa\n" DISK("3", N1, "marker", "a", " 0") ENDS("done aa"));
	/* given back before */
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 DISK("2", N1, "freed", "a", " 0.1") COMMITS1 ENDS("done aa"));
}

static void done_without_a_marker_is_caught(void **state)
{
	(void)state;
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 "2600000000 c1 n1 commit a aa\n3500000000 c1 n1 gone -\n" ENDS("done aa"));
}

static void an_unanswered_commit_may_count(void **state)
{
	struct verdict verdict = holds(BEATS TAKES1 "2600000000 c1 n1 commit a aa\n" DISK("3", N1, "marker", "a", " 0")
				       "3500000000 c1 n1 gone -\n" ENDS("done aa"));

	(void)state;
	assert_int_equal(verdict.committed, 0);
}

#define REDONE "6600000000 run - redo a\n" DISK("7", "?", "began", "a", " 1")
#define AGAIN "7100000000 c2 n2 take -\n" DISK("8", N2, "link", "a", " 1.1") "8500000000 c2 n2 took a 1\n" \
	"8600000000 c2 n2 commit a bb\n" DISK("9", N2, "marker", "a", " 1") "9500000000 c2 n2 ok a\n"

static void a_redo_allows_a_second_commit(void **state)
{
	struct verdict verdict = holds(BEATS TAKES1 COMMITS1 REDONE AGAIN ENDS("done bb"));

	(void)state;
	assert_int_equal(verdict.redone, 1);
	assert_int_equal(verdict.duplicates, 0);
	/* nobody asked; or the first was not over */
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 COMMITS1 DISK("7", "?", "began", "a", " 1") AGAIN ENDS("done bb"));
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 REDONE AGAIN ENDS("done bb"));
}

static void a_commit_from_before_a_redo_does_not_count(void **state)
{
	(void)state;
	/* told ok for the new generation, though its marker is in the old one and was told of already */
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 COMMITS1 REDONE "7100000000 c1 n1 commit a cc\n7200000000 c1 n1 ok a\n" AGAIN ENDS("done bb"));
	/* done after the redo, by the marker from before it */
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 COMMITS1 REDONE ENDS("done aa"));
}

/* ---- no unit is lost ---- */

static void a_lost_unit_is_caught(void **state)
{
	(void)state;
	breaks(PROMISE_NO_UNIT_LOST, BEATS TAKES1 COMMITS1 ENDS("todo aa"));
	breaks(PROMISE_NO_UNIT_LOST, BEATS TAKES1 ENDS("none -"));
	breaks(PROMISE_NO_UNIT_LOST, BEATS TAKES1);
	breaks(PROMISE_NO_UNIT_LOST, BEATS TAKES1 ENDS("failed -"));
	holds(BEATS TAKES1 ENDS("todo -"));
}

static void a_claim_removed_too_early_is_caught(void **state)
{
	(void)state;
	breaks(PROMISE_NO_UNIT_LOST, BEATS TAKES1 DISK("2", "?", "swept", "a", " 0.1") ENDS("todo -"));
	holds(BEATS TAKES1 COMMITS1 DISK("4", "?", "swept", "a", " 0.1") ENDS("done aa"));
}

/* ---- done means there ---- */

static void a_missing_or_foreign_output_is_caught(void **state)
{
	(void)state;
	breaks(PROMISE_DONE_IS_THERE, BEATS TAKES1 COMMITS1 ENDS("done -"));
	breaks(PROMISE_DONE_IS_THERE, BEATS TAKES1 COMMITS1 ENDS("done torn"));
	breaks(PROMISE_DONE_IS_THERE, BEATS TAKES1 COMMITS1 ENDS("done cc"));
}

static void a_removed_marker_is_caught(void **state)
{
	(void)state;
	breaks(PROMISE_DONE_IS_THERE, BEATS TAKES1 COMMITS1 DISK("4", "?", "unmarked", "a", " 0") ENDS("done aa"));
}

/* ---- one owner at a time ---- */

static void two_owners_are_caught(void **state)
{
	struct verdict lapsed;

	(void)state;
	/* n1 beat at 3 s: its lease is live at 5 s */
	breaks(PROMISE_ONE_OWNER, BEATS TAKES1 DISK("3", N1, "beat", "-", "") TAKES2 COMMITS2 ENDS("done bb"));
	/* at 1 s, and no more since, whoever stopped whom or did not */
	lapsed = holds(BEATS TAKES1 TAKES2 COMMITS2 ENDS("done bb"));
	assert_int_equal(lapsed.duplicates, 1);
	/* given back */
	holds(BEATS TAKES1 DISK("3", N1, "beat", "-", "") DISK("4", N1, "freed", "a", " 0.1")
	      "4500000000 c2 n2 take -\n" DISK("5", N2, "link", "a", " 0.2") "5500000000 c2 n2 took a 1\n" COMMITS2 ENDS("done bb"));
}

static void a_late_word_of_a_claim_is_no_second_owner(void **state)
{
	(void)state;
	/* n1 was stopped between its claim and its word of it, and n2 took over meanwhile: c1 hears of it late, and that is all. */
	holds(BEATS "1500000000 c1 n1 take -\n" DISK("2", N1, "link", "a", " 0.1") "2100000000 nemesis n1 stop -\n" TAKES2
	      "5550000000 c1 n1 took a 1\n" COMMITS2 "6600000000 c1 n1 commit a aa\n6700000000 c1 n1 stale a error\n" ENDS("done bb"));
}

static void a_withdrawn_claim_is_no_owner(void **state)
{
	struct verdict verdict = holds(BEATS TAKES1 DISK("3", N1, "beat", "-", "") DISK("4", N2, "link", "a", " 0.2")
				       DISK("4", N2, "freed", "a", " 0.2") "4600000000 c1 n1 commit a aa\n"
				       DISK("5", N1, "marker", "a", " 0") "5500000000 c1 n1 ok a\n" ENDS("done aa"));

	(void)state;
	assert_int_equal(verdict.withdrawn, 1);
}

/* ---- attempt numbers rise ---- */

static void numbers_that_do_not_rise_are_caught(void **state)
{
	(void)state;
	breaks(PROMISE_ATTEMPTS_RISE, BEATS "1500000000 c1 n1 take -\n" DISK("2", N1, "link", "a", " 0.2") "2500000000 c1 n1 took a 1\n"
	       COMMITS1 ENDS("done aa"));
	/* a name used twice */
	breaks(PROMISE_ATTEMPTS_RISE, BEATS TAKES1 "4500000000 c2 n2 take -\n" DISK("5", N2, "link", "a", " 0.1")
	       "5500000000 c2 n2 took a 1\n" COMMITS2 ENDS("done bb"));
	/* told 1, though an attempt was lost */
	breaks(PROMISE_ATTEMPTS_RISE, BEATS TAKES1 DISK("3", N1, "lost", "a", " 0.1") "4500000000 c2 n2 take -\n"
	       DISK("5", N2, "link", "a", " 0.2") "5500000000 c2 n2 took a 1\n" COMMITS2 ENDS("done bb"));
}

/* ---- hedges ---- */

#define HEDGES2 "3100000000 c2 n2 take -\n" DISK("3", N2, "beat", "-", "") DISK("4", N2, "link", "a", " 0.0") "4500000000 c2 n2 hedged a 2\n"

static void a_hedge_is_no_second_owner(void **state)
{
	struct verdict verdict;

	(void)state;
	/* n1's lease is live: a second attempt was asked for, its commit counts, and the other one is told so. */
	verdict = holds(BEATS TAKES1 DISK("3", N1, "beat", "-", "") HEDGES2 COMMITS2
			"6600000000 c1 n1 commit a aa\n6700000000 c1 n1 already a already " N2 "\n" ENDS("done bb"));
	assert_int_equal(verdict.hedges, 1);
	assert_int_equal(verdict.duplicates, 0);
	assert_int_equal(verdict.executions, 2);
	/* A job of a claim-worker writes only that it was given the unit. */
	holds(BEATS TAKES1 DISK("3", N1, "beat", "-", "") DISK("4", N2, "link", "a", " 0.0") "4500000000 w.1 n2 took a 2\n"
	      COMMITS1 ENDS("done aa"));
	/* The next claim after a hedge may count it, or not. */
	holds(BEATS TAKES1 HEDGES2 DISK("5", N2, "freed", "a", " 0.0") "5500000000 c2 n2 take -\n" DISK("6", N2, "link", "a", " 0.2")
	      "6500000000 c2 n2 took a 3\n6600000000 c2 n2 commit a bb\n" DISK("7", N2, "marker", "a", " 0") "7500000000 c2 n2 ok a\n" ENDS("done bb"));
}

static void hedges_that_must_not_be_are_caught(void **state)
{
	(void)state;
	/* Twice in a generation; beside nothing; as the first attempt. */
	breaks(PROMISE_ATTEMPTS_RISE, BEATS TAKES1 HEDGES2 DISK("5", N2, "freed", "a", " 0.0") DISK("6", N2, "link", "a", " 0.0") ENDS("todo -"));
	breaks(PROMISE_ATTEMPTS_RISE, BEATS DISK("4", N2, "link", "a", " 0.0") ENDS("todo -"));
	breaks(PROMISE_ATTEMPTS_RISE, BEATS TAKES1 "3100000000 c2 n2 take -\n" DISK("4", N2, "link", "a", " 0.0") "4500000000 c2 n2 hedged a 1\n"
	       ENDS("todo -"));
	/* Told of, and not made; and the commit is one all the same. */
	breaks(PROMISE_TOLD_IS_TRUE, BEATS TAKES1 "3100000000 c2 n2 take -\n4500000000 c2 n2 hedged a 2\n" COMMITS1 ENDS("done aa"));
	breaks(PROMISE_ONE_COMMIT, BEATS TAKES1 DISK("3", N1, "beat", "-", "") HEDGES2 COMMITS2 "6600000000 c1 n1 commit a aa\n6700000000 c1 n1 ok a\n"
	       ENDS("done bb"));
}

/* ---- what is told ---- */

static void words_without_deeds_are_caught(void **state)
{
	(void)state;
	breaks(PROMISE_TOLD_IS_TRUE, BEATS "1500000000 c1 n1 take -\n1600000000 c1 n1 took a 1\n" ENDS("todo -"));
	/* one claim, told to two; by another host; made after it was told of */
	breaks(PROMISE_TOLD_IS_TRUE, BEATS TAKES1 "2400000000 c3 n1 take -\n2700000000 c3 n1 took a 1\n" COMMITS1 ENDS("done aa"));
	breaks(PROMISE_TOLD_IS_TRUE, BEATS "1500000000 c2 n2 take -\n" DISK("2", N1, "link", "a", " 0.1") "2500000000 c2 n2 took a 1\n"
	       ENDS("todo -"));
	breaks(PROMISE_TOLD_IS_TRUE, BEATS "1500000000 c1 n1 take -\n1600000000 c1 n1 took a 1\n" DISK("2", N1, "link", "a", " 0.1")
	       ENDS("todo -"));
	breaks(PROMISE_TOLD_IS_TRUE, BEATS TAKES1 "2600000000 c1 n1 fail a\n2700000000 c1 n1 failed a\n" ENDS("todo -"));
	breaks(PROMISE_TOLD_IS_TRUE, BEATS TAKES1 "2600000000 c1 n1 commit a aa\n2700000000 c1 n1 already a already " N2 "\n" ENDS("todo -"));
}

static void already_names_who_committed(void **state)
{
	(void)state;
	holds(BEATS TAKES1 TAKES2 COMMITS2 "6600000000 c1 n1 commit a aa\n6700000000 c1 n1 already a already " N2 "\n" ENDS("done aa"));
}

static void set_aside_holds(void **state)
{
	(void)state;
	holds(BEATS TAKES1 "2600000000 c1 n1 fail a\n" DISK("3", "?", "aside", "a", " 0") "3100000000 c1 n1 failed a\n" ENDS("failed -"));
}

/* ---- quiet points, and the dead ---- */

static void a_wrong_sum_is_caught(void **state)
{
	(void)state;
	assert_int_equal(holds(GOOD "91000000000 run n1 quiet - 4 1 1 1 1 4\n").quiet, 1);
	breaks(PROMISE_SUM, GOOD "91000000000 run n1 quiet - 4 1 0 1 1 3\n");
	/* one twice and one nowhere: the sum is right */
	breaks(PROMISE_SUM, GOOD "91000000000 run n1 quiet - 4 1 1 1 1 2\n");
}

static void a_dead_nodes_claim_is_caught(void **state)
{
	(void)state;
	holds(BEATS TAKES1 "8000000000 run n2 shown a " N1 "\n" ENDS("todo -"));
	breaks(PROMISE_DEAD_FREED, BEATS TAKES1 "9000000000 run n2 shown a " N1 "\n" ENDS("todo -"));
	holds(BEATS TAKES1 DISK("4", N1, "beat", "-", "") "9000000000 run n2 shown a " N1 "\n" ENDS("todo -"));
}

static void a_blind_witness_gives_no_verdict(void **state)
{
	(void)state;
	assert_true(judge(GOOD DISK("5", "-", "blind", "-", "")).blind);
	assert_false(judge(GOOD).blind);
}

static void a_part_line_is_ignored_and_a_bad_one_refused(void **state)
{
	static const char *const bad[] = { "100 c1 n1 jumped a\n", "100 c1 n1\n", "1x0 c1 n1 took a\n", "100 disk " N1 " link a\n",
					   "100 disk " N1 " link a 90 0.x\n" };
	struct history history = { 0 };
	const char *part = GOOD "9100 c1 n1 to";
	FILE *in = fmemopen((void *)(uintptr_t)part, strlen(part), "r");

	(void)state;
	assert_int_equal(history_read(&history, in, "part"), 0);
	assert_int_equal(history.count, 9);
	fclose(in);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		in = fmemopen((void *)(uintptr_t)bad[i], strlen(bad[i]), "r");
		assert_true(history_read(&history, in, "(expected)") < 0);
		fclose(in);
	}
	history_release(&history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_history_holds),
		cmocka_unit_test(two_oks_are_caught),
		cmocka_unit_test(two_markers_are_caught),
		cmocka_unit_test(a_marker_without_a_claim_is_caught),
		cmocka_unit_test(done_without_a_marker_is_caught),
		cmocka_unit_test(an_unanswered_commit_may_count),
		cmocka_unit_test(a_redo_allows_a_second_commit),
		cmocka_unit_test(a_commit_from_before_a_redo_does_not_count),
		cmocka_unit_test(a_lost_unit_is_caught),
		cmocka_unit_test(a_claim_removed_too_early_is_caught),
		cmocka_unit_test(a_missing_or_foreign_output_is_caught),
		cmocka_unit_test(a_removed_marker_is_caught),
		cmocka_unit_test(two_owners_are_caught),
		cmocka_unit_test(a_late_word_of_a_claim_is_no_second_owner),
		cmocka_unit_test(a_withdrawn_claim_is_no_owner),
		cmocka_unit_test(numbers_that_do_not_rise_are_caught),
		cmocka_unit_test(a_hedge_is_no_second_owner),
		cmocka_unit_test(hedges_that_must_not_be_are_caught),
		cmocka_unit_test(words_without_deeds_are_caught),
		cmocka_unit_test(already_names_who_committed),
		cmocka_unit_test(set_aside_holds),
		cmocka_unit_test(a_wrong_sum_is_caught),
		cmocka_unit_test(a_dead_nodes_claim_is_caught),
		cmocka_unit_test(a_blind_witness_gives_no_verdict),
		cmocka_unit_test(a_part_line_is_ignored_and_a_bad_one_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
