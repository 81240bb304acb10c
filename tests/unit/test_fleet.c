/*
 * fleet: quoting for the shell of another machine, tried with a real shell; the state file, both ways, damaged and foreign; what providers list.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "tools/fleet.h"

static char home[] = "/tmp/claimfs-test-fleet.XXXXXX";

static int make_home(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	return setenv("XDG_STATE_HOME", home, 1);
}

static int remove_home(void **state)
{
	char *const words[] = { "rm", "-rf", home, NULL };

	(void)state;
	return run_one(words, 0, NULL, NULL);
}

/* ---- quoting ---- */

/* What a shell makes of the quoted words, each ended by a NUL. */
static void assert_arrives(const char *shell, char *const *words)
{
	struct buf line = BUF_INIT, out = BUF_INIT, expected = BUF_INIT;
	char *argv[] = { (char *)shell, "-c", NULL, NULL };
	size_t i;

	buf_adds(&line, "printf '%s\\0' ");
	quote_words(&line, words);
	argv[2] = (char *)buf_text(&line);
	assert_int_equal(run_one(argv, 0, &out, NULL), 0);
	for (i = 0; words[i]; i++)
		buf_add(&expected, words[i], strlen(words[i]) + 1);
	assert_int_equal(out.len, expected.len);
	assert_memory_equal(out.data, expected.data, expected.len);
	buf_release(&line);
	buf_release(&out);
	buf_release(&expected);
}

