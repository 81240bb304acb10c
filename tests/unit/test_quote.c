/* quote: a real shell reads back what was quoted, whatever it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/quote.h"

static char *const words[] = { "plain", "", "a b", "it's", "''", "a\nb\n", "$(false) `false` \\ \" ! * ? [a] ~", "-n", "if", "A=b", ";", "#",
			       "\xff\x01\x7f", NULL };

/* What the shell's words are: a line "LENGTH:BYTES" each. */
static void ask_shell(const char *line, char *ret, size_t room)
{
	struct buf command = BUF_INIT;
	FILE *shell;
	size_t len;

	buf_addf(&command, "LC_ALL=C; set -- %s; for x; do printf '%%s:%%s\\n' \"${#x}\" \"$x\"; done", line);
	assert_int_equal(buf_error(&command), 0);
	shell = popen(buf_text(&command), "r");
	assert_non_null(shell);
	len = fread(ret, 1, room - 1, shell);
	ret[len] = '\0';
	assert_int_equal(pclose(shell), 0);
	buf_release(&command);
}

static void assert_read_back(const char *line)
{
	struct buf expected = BUF_INIT;
	char got[1024];
	size_t i;

	for (i = 0; words[i]; i++)
		buf_addf(&expected, "%zu:%s\n", strlen(words[i]), words[i]);
	ask_shell(line, got, sizeof(got));
	assert_string_equal(got, buf_text(&expected));
	buf_release(&expected);
}

static void test_for_shells(void **state)
{
	struct buf line = BUF_INIT;

	(void)state;
	quote_words(&line, words);
	assert_read_back(buf_text(&line));
	buf_reset(&line);
	quote_words(&line, NULL);
	assert_string_equal(buf_text(&line), "");
	quote_word(&line, "plain");
	assert_string_equal(buf_text(&line), "'plain'");
	buf_release(&line);
}

static void test_for_people(void **state)
{
	struct buf line = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; words[i]; i++) {
		buf_addch(&line, ' ');
		quote_for_people(&line, words[i]);
	}
	assert_read_back(buf_text(&line));
	buf_reset(&line);
	quote_for_people(&line, "user@host:/a_b/c.d-e,f+g%h=i");
	assert_string_equal(buf_text(&line), "user@host:/a_b/c.d-e,f+g%h=i");
	buf_release(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_for_shells),
		cmocka_unit_test(test_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
