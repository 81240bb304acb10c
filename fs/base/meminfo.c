/* meminfo: see meminfo.h. */
#include "base/meminfo.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"

#define MAX_BYTES 65536

int64_t meminfo_parse(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *line = text;
	long long kib = -1;
	char *end;

	while (line && !(strncmp(line, name, len) == 0 && line[len] == ':')) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (line) {
		kib = strtoll(line + len + 1, &end, 10);
		if (end == line + len + 1 || kib < 0 || kib > INT64_MAX / 1024)
			kib = -1;
	}
	return kib < 0 ? -1 : kib * 1024;
}

int64_t meminfo_bytes(const char *name)
{
	struct buf text = BUF_INIT;
	int64_t bytes = -1;

	if (io_read_file("/proc/meminfo", MAX_BYTES, &text) == 0)
		bytes = meminfo_parse(buf_text(&text), name);
	buf_release(&text);
	return bytes;
}