static void test_quote_in_a_shell(void **state)
{
	char all[256];
	char *const words[] = {
		"plain", "", "two words", "it's", "''", "'", "\"double\"", "$HOME `id` $(id)", "a;b&c|d>e<f", "*?[a]", "~", "#", "-n", "--", "back\\slash",
		"\\'", "ends in a backslash\\", "new\nline", "tab\t", "A=b", "if", "!", "{a,b}", "\xc3\xa4\xff", all, NULL,
	};
	int i;

	(void)state;
	for (i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	assert_arrives("sh", words);
	assert_arrives("bash", words);
}

/* Twice, as a command for sh -c that is itself a word. */
static void test_quote_nested(void **state)
{
	char *const inner[] = { "it's \"a\" $b", "'", NULL };
	struct buf script = BUF_INIT, line = BUF_INIT, out = BUF_INIT;
	char *argv[] = { "sh", "-c", NULL, NULL };
	char *words[] = { "sh", "-c", NULL, NULL };

	(void)state;
	buf_adds(&script, "printf '%s,' ");
	quote_words(&script, inner);
	words[2] = (char *)buf_text(&script);
	quote_words(&line, words);
	argv[2] = (char *)buf_text(&line);
	assert_int_equal(run_one(argv, 0, &out, NULL), 0);
	assert_string_equal(buf_text(&out), "it's \"a\" $b,',");
	buf_release(&script);
	buf_release(&line);
	buf_release(&out);
}

static void test_call_is_one_argument(void **state)
{
	struct words ssh = WORDS_INIT, argv = WORDS_INIT;
	char *const words[] = { "run", "0", "a;b", NULL };

	(void)state;
	words_add(&ssh, "-p");
	words_add(&ssh, "22");
	words_add(&ssh, "ann@host");
	assert_int_equal(fleet_call_words(&ssh, "agent 'text'", words, &argv), 0);
	assert_string_equal(argv.word[0], "ssh");
	assert_string_equal(argv.word[argv.count - 2], "ann@host");
	assert_string_equal(argv.word[argv.count - 1],
			    "'sh' '-c' 'agent=$1; shift; eval \"$agent\"' 'fleet-agent' 'agent '\\''text'\\''' 'run' '0' 'a;b'");
	words_release(&ssh);
	words_release(&argv);
}

/* ---- state ---- */

static const char odd[] = "odd name\twith 100% 'quotes'\nand lines; $x \\";

static void fill(struct fleet *fleet)
{
	struct words mount = WORDS_INIT, work = WORDS_INIT, push = WORDS_INIT, run = WORDS_INIT;
	struct fleet_machine *machine;

	assert_int_equal(fleet_init(fleet, "p"), 0);
	fleet->provider = strdup("hosts");
	assert_int_equal(fleet_set(fleet, "TYPE", "a=b"), 0);
	assert_int_equal(fleet_set(fleet, "ZONE", ""), 0);
	words_add(&fleet->extra, "");
	words_add(&fleet->extra, odd);
	assert_non_null(fleet_add(fleet, "p-000"));
	machine = fleet_add(fleet, "p-001");
	machine->stage = FLEET_UP;
	words_add(&machine->ssh, "-o");
	words_add(&machine->ssh, odd);
	words_add(&mount, "disk:/x");
	words_add(&mount, odd);
	words_add(&work, "queue");
	words_add(&work, "claim-worker");
	words_add(&work, "");
	words_add_all(&push, (char *const[]){ "id", ".", "install", "/a b", NULL });
	words_add_all(&run, (char *const[]){ "id", "0", "", (char *)odd, NULL });
	assert_int_equal(fleet_put_record(fleet, FLEET_MOUNT, &mount), 0);
	assert_int_equal(fleet_put_record(fleet, FLEET_WORK, &work), 0);
	assert_int_equal(fleet_put_record(fleet, FLEET_PUSH, &push), 0);
	assert_int_equal(fleet_put_record(fleet, FLEET_RUN, &run), 0);
}

static void test_state_there_and_back(void **state)
{
	struct buf text = BUF_INIT, again = BUF_INIT, why = BUF_INIT;
	struct fleet fleet, other;

	(void)state;
	fill(&fleet);
	assert_int_equal(fleet_format(&fleet, &text), 0);
	assert_int_equal(fleet_parse("p", buf_text(&text), &other, &why), 0);
	assert_int_equal(fleet_format(&other, &again), 0);
	assert_string_equal(buf_text(&text), buf_text(&again));
	assert_string_equal(fleet_setting(&other, "TYPE"), "a=b");
	assert_string_equal(fleet_setting(&other, "ZONE"), "");
	assert_null(fleet_setting(&other, "TYP"));
	assert_int_equal(other.extra.count, 2);
	assert_string_equal(other.extra.word[0], "");
	assert_string_equal(fleet_find(&other, "p-001")->ssh.word[1], odd);
	assert_int_equal(fleet_find(&other, "p-000")->stage, FLEET_MAKING);
	assert_string_equal(other.records[FLEET_MOUNT].list[0].word[1], odd);
	assert_int_equal(other.records[FLEET_WORK].list[0].count, 3);
	assert_int_equal(other.records[FLEET_RUN].list[0].count, 4);
	assert_string_equal(other.records[FLEET_RUN].list[0].word[3], odd);
	fleet_release(&fleet);
	fleet_release(&other);
	buf_release(&text);
	buf_release(&again);
	buf_release(&why);
}

/* Cut anywhere it is refused, never half read. */
static void test_state_cut_short(void **state)
{
	struct buf text = BUF_INIT, why = BUF_INIT;
	struct fleet fleet, other;
	size_t len;

	(void)state;
	fill(&fleet);
	assert_int_equal(fleet_format(&fleet, &text), 0);
	for (len = text.len; len-- > 0;) {
		text.data[len] = '\0';
		buf_reset(&why);
		assert_int_equal(fleet_parse("p", text.data, &other, &why), -EINVAL);
		assert_true(why.len > 0);
	}
	fleet_release(&fleet);
	buf_release(&text);
	buf_release(&why);
}

static void test_state_refused(void **state)
{
	static const char *const bad[] = {
		"", "claimctl-fleet 2\nend\n", "claimctl-fleet 1\nend\n", "claimctl-fleet 1\nprovider\tx\nwhat\tis\nend\n",
		"claimctl-fleet 1\nprovider\nend\n", "claimctl-fleet 1\nprovider\tx\nup\ta\nend\n", "claimctl-fleet 1\nprovider\tx\nsettings\tTYPE\nend\n",
		"claimctl-fleet 1\nprovider\tx\nmaking\ta\nmaking\ta\nend\n", "claimctl-fleet 1\nprovider\t%zz\nend\n",
		"claimctl-fleet 1\nprovider\t%00\nend\n", "claimctl-fleet 1\n\nprovider\tx\nend\n", "claimctl-fleet 1\nprovider\tx\nend\nmore\n",
	};
	struct buf why = BUF_INIT;
	struct fleet fleet;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&why);
		assert_int_equal(fleet_parse("p", bad[i], &fleet, &why), -EINVAL);
		assert_true(why.len > 0);
	}
	buf_release(&why);
}

