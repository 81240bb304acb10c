/* utf8: what is well-formed and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static void test_sequences(void **state)
{
	static const struct {
		const char *text;
		size_t expected;
	} cases[] = {
		{ "a", 1 }, { "\x7f", 1 }, { "\xc3\xb6", 2 }, { "\xe2\x82\xac", 3 }, { "\xf0\x9f\x98\x80", 4 }, { "\xef\xbf\xbf", 3 },
		{ "\xf4\x8f\xbf\xbf", 4 }, { "\x80", 0 }, { "\xff", 0 }, { "\xc3", 0 }, { "\xc3(", 0 }, { "\xe2\x82", 0 }, { "\xe2\x82(", 0 },
		/* Longer forms than need be, surrogates, beyond the last code point. */
		{ "\xc0\xaf", 0 }, { "\xc1\xbf", 0 }, { "\xe0\x80\xaf", 0 }, { "\xf0\x80\x80\xaf", 0 }, { "\xed\xa0\x80", 0 }, { "\xf4\x90\x80\x80", 0 },
		{ "\xf5\x80\x80\x80", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (utf8_sequence(cases[i].text, strlen(cases[i].text)) != cases[i].expected)
			fail_msg("case %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sequences) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
