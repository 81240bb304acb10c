/* keyed: see keyed.h. */
#include "base/keyed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_of(const char *line, const char *key, size_t len)
{
	return len == 0 || (strncmp(line, key, len) == 0 && (line[len] == ' ' || line[len] == ':'));
}

int64_t keyed_number(const char *text, const char *key)
{
	size_t len = strlen(key);
	const char *line = text;
	long long number;

	while (line && !is_of(line, key, len)) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return -1;
	line += len > 0 ? len + 1 : 0;
	line += strspn(line, " \t");
	if (*line < '0' || *line > '9')
		return -1;
	errno = 0;
	number = strtoll(line, NULL, 10);
	return errno ? -1 : number;
}