static void test_state_file(void **state)
{
	struct buf why = BUF_INIT;
	struct words names = WORDS_INIT;
	struct fleet fleet, other;
	int lock;

	(void)state;
	assert_int_equal(fleet_load("p", &other, &why), -ENOENT);
	fill(&fleet);
	lock = fleet_lock("p");
	assert_true(lock >= 0);
	assert_int_equal(fleet_save(&fleet), 0);
	assert_int_equal(fleet_load("p", &other, &why), 0);
	assert_int_equal(other.count, 2);
	fleet_release(&other);
	assert_int_equal(fleet_names(&names), 0);
	assert_int_equal(names.count, 1);
	assert_string_equal(names.word[0], "p");
	fleet_forget(&fleet, "p-000");
	assert_string_equal(fleet.machines[0].name, "p-001");
	fleet_forget(&fleet, "nobody");
	fleet_forget(&fleet, "p-001");
	assert_int_equal(fleet_save(&fleet), 0);	/* nobody is left: forgotten */
	assert_int_equal(fleet_load("p", &other, &why), -ENOENT);
	close(lock);
	fleet_release(&fleet);
	words_release(&names);
	buf_release(&why);
}

static void test_records_are_replaced(void **state)
{
	struct words one = WORDS_INIT, two = WORDS_INIT, other = WORDS_INIT;
	struct fleet_records *records;
	struct fleet fleet;

	(void)state;
	assert_int_equal(fleet_init(&fleet, "p"), 0);
	records = &fleet.records[FLEET_MOUNT];
	words_add_all(&one, (char *const[]){ "a", "mnt", NULL });
	words_add_all(&two, (char *const[]){ "b", "mnt", NULL });
	words_add_all(&other, (char *const[]){ "a", "else", NULL });
	assert_int_equal(fleet_put_record(&fleet, FLEET_MOUNT, &one), 0);
	assert_int_equal(fleet_put_record(&fleet, FLEET_MOUNT, &other), 0);
	assert_int_equal(fleet_put_record(&fleet, FLEET_MOUNT, &two), 0);
	assert_int_equal(records->count, 2);
	assert_string_equal(records->list[0].word[0], "b");
	fleet_drop_record(&fleet, FLEET_MOUNT, 0);
	assert_string_equal(records->list[0].word[1], "else");
	fleet_drop_record(&fleet, FLEET_MOUNT, 0);
	assert_int_equal(records->count, 0);
	fleet_release(&fleet);
}

static void test_prefixes(void **state)
{
	(void)state;
	assert_true(fleet_prefix_valid("claim"));
	assert_true(fleet_prefix_valid("A.b_c-9"));
	assert_false(fleet_prefix_valid(""));
	assert_false(fleet_prefix_valid("../x"));
	assert_false(fleet_prefix_valid("-x"));
	assert_false(fleet_prefix_valid("a b"));
	assert_false(fleet_prefix_valid("a123456789012345678901234567890123456789012345678901"));
}

/* ---- providers ---- */

static void test_list(void **state)
{
	struct provider_list list;

	(void)state;
	assert_int_equal(provider_parse_list("a\trunning\t1.2.3.4\n\nb c\tfree\nd\tstopping\t", &list), 0);
	assert_int_equal(list.count, 3);
	assert_string_equal(provider_entry(&list, "a")->address, "1.2.3.4");
	assert_true(provider_entry_is(provider_entry(&list, "b c"), "free"));
	assert_true(provider_entry_exists(provider_entry(&list, "a")));
	assert_false(provider_entry_exists(provider_entry(&list, "d")));
	assert_false(provider_entry_exists(provider_entry(&list, "nobody")));
	provider_list_release(&list);
	assert_int_equal(provider_parse_list("", &list), 0);
	assert_int_equal(list.count, 0);
	assert_int_equal(provider_parse_list("a\n", &list), -EINVAL);
	assert_int_equal(provider_parse_list("a\tunheard\tx\n", &list), -EINVAL);
	assert_int_equal(provider_parse_list("\trunning\tx\n", &list), -EINVAL);
	assert_int_equal(provider_parse_list("ok\trunning\n-oProxyCommand=x\trunning\n", &list), -EINVAL);
}

