/*
 * mountinfo: see mountinfo.h.
 */
#include "base/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "\040" is a space: undone in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int byte;

		if (*text == '\\' && strspn(text + 1, "01234567") >= 3 && sscanf(text + 1, "%3o", &byte) == 1) {
			*to++ = (char)byte;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 / /mnt rw - ext4 /dev/sda1 rw": the third word, the fifth, and the first after the dash. Cuts the line up. */
static bool read_line(char *line, struct mountinfo *ret_info, const char **ret_path)
{
	char *rest = line, *words[5];
	const char *type;
	int i;

	for (i = 0; i < 5; i++) {
		words[i] = strsep(&rest, " ");
		if (!rest)
			return false;
	}
	type = strstr(rest, " - ");
	if (!type || sscanf(words[2], "%u:%u", &ret_info->major, &ret_info->minor) != 2)
		return false;
	unescape(words[4]);
	*ret_path = words[4];
	return sscanf(type + 3, "%63s", ret_info->type) == 1;
}

bool mountinfo_find(const char *path, struct mountinfo *ret_info)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	struct mountinfo info;
	const char *where;
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (file && getline(&line, &room, file) > 0)
		if (read_line(line, &info, &where) && !strcmp(where, path)) {
			*ret_info = info;	/* the last one lies on those before */
			found = true;
		}
	free(line);
	if (file)
		fclose(file);
	return found;
}
