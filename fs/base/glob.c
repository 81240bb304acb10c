/*
 * glob: * and ?, without recursion: on a mismatch the last * takes one character more.
 */
#include "base/glob.h"

#include <ctype.h>

static bool same(char a, char b, bool fold)
{
	return fold ? tolower((unsigned char)a) == tolower((unsigned char)b) : a == b;
}

bool glob_match(const char *pattern, size_t len, const char *text, bool fold)
{
	const char *end = pattern + len;
	const char *star = NULL;
	const char *resume = NULL;

	while (*text) {
		if (pattern < end && *pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (pattern < end && (*pattern == '?' || same(*pattern, *text, fold))) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}