/* ---- running ---- */

static bool once_more(struct run *run, struct run_task *task)
{
	int *left = run->context;

	(void)task;
	return --*left > 0;
}

static void test_run_many(void **state)
{
	struct run run;
	size_t i;
	int rounds = 3;

	(void)state;
	assert_int_equal(run_init(&run, 4), 0);
	for (i = 0; i < 4; i++)
		run.tasks[i].name = "x";
	words_add_all(&run.tasks[0].argv, (char *const[]){ "sh", "-c", "echo out; echo err >&2; exit 3", NULL });
	words_add_all(&run.tasks[1].argv, (char *const[]){ "/nowhere/to be found", NULL });
	words_add_all(&run.tasks[2].argv, (char *const[]){ "sh", "-c", "kill -9 $$", NULL });
	/* What it leaves behind keeps the pipes open. */
	words_add_all(&run.tasks[3].argv, (char *const[]){ "sh", "-c", "sleep 5 & echo left; exit 0", NULL });
	run.at_once = 2;
	assert_int_equal(run_all(&run), 0);
	assert_int_equal(run.tasks[0].status, 3);
	assert_string_equal(buf_text(&run.tasks[0].out), "out\n");
	assert_string_equal(buf_text(&run.tasks[0].err), "err\n");
	assert_int_equal(run.tasks[1].status, RUN_NOT_STARTED);
	assert_int_equal(run.tasks[2].status, 128 + 9);
	assert_int_equal(run.tasks[3].status, 0);
	assert_string_equal(buf_text(&run.tasks[3].out), "left\n");
	run_release(&run);

	assert_int_equal(run_init(&run, 1), 0);
	run.tasks[0].name = "x";
	words_add_all(&run.tasks[0].argv, (char *const[]){ "echo", "again", NULL });
	run.done = once_more;
	run.context = &rounds;
	assert_int_equal(run_all(&run), 0);
	assert_int_equal(rounds, 0);
	assert_string_equal(buf_text(&run.tasks[0].out), "again\n");
	run_release(&run);
}

static void test_run_ends_late_ones(void **state)
{
	char *const obedient[] = { "sleep", "60", NULL }, *const stubborn[] = { "sh", "-c", "trap '' TERM; while :; do sleep 1; done", NULL };
	int64_t began = clock_now();

	(void)state;
	assert_int_equal(run_one(obedient, 200 * NS_PER_MS, NULL, NULL), RUN_TIMED_OUT);
	assert_int_equal(run_one(stubborn, 200 * NS_PER_MS, NULL, NULL), RUN_TIMED_OUT);
	assert_true(clock_now() - began < 30 * NS_PER_S);
}

static void test_last_line(void **state)
{
	struct buf text = BUF_INIT, line = BUF_INIT;

	(void)state;
	run_last_line(&text, &line);
	assert_string_equal(buf_text(&line), "");
	buf_adds(&text, "one\ntwo \r\n\n");
	run_last_line(&text, &line);
	assert_string_equal(buf_text(&line), "two");
	buf_release(&text);
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quote_in_a_shell),
		cmocka_unit_test(test_quote_nested),
		cmocka_unit_test(test_call_is_one_argument),
		cmocka_unit_test(test_state_there_and_back),
		cmocka_unit_test(test_state_cut_short),
		cmocka_unit_test(test_state_refused),
		cmocka_unit_test(test_state_file),
		cmocka_unit_test(test_records_are_replaced),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_run_many),
		cmocka_unit_test(test_run_ends_late_ones),
		cmocka_unit_test(test_last_line),
	};

	return cmocka_run_group_tests(tests, make_home, remove_home);
}
